//! One store: a run of bytes that belongs together, and what it is.

use std::ops::Range;
use std::sync::Arc;

use container_checkpoint::ids::Pid;
use container_checkpoint::model::SharedObjectId;
use container_checkpoint::payloads::Owner;

use super::class::{Class, Classes};
use crate::rootfs::StoreKind;

/// What a store is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A shared object.
    Shared(SharedObjectId),
    /// A deleted file, by the number of its ghost file.
    Ghost(u32),
    /// A file in an archive of files: of the root file system, a volume, `/dev/shm`, a tmpfs mount.
    Archived(StoreKind),
    /// What is in a pipe.
    Pipe(u32),
    /// What is in a named pipe.
    Fifo(u32),
    /// What a socket received and nobody read yet: all of a stream, one message else.
    Packets {
        /// The socket's file id.
        socket: u32,
        /// The number of the first packet in the socket's queue.
        first: u64,
    },
    /// What a TCP connection received and nobody read yet, by the socket's inode.
    TcpReceived(u32),
    /// What was sent on a TCP connection and not acknowledged yet, by the socket's inode.
    TcpSent(u32),
    /// What a terminal holds unread.
    Terminal {
        /// The terminal's number in the dump.
        id: u32,
        /// The number of the entry in its image.
        number: u64,
    },
    /// A message in a System V queue.
    Message {
        /// The queue.
        queue: u32,
        /// The message's number in it.
        number: u64,
    },
    /// The keys of a BPF map.
    MapKeys(u32),
    /// The values of a BPF map.
    MapValues(u32),
    /// A register of a thread.
    Register {
        /// The process.
        pid: Pid,
        /// The thread.
        tid: Pid,
        /// The register's name, in CRIU's spelling: `r12`, `xmm14`.
        name: String,
    },
    /// A log.
    Log,
    /// A file of engine metadata.
    Metadata,
}

/// A run of bytes that belongs together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    /// What it is.
    pub kind: Kind,
    /// The path of the member of the evidence that holds its bytes, or for a shared object that says where they are.
    pub member: Arc<[u8]>,
    /// When that member is an archive: the path of the file in it, as stored but for a leading `./`.
    pub inner: Option<Arc<[u8]>>,
}

impl Store {
    /// A shared object.
    pub fn of_object(id: SharedObjectId) -> Self {
        let member = Arc::from(format!("pagemap-shmem-{}.img", id.0).into_bytes());
        Self { kind: Kind::Shared(id), member, inner: None }
    }

    /// The class that it is of. Memory files are of [`Class::Files`] too: [`Store::is_in`] knows that.
    pub fn class(&self) -> Class {
        match &self.kind {
            Kind::Shared(_) => Class::Shared,
            Kind::Ghost(_) => Class::Files,
            Kind::Archived(archive) => class_of(archive),
            Kind::Pipe(_)
            | Kind::Fifo(_)
            | Kind::Packets { .. }
            | Kind::TcpReceived(_)
            | Kind::TcpSent(_)
            | Kind::Terminal { .. }
            | Kind::Message { .. }
            | Kind::MapKeys(_)
            | Kind::MapValues(_) => Class::Queues,
            Kind::Register { .. } => Class::Registers,
            Kind::Log => Class::Logs,
            Kind::Metadata => Class::Metadata,
        }
    }

    /// Whether it is of one of these classes; `is_memory_file` says of a shared object whether it is one.
    pub fn is_in(&self, classes: Classes, is_memory_file: bool) -> bool {
        classes.has(self.class()) || (is_memory_file && classes.has(Class::Files))
    }

    /// The name by which it is chosen: `ghost:6`, `pipe:462038`, `packets:12:0`, `register:24:xmm14`, `rootfs:etc/passwd`, a log's member. Bytes: names of files
    /// come from the evidence.
    pub fn name(&self) -> Vec<u8> {
        let text = match &self.kind {
            Kind::Archived(archive) => {
                let top = archive.name();
                return [&top, b":".as_slice(), self.inner.as_deref().unwrap_or_default()].concat();
            }
            Kind::Log | Kind::Metadata => return self.member.to_vec(),
            Kind::Shared(id) => format!("shared:{}", id.0),
            Kind::Ghost(id) => format!("ghost:{id:x}"),
            Kind::Pipe(id) => format!("pipe:{id}"),
            Kind::Fifo(id) => format!("fifo:{id}"),
            Kind::Packets { socket, first } => format!("packets:{socket}:{first}"),
            Kind::TcpReceived(inode) => format!("tcp-received:{inode:x}"),
            Kind::TcpSent(inode) => format!("tcp-sent:{inode:x}"),
            Kind::Terminal { id, number } => format!("tty:{id}:{number}"),
            Kind::Message { queue, number } => format!("message:{queue}:{number}"),
            Kind::MapKeys(id) => format!("bpf-keys:{id}"),
            Kind::MapValues(id) => format!("bpf-values:{id}"),
            Kind::Register { tid, name, .. } => format!("register:{tid}:{name}"),
        };
        text.into_bytes()
    }
}

