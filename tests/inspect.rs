//! `coldcase inspect`: the processes and all around them.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::show::assert_tells;
use crate::support::archives::{corpus, testdata, unpacked};
use crate::support::program::coldcase;
use crate::support::truth::Truth;

/// Checkpoints whose processes were read from /proc just before.
const KNOWN: &[&str] = &[
    "checkpoint-image",
    "containerd-ctr",
    "counter",
    "counter-containerd",
    "counter-crio",
    "counter-docker",
    "counter-later",
    "pre-whole",
    "redis",
    "tiny",
    "tiny-criu",
    "tiny-criu-noshare",
];

/// Everything that `inspect` tells of one checkpoint.
#[track_caller]
pub fn inspected(evidence: &[&str]) -> Value {
    let ran = coldcase(&[&["inspect", "--all", "--format=json"], evidence].concat()).run().ends_with(0);
    ran.documents().remove(0)
}

/// The processes of a document by pid, each with the pid above it in the tree.
#[track_caller]
pub fn processes(document: &Value) -> BTreeMap<u64, (Value, Option<u64>)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut waiting: Vec<(Value, Option<u64>)> = Vec::new();
    waiting.extend(document.get("process_tree").map(|root| (root.clone(), None)));
    waiting.extend(list(&document["other_process_trees"]).into_iter().map(|root| (root, None)));
    waiting.extend(
        list(&document["deeper_processes"]).into_iter().map(|deep| (deep.clone(), deep["ppid"].as_u64())),
    );
    let mut all = BTreeMap::new();
    while let Some((process, above)) = waiting.pop() {
        let pid = process["pid"].as_u64().unwrap();
        waiting.extend(list(&process["children"]).into_iter().map(|child| (child, Some(pid))));
        assert!(all.insert(pid, (process, above)).is_none(), "process {pid} is told twice");
    }
    all
}

/// A list of texts, exactly: where one was not UTF-8, its bytes are in the list beside it.
pub fn exact_list(object: &Value, key: &str) -> Vec<Vec<u8>> {
    let texts = object[key].as_array().unwrap_or_else(|| panic!("no {key} in {object}"));
    let exact = object[format!("{key}_bytes")].as_array();
    let text = |(at, text): (usize, &Value)| match exact.and_then(|exact| exact[at].as_str()) {
        Some(bytes) => STANDARD.decode(bytes).unwrap(),
        None => text.as_str().unwrap().as_bytes().to_vec(),
    };
    texts.iter().enumerate().map(text).collect()
}

/// A text, exactly.
pub fn exact(object: &Value, key: &str) -> Option<Vec<u8>> {
    match object[format!("{key}_bytes")].as_str() {
        Some(bytes) => Some(STANDARD.decode(bytes).unwrap()),
        None => object[key].as_str().map(|text| text.as_bytes().to_vec()),
    }
}

fn strings(list: &Value) -> Vec<Vec<u8>> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().as_bytes().to_vec()).collect()
}

/// Asserts that the processes of a document are those that ran, with command lines, environments, threads, owners,
/// directories and descriptors.
#[track_caller]
fn assert_shows_processes(document: &Value, truth: &Truth, name: &str) {
    let told = processes(document);
    let pids: BTreeSet<u64> =
        truth.processes().iter().map(|process| process["pid"].as_u64().unwrap()).collect();
    assert_eq!(told.keys().copied().collect::<BTreeSet<_>>(), pids, "{name}: pids");
    for live in truth.processes() {
        let pid = live["pid"].as_u64().unwrap();
        let (process, above) = &told[&pid];
        let about = format!("{name}: process {pid}");
        assert_eq!(above.unwrap_or(0), live["ppid"].as_u64().unwrap(), "{about}: parent");
        assert_eq!(process["ppid"], live["ppid"], "{about}: ppid");
        assert_eq!(process["command"], live["comm"], "{about}: command");
        assert_eq!(process["executable"], live["exe"], "{about}: executable");
        assert_eq!(exact_list(process, "arguments"), strings(&live["cmdline"]), "{about}: arguments");
        assert_eq!(exact_list(process, "environment"), strings(&live["environ"]), "{about}: environment");
        // /proc/PID/status: real, effective, saved, of the file system.
        for (key, list, at) in [("uid", "uid", 0), ("euid", "uid", 1), ("gid", "gid", 0), ("egid", "gid", 1)]
        {
            let id: u64 = live[list][at].as_str().unwrap().parse().unwrap();
            assert_eq!(process[key].as_u64(), Some(id), "{about}: {key}");
        }
        let threads = live["threads"].as_array().unwrap();
        match threads.as_slice() {
            [_] => assert!(process.get("threads").is_none(), "{about}: threads"),
            threads => {
                let told = process["threads"].as_array().unwrap();
                let pairs: BTreeSet<_> =
                    threads.iter().map(|thread| (thread["tid"].as_u64(), thread["comm"].as_str())).collect();
                let ours: BTreeSet<_> =
                    told.iter().map(|thread| (thread["tid"].as_u64(), thread["command"].as_str())).collect();
                assert_eq!(ours, pairs, "{about}: threads");
            }
        }
        assert_shows_descriptors(document, live, &about);
    }
}

