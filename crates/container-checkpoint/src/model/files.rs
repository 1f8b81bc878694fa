//! The table of all files of a dump.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::descriptors::OpenFile;
use super::file::{File, FileKind, RegularFile, file_text};
use super::file_type::FileType;
use super::mapping::{Mapping, MappingKind, status};
use super::memfd::MemfdInode;
use crate::ids::FileId;

/// The number of a shared object: its pages are in `pagemap-shmem-ID.img`. 0 is a valid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedObjectId(pub u64);

/// `MAP_HUGETLB`, on all architectures but MIPS.
const MAP_HUGETLB: u32 = 0x40000;

/// All files that descriptors, mappings, executables and directories refer to (files.img, or the split images of
/// CRIU up to 3.3).
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: Vec<File>,
    /// Files with a path by id. Images before CRIU 3.6 give a named pipe or terminal and its path the same id,
    /// so that these stand apart.
    with_path: HashMap<FileId, usize>,
    /// All other files by id.
    others: HashMap<FileId, usize>,
    /// The keys of SysV segments by number: the kernel names files after them.
    pub(super) segment_keys: BTreeMap<u32, u32>,
}

impl Files {
    /// Adds a file; false when the table has one of this id already.
    pub(super) fn add(&mut self, file: File) -> bool {
        let table = if file.regular().is_some() { &mut self.with_path } else { &mut self.others };
        let std::collections::hash_map::Entry::Vacant(place) = table.entry(file.id) else { return false };
        place.insert(self.files.len());
        self.files.push(file);
        true
    }

    /// All files in the order of the image.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &File> {
        self.files.iter()
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The file of this id. Where an old image gives two the same id, the one that isn't just a path.
    pub fn get(&self, id: FileId) -> Option<&File> {
        let index = self.others.get(&id).or_else(|| self.with_path.get(&id))?;
        self.files.get(*index)
    }

    /// The file of this id that has a path.
    pub fn with_path(&self, id: FileId) -> Option<&File> {
        self.with_path.get(&id).and_then(|index| self.files.get(*index))
    }

    pub(super) fn get_mut(&mut self, id: FileId) -> Option<&mut File> {
        let index = self.others.get(&id)?;
        self.files.get_mut(*index)
    }

    /// The file that a descriptor is open on.
    pub fn of_descriptor(&self, open: &OpenFile) -> Option<&File> {
        let file =
            if open.file_type == FileType::REG { self.with_path(open.file) } else { self.get(open.file) };
        file.filter(|file| file.file_type() == open.file_type)
    }

