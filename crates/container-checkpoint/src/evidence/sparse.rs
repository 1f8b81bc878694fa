//! Sparse members of tar archives: GNU's old headers and the pax forms 0.1 and 1.0.

use std::io::{self, Read};

use super::bytes::Bytes;
use super::pax::Layered;
use super::tar::Feed;

/// The most stored parts that one sparse member may have: 16 bytes each in memory.
const PARTS_MAX: u64 = 1_000_000;

/// Which parts of a sparse file are stored, ascending; all else is a hole.
#[derive(Clone, Debug, Default)]
pub(crate) struct SparseMap {
    /// Offset in the file and length, in bytes.
    parts: Vec<(u64, u64)>,
}

impl SparseMap {
    /// Adds the entries of a GNU header; empty ones fill its end. False when it has all that it may.
    pub(crate) fn extend_gnu(&mut self, entries: &[tar::GnuSparseHeader]) -> bool {
        let known = entries.iter().filter(|entry| !entry.is_empty());
        self.parts.extend(known.filter_map(|entry| Some((entry.offset().ok()?, entry.length().ok()?))));
        (self.parts.len() as u64) < PARTS_MAX
    }

    /// Cuts the map down to what makes sense: ascending, within the file, no more bytes than are stored.
    pub(crate) fn clip(&mut self, size: u64, mut stored: u64) {
        let mut end = 0;
        self.parts.retain_mut(|(offset, length)| {
            let fits = *offset >= end && *offset <= size;
            *length = (*length).min(stored).min(size.saturating_sub(*offset));
            if fits {
                end = *offset + *length;
                stored -= *length;
            }
            fits && *length > 0
        });
    }

    /// How many bytes are stored, after [`clip`](Self::clip).
    pub(crate) fn stored(&self) -> u64 {
        self.parts.iter().map(|(_, length)| length).sum()
    }

    /// The file's bytes out of the packed ones.
    pub(crate) fn spread(&self, packed: &Bytes, size: u64) -> Bytes {
        let mut whole = Bytes::default();
        let mut taken = 0;
        for &(offset, length) in &self.parts {
            whole.push_hole(offset - whole.len().min(offset));
            whole.append(packed.slice(taken..taken + length));
            taken += length;
        }
        whole.push_hole(size.saturating_sub(whole.len()));
        whole
    }
}

/// What the pax records say of a sparse member.
pub(crate) struct PaxSparse<'a> {
    /// Its real name: the header has a made-up one.
    pub(crate) name: Option<&'a [u8]>,
    /// Its real size in bytes.
    pub(crate) size: u64,
    /// The map, unless it stands in front of the data (form 1.0).
    pub(crate) map: Option<SparseMap>,
}

impl<'a> PaxSparse<'a> {
    pub(crate) fn of(pax: &Layered<'a>) -> Option<Self> {
        let name = pax.value("GNU.sparse.name");
        let size = pax.number("GNU.sparse.realsize").or_else(|| pax.number("GNU.sparse.size"))?;
        if pax.number("GNU.sparse.major") == Some(1) {
            return Some(Self { name, size, map: None });
        }
        let numbers: Vec<u64> =
            std::str::from_utf8(pax.value("GNU.sparse.map")?).ok()?.split(',').filter_map(|number| number.parse().ok()).collect();
        let parts = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        Some(Self { name, size, map: Some(SparseMap { parts }) })
    }
}

/// Reads the map of form 1.0, which stands in front of the data: a count, then pairs of offset and length, each a decimal line,
/// filled up to a whole block.
pub(crate) fn read_leading_map(feed: &mut impl Feed, packed: u64) -> io::Result<SparseMap> {
    let mut lines = Lines { feed, left: packed, block: [0; 512], at: 512, got: 512 };
    let mut parts = Vec::new();
    let count = lines.number()?.unwrap_or_default().min(PARTS_MAX);
    for _ in 0..count {
        let (Some(offset), Some(length)) = (lines.number()?, lines.number()?) else { break };
        parts.push((offset, length));
    }
    Ok(SparseMap { parts })
}

struct Lines<'a, F> {
    feed: &'a mut F,
    left: u64,
    block: [u8; 512],
    at: usize,
    got: usize,
}

impl<F: Feed> Lines<'_, F> {
    fn number(&mut self) -> io::Result<Option<u64>> {
        let mut value: Option<u64> = None;
        while let Some(byte) = self.byte()? {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    let Some(next) = value.unwrap_or_default().checked_mul(10).and_then(|value| value.checked_add(digit)) else {
                        return Ok(None);
                    };
                    value = Some(next);
                }
                b'\n' => return Ok(value),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        if self.at == self.got {
            if self.left < 512 || self.got < 512 {
                return Ok(None);
            }
            self.got = self.feed.fill(&mut self.block)?;
            self.left -= 512;
            self.at = 0;
            if self.got == 0 {
                return Ok(None);
            }
        }
        self.at += 1;
        Ok(Some(self.block[self.at - 1]))
    }
}

/// Reads a member from its packed bytes, with zeros for holes.
pub(crate) struct Unpacked<'a, R> {
    packed: R,
    parts: std::slice::Iter<'a, (u64, u64)>,
    /// Bytes of hole, then of data, that come next.
    hole: u64,
    data: u64,
    at: u64,
    size: u64,
}

impl<'a, R: Read> Unpacked<'a, R> {
    pub(crate) fn new(packed: R, map: Option<&'a SparseMap>, size: u64) -> Self {
        let (parts, data) = match map {
            Some(map) => (map.parts.iter(), 0),
            None => ([].iter(), size),
        };
        Self { packed, parts, hole: 0, data, at: 0, size }
    }
}

impl<R: Read> Read for Unpacked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.hole == 0 && self.data == 0 && self.at < self.size {
            match self.parts.next() {
                Some(&(offset, length)) => (self.hole, self.data) = (offset - self.at.min(offset), length),
                None => self.hole = self.size - self.at,
            }
        }
        let clip = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = if self.hole > 0 {
            let count = clip(self.hole);
            buffer[..count].fill(0);
            self.hole -= count as u64;
            count
        } else {
            let wanted = clip(self.data);
            let count = self.packed.read(&mut buffer[..wanted])?;
            self.data -= count as u64;
            count
        };
        self.at += count as u64;
        Ok(count)
    }
}
