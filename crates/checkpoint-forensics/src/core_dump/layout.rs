//! Where each byte of a process's memory goes in its core: worked out from metadata alone.
//!
//! Debuggers read zeros where a program header claims memory that the file does not hold (gdb 13 and 18 do, once the mapped file can't be opened). So
//! memory that is not known gets no program header at all, and a mapping with unknown parts becomes several.

use std::ops::Range;

use container_checkpoint::ids::VirtualAddress;
use container_checkpoint::memory::{AddressSpace, Backing, Missing, Piece, Place, Want};
use container_checkpoint::model::Mapping;

use super::elf;

/// Bytes in a page of an x86 machine.
pub(super) const PAGE: u64 = 4096;

/// The longest mapping without a touched page that is written as zeros, in bytes. Programs reserve terabytes that they never use.
const UNTOUCHED_MAX: u64 = 1 << 30;

/// `MADV_DONTDUMP`.
const DONTDUMP: u32 = 16;

/// The most bytes that a file can have.
const FILE_MAX: u64 = i64::MAX as u64;

/// A stretch of memory with a program header of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// First address.
    pub(super) start: u64,
    /// Length in bytes.
    pub(super) len: u64,
    /// `PROT_*` of its mapping.
    pub(super) protection: u32,
    /// Where its bytes stand in the core; `None` for memory that was never touched, of which no zeros are written.
    pub(super) at: Option<u64>,
}

/// Bytes of a page image, and where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Which bytes.
    pub(super) want: Want,
    /// The address at which the process sees the first one.
    pub(super) address: u64,
    /// The offset of the first one in the core.
    pub(super) at: u64,
}

/// Memory that the evidence names and does not yield: the core has nothing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// First address.
    pub start: VirtualAddress,
    /// Length in bytes.
    pub len: u64,
    /// Why.
    pub why: Absence,
}

/// Why memory is not in a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Its bytes are said to be stored, and can't be had.
    NotStored(Missing),
    /// What the images would hold of it can't be known.
    Unknown,
    /// The page image ends before them, or is not in the evidence.
    ImageEndsEarly,
}

/// The layout of one core: headers, memory, and behind it the notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Ascending by address; those with bytes stand in the file in the same order.
    pub(super) segments: Vec<Segment>,
    /// Ascending by address.
    pub(super) parts: Vec<Part>,
    /// Ascending by address.
    pub(super) absent: Vec<Absent>,
    /// Bytes of file pages that were not written to: they are in the files.
    pub(super) left_to_files: u64,
    /// Bytes that CRIU never dumps ([vvar], [vsyscall], rings).
    pub(super) not_captured: u64,
    /// Where memory begins in the file, in bytes: headers have room before it.
    pub(super) memory_at: u64,
    /// Where memory ends in the file, in bytes.
    pub(super) memory_end: u64,
}

