//! What epoll, inotify and fanotify instances watch.

use criu_images::schema::{EventpollTfdEntry, FanotifyMarkEntry, InotifyWdEntry, MarkType};

use super::device::Device;
use crate::gap::Field;

/// A descriptor that an epoll instance watches (`eventpoll_tfd_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpollWatch {
    /// The descriptor's number in the process that added it.
    pub fd: u32,
    /// `EPOLL*`.
    pub events: u32,
    /// The value that the kernel gives back with an event.
    pub data: u64,
    /// Inode number of the watched file (CRIU 3.11 and later).
    pub inode: Field<u64>,
}

/// A watch of an inotify instance (`inotify_wd_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InotifyWatch {
    /// The watch's number.
    pub watch: u32,
    /// `IN_*`.
    pub mask: u32,
    /// Inode number.
    pub inode: u64,
    /// Device.
    pub device: Device,
    /// Path, when CRIU needed it.
    pub path: Field<Vec<u8>>,
}

/// A mark of a fanotify group (`fanotify_mark_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanotifyMark {
    /// `FAN_*` that are reported.
    pub mask: u32,
    /// `FAN_*` that are not.
    pub ignored_mask: u32,
    /// `FAN_MARK_*`.
    pub flags: u32,
    /// Device.
    pub device: Device,
    /// What is marked.
    pub target: MarkTarget,
}

/// What a mark of fanotify is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkTarget {
    /// A file or directory.
    Inode {
        /// Inode number.
        inode: u64,
        /// Path, when CRIU needed it.
        path: Field<Vec<u8>>,
    },
    /// A whole mount.
    Mount {
        /// The mount's number.
        mount: u32,
        /// Its mount point, when CRIU kept it.
        path: Field<Vec<u8>>,
    },
    /// A kind of mark that is not known here, or one without its part.
    Unknown(i32),
}

impl EpollWatch {
    pub(super) fn from_wire(watch: &EventpollTfdEntry) -> Self {
        Self { fd: watch.tfd, events: watch.events, data: watch.data, inode: watch.inode.into() }
    }
}

impl InotifyWatch {
    pub(super) fn from_wire(watch: &InotifyWdEntry) -> Self {
        Self {
            watch: watch.wd,
            mask: watch.mask,
            inode: watch.i_ino,
            device: Device::from_kernel(watch.s_dev),
            path: watch.f_handle.path.clone().into(),
        }
    }
}

impl FanotifyMark {
    pub(super) fn from_wire(mark: &FanotifyMarkEntry) -> Self {
        let target = match (MarkType::try_from(mark.r#type), &mark.ie, &mark.me) {
            (Ok(MarkType::Inode), Some(part), _) => {
                MarkTarget::Inode { inode: part.i_ino, path: part.f_handle.path.clone().into() }
            }
            (Ok(MarkType::Mount), _, Some(part)) => {
                MarkTarget::Mount { mount: part.mnt_id, path: part.path.clone().into() }
            }
            _ => MarkTarget::Unknown(mark.r#type),
        };
        Self {
            mask: mark.mask,
            ignored_mask: mark.ignored_mask,
            flags: mark.mflags,
            device: Device::from_kernel(mark.s_dev),
            target,
        }
    }
}
