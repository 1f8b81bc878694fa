//! Hits that are counted and not kept.
//!
//! What is decided at seams may unmake a hit beside one, to some who see it. So those beside seams are remembered: where they begin and how long they are, in a few bits each.

use std::collections::BTreeMap;

use super::plan::Zones;
use super::texts::{put, take};

/// How many hits each segment has of each needle.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    /// By segment and needle.
    pub(super) of: BTreeMap<(u32, u32), Tally>,
}

/// How many hits a segment has of a needle.
#[derive(Debug)]
pub(super) struct Tally {
    /// Hits that no seam can change.
    pub(super) sure: u64,
    zones: Zones,
    /// The last hit: where it begins, how long it is.
    pub(super) last: (u64, u64),
    edges: Edges,
}

/// Hits beside seams, ascending; they don't overlap. Those that follow each other alike are one run: distance from the end of the one before, length, how many.
#[derive(Debug, Default)]
struct Edges {
    runs: Vec<u8>,
    /// The run that goes on.
    open: (u64, u64, u64),
    end: u64,
}

impl Tallies {
    /// Counts a hit, and says whether it is one for sure; `zones` tells where seams may change hits of its segment.
    pub(super) fn add(&mut self, of: (u32, u32), at: u64, len: u64, zones: impl FnOnce() -> Zones) -> bool {
        let new = || Tally { sure: 0, zones: zones(), last: (at, len), edges: Edges::default() };
        let tally = self.of.entry(of).or_insert_with(new);
        tally.last = (at, len);
        let is_sure = tally.zones.leave(at, len);
        if is_sure {
            tally.sure += 1;
        } else {
            tally.edges.add(at, len);
        }
        is_sure
    }
}

impl Tally {
    /// The hits beside seams, ascending: where each begins, how long it is.
    pub(super) fn edges(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut runs = &self.edges.runs[..];
        let closed = std::iter::from_fn(move || {
            (!runs.is_empty()).then(|| {
                let [gap, len, times] = [(); 3].map(|()| take(&mut runs) as u64);
                (gap, len, times)
            })
        });
        let mut end = 0;
        closed.chain([self.edges.open]).flat_map(|(gap, len, times)| (0..times).map(move |_| (gap, len))).map(
            move |(gap, len)| {
                let at = end + gap;
                end = at + len;
                (at, len)
            },
        )
    }
}

impl Edges {
    fn add(&mut self, at: u64, len: u64) {
        let gap = at.saturating_sub(self.end);
        let (open_gap, open_len, times) = self.open;
        if (open_gap, open_len) == (gap, len) {
            self.open.2 += 1;
        } else {
            if times > 0 {
                [open_gap, open_len, times]
                    .into_iter()
                    .for_each(|number| put(&mut self.runs, number as usize));
            }
            self.open = (gap, len, 1);
        }
        self.end = at + len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_beside_seams_come_back_and_the_others_are_counted() {
        let zones = Zones { front: 1000, back: 1_000_000 };
        let hits: Vec<(u64, u64)> =
            [(0, 3), (3, 3), (6, 3), (10, 200), (300, 1), (302, 1), (304, 1), (999, 500)]
                .into_iter()
                .chain((2000..900_000).step_by(7).map(|at| (at, 7)))
                .chain([(999_999, 1), (999_999 + 1, 5), (2_000_000, 1 << 20)])
                .collect();
        let mut tallies = Tallies::default();
        for &(at, len) in &hits {
            tallies.add((1, 2), at, len, || zones);
        }
        let tally = &tallies.of[&(1, 2)];
        let is_edge = |&&(at, len): &&(u64, u64)| at < 1000 || at + len > 1_000_000;
        let edges: Vec<(u64, u64)> = hits.iter().filter(is_edge).copied().collect();
        assert_eq!(tally.edges().collect::<Vec<_>>(), edges);
        assert_eq!(tally.sure as usize, hits.len() - edges.len());
        assert_eq!(tally.last, (2_000_000, 1 << 20));
    }

    #[test]
    fn a_page_of_hits_alike_takes_a_few_bytes() {
        let mut tallies = Tallies::default();
        (0..65536).for_each(|at| _ = tallies.add((0, 0), at, 1, || Zones { front: 1 << 20, back: u64::MAX }));
        assert_eq!(tallies.of[&(0, 0)].edges().count(), 65536);
        assert_eq!(tallies.of[&(0, 0)].edges.runs.len(), 0);
    }
}
