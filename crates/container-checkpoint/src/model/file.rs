//! One open or mapped file: what kind of thing it is, and what the images say of it.

use super::file_type::FileType;
use super::memfd::MemfdFile;
use super::socket::Socket;
use super::tty::TtyFile;
use super::watches::{EpollWatch, FanotifyMark, InotifyWatch};
use crate::gap::Field;
use crate::ids::{FileId, Pid};

/// A file of the dump: opened by a descriptor, mapped, executed, or somebody's directory (`file_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its id, unique in the dump.
    pub id: FileId,
    /// What it is.
    pub kind: FileKind,
    /// Who is signalled when it becomes ready (`F_SETOWN`); `None` when nobody is, or the kind can't.
    pub owner: Option<SignalOwner>,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file with a path: also devices, directories, files of `/proc`.
    Regular(Box<RegularFile>),
    /// One end of a pipe.
    Pipe(Pipe),
    /// A named pipe.
    Fifo(Fifo),
    /// A socket of any family.
    Socket(Box<Socket>),
    /// An eventfd(2).
    Eventfd(Eventfd),
    /// An epoll(7) instance.
    Epoll(Epoll),
    /// An inotify(7) instance.
    Inotify(Inotify),
    /// A fanotify(7) group.
    Fanotify(Box<Fanotify>),
    /// A signalfd(2).
    Signalfd(Signalfd),
    /// A timerfd_create(2).
    Timerfd(Box<Timerfd>),
    /// A terminal.
    Tty(Box<TtyFile>),
    /// A file of memfd_create(2), or what CRIU dumps as one.
    Memfd(Box<MemfdFile>),
    /// A pidfd_open(2).
    Pidfd(Pidfd),
    /// A BPF map.
    BpfMap(Box<BpfMap>),
    /// A TUN or TAP device.
    Tun(Box<Tun>),
    /// A file of `/proc/PID/ns`.
    Namespace(NamespaceFile),
    /// A file that something outside of CRIU restores.
    External,
    /// A type that is not known here, or an entry that lacks the part that its type needs.
    Unknown(FileType),
}

/// A file with a path (`reg_file_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegularFile {
    /// Absolute path in the mount namespace of the task, as raw bytes; of a deleted file the one that it had, without
    /// ` (deleted)`.
    pub path: Vec<u8>,
    /// `O_*`, in the numbering of the dumped architecture.
    pub flags: u32,
    /// Position in bytes.
    pub position: u64,
    /// Size in bytes, for plain files.
    pub size: Field<u64>,
    /// Type and permissions, `st_mode`.
    pub mode: Field<u32>,
    /// The mount that it is on: `mnt_entry.mnt_id`.
    pub mount: Field<u32>,
    /// Its ELF build id as bytes, as readelf(1) prints it; for executables and libraries (CRIU 3.15 and later).
    pub build_id: Field<Vec<u8>>,
    /// Whether something outside of CRIU restores it.
    pub external: bool,
    /// Where the content is when the path is gone.
    pub deleted: Option<Deleted>,
}

/// Where the content of a file is whose path is gone (`remap_file_path_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// In a ghost file: `ghost-file-ID.img`, the id in lower-case hexadecimal.
    Ghost {
        /// The ghost file's number.
        id: u32,
    },
    /// In a file that CRIU linked beside it (`link_remap.N`).
    Linked {
        /// That file.
        file: FileId,
    },
    /// Nowhere: it belongs to a dead process's directory in `/proc`.
    ProcessDirectory {
        /// The dead process.
        pid: Pid,
    },
    /// A kind of remapping that is not known here.
    Unknown {
        /// The kind's number.
        kind: i32,
        /// What it remaps to.
        id: u32,
    },
}

/// One end of a pipe (`pipe_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipe {
    /// The pipe's inode number, which both ends share.
    pub pipe_id: u32,
    /// `O_*`: the lowest two bits tell the end (0 reads, 1 writes).
    pub flags: u32,
    /// Owner (CRIU 4.3 and later).
    pub uid: Field<u32>,
    /// Group (CRIU 4.3 and later).
    pub gid: Field<u32>,
}

