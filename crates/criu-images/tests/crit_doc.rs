//! What `docs/CRIT.md` says of images is what the crate prints of them.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use std::collections::BTreeMap;

use criu_images::framing::Image;
use criu_images::json::{self, Options};

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CRIT.md")).unwrap()
}

fn synthetic() -> BTreeMap<String, Vec<u8>> {
    common::in_archive("synthetic").images
}

/// All that is ever printed of an image: both forms, without payload, info, errors.
fn outputs(name: &str, bytes: &[u8]) -> String {
    let image = match Image::parse_named(name.rsplit('/').next().unwrap().as_bytes(), bytes) {
        Ok(image) => image,
        Err(error) => return error.to_string(),
    };
    let mut all = Vec::new();
    for (pretty, nopl) in [(false, false), (true, false), (true, true)] {
        if let Err(error) = json::decode(&image, &Options { pretty, nopl, salvage: false }, &mut all) {
            all.extend(error.to_string().bytes());
        }
    }
    json::info(&image, &Options::default(), &mut all).ok();
    String::from_utf8(all).unwrap().replace("\n                1,\n                2\n            ", "1, 2")
}

/// The texts between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn what_the_tables_say_of_images_is_true() {
    let (page, images) = (page(), synthetic());
    let mut checked = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let names: Vec<_> = quoted(cells[0]).into_iter().filter(|it| images.contains_key(*it)).collect();
        let (Some(ours), false) = (cells.get(2), names.is_empty()) else { continue };
        let outputs: Vec<_> = names.iter().map(|name| outputs(name, &images[*name])).collect();
        for text in quoted(ours).into_iter().filter(|it| !matches!(*it, "coldcase" | "encode" | "sid")) {
            assert!(
                outputs.iter().any(|it| it.contains(text)),
                "{text} is not printed of {names:?}:\n{outputs:?}"
            );
            checked += 1;
        }
    }
    assert!(checked > 15, "only {checked} texts were checked");
}

#[test]
fn the_examples_are_whole_texts() {
    let (page, images) = (page(), synthetic());
    for name in ["wire/unknown-fields.img", "wire/comm-not-utf8.img"] {
        let mut text = Vec::new();
        json::decode(&Image::parse(&images[name]).unwrap(), &Options::default(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(page.lines().any(|line| line.trim() == text), "{name}: {text}");
    }
}
