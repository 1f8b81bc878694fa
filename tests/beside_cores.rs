//! What stands beside cores: executables and libraries that are in the evidence, when several processes and a root have files of the same names.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::filling::{edit, edit_file, kitchen, map_again};
use crate::support::program::{Ran, coldcase, coldcase_filing};
use crate::support::tar_bytes::Tar;

/// An ELF file with nothing but a build id, of eight bytes that are all the same.
fn elf(id: u8) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    let mut number = |number: u64, len: usize| bytes.extend(&number.to_le_bytes()[..len]);
    for (value, len) in [(2, 2), (62, 2), (1, 4), (0x40_0000, 8), (64, 8), (0, 8), (0, 4), (64, 2), (56, 2)] {
        number(value, len);
    }
    for (value, len) in [(1, 2), (0, 6), (4, 4), (4, 4), (120, 8), (0, 8), (0, 8), (24, 8), (24, 8), (4, 8)] {
        number(value, len);
    }
    for value in [4, 8, 3] {
        number(value, 4);
    }
    bytes.extend(b"GNU\0");
    bytes.extend([id; 8]);
    bytes
}

/// What CRIU records of such a file.
fn record(file: &mut Value, id: u8) {
    file["size"] = elf(id).len().into();
    let word = u32::from_le_bytes([id; 4]);
    file["build_id"] = json!([word, word]);
}

/// Kitchen with files that the container changed: path, build id.
fn with_changed(files: &[(&str, u8)]) -> (TempDir, PathBuf) {
    let (directory, images) = kitchen();
    let changed = files.iter().fold(Tar::default(), |tar, (path, id)| tar.file(path, &elf(*id)));
    fs::write(directory.path().join("rootfs-diff.tar"), changed.finish()).unwrap();
    (directory, images)
}

/// Adds a file to the table of files.
fn add_file(images: &Path, number: u64, path: &str, id: u8) {
    edit(&images.join("files.img"), |document| {
        let files = document["entries"].as_array_mut().unwrap();
        let mut file = files[0].clone();
        (file["id"], file["reg"]["id"], file["reg"]["name"]) = (number.into(), number.into(), path.into());
        record(&mut file["reg"], id);
        files.push(file);
    });
}

/// Maps files, by their number in the table, into a process that has none of them.
fn map_files(images: &Path, pid: u32, files: &[u64]) {
    let mm = images.join(format!("mm-{pid}.img"));
    for (at, file) in (1..).zip(files) {
        map_again(&mm, 1, at << 28, 4096);
        edit(&mm, |document| {
            let mappings = document["entries"][0]["vmas"].as_array_mut().unwrap();
            let mapping = mappings.iter_mut().find(|mapping| mapping["start"] == at << 28).unwrap();
            mapping["shmid"] = (*file).into();
        });
    }
}

struct Cores {
    directory: TempDir,
    ran: Ran,
}

