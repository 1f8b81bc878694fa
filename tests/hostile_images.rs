//! CRIU images that lie about lengths, counts, addresses and parents.

use std::fs;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::images::{
    IMG_COMMON, INVENTORY, Message, PE_PRESENT, PSTREE, image, page, pre_dump, run,
};
use crate::support::made::{asked, with_checkpoint};
use crate::support::program::coldcase_within;
use crate::support::tar_bytes::Tar;

fn pre_dump_with(name: &str, bytes: &[u8]) -> Vec<u8> {
    with_checkpoint(Tar::default().file(name, bytes))
}

#[test]
fn lengths_and_counts_in_images_ask_for_no_memory() {
    let header: Vec<u8> =
        [IMG_COMMON, 0x5505_3847].iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
    let bodies: Vec<Vec<u8>> = vec![
        vec![],
        header[..5].to_vec(),
        header.clone(),
        [&header[..], &u32::MAX.to_le_bytes()].concat(),
        [&header[..], &0x7fff_ffffu32.to_le_bytes(), b"x"].concat(),
        [&header[..], &4u32.to_le_bytes(), &[0x0a, 0xff, 0xff, 0xff]].concat(),
        // A varint without an end, a group, a field of number 0.
        [&header[..], &11u32.to_le_bytes(), &[0xff; 11]].concat(),
        [&header[..], &2u32.to_le_bytes(), &[0x0b, 0x0c]].concat(),
        [&header[..], &2u32.to_le_bytes(), &[0x00, 0x00]].concat(),
        // A million empty entries.
        [&header[..], &vec![0; 4_000_000]].concat(),
        // Messages in messages in messages.
        [&header[..], &nested(20_000)].concat(),
    ];
    for name in [
        "core-1.img",
        "mm-1.img",
        "files.img",
        "pstree.img",
        "fdinfo-2.img",
        "ids-1.img",
        "memfd.img",
        "stats-dump",
        "mountpoints-13.img",
    ] {
        for body in &bodies {
            let archive = pre_dump_with(&format!("checkpoint/{name}"), body);
            asked(&archive, &["inspect", "--all", "--format=json"]);
        }
    }
    for body in &bodies {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("core-1.img");
        fs::write(&path, body).unwrap();
        for action in ["show", "info"] {
            coldcase_within(1 << 30, &["crit", action, path.to_str().unwrap()]).run();
        }
    }
}

/// One entry with a message that holds a message, and so on: field 3 each time.
fn nested(depth: usize) -> Vec<u8> {
    let mut message = Message::default();
    for _ in 0..depth {
        message = Message::default().bytes(3, &image(&[], &[message])[4..]);
    }
    image(&[], &[message])
}

#[test]
fn pagemaps_that_lie_are_no_harm_and_never_join_what_is_apart() {
    let far = 0xffff_ffff_ffff_f000;
    let lies: Vec<Vec<Message>> = vec![
        vec![run(0x10000, u64::MAX, PE_PRESENT)],
        vec![run(0x10000, 1 << 52, PE_PRESENT)],
        vec![run(far, 4, PE_PRESENT)],
        vec![run(0x10000, 3, PE_PRESENT), run(0x11000, 3, PE_PRESENT)],
        vec![run(0x20000, 1, PE_PRESENT), run(0x10000, 1, PE_PRESENT)],
        vec![run(0x10123, 1, PE_PRESENT)],
        vec![run(0x10000, 0, PE_PRESENT)],
        vec![run(0x10000, 1, u64::from(u32::MAX))],
        vec![],
        (0..100_000).map(|number| run(number * 0x2000, 1, PE_PRESENT)).collect(),
    ];
    let pages: Vec<Vec<u8>> = (0..4).map(|_| page(64, b"PLANTED")).collect();
    for runs in lies {
        let archive = pre_dump(&runs, &pages);
        asked(&archive, &["grep", "--format=jsonl", "PLANTED"]);
        asked(&archive, &["grep", "-c", "nowhere"]);
        asked(&archive, &["inspect"]);
    }
}

/// pstree.img of processes with the given parents.
fn tree(parents: impl Iterator<Item = (u64, u64)>) -> Vec<u8> {
    let entry = |(pid, parent): (u64, u64)| {
        Message::default().number(1, pid).number(2, parent).number(3, 1).number(4, 1).number(5, pid)
    };
    image(&[IMG_COMMON, PSTREE], &parents.map(entry).collect::<Vec<_>>())
}

fn dump_of(pstree: &[u8]) -> Vec<u8> {
    let dumped = image(&[INVENTORY], &[Message::default().number(1, 2).number(2, 1).number(4, 1)]);
    Tar::default().file("checkpoint/inventory.img", &dumped).file("checkpoint/pstree.img", pstree).finish()
}

#[test]
fn parents_that_go_in_circles_are_shown_all_the_same() {
    let archive = dump_of(&tree([(1, 2), (2, 1), (3, 3), (4, 9), (5, 4)].into_iter()));
    let document = asked(&archive, &["inspect", "--format=json"]).ends_with(3).document();
    let shown = crate::inspect::processes(&document);
    assert_eq!(shown.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_process_that_is_listed_twice_is_shown_once() {
    let archive = dump_of(&tree([(1, 0), (2, 1), (2, 1)].into_iter()));
    let document = asked(&archive, &["inspect", "--format=json"]).ends_with(3).document();
    assert_eq!(crate::inspect::processes(&document).len(), 2);
}

#[test]
fn a_tree_of_processes_as_deep_as_a_chain_ends_in_time() {
    let archive = dump_of(&tree((1..=20_000).map(|pid| (pid, pid - 1))));
    for format in ["tree", "json"] {
        let start = Instant::now();
        let ran = asked(&archive, &["inspect", "--format", format]).ends_with(3);
        assert!(start.elapsed() < Duration::from_secs(20), "{format}: {:?}", start.elapsed());
        assert!(ran.stdout.len() < 20 << 20, "{format}: {} bytes", ran.stdout.len());
        if format == "json" {
            assert_eq!(crate::inspect::processes(&ran.document()).len(), 20_000);
        }
    }
}
