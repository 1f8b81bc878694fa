//! `coldcase show`: which container this is.

use serde_json::Value;

use crate::support::archives::{corpus, testdata, unpacked};
use crate::support::goldens;
use crate::support::program::coldcase;
use crate::support::truth::Truth;

/// Checkpoints in testdata/ whose container is known, by the name of their truth.
const KNOWN: &[&str] = &[
    "checkpoint-image",
    "containerd-ctr",
    "counter",
    "counter-containerd",
    "counter-crio",
    "counter-docker",
    "counter-later",
    "pre-final",
    "pre-whole",
    "redis",
    "tiny",
    "tiny-criu",
    "tiny-criu-noshare",
];

/// Facts and the keys under which they are told.
const FACTS: &[(&str, &str)] = &[
    ("engine", "engine"),
    ("container_name", "container_name"),
    ("image", "image"),
    ("id", "id"),
    ("runtime", "runtime"),
    ("started", "started"),
    ("checkpointed", "checkpointed"),
    ("ip", "ip"),
    ("mac", "mac"),
    ("pod_name", "pod_name"),
    ("pod_uid", "pod_uid"),
    ("kubernetes_namespace", "kubernetes_namespace"),
    ("sandbox_id", "sandbox_id"),
    ("host_name", "host_name"),
];

/// Asserts that a document tells what is true of a container, and claims nothing where nothing is known.
#[track_caller]
pub fn assert_tells(document: &Value, truth: &Truth, name: &str) {
    for (fact, key) in FACTS {
        assert_eq!(document[key].as_str(), truth.fact(fact), "{name}: {key}");
    }
    // The engine's own inspect may be later by less than a second: its record is not the archive's.
    let created = truth.fact("created").map(|created| created.trim_end_matches('Z'));
    let told = document["created_exact"].as_str();
    assert!(
        told.zip(created).is_none_or(|(told, created)| told.starts_with(created)),
        "{name}: {told:?} {created:?}"
    );
    assert_eq!(told.is_some(), created.is_some(), "{name}: created");
    let bare = |id: &str| id.trim_start_matches("sha256:").to_owned();
    if let Some(id) = truth.fact("image_id") {
        assert_eq!(document["image_id"].as_str().map(bare), Some(bare(id)), "{name}: image_id");
    }
    let sizes = &document["checkpoint_size"];
    assert_eq!(sizes["total_size"].as_u64(), truth.size("images_size"), "{name}: total_size");
    assert_eq!(sizes["memory_pages_size"].as_u64(), truth.size("pages_size"), "{name}: memory_pages_size");
    if let Some(size) = truth.size("rootfs_diff_size") {
        assert_eq!(sizes["root_fs_diff_size"].as_u64(), Some(size), "{name}: root_fs_diff_size");
    }
}

#[test]
fn engine_name_pod_namespace_image_id_runtime_times_addresses_and_sizes_are_true() {
    for name in KNOWN {
        let truth = Truth::of(name);
        let ran = coldcase(&["show", "--format=json", &truth.archive()]).run().ends_with(0);
        assert_tells(&ran.document(), &truth, name);
    }
}

#[test]
fn archives_of_the_corpus_tell_the_truth_too() {
    let Some(corpus) = corpus() else { return };
    let others = [("counter-gz", "counter.tar.gz"), ("counter-runc", "counter-runc.tar.zst")];
    let all =
        KNOWN.iter().map(|&name| (name, None)).chain(others.map(|(name, archive)| (name, Some(archive))));
    for (name, archive) in all {
        let truth = Truth::of(name);
        // The corpus has some of the repository's archives in another compression.
        let archive = archive.unwrap_or(truth.0["archive"].as_str().unwrap()).replace(".tar.xz", ".tar.zst");
        let path = corpus.join("checkpoints").join(&archive).into_os_string().into_string().unwrap();
        let ran = coldcase(&["show", "--format=json", &path]).run().ends_with(0);
        assert_tells(&ran.document(), &truth, &archive);
    }
}

