//! How the table of files is read: files.img, or one image for each type in dumps by CRIU up to 3.3.

use std::sync::Arc;

use criu_images::schema::{
    Entry, EventfdFileEntry, EventpollFileEntry, EventpollTfdEntry, ExtFileEntry, FanotifyFileEntry,
    FanotifyMarkEntry, FifoEntry, FileEntry, InetSkEntry, InotifyFileEntry, InotifyWdEntry, MemfdInodeEntry,
    NetlinkSkEntry, NsFileEntry, PacketSockEntry, PipeEntry, RegFileEntry, RemapFilePathEntry, SignalfdEntry,
    TimerfdEntry, TtyFileEntry, TtyInfoEntry, TunfileEntry, UnixSkEntry,
};

use super::file::FileKind;
use super::file_decoding::{self, Parts};
use super::file_type::FileType;
use super::files::Files;
use super::images::Images;
use super::memfd::MemfdInode;
use super::tty::Terminal;
use super::watches::{EpollWatch, FanotifyMark, InotifyWatch};
use crate::ids::FileId;

/// How many files of one image with something wrong are told one by one.
const TOLD: usize = 64;

/// Reads all files of a dump.
pub(super) fn load(images: &mut Images<'_>) -> Files {
    let parts = load_parts(images);
    let mut files = Files::default();
    read(images, &parts, &mut files, "files.img", |entry: FileEntry| entry);
    read_split_images(images, &parts, &mut files);
    read_split_watches(images, &mut files);
    files
}

/// Reads what files refer to.
fn load_parts(images: &mut Images<'_>) -> Parts {
    let mut parts = Parts::default();
    images.each::<MemfdInodeEntry>("memfd.img", "memory files", |inode, _, _| {
        parts.memory.entry(inode.inode_id).or_insert_with(|| Arc::new(MemfdInode::from_wire(&inode)));
    });
    images.each::<TtyInfoEntry>("tty-info.img", "terminals", |info, _, _| {
        parts.terminals.entry(info.id).or_insert_with(|| Terminal::from_wire(&info));
    });
    images.each::<RemapFilePathEntry>("remap-fpath.img", "where deleted files are", |remap, _, _| {
        parts.deleted.entry(FileId(remap.orig_id)).or_insert_with(|| file_decoding::deleted(&remap));
    });
    parts
}

/// Reads the files of one image. `wrap` makes a files.img entry of an entry of a split image.
fn read<T: Entry>(
    images: &mut Images<'_>,
    parts: &Parts,
    files: &mut Files,
    name: &str,
    mut wrap: impl FnMut(T) -> FileEntry,
) {
    let (mut repeated, mut faults) = (0_u64, 0_usize);
    images.each::<T>(name, "open files", |entry, place, findings| {
        let entry = wrap(entry);
        let id = entry.id;
        let mut tell = |why: &str| {
            faults += 1;
            if faults <= TOLD {
                findings.gap(format!("file {id}"), format!("{name}, entry {}", place.entry), why);
            }
        };
        let file = file_decoding::file(entry, parts, place.big_endian, &mut tell);
        repeated += u64::from(!files.add(file));
    });
    if faults > TOLD {
        images.findings.gap(format!("parts of {} further files", faults - TOLD), name, "as of those told");
    }
    if repeated > 0 {
        let what = format!("{repeated} files have the id of another one and are left out");
        images.findings.note(what, name, "ids are unique in a dump: damaged or forged");
    }
}

