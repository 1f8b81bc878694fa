//! Pages that CRIU 4.3 packed: questions to memory are answered as if they were plain.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::archives::{testdata, unpacked};
use crate::support::program::{Ran, coldcase};

/// Dumps with packed pages: one page a block, and four.
const PACKED: [&str; 2] = ["compressed-page", "compressed-region"];

/// A packed dump in a directory, and the same one with plain pages, whose hashes `crit_images.rs` and the crates' tests compare with crit's.
fn packed_and_plain(name: &str) -> (TempDir, TempDir) {
    let [packed, plain] = [0; 2].map(|_| unpacked(testdata(&format!("images/{name}.tar.zst"))));
    coldcase(&["crit", "decompress", "--in-place", path(&plain)]).run().ends_with(0);
    (packed, plain)
}

fn path(directory: &TempDir) -> &str {
    directory.path().to_str().unwrap()
}

/// All records of a search without the name of the evidence.
fn records(ran: &Ran) -> Vec<Value> {
    let mut records = ran.records().records;
    records.iter_mut().for_each(|record| drop(record.as_object_mut().unwrap().remove("evidence")));
    records
}

fn words(evidence: &str) -> Ran {
    coldcase(&["grep", "--format=jsonl", "[a-zA-Z ]{5,}", evidence]).run()
}

#[test]
fn packed_pages_are_searched_as_plain_ones() {
    for name in PACKED {
        let (packed, plain) = packed_and_plain(name);
        let expected = records(&words(path(&plain)).ends_with(0));
        assert!(expected.len() > 400, "{name}: only {} matches", expected.len());
        let archive = testdata(&format!("images/{name}.tar.zst"));
        for evidence in [path(&packed), archive.as_str()] {
            assert!(records(&words(evidence).ends_with(0)) == expected, "{evidence}");
        }
    }
}

#[test]
fn packed_pages_give_the_cores_and_command_lines_of_plain_ones() {
    for name in PACKED {
        let (packed, plain) = packed_and_plain(name);
        let archive = testdata(&format!("images/{name}.tar.zst"));
        let (cores, expected) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let out = |directory: &TempDir, name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let cut = out(&expected, "cores");
        coldcase(&["coredump", "-o", &cut, path(&plain)]).run().ends_with(0);
        let tree = coldcase(&["inspect", "--ps-tree-cmd", path(&plain)]).run().ends_with(0).text().to_owned();
        for (number, evidence) in [path(&packed), &archive].into_iter().enumerate() {
            let made = out(&cores, &number.to_string());
            coldcase(&["coredump", "-o", &made, evidence]).run().ends_with(0);
            assert!(files(&made) == files(&cut), "{evidence}");
            let shown =
                coldcase(&["inspect", "--ps-tree-cmd", evidence]).run().ends_with(0).text().to_owned();
            assert_eq!(processes(&shown), processes(&tree), "{evidence}");
        }
    }
}

/// All bytes of a process.
fn raw(pid: &str, evidence: &str) -> Ran {
    coldcase(&["memparse", "--raw", "-p", pid, evidence]).raw().run()
}

/// Of a directory, bytes are read where they lie; that they are packed there must not show.
#[test]
fn packed_pages_are_dumped_as_plain_ones() {
    for name in PACKED {
        let (packed, plain) = packed_and_plain(name);
        let archive = testdata(&format!("images/{name}.tar.zst"));
        for pid in ["57", "60", "61"] {
            let expected = raw(pid, path(&plain)).ends_with(0).stdout;
            assert!(expected.len() > 100 << 10, "{name}, {pid}: only {} bytes", expected.len());
            for evidence in [path(&packed), archive.as_str()] {
                assert!(raw(pid, evidence).ends_with(0).stdout == expected, "{evidence}, {pid}");
            }
        }
    }
}

