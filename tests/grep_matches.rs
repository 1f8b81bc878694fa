//! What matches and what does not: borders, holes, seams, and the options of `coldcase grep`.

use std::collections::BTreeSet;

use crate::grep::places;
use crate::support::archives::testdata;
use crate::support::goldens;
use crate::support::images::{
    Message, PAGE, PE_LAZY, PE_PARENT, PE_PRESENT, inventory, old_run, page, pagemap, pre_dump, run,
};
use crate::support::program::coldcase;
use crate::support::tar_bytes::Tar;
use crate::support::truth::Truth;

/// An archive in a directory of its own.
fn written(archive: &[u8]) -> (tempfile::TempDir, String) {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("made.tar");
    std::fs::write(&path, archive).unwrap();
    let path = path.into_os_string().into_string().unwrap();
    (directory, path)
}

#[track_caller]
fn addresses_in(runs: &[Message], pages: &[Vec<u8>], pattern: &str, status: i32) -> Vec<u64> {
    let (_directory, path) = written(&pre_dump(runs, pages));
    let ran = coldcase(&["grep", "--format=jsonl", pattern, &path]).run().ends_with(status);
    places(&ran).into_iter().map(|(_, address)| address).collect()
}

#[test]
fn a_text_over_the_border_of_pages_and_of_pagemap_entries_is_found() {
    let pages = [page(4092, b"BORD"), page(0, b"ERLINE")];
    for runs in [
        vec![run(0x10000, 2, PE_PRESENT)],
        vec![run(0x10000, 1, PE_PRESENT), run(0x11000, 1, PE_PRESENT)],
        vec![old_run(0x10000, 1, PE_PRESENT), old_run(0x11000, 1, PE_PRESENT)],
        vec![old_run(0x10000, 2, PE_PRESENT)],
    ] {
        assert_eq!(addresses_in(&runs, &pages, "BORDERLINE", 0), [0x10ffc]);
    }
}

#[test]
fn nothing_is_joined_over_a_hole_in_memory_though_the_pages_file_goes_on() {
    let pages = [page(4092, b"BORD"), page(0, b"ERLINE")];
    let holes = [
        vec![run(0x10000, 1, PE_PRESENT), run(0x12000, 1, PE_PRESENT)],
        // A page that was to be fetched later has an address, but no bytes and no place in the file.
        vec![run(0x10000, 1, PE_PRESENT), run(0x11000, 1, PE_LAZY), run(0x12000, 1, PE_PRESENT)],
    ];
    for runs in holes {
        assert_eq!(addresses_in(&runs, &pages, "BORDERLINE", 1), [0; 0]);
        assert_eq!(addresses_in(&runs, &pages, "ERLINE", 0), [0x12000]);
    }
}

#[test]
fn bytes_that_the_evidence_does_not_hold_are_not_zero() {
    let full = vec![vec![b'A'; 4096], vec![b'B'; 4096]];
    let runs = [run(0x10000, 1, PE_PRESENT), run(0x11000, 1, PE_LAZY), run(0x20000, 1, PE_PRESENT)];
    assert_eq!(addresses_in(&runs, &full, r"(?-u)\x00", 1), [0; 0]);
}

#[test]
fn pages_in_a_parent_that_is_not_there_take_no_place_in_the_pages_file() {
    let pages = [page(100, b"BEHIND")];
    let runs = [run(0x10000, 1, PE_PARENT), run(0x11000, 1, PE_PRESENT)];
    assert_eq!(addresses_in(&runs, &pages, "BEHIND", 0), [0x11064]);
    assert_eq!(addresses_in(&runs, &pages, "ELSEWHERE", 3), [0; 0]);
}

