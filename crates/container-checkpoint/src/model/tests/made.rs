//! A small dump made here, whole and with pieces missing.

use criu_images::kinds::{Head, by_file_name};
use criu_images::schema::{
    CoreEntry, CredsEntry, Entry, FdinfoEntry, FileEntry, FsEntry, InetSkEntry, InventoryEntry,
    MemfdFileEntry, MemfdInodeEntry, MmEntry, PstreeEntry, RegFileEntry, RemapFilePathEntry, RlimitEntry,
    TaskCoreEntry, TaskKobjIdsEntry, ThreadCoreEntry, ThreadInfoX86, UtsnsEntry, VmaEntry,
};

use super::super::*;
use super::corpus::MemoryFiles;
use crate::ids::{FileId, Pid, VirtualAddress};

/// A random number, as CRIU leaves one among the threads of a zombie.
const GARBAGE: u32 = 1_871_698_240;

#[test]
fn a_whole_dump_is_read_without_a_word() {
    let (model, findings) = Model::load(&dump());
    assert!(findings.gaps.is_empty() && findings.notes.is_empty(), "{findings:#?}");
    let shape: Vec<(usize, u32, &str, usize)> = model
        .processes
        .depth_first()
        .map(|(depth, process)| {
            (depth, process.pid.0, process.state.known().unwrap().name(), process.threads.len())
        })
        .collect();
    assert_eq!(shape, [(0, 1, "Alive", 2), (1, 2, "Dead", 0), (1, 4, "Stopped", 1)]);
    assert_eq!(model.processes.get(Pid(2)).unwrap().exit_status, Field::Known(ExitStatus::Exited(42)));
    let stopped = model.processes.get(Pid(4)).unwrap();
    assert_eq!(stopped.state, Field::Known(TaskState::Stopped { signal: Some(19) }));

    let process = model.processes.get(Pid(1)).unwrap();
    let names: Vec<String> = process
        .mappings()
        .iter()
        .map(|mapping| String::from_utf8_lossy(&model.mapping_name(mapping)).into_owned())
        .collect();
    assert_eq!(names, ["/bin/app (deleted)", "[heap]", "/memfd:cache (deleted)", "[stack]"]);
    assert_eq!(model.files.shared_object(&process.mappings()[2]), Some(SharedObjectId(77)));
    assert_eq!(process.page_size(), Field::Known(4096));
    assert_eq!(process.executable(), Field::Known(FileId(1)));
    assert_eq!(model.host_names_of(process).unwrap().node, b"box");
    let links: Vec<String> = process
        .open_files
        .known()
        .unwrap()
        .iter()
        .map(|open| String::from_utf8_lossy(&model.files.link(open)).into_owned())
        .collect();
    assert_eq!(links, ["/dev/null", "socket:[5005]", "/memfd:cache (deleted)"]);
    let (open, socket) = model.sockets(process).next().unwrap();
    assert_eq!((open.fd, socket.protocol_name().as_str()), (3, "TCP"));
    assert_eq!(socket.inet().unwrap().local.known().unwrap().to_string(), "10.0.0.1:8080");
    assert_eq!(socket.stream_image().as_deref(), Some("tcp-stream-138d.img"));
}