/// A named pipe (`fifo_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fifo {
    /// The pipe's number, which its data in fifo-data.img has too.
    pub pipe_id: u32,
    /// The entry that has path and flags.
    pub path: FileId,
}

/// An eventfd (`eventfd_file_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eventfd {
    /// `O_*`.
    pub flags: u32,
    /// The counter.
    pub counter: u64,
}

/// An epoll instance (`eventpoll_file_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoll {
    /// `O_*`.
    pub flags: u32,
    /// What it watches.
    pub watches: Vec<EpollWatch>,
}

/// An inotify instance (`inotify_file_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inotify {
    /// `O_*`.
    pub flags: u32,
    /// What it watches.
    pub watches: Vec<InotifyWatch>,
}

/// A fanotify group (`fanotify_file_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fanotify {
    /// `O_*`.
    pub flags: u32,
    /// `FAN_*` of fanotify_init(2).
    pub group_flags: u32,
    /// `O_*` of the files that events bring.
    pub event_flags: u32,
    /// What it marks.
    pub marks: Vec<FanotifyMark>,
}

/// A signalfd (`signalfd_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signalfd {
    /// `O_*`.
    pub flags: u32,
    /// The signals that it takes: bit n - 1 is signal n.
    pub mask: u64,
}

/// A timerfd (`timerfd_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timerfd {
    /// `O_*`.
    pub flags: u32,
    /// `CLOCK_*`.
    pub clock: u32,
    /// Expirations not read yet.
    pub ticks: u64,
    /// `TFD_TIMER_*` that it was set with.
    pub set_flags: u32,
    /// Time until it fires, counted from the dump even if it was set to a point in time.
    pub value: super::timers::Span,
    /// What it is set to after firing.
    pub interval: super::timers::Span,
}

/// A pidfd (`pidfd_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pidfd {
    /// Inode number.
    pub inode: u32,
    /// `O_*`.
    pub flags: u32,
    /// The process in its innermost pid namespace; -1 when it is dead.
    pub process: i32,
}

/// A BPF map (`bpfmap_file_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BpfMap {
    /// `O_*`.
    pub flags: u32,
    /// The map's name.
    pub name: Vec<u8>,
    /// The map's number, which bpfmap-data.img has too.
    pub map_id: u32,
    /// `BPF_MAP_TYPE_*`.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// How many entries it can have.
    pub most_entries: u32,
    /// Whether it is read-only for programs.
    pub frozen: bool,
}

/// A descriptor of a TUN or TAP device (`tunfile_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tun {
    /// The network device.
    pub device: Field<Vec<u8>>,
    /// Whether its queue is detached.
    pub detached: bool,
    /// The network namespace's number in this dump.
    pub namespace: Field<u32>,
}

/// A file of `/proc/PID/ns` (`ns_file_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceFile {
    /// The namespace's number in this dump.
    pub namespace: u32,
    /// `CLONE_NEW*` of its kind.
    pub kind: u32,
    /// `O_*`.
    pub flags: u32,
}

/// Who is signalled when a descriptor becomes ready (`fown_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalOwner {
    /// The process or group.
    pub pid: Pid,
    /// The kernel's `enum pid_type`: 0 a thread, 1 a process, 2 a group.
    pub pid_type: u32,
    /// The signal; 0 is SIGIO.
    pub signal: u32,
    /// Real user at F_SETOWN.
    pub uid: u32,
    /// Effective user at F_SETOWN.
    pub euid: u32,
}