#[test]
fn fixed_strings_are_taken_as_they_are_and_patterns_as_patterns() {
    let pages = [page(64, b"a.c(d and abcXd; ABC\xff")];
    let runs = [run(0x10000, 1, PE_PRESENT)];
    let (_directory, path) = written(&pre_dump(&runs, &pages));
    let found = |options: &[&str]| -> Vec<u64> {
        let ran = coldcase(&[&["grep", "--format=jsonl"], options, &[path.as_str()]].concat()).run();
        places(&ran).into_iter().map(|(_, address)| address).collect()
    };
    assert_eq!(found(&["-F", "a.c(d"]), [0x10040]);
    assert_eq!(found(&["-F", "a.c"]), [0x10040]);
    assert_eq!(found(&["a.c"]), [0x10040, 0x1004a]);
    assert_eq!(found(&["-F", "abc"]), [0x1004a]);
    assert_eq!(found(&["-i", "-F", "abc"]), [0x1004a, 0x10051]);
    assert_eq!(found(&["-i", "ABC"]), [0x1004a, 0x10051]);
    assert_eq!(found(&[r"(?-u)ABC\xff"]), [0x10051]);
    assert_eq!(found(&["c[XY]d"]), [0x1004c]);
    assert_eq!(found(&["xyz"]), [0; 0]);
}

#[test]
fn a_match_that_is_no_text_is_given_in_base64() {
    let pages = [page(64, b"ABC\xff")];
    let (_directory, path) = written(&pre_dump(&[run(0x10000, 1, PE_PRESENT)], &pages));
    let ran = coldcase(&["grep", "--format=jsonl", "-C0", r"(?-u)C\xff", &path]).run().ends_with(0);
    let record = &ran.records().records[0];
    assert_eq!(record["match"], serde_json::json!({ "bytes": "Q/8=" }));
}

#[test]
fn the_context_is_the_bytes_around_and_never_beyond_what_is_there() {
    let pages = [page(0, b"START..........."), page(4093, b"END")];
    let (_directory, path) = written(&pre_dump(&[run(0x10000, 2, PE_PRESENT)], &pages));
    for (pattern, context, offset) in [("START", "START...", 0), ("END", "\0\0\0END", 3)] {
        let ran = coldcase(&["grep", "--format=jsonl", "-C3", pattern, &path]).run().ends_with(0);
        let record = &ran.records().records[0];
        assert_eq!(
            record["context"],
            serde_json::json!({ "text": context, "match_offset": offset }),
            "{}",
            ran.told()
        );
    }
}

#[test]
fn only_the_processes_that_were_asked_for_are_searched() {
    let archive = testdata("counter.tar.zst");
    let truth = Truth::of("counter");
    let needle = truth.needles().into_iter().find(|needle| needle.kind == "env-secret").unwrap();
    let pids = |options: &[&str]| -> BTreeSet<u64> {
        let ran = coldcase(
            &[&["grep", "--format=jsonl", "-F", &needle.text], options, &[archive.as_str()]].concat(),
        )
        .run();
        places(&ran.ends_with(0)).into_iter().map(|(pid, _)| pid).collect()
    };
    assert_eq!(pids(&[]), BTreeSet::from([1, 2, 3]));
    assert_eq!(pids(&["--pid=3"]), BTreeSet::from([3]));
    assert_eq!(pids(&["-p1", "-p2"]), BTreeSet::from([1, 2]));
}

#[test]
fn a_process_that_is_not_there_is_a_gap() {
    let ran = coldcase(&["grep", "-p99", "-F", "NEEDLE", &testdata("tiny.tar")]).run().ends_with(3);
    assert!(ran.messages("gap").iter().any(|gap| gap.contains("99")), "{}", ran.told());
}

#[test]
fn counts_are_by_process() {
    let truth = Truth::of("counter");
    let needle = truth.needles().into_iter().find(|needle| needle.kind == "env-secret").unwrap();
    let ran = coldcase(&["grep", "-c", "-F", &needle.text, &truth.archive()]).run().ends_with(0);
    let rows = goldens::table(ran.text());
    let told: Vec<(u64, usize)> =
        rows.iter().map(|row| (row[0].1.parse().unwrap(), row[2].1.parse().unwrap())).collect();
    let count = |pid: u64| (pid, needle.dumped.iter().filter(|(other, _)| *other == pid).count());
    assert_eq!(told, [count(1), count(2), count(3)], "{}", ran.told());
    coldcase(&["grep", "-c", "-F", "not in there at all", &truth.archive()]).run().ends_with(1);
}