impl Cores {
    fn of(evidence: &TempDir, more: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let (out, evidence) = (directory.path().join("cores"), evidence.path().to_str().unwrap());
        let ran = coldcase(&[&["coredump", "-o", out.to_str().unwrap(), evidence], more].concat()).run();
        Self { directory, ran }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("cores").join(name)
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let names = fs::read_dir(self.path(directory)).unwrap();
        let mut names: Vec<String> =
            names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What the script says behind a word.
    fn told(&self, pid: u32, word: &str) -> Option<String> {
        let script = fs::read_to_string(self.path(&format!("core.{pid}.gdb"))).unwrap();
        script.lines().find_map(|line| Some(line.strip_prefix(word)?.to_owned()))
    }
}

#[test]
fn no_process_is_shown_the_library_of_another_one() {
    let (evidence, images) = with_changed(&[("a/libx.so", 1), ("b/libx.so", 2), ("a/liby.so", 3)]);
    for (number, path, id) in [(501, "/a/libx.so", 1), (502, "/b/libx.so", 2), (503, "/a/liby.so", 3)] {
        add_file(&images, number, path, id);
    }
    // It is in no evidence, and has a name that is.
    add_file(&images, 504, "/c/libx.so", 4);
    for (pid, files) in [(1, &[501, 503][..]), (2, &[502, 503]), (3, &[503]), (4, &[504, 503])] {
        map_files(&images, pid, files);
    }
    let cores = Cores::of(&evidence, &["-p", "1", "-p", "2", "-p", "3", "-p", "4"]);
    assert_eq!(cores.ran.status, 0, "{}", cores.ran.told());
    let searched = |pid| cores.told(pid, "set solib-search-path ").unwrap();
    let directory = |pid: u32| cores.path(&format!("core.{pid}.libs")).to_str().unwrap().to_owned();
    assert_eq!(searched(1), directory(1));
    assert_eq!(cores.names("core.1.libs"), ["libx.so", "liby.so"]);
    assert_eq!(searched(2), directory(2));
    assert_eq!(cores.names("core.2.libs"), ["libx.so", "liby.so"]);
    assert!(fs::read(cores.path("core.2.libs/libx.so")).unwrap() == elf(2));
    assert_eq!(searched(3), directory(1), "one copy is enough where no name is another file's");
    assert!(!cores.path("core.3.libs").exists());
    assert_eq!(searched(4), directory(4));
    assert_eq!(cores.names("core.4.libs"), ["liby.so"]);
}

#[test]
fn an_executable_that_the_container_changed_comes_before_that_of_the_image() {
    let (evidence, images) = with_changed(&[("kitchen", 7)]);
    edit_file(&images, "/kitchen", |file| record(file, 7));
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("kitchen"), elf(8)).unwrap();
    let root = root.path().to_str().unwrap();
    let cores = Cores::of(&evidence, &["-p", "1", "--rootfs", root]);
    let executable = cores.path("core.1.exe");
    assert_eq!(cores.told(1, "file "), Some(executable.to_str().unwrap().to_owned()));
    assert!(fs::read(executable).unwrap() == elf(7));
    // Where the evidence has none, that of another image is none either.
    fs::write(evidence.path().join("rootfs-diff.tar"), Tar::default().finish()).unwrap();
    let cores = Cores::of(&evidence, &["-p", "1", "--rootfs", root]);
    assert_eq!(cores.told(1, "file "), None);
    assert!(cores.told(1, "# The executable that was found is another one").is_some());
    // And of two roots, the one that has it.
    let other = TempDir::new().unwrap();
    fs::write(other.path().join("kitchen"), elf(7)).unwrap();
    let cores =
        Cores::of(&evidence, &["-p", "1", "--rootfs", root, "--rootfs", other.path().to_str().unwrap()]);
    assert!(fs::read(cores.path("core.1.exe")).unwrap() == elf(7));
}

#[test]
fn a_directory_whose_name_would_be_two_is_not_named_to_gdb() {
    let (evidence, images) = with_changed(&[("a/libx.so", 1)]);
    add_file(&images, 501, "/a/libx.so", 1);
    map_files(&images, 1, &[501]);
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("2026-11-26T21:46");
    let (evidence, path) = (evidence.path().to_str().unwrap(), out.to_str().unwrap());
    coldcase(&["coredump", "-p", "1", "-o", path, evidence]).run().ends_with(0);
    let script = fs::read_to_string(out.join("core.1.gdb")).unwrap();
    assert!(!script.contains("set solib-search-path"), "{script}");
    let told = format!("# gdb can't be given a directory of libraries of such a name: {path}/core.1.libs");
    assert!(script.contains(&told), "{script}");
}

#[test]
fn nothing_is_left_behind_when_cores_cannot_be_written() {
    let (evidence, images) = with_changed(&[("a/libx.so", 1)]);
    add_file(&images, 501, "/a/libx.so", 1);
    map_files(&images, 1, &[501]);
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("cores");
    // A directory cannot be replaced by a file.
    fs::create_dir_all(out.join("core.1/x")).unwrap();
    let (evidence, path) = (evidence.path().to_str().unwrap(), out.to_str().unwrap());
    let ran = coldcase(&["coredump", "-p", "1", "--force", "-o", path, evidence]).run();
    assert_eq!(ran.status, 2, "{}", ran.told());
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["core.1"]);
}

#[test]
fn an_executable_that_is_larger_than_a_file_can_be_is_told() {
    let (evidence, images) = with_changed(&[("kitchen", 7)]);
    edit_file(&images, "/kitchen", |file| record(file, 7));
    let program = vec![b'x'; 4 << 20];
    let mut large = elf(7);
    large.extend(&program);
    edit_file(&images, "/kitchen", |file| file["size"] = large.len().into());
    let changed = Tar::default().file("kitchen", &large);
    fs::write(evidence.path().join("rootfs-diff.tar"), changed.finish()).unwrap();
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("cores");
    let (evidence, path) = (evidence.path().to_str().unwrap(), out.to_str().unwrap());
    coldcase_filing(2 << 20, &["coredump", "-p", "1", "-o", path, evidence]).run().ends_with(0);
    let script = fs::read_to_string(out.join("core.1.gdb")).unwrap();
    assert!(!out.join("core.1.exe").exists());
    assert!(script.contains("# The executable was found and is larger than a file can be here"), "{script}");
}
