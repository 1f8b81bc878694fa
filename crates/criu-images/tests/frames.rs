//! Frames of all versions and both byte orders, names, and the typed view on real images.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use criu_images::error::Error;
use criu_images::framing::Image;
use criu_images::json::{self, Options};
use criu_images::kinds::Head;
use criu_images::payload::Payload;
use criu_images::schema::{
    CoreEntry, FdinfoEntry, FileEntry, GhostFileEntry, InventoryEntry, IpcSemEntry, MmEntry, PagemapEntry,
    PagemapHead, PipeDataEntry, PstreeEntry, SkPacketEntry, StatsEntry,
};

#[test]
fn a_real_dump_reads_as_types() {
    let tree = common::in_archive("tree").images;
    let image = |name: &str| Image::parse_named(name.as_bytes(), &tree[name]).unwrap();

    assert_eq!(image("inventory.img").entry::<InventoryEntry>().unwrap().img_version, 2);
    let processes: Vec<_> = image("pstree.img").entries::<PstreeEntry>().map(Result::unwrap).collect();
    assert_eq!(processes.iter().map(|it| it.pid).collect::<Vec<_>>(), [57, 60, 61]);
    let mut names = Vec::new();
    for process in &processes {
        let core = image(&format!("core-{}.img", process.pid)).entry::<CoreEntry>().unwrap();
        names.push(core.tc.unwrap().comm);
        assert!(core.thread_info.unwrap().gpregs.ip > 0);
        let mm = image(&format!("mm-{}.img", process.pid)).entry::<MmEntry>().unwrap();
        assert!(mm.vmas.len() > 10 && mm.vmas.iter().all(|vma| vma.start < vma.end));
        let pagemap = image(&format!("pagemap-{}.img", process.pid));
        assert!(pagemap.entry::<PagemapHead>().unwrap().pages_id > 0);
        assert!(pagemap.entries::<PagemapEntry>().all(|entry| entry.unwrap().nr_pages.is_some()));
    }
    assert_eq!(names, [&b"mix"[..], b"child", b"stopped one"]);
    let files: Vec<_> = image("files.img").entries::<FileEntry>().map(Result::unwrap).collect();
    assert!(
        files.iter().any(|file| file.usk.as_ref().is_some_and(|socket| socket.name == b"\0mix=abstract"))
    );
    assert!(image("fdinfo-2.img").entries::<FdinfoEntry>().count() > 5);
    assert!(image("stats-dump").entry::<StatsEntry>().unwrap().dump.unwrap().pages_written > 0);

    let pipe = image("pipes-data.img").raw_entries().next().unwrap().unwrap();
    assert_eq!(pipe.payload, Payload::Bytes(b"left in the pipe"));
    assert_eq!(pipe.decode::<PipeDataEntry>().unwrap().bytes, 16);
    let packet = image("sk-queues.img").raw_entries().next().unwrap().unwrap();
    assert_eq!(packet.payload, Payload::Bytes(b"left in the socket"));
    assert_eq!(packet.decode::<SkPacketEntry>().unwrap().length, 18);
    let ghost = image("ghost-file-1.img").raw_entries().next().unwrap().unwrap();
    assert_eq!(ghost.payload, Payload::Bytes(b"deleted but open\n"));
    assert_eq!(ghost.decode::<GhostFileEntry>().unwrap().mode & 0o777, 0o640);
}

#[test]
fn frames_of_version_1_0_have_no_head_word() {
    let bytes = b"\x30\x30\x27\x50\x08\0\0\0\x08\x01\x10\0\x18\x01\x20\x01";
    let image = Image::parse(bytes).unwrap();
    assert_eq!((image.head(), image.kind().head, image.is_big_endian()), (Head::None, Head::Common, false));
    assert_eq!(image.entry::<PstreeEntry>().unwrap().pid, 1);
}

