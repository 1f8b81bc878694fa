//! Pages that CRIU 4.3 packed: questions to memory are answered as if they were plain.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::archives::{testdata, unpacked};
use crate::support::elf::Core;
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

/// The packed blocks of a page image.
fn blocks(pages: &Path) -> Vec<Value> {
    let ran = coldcase(&["crit", "show", pages.to_str().unwrap()]).run();
    let mut described: Value = serde_json::from_str(ran.text()).unwrap();
    let entries = std::mem::take(described["entries"].as_array_mut().unwrap());
    entries.into_iter().filter(|entry| entry["form"] == "lz4").collect()
}

/// Breaks the blocks of a page image that begin at these addresses; returns the addresses that are lost, ascending.
fn break_blocks(dump: &Path, image: &str, addresses: &[u64]) -> Vec<Range<u64>> {
    let pages = dump.join(image);
    let mut bytes = fs::read(&pages).unwrap();
    let mut lost = Vec::new();
    for block in blocks(&pages) {
        let start = hex(&block["vaddr"]);
        if addresses.contains(&start) {
            let number = |key: &str| block[key].as_u64().unwrap();
            let from = number("offset") as usize;
            bytes[from..from + number("stored") as usize].fill(0xff);
            lost.push(start..start + 4096 * number("pages"));
        }
    }
    assert_eq!(lost.len(), addresses.len());
    fs::write(&pages, bytes).unwrap();
    lost
}