/// A hole in a packed page image where pages stand as they are is no page of zeros.
#[test]
fn holes_in_packed_images_are_not_known() {
    let (packed, plain) = packed_and_plain("compressed-region");
    let described =
        coldcase(&["crit", "show", &format!("{}/pages-3.img", path(&packed))]).run().text().to_owned();
    let described: Value = serde_json::from_str(&described).unwrap();
    let is_plain = |entry: &&Value| entry["form"] == "plain" && entry["offset"] == 8192;
    let block = described["entries"].as_array().unwrap().iter().find(is_plain).unwrap();
    let start = u64::from_str_radix(block["vaddr"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let pages = packed.path().join("pages-3.img");
    let bytes = fs::read(&pages).unwrap();
    fs::remove_file(&pages).unwrap();
    let file = fs::File::create(&pages).unwrap();
    file.write_all_at(&bytes[..8192], 0).unwrap();
    file.write_all_at(&bytes[12288..], 12288).unwrap();
    drop(file);

    let range = format!("--range={start:x}-{:x}", start + 8192);
    let of = |evidence: &str| coldcase(&["memparse", "--raw", "-p57", &range, evidence]).raw().run();
    let whole = of(path(&plain)).ends_with(0).stdout;
    assert_eq!(whole.len(), 8192);
    assert!(of(path(&packed)).ends_with(3).stdout == whole[4096..], "a page that is a hole is given");
}

/// The part of a tree that shows processes.
fn processes(tree: &str) -> &str {
    &tree[tree.find("Process tree").unwrap()..]
}

fn files(directory: &str) -> Vec<(String, Vec<u8>)> {
    let read = |entry: fs::DirEntry| {
        let (name, bytes) = (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        // What gdb is told has the core's path in it.
        let is_script = name.ends_with(".gdb");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(directory, "").into_bytes();
        (name, if is_script { text(bytes) } else { bytes })
    };
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| read(entry.unwrap())).collect();
    files.sort();
    assert!(files.len() > 1, "{directory}");
    files
}

/// A block that can't be unpacked takes only its own pages with it, in a directory and in an archive that is read once more.
#[test]
fn a_broken_block_costs_its_own_pages_alone() {
    let (packed, plain) = packed_and_plain("compressed-page");
    let all = records(&words(path(&plain)).ends_with(0));
    let described =
        coldcase(&["crit", "show", &format!("{}/pages-3.img", path(&packed))]).run().text().to_owned();
    let described: Value = serde_json::from_str(&described).unwrap();
    let entries = described["entries"].as_array().unwrap();
    let block = entries.iter().filter(|entry| entry["form"] == "lz4").nth(3).unwrap();
    let (offset, stored) = (block["offset"].as_u64().unwrap(), block["stored"].as_u64().unwrap());
    let pages = packed.path().join("pages-3.img");
    let mut bytes = fs::read(&pages).unwrap();
    // A literal run that is longer than the block: no decoder can go on.
    bytes[offset as usize..(offset + stored) as usize].fill(0xff);
    fs::write(&pages, bytes).unwrap();

    let start = u64::from_str_radix(block["vaddr"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let address = |record: &Value| {
        u64::from_str_radix(record["address"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    let is_lost = |record: &&Value| {
        record["object"]["image"] == "pages-3.img" && (start..start + 4096).contains(&address(record))
    };
    let lost = all.iter().filter(is_lost).count();
    assert!(lost > 0, "nothing stands in the broken block");

    let ran = words(path(&packed)).ends_with(0);
    let answer = ran.records();
    assert!(answer.gaps.iter().any(|gap| gap.to_string().contains("pages-3.img")), "{}", ran.told());
    let left: Vec<Value> = all.iter().filter(|record| !is_lost(record)).map(place).collect();
    assert_eq!(answer.records.iter().map(place).collect::<Vec<_>>(), left);

    let directory = TempDir::new().unwrap();
    let ran = words(&archive(packed.path(), &directory)).ends_with(0);
    assert_eq!(ran.records().records.iter().map(place).collect::<Vec<_>>(), left);
    // The bytes around it are all there.
    let around = format!("--range={:x}-{:x}", start - 4096, start + 8192);
    let of = |evidence: &str| coldcase(&["memparse", "--raw", "-p57", &around, evidence]).raw().run();
    let mut whole = of(path(&plain)).ends_with(0).stdout;
    let before = whole.len() - 8192;
    whole.drain(before..before + 4096);
    assert!(of(path(&packed)).ends_with(3).stdout == whole);
    // A question that has only the broken block to answer it is not answered.
    let range = format!("--range={start:x}-{:x}", start + 4096);
    coldcase(&["grep", "--pid=57", &range, "[a-z]{5,}", path(&packed)]).run().ends_with(3);
}

/// What has been handed on can't be taken back: it is told once, though a block behind it is broken, and what is missing of a file is listed.
#[test]
fn nothing_is_told_twice_where_a_block_is_broken() {
    let dump = unpacked(testdata("images/compressed-page.tar.zst"));
    let pages = dump.path().join("pages-3.img");
    let mut bytes = fs::read(&pages).unwrap();
    bytes[2596..2807].fill(0xff); // the third block, of the page at 55d0ba098000
    fs::write(&pages, bytes).unwrap();
    let ran = coldcase(&["strings", "-n12", path(&dump)]).run();
    let lines: Vec<&str> = ran.text().lines().collect();
    let once: std::collections::BTreeSet<&&str> = lines.iter().collect();
    assert!(
        lines.len() == once.len() && lines.len() > 200,
        "{} lines, {} of them once",
        lines.len(),
        once.len()
    );

    let out = TempDir::new().unwrap();
    let directory = out.path().join("out");
    let range = "--mapping=55d0ba097000-55d0ba099000";
    let arguments =
        ["recover", "-p57", range, "--format=json", "-o", directory.to_str().unwrap(), path(&dump)];
    let ran = coldcase(&arguments).run().ends_with(3);
    let file = &ran.documents()[0]["recovered"][0];
    assert_eq!(file["missing"], 4096, "{}", ran.told());
}

/// Where a match stands; context may be cut off by the broken block.
fn place(record: &Value) -> Value {
    serde_json::json!([record["pid"], record["address"], record["match"]])
}

/// Packs a directory as the checkpoint in a compressed archive.
fn archive(directory: &Path, into: &TempDir) -> String {
    let path = into.path().join("packed.tar.gz");
    let packed = flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(packed);
    tar.append_dir_all("checkpoint", directory).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    path.to_str().unwrap().to_owned()
}
