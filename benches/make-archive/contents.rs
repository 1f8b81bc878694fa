//! What stands in the generated memory: words and numbers, every fourth block noise, with texts planted in it.

use std::io::{self, Read};

/// Bytes that are filled in one way.
const BLOCK: usize = 64 << 10;
/// What the texts are made of.
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

/// A text at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// Offset of its first byte, in bytes.
    pub at: u64,
    /// Its bytes.
    pub text: Vec<u8>,
}

/// Reads the contents of a page image, made while they are read; the same each time.
#[derive(Debug)]
pub struct Contents {
    len: u64,
    at: u64,
    planted: Vec<Planted>,
    /// The block that `at` is in.
    block: Vec<u8>,
}

impl Contents {
    /// Contents of a length in bytes with these texts in it.
    pub fn new(len: u64, mut planted: Vec<Planted>) -> Self {
        planted.sort_by_key(|planted| planted.at);
        Self { len, at: 0, planted, block: Vec::new() }
    }

    fn make_block(&mut self) {
        let number = self.at / BLOCK as u64;
        let mut random = Random(number);
        self.block.clear();
        while self.block.len() < BLOCK {
            let value = random.next();
            if number % 4 == 3 {
                self.block.extend(value.to_le_bytes());
            } else {
                self.block.extend(WORDS[(value % 16) as usize].as_bytes());
                self.block.push(b' ');
                self.block.extend((value >> 48).to_string().as_bytes());
                self.block.push(if value >> 60 == 0 { 0 } else { b'\n' });
            }
        }
        self.block.truncate(BLOCK);
        let (start, end) = (self.at, self.at + BLOCK as u64);
        let first = self.planted.partition_point(|planted| planted.at + planted.text.len() as u64 <= start);
        for planted in self.planted[first..].iter().take_while(|planted| planted.at < end) {
            for (at, &byte) in (planted.at..).zip(&planted.text).filter(|(at, _)| (start..end).contains(at)) {
                self.block[(at - start) as usize] = byte;
            }
        }
    }
}

impl Read for Contents {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let inside = (self.at % BLOCK as u64) as usize;
        if inside == 0 && self.at < self.len {
            self.make_block();
        }
        let left = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        let count = buffer.len().min(BLOCK - inside).min(left);
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
