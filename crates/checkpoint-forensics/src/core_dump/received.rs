//! What came of the bytes that a core is to hold.

use std::ops::Range;

use super::layout::Part;

/// How far each part came, and what of it is lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    /// Of each part: the bytes that came or are lost, from its first one on. What is behind them did not come.
    pub(super) reached: Vec<u64>,
    /// Addresses of bytes in blocks that can't be unpacked.
    pub(super) broken: Vec<Range<u64>>,
}

impl Received {
    /// Nothing of so many parts.
    pub(super) fn none(parts: usize) -> Self {
        Self { reached: vec![0; parts], broken: Vec::new() }
    }

    /// So many bytes of a part, from so far into it on, are lost.
    pub(super) fn lose(&mut self, number: usize, part: &Part, at: u64, len: u64) {
        let start = part.address + at;
        match self.broken.last_mut() {
            Some(last) if last.end == start => last.end = start + len,
            _ => self.broken.push(start..start + len),
        }
        self.reached[number] = at + len;
    }
}
