//! Images and crit's answers, from the repository and, if there is one, from the larger corpus.

// Each test uses its part; what goes wrong here fails the test.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use criu_images::framing::Image;
use criu_images::json::{self, Options};
use serde_json::Value;

/// Images of one place with crit's answers, one record an image.
pub struct Cases {
    /// Where they come from, for messages.
    pub name: String,
    /// The images by their names in the archive.
    pub images: BTreeMap<String, Vec<u8>>,
    /// crit's answers in the order of the file.
    pub answers: Vec<Value>,
}

/// Returns the cases that the repository holds.
pub fn in_repository() -> Vec<Cases> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/images");
    let mut all = vec![read("synthetic", &root.join("synthetic.tar.zst"), &root.join("synthetic.jsonl.zst"))];
    for name in ["tree", "zombie", "criu43"] {
        let archive = root.join(format!("{name}.tar.zst"));
        all.push(read(name, &archive, &root.join(format!("{name}.jsonl.zst"))));
    }
    all
}

/// Returns the root of the larger corpus; says so if there is none.
pub fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("COLDCASE_CORPUS").map(PathBuf::from);
    if root.is_none() {
        println!("skipped: no corpus");
    }
    root
}

/// Reads an archive of images and the answers to it.
pub fn read(name: &str, archive: &Path, answers: &Path) -> Cases {
    let answers = unpack(answers);
    let answers = answers.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    Cases {
        name: name.to_owned(),
        images: images(archive),
        answers: answers.map(|line| serde_json::from_slice(line).unwrap()).collect(),
    }
}

/// Reads the files of a packed archive by their names without a leading `./`.
pub fn images(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut images = BTreeMap::new();
    for entry in tar::Archive::new(unpack(archive).as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let name = entry.path().unwrap().to_str().unwrap().trim_start_matches("./").to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            images.insert(name, bytes);
        }
    }
    images
}

/// Reads a file, unpacked if its name ends in `.zst`.
pub fn unpack(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if path.extension().is_none_or(|extension| extension != "zst") {
        return bytes;
    }
    let mut unpacked = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(bytes.as_slice()).unwrap().read_to_end(&mut unpacked).unwrap();
    unpacked
}

/// Checks that an image comes back, damaged or not; false if it is no image at all.
pub fn there_and_back(name: &str, bytes: &[u8]) -> bool {
    let base = name.rsplit('/').next().unwrap();
    let Ok(image) = Image::parse_named(base.as_bytes(), bytes) else { return false };
    let mut forms = Vec::new();
    for pretty in [false, true] {
        let options = Options { pretty, salvage: true, ..Options::default() };
        let mut text = Vec::new();
        let decoded = json::decode(&image, &options, &mut text);
        let mut again = Vec::new();
        let encoded = json::encode(&text, &mut again);
        assert!(
            again == bytes,
            "{name} (pretty: {pretty}): {decoded:?}, {encoded:?}\n{}\n{bytes:02x?}",
            String::from_utf8_lossy(&text)
        );
        forms.push(decoded.is_ok());
    }
    assert_eq!(forms[0], forms[1]);
    true
}
