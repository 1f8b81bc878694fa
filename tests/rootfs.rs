//! `coldcase rootfs`: what changed in the container's file system.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::inspect::exact;
use crate::support::archives::testdata;
use crate::support::program::coldcase;
use crate::support::truth::Truth;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The path of a record of the truth: a text, or `{"hex": …}`; with a slash in front as in the container.
fn path_of(record: &Value) -> Vec<u8> {
    let path = &record["path"];
    let bytes = match path.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let digits = path["hex"].as_str().unwrap();
            (0..digits.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
                .collect()
        }
    };
    [b"/", bytes.as_slice()].concat()
}

/// The entries of the listing by their exact path.
#[track_caller]
fn listed(archive: &str) -> BTreeMap<Vec<u8>, Value> {
    let document = coldcase(&["rootfs", "--hash", "--format=json", archive]).run().ends_with(0).document();
    let entries = document["entries"].as_array().unwrap().iter();
    entries.map(|entry| (exact(entry, "path").unwrap(), entry.clone())).collect()
}

/// What podman and CRI-O leave out by its path, changed or not, unless the directory itself is new.
const LEFT_OUT: &[&str] =
    &["/run/.containerenv", "/etc/hostname", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf"];

#[test]
fn files_have_the_mode_owner_size_and_hash_that_they_had_on_disk() {
    let names = [
        "counter",
        "counter-later",
        "counter-crio",
        "counter-containerd",
        "containerd-ctr",
        "checkpoint-image",
        "redis",
        "tiny",
        "kitchen",
        "hostile",
    ];
    for name in names {
        let truth = Truth::of(name);
        let ours = listed(&truth.archive());
        let mut compared = 0;
        for live in truth.0["rootfs"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|live| ["file", "reg"].contains(&live["type"].as_str().unwrap()))
        {
            let path = path_of(live);
            let about = format!("{name}: {}", String::from_utf8_lossy(&path));
            let Some(told) = ours.get(&path) else {
                assert!(LEFT_OUT.iter().any(|left_out| left_out.as_bytes() == path), "{about} is missing");
                continue;
            };
            assert_eq!(told["change"], "added or changed", "{about}");
            // A hard link has the contents of what it is a link to.
            if told["type"] == "file" {
                assert_eq!(told["size"], live["size"], "{about}");
                assert_eq!(told["sha256"], live["sha256"], "{about}");
            }
            let bits = |text: &Value| {
                u32::from_str_radix(text.as_str().unwrap().trim_start_matches("0o"), 8).unwrap() & 0o7777
            };
            assert_eq!(bits(&told["mode"]), bits(&live["mode"]), "{about}");
            assert_eq!((&told["uid"], &told["gid"]), (&live["uid"], &live["gid"]), "{about}");
            compared += 1;
        }
        assert!(compared >= 1, "{name}");
    }
}

#[test]
fn nothing_is_listed_that_did_not_change() {
    for name in [
        "counter",
        "counter-later",
        "counter-crio",
        "counter-containerd",
        "containerd-ctr",
        "redis",
        "tiny",
        "kitchen",
        "hostile",
    ] {
        let truth = Truth::of(name);
        let live: Vec<Vec<u8>> = truth.0["rootfs"].as_array().unwrap().iter().map(path_of).collect();
        for (path, told) in listed(&truth.archive()) {
            // CRIU's own hard links to deleted files are in the archive and are said to be CRIU's; deletions have names that Go mangled.
            let is_known =
                live.contains(&path) || told.get("made_by").is_some() || told.get("name_uncertain").is_some();
            assert!(is_known, "{name}: {told}");
        }
    }
}

#[test]
fn deletions_links_and_special_files_of_the_hostile_container_are_told() {
    let truth = Truth::of("hostile");
    let ours = listed(&truth.archive());
    for live in truth.0["rootfs"].as_array().unwrap() {
        let path = path_of(live);
        let about = String::from_utf8_lossy(&path).into_owned();
        let told = ours.get(&path);
        match live["type"].as_str().unwrap() {
            "whiteout" if std::str::from_utf8(&path).is_ok() => {
                assert_eq!(told.map(|told| told["change"].clone()), Some("deleted".into()), "{about}");
            }
            // Podman's list of deletions has U+FFFD in place of such bytes.
            "whiteout" => assert!(ours.contains_key(String::from_utf8_lossy(&path).as_bytes()), "{about}"),
            // A directory of the image that was replaced by a link to /etc: podman loses it.
            "symlink" if path == b"/img/dir" => assert!(told.is_none()),
            "symlink" if !LEFT_OUT.contains(&about.as_str()) => {
                let mut told = told.unwrap_or_else(|| panic!("{about} is missing"));
                if told["type"] == "hardlink" {
                    // Two names of one symbolic link: the tar has the second one as a link to the first.
                    told = &ours[&[b"/", exact(told, "link").unwrap().as_slice()].concat()];
                }
                let target = match live["target"].as_str() {
                    Some(text) => text.as_bytes().to_vec(),
                    None => path_of(&serde_json::json!({ "path": live["target"] }))[1..].to_vec(),
                };
                assert_eq!(exact(told, "link"), Some(target), "{about}: {told}");
            }
            "socket" => assert!(told.is_none(), "{about}"),
            "fifo" | "chr" | "blk" => assert!(told.is_some(), "{about} is missing"),
            _ => {}
        }
    }
}

#[test]
fn one_file_is_written_byte_by_byte() {
    for name in
        ["counter", "counter-crio", "counter-containerd", "containerd-ctr", "checkpoint-image", "tiny"]
    {
        let truth = Truth::of(name);
        for live in truth.0["rootfs"].as_array().unwrap().iter().filter(|live| live["type"] == "file") {
            let path = String::from_utf8(path_of(live)).unwrap();
            if LEFT_OUT.contains(&path.as_str()) {
                continue;
            }
            let ran =
                coldcase(&["rootfs", "cat", &truth.archive(), &path]).raw().run().ends_with(0).quietly();
            assert_eq!(hex(&Sha256::digest(&ran.stdout)), live["sha256"].as_str().unwrap(), "{name}: {path}");
        }
    }
}

#[test]
fn files_with_any_name_can_be_had_by_it() {
    let truth = Truth::of("hostile");
    let archive = truth.archive();
    let files = truth.0["rootfs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|live| live["type"] == "reg" && live["size"].as_u64() < Some(1 << 20));
    // Each run unpacks 42 MB: every fifth will do.
    for live in files.step_by(5) {
        let path = path_of(live);
        if LEFT_OUT.iter().any(|left_out| left_out.as_bytes() == path) {
            continue;
        }
        let arguments =
            [OsStr::new("rootfs"), OsStr::new("cat"), OsStr::new(&archive), OsStr::from_bytes(&path)];
        let ran = coldcase(&arguments).raw().run().ends_with(0);
        assert_eq!(
            hex(&Sha256::digest(&ran.stdout)),
            live["sha256"].as_str().unwrap(),
            "{}",
            String::from_utf8_lossy(&path)
        );
    }
}

#[test]
fn what_is_no_file_among_the_changes_is_not_written() {
    let (counter, hostile) = (testdata("counter.tar.zst"), testdata("hostile.tar.zst"));
    coldcase(&["rootfs", "cat", &counter, "/etc/passwd"]).run().ends_with(1);
    coldcase(&["rootfs", "cat", &hostile, "/img/plain"]).run().ends_with(1);
    coldcase(&["rootfs", "cat", &hostile, "/evil"]).run().ends_with(2);
    coldcase(&["rootfs", "cat", &hostile, "/evil/fifo"]).run().ends_with(2);
    coldcase(&["rootfs", "cat", &testdata("counter-docker-dir.tar.xz"), "/home/counter/logfile"])
        .run()
        .ends_with(1);
}

/// All below a directory, by path in it.
fn tree_below(root: &Path) -> BTreeMap<Vec<u8>, fs::Metadata> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                waiting.push(path.clone());
            }
            found.insert(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), metadata);
        }
    }
    found
}

