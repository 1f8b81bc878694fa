//! Pages of files that no process wrote to: `--fill all` and `--rootfs`, in every command that shows memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::archives::{corpus, testdata, unpacked};
use crate::support::program::{Ran, coldcase};

const PAGE: usize = 4096;

fn ran(command: &str, arguments: &[&str]) -> Ran {
    coldcase(&[&[command], arguments].concat()).run()
}

/// A process of aarch64 whose files are in a root file system beside it.
fn threads() -> (String, String) {
    (testdata("cores/aarch64-02-threads-4k-max.tar.zst"), testdata("cores/aarch64-sysroot.tar.zst"))
}

/// The ghost file of kitchen's deleted executable.
fn ghost_executable(archive: &str) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out");
    ran("recover", &["--ghost", "8", "--output", out.to_str().unwrap(), archive]).ends_with(0);
    let file = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    fs::read(file).unwrap()
}

/// The mapping that begins at an address, of `maps --format json`.
fn mapping(document: &Value, start: &str) -> Value {
    let mappings = document["processes"].as_array().unwrap().iter();
    let mut mappings = mappings.flat_map(|process| process["mappings"].as_array().unwrap());
    mappings.find(|mapping| mapping["start"] == start).unwrap().clone()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a text stands in a file.
fn find(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).position(|window| window == text).unwrap()
}

#[test]
fn maps_say_what_is_filled_and_what_shows_that_it_is_right() {
    let (archive, root) = threads();
    let without = ran("maps", &["--format", "json", &archive]).ends_with(0).document();
    let with = ran("maps", &["--format", "json", "--rootfs", &root, &archive]).ends_with(0).document();
    assert_eq!(without.get("files"), None);
    let text = "0x0000ffff94ac0000"; // libc's code: nobody wrote to it
    assert_eq!(mapping(&without, text)["sources"], serde_json::json!({ "file": 1_691_648 }));
    assert_eq!(mapping(&with, text)["sources"], serde_json::json!({ "filled": 1_691_648 }));
    let taken: BTreeMap<&str, &Value> =
        with["files"].as_array().unwrap().iter().map(|file| (file["path"].as_str().unwrap(), file)).collect();
    let libc = taken["/usr/lib/aarch64-linux-gnu/libc.so.6"];
    assert_eq!(libc["from"], format!("{root}/usr/lib/aarch64-linux-gnu/libc.so.6"));
    assert_eq!(libc["verified"], "build id");
    assert_eq!(taken.len(), 3);
    // Where it was known to be in the file, it is filled; nothing else changes.
    let totals = |document: &Value| document["processes"][0]["total"]["sources"].clone();
    let bytes = |document: &Value, source: &str| totals(document)[source].as_u64().unwrap_or_default();
    assert_eq!(bytes(&without, "file"), bytes(&with, "file") + bytes(&with, "filled"));
    for source in ["own", "zero", "guard", "not_captured"] {
        assert_eq!(bytes(&without, source), bytes(&with, source), "{source}");
    }
}

#[test]
fn a_root_that_is_another_one_fills_nothing() {
    let (archive, root) = threads();
    let other = unpacked(&root);
    let libc = other.path().join("usr/lib/aarch64-linux-gnu/libc.so.6");
    let mut bytes = fs::read(&libc).unwrap();
    let note = find(&bytes, b"GNU\0") + 4;
    bytes[note] ^= 1;
    fs::write(&libc, bytes).unwrap();
    fs::write(other.path().join("case/threads"), "#!/bin/sh\n").unwrap();
    let ran = ran("maps", &["--format", "json", "--rootfs", other.path().to_str().unwrap(), &archive]);
    let document = ran.ends_with(0).document();
    assert_eq!(mapping(&document, "0x0000ffff94ac0000")["sources"], serde_json::json!({ "file": 1_691_648 }));
    let files = document["files"].as_array().unwrap();
    let why = |path: &str| {
        let file = files.iter().find(|file| file["path"] == path).unwrap();
        file["refused"].as_str().unwrap_or("taken").to_owned()
    };
    assert!(why("/usr/lib/aarch64-linux-gnu/libc.so.6").starts_with("its build id is "));
    assert!(why("/case/threads").starts_with("it has 10 bytes, and the mapped file had "));
    assert_eq!(why("/usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"), "taken");
}

