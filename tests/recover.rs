//! `coldcase recover`: what is nowhere but in the checkpoint comes back, whole, and nothing else is touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::archives::{corpus, plain, testdata, unpacked};
use crate::support::images::{IMG_COMMON, Message, image};
use crate::support::made::with_checkpoint;
use crate::support::program::{Ran, coldcase};
use crate::support::tar_bytes::Tar;

/// GHOST_FILE's magic.
const GHOST: u32 = 0x5258_3605;

/// What was written, by name.
struct Out {
    directory: TempDir,
    ran: Ran,
}

impl Out {
    /// Runs `recover` with these arguments into a directory of its own.
    fn of(arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let out = directory.path().join("out").into_os_string().into_string().unwrap();
        let ran = coldcase(&[&["recover", "--output", &out], arguments].concat()).run();
        Self { directory, ran }
    }

    fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.ran.status, status, "{}", self.ran.told());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("out").join(name)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}: {}", self.ran.told()))
    }

    fn names(&self) -> Vec<String> {
        names(&self.directory.path().join("out"))
    }

    /// Name and hash of each file.
    fn hashes(&self) -> BTreeMap<String, String> {
        self.names().into_iter().map(|name| (name.clone(), hash(&self.bytes(&name)))).collect()
    }
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn assert_at(bytes: &[u8], at: usize, needle: &str) {
    let found = bytes.get(at..at + needle.len()).map(String::from_utf8_lossy);
    assert_eq!(found.as_deref(), Some(needle), "at {at}");
}