#[test]
fn extracted_files_are_the_changed_ones_and_nothing_else() {
    let truth = Truth::of("counter");
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("out");
    coldcase(&["rootfs", "extract", "-o", output.to_str().unwrap(), &truth.archive()]).run().ends_with(0);
    let written = tree_below(&output);
    let files: Vec<&[u8]> =
        written.iter().filter(|(_, metadata)| metadata.is_file()).map(|(path, _)| path.as_slice()).collect();
    assert_eq!(files, [b"home/counter/logfile".as_slice(), b"home/counter/test-file"]);
    for live in truth.0["rootfs"].as_array().unwrap() {
        let path = output.join(live["path"].as_str().unwrap());
        if live["type"] == "file" && path.exists() {
            assert_eq!(hex(&Sha256::digest(fs::read(&path).unwrap())), live["sha256"].as_str().unwrap());
        }
    }
}

#[test]
fn only_what_was_asked_for_is_extracted() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("out");
    let archive = testdata("counter.tar.zst");
    let ran = coldcase(&[
        "rootfs",
        "extract",
        "-o",
        output.to_str().unwrap(),
        &archive,
        "/home/counter/logfile",
        "/etc",
    ])
    .run();
    let ran = ran.ends_with(1);
    assert!(ran.stderr.contains("/etc"), "{}", ran.told());
    let files = tree_below(&output).into_values().filter(fs::Metadata::is_file).count();
    assert_eq!(files, 1);
}

