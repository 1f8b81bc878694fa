//! Where evidence lies: `testdata/` in the repository, and the larger corpus that COLDCASE_CORPUS may name.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A file of testdata/.
#[track_caller]
pub fn testdata(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    assert!(path.exists(), "{} is missing", path.display());
    path.into_os_string().into_string().unwrap()
}

/// The larger corpus. Without it a test says so and passes.
pub fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("COLDCASE_CORPUS").map(PathBuf::from);
    if root.is_none() {
        println!("skipped: no corpus");
    }
    root
}

/// The checkpoints in testdata/, by name: whatever lies there, so that no archive is forgotten.
pub fn all_of_testdata() -> Vec<String> {
    archives_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"))
}

/// The archives directly in a directory, sorted.
pub fn archives_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_archive = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().contains(".tar");
    let mut names: Vec<_> =
        entries.filter(is_archive).map(|path| path.to_str().unwrap().to_owned()).collect();
    assert!(!names.is_empty(), "no archives in {}", directory.display());
    names.sort();
    names
}

/// Corpus archives that hold several dumps: a command has to be told which.
pub fn has_several_dumps(archive: &str) -> bool {
    archive.contains("-chain.")
}

/// The bytes of an archive without its compression, by other means than the program's.
pub fn plain(archive: impl AsRef<Path>) -> Vec<u8> {
    let path = archive.as_ref();
    let file = File::open(path).unwrap();
    let mut bytes = Vec::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst") => zstd::Decoder::new(file).unwrap().read_to_end(&mut bytes),
        Some("gz") => flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes),
        Some("xz") => lzma_rust2::XzReader::new(file, true).read_to_end(&mut bytes),
        _ => { file }.read_to_end(&mut bytes),
    }
    .unwrap();
    bytes
}

/// A directory with the members of a checkpoint archive.
///
/// Nothing is set but contents: owners would need privileges, and runc's archives have directories that nobody may enter.
pub fn unpacked(archive: impl AsRef<Path>) -> TempDir {
    let directory = TempDir::new().unwrap();
    unpack_into(archive, directory.path());
    directory
}

/// As [`unpacked`], into a directory that may hold something already.
pub fn unpack_into(archive: impl AsRef<Path>, directory: &Path) {
    let bytes = plain(archive);
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = directory.join(entry.path().unwrap());
        match entry.header().entry_type() {
            tar::EntryType::Directory => fs::create_dir_all(&path).unwrap(),
            tar::EntryType::Symlink => {
                let target = entry.link_name().unwrap().unwrap().into_owned();
                std::os::unix::fs::symlink(target, &path).unwrap();
            }
            tar::EntryType::Regular | tar::EntryType::GNUSparse => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::io::copy(&mut entry, &mut File::create(&path).unwrap()).unwrap();
            }
            other => panic!("{}: a member of type {other:?}", path.display()),
        }
    }
}
