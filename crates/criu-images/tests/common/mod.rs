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
    /// crit's answers in the order of the file; none if crit was not asked.
    pub answers: Vec<Value>,
}

/// Returns all that the repository holds: who adds a file to `testdata/images` adds a case to every test.
pub fn in_repository() -> Vec<Cases> {
    let root = testdata();
    let mut all: Vec<_> =
        names_in(&root).iter().filter_map(|name| name.strip_suffix(".tar.zst")).map(in_archive).collect();
    all.push(single(&root.join("single")));
    all
}

/// Returns the cases of one archive of the repository.
pub fn in_archive(name: &str) -> Cases {
    let archive = testdata().join(format!("{name}.tar.zst"));
    let answers = testdata().join(format!("{name}.jsonl.zst"));
    if answers.exists() {
        return read(name, &archive, &answers);
    }
    Cases { name: name.to_owned(), images: images(&archive), answers: Vec::new() }
}

/// Reads a folder of images: beside each `X.img` is what crit prints of it, `X.img.json`, `X.img.pretty.json` or both.
fn single(folder: &Path) -> Cases {
    let mut cases = Cases { name: "single".to_owned(), images: BTreeMap::new(), answers: Vec::new() };
    for name in names_in(folder).into_iter().filter(|name| !name.ends_with(".json")) {
        let mut answer = serde_json::json!({ "file": name });
        for (operation, end) in [("decode", "json"), ("pretty", "pretty.json")] {
            if let Ok(text) = std::fs::read_to_string(folder.join(format!("{name}.{end}"))) {
                // With `-o` crit ends its text without a newline.
                answer[operation] =
                    serde_json::json!({ "exit": 0, "out": text.trim_end().to_owned() + "\n" });
            }
        }
        assert!(answer.as_object().unwrap().len() > 1, "single/{name}: nothing to compare it with");
        cases.images.insert(name.clone(), std::fs::read(folder.join(name)).unwrap());
        cases.answers.push(answer);
    }
    cases
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/images")
}

/// The names in a folder, sorted.
pub fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
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

/// Reads the files of a packed archive by their names without a leading `./`, and of the archives in an OCI layout.
pub fn images(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut images = BTreeMap::new();
    add_files(&unpack(archive), &mut images);
    images
}

fn add_files(archive: &[u8], images: &mut BTreeMap<String, Vec<u8>>) {
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path().unwrap().to_str().unwrap().trim_start_matches("./").to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if name.starts_with("blobs/") {
            bytes = unpacked(bytes);
            if bytes.get(257..262) == Some(b"ustar") {
                add_files(&bytes, images);
                continue;
            }
        }
        images.insert(name, bytes);
    }
}

/// Reads a file, unpacked if it is packed.
pub fn unpack(path: &Path) -> Vec<u8> {
    unpacked(std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn unpacked(bytes: Vec<u8>) -> Vec<u8> {
    let mut plain = Vec::new();
    match bytes.as_slice() {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ruzstd::decoding::StreamingDecoder::new(bytes.as_slice())
            .unwrap()
            .read_to_end(&mut plain)
            .unwrap(),
        [0x1f, 0x8b, ..] => flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap(),
        _ => return bytes,
    };
    plain
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

/// The most memory that this process ever had, in bytes, where the system tells it.
pub fn peak_memory() -> Option<u64> {
    memory("VmHWM:")
}

/// The memory that this process has now, in bytes, where the system tells it.
pub fn present_memory() -> Option<u64> {
    memory("VmRSS:")
}

fn memory(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}
