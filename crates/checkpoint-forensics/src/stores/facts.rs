//! Who holds a store, and what it is called: what the model knows, and the store's own bytes don't.

use std::collections::HashMap;

use container_checkpoint::ids::{FileId, Pid, VirtualAddress};
use container_checkpoint::model::{Deleted, File, FileKind, Model, SharedObjectId, SocketFamily};

use super::store::{Kind, Store};
use crate::rootfs::StoreKind;

/// How a process holds a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// It runs from it.
    Executable(Pid),
    /// A descriptor is open on it.
    Descriptor(Pid, u32),
    /// It is mapped, first at this address.
    Mapping(Pid, VirtualAddress),
    /// It is a register of one of its threads.
    Thread(Pid, Pid),
}

impl Holder {
    /// The process.
    pub fn pid(self) -> Pid {
        match self {
            Self::Executable(pid)
            | Self::Descriptor(pid, _)
            | Self::Mapping(pid, _)
            | Self::Thread(pid, _) => pid,
        }
    }
}

/// What stands for a store in the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Shared(SharedObjectId),
    Ghost(u32),
    Pipe(u32),
    Fifo(u32),
    Socket(u32),
    Tcp(u32),
    Terminal(u32),
    BpfMap(u32),
    Path(Vec<u8>),
}

/// Who holds which store of a dump, and what it is called.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    holders: HashMap<Key, Vec<Holder>>,
    titles: HashMap<Key, Vec<u8>>,
    shared: HashMap<SharedObjectId, SharedFacts>,
    /// Mount points of tmpfs mounts by device and by mount.
    tmpfs: Vec<(u32, u32, Vec<u8>)>,
}

/// What the images say of a shared object beside its pages.
#[derive(Clone, Debug, Default)]
struct SharedFacts {
    len: u64,
    is_memory_file: bool,
    is_segment: bool,
}

impl Facts {
    /// Gathers them from the model of a dump.
    pub fn of(model: &Model) -> Self {
        let mut facts = Self::default();
        for file in model.files.iter() {
            facts.add_file(model, file);
        }
        for (id, segment) in &model.shared_segments {
            let id = SharedObjectId(u64::from(*id));
            facts
                .shared
                .insert(id, SharedFacts { len: segment.size, is_memory_file: false, is_segment: true });
            facts.titles.insert(Key::Shared(id), format!("/SYSV{:08x}", segment.key).into_bytes());
        }
        for mount in model.mounts.values().flatten().filter(|mount| mount.root == b"/") {
            let device = mount.device.major << 20 | mount.device.minor & 0xf_ffff;
            facts.tmpfs.push((device, mount.id, mount.mountpoint.clone()));
        }
        for process in model.processes.iter() {
            facts.add_process(model, process);
        }
        facts.holders.values_mut().for_each(|holders| {
            holders.sort();
            holders.dedup();
        });
        facts
    }

    fn add_file(&mut self, model: &Model, file: &File) {
        for key in keys_of(model, file) {
            let title = match &file.kind {
                FileKind::Regular(regular) => Some(regular.path.clone()),
                FileKind::Memfd(memfd) => memfd.inode.known().map(|inode| inode.shown_path()),
                FileKind::Fifo(fifo) => model.files.path(fifo.path).map(|path| path.into_owned()),
                FileKind::Tty(tty) => model.files.path(tty.path).map(|path| path.into_owned()),
                FileKind::BpfMap(map) => Some(map.name.clone()),
                FileKind::Socket(socket) => match &socket.family {
                    SocketFamily::Inet(inet) => {
                        let address = |address: Option<&std::net::SocketAddr>| {
                            address.map_or_else(|| "?".to_owned(), ToString::to_string)
                        };
                        let (local, remote) = (address(inet.local.known()), address(inet.remote.known()));
                        Some(format!("{} {local} -> {remote}", socket.protocol_name()).into_bytes())
                    }
                    SocketFamily::Unix(unix) => Some(unix.name().shown()).filter(|name| !name.is_empty()),
                    SocketFamily::Netlink(_) | SocketFamily::Packet(_) => None,
                },
                _ => None,
            };
            if let Some(title) = title {
                self.titles.entry(key).or_insert(title);
            }
        }
        if let FileKind::Memfd(memfd) = &file.kind
            && let Some(inode) = memfd.inode.known()
        {
            let facts =
                SharedFacts { len: inode.size, is_memory_file: !inode.is_anonymous(), is_segment: false };
            self.shared.insert(SharedObjectId(u64::from(inode.shmid)), facts);
        }
    }

    fn add_process(&mut self, model: &Model, process: &container_checkpoint::model::Process) {
        let Self { holders, shared, .. } = self;
        let mut hold = |keys: Vec<Key>, holder: Holder| {
            keys.into_iter().for_each(|key| holders.entry(key).or_default().push(holder));
        };
        let keys = |file: Option<&File>| file.map_or_else(Vec::new, |file| keys_of(model, file));
        let pid = process.pid;
        if let Some(executable) = process.executable().known() {
            hold(keys(model.files.get(*executable)), Holder::Executable(pid));
        }
        for open in process.open_files.known().into_iter().flat_map(|table| table.iter()) {
            hold(keys(model.files.of_descriptor(open)), Holder::Descriptor(pid, open.fd));
        }
        for mapping in process.memory.known().into_iter().flat_map(|map| &map.mappings) {
            let holder = Holder::Mapping(pid, mapping.start);
            match model.files.shared_object(mapping) {
                Some(id) => {
                    hold(vec![Key::Shared(id)], holder);
                    let facts = shared.entry(id).or_default();
                    if !facts.is_memory_file && !facts.is_segment {
                        facts.len = facts.len.max(mapping.offset.saturating_add(mapping.len()));
                    }
                }
                None => hold(keys(model.files.of_mapping(mapping)), holder),
            }
        }
    }

