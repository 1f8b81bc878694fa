//! How processes are read: pstree.img names them, images of their own describe them.

use std::collections::HashSet;

use criu_images::schema::{CoreEntry, FsEntry, PstreeEntry, TaskKobjIdsEntry};

use super::address_map::AddressMap;
use super::descriptors::{DescriptorTable, DescriptorTables};
use super::files::Files;
use super::images::{Images, Reading, absence, from_part};
use super::leftovers;
use super::namespaces::KernelIds;
use super::process::{Directories, Process};
use super::registers::Registers;
use super::task::Task;
use super::task_state::{ExitStatus, TaskState};
use super::thread::Thread;
use super::tree::ProcessTree;
use super::x86::X86Mode;
use crate::gap::Field;
use crate::ids::Pid;

/// The image that names all processes.
pub(super) const PSTREE: &str = "pstree.img";

/// How many processes and threads without a core image are taken up. A damaged dump lacks fewer; a forged process tree
/// could name any number in a few bytes each.
const MOST_WITHOUT_CORE: usize = 1 << 16;

/// Reads all processes of a dump.
///
/// Without a whole pstree.img, processes that it doesn't name are found by their core images; their parent is unknown.
/// `descriptors_by_id` is what the inventory says of the numbers of descriptor tables.
pub(super) fn load(images: &mut Images<'_>, files: &Files, descriptors_by_id: bool) -> ProcessTree {
    let (entries, mut reading) = images.all::<PstreeEntry>(PSTREE, "process tree");
    // CRIU dumps at least one process.
    let missing = match reading {
        Reading::Absent => Some("the dump has no such image"),
        Reading::Complete if entries.is_empty() => Some("the image ends behind its magic"),
        Reading::Complete | Reading::Damaged(_) => None,
    };
    if let Some(why) = missing {
        images.findings.gap("process tree", PSTREE, format!("{why}: parents of processes are unknown"));
        reading = Reading::Damaged(why.to_owned());
    }
    let mut loader = Loader {
        files,
        descriptors: DescriptorTables::default(),
        descriptors_by_id,
        taken: HashSet::new(),
        without_core: 0,
    };

    // Ids of all processes first: a thread's id that is a process's too must not take its image away.
    let mut pids = HashSet::new();
    let (unique, repeated): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| pids.insert(entry.pid));
    if let Some(first) = repeated.first() {
        let what = format!("{} entries repeat a pid, the first {}", repeated.len(), first.pid);
        images.findings.note(
            what,
            PSTREE,
            "pids are unique: damaged or forged; the first entry of each counts",
        );
    }
    loader.taken.extend(&pids);
    let mut processes: Vec<Process> = unique.iter().filter_map(|entry| loader.named(images, entry)).collect();
    if let Some(more) = loader.without_core.checked_sub(MOST_WITHOUT_CORE).filter(|more| *more > 0) {
        images.findings.gap(
            format!("{more} further processes and threads"),
            PSTREE,
            "they have no core image",
        );
    }

    let mut stray_threads = Vec::new();
    if reading == Reading::Complete {
        leftovers::note(images, &pids, &loader.taken);
    } else {
        let unread = Field::Unreadable(format!("{PSTREE} is missing or damaged"));
        loader.unnamed(images, &unread, &mut processes, &mut stray_threads);
    }
    ProcessTree::new(processes, stray_threads, reading == Reading::Complete, &mut images.findings)
}

struct Loader<'a> {
    files: &'a Files,
    descriptors: DescriptorTables,
    descriptors_by_id: bool,
    /// Ids whose core image is, or will be, a process's or thread's: each is read once, however often it is named.
    taken: HashSet<u32>,
    /// How many processes and threads had no core image so far.
    without_core: usize,
}

