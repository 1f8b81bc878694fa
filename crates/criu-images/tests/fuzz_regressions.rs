//! What the fuzz targets promise, of what they once found (`fuzz/regressions/TARGET/`) and of every fixture.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

#[path = "../../../fuzz/src/lib.rs"]
#[allow(clippy::expect_used)] // a failure fails the test
mod targets;

use std::fs;
use std::path::Path;

/// A function that panics where its promise does not hold.
type Target = fn(&[u8]);

/// The functions of the fuzz targets, by the names of these.
const TARGETS: [(&str, Target); 6] = [
    ("compress", targets::compression),
    ("decode", targets::decode),
    ("encode", targets::encode),
    ("pagemap", targets::pagemap),
    ("raw", targets::raw_image),
    ("round_trip", targets::round_trip),
];

#[test]
fn what_was_found_once_is_not_found_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (target, run) in TARGETS {
        assert!(root.join(format!("fuzz_targets/{target}.rs")).exists(), "there is no target {target}");
        let Ok(found) = fs::read_dir(root.join("regressions").join(target)) else { continue };
        for file in found {
            let path = file.unwrap().path();
            println!("{}", path.display());
            run(&fs::read(&path).unwrap());
        }
    }
}

#[test]
fn what_targets_promise_holds_of_every_fixture() {
    let mut images = 0;
    for cases in common::in_repository() {
        for (name, bytes) in cases.images.iter().filter(|(_, bytes)| bytes.len() < 1 << 16) {
            println!("{name}");
            targets::decode(bytes);
            targets::round_trip(bytes);
            targets::pagemap(&[&[12], bytes.as_slice()].concat());
            for kind in 0..criu_images::kinds::ALL.len() as u8 {
                targets::raw_image(&[&[kind], bytes.as_slice()].concat());
            }
            images += 1;
        }
    }
    assert!(images > 600, "only {images} images");
}
