//! Real images of every engine and of four CRIU releases against crit's own text. Needs `COLDCASE_CORPUS`.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{corpus, images, names_in};
use criu_images::framing::Image;
use criu_images::json::{self, Options};

#[test]
fn checkpoints_of_every_engine_read_as_crit_reads_them() {
    let Some(root) = corpus() else { return };
    let root = root.join("checkpoints");
    let mut checkpoints = 0;
    for name in names_in(&root.join("golden")) {
        let golden = root.join("golden").join(&name).join("crit/crit.tar.zst");
        if golden.exists() {
            let compared = compare_all(&images(&archive_of(&root, &name)), &images(&golden), true);
            assert!(compared > 10, "{name}: only {compared} images were compared");
            checkpoints += 1;
        }
    }
    assert!(checkpoints >= 16, "only {checkpoints} checkpoints");
}

/// The archive that a golden folder belongs to. `tiny.tar.zst` is another dump than `tiny.tar`, which the folder is of.
fn archive_of(root: &Path, name: &str) -> PathBuf {
    let ends = [".tar", ".tar.zst", ".oci.tar.zst", "-dir.tar.zst"];
    let mut archives = ends.iter().map(|end| root.join(format!("{name}{end}")));
    archives.find(|path| path.exists()).unwrap_or_else(|| panic!("no archive for golden/{name}"))
}

/// `hostile` has names that are no UTF-8, on which crit fails. A crit that was made to write such bytes as Python does
/// (U+DC80 to U+DCFF) gave these texts: they become the images.
#[test]
fn texts_with_bytes_that_are_no_utf8_become_the_images() {
    let Some(root) = corpus() else { return };
    let root = root.join("checkpoints");
    let checkpoint = images(&archive_of(&root, "hostile"));
    let (mut compared, mut escaped) = (0, 0);
    for (path, text) in images(&root.join("golden/hostile/crit/crit-lossless.tar.zst")) {
        let Some(name) = stem(&path) else { continue };
        let bytes = find(&checkpoint, name).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut image = Vec::new();
        json::encode(text.as_bytes(), &mut image).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(&image == bytes, "{name}: {text}");
        compared += 1;
        escaped += usize::from(text.contains("\\udc"));
    }
    assert!(compared > 100 && escaped >= 6, "only {compared} texts, {escaped} with such bytes");
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
        let Some(stem) = stem(path) else { continue };
        let (stem, pretty) = stem.strip_suffix(".pretty").map_or((stem, pretty), |stem| (stem, true));
        compare(images, stem, std::str::from_utf8(text).unwrap(), pretty);
        compared += 1;
    }
    compared
}

/// The name of the image that a golden file is the text of, if it is a text.
fn stem(path: &str) -> Option<&str> {
    path.strip_suffix(".json").filter(|stem| !stem.ends_with("not-decoded"))
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
    // An image of shared memory whose pages are elsewhere: crit takes the second entry for the content of the first, and
    // the text is the same up to there.
    let (mut text, mut crit) = (text.as_str(), crit);
    if image.kind().name == "IPCNS_SHM" && text.matches("in_pagemaps").count() > 1 {
        (text, crit) = (text.split_once(EXTRA).unwrap().0, crit.split_once(EXTRA).unwrap().0);
    }
    let (ours, theirs) = (text.lines(), crit.lines());
    assert_eq!(ours.clone().count(), theirs.clone().count(), "{name}:\n{text}\n{crit}");
    for (ours, theirs) in ours.zip(theirs) {
        assert!(ours == theirs || is_known(ours, theirs), "{name}:\n{ours}\n{theirs}");
    }
}

const EXTRA: &str = "\"extra\": ";

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
