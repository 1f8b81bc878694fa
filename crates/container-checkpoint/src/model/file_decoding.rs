//! How one file is decoded from its entry.

use std::collections::HashMap;
use std::sync::Arc;

use criu_images::schema::{ExtFileEntry, FileEntry, FownEntry, RegFileEntry, RemapFilePathEntry, RemapType};

use super::file::{
    BpfMap, Deleted, Epoll, Eventfd, Fanotify, Fifo, File, FileKind, Inotify, NamespaceFile, Pidfd, Pipe,
    RegularFile, SignalOwner, Signalfd, Timerfd, Tun,
};
use super::file_type::FileType;
use super::memfd::{MemfdFile, MemfdInode};
use super::socket_loading;
use super::timers::Span;
use super::tty::{Terminal, TtyFile};
use super::watches::{EpollWatch, FanotifyMark, InotifyWatch};
use crate::gap::Field;
use crate::ids::{FileId, Pid};

/// What files refer to in images of their own.
#[derive(Default)]
pub(super) struct Parts {
    /// Memory by inode number (memfd.img). Shared, since any number of files may name one.
    pub memory: HashMap<u64, Arc<MemfdInode>>,
    /// Terminals by number (tty-info.img).
    pub terminals: HashMap<u32, Terminal>,
    /// Where the content of deleted files is (remap-fpath.img).
    pub deleted: HashMap<FileId, Deleted>,
}

/// Decodes an entry; what is wrong with it goes to `tell`.
pub(super) fn file(entry: FileEntry, parts: &Parts, big_endian: bool, tell: &mut dyn FnMut(&str)) -> File {
    let owner = owner(&entry);
    File { id: FileId(entry.id), kind: kind(entry, parts, big_endian, tell), owner }
}