#[test]
fn big_endian_frames_and_payloads_are_read_and_written() {
    // Semaphores [1, 0x203] behind an ipc_sem_entry, as s390x writes them.
    let desc = b"\x0a\x0e\x08\0\x10\0\x18\0\x20\0\x28\0\x30\0\x38\0";
    let message = [&desc[..], b"\x10\x02"].concat();
    let words = b"\x54\x56\x43\x19\x59\x57\x30\x19\0\0\0";
    let bytes = [&words[..], &[message.len() as u8], &message, b"\0\x01\x02\x03\0\0\0\0"].concat();
    let image = Image::parse(&bytes).unwrap();
    assert!(image.is_big_endian());
    assert_eq!(image.entry::<IpcSemEntry>().unwrap().nsems, 2);
    let entry = image.raw_entries().next().unwrap().unwrap();
    let Payload::Semaphores(semaphores) = entry.payload else { panic!("{entry:?}") };
    assert_eq!(semaphores.values().collect::<Vec<_>>(), [1, 0x203]);

    let mut text = Vec::new();
    json::decode(&image, &Options::default(), &mut text).unwrap();
    let shown = String::from_utf8_lossy(&text).into_owned();
    assert!(
        shown.ends_with(r#""nsems": 2, "extra": [1, 515]}], "coldcase": {"byte_order": "big"}}"#),
        "{shown}"
    );
    let mut again = Vec::new();
    json::encode(&text, &mut again).unwrap();
    assert_eq!(again, bytes);
}

#[test]
fn the_name_decides_where_the_magic_does_not() {
    let bytes = b"\x19\x43\x56\x54\x25\x40\x08\x56";
    for (name, kind) in
        [("pagemap-1.img", "PAGEMAP"), ("pagemap-shmem-1.img", "SHMEM_PAGEMAP"), ("other", "PAGEMAP")]
    {
        assert_eq!(Image::parse_named(name.as_bytes(), bytes).unwrap().kind().name, kind);
    }
    let error = Image::parse_named(b"pstree.img", bytes).unwrap_err();
    assert_eq!(error, Error::WrongMagic { named: "PSTREE", magic: 0x5608_4025, offset: 4 });
}

#[test]
fn files_without_entries_are_said_to_be_such() {
    for (name, holds) in [
        ("pages-1.img", "the pages of a pagemap"),
        ("nftables-10.img", "nft list ruleset"),
        ("tmpfs-dev-62.tar.gz.img", "tar archive"),
        ("route-10.img", "netlink"),
    ] {
        let error = Image::parse_named(name.as_bytes(), b"anything").unwrap_err();
        assert!(matches!(error, Error::Raw { .. }) && error.to_string().contains(holds), "{error}");
    }
    assert_eq!(Image::parse(b"\x19\x43\x56").unwrap_err(), Error::NoMagic { length: 3 });
    assert_eq!(
        Image::parse(b"\x19\x43\x56\x54\xef\xbe\xad\xde").unwrap_err(),
        Error::UnknownMagic { magic: 0xdead_beef, offset: 4 }
    );
}

#[test]
fn entries_end_after_the_first_error() {
    // A whole entry, an empty one, a whole one.
    let process = b"\x08\0\0\0\x08\x01\x10\0\x18\x01\x20\x01";
    let bytes = [&b"\x19\x43\x56\x54\x30\x30\x27\x50"[..], process, &[0; 4], process].concat();
    let image = Image::parse(&bytes).unwrap();
    let entries: Vec<_> = image.entries::<PstreeEntry>().collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        entries[1].as_ref().unwrap_err().to_string(),
        "entry 1 of PSTREE, byte 24: pstree_entry lacks the required field pid (damaged, or of another kind)"
    );
    // As bytes, all are there: the frame is good.
    assert_eq!(image.raw_entries().filter(Result::is_ok).count(), 3);

    let entries: Vec<_> = image.entries::<CoreEntry>().collect();
    assert_eq!(entries, [Err(Error::NotOfKind { kind: "PSTREE", asked: "core_entry" })]);
}