impl Loader<'_> {
    /// Reads a process that pstree.img names; `None` when too many have no core image.
    fn named(&mut self, images: &mut Images<'_>, entry: &PstreeEntry) -> Option<Process> {
        let pid = Pid(entry.pid);
        if !self.affords(images, pid) {
            return None;
        }
        let core = core(images, pid, "process");
        let mut process = self.process(images, pid, &core);
        process.ppid = Field::Known(Pid(entry.ppid));
        process.pgid = Field::Known(Pid(entry.pgid));
        process.sid = Field::Known(Pid(entry.sid));
        // A zombie's list of threads holds one uninitialised number.
        if !process.is_zombie() {
            self.threads(images, entry, core.known().is_some(), &mut process.threads);
        }
        Some(process)
    }

    /// Whether a process or thread may be taken up: it has a core image, or not too many before it had none.
    fn affords(&mut self, images: &Images<'_>, id: Pid) -> bool {
        if images.has(&format!("core-{id}.img")) {
            return true;
        }
        self.without_core += 1;
        self.without_core <= MOST_WITHOUT_CORE
    }

    /// Reads what no pstree.img names: a core image with a task part is a process's, others are threads'.
    fn unnamed(
        &mut self,
        images: &mut Images<'_>,
        unread: &Field<()>,
        processes: &mut Vec<Process>,
        stray_threads: &mut Vec<Thread>,
    ) {
        for number in images.numbered("core") {
            if !self.taken.insert(number) {
                continue;
            }
            let id = Pid(number);
            let core = core(images, id, "process or thread");
            if let Field::Known(core @ CoreEntry { tc: None, .. }) = &core {
                stray_threads.push(Thread::from_core(images, id, core));
                continue;
            }
            let mut process = self.process(images, id, &core);
            process.ppid = absence(unread);
            process.pgid = absence(unread);
            process.sid = absence(unread);
            processes.push(process);
        }
        if !stray_threads.is_empty() {
            let what = format!("the processes of {} threads", stray_threads.len());
            images.findings.gap(what, PSTREE, "only this image says which process a thread belongs to");
        }
    }

    /// Reads the images of one process, its leader among the threads. Parent, group and session are left open.
    fn process(&mut self, images: &mut Images<'_>, pid: Pid, core: &Field<CoreEntry>) -> Process {
        let tc = from_part(core, |core| match &core.tc {
            Some(tc) => Field::Known(tc),
            None => Field::Unparsable(format!("core-{pid}.img has no task part")),
        });
        if let (Field::Known(_), Field::Unparsable(why)) = (core, &tc) {
            images.findings.gap(format!("state of process {pid}"), format!("core-{pid}.img"), why);
        }
        let state = from_part(&tc, |tc| Field::Known(TaskState::from_wire(tc.task_state, tc.stop_signo)));
        let zombie = state.known().is_some_and(|state| state.is_zombie());
        let architecture = core.known().map(|core| super::architecture::Architecture::from_wire(core.mtype));
        let mut process = Process {
            pid,
            ppid: Field::NotCaptured,
            pgid: Field::NotCaptured,
            sid: Field::NotCaptured,
            exit_status: match (&tc, zombie) {
                (Field::Known(tc), true) => ExitStatus::from_wait_status(tc.exit_code),
                (Field::Known(_), false) => Field::NotApplicable,
                (other, _) => absence(other),
            },
            state,
            command: from_part(&tc, |tc| Field::Known(tc.comm.clone())),
            task: match (&tc, architecture, zombie) {
                (Field::Known(tc), Some(architecture), false) => {
                    Field::Known(Task::load(images, pid, tc, architecture))
                }
                (Field::Known(_), ..) => Field::NotApplicable,
                (other, ..) => absence(other),
            },
            threads: Vec::new(),
            ids: Field::NotApplicable,
            directories: Field::NotApplicable,
            memory: Field::NotApplicable,
            open_files: Field::NotApplicable,
        };
        if zombie {
            return process;
        }

        let leader = match core {
            Field::Known(core) => Thread::from_core(images, pid, core),
            other => Thread::without_core(pid, other),
        };
        // Of a process without a core image nothing says that it isn't a zombie, which has none of these images.
        let expected = core.known().is_some();
        process.memory = AddressMap::load(images, pid, is_packed(&leader), expected, self.files);
        process.directories = directories(images, pid, expected);
        process.ids = self.ids(images, pid, core);
        process.open_files = self.open_files(images, pid, &process.ids);
        process.threads.push(leader);
        process
    }

    /// Adds the threads beside the leader.
    fn threads(
        &mut self,
        images: &mut Images<'_>,
        entry: &PstreeEntry,
        expected: bool,
        threads: &mut Vec<Thread>,
    ) {
        let mut repeated = 0_u64;
        for tid in entry.threads.iter().copied().filter(|tid| *tid != entry.pid) {
            // Without the leader's core image this may be a zombie, and the number a random one.
            if !expected && !images.has(&format!("core-{tid}.img")) {
                continue;
            }
            if !self.taken.insert(tid) {
                repeated += 1;
                continue;
            }
            let tid = Pid(tid);
            if !self.affords(images, tid) {
                continue;
            }
            threads.push(match core(images, tid, "thread") {
                Field::Known(core) => Thread::from_core(images, tid, &core),
                other => Thread::without_core(tid, &other),
            });
        }
        if repeated > 0 {
            let what =
                format!("{repeated} threads of process {} have ids that are in use already", entry.pid);
            images.findings.note(
                what,
                PSTREE,
                "ids are unique: damaged or forged; the first use of each counts",
            );
        }
    }

    /// From `ids-PID.img`, which repeats what the core image has.
    fn ids(&self, images: &mut Images<'_>, pid: Pid, core: &Field<CoreEntry>) -> Field<KernelIds> {
        let name = format!("ids-{pid}.img");
        let what = format!("namespaces of process {pid}");
        let ids = images.first::<TaskKobjIdsEntry>(&name, &what).map(|ids| KernelIds::from_wire(&ids));
        let in_core = core.known().and_then(|core| core.ids.as_ref());
        match (ids, in_core) {
            (Field::Known(ids), _) => Field::Known(ids),
            (_, Some(ids)) => Field::Known(KernelIds::from_wire(ids)),
            (Field::NotCaptured, None) if self.descriptors_by_id && core.known().is_some() => {
                images.findings.gap(&what, &name, "the dump has no such image");
                Field::Unreadable(format!("{name} is missing"))
            }
            (other, None) => other,
        }
    }

    fn open_files(
        &mut self,
        images: &mut Images<'_>,
        pid: Pid,
        ids: &Field<KernelIds>,
    ) -> Field<DescriptorTable> {
        match ids {
            Field::Known(ids) => self.descriptors.table(images, ids.files),
            Field::NotCaptured if !self.descriptors_by_id && images.has(&format!("fdinfo-{pid}.img")) => {
                self.descriptors.table(images, pid.0)
            }
            other => absence(other),
        }
    }
}

