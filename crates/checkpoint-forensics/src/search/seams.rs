//! What is decided where memory goes on in another place: matches that lie across a seam, and whether a match beside one is one.

use std::collections::{BTreeMap, HashSet};

use container_checkpoint::memory::{Memory, Place};

use super::Search;
use super::found::Looked;
use super::kept::{Kept, Room};
use super::scan::LOOK_BEHIND;
use super::space::{Space, Who};
use super::texts::Text;

/// A match found around a seam.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtSeam {
    /// The address of its first byte.
    pub(super) address: u64,
    /// The number of the seam: the bytes around it are the match's.
    seam: u32,
    /// The length, doubled, and whether it is cut.
    len: u32,
}

/// What a match at a seam takes, in bytes, with what is made of it.
const OVERHEAD: usize = 64;

impl AtSeam {
    pub(super) fn len(self) -> u64 {
        u64::from(self.len >> 1)
    }
}

/// What a needle has in an address space: both numbers.
pub(super) type Of = (usize, usize);

/// What was decided at the seams of a dump.
#[derive(Debug)]
pub(super) struct Decided {
    /// By needle and address space, ascending by address. They don't overlap.
    pub(super) matches: BTreeMap<Of, Vec<AtSeam>>,
    /// Hits beside a seam that are none once the other side is seen: needle and address space, address.
    none: HashSet<(Of, u64)>,
    /// Room for the matches, until they are handed out.
    kept: Kept,
}

impl Decided {
    fn new(room: &Room) -> Self {
        Self { matches: BTreeMap::new(), none: HashSet::new(), kept: Kept::new(room) }
    }

    /// Whether there were more matches than there was room for.
    pub(super) fn is_full(&self) -> bool {
        self.kept.is_full()
    }

    /// Whether a hit inside a segment is a match to a process: not where the seam says otherwise, nor where a match at a seam covers it.
    pub(super) fn keeps(&self, of: Of, address: u64, len: u64) -> bool {
        let touched = || {
            // They don't overlap: the last that begins before our end is the only one that can reach us.
            let all = self.matches.get(&of)?;
            let last = all[..all.partition_point(|found| found.address < address + len)].last();
            Some(last.is_some_and(|found| found.address + found.len() > address))
        };
        !self.none.contains(&(of, address)) && !touched().unwrap_or(false)
    }

    /// The addresses of the last match at a seam that begins in front of an address.
    fn last_before(&self, of: Of, address: u64) -> Option<(u64, u64)> {
        let all = self.matches.get(&of)?;
        let found = all[..all.partition_point(|found| found.address < address)].last()?;
        Some((found.address, found.address + found.len()))
    }

    /// Adds a match, unless it is known: one over two seams is found at both.
    fn add(&mut self, of: Of, found: AtSeam) {
        let all = self.matches.entry(of).or_default();
        let behind = all.partition_point(|other| other.address <= found.address);
        let alike = all[..behind].iter().rev().take_while(|other| other.address == found.address);
        if alike.into_iter().all(|other| other.len() != found.len()) && self.kept.add_bytes(OVERHEAD) {
            all.insert(behind, found);
        }
    }
}

impl Search {
    /// Looks at all seams of those that count.
    pub(super) fn decide_at_seams(&self, memory: &Memory, counts: &dyn Fn(Who) -> bool) -> Decided {
        let mut decided = Decided::new(&self.options.room);
        let has_hits = self.found.needles(self.scanner.patterns.needles().len());
        for number in 0..self.plan.seams.len() {
            if counts(Space::of(memory, self.plan.seams[number].space).who()) {
                for (needle, &has_hits) in has_hits.iter().enumerate() {
                    self.decide(number, needle, has_hits, memory, &mut decided);
                }
            }
        }
        decided
    }