#[track_caller]
fn assert_shows_descriptors(document: &Value, live: &Value, about: &str) {
    let of_process = |list: &Value, key: &str| -> Vec<Value> {
        let entry = list.as_array().unwrap().iter().find(|entry| entry["pid"] == live["pid"]);
        entry.map(|entry| entry[key].as_array().unwrap().clone()).unwrap_or_default()
    };
    let open = of_process(&document["file_descriptors"], "open_files");
    let sockets = of_process(&document["sockets"], "open_sockets");
    let path = |name: &str| open.iter().find(|file| file["fd"] == name).map(|file| file["path"].clone());
    assert_eq!(path("cwd").as_ref(), Some(&live["cwd"]), "{about}: cwd");
    assert_eq!(path("root").as_ref(), Some(&live["root"]), "{about}: root");
    let numbered: BTreeMap<u64, &Value> =
        open.iter().filter_map(|file| Some((file["number"].as_u64()?, file))).collect();
    let live_fds = live["fds"].as_array().unwrap();
    let live_numbers: BTreeSet<u64> = live_fds.iter().map(|file| file["fd"].as_u64().unwrap()).collect();
    assert_eq!(numbered.keys().copied().collect::<BTreeSet<_>>(), live_numbers, "{about}: descriptors");
    for file in live_fds {
        let number = file["fd"].as_u64().unwrap();
        let target = file["target"].as_str().unwrap();
        let told = numbered[&number]["path"].as_str().unwrap();
        if let Some(inode) = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) {
            let inode: u64 = inode.parse().unwrap();
            let socket =
                sockets.iter().find(|socket| socket["fds"].as_array().unwrap().contains(&number.into()));
            assert_eq!(
                socket.map(|socket| socket["inode"].as_u64()),
                Some(Some(inode)),
                "{about}: fd {number}"
            );
        } else if target.starts_with('/') {
            assert_eq!(told, target, "{about}: fd {number}");
        } else if target.starts_with("pipe:[") {
            // checkpointctl's way: without the colon.
            assert_eq!(told, target.replacen(':', "", 1), "{about}: fd {number}");
        }
    }
}

#[test]
fn the_process_tree_has_the_command_lines_environments_owners_and_descriptors_of_the_running_processes() {
    for name in KNOWN {
        let truth = Truth::of(name);
        let document = inspected(&[&truth.archive()]);
        assert_tells(&document, &truth, name);
        assert_shows_processes(&document, &truth, name);
    }
}

#[test]
fn an_unpacked_checkpoint_shows_what_its_archive_shows() {
    for name in KNOWN {
        let truth = Truth::of(name);
        let directory = unpacked(truth.archive());
        assert_shows_processes(&inspected(&[directory.path().to_str().unwrap()]), &truth, name);
    }
}

#[test]
fn archives_of_the_corpus_show_the_truth_too() {
    let Some(corpus) = corpus() else { return };
    for (name, archive) in [("counter-gz", "counter.tar.gz"), ("counter-runc", "counter-runc.tar.zst")] {
        let path = corpus.join("checkpoints").join(archive).into_os_string().into_string().unwrap();
        assert_shows_processes(&inspected(&[&path]), &Truth::of(name), name);
    }
}