#[test]
fn deleted_and_memory_files_come_back_whole_with_their_texts_in_place() {
    let out = Out::of(&["--all", &testdata("kitchen.tar.zst")]).ends_with(0);
    assert_eq!(out.ran.stderr, "");
    for (name, at, needle) in [
        ("ghost-priv.bin.ghost-3", 20, "NEEDLE_ghost_file_bytes_ecf266775d"),
        ("ghost-map.bin.ghost-4", 4096, "NEEDLE_ghost_map_shared_cb95115c5b"),
        ("ghost-small.txt.ghost-5", 3, "NEEDLE_ghost_small_5bd35e58ec"),
        ("ghost-sparse.bin.ghost-6", 3_145_745, "NEEDLE_ghost_sparse_2cb201b7a5"),
        ("ghost-in-tmpfs.ghost-9", 0, "NEEDLE_tmpfs_ghost_8c45a1b657"),
        ("linked-a.rootfs", 0, "NEEDLE_link_remap_"),
        ("kitchen_memfd.memfd-536", 64, "NEEDLE_memfd_7e1144a78d"),
        ("mapped_memfd.memfd-537", 8197, "NEEDLE_memfd_mapped_cd75d17eb1"),
    ] {
        assert_at(&out.bytes(name), at, needle);
    }
    assert!(out.bytes("ghost-exe.ghost-8").starts_with(b"\x7fELF"));
    assert_eq!(out.names().len(), 11, "{:?}", out.names());
    for (name, hash) in out.hashes() {
        let line = out.ran.text().lines().find(|line| line.contains(&name)).unwrap().to_owned();
        assert!(line.contains(&hash), "{line}");
        let metadata = fs::metadata(out.path(&name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600, "{name}");
    }
    let sparse = fs::metadata(out.path("ghost-sparse.bin.ghost-6")).unwrap();
    assert_eq!(sparse.len(), 5 << 20);
    assert!(sparse.blocks() * 512 < 1 << 20, "{} blocks: the holes are filled", sparse.blocks());
}

#[test]
fn the_intruder_s_executables_and_the_deleted_log_are_whole() {
    let Some(corpus) = corpus() else { return };
    let archive = corpus.join("checkpoints/compromised.tar.zst").into_os_string().into_string().unwrap();
    let truth = corpus.join("checkpoints/truth/compromised.truth.jsonl.zst");
    let truth = String::from_utf8(plain(truth)).unwrap();
    let mut facts = truth.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    // The intruder left a third copy of his program in the file system, where its hash was taken.
    let program = facts.find(|fact| fact["kind"] == "rootfs" && fact["path"] == "tmp/.cache/.sh").unwrap();
    let sha256 = program["sha256"].as_str().unwrap();

    let all = Out::of(&["--all", &archive]).ends_with(0);
    let hashes = all.hashes();
    assert_eq!(hashes["nginx.ghost-2"], sha256);
    assert_eq!(hashes["memfd-437"], sha256);
    let log = String::from_utf8(all.bytes("app.log.ghost-1")).unwrap();
    assert_eq!((log.len(), log.lines().count() > 1), (168, true), "{log}");
    assert_eq!(hashes.len(), 3);

    for (pid, name) in [("5", "nginx.ghost-2"), ("6", "memfd-437")] {
        let exe = Out::of(&["--exe", "--pid", pid, &archive]).ends_with(0);
        assert_eq!(exe.hashes(), BTreeMap::from([(name.to_owned(), sha256.to_owned())]));
    }
    let command = Out::of(&["--pid", "2", "--fd", "0", &archive]).ends_with(0);
    assert_eq!(command.bytes("tcp-received-57004").len(), 58);
}

#[test]
fn every_kind_of_evidence_gives_the_same_files() {
    let packed = testdata("kitchen.tar.zst");
    let directory = TempDir::new().unwrap();
    let archive = directory.path().join("kitchen.tar");
    fs::write(&archive, plain(&packed)).unwrap();
    let unpacked = unpacked(&packed);
    let choices = ["--all", "--exe", "--shm", "0", "--queue", "pipe", "--queue", "packets", "--pid", "8"];
    let hashes = |evidence: &str| Out::of(&[&choices[..], &[evidence]].concat()).ends_with(3).hashes();
    let expected = hashes(&packed);
    assert!(expected.len() > 18, "{expected:?}");
    assert_eq!(hashes(archive.to_str().unwrap()), expected);
    assert_eq!(hashes(unpacked.path().to_str().unwrap()), expected);
}

#[test]
fn a_descriptor_leads_to_its_bytes_whatever_it_is() {
    let kitchen = testdata("kitchen.tar.zst");
    for (pid, fd, name, needle) in [
        ("10", "16", "ghost-small.txt.ghost-5", "NEEDLE_ghost_small_"),
        ("10", "18", "linked-a.rootfs", "NEEDLE_link_remap_"),
        ("10", "19", "fifo-238", "NEEDLE_fifo_"),
        ("10", "40", "pipe-462099", "NEEDLE_pipe_"),
        ("16", "12", "packets-98-0", "NEEDLE_unix_stream_"),
        ("17", "13", "tcp-received-70d2b", "NEEDLE_tcp_to_server_"),
        ("29", "0", "tty-0-1", "NEEDLE_pty_to_slave_"),
        ("9", "30", "kitchen_memfd.memfd-536", "NEEDLE_memfd_"),
    ] {
        let out = Out::of(&["--pid", pid, "--fd", fd, &kitchen]).ends_with(0);
        assert_eq!(out.names(), [name], "{pid} {fd}");
        let bytes = out.bytes(name);
        assert!(String::from_utf8_lossy(&bytes).contains(needle), "{pid} {fd}: {}", out.ran.told());
    }
    let out = Out::of(&["--queue", "tcp-sent:70d2b", &kitchen]).ends_with(1);
    assert!(out.ran.messages("warning")[0].contains("tcp-sent:70d2b"), "{}", out.ran.told());
    let out = Out::of(&["--pid", "16", "--fd", "13", &kitchen]).ends_with(0);
    assert_eq!(out.names(), ["packets-99-0", "packets-99-1"], "messages stay apart");
    for (pid, fd, why) in [
        ("10", "999", "no such descriptor"),
        ("99", "1", "no such process"),
        ("12", "10", "has no contents in a dump"),
    ] {
        let out = Out::of(&["--pid", pid, "--fd", fd, &kitchen]).ends_with(1);
        assert!(out.ran.messages("warning")[0].contains(why), "{}", out.ran.told());
        assert_eq!(out.names(), [""; 0]);
    }
}

#[test]
fn a_changed_executable_comes_from_the_file_system_changes() {
    let hostile = testdata("hostile.tar.zst");
    let out = Out::of(&["--exe", "--pid", "11", &hostile]).ends_with(0);
    assert_eq!(out.names(), ["exe__7m__deleted_.rootfs"]);
    let archive = plain(&hostile);
    let mut archive = tar::Archive::new(archive.as_slice());
    let mut original = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        if entry.path_bytes().as_ref() == b"rootfs-diff.tar" {
            for entry in tar::Archive::new(entry).entries().unwrap() {
                let mut entry = entry.unwrap();
                if entry.path_bytes().ends_with(b"evil/exe\x1b[7m\n(deleted)") {
                    std::io::copy(&mut entry, &mut original).unwrap();
                }
            }
        }
    }
    assert!(original.starts_with(b"\x7fELF"));
    assert!(out.bytes("exe__7m__deleted_.rootfs") == original);
}

