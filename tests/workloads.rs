//! Processes of every kind, normal and odd, as /proc had them: the workloads that were written for this purpose.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::inspect::{exact, exact_list, inspected, processes};
use crate::support::archives::testdata;
use crate::support::program::coldcase;
use crate::support::truth::Truth;

/// A text of a workload's truth: UTF-8, or `{"hex": …}`; a long one is known by its length and first bytes.
enum Told {
    Whole(Vec<u8>),
    Start { length: usize, head: Vec<u8> },
}

fn told(value: &Value) -> Told {
    if let Some(text) = value.as_str() {
        return Told::Whole(text.as_bytes().to_vec());
    }
    if let Some(hex) = value["hex"].as_str() {
        let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        return Told::Whole(digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect());
    }
    let head = value["head"].as_str().unwrap_or_else(|| panic!("{value}"));
    Told::Start { length: value["length"].as_u64().unwrap() as usize, head: head.as_bytes().to_vec() }
}

#[track_caller]
fn assert_texts(ours: &[Vec<u8>], live: &[Value], about: &str) {
    assert_eq!(ours.len(), live.len(), "{about}");
    for (ours, live) in ours.iter().zip(live) {
        match told(live) {
            Told::Whole(text) => assert_eq!(
                String::from_utf8_lossy(ours),
                String::from_utf8_lossy(&text),
                "{about}: {ours:x?} {text:x?}"
            ),
            Told::Start { length, head } => {
                assert!(ours.len() == length && ours.starts_with(&head), "{about}")
            }
        }
    }
}

#[test]
fn workloads_of_every_kind_of_process_are_shown_as_proc_had_them() {
    for name in ["kitchen", "criu-features", "hostile"] {
        let truth = Truth::of(name);
        let document = inspected(&[&truth.archive()]);
        let shown = processes(&document);
        let live = truth.processes();
        assert_eq!(shown.len(), live.len(), "{name}");
        for process in live {
            let pid = process["pid"].as_u64().unwrap();
            let (ours, above) = &shown[&pid];
            let about = format!("{name}: process {pid}");
            assert_same_identity(ours, process, &about);
            // Of bare CRIU's tree the root's parent is outside of the dump.
            if above.is_some() {
                assert_eq!(*above, process["ppid"].as_u64(), "{about}: parent");
            }
            let state = process["state"].as_str().unwrap();
            let is_zombie = state.starts_with('Z');
            let expected = if is_zombie {
                "Zombie"
            } else if state.starts_with('T') {
                "Stopped"
            } else {
                "Alive"
            };
            assert_eq!(ours["task_state"], expected, "{about}");
            if is_zombie {
                // The wait status of the kernel: a code in the second byte, or a signal in the first.
                let status = process["exit_code"].as_u64().unwrap();
                let expected =
                    if status & 0x7f == 0 { ("code", status >> 8) } else { ("signal", status & 0x7f) };
                assert_eq!(ours["exit_status"][expected.0].as_u64(), Some(expected.1), "{about}");
            } else {
                if let Some(environment) = process["environ"].as_array() {
                    assert_texts(
                        &exact_list(ours, "environment"),
                        environment,
                        &format!("{about}: environment"),
                    );
                }
                assert_texts(
                    &exact_list(ours, "arguments"),
                    process["argv"].as_array().unwrap(),
                    &format!("{about}: arguments"),
                );
            }
        }
    }
}

#[track_caller]
fn assert_same_identity(ours: &Value, live: &Value, about: &str) {
    if let Told::Whole(comm) = told(&live["comm"]) {
        assert_eq!(exact(ours, "command"), Some(comm), "{about}: command");
    }
    // A root's parent is outside of the dump.
    let parent = ours["ppid"].as_u64().filter(|pid| *pid > 0);
    assert!(parent.is_none() || parent == live["ppid"].as_u64(), "{about}: ppid");
    assert_eq!(ours["pgid"], live["pgid_ns"], "{about}: pgid");
    assert_eq!(ours["sid"], live["sid_ns"], "{about}: sid");
    if let Some(uid) = ours["uid"].as_u64() {
        let live = live["uid"].as_str().unwrap().split('\t').next().unwrap();
        assert_eq!(uid.to_string(), live, "{about}: uid");
    }
}

#[test]
fn threads_have_the_names_that_they_gave_themselves() {
    for name in ["kitchen", "criu-features", "hostile"] {
        let truth = Truth::of(name);
        let shown = processes(&inspected(&[&truth.archive()]));
        let mut live: BTreeMap<u64, BTreeMap<u64, Vec<u8>>> = BTreeMap::new();
        for thread in truth.0["threads"].as_array().unwrap() {
            let Told::Whole(comm) = told(&thread["comm"]) else { panic!("{thread}") };
            live.entry(thread["pid"].as_u64().unwrap())
                .or_default()
                .insert(thread["tid"].as_u64().unwrap(), comm);
        }
        for (pid, threads) in live.into_iter().filter(|(_, threads)| threads.len() > 1) {
            let ours = shown[&pid].0["threads"].as_array().unwrap();
            let ours: BTreeMap<u64, Vec<u8>> = ours
                .iter()
                .map(|thread| (thread["tid"].as_u64().unwrap(), exact(thread, "command").unwrap()))
                .collect();
            assert_eq!(ours, threads, "{name}: process {pid}");
        }
    }
}

#[test]
fn a_program_whose_file_is_gone_is_marked_as_such() {
    let document = inspected(&[&testdata("kitchen.tar.zst")]);
    let shown = processes(&document);
    assert_eq!(shown[&40].0["executable"], "/tmp/ghost-exe");
    assert_eq!(shown[&40].0["executable_deleted"], true);
    assert!(shown[&1].0.get("executable_deleted").is_none());
    let tree = coldcase(&["inspect", "--files", &testdata("kitchen.tar.zst")]).run().ends_with(0);
    assert!(tree.text().contains("(deleted)"), "{}", tree.told());
}