/// The address space is larger than a file can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Layout {
    /// Lays out the core of an address space.
    pub(super) fn new(space: &AddressSpace) -> Result<Self, TooLarge> {
        let mut layout = Self {
            segments: Vec::new(),
            parts: Vec::new(),
            absent: Vec::new(),
            left_to_files: 0,
            not_captured: 0,
            memory_at: 0,
            memory_end: 0,
        };
        for mapping in space.map.iter().flat_map(|map| &map.mappings) {
            layout.mapping(mapping, &space.locate(mapping.start.0..mapping.end.0))?;
        }
        layout.make_room_for_headers()?;
        Ok(layout)
    }

    fn mapping(&mut self, mapping: &Mapping, pieces: &[Piece]) -> Result<(), TooLarge> {
        let first = self.segments.len();
        let writes_zeros = writes_zeros(mapping, pieces);
        for piece in pieces {
            let address = piece.start.0;
            let mut absent = |why| self.absent.push(Absent { start: piece.start, len: piece.len, why });
            match piece.backing {
                Backing::Stored(Place::Image(object, offset)) => {
                    let at = self.hold(first, mapping, piece)?;
                    let want = Want { object, offset, len: piece.len };
                    self.parts.push(Part { want, address, at });
                }
                Backing::Zero if writes_zeros => {
                    self.hold(first, mapping, piece)?;
                }
                Backing::Zero => self.segments.push(Segment {
                    start: address,
                    len: piece.len,
                    protection: mapping.protection.0,
                    at: None,
                }),
                Backing::Stored(Place::Missing(why)) => absent(Absence::NotStored(why)),
                Backing::Unknown | Backing::Unmapped => absent(Absence::Unknown),
                Backing::File(..) => self.left_to_files = self.left_to_files.saturating_add(piece.len),
                Backing::NotCaptured => self.not_captured = self.not_captured.saturating_add(piece.len),
            }
        }
        Ok(())
    }

    /// Gives a piece its place in the file, in the segment before it if that is of the same mapping (from number `first` on) and ends where it begins.
    fn hold(&mut self, first: usize, mapping: &Mapping, piece: &Piece) -> Result<u64, TooLarge> {
        let start = piece.start.0;
        let before = self.segments[first..].last_mut();
        let at = match before.filter(|segment| segment.at.is_some() && segment.start + segment.len == start) {
            Some(segment) => {
                segment.len += piece.len;
                self.memory_end
            }
            None => {
                // Offset and address agree modulo the page size, as p_align demands.
                let page = self.memory_end.checked_next_multiple_of(PAGE).ok_or(TooLarge)?;
                let at = page.checked_add(start % PAGE).ok_or(TooLarge)?;
                let protection = mapping.protection.0;
                self.segments.push(Segment { start, len: piece.len, protection, at: Some(at) });
                at
            }
        };
        self.memory_end = at.checked_add(piece.len).filter(|end| *end <= FILE_MAX).ok_or(TooLarge)?;
        Ok(at)
    }

    fn make_room_for_headers(&mut self) -> Result<(), TooLarge> {
        let headers = elf::headers_len(self.segments.len());
        let room = headers.checked_next_multiple_of(PAGE).ok_or(TooLarge)?;
        self.segments.iter_mut().filter_map(|segment| segment.at.as_mut()).for_each(|at| *at += room);
        self.parts.iter_mut().for_each(|part| part.at += room);
        self.memory_at = room;
        self.memory_end = self.memory_end.checked_add(room).filter(|end| *end <= FILE_MAX).ok_or(TooLarge)?;
        Ok(())
    }

    /// Takes out what did not come: `came` is the number of bytes that came of each part.
    pub(super) fn cut(&mut self, came: &[u64]) {
        let short = self.parts.iter().zip(came).filter(|(part, came)| **came < part.want.len);
        let lost: Vec<Range<u64>> =
            short.map(|(part, came)| part.address + came..part.address + part.want.len).collect();
        if lost.is_empty() {
            return;
        }
        self.segments = without(&self.segments, &lost);
        self.absent.extend(lost.iter().map(|range| Absent {
            start: VirtualAddress(range.start),
            len: range.end - range.start,
            why: Absence::ImageEndsEarly,
        }));
        self.absent.sort_by_key(|absent| absent.start);
    }

    /// The segments with bytes in the file that touch a range, each with the offset of its first byte in the range and how many there are; up to the first
    /// byte that the core does not hold.
    pub(super) fn held(&self, range: Range<u64>) -> Vec<(u64, u64)> {
        let mut held = Vec::new();
        let mut address = range.start;
        let first = self.segments.partition_point(|segment| segment.start + segment.len <= range.start);
        for segment in &self.segments[first..] {
            let Some(at) = segment.at.filter(|_| segment.start <= address && address < range.end) else { break };
            let end = (segment.start + segment.len).min(range.end);
            held.push((at + (address - segment.start), end - address));
            address = end;
        }
        held
    }
}

/// Whether untouched pages of a mapping are written as zeros. The kernel's and gdb's cores have none of mappings that can't be read and were never touched,
/// nor of those that the program asked to leave out; their stored pages are evidence all the same.
fn writes_zeros(mapping: &Mapping, pieces: &[Piece]) -> bool {
    let untouched = pieces.iter().all(|piece| piece.backing == Backing::Zero);
    let is_reserve = untouched && (mapping.protection.0 & 7 == 0 || mapping.len() > UNTOUCHED_MAX);
    !is_reserve && !mapping.was_advised(DONTDUMP)
}

/// Segments without ranges of addresses; both ascending.
fn without(segments: &[Segment], lost: &[Range<u64>]) -> Vec<Segment> {
    let mut left = Vec::with_capacity(segments.len());
    let mut next = 0;
    for segment in segments {
        let end = segment.start + segment.len;
        let mut from = segment.start;
        let mut keep = |from: u64, to: u64| {
            if from < to {
                let at = segment.at.map(|at| at + (from - segment.start));
                left.push(Segment { start: from, len: to - from, at, ..*segment });
            }
        };
        while let Some(range) = lost.get(next).filter(|range| range.start < end) {
            keep(from, range.start);
            from = range.end;
            next += 1;
        }
        keep(from, end);
    }
    left
}

impl Absence {
    /// The reason in words.
    pub fn why(self) -> &'static str {
        match self {
            Self::NotStored(missing) => missing.why(),
            Self::Unknown => "not known: what the images would hold of it can't be told",
            Self::ImageEndsEarly => "the page image ends before them, or is not in the evidence",
        }
    }
}
