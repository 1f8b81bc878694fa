//! Evidence made to do harm: to the terminal, to the file system, to the machine. Names, sizes, links and counts lie.
//!
//! That every run ends by itself within the time limit, with one of the four statuses and with output that may be put on a
//! terminal, is asserted by the running itself.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::archives::{all_of_testdata, archives_in, corpus, has_several_dumps, testdata, unpacked};
use crate::support::images::{self, IMG_COMMON, Message, PE_PRESENT, PSTREE, image, inventory, page, pagemap, pre_dump, run};
use crate::support::program::{Ran, coldcase, coldcase_within};
use crate::support::tar_bytes::{Header, Tar, binary, extended, octal};

/// Memory with sequences for terminals in it: ESC [, CSI as one byte, an override of the reading order.
const HARMFUL: &str = r"(?-u)\x1b\[|\x9b3|\xe2\x80\xae";

/// Every question that is answered with text.
const QUESTIONS: &[&[&str]] = &[
    &["show", "--print-stats"],
    &["inspect", "--all"],
    &["inspect", "--all", "--format=json"],
    &["grep", "-C40", HARMFUL],
    &["grep", "-C40", "--format=jsonl", HARMFUL],
    &["grep", "-c", HARMFUL],
    &["rootfs", "--store=all", "--hash"],
    &["rootfs", "--store=all", "--format=json"],
];

#[test]
fn all_of_testdata_is_opened_by_every_command_without_failure_and_harmlessly() {
    for archive in all_of_testdata() {
        // Seven archives of the same program, ten megabytes each: of their memory, one is enough.
        let is_counter = archive.contains("counter") || archive.contains("checkpoint-image") || archive.contains("containerd-ctr");
        let questions = QUESTIONS.iter().filter(|question| !is_counter || archive.ends_with("/counter.tar.zst") || question[0] != "grep");
        ask(questions, &archive);
    }
}

#[test]
fn all_of_the_corpus_is_opened_by_every_command_without_failure_and_harmlessly() {
    let Some(corpus) = corpus() else { return };
    let directories = ["checkpoints", "checkpoints/generations", "cases/aarch64"];
    for archive in directories.iter().flat_map(|directory| archives_in(&corpus.join(directory))) {
        // Executables, libraries, cores; and the rest of a case whose checkpoint has a file of its own.
        let no_checkpoint = ["bin.tar", "sysroot.tar", "kernel-cores.tar", "05-podman-4k-max.tar"];
        if !no_checkpoint.iter().any(|name| archive.ends_with(&format!("/{name}.zst"))) {
            ask(QUESTIONS.iter(), &archive);
        }
    }
}

fn ask<'q>(questions: impl Iterator<Item = &'q &'q [&'q str]>, archive: &str) {
    let all_dumps: &[&str] = if has_several_dumps(archive) { &["--all-dumps"] } else { &[] };
    for question in questions {
        let ran = coldcase(&[question, all_dumps, &[archive]].concat()).run();
        assert_ne!(ran.status, 2, "{}", ran.told());
    }
}

#[test]
fn every_image_of_hostile_processes_is_decoded_harmlessly() {
    let directory = unpacked(testdata("hostile.tar.zst"));
    let mut decoded = 0;
    for entry in fs::read_dir(directory.path().join("checkpoint")).unwrap() {
        let path = entry.unwrap().path().into_os_string().into_string().unwrap();
        for action in [&["show"][..], &["decode", "-i"]] {
            let ran = coldcase(&[&["crit"], action, &[&path]].concat()).run();
            // crit knows no raw images: pages, archives of tmpfs, the tools' own dumps of the network.
            if ran.status == 0 {
                decoded += 1;
            } else {
                assert!(!["/core-", "/mm-", "/files.img"].iter().any(|kind| path.contains(kind)), "{}", ran.told());
            }
        }
    }
    assert!(decoded > 300, "{decoded}");
}

#[test]
fn what_looks_like_a_line_of_our_own_is_none() {
    // Process 5 of hostile has arguments that forge lines of the tree.
    let ran = coldcase(&["inspect", "--ps-tree-cmd", &testdata("hostile.tar.zst")]).run().ends_with(0);
    let forged = ran.text().lines().filter(|line| line.trim_start_matches(['│', ' ', '\u{a0}']).starts_with("[2]"));
    assert_eq!(forged.count(), 0, "{}", ran.told());
    let processes = ran.text().lines().filter(|line| line.contains("── [")).count();
    assert_eq!(processes, 27, "{}", ran.told());
}

