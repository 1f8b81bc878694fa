//! Real images of every engine and of four CRIU releases against crit's own text. Needs `COLDCASE_CORPUS`.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use std::collections::BTreeMap;

use common::{corpus, images};
use criu_images::framing::Image;
use criu_images::json::{self, Options};

/// Checkpoints with crit's text of their images, by the names of the two files.
const CHECKPOINTS: [(&str, &str); 14] = [
    ("compromised.tar.zst", "compromised/crit/crit.tar.zst"),
    ("counter-containerd.tar.zst", "counter-containerd/crit/crit.tar.zst"),
    ("counter-crio.tar.zst", "counter-crio/crit/crit.tar.zst"),
    ("counter-docker-dir.tar.zst", "counter-docker/crit/crit.tar.zst"),
    ("counter-later.tar.zst", "counter-later/crit/crit.tar.zst"),
    ("counter-runc.tar.zst", "counter-runc/crit/crit.tar.zst"),
    ("counter.tar.zst", "counter/crit/crit.tar.zst"),
    ("criu-features.tar.zst", "criu-features/crit/crit.tar.zst"),
    ("hostile.tar.zst", "hostile/crit/crit.tar.zst"),
    ("kitchen.tar.zst", "kitchen/crit/crit.tar.zst"),
    ("pre-final.tar.zst", "pre-final/crit/crit.tar.zst"),
    ("redis.tar.zst", "redis/crit/crit.tar.zst"),
    ("tiny-criu.tar", "tiny-criu/crit/crit.tar.zst"),
    ("tiny.tar", "tiny/crit/crit.tar.zst"),
];

#[test]
fn checkpoints_of_every_engine_read_as_crit_reads_them() {
    let Some(root) = corpus() else { return };
    let root = root.join("checkpoints");
    for (archive, golden) in CHECKPOINTS {
        let (archive, golden) = (images(&root.join(archive)), images(&root.join("golden").join(golden)));
        let compared = compare_all(&archive, &golden, true);
        assert!(compared > 10, "only {compared} images were compared");
    }
}

#[test]
fn dumps_of_four_releases_read_as_their_own_crit_reads_them() {
    let Some(root) = corpus() else { return };
    let root = root.join("checkpoints/generations");
    let mut compared = 0;
    for entry in std::fs::read_dir(root.join("golden")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let archive = images(&root.join(format!("{name}.tar.zst")));
        let golden = images(&root.join("golden").join(&name).join("crit.tar.zst"));
        compared += compare_all(&archive, &golden, false);
    }
    assert!(compared > 2000, "only {compared} images were compared");
}

#[test]
fn dumps_of_arm64_read_as_crit_reads_them() {
    let Some(root) = corpus() else { return };
    let root = root.join("cases/aarch64");
    let mut compared = 0;
    for entry in std::fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        let case = path.file_name().unwrap().to_str().unwrap();
        let Some(case) = case.strip_suffix(".tar.zst").filter(|case| !case.ends_with(".archive")) else {
            continue;
        };
        let mut files = images(&path);
        let Some(golden) = files.remove(&format!("{case}/golden.jsonl")) else { continue };
        let archive = root.join(format!("{case}.archive.tar.zst"));
        if archive.exists() {
            files = images(&archive);
        }
        for line in golden.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let record: serde_json::Value = serde_json::from_slice(line).unwrap();
            let name = record["image"].as_str().unwrap();
            compare(&files, name, record["json"].as_str().unwrap(), false);
            compared += 1;
        }
    }
    assert!(compared > 150, "only {compared} images were compared");
}

#[test]
fn variants_of_one_dump_read_as_crit_reads_them() {
    let Some(root) = corpus() else { return };
    for case in ["compressed-page", "compressed-region", "gen-v1.0", "gen-v3.5", "net"] {
        let root = root.join("cases/crit-x").join(case);
        let cases = common::read(case, &root.join("img.tar.zst"), &root.join("golden.jsonl.zst"));
        let mut compared = 0;
        for answer in &cases.answers {
            for (operation, pretty) in [("decode", false), ("pretty", true)] {
                let golden = answer["v4.3"].get(operation).unwrap_or(&answer[operation]);
                if let Some(text) = golden["out"].as_str().filter(|_| golden["exit"] == 0) {
                    compare(&cases.images, answer["file"].as_str().unwrap(), text, pretty);
                    compared += 1;
                }
            }
        }
        assert!(compared > 40, "{case}: only {compared} texts were compared");
    }
}

