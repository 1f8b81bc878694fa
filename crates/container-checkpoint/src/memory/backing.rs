//! What is behind each address of a process: stored bytes, zeros, a file, or nothing that can be known.

use std::ops::Range;

use super::extent::Place;
use super::space::AddressSpace;
use crate::ids::{FileId, VirtualAddress};
use crate::model::{AddressMap, Mapping, MappingKind};

/// CRIU up to 4.2.1 leaves out, without a word, pages of arm64 processes at or above 2^48: nothing stored there proves nothing.
const MAYBE_LEFT_OUT_FROM: u64 = 1 << 48;

/// Where what is not stored is not known to be zero, although the mapping's kind would say so.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubts {
    /// The process's own pagemap was not read whole.
    pub(super) private: bool,
    /// First addresses of mappings whose shared object is not known, or its pagemap was not read whole; ascending.
    pub(super) shared: Vec<u64>,
    /// Guard regions: the kernel lets nobody read there.
    guards: Vec<Range<u64>>,
    /// Where mappings lie that overlap others, which no kernel makes.
    overlapping: Vec<Range<u64>>,
}

impl Doubts {
    /// What the mappings themselves leave open.
    pub(super) fn of(map: Option<&AddressMap>) -> Self {
        let Some(map) = map else { return Self::default() };
        Self { guards: joined(&map.guards), overlapping: joined(&map.overlapping), ..Self::default() }
    }
}

/// The addresses of mappings as ascending ranges that don't touch.
fn joined(mappings: &[Mapping]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = mappings.iter().map(|mapping| mapping.start.0..mapping.end.0).collect();
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let goes_on = next.start <= last.end;
        last.end = if goes_on { last.end.max(next.end) } else { last.end };
        goes_on
    });
    ranges
}

/// A stretch of addresses with one kind of backing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First address.
    pub start: VirtualAddress,
    /// Length in bytes.
    pub len: u64,
    /// What is behind it.
    pub backing: Backing,
}

/// What is behind a stretch of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Stored in the images, or said to be.
    Stored(Place),
    /// Never written, or in a hole of a file that was given: it reads as zeros.
    Zero,
    /// A page of a file that was not written to: the file's bytes at this offset, which are not in the images.
    File(FileId, u64),
    /// Mapped, and CRIU never dumps it (`[vvar]`, `[vsyscall]`, rings).
    NotCaptured,
    /// Mapped, and what the images would hold of it can't be known.
    Unknown,
    /// Nothing is mapped there.
    Unmapped,
}

impl AddressSpace {
    /// What is behind each part of a range, ascending and without holes.
    pub fn locate(&self, range: Range<u64>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut at = range.start;
        for extent in self.stored.within(range.clone()) {
            self.not_stored(at..extent.start, &mut pieces);
            let (start, len) = (VirtualAddress(extent.start), extent.len);
            pieces.push(Piece { start, len, backing: Backing::Stored(extent.place) });
            at = extent.end();
        }
        self.not_stored(at..range.end, &mut pieces);
        pieces
    }

    fn not_stored(&self, range: Range<u64>, pieces: &mut Vec<Piece>) {
        let Some(map) = &self.map else {
            return push(range, Backing::Unknown, pieces); // a pre-dump does not say what is mapped
        };
        let mut at = range.start;
        let first = map.mappings.partition_point(|mapping| mapping.end.0 <= range.start);
        for mapping in map.mappings[first..].iter().take_while(|mapping| mapping.start.0 < range.end) {
            let (start, end) = (mapping.start.0.max(at), mapping.end.0.min(range.end));
            self.not_mapped(at..start, pieces);
            self.in_mapping(mapping, start..end, pieces);
            at = end;
        }
        self.not_mapped(at..range.end, pieces);
    }

    fn not_mapped(&self, range: Range<u64>, pieces: &mut Vec<Piece>) {
        split(range, &self.doubts.overlapping, |part, is_doubtful| {
            push(part, if is_doubtful { Backing::Unknown } else { Backing::Unmapped }, pieces);
        });
    }