/// Decodes the part that belongs to the type. An entry without it is a file of unknown kind, and told.
fn kind(entry: FileEntry, parts: &Parts, big_endian: bool, tell: &mut dyn FnMut(&str)) -> FileKind {
    let file_type = FileType(entry.r#type);
    let id = FileId(entry.id);
    let decoded = match file_type {
        FileType::REG => {
            entry.reg.map(|reg| FileKind::Regular(Box::new(regular(reg, parts.deleted.get(&id), big_endian))))
        }
        FileType::PIPE => entry.pipe.map(|pipe| {
            FileKind::Pipe(Pipe {
                pipe_id: pipe.pipe_id,
                flags: pipe.flags,
                uid: pipe.uid.into(),
                gid: pipe.gid.into(),
            })
        }),
        FileType::FIFO => entry.fifo.map(|fifo| {
            FileKind::Fifo(Fifo { pipe_id: fifo.pipe_id, path: FileId(fifo.regf_id.unwrap_or(fifo.id)) })
        }),
        FileType::INETSK => {
            entry.isk.map(|socket| FileKind::Socket(Box::new(socket_loading::inet(&socket, big_endian))))
        }
        FileType::UNIXSK => entry.usk.map(|socket| FileKind::Socket(Box::new(socket_loading::unix(&socket)))),
        FileType::NETLINKSK => {
            entry.nlsk.map(|socket| FileKind::Socket(Box::new(socket_loading::netlink(&socket))))
        }
        FileType::PACKETSK => match entry.psk.map(|socket| socket_loading::packet(&socket, big_endian)) {
            Some(Ok(socket)) => Some(FileKind::Socket(Box::new(socket))),
            Some(Err(why)) => {
                tell(&why);
                return FileKind::Unknown(file_type);
            }
            None => None,
        },
        FileType::EVENTFD => {
            entry.efd.map(|file| FileKind::Eventfd(Eventfd { flags: file.flags, counter: file.counter }))
        }
        FileType::EVENTPOLL => entry.epfd.map(|file| {
            FileKind::Epoll(Epoll {
                flags: file.flags,
                watches: file.tfd.iter().map(EpollWatch::from_wire).collect(),
            })
        }),
        FileType::SIGNALFD => {
            entry.sgfd.map(|file| FileKind::Signalfd(Signalfd { flags: file.flags, mask: file.sigmask }))
        }
        FileType::TIMERFD => entry.tfd.map(|file| {
            FileKind::Timerfd(Box::new(Timerfd {
                flags: file.flags,
                clock: file.clockid,
                ticks: file.ticks,
                set_flags: file.settime_flags,
                value: Span { seconds: file.vsec, nanoseconds: file.vnsec },
                interval: Span { seconds: file.isec, nanoseconds: file.insec },
            }))
        }),
        FileType::INOTIFY => entry.ify.map(|file| {
            FileKind::Inotify(Inotify {
                flags: file.flags,
                watches: file.wd.iter().map(InotifyWatch::from_wire).collect(),
            })
        }),
        FileType::FANOTIFY => entry.ffy.map(|file| {
            FileKind::Fanotify(Box::new(Fanotify {
                flags: file.flags,
                group_flags: file.faflags,
                event_flags: file.evflags,
                marks: file.mark.iter().map(FanotifyMark::from_wire).collect(),
            }))
        }),
        FileType::TTY => entry.tty.map(|file| {
            let terminal = part(&parts.terminals, &file.tty_info_id, "tty-info.img", tell);
            FileKind::Tty(Box::new(TtyFile::from_wire(&file, terminal)))
        }),
        FileType::MEMFD => entry.memfd.map(|file| {
            let inode = part(&parts.memory, &u64::from(file.inode_id), "memfd.img", tell);
            FileKind::Memfd(Box::new(MemfdFile::from_wire(&file, inode)))
        }),
        FileType::PIDFD => entry
            .pidfd
            .map(|file| FileKind::Pidfd(Pidfd { inode: file.ino, flags: file.flags, process: file.nspid })),
        FileType::BPFMAP => entry.bpf.map(|file| {
            FileKind::BpfMap(Box::new(BpfMap {
                flags: file.flags,
                name: file.map_name,
                map_id: file.map_id,
                map_type: file.map_type,
                key_size: file.key_size,
                value_size: file.value_size,
                most_entries: file.max_entries,
                frozen: file.frozen,
            }))
        }),
        FileType::TUNF => entry.tunf.map(|file| {
            FileKind::Tun(Box::new(Tun {
                device: file.netdev.into(),
                detached: file.detached == Some(true),
                namespace: file.ns_id.into(),
            }))
        }),
        FileType::NS => entry.nsf.map(|file| {
            FileKind::Namespace(NamespaceFile {
                namespace: file.ns_id,
                kind: file.ns_cflag,
                flags: file.flags,
            })
        }),
        FileType::EXT => entry.ext.map(|ExtFileEntry { .. }| FileKind::External),
        _ => {
            tell(&format!("file type {file_type} is not known"));
            return FileKind::Unknown(file_type);
        }
    };
    decoded.unwrap_or_else(|| {
        tell(&format!("the entry says {file_type} and lacks that part"));
        FileKind::Unknown(file_type)
    })
}

/// Looks up what a file refers to in an image of its own.
fn part<K: std::hash::Hash + Eq + std::fmt::Display, V: Clone>(
    table: &HashMap<K, V>,
    key: &K,
    image: &str,
    tell: &mut dyn FnMut(&str),
) -> Field<V> {
    match table.get(key) {
        Some(value) => Field::Known(value.clone()),
        None => {
            tell(&format!("{image} has no entry {key}"));
            Field::Unreadable(format!("{image} has no entry {key}"))
        }
    }
}

fn regular(reg: RegFileEntry, deleted: Option<&Deleted>, big_endian: bool) -> RegularFile {
    RegularFile {
        path: reg.name,
        flags: reg.flags,
        position: reg.pos,
        size: reg.size.into(),
        mode: reg.mode.into(),
        mount: socket_loading::mount(reg.mnt_id),
        build_id: match reg.build_id.as_slice() {
            [] => Field::NotCaptured,
            // The bytes of the ELF note, read by the machine as words.
            words if big_endian => Field::Known(words.iter().flat_map(|word| word.to_be_bytes()).collect()),
            words => Field::Known(words.iter().flat_map(|word| word.to_le_bytes()).collect()),
        },
        external: reg.ext == Some(true),
        deleted: deleted.copied(),
    }
}

/// Before CRIU 1.4 there was no type: the highest bit of the number told a ghost file.
pub(super) fn deleted(remap: &RemapFilePathEntry) -> Deleted {
    const GHOST_BIT: u32 = 1 << 31;
    let old = if remap.remap_id & GHOST_BIT != 0 { RemapType::Ghost } else { RemapType::Linked };
    match remap.remap_type.map_or(Ok(old), RemapType::try_from) {
        Ok(RemapType::Ghost) => Deleted::Ghost { id: remap.remap_id & !GHOST_BIT },
        Ok(RemapType::Linked) => Deleted::Linked { file: FileId(remap.remap_id) },
        Ok(RemapType::Procfs) => Deleted::ProcessDirectory { pid: Pid(remap.remap_id) },
        Err(_) => Deleted::Unknown { kind: remap.remap_type.unwrap_or_default(), id: remap.remap_id },
    }
}

/// Who is signalled, if anybody.
fn owner(entry: &FileEntry) -> Option<SignalOwner> {
    let fowns: [Option<&FownEntry>; 17] = [
        entry.reg.as_ref().map(|part| &part.fown),
        entry.isk.as_ref().map(|part| &part.fown),
        entry.psk.as_ref().map(|part| &part.fown),
        entry.nlsk.as_ref().map(|part| &part.fown),
        entry.efd.as_ref().map(|part| &part.fown),
        entry.epfd.as_ref().map(|part| &part.fown),
        entry.sgfd.as_ref().map(|part| &part.fown),
        entry.tfd.as_ref().map(|part| &part.fown),
        entry.ify.as_ref().map(|part| &part.fown),
        entry.ffy.as_ref().map(|part| &part.fown),
        entry.ext.as_ref().map(|part| &part.fown),
        entry.usk.as_ref().map(|part| &part.fown),
        entry.pipe.as_ref().map(|part| &part.fown),
        entry.tty.as_ref().map(|part| &part.fown),
        entry.memfd.as_ref().map(|part| &part.fown),
        entry.bpf.as_ref().map(|part| &part.fown),
        entry.pidfd.as_ref().map(|part| &part.fown),
    ];
    let fown = fowns.into_iter().flatten().find(|fown| fown.pid != 0 || fown.signum != 0)?;
    Some(SignalOwner {
        pid: Pid(fown.pid),
        pid_type: fown.pid_type,
        signal: fown.signum,
        uid: fown.uid,
        euid: fown.euid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_remapping_are_read() {
        let remap = |remap_id, remap_type| deleted(&RemapFilePathEntry { orig_id: 1, remap_id, remap_type });
        assert_eq!(remap(6, Some(1)), Deleted::Ghost { id: 6 });
        assert_eq!(remap(49, Some(0)), Deleted::Linked { file: FileId(49) });
        assert_eq!(remap(7, Some(2)), Deleted::ProcessDirectory { pid: Pid(7) });
        assert_eq!(remap(7, Some(3)), Deleted::Unknown { kind: 3, id: 7 });
        assert_eq!(remap(0x8000_001a, None), Deleted::Ghost { id: 0x1a });
        assert_eq!(remap(0x1a, None), Deleted::Linked { file: FileId(0x1a) });
        assert_eq!(remap(0x1a, Some(1)).ghost_image().as_deref(), Some("ghost-file-1a.img"));
    }
}