impl File {
    /// The type by CRIU's number.
    pub fn file_type(&self) -> FileType {
        match &self.kind {
            FileKind::Regular(_) => FileType::REG,
            FileKind::Pipe(_) => FileType::PIPE,
            FileKind::Fifo(_) => FileType::FIFO,
            FileKind::Socket(socket) => socket.file_type(),
            FileKind::Eventfd(_) => FileType::EVENTFD,
            FileKind::Epoll(_) => FileType::EVENTPOLL,
            FileKind::Inotify(_) => FileType::INOTIFY,
            FileKind::Fanotify(_) => FileType::FANOTIFY,
            FileKind::Signalfd(_) => FileType::SIGNALFD,
            FileKind::Timerfd(_) => FileType::TIMERFD,
            FileKind::Tty(_) => FileType::TTY,
            FileKind::Memfd(_) => FileType::MEMFD,
            FileKind::Pidfd(_) => FileType::PIDFD,
            FileKind::BpfMap(_) => FileType::BPFMAP,
            FileKind::Tun(_) => FileType::TUNF,
            FileKind::Namespace(_) => FileType::NS,
            FileKind::External => FileType::EXT,
            FileKind::Unknown(file_type) => *file_type,
        }
    }

    /// The file as crit and checkpointctl name it: a path, `pipe[462038]`, `unix[462104 (462103) NAME]` with the name's
    /// raw bytes, `TYPE.ID` for all others.
    pub fn text(&self) -> Vec<u8> {
        match &self.kind {
            FileKind::Regular(file) => file.path.clone(),
            FileKind::Pipe(pipe) => format!("pipe[{}]", pipe.pipe_id).into_bytes(),
            FileKind::Socket(socket) => {
                socket.unix_text().unwrap_or_else(|| file_text(self.file_type(), self.id).into_bytes())
            }
            _ => file_text(self.file_type(), self.id).into_bytes(),
        }
    }

    /// `O_*` flags that it was opened with, where the image keeps them in this entry.
    pub fn flags(&self) -> Option<u32> {
        match &self.kind {
            FileKind::Regular(file) => Some(file.flags),
            FileKind::Pipe(pipe) => Some(pipe.flags),
            FileKind::Socket(socket) => Some(socket.flags),
            FileKind::Eventfd(file) => Some(file.flags),
            FileKind::Epoll(file) => Some(file.flags),
            FileKind::Inotify(file) => Some(file.flags),
            FileKind::Fanotify(file) => Some(file.flags),
            FileKind::Signalfd(file) => Some(file.flags),
            FileKind::Timerfd(file) => Some(file.flags),
            FileKind::Tty(file) => Some(file.flags),
            FileKind::Memfd(file) => Some(file.flags),
            FileKind::Pidfd(file) => Some(file.flags),
            FileKind::BpfMap(file) => Some(file.flags),
            FileKind::Namespace(file) => Some(file.flags),
            FileKind::Fifo(_) | FileKind::Tun(_) | FileKind::External | FileKind::Unknown(_) => None,
        }
    }

    /// The part of a file with a path.
    pub fn regular(&self) -> Option<&RegularFile> {
        match &self.kind {
            FileKind::Regular(file) => Some(file),
            _ => None,
        }
    }

    /// The part of a socket.
    pub fn socket(&self) -> Option<&Socket> {
        match &self.kind {
            FileKind::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// The part of a memory file.
    pub fn memfd(&self) -> Option<&MemfdFile> {
        match &self.kind {
            FileKind::Memfd(memfd) => Some(memfd),
            _ => None,
        }
    }
}

impl RegularFile {
    /// The path as `/proc` shows it: with ` (deleted)` when it is gone.
    pub fn shown_path(&self) -> Vec<u8> {
        let mut path = self.path.clone();
        if self.deleted.is_some() {
            path.extend_from_slice(b" (deleted)");
        }
        path
    }
}

impl Deleted {
    /// The image with the content, if it has one.
    pub fn ghost_image(self) -> Option<String> {
        match self {
            Self::Ghost { id } => Some(format!("ghost-file-{id:x}.img")),
            _ => None,
        }
    }
}

/// How a file without a text of its own is named: `EVENTFD.73`.
pub(super) fn file_text(file_type: FileType, id: FileId) -> String {
    format!("{file_type}.{}", id.0)
}