/// Reads a core image. Its absence is a gap.
fn core(images: &mut Images<'_>, id: Pid, what: &str) -> Field<CoreEntry> {
    let name = format!("core-{id}.img");
    let what = format!("state and registers of {what} {id}");
    match images.first::<CoreEntry>(&name, &what) {
        Field::NotCaptured => {
            images.findings.gap(what, &name, "the dump has no such image");
            Field::Unreadable(format!("{name} is missing"))
        }
        other => other,
    }
}

fn directories(images: &mut Images<'_>, pid: Pid, expected: bool) -> Field<Directories> {
    let name = format!("fs-{pid}.img");
    let what = format!("directories of process {pid}");
    match images.first::<FsEntry>(&name, &what) {
        Field::NotCaptured => {
            if expected {
                images.findings.gap(what, &name, "the dump has no such image");
            }
            Field::Unreadable(format!("{name} is missing"))
        }
        other => other.map(|fs| Directories {
            working: crate::ids::FileId(fs.cwd_id),
            root: crate::ids::FileId(fs.root_id),
            umask: fs.umask.into(),
        }),
    }
}

/// Whether the auxiliary vector is that of a 32-bit task on a 64-bit kernel; `None` when its mode is unknown.
fn is_packed(leader: &Thread) -> Option<bool> {
    match leader.registers.known()? {
        Registers::X86(x86) => match x86.mode {
            X86Mode::Native => Some(false),
            X86Mode::Compat => Some(true),
            X86Mode::Unknown(_) => None,
        },
        Registers::Aarch64(_) | Registers::Other(_) => Some(false),
    }
}
