//! Page images whose pages are packed in blocks (CRIU 4.3, `--compress`), or have gaps between them.
//!
//! Everywhere else in the house an offset in such an image is that of the plain pages, as if nothing were packed; here it becomes a place in the file.

use std::io::{self, Read};
use std::ops::{ControlFlow, Range};

use criu_images::pagemap::{Form, Pagemap, Piece, Pieces};

use crate::evidence::Bytes;

/// How much of plain pages is read at a time, in bytes.
const CHUNK: u64 = 256 << 10;
/// The most zeros that blocks of no bytes may stand for, in bytes: as with holes, nobody has the time for more, and a byte can claim 4 MiB of them.
const ZEROS_MAX: u64 = 256 << 30;
/// So many pieces are walked over from the nearest place that is known.
const MARK_EVERY: usize = 64;

/// How the pages of one image are packed, as its pagemap says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    pagemap: Pagemap,
    page_size: u64,
}

/// How far a packed image can be followed: up to so many bytes of the run with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sound {
    pub(super) run: usize,
    pub(super) bytes: u64,
}

impl Packing {
    /// The packing of a pagemap's image; `None` when its pages stand one behind the other, as they nearly always do.
    pub(super) fn of(pagemap: &Pagemap, page_size: u64) -> Option<Self> {
        let is_packed = pagemap.runs.iter().any(|run| run.blocks.is_some() || run.is_aligned());
        is_packed.then(|| Self { pagemap: pagemap.clone(), page_size })
    }

    /// How far it can be followed, and what is wrong there.
    pub(super) fn sound(&self) -> (Sound, Option<String>) {
        let mut sound = Sound { run: 0, bytes: 0 };
        let mut zeros = 0u64;
        for piece in self.pagemap.pieces(self.page_size) {
            match piece {
                Ok(piece) => {
                    zeros += if piece.form == Form::Zero { piece.length } else { 0 };
                    if zeros > ZEROS_MAX {
                        let why = format!(
                            "entry {}: more than {ZEROS_MAX} bytes of zeros are claimed by blocks of none",
                            piece.run + 1
                        );
                        return (sound, Some(why));
                    }
                    let start = self.pagemap.runs[piece.run].vaddr;
                    sound = Sound { run: piece.run, bytes: piece.vaddr - start + piece.length };
                }
                Err(error) => return (sound, Some(error.to_string())),
            }
        }
        (Sound { run: self.pagemap.runs.len(), bytes: 0 }, None)
    }

