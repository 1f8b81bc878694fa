//! Every fixture, broken in many ways: no panic, in time, in little memory, and still the same bytes after a way through
//! JSON. A process of its own, so that its memory is that of these images alone.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use std::time::{Duration, Instant};

use common::there_and_back;
use criu_images::pagemap::Pagemap;

/// Mutations of each fixture. Raised by the environment variable `MUTATIONS` for a long run.
const MUTATIONS: u64 = 8;

#[test]
fn mutated_images_come_back_in_time_and_without_panic() {
    let mutations = std::env::var("MUTATIONS").map_or(MUTATIONS, |text| text.parse().unwrap());
    let mut read = 0;
    for cases in common::in_repository() {
        for (name, bytes) in cases.images.iter().filter(|(name, _)| !name.contains("pages-")) {
            let mut random =
                Random(name.bytes().fold(1u64, |sum, byte| sum.wrapping_mul(31) ^ u64::from(byte)) | 1);
            for _ in 0..mutations {
                let mutated = mutate(bytes, &mut random);
                let start = Instant::now();
                read += usize::from(there_and_back(name, &mutated));
                let _ = Pagemap::parse(&mutated);
                assert!(
                    start.elapsed() < Duration::from_secs(1),
                    "{name}: {:?}\n{mutated:02x?}",
                    start.elapsed()
                );
            }
        }
    }
    assert!(read > 1000, "only {read} mutated images were read");
    assert!(peak_memory().is_none_or(|bytes| bytes < 256 << 20), "{:?} bytes", peak_memory());
}

/// Changes an image in one to three places, most often where it hurts: lengths, ends, keys.
fn mutate(bytes: &[u8], random: &mut Random) -> Vec<u8> {
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

/// The most memory that this process ever had, where the system tells it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}