#[test]
fn matches_beyond_the_limit_are_a_gap() {
    let ran =
        coldcase(&["grep", "--max-matches=2", "--format=jsonl", "-F", "NEEDLE", &testdata("tiny.tar")]).run();
    let ran = ran.ends_with(0);
    let answer = ran.records();
    assert_eq!((answer.records.len(), answer.gaps.len()), (2, 1), "{}", ran.told());
}

#[test]
fn a_pattern_that_is_none_is_an_error() {
    for pattern in ["(", "[z-a]", "a{9999999}"] {
        let ran = coldcase(&["grep", pattern, &testdata("tiny.tar")]).run().ends_with(2);
        assert_eq!(ran.messages("error").len(), 1, "{}", ran.told());
        assert!(ran.stdout.is_empty());
    }
}

/// A chain of two dumps: page 0 is in the parent, page 1 in the younger dump. Memory goes on where the images don't.
fn seam(before: Vec<u8>, after: Vec<u8>) -> Vec<u8> {
    let younger = [run(0x10000, 1, PE_PARENT), run(0x11000, 1, PE_PRESENT)];
    Tar::default()
        .file("1/inventory.img", &inventory())
        .file("1/pagemap-1.img", &pagemap(1, &[run(0x10000, 1, PE_PRESENT)]))
        .file("1/pages-1.img", &before)
        .file("2/inventory.img", &inventory())
        .file("2/pagemap-1.img", &pagemap(1, &younger))
        .file("2/pages-1.img", &after)
        .link("2/parent", "../1")
        .finish()
}

#[test]
fn over_a_seam_of_two_images_matches_are_those_of_memory_in_one_piece() {
    let token = b"0123456789abcdefghijABCDEFGHIJ9876543210zyxwvuts";
    let (first, second) = token.split_at(20);
    let (_directory, path) = written(&seam(page(PAGE - 20, first), page(0, second)));
    let matches = |pattern: &str| -> Vec<(String, String)> {
        let ran = coldcase(&["grep", "--format=jsonl", "-C0", pattern, &format!("{path}//2")]).run();
        let of = |record: &serde_json::Value| {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            (text(&record["address"]), text(&record["match"]["text"]))
        };
        ran.records().records.iter().map(of).collect()
    };
    let whole = [("0x0000000000010fec".to_owned(), String::from_utf8(token.to_vec()).unwrap())];
    for pattern in ["[0-9A-Za-z]{20,}", "[0-9A-Za-z]+", r"\b[0-9A-Za-z]+\b", "0123.*vuts"] {
        assert_eq!(matches(pattern), whole, "{pattern}");
    }
    assert_eq!(matches("jABC"), [("0x0000000000010fff".to_owned(), "jABC".to_owned())]);
    assert_eq!(matches("[0-9]{10}").len(), 2);
    assert_eq!(matches("[a-z]{3}").len(), 5);
    assert_eq!(matches("^ABC"), []);
}

#[test]
fn over_a_seam_no_byte_is_in_two_matches_and_at_most_one_match_is_cut_off() {
    let (_directory, path) = written(&seam(vec![b'x'; PAGE], vec![b'x'; PAGE]));
    for length in [2, 3, 7, 256] {
        let pattern = format!("x{{{length}}}");
        let ran = coldcase(&["grep", "--format=jsonl", "-C0", &pattern, &format!("{path}//2")]).run();
        let starts: Vec<u64> = places(&ran).into_iter().map(|(_, address)| address).collect();
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= length), "{length}: {starts:x?}");
        // Behind a seam, matches may begin anew: those bytes are scanned once for all who share them.
        let most = 2 * PAGE as u64 / length;
        assert!((most - 1..=most).contains(&(starts.len() as u64)), "{length}: {} of {most}", starts.len());
    }
}