#[test]
fn of_an_executable_of_the_image_what_is_in_memory_is_written_and_the_rest_is_told() {
    let out = Out::of(&["--exe", "--pid", "8", "--format=json", &testdata("kitchen.tar.zst")]).ends_with(3);
    let document = out.ran.document();
    let recovered = &document["recovered"][0];
    let bytes = out.bytes("kitchen.pages-of-8");
    assert_eq!(recovered["sha256"], hash(&bytes));
    assert_eq!(recovered["size"].as_u64(), Some(bytes.len() as u64));
    let missing: u64 = recovered["missing_ranges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|range| {
            let end = |key: &str| usize::try_from(range[key].as_u64().unwrap()).unwrap();
            let part = &bytes[end("start")..end("end")];
            assert!(part.iter().all(|&byte| byte == 0), "what is missing is a hole");
            part.len() as u64
        })
        .sum();
    assert_eq!(recovered["missing"].as_u64(), Some(missing));
    assert!(missing > 0 && missing < bytes.len() as u64);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("NEEDLE_data_"), "the page with its variables was written to");
    assert!(document["gaps"].as_array().unwrap().len() >= 2, "{document}");
}

#[test]
fn a_range_of_memory_has_its_bytes_in_place_and_holes_where_nothing_is_known() {
    let kitchen = testdata("kitchen.tar.zst");
    let out = Out::of(&["--pid", "8", "--mapping", "7f58aeb01000-7f58aec1b000", &kitchen]).ends_with(0);
    let bytes = out.bytes("8-7f58aeb01000-7f58aec1b000.mem");
    let at = |address: usize| address - 0x7f58_aeb0_1000;
    for (address, needle) in [
        (0x7f58_aeb0_2008, "NEEDLE_dup_page_"),
        (0x7f58_aeb0_6000, "NEEDLE_hole_first_"),
        (0x7f58_aeb1_0ff5, "NEEDLE_straddle_vma_"),
        (0x7f58_aeb9_a010, "NEEDLE_heap_mmapped_"),
    ] {
        assert_at(&bytes, at(address), needle);
    }
    let out = Out::of(&["--pid", "8", "--mapping", "3f0000-4d6000", "--format=json", &kitchen]).ends_with(3);
    let ranges = out.ran.document()["recovered"][0]["missing_ranges"].clone();
    assert_eq!(ranges[0]["start"], 0);
    assert_eq!(ranges[0]["end"], 0x10000);
    assert!(ranges[0]["why"].as_str().unwrap().contains("nothing is mapped"), "{ranges}");
    let out = Out::of(&["--pid", "8", "--mapping", "1000-2000", &kitchen]).ends_with(1);
    assert_eq!(out.names(), [""; 0]);
}

#[test]
fn nothing_is_replaced_and_nothing_half_written_stays() {
    let kitchen = testdata("kitchen.tar.zst");
    let out = Out::of(&["--ghost", "8", &kitchen]).ends_with(0);
    let name = "ghost-exe.ghost-8";
    fs::write(out.path(name), "mine").unwrap();
    let directory = out.directory.path().join("out").into_os_string().into_string().unwrap();
    let again = coldcase(&["recover", "--all", "-o", &directory, &kitchen]).run().ends_with(2);
    assert!(again.messages("error")[0].contains("exists already"), "{}", again.told());
    assert_eq!(fs::read(out.path(name)).unwrap(), b"mine");
    assert_eq!(out.names(), [name], "none of the others either");

    // A link of that name is not written through.
    let outside = out.directory.path().join("outside");
    fs::remove_file(out.path(name)).unwrap();
    std::os::unix::fs::symlink(&outside, out.path(name)).unwrap();
    coldcase(&["recover", "--ghost", "8", "-o", &directory, &kitchen]).run().ends_with(2);
    assert!(!outside.exists());
}

