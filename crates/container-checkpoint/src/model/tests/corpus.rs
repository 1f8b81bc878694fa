//! Finds and unpacks real checkpoints.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::files::FileSet;

/// Files in memory by name.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(pub BTreeMap<String, Vec<u8>>);

impl FileSet for MemoryFiles {
    fn file(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.0.get(name).map(|bytes| Cow::Borrowed(&**bytes))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// The folder of the corpus; `None`, after saying so, when the environment names none.
pub fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("COLDCASE_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: no corpus");
    }
    folder
}

/// The images of each directory of an archive, by the directory's path in it. Pages are left out.
pub fn unpack(archive: &Path) -> BTreeMap<String, MemoryFiles> {
    let mut directories: BTreeMap<String, MemoryFiles> = BTreeMap::new();
    let bytes = read(archive);
    let mut tar = tar::Archive::new(&*bytes);
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = path.strip_prefix("./").unwrap_or(&path);
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let is_image = name.ends_with(".img") || name == "stats-dump";
        if !is_image || name.starts_with("pages-") || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        directories.entry(directory.to_owned()).or_default().0.insert(name.to_owned(), content);
    }
    directories
}

/// The images of an archive that has one directory of them.
pub fn unpack_one(archive: &Path) -> MemoryFiles {
    let mut directories = unpack(archive);
    directories.retain(|_, files| files.0.contains_key("pstree.img"));
    assert_eq!(directories.len(), 1, "{}: {:?}", archive.display(), directories.keys());
    directories.into_values().next().unwrap()
}

/// One member of an archive, by the end of its path.
pub fn member(archive: &Path, name: &str) -> Vec<u8> {
    let bytes = read(archive);
    let mut tar = tar::Archive::new(&*bytes);
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path_bytes().ends_with(name.as_bytes()) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            return content;
        }
    }
    panic!("{} has no {name}", archive.display())
}

/// A file's bytes, decompressed if its name says so.
pub fn read(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    match path.extension() {
        Some(extension) if extension == "zst" => zstd::decode_all(&*bytes).unwrap(),
        _ => bytes,
    }
}