    /// Goes on in front of a seam where the scan of the segment ended, as a scan of the memory in one piece would have.
    fn decide(
        &self,
        number: usize,
        needle_number: usize,
        has_hits: bool,
        memory: &Memory,
        decided: &mut Decided,
    ) {
        let seam = &self.plan.seams[number];
        let Some((first, bytes)) = self.around(number) else { return };
        let needle = &self.scanner.patterns.needles()[needle_number];
        let of = (needle_number, seam.space);
        let middle = (seam.at - first) as usize;
        let looks_around = needle.may_look_around();
        // In the middle of a run, `^` must not take the first byte that is known for that of memory.
        // In front of what is known, there may be bytes that can't be had.
        let is_start = seam.from_run_start || first > seam.window.start;
        let earliest = match needle.as_literal() {
            // What begins further away does not reach the seam.
            Some((text, _)) => middle.saturating_sub(text.len()),
            None if is_start => 0,
            None => LOOK_BEHIND.min(middle),
        };

        let mut looked = None;
        let mut hit_at =
            |address| if has_hits { self.hit_at(memory, of, address, &mut looked) } else { None };
        let before = if has_hits { self.last_hit_before(memory, of, seam.at) } else { None };
        let before = before.filter(|&(start, end)| decided.keeps(of, start, end - start));
        let ends_here = before.filter(|&(start, end)| end == seam.at && start >= first + earliest as u64);
        let by_hits = match (ends_here, before) {
            (Some((start, _)), _) => start,
            (None, Some((_, end))) => end,
            (None, None) => 0,
        };
        let by_seams = match decided.last_before(of, seam.at) {
            Some((start, end)) if end > seam.at => start,
            Some((_, end)) => end,
            None => 0,
        };
        let from = by_hits.max(by_seams);
        let mut at = (from.saturating_sub(first) as usize).max(earliest);
        let mut is_confirmed = false;
        let mut starts_behind = false;
        // Behind a match that the segment's own scan can't have had, matches are others than its own until both meet.
        let mut is_apart = false;
        let is_cut_behind = first + bytes.len() as u64 == seam.at.saturating_add(self.plan.reach);
        // Of a literal, nothing beyond its own length behind the seam matters before something was found across it.
        let across = needle.as_literal().map(|(text, _)| &bytes[..(middle + text.len()).min(bytes.len())]);
        let mut after_cut = false;
        while let Some((start, end, is_cut)) =
            needle.find_at(across.filter(|_| !is_apart).unwrap_or(bytes), at, after_cut)
        {
            (at, after_cut) = (end, is_cut);
            let address = first + start as u64;
            let len = ((end - start) as u32) << 1 | u32::from(is_cut);
            let found = || AtSeam { address, seam: number as u32, len };
            if start > middle {
                let is_known = hit_at(address) == Some((end - start) as u64);
                let is_sure = end < bytes.len() || !is_cut_behind;
                if !is_apart || is_known || !is_sure {
                    break;
                }
                decided.add(of, found());
                continue;
            }
            let same = ends_here == Some((address, first + end as u64));
            is_confirmed |= same;
            starts_behind |= start == middle;
            let is_across = start < middle && middle < end;
            let is_new =
                looks_around && !same && (end == middle || (start == middle && hit_at(seam.at).is_none()));
            if is_across || is_new {
                decided.add(of, found());
                is_apart = true;
            }
        }
        if let Some((start, _)) = ends_here
            && !is_confirmed
        {
            decided.none.insert((of, start));
        }
        if looks_around && !starts_behind && hit_at(seam.at).is_some() {
            decided.none.insert((of, seam.at));
        }
    }

    /// The bytes of a match at a seam.
    pub(super) fn text_at_seam(&self, found: AtSeam) -> Option<Text<'_>> {
        let (first, bytes) = self.around(found.seam as usize)?;
        let start = (found.address - first) as usize;
        let (end, context) = (start + found.len() as usize, self.options.context);
        Some(Text {
            text: &bytes[start..end],
            is_cut: found.len & 1 == 1,
            before: &bytes[start.saturating_sub(context)..start],
            after: &bytes[end..end.saturating_add(context).min(bytes.len())],
        })
    }

    /// The addresses of the last hit that a process sees in front of an address, where a segment ends.
    fn last_hit_before(&self, memory: &Memory, (needle, space): Of, address: u64) -> Option<(u64, u64)> {
        let (segment, edge) = self.place(memory, space, address.checked_sub(1)?)?;
        let (at, len) = self.found.last(segment, needle).filter(|(at, len)| at + len <= edge + 1)?;
        let start = address.checked_sub((edge + 1).checked_sub(at)?)?;
        Some((start, start + len))
    }

    /// The length of the hit that begins at an address in its segment, which is beside a seam.
    fn hit_at(&self, memory: &Memory, (needle, space): Of, address: u64, looked: &mut Looked) -> Option<u64> {
        let (segment, place) = self.place(memory, space, address)?;
        self.found.beginning_at(segment, needle, place, looked)
    }

    /// The segment in which a process sees an address, and where in it.
    fn place(&self, memory: &Memory, space: usize, address: u64) -> Option<(usize, u64)> {
        let Place::Image(object, offset) = Space::of(memory, space).at(address)? else { return None };
        let segment = self.plan.segment_of(object, offset)?;
        Some((segment, offset - self.plan.segments[segment].offset))
    }

    /// The bytes around a seam without a hole: the address of the first one, and the bytes.
    pub(super) fn around(&self, number: usize) -> Option<(u64, &[u8])> {
        let seam = &self.plan.seams[number];
        let (start, bytes) = self.windows[number].around((seam.at - seam.window.start) as usize)?;
        Some((seam.window.start + start as u64, bytes))
    }
}