#[test]
fn names_of_evidence_and_patterns_are_told_harmlessly_too() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("\x1b[2J\u{202e}\n.tar").into_os_string().into_string().unwrap();
    for question in [&["show"][..], &["inspect"], &["grep", "\x1b[2J"], &["list"], &["rootfs"], &["crit", "info"]] {
        let ran = coldcase(&[question, &[&path]].concat()).run().ends_with(2);
        assert!(!ran.messages("error").is_empty(), "{}", ran.told());
    }
    coldcase(&["grep", "(\x1b[2J\u{202e}", &testdata("tiny.tar")]).run().ends_with(2);
    coldcase(&["show", &format!("{}//\x1b[2J", testdata("tiny.tar"))]).run().ends_with(2);
    coldcase(&["\x1b[2J"]).run().ends_with(2);
}

/// Files that make a checkpoint, and what stands around them.
fn with_checkpoint(tar: Tar) -> Vec<u8> {
    let pages = [page(64, b"PLANTED")].concat();
    tar.directory("checkpoint/")
        .file("checkpoint/inventory.img", &inventory())
        .file("checkpoint/pagemap-1.img", &pagemap(1, &[run(0x10000, 1, PE_PRESENT)]))
        .file("checkpoint/pages-1.img", &pages)
        .finish()
}

fn asked(archive: &[u8], question: &[&str]) -> Ran {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("made.tar");
    fs::write(&path, archive).unwrap();
    coldcase_within(1 << 30, &[question, &[path.to_str().unwrap()]].concat()).run()
}

#[track_caller]
fn assert_still_finds(archive: &[u8]) {
    let ran = asked(archive, &["grep", "--format=jsonl", "PLANTED"]).ends_with(0);
    assert_eq!(ran.records().records.len(), 1, "{}", ran.told());
    let streamed = coldcase(&["grep", "--format=jsonl", "PLANTED", "-"]).fed(zstd::encode_all(archive, 1).unwrap()).run();
    assert_eq!(streamed.ends_with(0).records().records.len(), 1);
}

fn named<'a>(name: &'a [u8], kind: u8, link: &'a [u8]) -> Header<'a> {
    Header { name, kind, size: octal(0), link }
}

#[test]
fn members_with_names_and_links_that_lead_elsewhere_are_just_names() {
    let odd: &[(&[u8], u8, &[u8])] = &[
        (b"../../../../../../tmp/coldcase-was-here", b'0', b""),
        (b"/tmp/coldcase-was-here", b'0', b""),
        (b"checkpoint/../../x", b'0', b""),
        (b"", b'0', b""),
        (b"/", b'5', b""),
        (b"..", b'5', b""),
        (b"a//b/./c", b'0', b""),
        (b"\xff\xfe\x1b[2J\n", b'0', b""),
        (b"checkpoint/core-1.img", b'2', b"/dev/zero"),
        (b"checkpoint/mm-1.img", b'2', b"mm-1.img"),
        (b"checkpoint/fs-1.img", b'1', b"checkpoint/fs-1.img"),
        (b"checkpoint/ids-1.img", b'1', b"checkpoint/ids-2.img"),
        (b"checkpoint/ids-2.img", b'1', b"checkpoint/ids-1.img"),
        (b"checkpoint/parent", b'2', b"."),
        (b"checkpoint/files.img", b'3', b""),
        (b"checkpoint/timens-0.img", b'6', b""),
        (b"checkpoint/odd", b'Z', b""),
        (b"checkpoint/pstree.img", b'5', b""),
    ];
    let tar = odd.iter().fold(Tar::default(), |tar, (name, kind, link)| tar.entry(&named(name, *kind, link), b""));
    let archive = with_checkpoint(tar);
    assert_still_finds(&archive);
    for question in QUESTIONS {
        asked(&archive, question);
    }
    assert!(!Path::new("/tmp/coldcase-was-here").exists());
}

#[test]
fn a_parent_that_is_the_dump_itself_goes_round_in_no_circle() {
    let runs = [run(0x10000, 1, images::PE_PARENT)];
    let archive = Tar::default()
        .directory("a/")
        .file("a/inventory.img", &inventory())
        .file("a/pagemap-1.img", &pagemap(1, &runs))
        .link("a/parent", "../b")
        .directory("b/")
        .file("b/inventory.img", &inventory())
        .file("b/pagemap-1.img", &pagemap(1, &runs))
        .link("b/parent", "../a")
        .finish();
    let ran = asked(&archive, &["grep", "--all-dumps", "PLANTED"]).ends_with(3);
    assert!(!ran.messages("gap").is_empty(), "{}", ran.told());
}

#[test]
fn a_name_that_occurs_twice_is_told_and_does_not_hide_the_rest() {
    let archive = with_checkpoint(Tar::default().file("checkpoint/inventory.img", b"first of that name"));
    assert_still_finds(&archive);
    let ran = asked(&archive, &["show"]);
    assert!(ran.stderr.contains("inventory.img"), "a doubled name is worth a word: {}", ran.told());
}

