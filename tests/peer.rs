//! Where checkpointctl is right, `inspect --format json` says the same under the same names.
//!
//! Compared with answers of checkpointctl 1.5.0 and of its head of April 2026. Every difference is listed here with its reason.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use crate::inspect::inspected;
use crate::support::archives::{corpus, testdata};
use crate::support::goldens;
use crate::support::program::coldcase;
use crate::support::truth::Truth;

/// Says whether ours may differ from the peer's at a place (a path of keys, list positions left out), and makes the peer's value what it should be.
fn corrected(path: &str, golden: &Value) -> Value {
    match (path, golden) {
        // The peer joins arguments with a blank behind each, the last one too.
        ("process_tree.cmdline" | "process_tree.children.cmdline", Value::String(line)) => {
            line.strip_suffix(' ').unwrap_or(line).into()
        }
        _ => golden.clone(),
    }
}

/// Everything that the peer says has to be said by ours, too; ours may say more.
#[track_caller]
fn assert_says(ours: &Value, golden: &Value, path: &str, name: &str) {
    let about = format!("{name}: {path}");
    match golden {
        Value::Object(golden) => {
            let ours = ours.as_object().unwrap_or_else(|| panic!("{about}: {ours} is no object"));
            for (key, value) in golden {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                assert_key(ours, key, value, &below, name);
            }
            // Variables and annotations are sets: ours has no other members.
            if path.ends_with("environment_variables") || path.ends_with("annotations") {
                let keys = |map: &Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
                assert_eq!(keys(ours), keys(golden), "{about}");
            }
        }
        Value::Array(golden) => {
            let ours = ours.as_array().unwrap_or_else(|| panic!("{about}: {ours} is no list"));
            assert_eq!(ours.len(), golden.len(), "{about}: {ours:?} {golden:?}");
            // The peer keeps children in a map, so that their order changes from run to run. Ours is by pid.
            let sorted = |list: &[Value]| -> Vec<Value> {
                let mut list = list.to_vec();
                if path.ends_with("children") {
                    list.sort_by_key(|child| child["pid"].as_u64());
                }
                list
            };
            for (ours, golden) in sorted(ours).iter().zip(sorted(golden)) {
                assert_says(ours, &golden, path, name);
            }
        }
        // An empty list.
        Value::Null => assert_eq!(ours, &Value::Array(Vec::new()), "{about}"),
        scalar => {
            let path = deepest_alike(path);
            assert_eq!(*ours, corrected(&path, scalar), "{about}");
        }
    }
}

#[track_caller]
fn assert_key(ours: &Map<String, Value>, key: &str, golden: &Value, path: &str, name: &str) {
    let told = ours.get(key).unwrap_or_else(|| panic!("{name}: {path} is not told; the peer has {golden}"));
    assert_says(told, golden, path, name);
}

/// `children.children.children` as one.
fn deepest_alike(path: &str) -> String {
    let mut path = path.to_owned();
    while path.contains("children.children") {
        path = path.replace("children.children", "children");
    }
    path
}

/// The answers of the peer that lie in a directory of goldens, with ours to the same question.
#[track_caller]
fn assert_agrees(golden: &Path, archive: &str) {
    let golden_object = prepared(goldens::object(golden));
    let ours = inspected(&[archive]);
    assert_says(&ours, &golden_object, "", &golden.display().to_string());
}

/// Takes out of the peer's answer what is known to be wrong.
fn prepared(mut golden: Value) -> Value {
    for process in golden["sockets"].as_array_mut().into_iter().flatten() {
        // A socket that several descriptors are open on is listed for each of them; here once, with its descriptors.
        let mut once: Vec<Value> = Vec::new();
        for socket in process["open_sockets"].as_array().unwrap() {
            if !once.contains(socket) {
                once.push(socket.clone());
            }
        }
        process["open_sockets"] = once.into();
    }
    golden
}

const COMPARED: &[&str] =
    &["counter", "counter-later", "counter-crio", "counter-containerd", "redis", "tiny"];

#[test]
fn every_field_that_checkpointctl_tells_is_told_alike() {
    for name in COMPARED {
        let golden = testdata(&format!("golden/{name}/inspect-all.json.out"));
        assert_agrees(Path::new(&golden), &Truth::of(name).archive());
    }
}

