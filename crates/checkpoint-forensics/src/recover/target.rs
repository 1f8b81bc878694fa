//! From what is asked for to what holds its bytes.

use std::collections::HashSet;
use std::ops::Range;

use container_checkpoint::ids::{FileId, Pid};
use container_checkpoint::model::{Deleted, File, FileKind, RegularFile};

use super::{Choice, NotThere};
use crate::LookedAt;
use crate::stores::{Class, Classes, Facts, Kind, Store};

/// Something whose bytes are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Ghost(u32),
    Shared(u64),
    /// All memory files.
    MemoryFiles,
    /// All ghost files.
    Ghosts,
    /// A file of an archive, by its path in the container, and what it was called if that is another path.
    Path {
        path: Vec<u8>,
        title: Vec<u8>,
    },
    Pipe(u32),
    Fifo(u32),
    /// All that waits at a socket: by file id, and of TCP by inode.
    Socket(u32, Option<u32>),
    Terminal(u32),
    BpfMap(u32),
    /// A store of the class of queues by its name, or the start of it.
    Queue(String),
    /// Memory of a process: a range that was asked for.
    Memory(Pid, Range<u64>),
    /// A file as a process has it mapped; taken only when no archive has it.
    Mapped {
        pid: Pid,
        file: FileId,
        path: Vec<u8>,
    },
}

impl Target {
    /// Whether a store is what is wanted.
    pub(super) fn is(&self, store: &Store, facts: &Facts) -> bool {
        match (self, &store.kind) {
            (Self::Ghost(id), Kind::Ghost(other)) => id == other,
            (Self::Ghosts, Kind::Ghost(_)) => true,
            (Self::Shared(id), Kind::Shared(other)) => *id == other.0,
            (Self::MemoryFiles, Kind::Shared(id)) => facts.is_memory_file(*id),
            (Self::Path { path, .. }, Kind::Archived(_)) => facts.title(store).as_ref() == Some(path),
            (Self::Pipe(id), Kind::Pipe(other)) | (Self::Fifo(id), Kind::Fifo(other)) => id == other,
            (Self::Socket(id, _), Kind::Packets { socket, .. }) => id == socket,
            (Self::Socket(_, inode), Kind::TcpReceived(other) | Kind::TcpSent(other)) => {
                *inode == Some(*other)
            }
            (Self::Terminal(id), Kind::Terminal { id: other, .. }) => id == other,
            (Self::BpfMap(id), Kind::MapKeys(other) | Kind::MapValues(other)) => id == other,
            (Self::Queue(name), _) if store.class() == Class::Queues => {
                let own = store.name();
                let rest = own.strip_prefix(name.as_bytes());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b":"))
            }
            _ => false,
        }
    }

    /// The classes of stores that have to be read for it.
    pub(super) fn classes(&self) -> Classes {
        let classes: &[Class] = match self {
            Self::Ghost(_) | Self::Ghosts => &[Class::Files],
            Self::Path { .. } => &[Class::Files, Class::Rootfs],
            Self::Shared(_) | Self::MemoryFiles | Self::Memory(..) | Self::Mapped { .. } => &[],
            Self::Pipe(_)
            | Self::Fifo(_)
            | Self::Socket(..)
            | Self::Terminal(_)
            | Self::BpfMap(_)
            | Self::Queue(_) => &[Class::Queues],
        };
        classes.iter().copied().collect()
    }

    /// What it is called when nothing is there, and why that may be.
    pub(super) fn absent(&self) -> Option<NotThere> {
        let (what, why): (Vec<u8>, &str) = match self {
            Self::Ghost(id) => (format!("ghost file {id:x}").into_bytes(), "the dump has no such file"),
            Self::Shared(id) => (format!("shared object {id}").into_bytes(), "the dump has no such object"),
            Self::Path { title, .. } => (
                title.clone(),
                "not among the files in the evidence: as it is in the container's image, or lost",
            ),
            Self::Pipe(id) => (format!("pipe {id}").into_bytes(), "nothing was in it"),
            Self::Fifo(id) => (format!("named pipe {id}").into_bytes(), "nothing was in it"),
            Self::Socket(id, _) => (format!("socket {id}").into_bytes(), "nothing waited at it"),
            Self::Terminal(id) => (format!("terminal {id:#x}").into_bytes(), "nothing waited at it"),
            Self::BpfMap(id) => (format!("BPF map {id}").into_bytes(), "the dump has no contents of it"),
            Self::Queue(name) => {
                (name.clone().into_bytes(), "the dump has no such queue, or nothing was in it")
            }
            Self::Ghosts | Self::MemoryFiles | Self::Memory(..) | Self::Mapped { .. } => return None,
        };
        Some(NotThere { what, why: why.to_owned() })
    }
}

