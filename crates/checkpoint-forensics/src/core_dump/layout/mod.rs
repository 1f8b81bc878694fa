//! Where each byte of a process's memory goes in its core: worked out from metadata alone.
//!
//! As in the kernel's cores each mapping has a program header, and bytes that are left out make `p_filesz` the smaller one: where known bytes follow unknown ones,
//! the mapping becomes several segments. Debuggers that find no file read zeros there (gdb does). So memory that the evidence names and has lost gets no program
//! header at all: a debugger says that it can't read it.

mod cuts;
mod mappings;

use std::collections::HashSet;
use std::ops::Range;

use container_checkpoint::ids::VirtualAddress;
use container_checkpoint::memory::{AddressSpace, Backing, Memory, Missing, ObjectId, Piece, Place, Want};
use container_checkpoint::model::Mapping;

use super::absence::{Absence, Absent};
use super::arch::Class;
use super::fill::{Choice, Fill, Filling};
use super::received::Received;
use super::source::{Source, Stretch};
use crate::mapped_files::MappedFiles;
use cuts::{emptied, marked, without};
pub(super) use mappings::is_private_to_program;
use mappings::{is_kernels, is_unreadable, shows_object, writes_zeros};

/// The most bytes that a file can have.
const FILE_MAX: u64 = i64::MAX as u64;

/// Bytes in a page of a process whose images don't say.
const PAGE: u64 = 4096;

/// A stretch of memory with a program header of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// First address.
    pub(super) start: u64,
    /// Length in bytes.
    pub(super) len: u64,
    /// `PROT_*` of its mapping.
    pub(super) protection: u32,
    /// Where its bytes stand in the core; `None` when it has none.
    pub(super) at: Option<u64>,
    /// How many bytes of it, from the first one on, stand in the core.
    pub(super) stored: u64,
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

/// What the asker wants of a layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// Memory that the program asked to leave out of cores is left out.
    pub(super) honour_dontdump: bool,
    /// Which pages come from files.
    pub(super) fill: Fill,
}

