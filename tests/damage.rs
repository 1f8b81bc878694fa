//! Archives that are cut or have wrong bytes: what is there is shown, what is missing is said, nothing breaks.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::grep::places;
use crate::support::archives::{corpus, testdata, unpacked};
use crate::support::program::{Ran, coldcase};
use crate::support::tar_bytes::{BLOCK, headers};

/// A file that is written anew for each question.
struct Damaged {
    directory: TempDir,
}

impl Damaged {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("damaged.tar")
    }

    fn ask(&self, bytes: &[u8], question: &[&str]) -> Ran {
        fs::write(self.path(), bytes).unwrap();
        coldcase(&[question, &[self.path().to_str().unwrap()]].concat()).run()
    }
}

const INSPECT: &[&str] = &["inspect", "--all", "--format=json"];
const GREP: &[&str] = &["grep", "--format=jsonl", "-C0", "-F", "NEEDLE"];

/// Where each member's contents end.
fn ends(archive: &[u8]) -> Vec<(String, usize)> {
    headers(archive).into_iter().map(|(at, name, size)| (name, at + BLOCK + size)).collect()
}

#[test]
fn a_plain_archive_cut_anywhere_shows_what_stands_before_the_cut_and_says_that_it_is_cut() {
    let archive = fs::read(testdata("tiny.tar")).unwrap();
    let damaged = Damaged::new();
    let ends = ends(&archive);
    let end_of = |name: &str| ends.iter().find(|(other, _)| other == name).unwrap().1;
    // Each match with the last byte of the archive that it needs.
    let whole = damaged.ask(&archive, GREP).ends_with(0).records().records;
    let needed: Vec<(usize, &Value)> = whole
        .iter()
        .map(|record| {
            let image = format!("checkpoint/{}", record["object"]["image"].as_str().unwrap());
            let (at, _, _) = headers(&archive).into_iter().find(|(_, name, _)| *name == image).unwrap();
            let offset = record["object"]["offset"].as_u64().unwrap() as usize;
            (at + BLOCK + offset + "NEEDLE".len(), record)
        })
        .collect();
    let cuts = headers(&archive).into_iter().flat_map(|(at, _, size)| {
        // In a header, right behind it, in the contents, behind all but one of their bytes, at the border of members.
        let padded = BLOCK + size.next_multiple_of(BLOCK);
        BTreeSet::from([
            at + 1,
            at + 300,
            at + BLOCK,
            at + BLOCK + size / 2,
            (at + BLOCK + size).saturating_sub(1),
            at + padded,
        ])
    });
    for cut in cuts.collect::<BTreeSet<_>>() {
        let about = format!("cut at byte {cut}");
        let inspected = damaged.ask(&archive[..cut], INSPECT);
        if cut < end_of("config.dump") && inspected.status == 2 {
            // Nothing tells a checkpoint yet.
            continue;
        }
        let inspected = inspected.ends_with(3);
        let document = inspected.document();
        let gaps = document["gaps"].as_array().unwrap();
        let says_cut = |gap: &Value| gap["why"].as_str().unwrap().contains("cut short");
        assert!(gaps.iter().any(says_cut), "{about}: {}", inspected.told());
        if cut >= end_of("network.status") {
            let known = ["container_name", "image", "ip"].map(|key| document[key].as_str());
            assert_eq!(known, [Some("tiny"), Some("localhost/tiny:1"), Some("10.88.0.77")], "{about}");
        }
        if cut >= end_of("checkpoint/core-1.img") {
            assert_eq!(document["process_tree"]["command"], "tiny main", "{about}");
        }
        if cut >= end_of("checkpoint/pages-2.img") {
            assert_eq!(
                document["process_tree"]["cmdline"], "/tiny --tag NEEDLE_ARGV_31c7 last-arg",
                "{about}"
            );
        }
        let found = damaged.ask(&archive[..cut], GREP);
        let expected: BTreeSet<(u64, u64)> = needed
            .iter()
            .filter(|(needs, _)| cut >= *needs)
            .map(|(_, record)| {
                let address = record["address"].as_str().unwrap();
                (record["pid"].as_u64().unwrap(), crate::support::truth::number(address))
            })
            .collect();
        assert_eq!(places(&found), expected, "{about}: {}", found.told());
        assert_eq!(found.status, if expected.is_empty() { 3 } else { 0 }, "{about}: {}", found.told());
        assert!(!found.records().gaps.is_empty(), "{about}: {}", found.told());
    }
}