    /// The path of a file: its own, or that of a named pipe or terminal; for a memory file what `/proc` shows.
    /// Without ` (deleted)` for files with a path.
    pub fn path(&self, id: FileId) -> Option<Cow<'_, [u8]>> {
        let file = self.get(id)?;
        let path_of = |id| self.with_path(id).and_then(File::regular).map(|file| Cow::Borrowed(&*file.path));
        match &file.kind {
            FileKind::Regular(regular) => Some(Cow::Borrowed(&regular.path)),
            FileKind::Fifo(fifo) => path_of(fifo.path),
            FileKind::Tty(tty) => path_of(tty.path),
            FileKind::Memfd(memfd) => memfd.inode.known().map(|inode| Cow::Owned(inode.shown_path())),
            _ => None,
        }
    }

    /// The text of a file of this id as crit and checkpointctl print it for directories and executables: its path.
    pub fn path_text(&self, id: FileId) -> Cow<'_, [u8]> {
        match self.with_path(id).and_then(File::regular) {
            Some(file) => Cow::Borrowed(&file.path),
            None => Cow::Borrowed(b"unknown path"),
        }
    }

    /// The text of a descriptor as crit and checkpointctl print it; see [`File::text`]. `unknown path` stands for a
    /// file with a path that the table lacks, `TYPE.ID` for others.
    pub fn text(&self, open: &OpenFile) -> Vec<u8> {
        match self.of_descriptor(open) {
            Some(file) => file.text(),
            None if open.file_type == FileType::REG => b"unknown path".to_vec(),
            None => file_text(open.file_type, open.file).into_bytes(),
        }
    }

    /// What a descriptor is open on as a link of `/proc/PID/fd` shows it: a path with ` (deleted)` if it is gone,
    /// `pipe:[462038]`, `socket:[462104]`, `anon_inode:[eventfd]`; otherwise as [`Files::text`].
    pub fn link(&self, open: &OpenFile) -> Vec<u8> {
        let Some(file) = self.of_descriptor(open) else { return self.text(open) };
        let shown = |id| self.with_path(id).and_then(File::regular).map(RegularFile::shown_path);
        let link = match &file.kind {
            FileKind::Regular(regular) => Some(regular.shown_path()),
            FileKind::Fifo(fifo) => shown(fifo.path),
            FileKind::Tty(tty) => shown(tty.path),
            FileKind::Memfd(memfd) => memfd.inode.known().map(|inode| inode.shown_path()),
            FileKind::Pipe(pipe) => Some(format!("pipe:[{}]", pipe.pipe_id).into_bytes()),
            FileKind::Socket(socket) => {
                socket.inode.known().map(|inode| format!("socket:[{inode}]").into_bytes())
            }
            FileKind::Eventfd(_) => Some(b"anon_inode:[eventfd]".to_vec()),
            FileKind::Epoll(_) => Some(b"anon_inode:[eventpoll]".to_vec()),
            FileKind::Inotify(_) => Some(b"anon_inode:inotify".to_vec()),
            FileKind::Fanotify(_) => Some(b"anon_inode:[fanotify]".to_vec()),
            FileKind::Signalfd(_) => Some(b"anon_inode:[signalfd]".to_vec()),
            FileKind::Timerfd(_) => Some(b"anon_inode:[timerfd]".to_vec()),
            FileKind::Pidfd(_) => Some(b"anon_inode:[pidfd]".to_vec()),
            FileKind::BpfMap(_) => Some(b"anon_inode:bpf-map".to_vec()),
            FileKind::Tun(_) => Some(b"/dev/net/tun".to_vec()),
            FileKind::Namespace(_) | FileKind::External | FileKind::Unknown(_) => None,
        };
        link.unwrap_or_else(|| self.text(open))
    }

    /// The file behind a mapping: a file with a path, a memory file or a packet socket.
    pub fn of_mapping(&self, mapping: &Mapping) -> Option<&File> {
        let id = mapping.file?;
        match mapping.kind {
            MappingKind::FilePrivate | MappingKind::FileShared => self.with_path(id),
            _ => self.get(id),
        }
    }

    /// What is behind a mapping as `/proc/PID/maps` names it: a path (with ` (deleted)` if it is gone), `[heap]`,
    /// `/memfd:NAME (deleted)`; nothing for private memory without a file. Where the images lack the name, a text in
    /// brackets that no kernel prints.
    pub fn mapping_name(&self, mapping: &Mapping) -> Cow<'_, [u8]> {
        let fixed: &[u8] = match mapping.kind {
            MappingKind::Heap => b"[heap]",
            MappingKind::Stack => b"[stack]",
            MappingKind::Vdso => b"[vdso]",
            MappingKind::Vvar => b"[vvar]",
            MappingKind::Vsyscall => b"[vsyscall]",
            MappingKind::Uprobes => b"[uprobes]",
            MappingKind::AioRing => b"/[aio] (deleted)",
            MappingKind::PacketRing => b"[packet ring]",
            MappingKind::Plugin => b"[plugin]",
            MappingKind::AnonymousPrivate if mapping.flags & MAP_HUGETLB != 0 => b"/anon_hugepage (deleted)",
            MappingKind::AnonymousPrivate
            | MappingKind::ShadowStack
            | MappingKind::Guard
            | MappingKind::Unknown => b"",
            MappingKind::SysV => return self.segment_name(mapping),
            MappingKind::FilePrivate | MappingKind::FileShared => {
                let file = self.of_mapping(mapping).and_then(File::regular);
                return file.map_or(Cow::Borrowed(b"[unknown file]"), |file| file.shown_path().into());
            }
            MappingKind::Memfd | MappingKind::AnonymousShared => {
                let memfd = self.of_mapping(mapping).and_then(File::memfd);
                let inode = memfd.and_then(|memfd| memfd.inode.known());
                return match inode {
                    Some(inode) => inode.shown_path().into(),
                    None if mapping.kind == MappingKind::AnonymousShared => {
                        Cow::Borrowed(b"/dev/zero (deleted)")
                    }
                    None => Cow::Borrowed(b"[unknown memory file]"),
                };
            }
        };
        Cow::Borrowed(fixed)
    }

    /// `/SYSV` and the key in hexadecimal.
    fn segment_name(&self, mapping: &Mapping) -> Cow<'_, [u8]> {
        let key = u32::try_from(mapping.shmid).ok().and_then(|id| self.segment_keys.get(&id));
        match key {
            Some(key) => format!("/SYSV{key:08x} (deleted)").into_bytes().into(),
            None => Cow::Borrowed(b"[unknown SysV segment]"),
        }
    }

    /// The shared object that a mapping shows, whose pages the dump has: shared memory without a name, a SysV segment
    /// or a memory file (mapped shared, or private and not written). `None` for all other mappings, and for a memory
    /// file that the images don't describe.
    pub fn shared_object(&self, mapping: &Mapping) -> Option<SharedObjectId> {
        if mapping.status & (status::SYSVIPC | status::ANON_SHARED) != 0 {
            return Some(SharedObjectId(mapping.shmid));
        }
        self.memory_file(mapping).map(|inode| SharedObjectId(u64::from(inode.shmid)))
    }

    /// Whether the mapping is shared memory without a name, which CRIU since 3.14 dumps as a memory file.
    pub(super) fn is_anonymous_shared(&self, mapping: &Mapping) -> bool {
        mapping.has_status(status::FILE_SHARED)
            && self.memory_file(mapping).is_some_and(MemfdInode::is_anonymous)
    }

    /// The memory file behind a mapping with the status MEMFD.
    fn memory_file(&self, mapping: &Mapping) -> Option<&MemfdInode> {
        if !mapping.has_status(status::MEMFD) {
            return None;
        }
        self.get(mapping.file?)?.memfd()?.inode.known().map(|inode| &**inode)
    }
}