#[test]
fn networks_and_metadata_of_checkpointctl_s_head_are_told_alike() {
    for name in COMPARED.iter().filter(|name| **name != "counter-later") {
        let golden = testdata(&format!("golden/head/{name}-all.json.out"));
        assert_agrees(Path::new(&golden), &Truth::of(name).archive());
    }
}

#[test]
fn goldens_of_the_corpus_are_told_alike() {
    let Some(corpus) = corpus() else { return };
    let checkpoints = corpus.join("checkpoints");
    let path = |name: &str| checkpoints.join(name).into_os_string().into_string().unwrap();
    for name in ["counter-runc", "counter-crio", "counter-containerd", "redis"] {
        let golden = checkpoints.join(format!("golden/{name}/checkpointctl/inspect-all.json.out"));
        assert_agrees(&golden, &path(&format!("{name}.tar.zst")));
    }
    let golden = checkpoints.join("golden/head-inspect/checkpointctl-head/counter-runc-all.json.out");
    assert_agrees(&golden, &path("counter-runc.tar.zst"));
    let text = crate::support::archives::plain(path("golden/compromised/checkpointctl/inspect-all.json.zst"));
    let golden: Value = serde_json::from_slice(&text).unwrap();
    assert_says(&inspected(&[&path("compromised.tar.zst")]), &prepared(golden[0].clone()), "", "compromised");
}

/// The lines of a tree without its branches, each with how far it is indented.
fn leaves(tree: &str) -> Vec<(usize, String)> {
    let is_branch = |c: char| "│├└─ \u{a0}".contains(c);
    let leaf = |line: &str| {
        let indentation = line.chars().take_while(|&c| is_branch(c)).count();
        (indentation, line.trim_start_matches(is_branch).trim_end().to_owned())
    };
    tree.lines().filter(|line| line.contains("── ")).map(leaf).collect()
}

/// What ours has in place of a line of the peer's: exactly a line, or the start of one.
enum Ours {
    Line(String),
    Start(String),
}

fn expected(line: &str) -> Ours {
    // A descriptor's or process's line: what stands behind it here, the peer does not know.
    if let Some(socket) = line.strip_suffix(')').filter(|line| line.starts_with('[') && line.contains('↑'))
    {
        // An address of IPv6 stands in brackets, so that its port can be told from it.
        return Ours::Start(format!("{}; fd ", socket.replace(" :::", " [::]:")));
    }
    if line.starts_with('[') {
        // The name of a process that renamed itself follows its command line, `(deleted)` a path.
        return Ours::Start(line.to_owned());
    }
    match line.strip_prefix("Created: ").and_then(|time| time.split_once('.')) {
        // CRI-O's annotation has nanoseconds; times here are to the second.
        Some((seconds, _)) => Ours::Line(format!("Created: {seconds}Z")),
        None => Ours::Line(line.to_owned()),
    }
}

#[test]
fn every_line_of_checkpointctl_s_tree_is_in_the_tree() {
    for name in COMPARED {
        let ran = coldcase(&["inspect", "--all", &Truth::of(name).archive()]).run().ends_with(0);
        let ours: BTreeSet<String> = leaves(ran.text()).into_iter().map(|(_, line)| line).collect();
        let golden = leaves(&goldens::text(&format!("{name}/inspect-all.tree.out")));
        let mut unfolded = None;
        for (indentation, line) in golden {
            if unfolded.is_some_and(|outer| indentation > outer) {
                continue;
            }
            // An annotation that is JSON is unfolded by the peer; here it stands as it is.
            let is_json = line.starts_with("io.kubernetes.") && !line.contains(": ") && !line.ends_with(':');
            unfolded = is_json.then_some(indentation);
            let expected = if is_json { Ours::Start(format!("{line}: ")) } else { expected(&line) };
            let is_there = match &expected {
                Ours::Line(line) => ours.contains(line),
                Ours::Start(start) => ours.iter().any(|line| line.starts_with(start)),
            };
            assert!(is_there, "{name}: {line:?} is not in\n{}", ran.text());
        }
    }
}
