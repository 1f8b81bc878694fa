//! Images with payloads, changed at will: they are read alike whether they lie or go by, within what is there, and break nothing.

#![allow(clippy::unwrap_used)] // a failure fails the test

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

use container_checkpoint::payloads::{Input, Payload, Receiver, holds_payloads, read};

/// What was told, in words; the bytes of a payload ascend, and are all in the image.
struct Told {
    told: Vec<String>,
    image: u64,
    end: u64,
    stops: bool,
}

impl Receiver for Told {
    fn begin(&mut self, payload: Payload) -> ControlFlow<()> {
        self.told.push(format!("{payload:?}"));
        self.end = 0;
        ControlFlow::Continue(())
    }

    fn bytes(&mut self, at: u64, offset: u64, bytes: &[u8]) -> ControlFlow<()> {
        assert!(at >= self.end && offset + bytes.len() as u64 <= self.image);
        self.end = at.checked_add(bytes.len() as u64).unwrap();
        // Pieces are of any length.
        match self.told.last_mut().filter(|last| last.starts_with("bytes")) {
            Some(last) if !self.stops => *last = format!("bytes to {}", self.end),
            _ => self.told.push(format!("bytes to {}", self.end)),
        }
        if self.stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn end(&mut self, len: u64, missing: u64) {
        assert!(missing <= len && self.end <= len);
        self.told.push(format!("end {len} {missing}"));
    }
}

fn images() -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/criu-features.tar.zst");
    let kitchen = path.with_file_name("kitchen.tar.zst");
    let mut images = Vec::new();
    for path in [path, kitchen] {
        let mut tar = tar::Archive::new(zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name =
                entry.path().unwrap().file_name().unwrap_or_default().to_str().unwrap_or_default().to_owned();
            let mut bytes = Vec::new();
            if holds_payloads(name.as_bytes()) && entry.size() < 100_000 {
                entry.read_to_end(&mut bytes).unwrap();
                images.push((name, bytes));
            }
        }
    }
    assert!(images.len() > 10);
    images
}

#[test]
fn any_bytes_are_read_within_what_is_there() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit.max(1) as u64) as usize
    };
    for (name, image) in images() {
        for round in 0..300 {
            let mut bytes = image.clone();
            for _ in 0..round % 7 {
                // The first bytes say the most.
                let at = if below(2) == 0 { below(bytes.len().min(64)) } else { below(bytes.len()) };
                match below(4) {
                    0 => bytes[at] = [0, 0x7f, 0x80, 0xff][below(4)],
                    1 => bytes[at] ^= 1 << below(8),
                    2 => bytes.truncate(at.max(1)),
                    _ => drop(bytes.splice(at..at, [0xff; 5])),
                }
            }
            for stops in [false, true] {
                let told = || Told { told: Vec::new(), image: bytes.len() as u64, end: 0, stops };
                let (mut lent, mut passing) = (told(), told());
                let faults = read(name.as_bytes(), Input::Lent(&bytes), &mut lent);
                let again = read(name.as_bytes(), Input::Passing(&mut &bytes[..]), &mut passing);
                assert_eq!(faults, again, "{name}, round {round}");
                if !stops {
                    assert_eq!(lent.told, passing.told, "{name}, round {round}");
                }
            }
        }
    }
}