#[test]
fn every_compression_tells_the_same() {
    let truth = Truth::of("tiny");
    for extension in ["", ".gz", ".zst", ".xz", ".bz2", ".lz4"] {
        let archive = testdata(&format!("tiny.tar{extension}"));
        let ran = coldcase(&["show", "--format=json", &archive]).run().ends_with(0).quietly();
        let mut document = ran.document();
        if [".gz", ".zst"].contains(&extension) {
            // Further dumps of the same process: other times, so that numbers in the images are a byte longer or shorter.
            document["checkpoint_size"]["total_size"] = truth.size("images_size").into();
        }
        assert_tells(&document, &truth, &archive);
    }
    let ran = coldcase(&["show", "--format=json", &testdata("tiny-dir.tar")]).run().ends_with(0).quietly();
    assert_tells(&ran.document(), &truth, "tiny-dir.tar");
}

#[test]
fn an_unpacked_checkpoint_tells_what_its_archive_tells() {
    for name in KNOWN {
        let truth = Truth::of(name);
        let directory = unpacked(truth.archive());
        let ran = coldcase(&["show", "--format=json", directory.path().to_str().unwrap()]).run().ends_with(0);
        assert_tells(&ran.document(), &truth, &format!("{name}, unpacked"));
    }
}

#[test]
fn the_table_has_the_columns_and_cells_of_checkpointctl() {
    for name in ["counter", "counter-later", "counter-crio", "counter-containerd", "redis", "tiny"] {
        let golden = goldens::table(&goldens::text(&format!("{name}/show.out")));
        let [golden] = golden.as_slice() else { panic!("{name}: one row expected") };
        let ran = coldcase(&["show", &Truth::of(name).archive()]).run().ends_with(0);
        let ours = goldens::table(ran.text());
        let ours = &ours[0];
        for (column, cell) in golden {
            let (_, told) = ours
                .iter()
                .find(|(other, _)| other == column)
                .unwrap_or_else(|| panic!("{name}: no {column}"));
            // The peer shows CRI-O's annotation as it stands, with nanoseconds; here a column is to the second.
            let cell = if column == "CREATED" { to_the_second(cell) } else { cell.clone() };
            assert_eq!(*told, cell, "{name}: {column}");
        }
        // 1.5.0 does not read podman's network.status; its head does, and puts the columns where they are here.
        let order: Vec<&String> = ours
            .iter()
            .map(|(column, _)| column)
            .filter(|column| golden.iter().any(|(other, _)| other == *column))
            .collect();
        assert_eq!(order, golden.iter().map(|(column, _)| column).collect::<Vec<_>>(), "{name}");
    }
}

fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

#[test]
fn several_checkpoints_share_a_table_with_a_column_that_says_which_is_which() {
    let (tiny, counter) = (testdata("tiny.tar"), testdata("counter.tar.zst"));
    let ran = coldcase(&["show", &tiny, &counter]).run().ends_with(0).quietly();
    let rows = goldens::table(ran.text());
    let cells =
        |row: usize, column: &str| rows[row].iter().find(|(name, _)| name == column).unwrap().1.clone();
    assert_eq!(rows.len(), 2, "{}", ran.told());
    assert_eq!((cells(0, "EVIDENCE"), cells(0, "CONTAINER")), (tiny, "tiny".into()));
    assert_eq!((cells(1, "EVIDENCE"), cells(1, "CONTAINER")), (counter, "counter".into()));
}

#[test]
fn a_time_that_no_engine_recorded_is_not_made_up() {
    let ran = coldcase(&["show", "--format=json", &testdata("counter.tar.zst")]).run().ends_with(0);
    let document = ran.document();
    assert!(document.get("checkpointed").is_none() && document.get("checkpointed_exact").is_none());
    // The newest image was written between the last request (04:04:35) and the next dump of the same container.
    let estimate = &document["checkpointed_estimate"];
    assert_eq!(estimate["time"], "2026-11-22T04:04:36Z", "{estimate}");
    assert!(estimate["source"].as_str().unwrap().contains("modification time"), "{estimate}");
    let table = coldcase(&["show", &testdata("counter.tar.zst")]).run().ends_with(0);
    assert!(table.text().contains("not recorded; about 2026-11-22T04:04:36Z"), "{}", table.told());
}

#[test]
fn statistics_are_criu_s() {
    for name in ["counter", "counter-crio", "counter-containerd", "redis", "tiny"] {
        let golden = goldens::object(testdata(&format!("golden/{name}/inspect-all.json.out")));
        let ran = coldcase(&["show", "--print-stats", "--format=json", &Truth::of(name).archive()])
            .run()
            .ends_with(0);
        let document = ran.document();
        for (key, value) in golden["statistics"].as_object().unwrap() {
            assert_eq!(&document["statistics"][key], value, "{name}: {key}");
        }
    }
}
