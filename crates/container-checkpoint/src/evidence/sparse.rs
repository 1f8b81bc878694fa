//! Sparse members of tar archives: GNU's old headers and the pax forms 0.0, 0.1 and 1.0.

use std::io::{self, Read};
use std::ops::Range;

use super::bytes::Bytes;
use super::feed::Feed;
use super::pax::Layered;

/// The most stored parts that one sparse member may have: 16 bytes each in memory.
pub(super) const PARTS_MAX: usize = 1_000_000;

/// A stored part of a sparse file: offset in the file and length, in bytes.
pub(crate) type Part = (u64, u64);

/// Which parts of a sparse file are stored, ascending and disjoint; all else is a hole.
#[derive(Clone, Debug, Default)]
pub(crate) struct SparseMap {
    parts: Vec<Part>,
}

impl SparseMap {
    /// A map that makes sense: ascending, within the file, and of as many bytes as the archive stores. Otherwise the reason why it does not:
    /// nobody can say then where in the file a stored byte belongs.
    pub(crate) fn checked(parts: Vec<Part>, size: u64, stored: u64) -> Result<Self, &'static str> {
        let (mut end, mut sum) = (0u64, 0u64);
        for &(offset, length) in &parts {
            if offset < end {
                return Err("its map of stored parts is not ascending");
            }
            end = offset
                .checked_add(length)
                .filter(|end| *end <= size)
                .ok_or("its map of stored parts leaves the file")?;
            sum += length;
        }
        if sum != stored {
            return Err("its map of stored parts has more or fewer bytes than the archive stores of it");
        }
        Ok(Self { parts })
    }

    /// How many bytes are stored.
    pub(crate) fn stored(&self) -> u64 {
        self.parts.iter().map(|(_, length)| length).sum()
    }

    /// What is not stored of a file of this size, ascending.
    pub(crate) fn holes(&self, size: u64) -> Vec<Range<u64>> {
        let ends = std::iter::once(0).chain(self.parts.iter().map(|(offset, length)| offset + length));
        let starts = self.parts.iter().map(|(offset, _)| *offset).chain([size]);
        ends.zip(starts).map(|(end, start)| end..start).filter(|hole| !hole.is_empty()).collect()
    }

    /// The file's bytes out of the packed ones. They end where the packed ones are cut short: what is not there is no hole.
    pub(crate) fn spread(&self, packed: &Bytes, size: u64) -> Bytes {
        let mut whole = Bytes::default();
        let mut taken = 0;
        for &(offset, length) in &self.parts {
            whole.push_hole(offset.saturating_sub(whole.len()));
            let part = packed.slice(taken..taken.saturating_add(length));
            taken = taken.saturating_add(length);
            let is_cut = part.len() < length;
            whole.append(part);
            if is_cut {
                return whole;
            }
        }
        whole.push_hole(size.saturating_sub(whole.len()));
        whole
    }
}

/// The entries of one GNU header block; empty ones fill its end. `None` when they are no numbers.
pub(crate) fn gnu_parts(entries: &[tar::GnuSparseHeader]) -> Option<Vec<Part>> {
    let known = entries.iter().take_while(|entry| !entry.is_empty());
    known.map(|entry| Some((entry.offset().ok()?, entry.length().ok()?))).collect()
}

/// What the pax records say of a sparse member.
pub(crate) struct PaxSparse<'a> {
    /// Its real name: the header has a made-up one.
    pub(crate) name: Option<&'a [u8]>,
    /// Its real size in bytes, if that can be read.
    pub(crate) size: Option<u64>,
    /// Where the map stands.
    pub(crate) map: PaxMap,
}

/// Where the map of a sparse member in a pax form stands.
pub(crate) enum PaxMap {
    /// In front of the data (form 1.0).
    Leading,
    /// In the records (forms 0.0 and 0.1); `None` when it makes no sense there.
    Recorded(Option<Vec<Part>>),
}

impl<'a> PaxSparse<'a> {
    /// `None` when the records say nothing of a sparse member.
    pub(crate) fn of(pax: &Layered<'a>) -> Option<Self> {
        const MARKS: [&str; 4] =
            ["GNU.sparse.major", "GNU.sparse.realsize", "GNU.sparse.size", "GNU.sparse.map"];
        if MARKS.iter().all(|mark| pax.value(mark).is_none()) {
            return None;
        }
        let size = pax.number("GNU.sparse.realsize").or_else(|| pax.number("GNU.sparse.size"));
        let major = pax.value("GNU.sparse.major").map(|_| pax.number("GNU.sparse.major"));
        let map = match major {
            Some(Some(1)) => PaxMap::Leading,
            None | Some(Some(0)) => PaxMap::Recorded(recorded(pax)),
            _ => PaxMap::Recorded(None),
        };
        Some(Self { name: pax.value("GNU.sparse.name"), size, map })
    }
}

