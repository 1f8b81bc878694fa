//! Evidence made to do harm to whoever looks at it: sequences for terminals, forged lines, marks of direction, bytes that are no text.
//!
//! That every run ends by itself within the time limit, with one of the four statuses and with output that may be put on a
//! terminal, is asserted by the running itself.

use std::ffi::OsString;
use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::archives::{all_of_testdata, archives_in, corpus, has_several_dumps, testdata, unpacked};
use crate::support::program::coldcase;

/// Memory with sequences for terminals in it: ESC [, CSI as one byte, an override of the reading order.
const HARMFUL: &str = r"(?-u)\x1b\[|\x9b3|\xe2\x80\xae";

/// Every question that is answered with text.
pub const QUESTIONS: &[&[&str]] = &[
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
        let is_counter = archive.contains("counter")
            || archive.contains("checkpoint-image")
            || archive.contains("containerd-ctr");
        let questions = QUESTIONS
            .iter()
            .filter(|question| !is_counter || archive.ends_with("/counter.tar.zst") || question[0] != "grep");
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
                assert!(
                    !["/core-", "/mm-", "/files.img"].iter().any(|kind| path.contains(kind)),
                    "{}",
                    ran.told()
                );
            }
        }
    }
    assert!(decoded > 300, "{decoded}");
}

#[test]
fn what_looks_like_a_line_of_our_own_is_none() {
    // Process 5 of hostile has arguments that forge lines of the tree.
    let ran = coldcase(&["inspect", "--ps-tree-cmd", &testdata("hostile.tar.zst")]).run().ends_with(0);
    let forged =
        ran.text().lines().filter(|line| line.trim_start_matches(['│', ' ', '\u{a0}']).starts_with("[2]"));
    assert_eq!(forged.count(), 0, "{}", ran.told());
    let processes = ran.text().lines().filter(|line| line.contains("── [")).count();
    assert_eq!(processes, 27, "{}", ran.told());
}

#[test]
fn names_of_evidence_and_patterns_are_told_harmlessly_too() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("\x1b[2J\u{202e}\n.tar").into_os_string().into_string().unwrap();
    for question in
        [&["show"][..], &["inspect"], &["grep", "\x1b[2J"], &["list"], &["rootfs"], &["crit", "info"]]
    {
        let ran = coldcase(&[question, &[&path]].concat()).run().ends_with(2);
        assert!(!ran.messages("error").is_empty(), "{}", ran.told());
    }
    coldcase(&["grep", "(\x1b[2J\u{202e}", &testdata("tiny.tar")]).run().ends_with(2);
    coldcase(&["show", &format!("{}//\x1b[2J", testdata("tiny.tar"))]).run().ends_with(2);
    coldcase(&["\x1b[2J"]).run().ends_with(2);
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