#[test]
fn sizes_that_lie_ask_for_no_memory() {
    let lies: [[u8; 12]; 6] =
        [binary(u64::MAX), binary(1 << 62), octal(0o7777_7777_777), *b"99999999999\0", *b"-0000000001\0", *b"            "];
    for size in lies {
        for kind in *b"05LKxgS" {
            let tar = Tar::default().file("config.dump", b"{}").entry(&Header { name: b"checkpoint/core-1.img", kind, size, link: b"" }, b"");
            for question in [&["show"][..], &["inspect"], &["grep", "x"]] {
                asked(&with_checkpoint(Tar::default().bytes(tar.so_far())), question);
            }
        }
    }
}

#[test]
fn extended_headers_that_lie_are_no_harm() {
    let records: Vec<Vec<u8>> = vec![
        b"99999999999999999999 path=x\n".to_vec(),
        b"5 a\n".to_vec(),
        b"0 path=x\n".to_vec(),
        b"-7 path=x\n".to_vec(),
        vec![0xff; 600],
        extended("size", b"18446744073709551616"),
        extended("size", b"9223372036854775807"),
        extended("path", b"\x1b[2J\xff/../../x"),
        extended("GNU.sparse.map", b"0,1,1,18446744073709551615,5"),
        [extended("GNU.sparse.major", b"1"), extended("GNU.sparse.minor", b"0"), extended("GNU.sparse.realsize", b"99999999999999")].concat(),
        extended(&"k".repeat(100_000), &[b'v'; 100_000]),
    ];
    for record in records {
        let header = Header { name: b"PaxHeader", kind: b'x', size: octal(record.len() as u64), link: b"" };
        let tar = Tar::default().entry(&header, &record).file("checkpoint/odd.img", b"1\n0\n512\n");
        let archive = with_checkpoint(tar);
        for question in [&["show"][..], &["inspect"], &["rootfs"], &["grep", "PLANTED"]] {
            asked(&archive, question);
        }
    }
}