#[test]
fn only_the_end_mark_missing_is_told_too() {
    let archive = fs::read(testdata("tiny.tar")).unwrap();
    let (_, last) = ends(&archive).pop().unwrap();
    let ran = Damaged::new().ask(&archive[..last.next_multiple_of(BLOCK)], &["show"]).ends_with(3);
    assert_eq!(ran.messages("gap").len(), 1, "{}", ran.told());
}

/// Asks about an archive cut at many places; returns how many answers there were with each status.
fn cut_everywhere(name: &str, question: &[&str], steps: usize) -> [usize; 4] {
    let archive = fs::read(testdata(name)).unwrap();
    let damaged = Damaged::new();
    let mut statuses = [0; 4];
    for step in 1..steps {
        let cut = archive.len() * step / steps;
        let ran = damaged.ask(&archive[..cut], question);
        if ran.status != 2 {
            let told = ran.messages("gap");
            let says_so = |gap: &&str| {
                gap.contains("cut short") || gap.contains("damaged") || gap.contains("ends early")
            };
            assert!(told.iter().any(says_so), "{name} cut at byte {cut}: {}", ran.told());
        }
        statuses[ran.status as usize] += 1;
    }
    statuses
}

#[test]
fn a_compressed_archive_cut_anywhere_says_so() {
    for extension in ["gz", "zst", "xz", "bz2", "lz4"] {
        let name = format!("tiny.tar.{extension}");
        let [whole, _, nothing, gaps] = cut_everywhere(&name, INSPECT, 24);
        assert_eq!(whole, 0, "{name}: a cut archive passed for a whole one");
        // An archive this small is a single block of bzip2 or LZ4, a single chunk of LZMA2: all of it or nothing comes out.
        let is_one_piece = ["bz2", "lz4", "xz"].contains(&extension);
        assert!(gaps > 0 || is_one_piece, "{name}: {nothing} cuts, and nothing was ever shown");
        let [_, negative, _, _] = cut_everywhere(&name, &["grep", "not in there at all"], 12);
        assert_eq!(negative, 0, "{name}: a negative answer from a part of the archive");
    }
}

#[test]
fn an_archive_of_which_nothing_can_be_read_is_said_to_be_cut() {
    for extension in ["gz", "zst", "xz", "bz2", "lz4"] {
        let archive = fs::read(testdata(&format!("tiny.tar.{extension}"))).unwrap();
        for length in [8, 40] {
            let ran = Damaged::new().ask(&archive[..length], &["show"]).ends_with(2);
            let message = ran.messages("error")[0].to_lowercase();
            let says_so =
                ["cut", "ends early", "breaks off", "end of file"].iter().any(|word| message.contains(word));
            assert!(says_so, "{extension}, {length} bytes: {}", ran.told());
        }
    }
}

#[test]
fn real_archives_cut_in_the_middle_show_their_container() {
    // Podman's metadata stands before the images; CRI-O's behind them.
    for (name, container) in [
        ("counter.tar.zst", Some("counter")),
        ("counter-crio.tar.xz", None),
        ("redis.tar.zst", Some("redis")),
    ] {
        let archive = fs::read(testdata(name)).unwrap();
        let ran = Damaged::new().ask(&archive[..archive.len() / 2], INSPECT).ends_with(3);
        assert_eq!(ran.document()["container_name"].as_str(), container, "{name}: {}", ran.told());
        assert!(ran.document()["process_tree"].is_object(), "{name}: {}", ran.told());
    }
}

#[test]
fn an_archive_cut_on_standard_input_says_so_as_well() {
    for name in ["tiny.tar", "tiny.tar.gz", "tiny.tar.zst"] {
        let archive = fs::read(testdata(name)).unwrap();
        let half = &archive[..archive.len() * 3 / 4];
        let ran = coldcase(&["inspect", "-"]).fed(half).run().ends_with(3);
        assert!(!ran.messages("gap").is_empty(), "{}", ran.told());
    }
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }
}

/// Asks about archives with wrong bytes. That each run ends by itself with a known status and harmless output is what running asserts.
fn with_wrong_bytes(archive: &[u8], seed: u64, rounds: usize, places: &[(usize, usize)]) -> [usize; 4] {
    let mut dice = Dice(seed);
    let damaged = Damaged::new();
    let mut statuses = [0; 4];
    for round in 0..rounds {
        let mut bytes = archive.to_vec();
        for _ in 0..=dice.roll(8) {
            let (from, until) = places[dice.roll(places.len())];
            let at = from + dice.roll(until - from);
            bytes[at] = match dice.roll(4) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ 1 << dice.roll(8),
                _ => dice.roll(256) as u8,
            };
        }
        let questions = [
            INSPECT,
            GREP,
            &["rootfs", "--hash", "--store=all", "--format=json"],
            &["show", "--print-stats"],
        ];
        let ran = damaged.ask(&bytes, questions[round % questions.len()]);
        statuses[ran.status as usize] += 1;
    }
    statuses
}