/// The map of form 0.1, one record `offset,length,...`; else of form 0.0, two records a part.
fn recorded(pax: &Layered<'_>) -> Option<Vec<Part>> {
    let Some(map) = pax.value("GNU.sparse.map") else {
        let (offsets, lengths) = (pax.numbers("GNU.sparse.offset")?, pax.numbers("GNU.sparse.numbytes")?);
        let is_whole = offsets.len() == lengths.len()
            && pax.number("GNU.sparse.numblocks") == Some(offsets.len() as u64);
        return is_whole.then(|| offsets.into_iter().zip(lengths).collect());
    };
    let numbers: Option<Vec<u64>> =
        std::str::from_utf8(map).ok()?.split(',').map(|number| number.parse().ok()).collect();
    let numbers = numbers.filter(|numbers| numbers.len().is_multiple_of(2))?;
    Some(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// Reads the map of form 1.0, which stands in front of the data: a count, then pairs of offset and length, each a decimal line,
/// filled up to a whole block. `None` when it makes no sense or is larger than anyone's.
pub(crate) fn read_leading_map(feed: &mut impl Feed, packed: u64) -> io::Result<Option<Vec<Part>>> {
    let mut lines = Lines { feed, left: packed, block: [0; 512], at: 512, got: 512 };
    let mut parts = Vec::new();
    let Some(count) = lines.number()?.filter(|count| *count <= PARTS_MAX as u64) else { return Ok(None) };
    for _ in 0..count {
        let (Some(offset), Some(length)) = (lines.number()?, lines.number()?) else { return Ok(None) };
        parts.push((offset, length));
    }
    Ok(Some(parts))
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
                    let Some(next) =
                        value.unwrap_or_default().checked_mul(10).and_then(|value| value.checked_add(digit))
                    else {
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

/// Reads a member from its packed bytes, with zeros for holes. Ends where the packed bytes do.
pub(crate) struct Unpacked<'a, R> {
    packed: R,
    parts: std::slice::Iter<'a, Part>,
    /// Bytes of hole, then of data, that come next.
    hole: u64,
    data: u64,
    at: u64,
    size: u64,
}

impl<'a, R: Read> Unpacked<'a, R> {
    /// A member that is stored as it is.
    pub(crate) fn whole(packed: R, size: u64) -> Self {
        Self { packed, parts: [].iter(), hole: 0, data: size, at: 0, size }
    }

    /// A sparse member of this size.
    pub(crate) fn sparse(packed: R, map: &'a SparseMap, size: u64) -> Self {
        Self { packed, parts: map.parts.iter(), hole: 0, data: 0, at: 0, size }
    }
}

impl<R: Read> Read for Unpacked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.hole == 0 && self.data == 0 && self.at < self.size {
            match self.parts.next() {
                Some(&(offset, length)) => (self.hole, self.data) = (offset.saturating_sub(self.at), length),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_map_that_makes_no_sense_is_none() {
        assert!(SparseMap::checked(vec![(0, 4), (8, 4), (16, 0)], 16, 8).is_ok());
        assert!(SparseMap::checked(Vec::new(), 1 << 50, 0).is_ok());
        for (parts, why) in [
            (vec![(8, 4), (0, 4)], "not ascending"),
            (vec![(0, 5), (4, 3)], "not ascending"),
            (vec![(0, 4), (14, 4)], "leaves the file"),
            (vec![(8, u64::MAX)], "leaves the file"),
            (vec![(0, 4)], "more or fewer"),
            (vec![(0, 12)], "more or fewer"),
        ] {
            assert!(
                SparseMap::checked(parts.clone(), 16, 8).is_err_and(|error| error.contains(why)),
                "{parts:?}"
            );
        }
    }

    #[test]
    fn what_is_cut_off_is_no_hole() {
        let map = SparseMap::checked(vec![(2, 4), (10, 4)], 16, 8).unwrap();
        for (stored, expected) in [
            (&b"abcdefgh"[..], &b"\0\0abcd\0\0\0\0efgh\0\0"[..]),
            (b"abcdef", b"\0\0abcd\0\0\0\0ef"),
            (b"abcd", b"\0\0abcd\0\0\0\0"),
            (b"ab", b"\0\0ab"),
        ] {
            let spread = map.spread(&Bytes::new(Arc::new(stored.to_vec())), 16);
            assert_eq!(&*spread.to_cow().unwrap(), expected);
            let mut unpacked = Vec::new();
            Unpacked::sparse(stored, &map, 16).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, expected);
        }
    }
}