#[test]
fn very_many_members_are_listed_in_time() {
    let many = (0..50_000).fold(Tar::default(), |tar, number| tar.file(&format!("checkpoint/x{number}"), b""));
    let archive = with_checkpoint(many);
    let start = Instant::now();
    asked(&archive, &["show"]).ends_with(0);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn archives_in_archives_are_opened_so_deep_and_no_deeper() {
    let mut archive = with_checkpoint(Tar::default());
    for _ in 0..12 {
        archive = zstd::encode_all(Tar::default().file("rootfs-diff.tar", &archive).finish().as_slice(), 1).unwrap();
    }
    for question in [&["show"][..], &["inspect"], &["rootfs"]] {
        asked(&archive, question);
    }
}

#[test]
fn a_few_kilobytes_that_become_gigabytes_stay_small_in_memory() {
    // Two GiB of zeros, as pages (which go by) and as an image that states facts (which would be kept).
    let zeros = vec![0; 1 << 24];
    for (name, is_metadata) in [("checkpoint/pages-9.img", false), ("checkpoint/core-1.img", true), ("config.dump", true)] {
        let header = Header { name: name.as_bytes(), kind: b'0', size: binary(2 << 30), link: b"" };
        let head = Tar::default().entry(&header, b"");
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        std::io::Write::write_all(&mut encoder, head.so_far()).unwrap();
        for _ in 0..128 {
            std::io::Write::write_all(&mut encoder, &zeros).unwrap();
        }
        std::io::Write::write_all(&mut encoder, &with_checkpoint(Tar::default())).unwrap();
        let archive = encoder.finish().unwrap();
        assert!(archive.len() < 1 << 20);
        let ran = asked(&archive, &["--max-metadata=64M", "grep", "--format=jsonl", "PLANTED"]);
        if is_metadata {
            assert!(ran.status == 2 || !ran.messages("gap").is_empty(), "{name}: {}", ran.told());
        } else {
            assert_eq!(ran.ends_with(0).records().records.len(), 1, "{name}");
        }
    }
}

fn pre_dump_with(name: &str, bytes: &[u8]) -> Vec<u8> {
    with_checkpoint(Tar::default().file(name, bytes))
}

#[test]
fn lengths_and_counts_in_images_ask_for_no_memory() {
    let header: Vec<u8> = [IMG_COMMON, 0x5505_3847].iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
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
    for name in ["core-1.img", "mm-1.img", "files.img", "pstree.img", "fdinfo-2.img", "ids-1.img", "memfd.img", "stats-dump", "mountpoints-13.img"] {
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
    let far = u64::MAX & !0xfff;
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
    let entry = |(pid, parent): (u64, u64)| Message::default().number(1, pid).number(2, parent).number(3, 1).number(4, 1).number(5, pid);
    image(&[IMG_COMMON, PSTREE], &parents.map(entry).collect::<Vec<_>>())
}

fn dump_of(pstree: &[u8]) -> Vec<u8> {
    let dumped = image(&[images::INVENTORY], &[Message::default().number(1, 2).number(2, 1).number(4, 1)]);
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

#[test]
fn a_directory_with_pipes_links_and_devices_does_not_hold_anybody_up() {
    let directory = TempDir::new().unwrap();
    let inside = |name: &str| directory.path().join("checkpoint").join(name);
    fs::create_dir(directory.path().join("checkpoint")).unwrap();
    fs::write(inside("inventory.img"), inventory()).unwrap();
    fs::write(inside("pagemap-1.img"), pagemap(1, &[run(0x10000, 1, PE_PRESENT)])).unwrap();
    fs::write(inside("pages-1.img"), page(64, b"PLANTED")).unwrap();
    let fifo = Command::new("mkfifo").arg(inside("core-1.img")).status().unwrap();
    assert!(fifo.success());
    symlink("/dev/zero", inside("mm-1.img")).unwrap();
    symlink("files.img", inside("files.img")).unwrap();
    symlink("/etc/passwd", inside("pstree.img")).unwrap();
    symlink("..", inside("up")).unwrap();
    let path = directory.path().to_str().unwrap();
    for question in [&["show"][..], &["inspect", "--all"], &["rootfs"], &["grep", "PLANTED"]] {
        let ran = coldcase_within(1 << 30, &[question, &[path]].concat()).run();
        assert!(!ran.text().contains("root:x:0"), "{}", ran.told());
    }
    let ran = coldcase(&["grep", "--format=jsonl", "PLANTED", path]).run().ends_with(0);
    assert_eq!(ran.records().records.len(), 1, "{}", ran.told());
}

#[test]
fn metadata_that_is_no_json_or_lies_about_types_hides_nothing_else() {
    let bodies: &[&str] = &[
        "", "null", "[]", "{", "\"", "[1,", "{\"id\":1}", "{\"id\":null,\"name\":[],\"createdTime\":\"never\"}",
        "{\"name\":\"\\u001b[2J\\u202e\\n\"}", "{\"name\":\"\u{9b}2J\"}", "1e999", "\u{feff}{}",
    ];
    let deep = "[".repeat(200_000);
    for body in bodies.iter().copied().chain([deep.as_str()]) {
        for name in ["config.dump", "spec.dump", "network.status", "deleted.files", "status", "config.v2.json"] {
            let tar = Tar::default().file("config.dump", b"{\"id\":\"abc\"}").file("spec.dump", b"{}").file(name, body.as_bytes());
            let archive = with_checkpoint(tar);
            asked(&archive, &["show", "--format=json"]);
            asked(&archive, &["rootfs", "--format=json"]);
            let ran = asked(&archive, &["grep", "--format=jsonl", "PLANTED"]).ends_with(0);
            assert_eq!(ran.records().records.len(), 1, "{}", ran.told());
        }
    }
}

#[test]
fn json_holds_the_bytes_of_what_is_no_text() {
    // Process 4 has arguments that are not UTF-8, 17 a name.
    let document = crate::inspect::inspected(&[&testdata("hostile.tar.zst")]);
    let shown = crate::inspect::processes(&document);
    let bytes = |pid: u64, key: &str| -> &Value { &shown[&pid].0[key] };
    assert_eq!(bytes(17, "command_bytes"), "//79", "{}", shown[&17].0);
    assert!(bytes(4, "arguments_bytes").as_array().unwrap().iter().any(Value::is_string));
    assert!(bytes(2, "command").is_string() && bytes(2, "command_bytes").is_null());
}

/// An argument that no shell would pass.
#[test]
fn arguments_that_are_no_utf8_are_refused_or_taken_and_never_a_panic() {
    use std::os::unix::ffi::OsStringExt;
    let odd = || OsString::from_vec(b"\xff\x1b[2J".to_vec());
    let tiny = OsString::from(testdata("tiny.tar"));
    for arguments in [
        vec![odd()],
        vec!["show".into(), odd()],
        vec!["grep".into(), odd(), tiny.clone()],
        vec!["grep".into(), "-F".into(), odd(), tiny.clone()],
        vec!["rootfs".into(), "cat".into(), tiny.clone(), odd()],
        vec!["show".into(), "--format".into(), odd(), tiny],
    ] {
        let ran = coldcase(&arguments).run();
        assert_ne!(ran.status, 0, "{}", ran.told());
    }
}