#[test]
fn names_are_ours_whatever_the_evidence_calls_its_files() {
    let out = Out::of(&["--all", &testdata("hostile.tar.zst")]).ends_with(0);
    for name in out.names() {
        let harmless = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
        assert!(name.chars().all(harmless) && !name.starts_with(['.', '-']), "{name}");
    }
    assert_eq!(out.names().len(), 7, "{:?}", out.names());
    assert_eq!(names(out.directory.path()), ["out"], "nothing beside the directory");
}

#[test]
fn an_object_with_pages_in_parents_is_that_of_a_full_dump() {
    let chain = testdata("criu317-chain.tar.zst");
    let of =
        |dump: &str| Out::of(&["--all", "--shm", "2", &format!("{chain}//{dump}")]).ends_with(0).hashes();
    let full = of("chain/3-full");
    assert_eq!(full.len(), 2);
    assert_eq!(of("chain/3"), full);
}

#[test]
fn what_an_archive_lost_is_told_and_the_rest_is_written() {
    let whole = plain(testdata("kitchen.tar.zst"));
    let mut archive = tar::Archive::new(whole.as_slice());
    let ghost = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap())
        .find(|entry| entry.path_bytes().ends_with(b"ghost-file-8.img"))
        .unwrap();
    let cut = usize::try_from(ghost.raw_file_position()).unwrap() + 100_000;
    let directory = TempDir::new().unwrap();
    for (name, bytes) in
        [("cut.tar", whole[..cut].to_vec()), ("cut.tar.zst", zstd::encode_all(&whole[..cut], 1).unwrap())]
    {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        let path = path.to_str().unwrap();
        let out = Out::of(&["--ghost", "8", "--ghost", "5", "--ghost", "9", path]);
        assert!(matches!(out.ran.status, 1 | 3), "{}", out.ran.told());
        // What the files were called stands behind them.
        assert_at(&out.bytes("ghost-5"), 3, "NEEDLE_ghost_small_5bd35e58ec");
        let program = out.bytes("ghost-8");
        assert!(program.starts_with(b"\x7fELF") && program.len() == 682_080);
        let present = program.iter().rposition(|&byte| byte != 0).unwrap();
        assert!((90_000..100_000).contains(&present), "{present}");
        let told = out.ran.messages("gap").join("\n");
        assert!(told.contains("of the 682080 bytes of ghost-8"), "{told}");
        assert!(out.ran.messages("warning")[0].contains("ghost file 9"), "{}", out.ran.told());
    }
}

#[test]
fn lying_lengths_cost_themselves_alone() {
    let regular = Message::default().number(1, 0).number(2, 0).number(3, 0o100_600);
    let sparse = |size: u64, chunks: &[(u64, u64, &[u8])]| {
        let head = regular.clone().number(9, 1).number(10, size);
        let mut bytes = image(&[IMG_COMMON, GHOST], &[head]);
        for (len, at, contents) in chunks {
            bytes.extend(image(&[], &[Message::default().number(1, *len).number(2, *at)]));
            bytes.extend_from_slice(contents);
        }
        bytes
    };
    let mut small = image(&[IMG_COMMON, GHOST], std::slice::from_ref(&regular));
    small.extend_from_slice(b"small");
    let archive = with_checkpoint(
        Tar::default()
            .file("checkpoint/ghost-file-1.img", &sparse(u64::MAX, &[(3, 1, b"abc")]))
            .file("checkpoint/ghost-file-2.img", &sparse(1 << 62, &[(3, (1 << 62) - 9, b"abc")]))
            .file("checkpoint/ghost-file-3.img", &sparse(100, &[(u64::MAX, 5, b"abc")]))
            .file("checkpoint/ghost-file-4.img", &sparse(100, &[(3, 50, b"abc"), (3, 10, b"def")]))
            .file("checkpoint/ghost-file-5.img", b"")
            .file("checkpoint/ghost-file-6.img", &small),
    );
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("made.tar");
    fs::write(&path, archive).unwrap();
    let out = Out::of(&["--all", path.to_str().unwrap()]);
    assert_eq!(out.bytes("ghost-6"), b"small");
    let disordered = out.bytes("ghost-4");
    assert_eq!((disordered.len(), &disordered[50..53]), (100, &b"abc"[..]));
    // Two are too large for any file system.
    assert_eq!(out.ran.status, 2, "{}", out.ran.told());
    assert!(!out.names().contains(&"ghost-1".to_owned()), "{}", out.ran.told());
}