    /// All pieces with the offset of their plain bytes.
    fn pieces(&self) -> impl Iterator<Item = (u64, Piece)> + '_ {
        let sound = self.pagemap.pieces(self.page_size).map_while(Result::ok);
        sound.scan(0u64, |at, piece| {
            let start = *at;
            *at = at.checked_add(piece.length)?;
            Some((start, piece))
        })
    }

    /// Where the plain bytes end of which the packed ones are in the first `len` bytes of the file.
    pub(super) fn end(&self, len: u64) -> u64 {
        let mut end = 0;
        for (start, piece) in self.pieces() {
            if piece.offset.saturating_add(piece.stored) > len {
                let there = if piece.form == Form::Plain { len.saturating_sub(piece.offset) } else { 0 };
                return start + there;
            }
            end = start + piece.length;
        }
        end
    }

    /// The plain bytes that can't be had where ranges of the file, which ascend, are holes: whole pages, and all of a block of which a part is gone, since
    /// zeros in it may be unpacked to something.
    pub(super) fn lost_in(&self, holes: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut lost: Vec<Range<u64>> = Vec::new();
        let mut next = 0;
        for (start, piece) in self.pieces() {
            let stored = piece.offset..piece.offset.saturating_add(piece.stored);
            while holes.get(next).is_some_and(|hole| hole.end <= stored.start) {
                next += 1;
            }
            for hole in holes[next..].iter().take_while(|hole| hole.start < stored.end) {
                let range = if piece.form == Form::Plain {
                    let from = hole.start.saturating_sub(stored.start) / self.page_size * self.page_size;
                    let to = (hole.end.min(stored.end) - stored.start).next_multiple_of(self.page_size);
                    start + from..start + to.min(piece.length)
                } else {
                    start..start + piece.length
                };
                match lost.last_mut() {
                    Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                    _ => lost.push(range),
                }
            }
        }
        lost
    }

    /// Walks over the pages. `wants` is asked of each piece in turn whether its plain bytes are wanted; those are unpacked and given to `take`, the others
    /// not even read. Ends where the image ends early. Pieces that can't be unpacked are told as lost: nobody is given bytes that stand in for them.
    pub(super) fn visit(
        &self,
        stored: &mut dyn StoredPages,
        visitor: &mut dyn PlainVisitor,
    ) -> io::Result<()> {
        let (mut raw, mut plain) = (Vec::new(), Vec::new());
        for (start, piece) in self.pieces() {
            match visitor.wants(start..start + piece.length) {
                Wanted::Now => {}
                Wanted::Later => continue,
                Wanted::NoMore => break,
            }
            if piece.form == Form::Plain {
                let mut done = 0;
                while done < piece.length {
                    let len = CHUNK.min(piece.length - done);
                    let is_whole = stored.read(piece.offset + done, len, &mut raw)?;
                    if visitor.take(start + done, &raw).is_break() || !is_whole {
                        return Ok(());
                    }
                    done += len;
                }
                continue;
            }
            if !stored.read(piece.offset, piece.stored, &mut raw)? {
                break;
            }
            plain.clear();
            let flow = match piece.unpack(&raw, &mut plain) {
                Ok(()) => visitor.take(start, &plain),
                Err(error) => {
                    let range = start..start + piece.length;
                    visitor.lost(Broken { range, why: error.to_string() })
                }
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The plain bytes of a packed image that lies at hand, at any offset.
#[derive(Debug)]
pub struct PlainPages<'p> {
    bytes: Bytes,
    /// Where every [`MARK_EVERY`]th piece begins: the offset of its plain bytes, the walk that comes to it next.
    marks: Vec<(u64, Pieces<'p>)>,
    /// The block that was unpacked last; `None` of it when that failed.
    block: Option<(u64, Option<Vec<u8>>)>,
}

/// A part of a packed image's plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainPart<'a> {
    /// The bytes.
    Bytes(&'a [u8]),
    /// So many of them can't be unpacked.
    Broken(u64),
}

impl<'p> PlainPages<'p> {
    /// The pages of an image in a file.
    pub fn new(packing: &'p Packing, bytes: Bytes) -> Self {
        let mut marks = Vec::new();
        let mut pieces = packing.pagemap.pieces(packing.page_size);
        let mut at = 0u64;
        for number in 0.. {
            let here = pieces.clone();
            let Some(Ok(piece)) = pieces.next() else { break };
            if number % MARK_EVERY == 0 {
                marks.push((at, here));
            }
            let Some(end) = at.checked_add(piece.length) else { break };
            at = end;
        }
        Self { bytes, marks, block: None }
    }

    /// Hands over the bytes of a range in order; ends where the file ends early.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn visit(
        &mut self,
        range: Range<u64>,
        sink: &mut dyn FnMut(PlainPart<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let behind = self.marks.partition_point(|(start, _)| *start <= range.start);
        let Some((mut at, pieces)) = behind.checked_sub(1).map(|mark| self.marks[mark].clone()) else {
            return Ok(());
        };
        let mut raw = Vec::new();
        for piece in pieces.map_while(Result::ok) {
            let start = at;
            let Some(end) = start.checked_add(piece.length) else { break };
            at = end;
            let part = range.start.max(start)..range.end.min(end);
            if start >= range.end {
                break;
            }
            if part.is_empty() {
                continue;
            }
            // Blocks of zeros have no bytes that could be missing: behind the end they are not believed.
            if piece.offset > self.bytes.len() {
                break;
            }
            let inside = part.start - start..part.end - start;
            if piece.form == Form::Plain {
                let mut done = inside.start;
                while done < inside.end {
                    let len = CHUNK.min(inside.end - done);
                    let is_whole = (&self.bytes).read(piece.offset + done, len, &mut raw)?;
                    if sink(PlainPart::Bytes(&raw)).is_break() || !is_whole {
                        return Ok(());
                    }
                    done += len;
                }
                continue;
            }
            if self.block.as_ref().is_none_or(|(known, _)| *known != start) {
                if !(&self.bytes).read(piece.offset, piece.stored, &mut raw)? {
                    return Ok(());
                }
                let mut plain = Vec::new();
                let unpacked = piece.unpack(&raw, &mut plain).is_ok();
                self.block = Some((start, unpacked.then_some(plain)));
            }
            let part = match self.block.as_ref().and_then(|(_, plain)| plain.as_deref()) {
                // A block is at most some MiB.
                Some(plain) => plain.get(inside.start as usize..inside.end as usize).map(PlainPart::Bytes),
                None => Some(PlainPart::Broken(inside.end - inside.start)),
            };
            if part.is_none_or(|part| sink(part).is_break()) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// A block that can't be unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The offsets of its plain bytes.
    pub(super) range: Range<u64>,
    pub(super) why: String,
}

/// Whether plain bytes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Some of them.
    Now,
    /// None of them, but some behind them.
    Later,
    /// Neither them nor any behind them.
    NoMore,
}

/// Takes plain bytes in ascending order.
pub(super) trait PlainVisitor {
    /// Whether it wants to see any of these.
    fn wants(&mut self, range: Range<u64>) -> Wanted;

    /// Takes bytes that belong at an offset.
    fn take(&mut self, at: u64, bytes: &[u8]) -> ControlFlow<()>;

    /// These can't be had.
    fn lost(&mut self, broken: Broken) -> ControlFlow<()>;
}

/// The file with the packed pages.
pub(super) trait StoredPages {
    /// Reads `len` bytes into an emptied buffer; offsets ascend from call to call. False when the file ends before: then the buffer has what is there.
    fn read(&mut self, offset: u64, len: u64, into: &mut Vec<u8>) -> io::Result<bool>;
}

impl StoredPages for &Bytes {
    fn read(&mut self, offset: u64, len: u64, into: &mut Vec<u8>) -> io::Result<bool> {
        into.clear();
        // A piece is at most one chunk or one block, a few MiB; what is not there asks for no memory.
        let there = len.min(self.len().saturating_sub(offset));
        into.resize(there as usize, 0);
        let read = self.read_at(offset, into)?;
        into.truncate(read);
        Ok(read as u64 == len)
    }
}

/// A file that goes by.
pub(super) struct Passing<'r> {
    stream: &'r mut dyn Read,
    at: u64,
}

impl<'r> Passing<'r> {
    pub(super) fn new(stream: &'r mut dyn Read) -> Self {
        Self { stream, at: 0 }
    }
}

impl StoredPages for Passing<'_> {
    fn read(&mut self, offset: u64, len: u64, into: &mut Vec<u8>) -> io::Result<bool> {
        into.clear();
        let skip = offset.saturating_sub(self.at);
        self.at += io::copy(&mut (&mut *self.stream).take(skip), &mut io::sink())?;
        if self.at < offset {
            return Ok(false);
        }
        let read = (&mut *self.stream).take(len).read_to_end(into)? as u64;
        self.at += read;
        Ok(read == len)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Numbers of which each follows from the one before.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }
    }

    fn varint(mut number: u64, out: &mut Vec<u8>) {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }

    fn entry(fields: &[(u8, u64)], blocks: Option<&[u8]>, out: &mut Vec<u8>) {
        let mut message = Vec::new();
        for (field, number) in fields {
            message.push(field << 3);
            varint(*number, &mut message);
        }
        if let Some(blocks) = blocks {
            message.push(6 << 3 | 2);
            varint(blocks.len() as u64, &mut message);
            message.extend_from_slice(blocks);
        }
        out.extend_from_slice(&(message.len() as u32).to_le_bytes());
        out.extend_from_slice(&message);
    }

    /// A pagemap of some runs, the file of its pages, and the plain pages; `None` of a page that can't be unpacked.
    fn made(numbers: &mut Numbers) -> (Packing, Vec<u8>, Vec<Option<Vec<u8>>>) {
        const PAGE: usize = 512;
        let mut image = b"\x19\x43\x56\x54\x25\x40\x08\x56".to_vec();
        entry(&[(1, 1)], None, &mut image);
        let (mut file, mut plain, mut vaddr) = (Vec::new(), Vec::new(), 0x10000);
        for _ in 0..=numbers.below(6) {
            let pages = 1 + numbers.below(300) as usize;
            let of_run: Vec<Vec<u8>> = (0..pages)
                .map(|_| match numbers.below(3) {
                    0 => vec![0; PAGE],
                    1 => vec![numbers.below(255) as u8 + 1; PAGE],
                    _ => (0..PAGE).map(|_| numbers.below(256) as u8).collect(),
                })
                .collect();
            let is_aligned = numbers.below(3) == 0;
            if is_aligned {
                file.resize(file.len().next_multiple_of(PAGE), 0xee);
            }
            let flags = if is_aligned { 12 } else { 4 };
            let per_block = 1 + numbers.below(4) as usize;
            let fields = [(1, vaddr), (2, 0), (4, flags), (5, pages as u64)];
            if numbers.below(3) == 0 {
                entry(&fields, None, &mut image);
                file.extend(of_run.concat());
                plain.extend(of_run.into_iter().map(Some));
            } else {
                let (mut sizes, mut total) = (Vec::new(), 0);
                for block in of_run.chunks(per_block) {
                    let whole = block.concat();
                    let mut packed = lz4_flex::block::compress(&whole);
                    let mut unpacks = true;
                    if whole.iter().all(|byte| *byte == 0) {
                        packed.clear();
                    } else if packed.len() >= whole.len() {
                        packed = whole;
                    } else if numbers.below(20) == 0 {
                        packed.fill(0xff);
                        unpacks = false;
                    }
                    plain.extend(block.iter().map(|page| unpacks.then(|| page.clone())));
                    varint(packed.len() as u64, &mut sizes);
                    total += packed.len() as u64;
                    file.extend(packed);
                }
                let mut blocks = vec![1 << 3 | 2];
                varint(sizes.len() as u64, &mut blocks);
                blocks.extend(sizes);
                blocks.push(2 << 3);
                varint(total, &mut blocks);
                blocks.push(3 << 3);
                varint(per_block as u64, &mut blocks);
                entry(&fields, Some(&blocks), &mut image);
            }
            vaddr += (pages * PAGE) as u64;
        }
        let pagemap = Pagemap::parse(&image).unwrap();
        assert_eq!(pagemap.damage, None);
        (Packing { pagemap, page_size: PAGE as u64 }, file, plain)
    }

    /// Wants all, and puts it down.
    #[derive(Default)]
    struct All(Vec<Option<u8>>);

    impl PlainVisitor for All {
        fn wants(&mut self, _: Range<u64>) -> Wanted {
            Wanted::Now
        }

        fn take(&mut self, at: u64, bytes: &[u8]) -> ControlFlow<()> {
            assert_eq!(at, self.0.len() as u64);
            self.0.extend(bytes.iter().map(|byte| Some(*byte)));
            ControlFlow::Continue(())
        }

        fn lost(&mut self, Broken { range, .. }: Broken) -> ControlFlow<()> {
            assert_eq!(range.start, self.0.len() as u64);
            self.0.resize(range.end as usize, None);
            ControlFlow::Continue(())
        }
    }

    fn visited(pages: &mut PlainPages<'_>, range: Range<u64>) -> Vec<Option<u8>> {
        let mut seen = Vec::new();
        let mut sink = |part: PlainPart<'_>| {
            match part {
                PlainPart::Bytes(bytes) => seen.extend(bytes.iter().map(|byte| Some(*byte))),
                PlainPart::Broken(len) => seen.resize(seen.len() + len as usize, None),
            }
            ControlFlow::Continue(())
        };
        pages.visit(range, &mut sink).unwrap();
        seen
    }

    #[test]
    fn pages_come_back_whole_in_any_order_and_as_they_go_by() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for _ in 0..20 {
            let (packing, file, pages) = made(&mut numbers);
            let expected: Vec<Option<u8>> = pages
                .iter()
                .flat_map(|page| match page {
                    Some(bytes) => bytes.iter().map(|byte| Some(*byte)).collect::<Vec<_>>(),
                    None => vec![None; 512],
                })
                .collect();
            assert_eq!(packing.end(file.len() as u64), expected.len() as u64);
            let cut = numbers.below(file.len() as u64 + 1) as usize;
            for file in [&file[..], &file[..cut]] {
                let end = packing.end(file.len() as u64) as usize;
                let bytes = Bytes::new(Arc::new(file.to_vec()));
                let mut passing = All::default();
                packing.visit(&mut Passing::new(&mut &file[..]), &mut passing).unwrap();
                assert!(passing.0 == expected[..end], "as they go by");
                let mut lying = PlainPages::new(&packing, bytes);
                assert!(visited(&mut lying, 0..u64::MAX) == expected[..end], "all");
                for _ in 0..20 {
                    let from = numbers.below(expected.len() as u64);
                    let to = from + numbers.below(5000);
                    let there = &expected[end.min(from as usize)..end.min(to as usize)];
                    assert!(visited(&mut lying, from..to) == there, "{from}..{to} of {end}");
                }
            }
        }
    }

    /// A pagemap of 70 kB that claims 273 GiB.
    #[test]
    fn zeros_that_take_no_bytes_are_bounded() {
        let blocks = 70_000usize;
        let mut fields = vec![1 << 3 | 2];
        varint(blocks as u64, &mut fields);
        fields.resize(fields.len() + blocks, 0);
        fields.extend([2 << 3, 0, 3 << 3]);
        varint(1024, &mut fields);
        let mut image = b"\x19\x43\x56\x54\x25\x40\x08\x56".to_vec();
        entry(&[(1, 1)], None, &mut image);
        entry(&[(1, 0x10000), (2, 0), (4, 4), (5, 1024 * blocks as u64)], Some(&fields), &mut image);
        let packing = Packing { pagemap: Pagemap::parse(&image).unwrap(), page_size: 4096 };
        let (sound, why) = packing.sound();
        assert_eq!(sound, Sound { run: 0, bytes: ZEROS_MAX });
        assert!(why.unwrap().contains("bytes of zeros"));
    }
}