    fn in_mapping(&self, mapping: &Mapping, range: Range<u64>, pieces: &mut Vec<Piece>) {
        split(range, &self.doubts.guards, |part, is_guard| {
            if is_guard {
                return push(part, Backing::NotCaptured, pieces);
            }
            match self.beneath(mapping, part.start) {
                Backing::File(file, offset) => self.in_file(file, offset, part, pieces),
                backing => push(part, backing, pieces),
            }
        });
    }

    /// Pages of a file that are not stored, from an offset on: those in its holes are known to be zero.
    fn in_file(&self, file: FileId, offset: u64, range: Range<u64>, pieces: &mut Vec<Piece>) {
        let end = offset.checked_add(range.end - range.start);
        let (Some(zeros), Some(end)) = (self.zeros_of_files.get(&file), end) else {
            return push(range, Backing::File(file, offset), pieces);
        };
        split(offset..end, zeros, |part, is_zero| {
            let address = |at: u64| range.start + (at - offset);
            let backing = if is_zero { Backing::Zero } else { Backing::File(file, part.start) };
            push(address(part.start)..address(part.end), backing, pieces);
        });
    }

    /// Whether a mapping may have pages of the process's own that are not known to be stored.
    fn may_have_others(&self, mapping: &Mapping) -> bool {
        let range = mapping.start.0..mapping.end.0;
        let stores_none = || match mapping.is_shared() {
            true => self.stored.within(range.clone()).next().is_none(),
            false => self.stored.own_within(range.clone()).next().is_none(),
        };
        self.doubts.private || (range.start >= MAYBE_LEFT_OUT_FROM && stores_none())
    }

    /// The parts of a mapping of a file where everybody sees the file for sure who sees nothing that is stored.
    pub(super) fn sees_file(&self, mapping: &Mapping) -> Vec<Range<u64>> {
        let mut parts = Vec::new();
        if mapping.kind == MappingKind::FilePrivate && self.may_have_others(mapping) {
            return parts;
        }
        split(mapping.start.0..mapping.end.0, &self.doubts.guards, |part, is_guard| {
            if !is_guard && !part.is_empty() {
                parts.push(part);
            }
        });
        parts
    }

    /// What is behind an address of a mapping where nothing is stored.
    fn beneath(&self, mapping: &Mapping, address: u64) -> Backing {
        use MappingKind as Kind;
        let zero_unless = |is_doubtful: bool| {
            if is_doubtful || self.may_have_others(mapping) { Backing::Unknown } else { Backing::Zero }
        };
        match mapping.kind {
            Kind::FilePrivate if self.may_have_others(mapping) => Backing::Unknown,
            Kind::FilePrivate | Kind::FileShared => match mapping.file {
                Some(file) => Backing::File(file, mapping.offset.saturating_add(address - mapping.start.0)),
                None => Backing::Unknown,
            },
            Kind::Heap | Kind::Stack | Kind::AnonymousPrivate | Kind::ShadowStack => zero_unless(false),
            Kind::AnonymousShared | Kind::Memfd | Kind::SysV => {
                zero_unless(self.doubts.shared.binary_search(&mapping.start.0).is_ok())
            }
            Kind::Vdso
            | Kind::Vvar
            | Kind::Vsyscall
            | Kind::Uprobes
            | Kind::PacketRing
            | Kind::AioRing
            | Kind::Plugin => Backing::NotCaptured,
            Kind::Guard | Kind::Unknown => Backing::Unknown,
        }
    }
}

fn push(range: Range<u64>, backing: Backing, pieces: &mut Vec<Piece>) {
    if range.start < range.end {
        let (start, len) = (VirtualAddress(range.start), range.end - range.start);
        pieces.push(Piece { start, len, backing });
    }
}

/// Hands over the parts of a range that lie within some others, which ascend and don't touch, and the parts in between.
fn split(range: Range<u64>, others: &[Range<u64>], mut part: impl FnMut(Range<u64>, bool)) {
    let mut at = range.start;
    let first = others.partition_point(|other| other.end <= range.start);
    for other in others[first..].iter().take_while(|other| other.start < range.end) {
        let (start, end) = (other.start.max(at), other.end.min(range.end));
        part(at..start, false);
        part(start..end, true);
        at = end;
    }
    part(at..range.end, false);
}