/// Removes each image in turn: what depends on it has a reason in place of a value, and all else is as before.
#[test]
fn a_missing_image_costs_what_it_holds() {
    let (whole, _) = Model::load(&dump());
    for name in dump().0.into_keys() {
        let mut images = dump();
        images.0.remove(&name);
        let (model, findings) = Model::load(&images);
        let lost = parts(&whole).into_iter().zip(parts(&model)).filter(|((_, a), (_, b))| a != b);
        let lost: Vec<String> = lost.map(|((part, _), _)| part).collect();
        let expected: &[&str] = match name.as_str() {
            "core-1.img" => &["1 state", "1 threads"],
            // Nothing else says that it is a zombie, to which these questions don't apply.
            "core-2.img" => &["2 state", "2 threads", "2 ids", "2 directories", "2 memory", "2 open files"],
            "core-3.img" => &["1 threads"],
            "core-4.img" => &["4 state", "4 threads"],
            "fdinfo-2.img" => &["1 open files", "4 open files"],
            "files.img" => &["files", "1 names"],
            "fs-1.img" => &["1 directories"],
            "fs-4.img" => &["4 directories"],
            "ids-1.img" => &["1 ids", "1 open files"],
            "ids-4.img" => &["4 ids", "4 open files"],
            "inventory.img" => &["inventory"],
            "memfd.img" => &["files", "1 names"],
            "mm-1.img" => &["1 memory", "1 names"],
            "mm-4.img" => &["4 memory", "4 names"],
            "pstree.img" => &["1 parent", "1 threads", "2 parent", "4 parent"],
            "remap-fpath.img" => &["files", "1 names"],
            "utsns-9.img" => &["host names"],
            other => panic!("{other}"),
        };
        // A missing remap-fpath.img or utsns image means that there is none: no gap to tell.
        let told = !findings.gaps.is_empty();
        assert_eq!(
            told,
            !["files.img", "remap-fpath.img", "utsns-9.img"].contains(&&*name),
            "{name}: {findings:#?}"
        );
        assert_eq!(lost, expected, "without {name}");
    }
}

#[test]
fn an_image_whose_bytes_cannot_be_had_is_a_gap_and_not_an_absence() {
    struct Unreadable(MemoryFiles, &'static str);
    impl FileSet for Unreadable {
        fn file(&self, name: &str) -> Option<Cow<'_, [u8]>> {
            self.0.file(name).filter(|_| name != self.1)
        }
        fn has(&self, name: &str) -> bool {
            self.0.has(name)
        }
        fn names(&self) -> Vec<String> {
            self.0.names()
        }
    }
    for name in ["core-3.img", "files.img", "utsns-9.img", "pstree.img", "inventory.img", "remap-fpath.img"] {
        let (model, findings) = Model::load(&Unreadable(dump(), name));
        let gap = findings.gaps.iter().find(|gap| gap.place == name);
        let gap = gap.unwrap_or_else(|| panic!("{name}: {findings:#?}"));
        assert_eq!(gap.why, "the evidence has the image, but its bytes could not be read");
        assert!(!model.processes.is_empty());
    }
}

#[test]
fn a_zombies_thread_is_never_looked_up_and_takes_nothing_away() {
    // The random number happens to be another process's id.
    let mut images = dump();
    images.add("pstree.img", &[pstree(2, 1, &[4]), pstree(1, 0, &[1, 3]), pstree(4, 1, &[4])]);
    let (model, findings) = Model::load(&images);
    assert!(findings.gaps.is_empty() && findings.notes.is_empty(), "{findings:#?}");
    assert_eq!(model.processes.get(Pid(2)).unwrap().threads.len(), 0);
    assert_eq!(model.processes.get(Pid(4)).unwrap().command, Field::Known(b"halted".to_vec()));
}

#[test]
fn without_a_process_tree_processes_are_found_by_their_images() {
    let mut images = dump();
    images.0.remove("pstree.img");
    let (model, findings) = Model::load(&images);
    assert!(!model.is_pre_dump);
    let pids: Vec<u32> = model.processes.roots().map(|process| process.pid.0).collect();
    assert_eq!(pids, [1, 2, 4]);
    assert_eq!(model.processes.get(Pid(1)).unwrap().ppid.absence(), Some("unreadable"));
    assert_eq!(model.processes.get(Pid(1)).unwrap().threads.len(), 1);
    let stray: Vec<u32> = model.processes.stray_threads().iter().map(|thread| thread.tid.0).collect();
    assert_eq!(stray, [3]);
    assert_eq!(findings.gaps.len(), 2, "{findings:#?}");

    // Cut behind the first entry and a half: the first process keeps all it has.
    let mut images = dump();
    let pstree = images.0.get_mut("pstree.img").unwrap();
    let first = 8 + 4 + pstree[8] as usize;
    pstree.truncate(first + 6);
    let (model, findings) = Model::load(&images);
    assert_eq!(model.processes.get(Pid(1)).unwrap().threads.len(), 2);
    assert_eq!(model.processes.get(Pid(4)).unwrap().ppid.absence(), Some("unreadable"));
    assert_eq!(model.processes.len(), 3);
    assert!(findings.gaps[0].why.contains("entry 1 of PSTREE, byte"), "{findings:#?}");
}

