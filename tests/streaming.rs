//! Evidence on standard input: a file, a pipe, and pipes that would have to be read twice.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::archives::{all_of_testdata, plain, testdata};
use crate::support::program::coldcase;
use crate::support::tar_bytes::{BLOCK, Tar, headers};

/// What a question answers, its evidence called `-` in both.
fn answer(arguments: &[&str], archive: &str, how: &str) -> (i32, String) {
    let ran = match how {
        "path" => coldcase(&[arguments, &[archive]].concat()),
        "redirected" => coldcase(&[arguments, &["-"]].concat()).redirected_from(archive),
        _ => coldcase(&[arguments, &["-"]].concat()).fed(fs::read(archive).unwrap()),
    };
    let ran = ran.run();
    (ran.status, ran.text().replace(archive, "-"))
}

#[test]
fn a_redirected_file_and_a_pipe_answer_as_the_path_does() {
    let questions: &[&[&str]] = &[
        &["show", "--format=json"],
        &["inspect", "--all", "--format=json"],
        &["grep", "--format=jsonl", "-F", "NEEDLE"],
        &["rootfs", "--hash", "--format=json"],
    ];
    for archive in [
        "tiny.tar",
        "tiny.tar.gz",
        "tiny.tar.zst",
        "tiny.tar.xz",
        "tiny.tar.bz2",
        "tiny.tar.lz4",
        "redis.tar.zst",
    ] {
        let archive = testdata(archive);
        for question in questions {
            let expected = answer(question, &archive, "path");
            assert_eq!(answer(question, &archive, "redirected"), expected, "{archive}: {question:?}");
            assert_eq!(answer(question, &archive, "pipe"), expected, "{archive}: {question:?}");
        }
    }
}

#[test]
fn what_engines_write_is_answered_from_a_pipe_in_one_pass() {
    // Process trees come behind the pages and CRI-O's metadata behind all images: still one pass is enough.
    let engines = [
        "counter",
        "hostile",
        "kitchen",
        "pre-checkpoint",
        "pre-whole",
        "redis",
        "aarch64-podman",
        "criu317-podman-pre",
    ];
    let archives: Vec<String> = all_of_testdata();
    let written_by_engines = archives.iter().filter(|path| {
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        // Docker has no archive of its own: who made that one took the order of a directory.
        engines.iter().any(|engine| name.starts_with(engine)) && !name.contains("docker")
    });
    for archive in written_by_engines {
        for question in
            [&["inspect", "--all", "--format=json"][..], &["grep", "--format=jsonl", "-F", "NEEDLE"]]
        {
            let (status, expected) = answer(question, archive, "path");
            let (piped_status, piped) = answer(question, archive, "pipe");
            assert_eq!(piped_status, status, "{archive}: {question:?}");
            assert!(piped == expected, "{archive}: {question:?}: another answer from a pipe");
        }
    }
}

/// The tiny archive with its page images first, as no engine writes it.
fn pages_first() -> Vec<u8> {
    let archive = fs::read(testdata("tiny.tar")).unwrap();
    let mut members = headers(&archive);
    members.sort_by_key(|(at, name, _)| (!name.contains("/pages-"), *at));
    let whole =
        |(at, _, size): &(usize, String, usize)| &archive[*at..at + BLOCK + size.next_multiple_of(BLOCK)];
    members.iter().fold(Tar::default(), |tar, member| tar.bytes(whole(member))).finish()
}

#[test]
fn a_pipe_that_would_have_to_be_read_twice_is_refused_with_a_hint_and_read_with_spool() {
    let archive = zstd::encode_all(pages_first().as_slice(), 3).unwrap();
    let question = ["grep", "--format=jsonl", "-F", "NEEDLE_ANON_5d20", "-"];
    let ran = coldcase(&question).fed(archive.clone()).run().ends_with(2);
    assert!(ran.stderr.contains("--spool"), "{}", ran.told());
    let directory = TempDir::new().unwrap();
    let spool = format!("--spool={}", directory.path().display());
    let ran = coldcase(&[&[spool.as_str()], &question[..]].concat())
        .fed(archive.clone())
        .run()
        .ends_with(0)
        .quietly();
    assert_eq!(ran.records().records.len(), 2, "{}", ran.told());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "the victim's memory was left behind");
    // Metadata alone needs no second pass.
    coldcase(&["show", "-"]).fed(archive.clone()).run().ends_with(0).quietly();
    coldcase(&["inspect", "-"]).fed(archive).run().ends_with(0).quietly();
}

#[test]
fn a_compressed_file_with_pages_first_is_read_twice_without_further_ado() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pages-first.tar.zst");
    fs::write(&path, zstd::encode_all(pages_first().as_slice(), 3).unwrap()).unwrap();
    let ran = coldcase(&["grep", "--format=jsonl", "-F", "NEEDLE_ANON_5d20", path.to_str().unwrap()])
        .run()
        .ends_with(0);
    assert_eq!(ran.quietly().records().records.len(), 2);
    let ran = coldcase(&["grep", "--format=jsonl", "-F", "NEEDLE_ANON_5d20", "-"])
        .redirected_from(&path)
        .run()
        .ends_with(0);
    assert_eq!(ran.quietly().records().records.len(), 2, "a redirected file can be read twice");
}

#[test]
fn an_uncompressed_pipe_is_answered_too() {
    let archive = plain(testdata("counter-crio.tar.xz"));
    let ran = coldcase(&["inspect", "--ps-tree-cmd", "-"]).fed(archive).run().ends_with(0).quietly();
    assert!(ran.text().contains("[6]  /usr/bin/python3 -SEu /home/counter/counter.py"), "{}", ran.told());
}

#[test]
fn an_empty_pipe_is_an_error() {
    let ran = coldcase(&["show", "-"]).fed(b"".as_slice()).run().ends_with(2);
    assert_eq!(ran.messages("error").len(), 1, "{}", ran.told());
}

#[test]
fn standard_input_is_read_once() {
    let ran = coldcase(&["show", "-", "-"]).fed(fs::read(testdata("tiny.tar")).unwrap()).run().ends_with(2);
    assert!(ran.text().contains("tiny"), "{}", ran.told());
    assert_eq!(ran.messages("error").len(), 1, "{}", ran.told());
}

#[test]
fn several_frames_and_trailing_zeros_are_one_archive() {
    let archive = fs::read(testdata("tiny.tar")).unwrap();
    let (first, second) = archive.split_at(archive.len() / 2);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zstandard = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    for archive in [[gzip(first), gzip(second)].concat(), [zstandard(first), zstandard(second)].concat()] {
        let ran = coldcase(&["grep", "--format=jsonl", "-F", "NEEDLE_ARGV_31c7", "-"])
            .fed(archive)
            .run()
            .ends_with(0);
        assert_eq!(ran.quietly().records().records.len(), 1);
    }
}
