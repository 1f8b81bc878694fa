//! Archives, directories and metadata that lie about names, sizes, links and types.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::hostile::QUESTIONS;
use crate::support::images::{PE_PARENT, PE_PRESENT, inventory, page, pagemap, run};
use crate::support::made::{asked, assert_still_finds, with_checkpoint};
use crate::support::program::{coldcase, coldcase_within};
use crate::support::tar_bytes::{Header, Tar, binary, extended, octal};

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
    let tar =
        odd.iter().fold(Tar::default(), |tar, (name, kind, link)| tar.entry(&named(name, *kind, link), b""));
    let archive = with_checkpoint(tar);
    assert_still_finds(&archive);
    for question in QUESTIONS {
        asked(&archive, question);
    }
    assert!(!Path::new("/tmp/coldcase-was-here").exists());
}

#[test]
fn a_parent_that_is_the_dump_itself_goes_round_in_no_circle() {
    let runs = [run(0x10000, 1, PE_PARENT)];
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
    let lies: [[u8; 12]; 6] = [
        binary(u64::MAX),
        binary(1 << 62),
        octal(0o777_7777_7777),
        *b"99999999999\0",
        *b"-0000000001\0",
        *b"            ",
    ];
    for size in lies {
        for kind in *b"05LKxgS" {
            let tar = Tar::default()
                .file("config.dump", b"{}")
                .entry(&Header { name: b"checkpoint/core-1.img", kind, size, link: b"" }, b"");
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
        [
            extended("GNU.sparse.major", b"1"),
            extended("GNU.sparse.minor", b"0"),
            extended("GNU.sparse.realsize", b"99999999999999"),
        ]
        .concat(),
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
    let many =
        (0..50_000).fold(Tar::default(), |tar, number| tar.file(&format!("checkpoint/x{number}"), b""));
    let archive = with_checkpoint(many);
    let start = Instant::now();
    asked(&archive, &["show"]).ends_with(0);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn archives_in_archives_are_opened_so_deep_and_no_deeper() {
    let mut archive = with_checkpoint(Tar::default());
    for _ in 0..12 {
        archive = zstd::encode_all(Tar::default().file("rootfs-diff.tar", &archive).finish().as_slice(), 1)
            .unwrap();
    }
    for question in [&["show"][..], &["inspect"], &["rootfs"]] {
        asked(&archive, question);
    }
}

#[test]
fn a_few_kilobytes_that_become_gigabytes_stay_small_in_memory() {
    // Two GiB of zeros, as pages (which go by) and as an image that states facts (which would be kept).
    let zeros = vec![0; 1 << 24];
    for (name, is_metadata) in
        [("checkpoint/pages-9.img", false), ("checkpoint/core-1.img", true), ("config.dump", true)]
    {
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
        "",
        "null",
        "[]",
        "{",
        "\"",
        "[1,",
        "{\"id\":1}",
        "{\"id\":null,\"name\":[],\"createdTime\":\"never\"}",
        "{\"name\":\"\\u001b[2J\\u202e\\n\"}",
        "{\"name\":\"\u{9b}2J\"}",
        "1e999",
        "\u{feff}{}",
    ];
    let deep = "[".repeat(200_000);
    for body in bodies.iter().copied().chain([deep.as_str()]) {
        for name in
            ["config.dump", "spec.dump", "network.status", "deleted.files", "status", "config.v2.json"]
        {
            let tar = Tar::default()
                .file("config.dump", b"{\"id\":\"abc\"}")
                .file("spec.dump", b"{}")
                .file(name, body.as_bytes());
            let archive = with_checkpoint(tar);
            asked(&archive, &["show", "--format=json"]);
            asked(&archive, &["rootfs", "--format=json"]);
            let ran = asked(&archive, &["grep", "--format=jsonl", "PLANTED"]).ends_with(0);
            assert_eq!(ran.records().records.len(), 1, "{}", ran.told());
        }
    }
}