#[test]
fn left_over_images_are_noted() {
    let mut images = dump();
    for name in ["core-9.img", "mm-9.img", "pagemap-9.img"] {
        images.0.insert(name.to_owned(), Vec::new());
    }
    let (model, findings) = Model::load(&images);
    assert_eq!(model.processes.len(), 3);
    assert_eq!(findings.notes.len(), 1);
    assert!(findings.notes[0].what.ends_with(": core-9.img, mm-9.img, pagemap-9.img"), "{findings:#?}");
}

#[test]
fn repeated_ids_count_once() {
    let mut images = dump();
    let entries =
        [pstree(1, 0, &[1, 3, 3]), pstree(1, 4, &[1]), pstree(4, 1, &[4, 3, 1]), pstree(2, 2, &[GARBAGE])];
    images.add("pstree.img", &entries);
    let (model, findings) = Model::load(&images);
    assert_eq!(model.processes.len(), 3);
    assert_eq!(model.processes.get(Pid(1)).unwrap().threads.len(), 2);
    assert_eq!(model.processes.get(Pid(4)).unwrap().threads.len(), 1);
    assert_eq!(findings.notes.len(), 4, "{findings:#?}");
}

#[test]
fn one_bad_entry_costs_itself() {
    let mut images = dump();
    let mut bytes = images.0["files.img"].clone();
    // An entry of two bytes: a type without an id, between the others.
    let first = 8 + 4 + bytes[8] as usize;
    bytes.splice(first..first, [2, 0, 0, 0, 0x08, 0x01]);
    images.0.insert("files.img".to_owned(), bytes);
    let (whole, _) = Model::load(&dump());
    let (model, findings) = Model::load(&images);
    assert_eq!(parts(&model), parts(&whole));
    assert_eq!(findings.gaps.len(), 1);
    assert_eq!(findings.gaps[0].place, "files.img");
    assert!(findings.gaps[0].why.contains("entry 1 of FILES"), "{findings:#?}");
}

#[test]
fn images_of_old_releases_are_read() {
    let mut images = dump();
    for name in ["files.img", "memfd.img", "remap-fpath.img"] {
        images.0.remove(name);
    }
    let mut mm = mm();
    let vmas = std::mem::take(&mut mm.vmas);
    images.add("mm-1.img", &[mm]);
    images.add("vmas-1.img", &vmas);
    images.add("reg-files.img", &[regular(1, b"/bin/app"), regular(2, b"/dev/null"), regular(9, b"/")]);
    images.add("inetsk.img", &[socket(3)]);
    images.add(
        "remap-fpath.img",
        &[RemapFilePathEntry { orig_id: 1, remap_id: 1 << 31 | 7, remap_type: None }],
    );
    images.add("creds-1.img", &[CredsEntry { uid: 33, ..Default::default() }]);
    images.add("rlimit-1.img", &[RlimitEntry { cur: 5, max: u64::MAX }]);
    let (model, findings) = Model::load(&images);
    assert!(findings.gaps.is_empty(), "{findings:#?}");
    let process = model.processes.get(Pid(1)).unwrap();
    assert_eq!(process.credentials().map(|creds| creds.uid), Field::Known(33));
    let limits = process.task.known().unwrap().limits.known().unwrap();
    assert_eq!(limits, &[ResourceLimit { resource: 0, soft: Some(5), hard: None }]);
    assert_eq!(process.mappings().len(), 4);
    assert_eq!(model.mapping_name(&process.mappings()[0]).as_ref(), b"/bin/app (deleted)");
    let executable = model.files.with_path(FileId(1)).and_then(File::regular).unwrap();
    assert_eq!(executable.deleted.and_then(Deleted::ghost_image).as_deref(), Some("ghost-file-7.img"));
    assert_eq!(model.sockets(process).count(), 1);
}