    /// Who holds a store, ascending; of an archive of files those who have a file of that path open or mapped.
    pub fn holders(&self, store: &Store) -> Vec<Holder> {
        if let Kind::Register { pid, tid, .. } = store.kind {
            return vec![Holder::Thread(pid, tid)];
        }
        self.key(store).and_then(|key| self.holders.get(&key)).cloned().unwrap_or_default()
    }

    /// What a store is called: a path, a name, the addresses of a connection.
    pub fn title(&self, store: &Store) -> Option<Vec<u8>> {
        match self.key(store)? {
            Key::Path(path) => Some(path),
            key => self.titles.get(&key).cloned(),
        }
    }

    /// Whether a shared object is a file of memfd_create(2).
    pub fn is_memory_file(&self, id: SharedObjectId) -> bool {
        self.shared.get(&id).is_some_and(|facts| facts.is_memory_file)
    }

    /// Whether a shared object is a segment of shmget(2).
    pub fn is_segment(&self, id: SharedObjectId) -> bool {
        self.shared.get(&id).is_some_and(|facts| facts.is_segment)
    }

    /// The length of a shared object in bytes, if anything but its pages says it.
    pub fn shared_len(&self, id: SharedObjectId) -> Option<u64> {
        self.shared.get(&id).map(|facts| facts.len).filter(|len| *len > 0)
    }

    fn key(&self, store: &Store) -> Option<Key> {
        Some(match &store.kind {
            Kind::Shared(id) => Key::Shared(*id),
            Kind::Ghost(id) => Key::Ghost(*id),
            Kind::Pipe(id) => Key::Pipe(*id),
            Kind::Fifo(id) => Key::Fifo(*id),
            Kind::Packets { socket, .. } => Key::Socket(*socket),
            Kind::TcpReceived(inode) | Kind::TcpSent(inode) => Key::Tcp(*inode),
            Kind::Terminal { id, .. } => Key::Terminal(*id),
            Kind::MapKeys(id) | Kind::MapValues(id) => Key::BpfMap(*id),
            Kind::Archived(archive) => Key::Path(self.path(archive, store.inner.as_deref()?)?),
            Kind::Message { .. } | Kind::Register { .. } | Kind::Log | Kind::Metadata => return None,
        })
    }

    /// The path in the container of a file of an archive, where it is known.
    fn path(&self, archive: &StoreKind, inner: &[u8]) -> Option<Vec<u8>> {
        let top: &[u8] = match archive {
            StoreKind::Rootfs => b"",
            StoreKind::DevShm => b"/dev/shm",
            StoreKind::Volume(_) => return None,
            StoreKind::TmpfsDevice(device) => &self.tmpfs.iter().find(|(known, ..)| known == device)?.2,
            StoreKind::TmpfsMount(mount) => &self.tmpfs.iter().find(|(_, known, _)| known == mount)?.2,
        };
        Some([top.strip_suffix(b"/").unwrap_or(top), b"/", inner].concat())
    }
}

/// What a file's bytes are kept under.
fn keys_of(model: &Model, file: &File) -> Vec<Key> {
    match &file.kind {
        FileKind::Regular(regular) => match regular.deleted {
            Some(Deleted::Ghost { id }) => vec![Key::Ghost(id)],
            Some(Deleted::Linked { file }) => linked_path(model, file).map(Key::Path).into_iter().collect(),
            Some(Deleted::ProcessDirectory { .. } | Deleted::Unknown { .. }) => Vec::new(),
            None => vec![Key::Path(regular.path.clone())],
        },
        FileKind::Pipe(pipe) => vec![Key::Pipe(pipe.pipe_id)],
        FileKind::Fifo(fifo) => vec![Key::Fifo(fifo.pipe_id)],
        FileKind::Socket(socket) => {
            let inode = socket.inode.known().filter(|_| socket.stream_image().is_some());
            [Some(Key::Socket(file.id.0)), inode.map(|inode| Key::Tcp(*inode))]
                .into_iter()
                .flatten()
                .collect()
        }
        FileKind::Tty(tty) => vec![Key::Terminal(tty.terminal_id)],
        FileKind::Memfd(memfd) => {
            let inode = memfd.inode.known();
            inode.map(|inode| Key::Shared(SharedObjectId(u64::from(inode.shmid)))).into_iter().collect()
        }
        FileKind::BpfMap(map) => vec![Key::BpfMap(map.map_id)],
        _ => Vec::new(),
    }
}

/// The path of the file that CRIU linked a deleted one to.
fn linked_path(model: &Model, file: FileId) -> Option<Vec<u8>> {
    Some(model.files.with_path(file)?.regular()?.path.clone())
}
