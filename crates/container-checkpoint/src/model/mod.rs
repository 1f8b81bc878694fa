//! What the container was doing: processes, threads, files, sockets, mounts.
//!
//! [`Model::load`] reads the images of one dump, all but pages and payloads. What an image lacks or breaks costs only
//! what that image holds, and is told in the [`Findings`]; a [`Field`] says why it has no value. Wire types end here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::files::FileSet;
use crate::gap::{Field, Findings};
use crate::ids::Pid;

mod aarch64;
mod address_map;
mod architecture;
mod credentials;
mod descriptors;
mod device;
mod dumped_pages;
mod file;
mod file_decoding;
mod file_loading;
mod file_type;
mod files;
mod images;
mod inventory;
mod layout;
mod leftovers;
mod limits;
mod mapping;
mod memfd;
mod mounts;
mod namespaces;
mod other_registers;
mod process;
mod process_loading;
mod registers;
mod signals;
mod socket;
mod socket_loading;
mod sysv;
mod task;
mod task_state;
mod thread;
mod timers;
mod tree;
mod tty;
mod watches;
mod x86;

#[cfg(test)]
mod tests;

pub use self::address_map::{AddressMap, AioRing};
pub use aarch64::{Aarch64Registers, AddressKeys, GuardedControlStack, PointerAuthentication};
pub use architecture::Architecture;
pub use credentials::Credentials;
pub use descriptors::{DescriptorTable, OpenFile};
pub use device::Device;
pub use dumped_pages::{DumpedPages, Held, dumped_pages};
pub use file::{
    BpfMap, Deleted, Epoll, Eventfd, Fanotify, Fifo, File, FileKind, Inotify, NamespaceFile, Pidfd, Pipe,
    RegularFile, SignalOwner, Signalfd, Timerfd, Tun,
};
pub use file_type::FileType;
pub use files::{Files, SharedObjectId};
pub use inventory::{Inventory, SecurityModule};
pub use layout::{AuxiliaryVector, MemoryLayout};
pub use limits::{RESOURCES, ResourceLimit};
pub use mapping::{Mapping, MappingKind, Permissions, Protection, status};
pub use memfd::{MemfdFile, MemfdInode};
pub use mounts::Mount;
pub use namespaces::{
    Clocks, HostNames, IdMaps, IdRange, KernelIds, Namespaces, NetworkDevice, NetworkNamespace,
};
pub use other_registers::OtherRegisters;
pub use process::{Directories, Process};
pub use registers::Registers;
pub use signals::{PendingSignal, SignalAction, SignalSet, signal_name};
pub use socket::{
    InetSocket, NetlinkSocket, PacketMembership, PacketSocket, Shutdown, Socket, SocketFamily, SocketOptions,
    SocketState, SocketType, UnixName, UnixSocket,
};
pub use sysv::SharedSegment;
pub use task::Task;
pub use task_state::{ExitStatus, TaskState};
pub use thread::{RobustList, Rseq, Seccomp, SeccompFiltering, SignalStack, Thread};
pub use timers::{IntervalTimer, PosixTimer, Span, Timers};
pub use tree::{DepthFirst, ProcessTree};
pub use tty::{Terminal, TerminalKind, TtyFile};
pub use watches::{EpollWatch, FanotifyMark, InotifyWatch, MarkTarget};
pub use x86::{SegmentDescriptor, ShadowStack, X86FloatingPoint, X86Mode, X86Registers, XSave};

use images::Images;

/// Reads the table of files alone, and the keys of SysV segments, which name files too. What it lacks is told by [`Model::load`].
pub fn files_of(images: &dyn FileSet) -> Files {
    let mut images = Images::new(images);
    let mut files = file_loading::load(&mut images);
    files.segment_keys = keys(&sysv::load(&mut images));
    files
}

/// The keys of segments by number.
fn keys(segments: &BTreeMap<u32, SharedSegment>) -> BTreeMap<u32, u32> {
    segments.values().map(|segment| (segment.id, segment.key)).collect()
}

