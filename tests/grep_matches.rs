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
fn counts_are_those_of_all_matches_however_many() {
    let archive = testdata("counter.tar.zst");
    let listed =
        coldcase(&["grep", "-C0", "--format=jsonl", "-F", "e", &archive]).run().ends_with(0).quietly();
    let counted =
        coldcase(&["grep", "-c", "--format=jsonl", "-F", "e", &archive]).run().ends_with(0).quietly();
    let (listed, counted) = (listed.records(), counted.records());
    assert!(listed.records.len() > 70_000);
    let of = |record: &serde_json::Value| record["matches"].as_u64().unwrap() as usize;
    let by_pid: Vec<(u64, usize)> =
        counted.records.iter().map(|record| (record["pid"].as_u64().unwrap(), of(record))).collect();
    let expected: Vec<(u64, usize)> = [1, 2, 3]
        .map(|pid| (pid, listed.records.iter().filter(|record| record["pid"] == pid).count()))
        .to_vec();
    assert_eq!(by_pid, expected);
    assert_eq!(counted.summary["places"], listed.summary["places"]);
    // Who has matches is known without any being kept, too.
    let ran = coldcase(&["grep", "-l", ".", &archive]).run().ends_with(0).quietly();
    assert_eq!(goldens::table(ran.text()).len(), 3, "{}", ran.told());
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

/// One page of a process with these bytes at its start, in an archive.
fn made_of(bytes: &[u8]) -> (tempfile::TempDir, String) {
    written(&pre_dump(&[run(0x10000, 1, PE_PRESENT)], &[page(0, bytes)]))
}

/// Pattern, address, encoding: of all records.
#[track_caller]
fn told(arguments: &[&str]) -> Vec<(String, String, u64)> {
    let ran = coldcase(&[&["grep", "--format=jsonl"], arguments].concat()).run();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
    let of = |record: &serde_json::Value| {
        let address = crate::support::truth::number(record["address"].as_str().unwrap());
        (text(&record["pattern"]), text(&record["encoding"]), address)
    };
    ran.records().records.iter().map(of).collect()
}

fn row(pattern: &str, encoding: &str, address: u64) -> (String, String, u64) {
    (pattern.to_owned(), encoding.to_owned(), address)
}

#[test]
fn with_patterns_given_as_options_all_arguments_are_evidence() {
    let (_directory, path) = made_of(b"alpha beta alphabet");
    let (_other, second) = made_of(b"beta");
    let ran = coldcase(&["grep", "-c", "-e", "alpha", "-e", "beta", &path, &second]).run().ends_with(0);
    assert_eq!(goldens::table(ran.text()).len(), 2, "{}", ran.told());
    let row = |pattern, address| row(pattern, "utf-8", address);
    let expected = [row("alpha", 0x10000), row("beta", 0x10006), row("alpha", 0x1000b)];
    assert_eq!(told(&["-F", "-e", "alpha", "-e", "beta", "-e", "alpha", &path]), expected);
    // Each pattern has its own matches, though those of others overlap them.
    let expected = [row("alpha", 0x10000), row("alpha", 0x1000b), row("phab", 0x1000d), row("a.*t", 0x10000)];
    let mut found = told(&["-e", "alpha", "-e", "phab", "-e", "a.*t", &path]);
    found.sort_by_key(|row| (row.0 == "a.*t", row.2));
    assert_eq!(found, expected);
    coldcase(&["grep", "-e", "alpha"]).run().ends_with(2);
    coldcase(&["grep", "alpha"]).run().ends_with(2);
    coldcase(&["grep"]).run().ends_with(2);
}

#[test]
fn patterns_come_from_a_list_or_from_standard_input() {
    let (directory, path) = made_of(b"alpha beta -gamma");
    let list = directory.path().join("list");
    std::fs::write(&list, "alpha\r\n\r\nbeta\r\n").unwrap();
    let list = list.to_str().unwrap();
    let expected = [row("alpha", "utf-8", 0x10000), row("beta", "utf-8", 0x10006)];
    assert_eq!(told(&["-f", list, &path]), expected);
    let ran = coldcase(&["grep", "-f", list, &path]).run().ends_with(0);
    let notes = ran.messages("note");
    assert!(notes.iter().any(|note| note.contains("empty lines are passed over: 1")), "{}", ran.told());
    assert!(notes.iter().any(|note| note.contains("carriage returns")), "{}", ran.told());
    let ran =
        coldcase(&["grep", "--format=jsonl", "-f", "-", "-e", "-gamma", &path]).fed(&b"beta\n"[..]).run();
    assert_eq!(ran.records().records.len(), 2, "{}", ran.told());
    coldcase(&["grep", "-f", "-", "-"]).fed(&b"beta\n"[..]).run().ends_with(2);
    for none in ["", "\n\n"] {
        std::fs::write(list, none).unwrap();
        let ran = coldcase(&["grep", "-f", list, &path]).run().ends_with(2);
        assert!(ran.stderr.contains("no pattern"), "{}", ran.told());
    }
    coldcase(&["grep", "-f", "/nonexistent", &path]).run().ends_with(2);
}

#[test]
fn of_many_patterns_the_one_that_is_wrong_is_named() {
    let (_directory, path) = made_of(b"x");
    let ran = coldcase(&["grep", "-e", "x", "-e", "a(", &path]).run().ends_with(2);
    assert!(ran.messages("error")[0].contains("pattern 'a('"), "{}", ran.told());
}

#[test]
fn bytes_are_found_by_hexadecimal() {
    let (_directory, path) = made_of(b"\x7fELF\x02\x01..\x7fELF\x01\x01");
    assert_eq!(
        told(&["--hex", "7f 45 4c46 ?? 01", &path]),
        [row("7f 45 4c46 ?? 01", "", 0x10000), row("7f 45 4c46 ?? 01", "", 0x10008)]
    );
    assert_eq!(told(&["--hex", "7f454C4602", &path]), [row("7f454C4602", "", 0x10000)]);
    for wrong in ["7f4", "zz", "0x7f", "??"] {
        coldcase(&["grep", "--hex", wrong, &path]).run().ends_with(2);
    }
    for option in ["-F", "-i", "--encoding=utf-16le"] {
        coldcase(&["grep", "--hex", option, "7f", &path]).run().ends_with(2);
    }
}

#[test]
fn texts_in_utf_16_are_found_and_shown_as_texts() {
    let (_directory, path) = made_of(b"..S\0e\0c\0r\0e\0t\0=\x001\0 secret=1 \0S\0e\0c\0r\0e\0t\0=\x001.");
    let expected = [
        row("secret=[0-9]", "utf-16le", 0x10002),
        row("secret=[0-9]", "utf-8", 0x10013),
        row("secret=[0-9]", "utf-16be", 0x1001c),
    ];
    let all = "--encoding=utf-8,utf-16le,utf-16be";
    assert_eq!(told(&["-i", all, "secret=[0-9]", &path]), expected);
    let ran = coldcase(&["grep", "-i", all, "-C2", "secret=[0-9]", &path]).run().ends_with(0);
    assert_eq!(ran.text().matches("Secret=1").count(), 2, "{}", ran.told());
    let ran = coldcase(&["grep", "--encoding=utf-16le", r"\bsecret", &path]).run().ends_with(2);
    assert!(ran.stderr.contains("utf-16le"), "{}", ran.told());
}

#[test]
fn a_match_that_is_cut_is_marked() {
    let (_directory, path) = made_of(&b"a".repeat(100));
    let ran = coldcase(&["grep", "--format=jsonl", "--max-match=64", "a+", &path]).run().ends_with(0);
    let cuts: Vec<_> = ran.records().records.iter().map(|record| record.get("cut").cloned()).collect();
    assert_eq!(cuts, [Some(true.into()), None], "{}", ran.told());
    let ran = coldcase(&["grep", "--max-match=64", "-C0", "a+", &path]).run().ends_with(0);
    assert_eq!(ran.text().matches(" [cut]").count(), 1, "{}", ran.told());
    coldcase(&["grep", "--max-match=0", "a+", &path]).run().ends_with(2);
}

#[test]
fn at_most_so_many_matches_are_shown_and_the_first_ones() {
    let (_directory, path) = made_of(b"x1 x2 x3 x4");
    let all = told(&["x[0-9]", &path]);
    assert_eq!(told(&["-m2", "x[0-9]", &path]), all[..2]);
    coldcase(&["grep", "-m2", "x[0-9]", &path]).run().ends_with(0).quietly();
}

#[test]
fn evidence_and_processes_with_matches_are_listed() {
    let truth = Truth::of("counter");
    let needle = truth.needles().into_iter().find(|needle| needle.kind == "env-secret").unwrap();
    let (counter, tiny) = (truth.archive(), testdata("tiny.tar"));
    let ran = coldcase(&["grep", "-l", "-F", &needle.text, &tiny, &counter]).run().ends_with(0).quietly();
    let rows = goldens::table(ran.text());
    assert_eq!(rows.len(), 3, "{}", ran.told());
    assert!(rows.iter().all(|row| row[0].1 == counter), "{}", ran.told());
    let ran = coldcase(&["grep", "-l", "--format=jsonl", "-F", &needle.text, &tiny, &counter]).run();
    let answer = ran.ends_with(0).records();
    let pids: Vec<_> = answer.records.iter().map(|record| record["pid"].as_u64().unwrap()).collect();
    assert_eq!(pids, [1, 2, 3]);
    coldcase(&["grep", "-l", "nowhere", &tiny]).run().ends_with(1).quietly();
}

#[test]
fn counts_are_told_of_the_chosen_processes_and_of_none_that_was_not_searched() {
    let archive = testdata("counter.tar.zst");
    let counts = |options: &[&str]| -> Vec<(String, String)> {
        let ran = coldcase(&[&["grep", "-c", "."], options, &[archive.as_str()]].concat()).run().ends_with(0);
        goldens::table(ran.text()).iter().map(|row| (row[0].1.clone(), row[2].1.clone())).collect()
    };
    let pids = |rows: &[(String, String)]| rows.iter().map(|row| row.0.clone()).collect::<Vec<_>>();
    assert_eq!(pids(&counts(&[])), ["1", "2", "3"]);
    assert_eq!(pids(&counts(&["-p3"])), ["3"]);
    // Nobody has memory there.
    let ran = coldcase(&["grep", "-c", ".", "--range=1000-2000", &archive]).run().ends_with(1);
    let rows = goldens::table(ran.text());
    assert!(rows.len() == 3 && rows.iter().all(|row| row[2].1 == "-"), "{}", ran.told());
    let ran = coldcase(&["grep", "-c", ".", "--range=1000-2000", "--format=jsonl", &archive]).run();
    assert!(ran.records().records.iter().all(|record| record.get("matches").is_none()), "{}", ran.told());
}
