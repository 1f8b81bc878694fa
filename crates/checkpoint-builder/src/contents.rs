//! What stands in memory: bytes that were given, or words, numbers and noise that are made while they are read.

use std::io::{self, Read};
use std::sync::Arc;

/// Bytes that are made in one go.
pub(crate) const BLOCK: u64 = 64 << 10;
/// What generated text is made of.
const WORDS: [&str; 16] = [
    "request",
    "served",
    "queue",
    "/index.html",
    "holds",
    "session=",
    "cache",
    "miss",
    "connection",
    "closed",
    "after",
    "INFO",
    "GET",
    "/api/v1/items",
    "retry",
    "user",
];

/// What the stored pages of a mapping or an object hold, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// These bytes, and zeros behind them.
    Given(Arc<[u8]>),
    /// Words and numbers, every fourth block of 64 KiB noise; the same for the same seed.
    Generated {
        /// Tells one such memory from another.
        seed: u64,
    },
}

impl Contents {
    /// These bytes.
    pub fn given(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::Given(bytes.into())
    }

    /// The block of a number: [`BLOCK`] bytes.
    pub(crate) fn block(&self, number: u64) -> Vec<u8> {
        let mut block = Vec::with_capacity(BLOCK as usize + 32);
        match self {
            Self::Given(bytes) => {
                let rest = usize::try_from(number * BLOCK).ok().and_then(|from| bytes.get(from..));
                let rest = rest.unwrap_or_default();
                block.extend_from_slice(&rest[..rest.len().min(BLOCK as usize)]);
            }
            Self::Generated { seed } => generate(number, *seed, &mut block),
        }
        block.resize(BLOCK as usize, 0);
        block
    }
}

fn generate(number: u64, seed: u64, block: &mut Vec<u8>) {
    let mut random = Random(number.wrapping_add(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)));
    while block.len() < BLOCK as usize {
        let value = random.next();
        if number % 4 == 3 {
            block.extend(value.to_le_bytes());
        } else {
            block.extend(WORDS[(value % 16) as usize].as_bytes());
            block.push(b' ');
            block.extend((value >> 48).to_string().as_bytes());
            block.push(if value >> 60 == 0 { 0 } else { b'\n' });
        }
    }
}

/// A text at a place among stored bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planted {
    /// Offset of its first byte.
    pub(crate) at: u64,
    pub(crate) text: Arc<[u8]>,
}

/// Reads contents with what is planted in them, from the start.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    contents: Contents,
    pub(crate) len: u64,
    at: u64,
    /// By place.
    planted: Vec<Planted>,
    /// The block that `at` is in.
    block: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(contents: &Contents, len: u64, mut planted: Vec<Planted>) -> Self {
        planted.sort_by_key(|planted| planted.at);
        Self { contents: contents.clone(), len, at: 0, planted, block: Vec::new() }
    }

    fn make_block(&mut self) {
        self.block = self.contents.block(self.at / BLOCK);
        let (start, end) = (self.at, self.at + BLOCK);
        let longest = self.planted.iter().map(|planted| planted.text.len() as u64).max().unwrap_or(0);
        let first = self.planted.partition_point(|planted| planted.at + longest <= start);
        for planted in self.planted[first..].iter().take_while(|planted| planted.at < end) {
            for (at, &byte) in (planted.at..).zip(&*planted.text).filter(|(at, _)| (start..end).contains(at))
            {
                self.block[(at - start) as usize] = byte;
            }
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let inside = (self.at % BLOCK) as usize;
        if inside == 0 && self.at < self.len {
            self.make_block();
        }
        let left = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        let count = buffer.len().min(BLOCK as usize - inside).min(left);
        buffer[..count].copy_from_slice(&self.block[inside..inside + count]);
        self.at += count as u64;
        Ok(count)
    }
}

/// Numbers without a pattern (the generator known as SplitMix64), the same for the same start.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }
}