#[test]
fn grep_and_strings_see_the_files() {
    let (archive, root) = threads();
    let libc = fs::read(unpacked(&root).path().join("usr/lib/aarch64-linux-gnu/libc.so.6")).unwrap();
    let text = "GNU C Library";
    ran("grep", &["-F", text, &archive]).ends_with(1);
    ran("grep", &["-F", text, "--rootfs", &root, "--fill", "none", &archive]).ends_with(1);
    let records =
        ran("grep", &["-F", text, "--rootfs", &root, "--format", "jsonl", &archive]).ends_with(0).records();
    let [found] = records.of("match").try_into().unwrap();
    let offset = find(&libc, text.as_bytes()) as u64;
    assert_eq!(found["object"]["offset"], offset);
    assert_eq!(found["object"]["file"], format!("{root}/usr/lib/aarch64-linux-gnu/libc.so.6"));
    assert_eq!(found["object"]["verified"], "build id");
    assert_eq!(found["address"], format!("{:#018x}", 0xffff_94ac_0000 + offset));
    assert_eq!(records.of("file").len(), 3);

    let strings = |more: &[&str]| {
        ran("strings", &[&["-n", "8", &archive], more].concat()).ends_with(0).text().to_owned()
    };
    assert!(!strings(&[]).contains(text));
    let line = strings(&["--rootfs", &root]).lines().filter(|line| line.contains(text)).count();
    assert_eq!(line, 1);
}

#[test]
fn a_dump_of_memory_has_the_bytes_of_the_file() {
    let (archive, root) = threads();
    let libc = fs::read(unpacked(&root).path().join("usr/lib/aarch64-linux-gnu/libc.so.6")).unwrap();
    let range = "ffff94ac0000-ffff94c5d000";
    let without = coldcase(&["memparse", "--raw", "--range", range, &archive]).raw().run();
    assert!(without.stdout.is_empty(), "{}", without.told());
    let with = coldcase(&["memparse", "--raw", "--range", range, "--rootfs", &root, &archive]).raw().run();
    assert_eq!(with.status, 0, "{}", with.told());
    assert!(with.stdout == libc[..0x19d000], "{} bytes", with.stdout.len());
    // Behind the end of a file there are zeros up to the end of the page, and then nothing that anybody could read.
    let end = libc.len().next_multiple_of(PAGE);
    let start = 0xffff_94ac_0000 + end as u64 - PAGE as u64;
    let range = format!("{start:x}-{:x}", start + 2 * PAGE as u64);
    let with = coldcase(&["memparse", "--raw", "--range", &range, "--rootfs", &root, &archive]).raw().run();
    let mut last = libc[end - PAGE..].to_vec();
    last.resize(PAGE, 0);
    assert!(with.stdout == last, "{} bytes", with.stdout.len());
}

#[test]
fn an_executable_is_recovered_as_the_process_has_it() {
    let (archive, root) = threads();
    let original = fs::read(unpacked(&root).path().join("case/threads")).unwrap();
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out");
    let arguments =
        ["--exe", "--rootfs", &root, "--output", out.to_str().unwrap(), "--format", "json", &archive];
    let document = ran("recover", &arguments).ends_with(0).document();
    let recovered = &document["recovered"][0];
    assert_eq!(recovered["missing"], 0);
    assert_eq!(recovered["mapped_files"][0]["verified"], "build id");
    let bytes = fs::read(Path::new(recovered["file"].as_str().unwrap())).unwrap();
    assert_eq!(bytes.len(), original.len());
    let different: Vec<usize> = (0..bytes.len().div_ceil(PAGE))
        .filter(|page| {
            let range = page * PAGE..bytes.len().min((page + 1) * PAGE);
            bytes[range.clone()] != original[range]
        })
        .collect();
    // Relocations and data, which it wrote, are as in its memory.
    let maps = ran("maps", &["--format", "json", &archive]).document();
    let dirty = |start: &str| mapping(&maps, start)["dirty_file_pages"].as_u64().unwrap();
    let written = dirty("0x0000aaaac0280000") + dirty("0x0000aaaac029f000") + dirty("0x0000aaaac02a0000");
    assert!(!different.is_empty() && different.len() as u64 <= written, "{different:?} of {written}");
}