/// The layout of one core: headers, memory, and behind it the notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Ascending by address; those with bytes stand in the file in the same order.
    pub(super) segments: Vec<Segment>,
    /// Ascending by address.
    pub(super) parts: Vec<Part>,
    /// What is to come from files, ascending by address.
    pub(super) fillings: Vec<Filling>,
    /// What stands behind all that is mapped, ascending by address.
    pub(super) stretches: Vec<Stretch>,
    /// Ascending by address.
    pub(super) absent: Vec<Absent>,
    /// Bytes in a page.
    pub(super) page: u64,
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
    pub(super) fn new(space: &AddressSpace, memory: &Memory, rules: Rules) -> Result<Self, TooLarge> {
        let mut layout = Self::empty(space.page_size.unwrap_or(PAGE));
        let mappings = || space.map.iter().flat_map(|map| &map.mappings);
        let own = own_objects(space, mappings());
        for mapping in mappings() {
            let source = |object: ObjectId| match memory.objects.get(object.0 as usize) {
                Some(object) if object.ancestor > 0 => Source::Parent,
                _ if shows_object(mapping) && !own.contains(&object) => Source::Shared,
                _ => Source::Images,
            };
            let pieces = space.locate(mapping.start.0..mapping.end.0);
            let choice = Choice::of(rules.fill, mapping, &pieces, &memory.files, layout.page);
            layout.mapping(mapping, &pieces, source, rules, choice)?;
        }
        layout.make_room_for_headers()?;
        Ok(layout)
    }

    fn empty(page: u64) -> Self {
        Self {
            segments: Vec::new(),
            parts: Vec::new(),
            fillings: Vec::new(),
            stretches: Vec::new(),
            absent: Vec::new(),
            page,
            memory_at: 0,
            memory_end: 0,
        }
    }

    fn mapping(
        &mut self,
        mapping: &Mapping,
        pieces: &[Piece],
        source: impl Fn(ObjectId) -> Source,
        rules: Rules,
        choice: Choice,
    ) -> Result<(), TooLarge> {
        let first = self.segments.len();
        let writes_zeros = writes_zeros(mapping, pieces);
        for piece in pieces {
            let address = piece.start.0;
            let mut absent = |why| self.absent.push(Absent { start: piece.start, len: piece.len, why });
            let (source, held) = match piece.backing {
                _ if rules.honour_dontdump && is_private_to_program(mapping) => {
                    self.leave_out(first, mapping, piece);
                    (Source::DontDump, false)
                }
                Backing::Stored(Place::Image(object, offset)) => {
                    let at = self.hold(first, mapping, piece)?;
                    let want = Want { object, offset, len: piece.len };
                    self.parts.push(Part { want, address, at });
                    (source(object), true)
                }
                Backing::Zero if writes_zeros => {
                    self.hold(first, mapping, piece)?;
                    (Source::Zero, true)
                }
                Backing::NotCaptured if is_unreadable(mapping) => {
                    self.hold(first, mapping, piece)?;
                    (Source::Zero, true)
                }
                Backing::Zero => {
                    self.leave_out(first, mapping, piece);
                    (Source::Zero, false)
                }
                Backing::NotCaptured => {
                    self.leave_out(first, mapping, piece);
                    (if is_kernels(mapping) { Source::Kernel } else { Source::NotCaptured }, false)
                }
                Backing::File(file, offset) => {
                    let taken = choice.of_piece(piece);
                    if taken > 0 {
                        let at = self.hold(first, mapping, &Piece { len: taken, ..*piece })?;
                        self.fillings.push(choice.filling(file, offset, taken, address, at));
                        self.stretch(Stretch {
                            start: address,
                            len: taken,
                            source: Source::File,
                            held: true,
                        });
                    }
                    let (start, len) = (address + taken, piece.len - taken);
                    if len > 0 {
                        self.leave_out(
                            first,
                            mapping,
                            &Piece { start: VirtualAddress(start), len, ..*piece },
                        );
                        self.stretch(Stretch { start, len, source: Source::File, held: false });
                    }
                    continue;
                }
                Backing::Stored(Place::Missing(Missing::Lazy)) => (Source::NotCaptured, false),
                Backing::Stored(Place::Missing(why)) => {
                    absent(Absence::NotStored(why));
                    (Source::Absent, false)
                }
                Backing::Unknown | Backing::Unmapped => {
                    absent(Absence::Unknown);
                    (Source::Absent, false)
                }
            };
            self.stretch(Stretch { start: address, len: piece.len, source, held });
        }
        Ok(())
    }

    fn stretch(&mut self, next: Stretch) {
        match self.stretches.last_mut() {
            Some(last) if (last.end(), last.source, last.held) == (next.start, next.source, next.held) => {
                last.len += next.len;
            }
            _ => self.stretches.push(next),
        }
    }

    /// The segment that a piece goes on with: of the same mapping (from number `first` on), and it ends where the piece begins.
    fn before(&mut self, first: usize, piece: &Piece) -> Option<&mut Segment> {
        let before = self.segments[first..].last_mut();
        before.filter(|segment| segment.start + segment.len == piece.start.0)
    }

    /// Gives a piece its place in the file.
    fn hold(&mut self, first: usize, mapping: &Mapping, piece: &Piece) -> Result<u64, TooLarge> {
        let (start, memory_end, page) = (piece.start.0, self.memory_end, self.page);
        let whole = |segment: &&mut Segment| segment.stored == segment.len;
        let at = match self.before(first, piece).filter(whole) {
            Some(segment) => {
                segment.len += piece.len;
                segment.stored += piece.len;
                memory_end
            }
            None => {
                // Offset and address agree modulo the page size, as p_align demands.
                let free = memory_end.checked_next_multiple_of(page).ok_or(TooLarge)?;
                let at = free.checked_add(start % page).ok_or(TooLarge)?;
                let (len, protection) = (piece.len, mapping.protection.0);
                self.segments.push(Segment { start, len, protection, at: Some(at), stored: len });
                at
            }
        };
        self.memory_end = at.checked_add(piece.len).filter(|end| *end <= FILE_MAX).ok_or(TooLarge)?;
        Ok(at)
    }

    /// Gives a piece no place in the file, only in its mapping's segment.
    fn leave_out(&mut self, first: usize, mapping: &Mapping, piece: &Piece) {
        match self.before(first, piece) {
            Some(segment) => segment.len += piece.len,
            None => {
                let (start, len, protection) = (piece.start.0, piece.len, mapping.protection.0);
                self.segments.push(Segment { start, len, protection, at: None, stored: 0 });
            }
        }
    }

    fn make_room_for_headers(&mut self) -> Result<(), TooLarge> {
        // What the process was is not known yet; the wider headers have room.
        let headers = Class::Elf64.headers_len(self.segments.len());
        let room = headers.checked_next_multiple_of(self.page).ok_or(TooLarge)?;
        self.segments.iter_mut().filter_map(|segment| segment.at.as_mut()).for_each(|at| *at += room);
        self.parts.iter_mut().for_each(|part| part.at += room);
        self.fillings.iter_mut().for_each(|filling| filling.at += room);
        self.memory_at = room;
        self.memory_end = self.memory_end.checked_add(room).filter(|end| *end <= FILE_MAX).ok_or(TooLarge)?;
        Ok(())
    }

    /// Takes out what did not come and what a core of a class has no room for.
    pub(super) fn fit(&mut self, class: Class, received: &Received) -> Result<(), TooLarge> {
        self.cut(&received.reached);
        let mut broken = received.broken.clone();
        broken.sort_unstable_by_key(|range| range.start);
        // Neighbouring blocks are lost as one.
        broken.dedup_by(|next, before| {
            let touches = before.end == next.start;
            if touches {
                before.end = next.end;
            }
            touches
        });
        self.lose(&broken, Absence::NotStored(Missing::BrokenBlock));
        self.confine(class)
    }

    /// Takes out what did not come: `received` is the number of bytes that came of each part.
    fn cut(&mut self, received: &[u64]) {
        let short = self.parts.iter().zip(received).filter(|(part, received)| **received < part.want.len);
        let lost: Vec<Range<u64>> =
            short.map(|(part, received)| part.address + received..part.address + part.want.len).collect();
        self.lose(&lost, Absence::ImageEndsEarly);
    }

    /// Takes out what a core of a class can't say: addresses above the highest one. Fails when the file would be too long for its offsets.
    fn confine(&mut self, class: Class) -> Result<(), TooLarge> {
        let highest = class.highest();
        if self.memory_end > highest {
            return Err(TooLarge);
        }
        let above = self.segments.iter().filter(|segment| segment.start + segment.len - 1 > highest);
        let lost: Vec<_> = above
            .map(|segment| segment.start.max(highest.saturating_add(1))..segment.start + segment.len)
            .collect();
        self.lose(&lost, Absence::BeyondAddresses);
        Ok(())
    }

    /// Takes out what was to come from files that were not found; the files keep it.
    pub(super) fn leave_to_files(&mut self, files: &MappedFiles) {
        let (found, missing): (Vec<_>, Vec<_>) =
            self.fillings.iter().partition(|filling| filling.bytes(files).is_some());
        self.fillings = found;
        let missing: Vec<Range<u64>> = missing.iter().map(Filling::range).collect();
        if !missing.is_empty() {
            self.segments = emptied(&self.segments, &missing);
            self.stretches = marked(&self.stretches, &missing, |stretch| (stretch.source, false));
        }
    }

    fn lose(&mut self, lost: &[Range<u64>], why: Absence) {
        if lost.is_empty() {
            return;
        }
        self.segments = without(&self.segments, lost);
        self.stretches = marked(&self.stretches, lost, |_| (Source::Absent, false));
        let absent = |range: &Range<u64>| {
            let (start, len) = (VirtualAddress(range.start), range.end - range.start);
            Absent { start, len, why }
        };
        self.absent.extend(lost.iter().map(absent));
        self.absent.sort_by_key(|absent| absent.start);
    }

    /// How many bytes of a source are not in the core.
    pub(super) fn left_out(&self, source: Source) -> u64 {
        let of = self.stretches.iter().filter(|stretch| stretch.source == source && !stretch.held);
        of.fold(0, |sum, stretch| sum.saturating_add(stretch.len))
    }

    /// The segments with bytes in the file that touch a range, each with the offset of its first byte in the range and how many there are; up to the first
    /// byte that the core does not hold.
    pub(super) fn held(&self, range: Range<u64>) -> Vec<(u64, u64)> {
        let mut held = Vec::new();
        let mut address = range.start;
        let first = self.segments.partition_point(|segment| segment.start + segment.len <= range.start);
        for segment in &self.segments[first..] {
            let end = (segment.start + segment.stored).min(range.end);
            let Some(at) = segment.at.filter(|_| segment.start <= address && address < end) else {
                break;
            };
            held.push((at + (address - segment.start), end - address));
            address = end;
        }
        held
    }
}

/// The page images with the process's own pages, as far as there are mappings that can have no others.
fn own_objects<'a>(space: &AddressSpace, mappings: impl Iterator<Item = &'a Mapping>) -> HashSet<ObjectId> {
    let own = mappings.filter(|mapping| !shows_object(mapping));
    own.filter_map(|mapping| match space.stored.within(mapping.start.0..mapping.end.0).next()?.place {
        Place::Image(object, _) => Some(object),
        Place::Missing(_) => None,
    })
    .collect()
}

#[cfg(test)]
mod tests;