/// The targets of some choices, each once, and what leads nowhere.
pub(super) fn targets(looked_at: LookedAt<'_>, choices: &[Choice]) -> (Vec<Target>, Vec<NotThere>) {
    let mut all = Vec::new();
    let mut nowhere = Vec::new();
    for choice in choices {
        match choice {
            Choice::Ghost(id) => all.push(Target::Ghost(*id)),
            Choice::Shared(id) => all.push(Target::Shared(*id)),
            Choice::Queue(name) => all.push(Target::Queue(name.clone())),
            Choice::Memory(pid, range) => all.push(Target::Memory(*pid, range.clone())),
            Choice::Everything => {
                all.extend([Target::Ghosts, Target::MemoryFiles]);
                all.extend(
                    looked_at.model.files.iter().filter_map(|file| linked(looked_at, file.regular()?)),
                );
            }
            Choice::Descriptor(pid, fd) => match descriptor(looked_at, *pid, *fd) {
                Ok(target) => all.push(target),
                Err(why) => nowhere
                    .push(NotThere { what: format!("descriptor {fd} of process {pid}").into_bytes(), why }),
            },
            Choice::Executable(chosen) => {
                let pids: Vec<Pid> = match chosen {
                    Some(pid) => vec![*pid],
                    None => looked_at.model.processes.iter().map(|process| process.pid).collect(),
                };
                for pid in pids {
                    match executable(looked_at, pid) {
                        Ok(targets) => all.extend(targets),
                        Err(why) if chosen.is_some() => nowhere.push(NotThere {
                            what: format!("executable of process {pid}").into_bytes(),
                            why,
                        }),
                        Err(_) => {} // a zombie has none
                    }
                }
            }
        }
    }
    let mut seen = HashSet::new();
    let mut mapped = HashSet::new();
    all.retain(|target| match target {
        // Of a file that several processes run from, the first one's pages will do.
        Target::Mapped { file, .. } => mapped.insert(*file),
        target => seen.insert(target.clone()),
    });
    (all, nowhere)
}

fn descriptor(looked_at: LookedAt<'_>, pid: Pid, fd: u32) -> Result<Target, String> {
    let process = looked_at.model.processes.get(pid).ok_or("the dump has no such process")?;
    let table = process.open_files.known().ok_or("its descriptors can't be had")?;
    let open = table.iter().find(|open| open.fd == fd).ok_or("the process has no such descriptor")?;
    let file = looked_at.model.files.of_descriptor(open).ok_or("the table of files lacks it")?;
    of_file(looked_at, file)
        .ok_or_else(|| format!("a file of type {} has no contents in a dump", file.file_type()))
}

fn of_file(looked_at: LookedAt<'_>, file: &File) -> Option<Target> {
    Some(match &file.kind {
        FileKind::Regular(regular) => return of_regular(looked_at, regular),
        FileKind::Pipe(pipe) => Target::Pipe(pipe.pipe_id),
        FileKind::Fifo(fifo) => Target::Fifo(fifo.pipe_id),
        FileKind::Socket(socket) => {
            let inode = socket.inode.known().filter(|_| socket.stream_image().is_some());
            Target::Socket(file.id.0, inode.copied())
        }
        FileKind::Tty(tty) => Target::Terminal(tty.terminal_id),
        FileKind::Memfd(memfd) => Target::Shared(u64::from(memfd.inode.known()?.shmid)),
        FileKind::BpfMap(map) => Target::BpfMap(map.map_id),
        _ => return None,
    })
}

fn of_regular(looked_at: LookedAt<'_>, regular: &RegularFile) -> Option<Target> {
    match regular.deleted {
        Some(Deleted::Ghost { id }) => Some(Target::Ghost(id)),
        Some(Deleted::Linked { .. }) => linked(looked_at, regular),
        Some(Deleted::ProcessDirectory { .. } | Deleted::Unknown { .. }) => None,
        None => Some(Target::Path { path: regular.path.clone(), title: regular.path.clone() }),
    }
}

/// A deleted file that CRIU gave another name, under which an archive of files has it.
fn linked(looked_at: LookedAt<'_>, regular: &RegularFile) -> Option<Target> {
    let Some(Deleted::Linked { file }) = regular.deleted else { return None };
    let path = looked_at.model.files.with_path(file)?.regular()?.path.clone();
    Some(Target::Path { path, title: regular.path.clone() })
}

/// The executable of a process: what holds it, and its mapped pages where it was not deleted.
fn executable(looked_at: LookedAt<'_>, pid: Pid) -> Result<Vec<Target>, String> {
    let process = looked_at.model.processes.get(pid).ok_or("the dump has no such process")?;
    let id = *process.executable().known().ok_or("the dump does not say what it runs from")?;
    let file = looked_at.model.files.get(id).ok_or("the table of files lacks it")?;
    let target = of_file(looked_at, file).ok_or("the dump does not say where its contents are")?;
    let mapped = match &target {
        Target::Path { path, .. } => Some(Target::Mapped { pid, file: id, path: path.clone() }),
        _ => None,
    };
    Ok([Some(target), mapped].into_iter().flatten().collect())
}