fn hex(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// Where strings or matches are, by process and address, and how long each is.
fn places(records: &[Value], length: &dyn Fn(&Value) -> u64) -> Vec<(u64, u64, u64)> {
    let mut places = Vec::new();
    for record in records {
        let direct = record["pid"].as_u64().map(|pid| (pid, hex(&record["address"])));
        let sightings = record["sightings"].as_array().into_iter().flatten();
        let sightings = sightings.map(|seen| (seen["pid"].as_u64().unwrap(), hex(&seen["address"])));
        places.extend(direct.into_iter().chain(sightings).map(|(pid, at)| (pid, at, length(record))));
    }
    places.sort_unstable();
    places
}

/// What stands beside broken blocks is found as if they were whole, once, and in them nothing is.
fn assert_left(whole: &[(u64, u64, u64)], left: &[(u64, u64, u64)], lost: &[Range<u64>]) {
    let touches = |&(pid, at, len): &(u64, u64, u64)| {
        pid == 57 && lost.iter().any(|range| at < range.end && range.start < at + len)
    };
    let (gone, expected): (Vec<_>, Vec<_>) = whole.iter().partition(|place| touches(place));
    assert!(!gone.is_empty() && expected.len() > 100, "{} and {}", gone.len(), expected.len());
    assert!(left.windows(2).all(|pair| pair[0] != pair[1]), "told twice");
    assert!(!left.iter().any(touches), "found where nothing is known");
    assert!(expected.iter().all(|place| left.contains(place)), "lost with a block it does not stand in");
    for (pid, at, len) in left {
        let is_part = |(of, from, to): &(u64, u64, u64)| pid == of && from <= at && at + len <= from + to;
        assert!(whole.iter().any(is_part), "made up: {pid} {at:x}");
    }
}

/// The first block of an image, two that stand side by side (or one of four pages), and the last: all else comes, in a directory and as it goes by.
#[test]
fn nothing_is_lost_behind_broken_blocks() {
    let sides = [
        vec![0x55d0ba095000, 0x7ff450e4c000, 0x7ff450e4d000, 0x7ffd8ed35000],
        vec![0x55d0ba095000, 0x7ff450e4c000, 0x7ffd8ed33000],
    ];
    for (name, addresses) in PACKED.into_iter().zip(sides) {
        let (packed, plain) = packed_and_plain(name);
        let lost = break_blocks(packed.path(), "pages-3.img", &addresses);
        let lost_bytes: u64 = lost.iter().map(|range| range.end - range.start).sum();
        let directory = TempDir::new().unwrap();
        let gzipped = archive(packed.path(), &directory);

        let ends = [0].into_iter().chain(lost.iter().map(|range| range.end));
        let starts = lost.iter().map(|range| range.start).chain([0x7fff_ffff_f000]);
        let between = ends.zip(starts).filter(|(end, start)| end < start);
        let kept: Vec<String> = between.map(|(end, start)| format!("--range={end:x}-{start:x}")).collect();
        let raw = |ranges: &[&str], evidence: &str| {
            coldcase(&[&["memparse", "--raw", "-p57"], ranges, &[evidence]].concat()).raw().run()
        };
        let kept = raw(&kept.iter().map(String::as_str).collect::<Vec<_>>(), path(&plain)).stdout;
        let strings = |evidence: &str| {
            coldcase(&["strings", "--encoding=utf-8,utf-16le", "--format=jsonl", evidence]).run()
        };
        let length = |record: &Value| record["length"].as_u64().unwrap();
        let all_strings = places(&strings(path(&plain)).ends_with(0).records().records, &length);
        let matched = |record: &Value| record["match"]["text"].as_str().unwrap().len() as u64;
        let all_words = places(&words(path(&plain)).ends_with(0).records().records, &matched);
        let cores = |evidence: &str, into: &str| {
            let into = directory.path().join(into);
            coldcase(&["coredump", "-p57", "-o", into.to_str().unwrap(), evidence]).run();
            fs::read(into.join("core.57")).unwrap()
        };
        let whole_core = cores(path(&plain), "whole");
        let recovered = |evidence: &str, into: &str| {
            let into = directory.path().join(into);
            let range = "--mapping=7ff450e4c000-7ff450e52000";
            let ran = coldcase(&[
                "recover",
                "-p57",
                range,
                "--format=json",
                "-o",
                into.to_str().unwrap(),
                evidence,
            ])
            .run();
            let file = &ran.documents()[0]["recovered"][0];
            (fs::read(file["file"].as_str().unwrap()).unwrap(), file["missing"].as_u64().unwrap())
        };
        let (whole_file, 0) = recovered(path(&plain), "whole-file") else { panic!("something is missing") };

        for (number, evidence) in [path(&packed), &gzipped].into_iter().enumerate() {
            let ran = raw(&["--range=0-7ffffffff000"], evidence).ends_with(3);
            assert!(ran.stdout == kept, "{evidence}: {} bytes and not {}", ran.stdout.len(), kept.len());
            let told = ran.messages("gap");
            assert!(told.len() == 1 && told[0].contains(&lost_bytes.to_string()), "{told:?}");

            let answer = strings(evidence).ends_with(3).records();
            assert_left(&all_strings, &places(&answer.records, &length), &lost);
            assert!(answer.gaps.len() == 1 && answer.gaps[0].to_string().contains(&lost_bytes.to_string()));
            let answer = words(evidence).ends_with(0).records();
            assert_left(&all_words, &places(&answer.records, &matched), &lost);
            assert!(answer.gaps.len() == 1 && answer.gaps[0].to_string().contains(&lost_bytes.to_string()));

            let core_file = cores(evidence, &number.to_string());
            let (core, whole) = (Core::read(&core_file), Core::read(&whole_core));
            for page in whole
                .loads
                .iter()
                .flat_map(|(start, _, bytes)| (0..bytes.len()).step_by(4096).map(move |at| start + at as u64))
            {
                let is_lost = lost.iter().any(|range| range.contains(&page));
                let expected = if is_lost { None } else { whole.memory(page, 4096) };
                assert!(core.memory(page, 4096) == expected, "{evidence}: {page:x}, lost: {is_lost}");
            }
            let piped = coldcase(&["coredump", "-p57", "-o", "-", evidence]).raw().run().ends_with(3);
            assert!(piped.stdout == core_file, "{evidence}");

            let (file, missing) = recovered(evidence, &format!("file-{number}"));
            let from = |range: &Range<u64>| range.start.checked_sub(0x7ff450e4c000);
            let mut expected = whole_file.clone();
            let mut expected_missing = 0;
            for range in lost.iter().filter(|range| from(range).is_some_and(|at| at < 0x6000)) {
                let (at, len) = (from(range).unwrap() as usize, (range.end - range.start) as usize);
                expected[at..at + len].fill(0);
                expected_missing += len as u64;
            }
            assert_eq!((missing, expected_missing > 0), (expected_missing, true), "{evidence}");
            assert!(file == expected, "{evidence}");
        }
    }
}

/// Many lost ranges are told in one line; the record beside the core has each.
#[test]
fn many_lost_ranges_are_told_together() {
    let (packed, _) = packed_and_plain("compressed-page");
    // Every other block, so that none touches the next.
    let mut apart: Vec<u64> = Vec::new();
    for address in blocks(&packed.path().join("pages-3.img")).iter().map(|block| hex(&block["vaddr"])) {
        if apart.last().is_none_or(|last| address > last + 4096) {
            apart.push(address);
        }
    }
    let told = |count: usize| {
        let broken = break_blocks(packed.path(), "pages-3.img", &apart[..count]);
        assert_eq!(broken.len(), count);
        let out = TempDir::new().unwrap();
        let directory = out.path().join("cores");
        let ran = coldcase(&["coredump", "-p57", "-o", directory.to_str().unwrap(), path(&packed)])
            .run()
            .ends_with(3);
        let record: Value =
            serde_json::from_slice(&fs::read(directory.join("core.57.json")).unwrap()).unwrap();
        assert_eq!(record["absent"].as_array().unwrap().len(), count);
        let gaps = ran.messages("gap");
        gaps.into_iter().filter(|gap| gap.contains("pid 57")).map(str::to_owned).collect::<Vec<_>>()
    };
    let few = told(8);
    assert!(few.len() == 8 && few[7].contains(&format!("{:x}", apart[7])), "{few:?}");
    let many = told(12);
    assert!(many.len() == 1 && many[0].contains("48.0 KiB of memory in 12 ranges, the first at"), "{many:?}");
}

/// Of shared memory only the page is lost that stands in the broken block.
#[test]
fn a_broken_block_of_shared_memory_costs_its_own_pages_alone() {
    let (packed, plain) = packed_and_plain("compressed-page");
    break_blocks(packed.path(), "pages-2.img", &[0]);
    let directory = TempDir::new().unwrap();
    let recovered = |evidence: &str, into: &str| {
        let into = directory.path().join(into);
        let arguments = ["recover", "--shm=1429", "--format=json", "-o", into.to_str().unwrap(), evidence];
        let ran = coldcase(&arguments).run();
        let file = &ran.documents()[0]["recovered"][0];
        (fs::read(file["file"].as_str().unwrap()).unwrap(), file["missing"].as_u64().unwrap(), ran)
    };
    let (mut expected, missing, _) = recovered(path(&plain), "whole");
    assert_eq!((expected.len(), missing), (12288, 0));
    assert!(expected[4096..8192].iter().any(|byte| *byte != 0));
    expected[..4096].fill(0);
    for (number, evidence) in [path(&packed), &archive(packed.path(), &directory)].into_iter().enumerate() {
        let (file, missing, ran) = recovered(evidence, &number.to_string());
        assert_eq!(missing, 4096, "{}", ran.told());
        assert!(file == expected, "{evidence}");
        assert!(ran.told().contains("in packed blocks that can't be unpacked"), "{}", ran.told());
    }
}

/// A page of shared memory that is a hole of its image is as unknown as one of a process.
#[test]
fn holes_in_images_of_shared_memory_are_not_known() {
    let (_, plain) = packed_and_plain("compressed-page");
    let pages = plain.path().join("pages-2.img");
    let bytes = fs::read(&pages).unwrap();
    fs::remove_file(&pages).unwrap();
    let file = fs::File::create(&pages).unwrap();
    file.set_len(8192).unwrap();
    file.write_all_at(&bytes[4096..], 4096).unwrap();
    drop(file);
    let out = TempDir::new().unwrap();
    let directory = out.path().join("out");
    let arguments =
        ["recover", "--shm=1429", "--format=json", "-o", directory.to_str().unwrap(), path(&plain)];
    let ran = coldcase(&arguments).run().ends_with(3);
    assert_eq!(ran.documents()[0]["recovered"][0]["missing"], 4096, "{}", ran.told());
    assert!(ran.told().contains("holes in the page image"), "{}", ran.told());
}