/// The class of the files in an archive.
pub(super) fn class_of(archive: &StoreKind) -> Class {
    match archive {
        StoreKind::Rootfs | StoreKind::Volume(_) => Class::Rootfs,
        StoreKind::DevShm | StoreKind::TmpfsDevice(_) | StoreKind::TmpfsMount(_) => Class::Files,
    }
}

/// What a payload is as a store; `number` is the one in the image's name.
pub(super) fn kind_of(owner: Owner, number: u32) -> Kind {
    match owner {
        Owner::Pipe(id) => Kind::Pipe(id),
        Owner::Fifo(id) => Kind::Fifo(id),
        Owner::Packet { socket, number } => Kind::Packets { socket, first: number },
        Owner::TcpReceived => Kind::TcpReceived(number),
        Owner::TcpSent => Kind::TcpSent(number),
        Owner::Terminal { id, number } => Kind::Terminal { id, number },
        Owner::Message { queue, number } => Kind::Message { queue, number },
        Owner::MapKeys(id) => Kind::MapKeys(id),
        Owner::MapValues(id) => Kind::MapValues(id),
        Owner::Ghost => Kind::Ghost(number),
    }
}

/// Some bytes of a store.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Their place in the store, in bytes.
    pub at: u64,
    /// Where they are in the evidence: their offset in the member; in the file for a file of an archive; in [`Chunk::pages`] for a shared object. Of a register
    /// always 0: it is stored as numbers, not as bytes.
    pub offset: u64,
    /// Of a shared object: the page image, and how many dumps back it is.
    pub pages: Option<(&'a str, usize)>,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// Sees stores, one after another.
pub trait Sink {
    /// A store begins. `Break` when nothing of it is wanted.
    fn begin(&mut self, store: &Store) -> std::ops::ControlFlow<()> {
        let _ = store;
        std::ops::ControlFlow::Continue(())
    }

    /// Bytes of it, ascending. They go on where the ones before ended, or there is a hole, over which nothing is to be joined. `Break` when no more of it is wanted.
    fn bytes(&mut self, store: &Store, chunk: Chunk<'_>) -> std::ops::ControlFlow<()>;

    /// Whether what was shown is to be listed in the [`Part`](super::Part): a sink that needs no list spares its memory.
    fn wants_list(&self) -> bool {
        true
    }

    /// It ended.
    fn end(&mut self, store: &Store, contents: &Contents) {
        let _ = (store, contents);
    }
}

impl<F: FnMut(&Store, Chunk<'_>) -> std::ops::ControlFlow<()>> Sink for F {
    fn bytes(&mut self, store: &Store, chunk: Chunk<'_>) -> std::ops::ControlFlow<()> {
        self(store, chunk)
    }
}

/// What a store turned out to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its length in bytes, with all that is not there.
    pub len: u64,
    /// Where it was never written to, and reads as zeros. At most [`Contents::HOLES_MAX`] are listed.
    pub holes: Vec<Range<u64>>,
    /// How many holes are not listed.
    pub more_holes: u64,
    /// What should be there and can't be had, ascending.
    pub lacks: Vec<Lack>,
}

/// Bytes that can't be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Which of the store.
    pub range: Range<u64>,
    /// Why.
    pub why: String,
}

impl Contents {
    /// The most holes of a store that are listed: a hostile one may have as many as it has bytes.
    pub const HOLES_MAX: usize = 100_000;

    /// How many bytes can't be had.
    pub fn lacking(&self) -> u64 {
        self.lacks.iter().map(|lack| lack.range.end - lack.range.start).sum()
    }

    pub(crate) fn hole(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        if self.holes.len() < Self::HOLES_MAX { self.holes.push(range) } else { self.more_holes += 1 }
    }

    pub(crate) fn lack(&mut self, range: Range<u64>, why: impl Into<String>) {
        if range.start >= range.end {
            return;
        }
        let why = why.into();
        match self.lacks.last_mut() {
            Some(last) if last.range.end == range.start && last.why == why => last.range.end = range.end,
            _ => self.lacks.push(Lack { range, why }),
        }
    }
}
