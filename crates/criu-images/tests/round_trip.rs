//! Decode, then encode: the same bytes, for every image and in both forms of the text.

mod common;

use criu_images::framing::Image;
use criu_images::json::{self, Options};

fn there_and_back(name: &str, bytes: &[u8]) {
    let base = name.rsplit('/').next().unwrap();
    let Ok(image) = Image::parse_named(base.as_bytes(), bytes) else { return };
    for pretty in [false, true] {
        let options = Options { pretty, salvage: true, ..Options::default() };
        let mut text = Vec::new();
        let decoded = json::decode(&image, &options, &mut text);
        let mut again = Vec::new();
        if let Err(error) = json::encode(&text, &mut again) {
            panic!("{name}: {error}\n{}", String::from_utf8_lossy(&text));
        }
        assert!(again == bytes, "{name} (pretty: {pretty}, {decoded:?}): {} of {} bytes\n{}", again.len(), bytes.len(), String::from_utf8_lossy(&text));
    }
}

#[test]
fn images_of_the_repository_come_back() {
    for cases in common::in_repository() {
        for (name, bytes) in &cases.images {
            there_and_back(name, bytes);
        }
    }
}
