//! Decode, then encode: the same bytes, for every image, damaged ones too, and in both forms of the text.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use common::there_and_back;

#[test]
fn images_come_back_from_both_forms() {
    let mut images = 0;
    for cases in common::in_repository() {
        for (name, bytes) in &cases.images {
            images += usize::from(there_and_back(name, bytes));
        }
    }
    assert!(images > 600, "only {images} images were read");
}

#[test]
fn real_images_of_the_corpus_come_back() {
    let Some(root) = common::corpus() else { return };
    let mut images = 0;
    for folder in
        ["checkpoints", "checkpoints/generations", "cases/core", "cases/aarch64", "cases/crit-x/net"]
    {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if !(name.ends_with(".tar.zst") || name.ends_with(".tar")) {
                continue;
            }
            for (member, bytes) in common::images(&path) {
                let is_image = member.ends_with(".img") || member.ends_with("stats-dump");
                if is_image && !member.contains("pages-") {
                    images += usize::from(there_and_back(&format!("{name}/{member}"), &bytes));
                }
            }
        }
    }
    assert!(images > 3000, "only {images} images were read");
}
