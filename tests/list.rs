//! `coldcase list`: the checkpoints that lie in a directory.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::archives::{plain, testdata};
use crate::support::goldens;
use crate::support::program::coldcase;

/// A directory as the kubelet and its users leave it: the names of the golden, uncompressed.
fn kubelet_directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let names = goldens::text("list/directory.txt");
    let archives = ["counter-crio.tar.xz", "counter-containerd.tar.xz", "tiny.tar"];
    for (name, archive) in names.lines().zip(archives) {
        fs::write(directory.path().join(name), plain(testdata(archive))).unwrap();
    }
    directory
}

fn listed(directory: &Path) -> Vec<Vec<(String, String)>> {
    let ran = coldcase(&["list", directory.to_str().unwrap()]).run().ends_with(0);
    goldens::table(ran.text())
}

#[test]
fn namespaces_pods_containers_and_engines_are_those_of_checkpointctl() {
    let directory = kubelet_directory();
    let golden = goldens::table(&goldens::text("list/list.out"));
    let ours = listed(directory.path());
    assert_eq!(ours.len(), golden.len());
    let cell = |row: &[(String, String)], column: &str| -> String {
        let (_, cell) = row.iter().find(|(name, _)| name == column).unwrap_or_else(|| panic!("no {column}"));
        // An empty cell is a dash here.
        if cell == "-" { String::new() } else { cell.clone() }
    };
    for (ours, golden) in ours.iter().zip(&golden) {
        for column in ["NAMESPACE", "POD", "CONTAINER", "ENGINE"] {
            assert_eq!(cell(ours, column), cell(golden, column), "{column}");
        }
        let name = cell(golden, "CHECKPOINT NAME");
        assert_eq!(cell(ours, "CHECKPOINT NAME"), directory.path().join(name).to_str().unwrap());
        // The peer has minutes in RFC 822, and the year 1 where the engine recorded no time.
        let time = cell(golden, "TIME CHECKPOINTED");
        let told = cell(ours, "TIME CHECKPOINTED");
        match time.as_str() {
            "22 Nov 26 04:13 UTC" => assert_eq!(told, "2026-11-22T04:13:32Z"),
            "22 Nov 26 04:45 UTC" => assert_eq!(told, "2026-11-22T04:45:13Z"),
            "01 Jan 01 00:00 UTC" => {
                assert!(told.starts_with("not recorded; about 2026-11-22T04:09:38Z"), "{told}")
            }
            other => panic!("the golden has {other}"),
        }
    }
}

#[test]
fn checkpoints_are_known_by_their_content_whatever_their_names_are() {
    let directory = TempDir::new().unwrap();
    let put = |name: &str, archive: &str| fs::copy(testdata(archive), directory.path().join(name)).unwrap();
    put("a", "tiny.tar.zst");
    put("b.txt", "redis.tar.zst");
    fs::write(directory.path().join("checkpoint-notes.tar"), "no archive").unwrap();
    fs::write(directory.path().join("empty"), "").unwrap();
    fs::create_dir(directory.path().join("subdirectory")).unwrap();
    let names: Vec<String> =
        listed(directory.path()).iter().map(|row| row.last().unwrap().1.clone()).collect();
    let expected = ["a", "b.txt"].map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    assert_eq!(names, expected);
}

#[test]
fn an_empty_directory_is_no_failure() {
    let directory = TempDir::new().unwrap();
    let ran = coldcase(&["list", directory.path().to_str().unwrap()]).run().ends_with(0).quietly();
    assert_eq!(ran.text(), format!("No checkpoints found in {}\n", directory.path().display()));
}

#[test]
fn a_directory_that_is_not_there_is_one_and_the_others_are_listed() {
    let directory = kubelet_directory();
    let ran = coldcase(&["list", "/nonexistent", directory.path().to_str().unwrap()]).run().ends_with(2);
    assert_eq!(ran.messages("error").len(), 1, "{}", ran.told());
    assert_eq!(goldens::table(ran.text()).len(), 3, "{}", ran.told());
}

#[test]
fn every_dump_of_an_archive_with_several_is_listed() {
    let directory = TempDir::new().unwrap();
    fs::copy(testdata("criu317-chain.tar.zst"), directory.path().join("chain.tar.zst")).unwrap();
    let rows = listed(directory.path());
    assert_eq!(rows.len(), 14);
    assert!(rows.iter().any(|row| row.last().unwrap().1.ends_with("chain.tar.zst//chain/3-full")));
}

#[test]
fn the_documents_are_those_of_show() {
    let directory = kubelet_directory();
    let path = directory.path().to_str().unwrap();
    let listed = coldcase(&["list", "--format=json", path]).run().ends_with(0).documents();
    assert_eq!(listed.len(), 3);
    for document in listed {
        let shown =
            coldcase(&["show", "--format=json", document["evidence"].as_str().unwrap()]).run().ends_with(0);
        assert_eq!(document, shown.document());
    }
}