#[test]
fn a_big_endian_dump_is_read_in_its_byte_order() {
    let mut images = MemoryFiles::default();
    let mut socket = socket(3);
    socket.src_addr = vec![0x0a00_0001];
    let mut file = regular(1, b"/bin/app");
    file.build_id = vec![0x0102_0304];
    let files = [
        FileEntry { r#type: 1, id: 1, reg: Some(file), ..Default::default() },
        FileEntry { r#type: 4, id: 3, isk: Some(socket), ..Default::default() },
    ];
    images.0.insert("files.img".to_owned(), image("files.img", &files, true));
    let (model, _) = Model::load(&images);
    assert!(model.is_big_endian);
    let inet = model.files.get(FileId(3)).and_then(File::socket).and_then(Socket::inet).unwrap();
    assert_eq!(inet.local.known().unwrap().to_string(), "10.0.0.1:8080");
    let regular = model.files.with_path(FileId(1)).and_then(File::regular).unwrap();
    assert_eq!(regular.build_id, Field::Known(vec![1, 2, 3, 4]));
}

/// Three processes: 1 with a second thread 3, the zombie 2, and 4, which is stopped and shares the descriptors of 1.
pub fn dump() -> MemoryFiles {
    let mut images = MemoryFiles::default();
    let inventory = InventoryEntry { img_version: 2, fdinfo_per_id: Some(true), ..Default::default() };
    images.add("inventory.img", &[inventory]);
    images.add("pstree.img", &[pstree(1, 0, &[1, 3]), pstree(2, 1, &[GARBAGE]), pstree(4, 1, &[4])]);
    images.add("core-1.img", &[core(1, 1, b"app", 0)]);
    images.add(
        "core-2.img",
        &[CoreEntry { thread_info: None, thread_core: None, ..core(1, 2, b"gone", 42 << 8) }],
    );
    images.add("core-3.img", &[CoreEntry { tc: None, ..core(1, 1, b"worker", 0) }]);
    images.add("core-4.img", &[core(1, 3, b"halted", 0)]);
    for pid in [1, 4] {
        let ids =
            TaskKobjIdsEntry { files_id: 2, uts_ns_id: Some(9), mnt_ns_id: Some(13), ..Default::default() };
        images.add(&format!("ids-{pid}.img"), &[ids]);
        images.add(&format!("fs-{pid}.img"), &[FsEntry { cwd_id: 9, root_id: 9, umask: Some(18) }]);
    }
    images.add("mm-1.img", &[mm()]);
    images.add("mm-4.img", &[MmEntry { vmas: vec![vma(0x1000, 0x2000, 0x201, 0)], ..mm() }]);
    let open = |fd, id, file_type| FdinfoEntry { fd, id, r#type: file_type, flags: 1, ..Default::default() };
    images.add("fdinfo-2.img", &[open(0, 2, 1), open(3, 3, 4), open(5, 4, 18)]);
    let memfd = MemfdFileEntry { id: 4, inode_id: 5, ..Default::default() };
    let files = [
        FileEntry { r#type: 1, id: 1, reg: Some(regular(1, b"/bin/app")), ..Default::default() },
        FileEntry { r#type: 1, id: 2, reg: Some(regular(2, b"/dev/null")), ..Default::default() },
        FileEntry { r#type: 1, id: 9, reg: Some(regular(9, b"/")), ..Default::default() },
        FileEntry { r#type: 4, id: 3, isk: Some(socket(3)), ..Default::default() },
        FileEntry { r#type: 18, id: 4, memfd: Some(memfd), ..Default::default() },
    ];
    images.add("files.img", &files);
    let inode =
        MemfdInodeEntry { name: b"cache".to_vec(), inode_id: 5, shmid: 77, size: 4096, ..Default::default() };
    images.add("memfd.img", &[inode]);
    images.add("remap-fpath.img", &[RemapFilePathEntry { orig_id: 1, remap_id: 6, remap_type: Some(1) }]);
    images.add("utsns-9.img", &[UtsnsEntry { nodename: b"box".to_vec(), domainname: b"(none)".to_vec() }]);
    images
}

impl MemoryFiles {
    /// Adds an image as CRIU since 1.6 frames it.
    fn add<T: Entry>(&mut self, name: &str, entries: &[T]) {
        self.0.insert(name.to_owned(), image(name, entries, false));
    }
}

pub fn image<T: Entry>(name: &str, entries: &[T], big_endian: bool) -> Vec<u8> {
    let (kind, _) = by_file_name(name.as_bytes()).unwrap();
    let word = |word: u32| if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
    let mut bytes = Vec::new();
    if kind.head != Head::None {
        bytes.extend(word(0x5456_4319));
    }
    bytes.extend(word(kind.magic.unwrap()));
    for entry in entries {
        let message = entry.encode_to_vec();
        bytes.extend(word(message.len() as u32));
        bytes.extend(message);
    }
    bytes
}

fn pstree(pid: u32, ppid: u32, threads: &[u32]) -> PstreeEntry {
    PstreeEntry { pid, ppid, pgid: 1, sid: 1, threads: threads.to_vec() }
}

fn core(mtype: i32, task_state: u32, comm: &[u8], exit_code: u32) -> CoreEntry {
    let tc = TaskCoreEntry {
        task_state,
        exit_code,
        comm: comm.to_vec(),
        stop_signo: (task_state == 3).then_some(19),
        ..Default::default()
    };
    CoreEntry {
        mtype,
        tc: Some(tc),
        thread_info: Some(ThreadInfoX86::default()),
        thread_core: Some(ThreadCoreEntry { comm: Some(comm.to_vec()), ..Default::default() }),
        ..Default::default()
    }
}

fn mm() -> MmEntry {
    MmEntry {
        mm_start_stack: 0x7000_0800,
        exe_file_id: 1,
        mm_saved_auxv: vec![6, 4096, 0, 0],
        vmas: vec![
            vma(0x40_0000, 0x40_1000, 0x41, 1),
            vma(0x50_0000, 0x50_2000, 0x221, 0),
            vma(0x60_0000, 0x60_1000, 0x4081, 4),
            vma(0x7000_0000, 0x7000_1000, 0x201, 0),
        ],
        ..Default::default()
    }
}

fn vma(start: u64, end: u64, status: u32, shmid: u64) -> VmaEntry {
    VmaEntry { start, end, status, shmid, prot: 3, flags: 2, fd: -1, ..Default::default() }
}

fn regular(id: u32, path: &[u8]) -> RegFileEntry {
    RegFileEntry { id, name: path.to_vec(), ..Default::default() }
}

fn socket(id: u32) -> InetSkEntry {
    InetSkEntry {
        id,
        ino: 5005,
        family: 2,
        r#type: 1,
        proto: 6,
        state: 10,
        src_port: 8080,
        src_addr: vec![0x0100_000a],
        dst_addr: vec![0],
        ..Default::default()
    }
}

/// The model in named parts, each as text, to see which ones differ.
fn parts(model: &Model) -> Vec<(String, String)> {
    let mut parts = vec![
        ("inventory".to_owned(), format!("{:?}", model.inventory)),
        ("files".to_owned(), format!("{:?}", model.files.iter().collect::<Vec<_>>())),
        ("host names".to_owned(), format!("{:?}", model.namespaces.uts)),
    ];
    for process in model.processes.iter() {
        let names: Vec<_> = process.mappings().iter().map(|mapping| model.mapping_name(mapping)).collect();
        let of_process = [
            ("parent", format!("{:?} {:?} {:?}", process.ppid, process.pgid, process.sid)),
            (
                "state",
                format!(
                    "{:?} {:?} {:?} {:?}",
                    process.state, process.exit_status, process.command, process.task
                ),
            ),
            ("threads", format!("{:?}", process.threads)),
            ("ids", format!("{:?}", process.ids)),
            ("directories", format!("{:?}", process.directories)),
            ("memory", format!("{:?}", process.memory)),
            ("names", format!("{names:?}")),
            ("open files", format!("{:?}", process.open_files)),
        ];
        parts.extend(of_process.map(|(part, text)| (format!("{} {part}", process.pid), text)));
    }
    parts
}

#[test]
fn addresses_outside_of_mappings_have_none() {
    let (model, _) = Model::load(&dump());
    let memory = model.processes.get(Pid(1)).unwrap().memory.known().unwrap();
    assert_eq!(memory.mapping_at(VirtualAddress(0x40_1000)), None);
    assert_eq!(
        memory.mapping_at(VirtualAddress(0x50_1fff)).map(|mapping| mapping.kind),
        Some(MappingKind::Heap)
    );
}