/// The stretches of an archive that are not pages: headers, images, metadata.
fn all_but_pages(archive: &[u8]) -> Vec<(usize, usize)> {
    let stretch = |(at, name, size): (usize, String, usize)| {
        let length = if name.contains("/pages-") { 0 } else { size };
        (at, at + BLOCK + length)
    };
    headers(archive).into_iter().map(stretch).collect()
}

#[test]
fn wrong_bytes_anywhere_break_nothing() {
    let archive = fs::read(testdata("tiny.tar")).unwrap();
    let rounds = if corpus().is_some() { 1600 } else { 320 };
    let statuses = with_wrong_bytes(&archive, 0x00c0_1dca_5e00_0001, rounds, &all_but_pages(&archive));
    // If all were refused, or none had any effect, the test would show nothing.
    assert!(statuses[0] + statuses[1] > rounds / 20 && statuses[3] > rounds / 20, "{statuses:?}");
}

#[test]
fn wrong_bytes_in_a_compressed_archive_are_noticed_or_harmless() {
    for (number, extension) in ["gz", "zst", "xz", "bz2", "lz4"].into_iter().enumerate() {
        let archive = fs::read(testdata(&format!("tiny.tar.{extension}"))).unwrap();
        let statuses = with_wrong_bytes(&archive, 77 + number as u64, 16, &[(0, archive.len())]);
        assert!(statuses[2] + statuses[3] > 0, "{extension}: {statuses:?}");
    }
}

#[test]
fn images_of_every_kind_with_wrong_bytes_break_nothing() {
    let archive = crate::support::archives::plain(testdata("kitchen.tar.zst"));
    let rounds = if corpus().is_some() { 200 } else { 32 };
    with_wrong_bytes(&archive, 4711, rounds, &all_but_pages(&archive));
}

/// What a pagemap places in a page image that is not there, or not so long, is not in the dump.
#[test]
fn pages_that_no_image_holds_are_not_captured() {
    for kept in [None, Some(4096), Some(0)] {
        let directory = unpacked(testdata("tiny-criu.tar"));
        let top = directory.path().join("tiny-criu");
        let pages = top.join("pages-2.img");
        let whole = fs::read(&pages).unwrap();
        fs::remove_file(&pages).unwrap();
        if let Some(len) = kept {
            fs::write(&pages, &whole[..len]).unwrap();
        }
        let evidence = top.to_str().unwrap();
        let ran = coldcase(&["maps", "--format=json", evidence]).run().ends_with(3);
        let maps: Value = serde_json::from_str(ran.text()).unwrap();
        let total = &maps[0]["processes"][0]["total"];
        let of = |source: &str| total["sources"][source].as_u64().unwrap_or_default();
        let stored = of("own");
        assert!(stored <= kept.unwrap_or_default() as u64, "{total}");
        assert!(of("missing") > 64 << 10 && !total["missing"].as_array().unwrap().is_empty(), "{total}");
        let sources = total["sources"].as_object().unwrap();
        let sum: u64 = sources.values().map(|bytes| bytes.as_u64().unwrap()).sum();
        assert_eq!(total["size"].as_u64(), Some(sum));
        coldcase(&["memparse", evidence]).run().ends_with(3);
        coldcase(&["memparse", "-p", "390", evidence]).run().ends_with(3);
        // Nothing that is known to be there: no file of zeros.
        if kept != Some(4096) {
            let output = directory.path().join("out");
            let out = output.to_str().unwrap();
            let range = "--mapping=401000-402000";
            coldcase(&["recover", "-p", "390", range, "-o", out, evidence]).run().ends_with(3);
            assert!(!output.exists());
        }
    }
}

/// A run of 128 TiB asks for no more memory or time than what is there of it.
#[test]
fn a_run_may_claim_terabytes() {
    let directory = unpacked(testdata("tiny-criu.tar"));
    let top = directory.path().join("tiny-criu");
    // A head, pages_id 1; an entry: vaddr 0x10000, no pages by the old field, present, 2^35 pages.
    let pagemap = b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x01\
        \x0f\0\0\0\x08\x80\x80\x04\x10\0\x20\x04\x28\x80\x80\x80\x80\x80\x01";
    fs::write(top.join("pagemap-390.img"), pagemap).unwrap();
    let evidence = top.to_str().unwrap();
    let start = std::time::Instant::now();
    let ran = coldcase(&["memparse", "-p", "390", evidence]).run().ends_with(3);
    assert!(ran.text().contains("NEEDLE_SHA"), "{}", ran.told());
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