#[test]
fn deleted_executables_are_filled_from_their_ghost_files() {
    let archive = testdata("kitchen.tar.zst");
    let ghost = ghost_executable(&archive);
    let range = "401000-478000";
    let raw = |more: &[&str]| {
        let arguments = [&["memparse", "--raw", "-p", "40", "--range", range, &archive], more].concat();
        let ran = coldcase(&arguments).raw().run();
        assert_eq!(ran.status, 0, "{}", ran.told());
        ran.stdout
    };
    let (stored, all) = (raw(&[]), raw(&["--fill", "all"]));
    assert_eq!((stored.len(), all.len()), (PAGE, 0x77000));
    let own = all.chunks(PAGE).position(|page| page == stored).unwrap() * PAGE;
    for (number, (page, of_file)) in all.chunks(PAGE).zip(ghost[0x1000..].chunks(PAGE)).enumerate() {
        assert!(number * PAGE == own || page == of_file, "page {number}");
    }

    // What begins in a page that it wrote and goes on in one that it did not is found, and only so.
    let border = own + PAGE;
    let needle = hex(&all[border - 24..border + 24]);
    let arguments = ["--hex", &needle, "-p", "40", "--format", "jsonl", &archive];
    ran("grep", &arguments).ends_with(1);
    let records = ran("grep", &[&arguments[..], &["--fill", "all"]].concat()).ends_with(0).records();
    let [found] = records.of("match").try_into().unwrap();
    assert_eq!(found["address"], format!("{:#018x}", 0x401000 + border - 24));
    assert!(found["object"]["image"].as_str().unwrap().starts_with("pages-"));
    // And the other way round, it begins in the file.
    assert_eq!(own, 0, "the page before is the first one of the file, in the mapping before");
    let needle = hex(&[&ghost[PAGE - 24..PAGE], &stored[..24]].concat());
    let arguments = ["--hex", &needle, "--fill", "all", "-p", "40", "--format", "jsonl", &archive];
    let records = ran("grep", &arguments).ends_with(0).records();
    let [found] = records.of("match").try_into().unwrap();
    assert_eq!(found["object"]["file"], "ghost-file-8.img");
    assert_eq!(found["object"]["offset"], PAGE - 24);
}

#[test]
fn compressed_plain_and_unpacked_evidence_are_filled_alike() {
    let archive = testdata("kitchen.tar.zst");
    let directory = unpacked(&archive);
    let counted = |evidence: &Path| {
        let arguments = ["grep", "-c", "ELF", "--fill", "all", evidence.to_str().unwrap()];
        coldcase(&arguments).run().ends_with(0).text().to_owned()
    };
    assert_eq!(counted(&PathBuf::from(&archive)), counted(directory.path()));
}

#[test]
fn a_root_that_is_not_there_is_an_error() {
    let (archive, _) = threads();
    let ran = ran("grep", &["x", "--rootfs", "/nowhere/at/all", &archive]);
    assert_eq!(ran.status, 2, "{}", ran.told());
    assert!(ran.stderr.contains("/nowhere/at/all"), "{}", ran.stderr);
}

#[test]
fn only_files_of_chosen_processes_are_looked_for() {
    let archive = testdata("kitchen.tar.zst");
    let of = |arguments: &[&str]| {
        let arguments = [&["--fill", "all", "--format", "json", &archive], arguments].concat();
        let document = ran("maps", &arguments).ends_with(0).document();
        let files = document["files"].as_array().unwrap().clone();
        files.into_iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of(&["-p", "40"]), ["/tmp/ghost-exe"]);
    assert_eq!(of(&["-p", "2"]), [""; 0]);
    assert_eq!(of(&[]).len(), 5);
}