/// Reads the address space of one process alone; `files` is its dump's table. What it lacks is told by [`Model::load`].
pub fn address_map(images: &dyn FileSet, pid: Pid, files: &Files) -> Field<AddressMap> {
    AddressMap::load(&mut Images::new(images), pid, None, false, files)
}

/// Everything that the images of one dump say beside memory contents.
#[derive(Clone, Debug)]
pub struct Model {
    /// The dump as a whole.
    pub inventory: Field<Inventory>,
    /// Whether this is a pre-dump: memory alone, without processes, files and the rest.
    pub is_pre_dump: bool,
    /// Whether the machine that dumped was big-endian (s390x).
    pub is_big_endian: bool,
    /// The processes.
    pub processes: ProcessTree,
    /// The files that they have open, mapped, or are in.
    pub files: Files,
    /// Mounts by the number of their mount namespace.
    pub mounts: BTreeMap<u32, Vec<Mount>>,
    /// Host names, clocks, id mappings, network devices.
    pub namespaces: Namespaces,
    /// Segments of shmget(2) by number.
    pub shared_segments: BTreeMap<u32, SharedSegment>,
}

impl Model {
    /// Reads the images of one dump, given by their base names.
    pub fn load(images: &dyn FileSet) -> (Self, Findings) {
        let mut images = Images::new(images);
        let inventory = Inventory::load(&mut images);
        let has_processes = images.has(process_loading::PSTREE) || !images.numbered("core").is_empty();
        let is_pre_dump = !has_processes && !images.numbered("pagemap").is_empty();
        let descriptors_by_id = inventory.known().is_none_or(|inventory| inventory.descriptors_by_id);

        let mut files = file_loading::load(&mut images);
        let shared_segments = sysv::load(&mut images);
        files.segment_keys = keys(&shared_segments);
        let processes = if is_pre_dump {
            ProcessTree::default()
        } else {
            process_loading::load(&mut images, &files, descriptors_by_id)
        };
        let model = Self {
            inventory,
            is_pre_dump,
            processes,
            files,
            mounts: mounts::load(&mut images),
            namespaces: Namespaces::load(&mut images),
            shared_segments,
            is_big_endian: images.big_endian(),
        };
        let mut findings = images.findings;
        findings.settle();
        (model, findings)
    }

    /// Whether a process is one of the dump's, not left over of another. A pre-dump does not list its processes, and a broken list leaves some out.
    pub fn has_lived(&self, pid: Pid) -> bool {
        self.is_pre_dump || !self.processes.is_whole() || self.processes.get(pid).is_some()
    }

    /// What is behind a mapping as `/proc/PID/maps` names it; see [`Files::mapping_name`].
    pub fn mapping_name(&self, mapping: &Mapping) -> Cow<'_, [u8]> {
        self.files.mapping_name(mapping)
    }

    /// The sockets that a process has open, with their descriptors, in the order of its table.
    pub fn sockets<'a>(&'a self, process: &'a Process) -> impl Iterator<Item = (&'a OpenFile, &'a Socket)> {
        let open = process.open_files.known().map_or(&[][..], |table| table);
        open.iter().filter_map(|open| Some((open, self.files.of_descriptor(open)?.socket()?)))
    }

    /// The mounts that a process sees; `None` when the images don't have its mount namespace.
    pub fn mounts_of(&self, process: &Process) -> Option<&[Mount]> {
        let namespace = process.ids.known()?.mount_namespace?;
        self.mounts.get(&namespace).map(Vec::as_slice)
    }

    /// Host and domain name that a process sees; `None` when it is in CRIU's own UTS namespace, which isn't dumped.
    pub fn host_names_of(&self, process: &Process) -> Option<&HostNames> {
        let namespace = process.ids.known()?.uts_namespace?;
        self.namespaces.uts.get(&namespace)
    }
}