/// Compares all images that have a golden text; returns how many.
fn compare_all(
    images: &BTreeMap<String, Vec<u8>>,
    golden: &BTreeMap<String, Vec<u8>>,
    pretty: bool,
) -> usize {
    let mut compared = 0;
    for (path, text) in golden {
        let Some(stem) = path.strip_suffix(".json").filter(|stem| !stem.ends_with("not-decoded")) else {
            continue;
        };
        let (stem, pretty) = stem.strip_suffix(".pretty").map_or((stem, pretty), |stem| (stem, true));
        compare(images, stem, std::str::from_utf8(text).unwrap(), pretty);
        compared += 1;
    }
    compared
}

/// Compares one image with crit's text of it, but for what is known of crit's releases.
fn compare(images: &BTreeMap<String, Vec<u8>>, name: &str, crit: &str, pretty: bool) {
    let bytes = find(images, name).unwrap_or_else(|| panic!("no image for {name}"));
    let base = name.rsplit('/').next().unwrap();
    let image = Image::parse_named(base.as_bytes(), bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut text = Vec::new();
    json::decode(&image, &Options { pretty, ..Options::default() }, &mut text).unwrap();
    let mut text = String::from_utf8(text).unwrap();
    let crit = crit.trim_end();

    // Up to 4.1 field 2 of pagemap_entry had the name that field 5 has now.
    if image.kind().name.ends_with("PAGEMAP") && !crit.contains("compat_nr_pages") {
        text = text.replace("compat_nr_pages", "nr_pages");
    }
    // A frame of version 1.0 is not in crit's text.
    for (mark, end) in [(", \"coldcase\"", "}"), (",\n    \"coldcase\"", "\n}")] {
        if let Some(at) = text.find(mark).filter(|_| image.head() != image.kind().head) {
            text.replace_range(at.., end);
        }
    }
    let ours = text.lines();
    let theirs = crit.lines();
    // An image of shared memory whose pages are elsewhere: crit takes the second entry for the content of the first.
    if image.kind().name == "IPCNS_SHM" && text.matches("in_pagemaps").count() > 1 {
        return;
    }
    assert_eq!(ours.clone().count(), theirs.clone().count(), "{name}:\n{text}\n{crit}");
    for (ours, theirs) in ours.zip(theirs) {
        assert!(ours == theirs || is_known(ours, theirs), "{name}:\n{ours}\n{theirs}");
    }
}

/// Lines in which crit's releases before 4.3 are wrong or know less.
fn is_known(ours: &str, theirs: &str) -> bool {
    const KNOWN: [(&str, &str); 4] = [
        (r#""task_state": "Dead""#, r#""task_state": 2"#),
        (r#""task_state": "Stopped""#, r#""task_state": "Zombie""#),
        ("VMA_AREA_MEMFD", "0x4000"),            // 3.17
        ("VMA_AREA_NOT_ACCOUNTABLE", "0x40000"), // 4.2
    ];
    KNOWN.iter().any(|(right, wrong)| ours.contains(right) && ours.replace(right, wrong) == theirs)
}

/// Finds the image of a golden text: the one with the longest common end of its path.
fn find<'a>(images: &'a BTreeMap<String, Vec<u8>>, name: &str) -> Option<&'a Vec<u8>> {
    let base = name.rsplit('/').next()?;
    let names = [name.to_owned(), format!("{name}.img"), base.to_owned(), format!("{base}.img")];
    names.iter().find_map(|name| {
        let found = images.iter().find(|(path, _)| {
            path.strip_suffix(name.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('/'))
        });
        found.map(|(_, bytes)| bytes)
    })
}