#[test]
fn a_file_of_another_mount_is_taken_by_its_build_id_alone() {
    let archive = testdata("kitchen.tar.zst");
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("dev/shm")).unwrap();
    // As long as it was; but in the container /dev/shm hid what stands there in the root file system.
    fs::write(root.path().join("dev/shm/kitchen-shm"), [b'x'; PAGE]).unwrap();
    let arguments = ["--rootfs", root.path().to_str().unwrap(), "--format", "json", &archive];
    let document = ran("maps", &arguments).ends_with(0).document();
    let files = document["files"].as_array().unwrap();
    let of = |path: &str| files.iter().find(|file| file["path"] == path).unwrap();
    let why = "it has no build id, and the mapped file was in what is mounted at /dev/shm";
    assert_eq!(of("/dev/shm/kitchen-shm")["refused"], why);
    assert_eq!(of("/dev/shm/kitchen-shm-gone")["verified"], "size", "its ghost file is known by its number");
    assert_eq!(of("/var/tmp/shared-map.bin")["verified"], "size", "it is in the root file system");
}

#[test]
fn a_file_that_several_processes_map_is_told_once() {
    let Some(corpus) = corpus() else { return };
    let archive = corpus.join("checkpoints/generations/criu411-podman-with-previous.tar.zst");
    let ran = ran("maps", &["--fill", "all", "--format", "json", archive.to_str().unwrap()]);
    let document = ran.ends_with(3).document();
    let files = document["files"].as_array().unwrap();
    let paths: Vec<&str> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/gen/wd/shared.bin", "/gen/wd/data.bin"]);
}

/// Kitchen as a directory, to be damaged.
pub fn kitchen() -> (TempDir, PathBuf) {
    let directory = unpacked(testdata("kitchen.tar.zst"));
    let images = directory.path().join("checkpoint");
    (directory, images)
}

#[test]
fn where_pages_may_have_been_written_that_are_not_known_nothing_is_filled() {
    let (directory, images) = kitchen();
    let pagemap = images.join("pagemap-40.img");
    let bytes = fs::read(&pagemap).unwrap();
    fs::write(&pagemap, &bytes[..bytes.len() - 3]).unwrap();
    let arguments = ["-p", "40", "--fill", "all", "--format", "json", directory.path().to_str().unwrap()];
    let document = ran("maps", &arguments).ends_with(3).document();
    for (start, stored) in [("0x0000000000400000", 0), ("0x0000000000401000", PAGE)] {
        let sources = mapping(&document, start)["sources"].clone();
        assert_eq!(sources["own"].as_u64().unwrap_or(0), stored as u64, "{start}: {sources}");
        assert_eq!(sources.get("filled"), None, "{start}: {sources}");
        assert!(sources["unknown"].as_u64() > Some(0), "{start}: {sources}");
    }
}

#[test]
fn a_page_that_was_written_and_is_lost_is_not_filled() {
    let (directory, images) = kitchen();
    let archive = testdata("kitchen.tar.zst");
    let ghost = ghost_executable(&archive);
    for entry in fs::read_dir(&images).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("pages-") {
            fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        }
    }
    let directory = directory.path().to_str().unwrap();
    let arguments = ["memparse", "--raw", "-p", "40", "--range", "400000-402000", "--fill", "all", directory];
    let ran = coldcase(&arguments).raw().run();
    assert_eq!(ran.status, 3, "{}", ran.told());
    assert!(ran.stdout == ghost[..PAGE], "{} bytes", ran.stdout.len());
}

/// Changes an image as JSON, as crit decodes it.
pub fn edit(image: &Path, change: impl FnOnce(&mut Value)) {
    let path = image.to_str().unwrap();
    let mut document =
        serde_json::from_str(ran("crit", &["decode", "-i", path]).ends_with(0).text()).unwrap();
    change(&mut document);
    let json = image.with_extension("json");
    fs::write(&json, document.to_string()).unwrap();
    ran("crit", &["encode", "-i", json.to_str().unwrap(), "-o", path]).ends_with(0);
    fs::remove_file(json).unwrap();
}

/// Maps a file once more into a process: so many bytes from its beginning, read-only, as no process ever wrote to.
pub fn map_again(mm: &Path, file: u64, start: u64, len: u64) {
    edit(mm, |document| {
        let mappings = document["entries"][0]["vmas"].as_array_mut().unwrap();
        let mut mapping = mappings.iter().find(|mapping| mapping["shmid"] == file).unwrap().clone();
        (mapping["start"], mapping["end"], mapping["pgoff"]) = (start.into(), (start + len).into(), 0.into());
        let behind = mappings.iter().position(|mapping| mapping["start"].as_u64() > Some(start)).unwrap();
        mappings.insert(behind, mapping);
    });
}

