//! One process: what it was, what it had open, where it was.

use super::address_map::AddressMap;
use super::credentials::Credentials;
use super::descriptors::DescriptorTable;
use super::images::{absence, from_part};
use super::mapping::Mapping;
use super::namespaces::KernelIds;
use super::task::Task;
use super::task_state::{ExitStatus, TaskState};
use super::thread::Thread;
use crate::gap::Field;
use crate::ids::{FileId, Pid};

/// A process of the dump, living or a zombie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id in the innermost pid namespace of the dumped tree.
    pub pid: Pid,
    /// Its parent; 0 for the root, whose parent lies outside of the dump.
    pub ppid: Field<Pid>,
    /// Its process group. May lie outside of the dump.
    pub pgid: Field<Pid>,
    /// Its session. May lie outside of the dump.
    pub sid: Field<Pid>,
    /// Alive, stopped, zombie.
    pub state: Field<TaskState>,
    /// How a zombie ended; not applicable to others.
    pub exit_status: Field<ExitStatus>,
    /// Its name, `/proc/PID/comm`: at most 15 bytes, raw, possibly cut inside a character.
    pub command: Field<Vec<u8>>,
    /// Signals, limits, timers, settings. Of a zombie next to nothing is left of them.
    pub task: Field<Task>,
    /// Its threads, the leader first. A zombie has none.
    pub threads: Vec<Thread>,
    /// Numbers of what it has and shares: namespaces, descriptor table ...
    pub ids: Field<KernelIds>,
    /// Working directory, root directory, umask.
    pub directories: Field<Directories>,
    /// Its address space.
    pub memory: Field<AddressMap>,
    /// Its open descriptors.
    pub open_files: Field<DescriptorTable>,
}

/// Where a process was (`fs_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// Working directory.
    pub working: FileId,
    /// Root directory.
    pub root: FileId,
    /// Permissions that new files don't get (CRIU 0.4 and later).
    pub umask: Field<u32>,
}

impl Process {
    /// Whether nothing is left of it but its exit status.
    pub fn is_zombie(&self) -> bool {
        self.state.known().is_some_and(|state| state.is_zombie())
    }

    /// The main thread.
    pub fn leader(&self) -> Option<&Thread> {
        self.threads.first().filter(|thread| thread.tid == self.pid)
    }

    /// The thread of this id.
    pub fn thread(&self, tid: Pid) -> Option<&Thread> {
        self.threads.iter().find(|thread| thread.tid == tid)
    }

    /// Its executable, `/proc/PID/exe`, in the table of files.
    pub fn executable(&self) -> Field<FileId> {
        from_part(&self.memory, |memory| Field::Known(memory.executable))
    }

    /// Its working directory in the table of files.
    pub fn working_directory(&self) -> Field<FileId> {
        from_part(&self.directories, |directories| Field::Known(directories.working))
    }

    /// Its root directory in the table of files.
    pub fn root_directory(&self) -> Field<FileId> {
        from_part(&self.directories, |directories| Field::Known(directories.root))
    }

    /// Its umask.
    pub fn umask(&self) -> Field<u32> {
        from_part(&self.directories, |directories| directories.umask.clone())
    }

    /// Credentials of its main thread.
    pub fn credentials(&self) -> Field<&Credentials> {
        self.of_leader(|leader| &leader.credentials)
    }

    /// Niceness of its main thread.
    pub fn nice(&self) -> Field<i32> {
        self.of_leader(|leader| &leader.nice).map(|nice| *nice)
    }

    /// Its mappings, ascending and disjoint; none when they can't be had.
    pub fn mappings(&self) -> &[Mapping] {
        self.memory.known().map_or(&[], |memory| &memory.mappings)
    }

    /// Bytes in a page of its machine: from the auxiliary vector, or fixed for the architecture.
    pub fn page_size(&self) -> Field<u64> {
        let fixed = self.leader().and_then(|leader| leader.architecture.known()?.fixed_page_size());
        match (&self.memory, fixed) {
            (Field::Known(memory), _) if memory.auxv.page_size().is_some() => memory.auxv.page_size().into(),
            (_, Some(size)) => Field::Known(size),
            (Field::Known(_), None) => Field::Unparsable(
                "the auxiliary vector holds no page size that a machine can have".to_owned(),
            ),
            (other, None) => absence(other),
        }
    }

    fn of_leader<'a, T>(&'a self, field: impl FnOnce(&'a Thread) -> &'a Field<T>) -> Field<&'a T> {
        match self.leader().map(field) {
            Some(Field::Known(value)) => Field::Known(value),
            Some(other) => absence(other),
            None => Field::NotApplicable,
        }
    }
}
