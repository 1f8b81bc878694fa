//! Every fixture, broken in every place: no panic, in time, in little memory, and still the same bytes after a way
//! through JSON. A process of its own, so that its memory is that of these images alone.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{peak_memory, there_and_back};
use criu_images::framing::Image;
use criu_images::json::{self, Options};
use criu_images::pagemap::Pagemap;
use criu_images::payload::Payload;
use criu_images::raw;

/// Up to this size each byte is changed, and each length is tried.
const SMALL: usize = 4096;

/// Places in larger images that are changed, and as many where these are cut.
const PLACES: usize = 2000;

/// Mutations in several places at once, of each fixture. Raised by the environment variable `MUTATIONS` for a long run.
const MUTATIONS: usize = 8;

/// What takes the place of length words: none, less and more than there can be, as a signed number too.
const LENGTHS: [u32; 4] = [0, 1, 0x7fff_ffff, 0xffff_ffff];

/// The most memory that the process may take. The largest fixture has 10 KiB.
const MEMORY: u64 = 64 << 20;

#[test]
fn mutated_images_come_back_in_time_and_without_panic() {
    let mutations = std::env::var("MUTATIONS").map_or(MUTATIONS, |text| text.parse().unwrap());
    let fixtures = fixtures();
    let count = fixtures.len();
    let (queue, total) = (Mutex::new(fixtures.into_iter()), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                // Not locked while a fixture is broken.
                let next = || queue.lock().unwrap().next();
                while let Some(((name, bytes), archive)) = next() {
                    let tally = broken_everywhere(&format!("{archive}/{name}"), bytes, mutations);
                    total.lock().unwrap().add(&tally);
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!("{count} fixtures, {total:?}, peak {:?} bytes", peak_memory());
    assert!(count > 600 && total.mutants > 350_000, "{count} fixtures, {total:?}");
    assert!(total.images * 10 > total.mutants * 9, "most mutants are still images: {total:?}");
    assert!(total.lengths > 6000, "{total:?}");
    assert!(peak_memory().is_none_or(|bytes| bytes < MEMORY), "{:?} bytes", peak_memory());
}

/// All files of the repository but pages, which are not looked into; a file that is in several archives once. The name
/// of the file, which says the kind, and its bytes, with the name of an archive.
fn fixtures() -> BTreeMap<(String, Vec<u8>), String> {
    let mut fixtures = BTreeMap::new();
    for cases in common::in_repository() {
        for (name, bytes) in cases.images.into_iter().filter(|(name, _)| !name.contains("pages-")) {
            // Kinds stand in the folders of synthetic images: without them, many have the same name.
            fixtures.entry((name, bytes)).or_insert_with(|| cases.name.clone());
        }
    }
    fixtures
}

/// How much was tried.
#[derive(Debug, Default)]
struct Tally {
    mutants: usize,
    /// Mutants that are still images, and so went through JSON.
    images: usize,
    /// Mutants with another length word.
    lengths: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.mutants += other.mutants;
        self.images += other.images;
        self.lengths += other.lengths;
    }

    fn check(&mut self, name: &str, mutant: &[u8]) {
        let start = Instant::now();
        self.mutants += 1;
        self.images += usize::from(there_and_back(name, mutant));
        let _ = Pagemap::parse(mutant);
        show_raw(name, mutant);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(1), "{name}: {took:?}\n{mutant:02x?}");
    }
}

fn broken_everywhere(name: &str, mut bytes: Vec<u8>, mutations: usize) -> Tally {
    let mut tally = Tally::default();
    let mut random = Random::of(name);
    let words = length_words(name, &bytes);
    for at in places(bytes.len(), &mut random) {
        let good = bytes[at];
        bytes[at] ^= 1 + random.below(255) as u8;
        tally.check(name, &bytes);
        bytes[at] = good;
    }
    for length in places(bytes.len(), &mut random) {
        tally.check(name, &bytes[..length]);
    }
    for (at, big_endian) in words {
        let good = bytes[at..at + 4].to_vec();
        for length in LENGTHS {
            let word = if big_endian { length.to_be_bytes() } else { length.to_le_bytes() };
            bytes[at..at + 4].copy_from_slice(&word);
            tally.check(name, &bytes);
            tally.lengths += 1;
        }
        bytes[at..at + 4].copy_from_slice(&good);
    }
    for _ in 0..mutations {
        tally.check(name, &in_several_places(&bytes, &mut random));
    }
    tally
}

/// Every place below `length`, or as many as are tried of that many.
fn places(length: usize, random: &mut Random) -> Vec<usize> {
    if length <= SMALL { (0..length).collect() } else { (0..PLACES).map(|_| random.below(length)).collect() }
}

/// Where the length words of entries, and of the messages of queues, are; with the byte order of the image.
fn length_words(name: &str, bytes: &[u8]) -> Vec<(usize, bool)> {
    let Ok(image) = Image::parse_named(base(name).as_bytes(), bytes) else { return Vec::new() };
    let mut words = Vec::new();
    for entry in image.raw_entries().map_while(Result::ok) {
        words.push(entry.offset);
        if let Payload::Messages(messages) = entry.payload {
            words.extend(messages.iter().map(|message| message.offset - 4));
        }
    }
    words.into_iter().map(|at| (usize::try_from(at).unwrap(), image.is_big_endian())).collect()
}

/// Shows a raw image, which has no way back.
fn show_raw(name: &str, bytes: &[u8]) {
    let Some(image) = raw::kind(Some(base(name).as_bytes()), bytes).and_then(|kind| raw::read(kind, bytes))
    else {
        return;
    };
    for pretty in [false, true] {
        let mut text = Vec::new();
        let _ = json::raw(&image, &Options { pretty, salvage: true, ..Options::default() }, &mut text);
        assert!(text.ends_with(b"}"), "{name}");
    }
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap()
}

/// Changes an image in one to three places, most often where it hurts: lengths, ends, keys.
fn in_several_places(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(2) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 if !bytes.is_empty() => drop(bytes.remove(at.min(bytes.len() - 1))),
            3 => {
                let word = [0u32, 1, 0x7f, 0x8000_0000, u32::MAX, random.next() as u32][random.below(6)];
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&word.to_le_bytes()[..end - at]);
            }
            4 => {
                let part = bytes[at..bytes.len().min(at + 1 + random.below(40))].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

/// A small generator (xorshift): the same mutations in every run.
struct Random(u64);

impl Random {
    fn of(name: &str) -> Self {
        Self(name.bytes().fold(1u64, |sum, byte| sum.wrapping_mul(31) ^ u64::from(byte)) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        if limit == 0 { 0 } else { (self.next() >> 11) as usize % limit }
    }
}
