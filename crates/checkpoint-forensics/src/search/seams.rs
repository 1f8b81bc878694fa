//! What is decided where memory goes on in another place: matches that lie across a seam, and whether a match beside one is one.

use std::collections::{BTreeMap, HashMap, HashSet};

use container_checkpoint::memory::{Memory, Place};

use super::Search;
use super::scan::LOOK_BEHIND;
use super::space::{Space, Who};

/// A match found around a seam.
#[derive(Debug)]
pub(super) struct AtSeam {
    /// The number of the needle.
    pub(super) needle: usize,
    /// Number of the address space.
    pub(super) space: usize,
    /// The address of its first byte.
    pub(super) address: u64,
    pub(super) text: Vec<u8>,
    pub(super) is_cut: bool,
    pub(super) before: Vec<u8>,
    pub(super) after: Vec<u8>,
}

/// What a needle has in an address space: both numbers.
pub(super) type Of = (usize, usize);

/// What was decided at the seams of a dump.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) matches: Vec<AtSeam>,
    /// Hits beside a seam that are none once the other side is seen: needle and address space, address.
    none: HashSet<(Of, u64)>,
    /// The stretches that matches cover: start and length, by needle and address space.
    covered: HashMap<Of, BTreeMap<u64, u64>>,
}

impl Decided {
    /// Whether a hit inside a segment is a match to a process: not where the seam says otherwise, nor where a match at a seam covers it.
    pub(super) fn keeps(&self, of: Of, address: u64, len: u64) -> bool {
        let touched = || {
            // They don't overlap: the last that begins before our end is the only one that can reach us.
            let last = self.covered.get(&of)?.range(..address + len).next_back();
            Some(last.is_some_and(|(from, len)| from + len > address))
        };
        !self.none.contains(&(of, address)) && !touched().unwrap_or(false)
    }

    /// The addresses of the last match at a seam that begins in front of an address.
    fn last_before(&self, of: Of, address: u64) -> Option<(u64, u64)> {
        let (start, len) = self.covered.get(&of)?.range(..address).next_back()?;
        Some((*start, start + len))
    }

    /// Adds a match, unless it is known: one over two seams is found at both.
    fn add(&mut self, found: AtSeam) {
        let len = found.text.len() as u64;
        let of = (found.needle, found.space);
        if self.covered.entry(of).or_default().insert(found.address, len) != Some(len) {
            self.matches.push(found);
        }
    }
}

impl Search {
    /// Looks at all seams of those that count.
    pub(super) fn decide_at_seams(&self, memory: &Memory, counts: &dyn Fn(Who) -> bool) -> Decided {
        let mut decided = Decided::default();
        for number in 0..self.plan.seams.len() {
            if counts(Space::of(memory, self.plan.seams[number].space).who()) {
                for needle in 0..self.scanner.patterns.needles().len() {
                    self.decide(number, needle, memory, &mut decided);
                }
            }
        }
        decided
    }

    /// Goes on in front of a seam where the scan of the segment ended, as a scan of the memory in one piece would have.
    fn decide(&self, number: usize, needle_number: usize, memory: &Memory, decided: &mut Decided) {
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

        let before = self.last_hit_before(memory, of, seam.at);
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
            if start > middle {
                let is_known = self.hit_at(memory, of, address) == Some(end - start);
                let is_sure = end < bytes.len() || !is_cut_behind;
                if !is_apart || is_known || !is_sure {
                    break;
                }
                decided.add(self.at_seam(of, address, bytes, (start, end, is_cut)));
                continue;
            }
            let same = ends_here == Some((address, first + end as u64));
            is_confirmed |= same;
            starts_behind |= start == middle;
            let is_across = start < middle && middle < end;
            let is_new = looks_around
                && !same
                && (end == middle || (start == middle && self.hit_at(memory, of, seam.at).is_none()));
            if is_across || is_new {
                decided.add(self.at_seam(of, address, bytes, (start, end, is_cut)));
                is_apart = true;
            }
        }
        if let Some((start, _)) = ends_here
            && !is_confirmed
        {
            decided.none.insert((of, start));
        }
        if looks_around && !starts_behind {
            decided.none.insert((of, seam.at));
        }
    }

    fn at_seam(
        &self,
        (needle, space): Of,
        address: u64,
        bytes: &[u8],
        (start, end, is_cut): (usize, usize, bool),
    ) -> AtSeam {
        let context = self.options.context;
        AtSeam {
            needle,
            space,
            address,
            text: bytes[start..end].to_vec(),
            is_cut,
            before: bytes[start.saturating_sub(context)..start].to_vec(),
            after: bytes[end..end.saturating_add(context).min(bytes.len())].to_vec(),
        }
    }

    /// The addresses of the last hit that a process sees in front of an address.
    fn last_hit_before(&self, memory: &Memory, (needle, space): Of, address: u64) -> Option<(u64, u64)> {
        let (segment, edge) = self.place(memory, space, address.checked_sub(1)?)?;
        let hits = self.found.hits.get(&(segment, needle))?;
        let edge = edge + 1;
        let behind = hits.partition_point(|hit| hit.at < edge);
        let hit = hits[..behind].iter().rev().find(|hit| hit.at + hit.text.len() as u64 <= edge)?;
        let start = address.checked_sub(edge - hit.at)?;
        Some((start, start + hit.text.len() as u64))
    }

    /// The length of the hit that begins at an address in its segment.
    fn hit_at(&self, memory: &Memory, (needle, space): Of, address: u64) -> Option<usize> {
        let (segment, place) = self.place(memory, space, address)?;
        let hits = self.found.hits.get(&(segment, needle))?;
        let number = hits.binary_search_by_key(&place, |hit| hit.at).ok()?;
        Some(hits[number].text.len())
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
