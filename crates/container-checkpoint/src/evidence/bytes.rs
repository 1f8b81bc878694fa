//! A run of bytes as a list of extents: slices of a source, and holes.

use std::borrow::Cow;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::mapping::passed;
use super::read_at::ReadAt;

/// How much is copied at a time from a source that lends no memory, in bytes.
const CHUNK: usize = 256 << 10;

/// Bytes that can be had at any offset: a member of a plain archive, a file of a directory.
///
/// Cloning and slicing copy no contents.
#[derive(Clone, Debug, Default)]
pub struct Bytes {
    extents: Vec<Extent>,
    len: u64,
}

#[derive(Clone, Debug)]
struct Extent {
    /// Where it begins in the whole.
    start: u64,
    len: u64,
    /// `None` is a hole: its bytes are zero, as a sparse file's are.
    from: Option<(Arc<dyn ReadAt>, u64)>,
}

impl Bytes {
    /// All of a source.
    pub fn new(source: Arc<dyn ReadAt>) -> Self {
        let len = source.size();
        let mut bytes = Self::default();
        bytes.push(len, Some((source, 0)));
        bytes
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A part of it; what lies behind the end is left out.
    pub fn slice(&self, range: Range<u64>) -> Self {
        let mut part = Self::default();
        for (extent, cut) in self.covering(&range) {
            let from =
                extent.from.as_ref().map(|(source, at)| (source.clone(), at + (cut.start - extent.start)));
            part.push(cut.end - cut.start, from);
        }
        part
    }

    /// Adds a hole at the end.
    pub fn push_hole(&mut self, len: u64) {
        self.push(len, None);
    }

    /// Adds other bytes at the end.
    pub fn append(&mut self, other: Self) {
        for extent in other.extents {
            self.push(extent.len, extent.from);
        }
    }

    fn push(&mut self, len: u64, from: Option<(Arc<dyn ReadAt>, u64)>) {
        if len > 0 {
            self.extents.push(Extent { start: self.len, len, from });
            self.len = self.len.saturating_add(len);
        }
    }

    /// Where nothing is stored, ascending: zeros are read there.
    pub fn holes(&self) -> Vec<Range<u64>> {
        let of = |extent: &Extent| -> Vec<Range<u64>> {
            match &extent.from {
                None => std::iter::once(extent.start..extent.start + extent.len).collect(),
                Some((source, at)) => {
                    let (from, to) = (*at, at.saturating_add(extent.len));
                    let touching =
                        source.holes().into_iter().filter(|hole| hole.start < to && from < hole.end);
                    let moved = |hole: Range<u64>| hole.start.max(from) - from..hole.end.min(to) - from;
                    touching
                        .map(moved)
                        .map(|hole| extent.start + hole.start..extent.start + hole.end)
                        .collect()
                }
            }
        };
        self.extents.iter().flat_map(of).collect()
    }

    /// The parts of a range in which something is stored, ascending and without touching: what lies between them reads as zeros.
    pub fn stored_within(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut stored: Vec<Range<u64>> = Vec::new();
        let mut push = |part: Range<u64>| match stored.last_mut() {
            _ if part.is_empty() => {}
            Some(last) if last.end == part.start => last.end = part.end,
            _ => stored.push(part),
        };
        for (extent, cut) in self.covering(&range) {
            let Some((source, from)) = &extent.from else { continue };
            let mut at = cut.start;
            for hole in source.holes() {
                let place = |place: u64| {
                    extent.start.saturating_add(place.saturating_sub(*from)).clamp(cut.start, cut.end)
                };
                push(at..place(hole.start));
                at = at.max(place(hole.end));
            }
            push(at..cut.end);
        }
        stored
    }

    /// The extents that a range touches, each with the part of the range that it covers.
    fn covering(&self, range: &Range<u64>) -> impl Iterator<Item = (&Extent, Range<u64>)> {
        let range = range.start..range.end.min(self.len);
        let first = self.extents.partition_point(|extent| extent.start + extent.len <= range.start);
        self.extents[first..].iter().take_while(move |extent| extent.start < range.end).map(move |extent| {
            (extent, range.start.max(extent.start)..range.end.min(extent.start + extent.len))
        })
    }

    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end.
    ///
    /// # Errors
    /// What the source says.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        let wanted = offset..offset.saturating_add(buffer.len() as u64);
        for (extent, cut) in self.covering(&wanted) {
            let part = &mut buffer[(cut.start - offset) as usize..(cut.end - offset) as usize];
            match &extent.from {
                None => part.fill(0),
                Some((source, at)) => {
                    let count = read_full(source.as_ref(), at + (cut.start - extent.start), part)?;
                    if count < part.len() {
                        return Ok(done + count);
                    }
                }
            }
            done += part.len();
        }
        Ok(done)
    }

