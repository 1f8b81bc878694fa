//! A process's memory as pieces with one kind of backing, ascending by address.

use std::ops::Range;

use container_checkpoint::ids::VirtualAddress;
use container_checkpoint::memory::{AddressSpace, Backing, Memory, Missing, ObjectId, Place};

use super::Absence;

/// The longest piece of stored bytes, unless there are too many: what comes early is kept piece by piece.
const LONGEST: u64 = 1 << 20;
/// So many such pieces there are at most: a pagemap of some bytes can claim terabytes.
const MOST: u64 = 1 << 16;

/// A piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its first address.
    pub(super) at: u64,
    /// Length in bytes.
    pub(super) len: u64,
    /// What is behind it.
    pub(super) what: What,
}

/// What is behind a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Bytes of a page image from an offset on.
    Image(ObjectId, u64),
    /// Never written.
    Zeros,
    /// Never written, in a mapping that nobody may access.
    Reserved,
    /// Not to be had.
    Absent(Absence),
}

/// The pieces of ranges that ascend and are disjoint.
pub(super) fn pieces(memory: &Memory, space: &AddressSpace, ranges: &[Range<u64>]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let stored = ranges.iter().flat_map(|range| space.stored.within(range.clone()));
    let stored = stored.fold(0u64, |sum, extent| sum.saturating_add(extent.len));
    let longest = (stored / MOST).max(LONGEST) / LONGEST * LONGEST;
    for located in ranges.iter().flat_map(|range| space.locate(range.clone())) {
        let what = match located.backing {
            Backing::Stored(Place::Image(object, offset)) => {
                let (there, why) = memory.present(object, offset, located.len);
                cut(located.start.0, there, object, offset, longest, &mut pieces);
                let why = if why == Missing::CutShort { Absence::CutShort } else { Absence::Missing(why) };
                if there < located.len {
                    let (at, len) = (located.start.0 + there, located.len - there);
                    pieces.push(Piece { at, len, what: What::Absent(why) });
                }
                continue;
            }
            Backing::Stored(Place::Missing(why)) => What::Absent(Absence::Missing(why)),
            Backing::Zero if is_reserved(space, located.start) => What::Reserved,
            Backing::Zero => What::Zeros,
            Backing::File(file, offset) => What::Absent(Absence::File(file, offset)),
            Backing::NotCaptured => What::Absent(Absence::NotCaptured),
            Backing::Unknown => What::Absent(Absence::Unknown),
            Backing::Unmapped => What::Absent(Absence::Unmapped),
        };
        pieces.push(Piece { at: located.start.0, len: located.len, what });
    }
    pieces
}

fn cut(mut at: u64, mut len: u64, object: ObjectId, mut offset: u64, longest: u64, pieces: &mut Vec<Piece>) {
    while len > 0 {
        let part = len.min(longest);
        pieces.push(Piece { at, len: part, what: What::Image(object, offset) });
        at += part;
        offset += part;
        len -= part;
    }
}

fn is_reserved(space: &AddressSpace, address: VirtualAddress) -> bool {
    space.mapping_at(address).is_some_and(|mapping| mapping.protection.0 == 0)
}
