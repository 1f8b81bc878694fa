//! Pages that are stored and hold nothing but zeros: somebody wrote them, or wiped them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::memory::{Memory, Place, Question, Selection, Want};

use super::{Account, OwnPages, Source, source_of};

/// The most pieces of memory that are looked at: some 50 bytes each.
const PIECES_MAX: usize = 4_000_000;

/// A question to the pages of a dump: which of the stored pages of chosen mappings are all zero.
#[derive(Clone, Debug, Default)]
pub struct WrittenZeros {
    selection: Selection,
    pieces: Vec<Piece>,
    is_cut: bool,
    /// By process, mapping and source: bytes in pages of zeros.
    found: BTreeMap<(Pid, VirtualAddress, Source), u64>,
}

/// A stored piece of a mapping, and how far it was looked at.
#[derive(Clone, Copy, Debug)]
struct Piece {
    place: (Pid, VirtualAddress, Source),
    page_size: u32,
    /// Bytes of the page under way, and whether one of them is no zero.
    seen: u32,
    is_other: bool,
}

impl WrittenZeros {
    /// Looks at the mappings that are chosen; a range of addresses takes in all of the mappings that it touches.
    pub fn new(selection: Selection) -> Self {
        Self { selection, ..Self::default() }
    }

    /// Whether memory is in so many pieces that not all of it was looked at.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Tells the pages of zeros of a mapping apart in its account.
    pub fn set_apart(&self, pid: Pid, mapping: VirtualAddress, account: &mut Account) {
        for source in [Source::Own, Source::Parent, Source::Shared] {
            if let Some(bytes) = self.found.get(&(pid, mapping, source)) {
                account.set_apart_zeros(source, *bytes);
            }
        }
    }
}

impl Question for WrittenZeros {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        let mut wants = Vec::new();
        for space in memory.spaces.iter().filter(|space| self.selection.has_process(space.pid)) {
            let Some(page_size) = space.page_size.and_then(|size| u32::try_from(size).ok()) else { continue };
            let mappings = space.map.iter().flat_map(|map| &map.mappings);
            for mapping in mappings.filter(|mapping| self.selection.touches(mapping, &memory.files)) {
                let range = mapping.start.0..mapping.end.0;
                let mut own = OwnPages::within(space, range.clone());
                for extent in space.stored.within(range) {
                    let Place::Image(object, offset) = extent.place else { continue };
                    if wants.len() == PIECES_MAX {
                        self.is_cut = true;
                        return wants;
                    }
                    let source = source_of(memory, extent.place, own.has(extent.start));
                    if source == Source::Filled {
                        continue; // nobody wrote it
                    }
                    let place = (space.pid, mapping.start, source);
                    self.pieces.push(Piece { place, page_size, seen: 0, is_other: false });
                    wants.push(Want { object, offset, len: extent.len });
                }
            }
        }
        wants
    }

    fn bytes(&mut self, want: usize, _: u64, mut bytes: &[u8]) -> ControlFlow<()> {
        let Piece { place, page_size, mut seen, mut is_other } = self.pieces[want];
        let mut zeros = 0;
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min((page_size - seen) as usize));
            is_other = is_other || part.iter().any(|&byte| byte != 0);
            seen += part.len() as u32;
            bytes = rest;
            if seen == page_size {
                zeros += if is_other { 0 } else { u64::from(page_size) };
                (seen, is_other) = (0, false);
            }
        }
        if zeros > 0 {
            *self.found.entry(place).or_default() += zeros;
        }
        let piece = &mut self.pieces[want];
        (piece.seen, piece.is_other) = (seen, is_other);
        ControlFlow::Continue(())
    }

    /// A page of which bytes are lost is none of zeros.
    fn lost(&mut self, want: usize, _: u64, len: u64) {
        let piece = &mut self.pieces[want];
        // Less than a page's size, which was checked to fit.
        piece.seen = ((u64::from(piece.seen) + len) % u64::from(piece.page_size)) as u32;
        piece.is_other = piece.seen > 0;
    }
}
