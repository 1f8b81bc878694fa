//! Where checkpointctl is right, `inspect --format json` says the same under the same names.
//!
//! Compared with answers of checkpointctl 1.5.0 and of its head of April 2026. Every difference is listed here with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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
    if let Some(sockets) = golden["sockets"].as_array_mut() {
        for process in sockets.iter_mut() {
            let open = process["open_sockets"].as_array_mut().unwrap();
            // One socket that several descriptors are open on is listed for each; here once, with the descriptors.
            let mut seen = Vec::new();
            open.retain(|socket| !std::mem::replace(&mut seen, { let mut more = seen.clone(); more.push(socket.clone()); more }).contains(socket));
        }
    }
    golden
}

const COMPARED: &[&str] = &["counter", "counter-later", "counter-crio", "counter-containerd", "redis", "tiny"];

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