#[test]
fn extracting_writes_no_links_and_devices_and_nothing_outside_of_the_directory() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("inside/out");
    fs::create_dir(directory.path().join("inside")).unwrap();
    let ran = coldcase(&[
        "rootfs",
        "extract",
        "--store=all",
        "-o",
        output.to_str().unwrap(),
        &testdata("hostile.tar.zst"),
    ])
    .run();
    assert!(ran.status == 0 || ran.status == 3, "{}", ran.told());
    let written = tree_below(&output);
    assert!(written.values().filter(|metadata| metadata.is_file()).count() > 60, "{}", ran.told());
    for (path, metadata) in &written {
        let about = String::from_utf8_lossy(path);
        assert!(metadata.is_file() || metadata.is_dir(), "{about}: {:?}", metadata.file_type());
        assert_eq!(metadata.permissions().mode() & 0o7000, 0, "{about}: set-uid, set-gid or sticky");
        assert_eq!(metadata.uid(), fs::metadata(directory.path()).unwrap().uid(), "{about}");
    }
    let outside: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(outside, ["inside"]);
    assert_eq!(fs::read_dir(directory.path().join("inside")).unwrap().count(), 1);
    // What was not written is said.
    for what in ["/evil/fifo", "/evil/null"] {
        assert!(
            ran.messages("warning").iter().any(|warning| warning.contains(what)),
            "{what}: {}",
            ran.told()
        );
    }
}

#[test]
fn a_directory_that_holds_something_is_not_written_to() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("precious"), "mine").unwrap();
    let output = directory.path().to_str().unwrap();
    coldcase(&["rootfs", "extract", "-o", output, &testdata("counter.tar.zst")]).run().ends_with(2);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn other_stores_are_shown_when_asked_for() {
    let archive = testdata("kitchen.tar.zst");
    let document =
        coldcase(&["rootfs", "--store=all", "--format=json", &archive]).run().ends_with(0).document();
    let stores: Vec<_> = document["stores"]
        .as_array()
        .unwrap()
        .iter()
        .map(|store| store["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(stores.contains(&"rootfs".into()) && stores.contains(&"devshm".into()), "{stores:?}");
    assert!(stores.iter().any(|store| store.starts_with("volumes/")), "{stores:?}");
    let shown = document["entries"].as_array().unwrap();
    assert!(
        shown.iter().any(
            |entry| entry["store"] == "devshm" && entry["path"].as_str().unwrap().contains("kitchen-shm")
        )
    );
    let ran = coldcase(&["rootfs", "cat", "--store=devshm", &archive, "/dev/shm/kitchen-shm"]).raw().run();
    let by_store_path = coldcase(&["rootfs", "cat", "--store=devshm", &archive, "/kitchen-shm"]).raw().run();
    let truth = Truth::of("kitchen");
    let text = truth.0["needles"]["shm_posix"].as_str().unwrap().as_bytes();
    let found = [ran, by_store_path]
        .iter()
        .any(|ran| ran.status == 0 && ran.stdout.windows(text.len()).any(|window| window == text));
    assert!(found, "the text that was planted in /dev/shm/kitchen-shm");
    coldcase(&["rootfs", "--store=nonsense", &archive]).run().ends_with(2);
}

#[test]
fn what_the_engine_is_known_to_lose_is_said() {
    for name in [
        "counter.tar.zst",
        "counter-crio.tar.xz",
        "counter-containerd.tar.xz",
        "counter-docker-dir.tar.xz",
        "tiny-criu.tar",
    ] {
        let document = coldcase(&["rootfs", "--format=json", &testdata(name)]).run().ends_with(0).document();
        assert!(!document["known_losses"].as_array().unwrap().is_empty(), "{name}");
    }
}