/// The number in the table of files of a path.
pub fn edit_file(images: &Path, path: &str, change: impl FnOnce(&mut Value)) -> u64 {
    let mut id = 0;
    edit(&images.join("files.img"), |document| {
        let mut files = document["entries"].as_array_mut().unwrap().iter_mut();
        let file = files.find(|file| file["reg"]["name"] == path).unwrap();
        id = file["id"].as_u64().unwrap();
        change(&mut file["reg"]);
    });
    id
}

#[test]
fn holes_of_files_are_zeros_that_nobody_has_to_read() {
    const LEN: u64 = 1 << 40;
    const TEXT: &str = "far out in a sparse file";
    const AT: u64 = 0x70_0000_1234;
    const START: u64 = 0x1000_0000_0000;
    let (directory, images) = kitchen();
    let id = edit_file(&images, "/kitchen", |file| {
        file["size"] = LEN.into();
        file.as_object_mut().unwrap().remove("build_id");
    });
    map_again(&images.join("mm-1.img"), id, START, LEN);
    let root = TempDir::new().unwrap();
    let file = fs::File::create(root.path().join("kitchen")).unwrap();
    file.set_len(LEN).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, TEXT.as_bytes(), AT).unwrap();
    let (evidence, root) = (directory.path().to_str().unwrap(), root.path().to_str().unwrap());

    let arguments = ["-p", "1", "--rootfs", root, "--format", "json", evidence];
    let sources = mapping(&ran("maps", &arguments).ends_with(0).document(), "0x0000100000000000");
    assert_eq!(sources["sources"], serde_json::json!({ "filled": PAGE, "zero": LEN - PAGE as u64 }));
    let arguments = ["-F", TEXT, "-p", "1", "--rootfs", root, "--format", "jsonl", evidence];
    let records = ran("grep", &arguments).ends_with(0).records();
    let [found] = records.of("match").try_into().unwrap();
    assert_eq!(found["address"], format!("{:#018x}", START + AT));
    assert_eq!(found["object"]["offset"], AT);
    let strings = ran("strings", &["-p", "1", "-n", "8", "--rootfs", root, evidence]).ends_with(0);
    assert_eq!(strings.text().matches(TEXT).count(), 1);
    let range = format!("{:x}-{:x}", START + AT - 4, START + AT + 3);
    let arguments = ["memparse", "--raw", "-p", "1", "--range", &range, "--rootfs", root, evidence];
    assert_eq!(coldcase(&arguments).raw().run().stdout, b"\0\0\0\0far");
    let cores = TempDir::new().unwrap();
    let out = cores.path().join("out");
    let arguments = ["-p", "1", "--fill", "all", "--rootfs", root, "-o", out.to_str().unwrap(), evidence];
    ran("coredump", &arguments).ends_with(0);
}

#[test]
fn pages_that_were_written_come_before_those_of_another_mapping_of_the_file() {
    let (directory, images) = kitchen();
    let evidence = directory.path().to_str().unwrap();
    let written = TempDir::new().unwrap();
    let recovered = |name: &str| {
        let out = written.path().join(name);
        ran("recover", &["--exe", "-p", "1", "-o", out.to_str().unwrap(), evidence]);
        fs::read(fs::read_dir(&out).unwrap().next().unwrap().unwrap().path()).unwrap()
    };
    let once = recovered("once");
    assert!(once.iter().any(|byte| *byte != 0));
    let id = edit_file(&images, "/kitchen", |_| ());
    map_again(&images.join("mm-1.img"), id, 0x1000_0000, 0xf3000);
    assert!(recovered("twice") == once);
}

#[test]
fn a_ghost_file_that_cannot_be_read_is_a_gap() {
    let (directory, images) = kitchen();
    let path = images.join("ghost-file-8.img");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..20]).unwrap();
    let ran = ran("maps", &["-p", "40", "--fill", "all", directory.path().to_str().unwrap()]);
    assert_eq!(ran.status, 3, "{}", ran.told());
    assert!(
        ran.stderr.contains("gap: a mapped file") && ran.stderr.contains("ghost-file-8.img"),
        "{}",
        ran.stderr
    );
}