fn read_split_images(images: &mut Images<'_>, parts: &Parts, files: &mut Files) {
    let of = |file_type: FileType| FileEntry { r#type: file_type.0, ..Default::default() };
    read(images, parts, files, "reg-files.img", |part: RegFileEntry| FileEntry {
        id: part.id,
        reg: Some(part),
        ..of(FileType::REG)
    });
    read(images, parts, files, "pipes.img", |part: PipeEntry| FileEntry {
        id: part.id,
        pipe: Some(part),
        ..of(FileType::PIPE)
    });
    read(images, parts, files, "fifo.img", |part: FifoEntry| FileEntry {
        id: part.id,
        fifo: Some(part),
        ..of(FileType::FIFO)
    });
    read(images, parts, files, "inetsk.img", |part: InetSkEntry| FileEntry {
        id: part.id,
        isk: Some(part),
        ..of(FileType::INETSK)
    });
    read(images, parts, files, "unixsk.img", |part: UnixSkEntry| FileEntry {
        id: part.id,
        usk: Some(part),
        ..of(FileType::UNIXSK)
    });
    read(images, parts, files, "netlinksk.img", |part: NetlinkSkEntry| FileEntry {
        id: part.id,
        nlsk: Some(part),
        ..of(FileType::NETLINKSK)
    });
    read(images, parts, files, "packetsk.img", |part: PacketSockEntry| FileEntry {
        id: part.id,
        psk: Some(part),
        ..of(FileType::PACKETSK)
    });
    read(images, parts, files, "eventfd.img", |part: EventfdFileEntry| FileEntry {
        id: part.id,
        efd: Some(part),
        ..of(FileType::EVENTFD)
    });
    read(images, parts, files, "eventpoll.img", |part: EventpollFileEntry| FileEntry {
        id: part.id,
        epfd: Some(part),
        ..of(FileType::EVENTPOLL)
    });
    read(images, parts, files, "signalfd.img", |part: SignalfdEntry| FileEntry {
        id: part.id,
        sgfd: Some(part),
        ..of(FileType::SIGNALFD)
    });
    read(images, parts, files, "timerfd.img", |part: TimerfdEntry| FileEntry {
        id: part.id,
        tfd: Some(part),
        ..of(FileType::TIMERFD)
    });
    read(images, parts, files, "inotify.img", |part: InotifyFileEntry| FileEntry {
        id: part.id,
        ify: Some(part),
        ..of(FileType::INOTIFY)
    });
    read(images, parts, files, "fanotify.img", |part: FanotifyFileEntry| FileEntry {
        id: part.id,
        ffy: Some(part),
        ..of(FileType::FANOTIFY)
    });
    read(images, parts, files, "tty.img", |part: TtyFileEntry| FileEntry {
        id: part.id,
        tty: Some(part),
        ..of(FileType::TTY)
    });
    read(images, parts, files, "tunfile.img", |part: TunfileEntry| FileEntry {
        id: part.id,
        tunf: Some(part),
        ..of(FileType::TUNF)
    });
    read(images, parts, files, "ns-files.img", |part: NsFileEntry| FileEntry {
        id: part.id,
        nsf: Some(part),
        ..of(FileType::NS)
    });
    read(images, parts, files, "ext-files.img", |part: ExtFileEntry| FileEntry {
        id: part.id,
        ext: Some(part),
        ..of(FileType::EXT)
    });
}

/// Up to CRIU 1.3.1 watches stood in images of their own, with the id of the file that they belong to.
fn read_split_watches(images: &mut Images<'_>, files: &mut Files) {
    images.each::<EventpollTfdEntry>("eventpoll-tfd.img", "epoll watches", |watch, _, _| {
        if let Some(FileKind::Epoll(epoll)) = files.get_mut(FileId(watch.id)).map(|file| &mut file.kind) {
            epoll.watches.push(EpollWatch::from_wire(&watch));
        }
    });
    images.each::<InotifyWdEntry>("inotify-wd.img", "inotify watches", |watch, _, _| {
        if let Some(FileKind::Inotify(inotify)) = files.get_mut(FileId(watch.id)).map(|file| &mut file.kind) {
            inotify.watches.push(InotifyWatch::from_wire(&watch));
        }
    });
    images.each::<FanotifyMarkEntry>("fanotify-mark.img", "fanotify marks", |mark, _, _| {
        if let Some(FileKind::Fanotify(fanotify)) = files.get_mut(FileId(mark.id)).map(|file| &mut file.kind)
        {
            fanotify.marks.push(FanotifyMark::from_wire(&mark));
        }
    });
}