    /// A range's bytes if they lie in memory in one piece.
    pub fn as_slice(&self, range: Range<u64>) -> Option<&[u8]> {
        if range.is_empty() {
            return Some(&[]);
        }
        let (extent, cut) = self.covering(&range).next()?;
        let (source, at) = extent.from.as_ref()?;
        let start = usize::try_from(at + (cut.start - extent.start)).ok()?;
        let bytes = source.as_slice()?.get(start..)?;
        let len = usize::try_from(range.end - range.start).ok()?;
        (cut == range).then(|| bytes.get(..len)).flatten()
    }

    /// All bytes: lent where possible, else copied. The caller has checked the length against its limit.
    ///
    /// # Errors
    /// What the source says, and `UnexpectedEof` when it ends early.
    pub fn to_cow(&self) -> io::Result<Cow<'_, [u8]>> {
        if let Some(bytes) = self.as_slice(0..self.len) {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut copy = Vec::new();
        self.reader().read_to_end(&mut copy)?;
        if copy.len() as u64 != self.len {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was read",
            ));
        }
        Ok(Cow::Owned(copy))
    }

    /// Hands a range's bytes to `sink` piece by piece, lent where possible. Stops early when the sink says so or the source ends. What was lent counts as [`passed`].
    ///
    /// # Errors
    /// What the source says.
    pub fn visit(&self, range: Range<u64>, sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> io::Result<()> {
        let range = range.start..range.end.min(self.len);
        if range.is_empty() {
            return Ok(());
        }
        if let Some(bytes) = self.as_slice(range.clone()) {
            let _ = sink(bytes);
            passed(bytes);
            return Ok(());
        }
        let mut buffer = vec![0; CHUNK.min(usize::try_from(range.end - range.start).unwrap_or(CHUNK))];
        let mut at = range.start;
        while at < range.end {
            let wanted = buffer.len().min(usize::try_from(range.end - at).unwrap_or(usize::MAX));
            let count = self.read_at(at, &mut buffer[..wanted])?;
            if count == 0 || sink(&buffer[..count]).is_break() {
                break;
            }
            at += count as u64;
        }
        Ok(())
    }

    /// A reader over all bytes.
    pub fn reader(&self) -> BytesReader<'_> {
        BytesReader { bytes: self, at: 0 }
    }
}

/// Reads [`Bytes`] from the front to the end.
#[derive(Debug)]
pub struct BytesReader<'a> {
    bytes: &'a Bytes,
    at: u64,
}

impl Read for BytesReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read_at(self.at, buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for BytesReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(delta) => self.bytes.len.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.at.checked_add_signed(delta),
        };
        self.at =
            target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the start"))?;
        Ok(self.at)
    }
}

fn read_full(source: &dyn ReadAt, mut offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match source.read_at(offset, &mut buffer[done..]) {
            Ok(0) => break,
            Ok(count) => {
                done += count;
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse() -> Bytes {
        let source: Arc<dyn ReadAt> = Arc::new(b"abcdefgh".to_vec());
        let whole = Bytes::new(source);
        let mut bytes = whole.slice(0..3);
        bytes.push_hole(4);
        bytes.append(whole.slice(5..8));
        bytes
    }

    #[test]
    fn holes_read_as_zeros_and_slices_keep_them() {
        let bytes = sparse();
        assert_eq!(bytes.len(), 10);
        assert_eq!(&*bytes.to_cow().unwrap(), b"abc\0\0\0\0fgh");
        assert_eq!(&*bytes.slice(2..9).to_cow().unwrap(), b"c\0\0\0\0fg");
        assert_eq!(bytes.slice(8..100).len(), 2);
        assert_eq!((bytes.holes(), bytes.slice(4..9).holes()), (vec![3..7; 1], vec![0..3; 1]));
    }

    #[test]
    fn what_is_stored_lies_between_the_holes() {
        let bytes = sparse();
        assert_eq!(bytes.stored_within(0..100), [0..3, 7..10]);
        assert_eq!(bytes.stored_within(2..9), [2..3, 7..9]);
        assert_eq!(bytes.stored_within(4..6), []);
        assert_eq!(bytes.stored_within(8..8), []);
        assert_eq!(bytes.slice(0..7).stored_within(1..7), [1..3; 1]);
        assert_eq!(bytes.slice(8..10).stored_within(0..2), [0..2; 1]);
    }

    #[test]
    fn memory_is_lent_only_within_one_extent() {
        let bytes = sparse();
        assert_eq!(bytes.as_slice(0..3), Some(&b"abc"[..]));
        assert_eq!(bytes.as_slice(2..4), None);
        assert_eq!(bytes.as_slice(7..10), Some(&b"fgh"[..]));
    }

    #[test]
    fn visiting_stops_when_told() {
        let mut seen = Vec::new();
        sparse()
            .visit(0..10, &mut |part| {
                seen.extend_from_slice(part);
                ControlFlow::Break(())
            })
            .unwrap();
        assert_eq!(seen, b"abc\0\0\0\0fgh");
    }
}