#[cfg(test)]
mod tests {
    use criu_images::schema::VmaEntry;

    use super::super::file::Pipe;
    use super::super::memfd::MemfdFile;
    use super::*;
    use crate::gap::Field;

    #[test]
    fn a_mapping_leads_to_its_shared_object() {
        let mut files = Files::default();
        files.add(memfd(25, 535, b"/dev/zero"));
        files.add(memfd(26, 0, b"cache"));
        let object = |status, shmid| files.shared_object(&mapping(status, shmid)).map(|id| id.0);
        assert_eq!(object(0x4081, 25), Some(535), "memfd, shared");
        assert_eq!(object(0x4041, 26), Some(0), "memfd, private; 0 is a number like others");
        assert_eq!(object(0x501, 0), Some(0), "SysV");
        assert_eq!(object(0x101, 1 << 40), Some(1 << 40), "anonymous, before CRIU 3.14");
        assert_eq!(object(0x81, 25), None, "a shared file");
        assert_eq!(object(0x4081, 27), None, "a memory file that is not there");
        assert!(files.is_anonymous_shared(&mapping(0x4081, 25)));
        assert!(!files.is_anonymous_shared(&mapping(0x4041, 25)), "private");
        assert!(!files.is_anonymous_shared(&mapping(0x4081, 26)));
    }

    #[test]
    fn a_path_and_a_pipe_may_have_one_id_in_old_images() {
        let mut files = Files::default();
        assert!(files.add(regular(5, b"/run/fifo")));
        let pipe = Pipe { pipe_id: 77, flags: 1, uid: Field::NotCaptured, gid: Field::NotCaptured };
        assert!(files.add(File { id: FileId(5), kind: FileKind::Pipe(pipe), owner: None }));
        assert!(!files.add(regular(5, b"/other")));
        assert_eq!(files.path_text(FileId(5)).as_ref(), b"/run/fifo");
        let text = |file_type| {
            let open = OpenFile {
                fd: 0,
                file: FileId(5),
                file_type,
                close_on_exec: false,
                selinux: Field::NotCaptured,
            };
            String::from_utf8(files.text(&open)).unwrap()
        };
        assert_eq!(text(FileType::REG), "/run/fifo");
        assert_eq!(text(FileType::PIPE), "pipe[77]");
        assert_eq!(text(FileType::EVENTFD), "EVENTFD.5", "the table has no eventfd of this id");
    }

    fn memfd(id: u32, shmid: u32, name: &[u8]) -> File {
        let inode = MemfdInode {
            name: name.to_vec(),
            size: 4096,
            shmid,
            seals: 1,
            uid: 0,
            gid: 0,
            huge_pages: None,
            mode: Field::NotCaptured,
        };
        let memfd = MemfdFile { flags: 0, position: 0, inode_id: 1, inode: Field::Known(inode.into()) };
        File { id: FileId(id), kind: FileKind::Memfd(Box::new(memfd)), owner: None }
    }

    fn regular(id: u32, path: &[u8]) -> File {
        let file = RegularFile {
            path: path.to_vec(),
            flags: 0,
            position: 0,
            size: Field::NotCaptured,
            mode: Field::NotCaptured,
            mount: Field::NotCaptured,
            build_id: Field::NotCaptured,
            external: false,
            deleted: None,
        };
        File { id: FileId(id), kind: FileKind::Regular(Box::new(file)), owner: None }
    }

    fn mapping(status: u32, shmid: u64) -> Mapping {
        let vma =
            VmaEntry { start: 0x1000, end: 0x2000, status, shmid, flags: 1, fd: -1, ..Default::default() };
        Mapping::from_wire(&vma, None).unwrap()
    }
}
