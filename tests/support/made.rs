//! Whole evidence made for a test: a checkpoint with one planted text, and whatever stands around it.

use std::fs;

use tempfile::TempDir;

use super::images::{PE_PRESENT, inventory, page, pagemap, run};
use super::program::{Ran, coldcase, coldcase_within};
use super::tar_bytes::Tar;

/// Files that make a checkpoint, and what stands around them.
pub fn with_checkpoint(tar: Tar) -> Vec<u8> {
    let pages = [page(64, b"PLANTED")].concat();
    tar.directory("checkpoint/")
        .file("checkpoint/inventory.img", &inventory())
        .file("checkpoint/pagemap-1.img", &pagemap(1, &[run(0x10000, 1, PE_PRESENT)]))
        .file("checkpoint/pages-1.img", &pages)
        .finish()
}

pub fn asked(archive: &[u8], question: &[&str]) -> Ran {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("made.tar");
    fs::write(&path, archive).unwrap();
    coldcase_within(1 << 30, &[question, &[path.to_str().unwrap()]].concat()).run()
}

#[track_caller]
pub fn assert_still_finds(archive: &[u8]) {
    let ran = asked(archive, &["grep", "--format=jsonl", "PLANTED"]).ends_with(0);
    assert_eq!(ran.records().records.len(), 1, "{}", ran.told());
    let streamed = coldcase(&["grep", "--format=jsonl", "PLANTED", "-"])
        .fed(zstd::encode_all(archive, 1).unwrap())
        .run();
    assert_eq!(streamed.ends_with(0).records().records.len(), 1);
}