#[test]
fn command_lines_are_put_together_across_a_dump_and_its_parent() {
    let truth = Truth::of("pre-final");
    let document = inspected(&[&truth.archive(), &testdata("pre-checkpoint.tar.zst")]);
    assert_shows_processes(&document, &truth, "pre-final");
    assert_eq!(document["gaps"], serde_json::json!([]));
}

#[test]
fn a_missing_parent_is_a_gap_and_what_needs_no_parent_is_shown() {
    let archive = testdata("pre-final.tar.zst");
    let ran = coldcase(&["inspect", "--all", "--format=json", &archive]).run().ends_with(3);
    let document = ran.document();
    assert_tells(&document, &Truth::of("pre-final"), "pre-final");
    // 74 of its 81 pages are in the parent.
    let gaps = document["gaps"].as_array().unwrap();
    assert!(
        gaps.iter().any(|gap| {
            let text = |key: &str| gap[key].as_str().unwrap();
            text("where").contains("pagemap-1.img")
                && text("why").contains("303104 bytes")
                && text("why").contains("parent")
        }),
        "{gaps:?}"
    );
    assert_eq!(document["process_tree"]["command"], "pre");
    assert_eq!(ran.messages("gap").len(), gaps.len(), "{}", ran.told());
}

#[test]
fn a_stale_parent_link_is_a_note_and_no_gap() {
    let ran =
        coldcase(&["inspect", "--all", "--format=json", &testdata("pre-whole.tar.zst")]).run().ends_with(0);
    let document = ran.document();
    let notes = document["notes"].as_array().unwrap();
    assert!(
        notes.iter().any(|note| note["what"].as_str().unwrap().contains("stale parent link")),
        "{notes:?}"
    );
    assert_eq!(document["gaps"], serde_json::json!([]));
    assert_eq!(ran.messages("note").len(), notes.len(), "{}", ran.told());
}

#[test]
fn a_pre_dump_has_memory_and_no_processes() {
    let ran = coldcase(&["inspect", &testdata("pre-checkpoint.tar.zst")]).run().ends_with(0).quietly();
    assert!(ran.text().contains("pre-dump"), "{}", ran.told());
    let document = inspected(&[&testdata("pre-checkpoint.tar.zst")]);
    assert!(document.get("process_tree").is_none() && document["container_name"] == "pre");
}

#[test]
fn one_process_is_shown_with_its_descendants_alone() {
    let archive = testdata("counter-later.tar.xz");
    let ran =
        coldcase(&["inspect", "--pid=2", "--ps-tree-cmd", "--format=json", &archive]).run().ends_with(0);
    let shown = processes(&ran.document());
    assert_eq!(shown.keys().copied().collect::<Vec<_>>(), [2, 4]);
    let tree = coldcase(&["inspect", "--pid=2", "--ps-tree-cmd", &archive]).run().ends_with(0);
    assert!(
        tree.text().contains("[2]  /usr/bin/python3") && tree.text().contains("[4]  sleep 86400"),
        "{}",
        tree.told()
    );
    assert!(!tree.text().contains("[3]") && !tree.text().contains("[1]"), "{}", tree.told());
}

#[test]
fn a_process_that_is_not_there_is_a_gap_and_not_an_empty_answer() {
    let ran = coldcase(&["inspect", "--pid=4711", &testdata("tiny.tar")]).run().ends_with(3);
    assert!(ran.messages("gap").iter().any(|gap| gap.contains("4711")), "{}", ran.told());
}

#[test]
fn parts_that_were_not_asked_for_are_not_shown() {
    let archive = testdata("counter.tar.zst");
    let parts = [
        ("--stats", "statistics"),
        ("--mounts", "mounts"),
        ("--metadata", "metadata"),
        ("--files", "file_descriptors"),
        ("--sockets", "sockets"),
    ];
    for (option, key) in parts {
        let document =
            coldcase(&["inspect", option, "--format=json", &archive]).run().ends_with(0).document();
        for (_, other) in parts {
            assert_eq!(document.get(other).is_some(), other == key, "{option}: {other}");
        }
    }
    let document =
        coldcase(&["inspect", "--ps-tree", "--format=json", &archive]).run().ends_with(0).document();
    let root = &document["process_tree"];
    assert_eq!(root["command"], "bash");
    assert!(root.get("cmdline").is_none() && root.get("environment").is_none(), "{root}");
}