#[test]
fn without_a_choice_there_is_a_list_of_all_that_there_is() {
    let kitchen = testdata("kitchen.tar.zst");
    let ran = coldcase(&["recover", &kitchen]).run().ends_with(0).quietly();
    for expected in ["--ghost 8", "--memfd 536", "--shm 1", "--queue pipe:462100", "40 exe", "-p 10 --fd 18"]
    {
        assert!(ran.text().contains(expected), "{expected}: {}", ran.text());
    }
    // Whatever the list names can be had by what it says.
    let document = coldcase(&["recover", "--format=json", &kitchen]).run().ends_with(0).document();
    let list = document["recoverable"].as_array().unwrap();
    assert_eq!(list.len(), ran.text().lines().count() - 2);
    for candidate in list {
        let words: Vec<&str> = candidate["option"].as_str().unwrap().split(' ').collect();
        let out = Out::of(&[&words[..], &[&kitchen]].concat()).ends_with(0);
        let [name] = out.names().try_into().unwrap_or_else(|_| panic!("{words:?}: {}", out.ran.told()));
        let size = candidate["size"].as_u64().unwrap();
        assert_eq!(fs::metadata(out.path(&name)).unwrap().len(), size, "{words:?}");
    }
    let ran = coldcase(&["recover", "--pid", "40", &kitchen]).run().ends_with(0);
    assert_eq!(ran.text().lines().count(), 3, "{}", ran.text());
    let ran = coldcase(&["recover", &testdata("counter.tar.zst")]).run().ends_with(0);
    assert!(ran.text().starts_with("Nothing to recover"), "{}", ran.text());
}

#[test]
fn a_choice_needs_a_place_and_a_place_a_choice() {
    let kitchen = testdata("kitchen.tar.zst");
    let ran = coldcase(&["recover", "--all", &kitchen]).run().ends_with(2);
    assert!(ran.stderr.contains("--output"), "{}", ran.stderr);
    Out::of(&[&kitchen]).ends_with(2);
    Out::of(&["--fd", "1", &kitchen]).ends_with(2);
    let out = Out::of(&["--queue", "pipe:1", &kitchen]).ends_with(1);
    assert!(out.ran.messages("warning")[0].contains("pipe:1"), "{}", out.ran.told());
}

#[test]
fn evidence_that_goes_by_once_needs_a_place_to_be_kept() {
    let packed = fs::read(testdata("kitchen.tar.zst")).unwrap();
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out").into_os_string().into_string().unwrap();
    let ran = coldcase(&["recover", "--all", "-o", &out, "-"]).fed(packed.clone()).run().ends_with(2);
    assert!(ran.stderr.contains("--spool"), "{}", ran.stderr);
    let spool = directory.path().to_str().unwrap();
    coldcase(&["recover", "--all", "-o", &out, "--spool", spool, "-"]).fed(packed.clone()).run().ends_with(0);
    assert_eq!(names(Path::new(&out)).len(), 11);
    // A list needs one pass only.
    coldcase(&["recover", "-"]).fed(packed).run().ends_with(0).quietly();
}

/// What is there and does not fit is a failure, and nothing that the evidence lacks.
#[test]
fn a_file_that_the_file_system_does_not_take_is_not_said_to_be_absent() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("out");
    let script = "ulimit -f 1000; exec \"$@\"";
    let ran = std::process::Command::new("bash")
        .args([
            "-c",
            script,
            "bash",
            env!("CARGO_BIN_EXE_coldcase"),
            "recover",
            "--ghost",
            "6",
            "--ghost",
            "5",
        ])
        .arg("-o")
        .arg(&output)
        .arg(testdata("kitchen.tar.zst"))
        .output()
        .unwrap();
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("not written: /var/tmp/ghost-sparse.bin"), "{stderr}");
    assert_eq!(fs::read_dir(&output).unwrap().count(), 1, "the other one is written");
}

/// The list has an order of its own, not that of an archive's members.
#[test]
fn a_directory_and_its_archive_have_the_same_list() {
    let archive = testdata("criu-features.tar.zst");
    let directory = unpacked(&archive);
    let list = |evidence: &str| {
        let ran = coldcase(&["recover", "--format=json", evidence]).run().ends_with(0);
        ran.text().replace(evidence, "-")
    };
    assert_eq!(list(&archive), list(directory.path().to_str().unwrap()));
}
