//! The hits in memory so far: kept, or counted.

use std::ops::{ControlFlow, Range};

use super::Keep;
use super::kept::Kept;
use super::plan::Zones;
use super::scan::Hit;
use super::tally::Tallies;
use super::texts::{At, Text, Texts};

/// A hit in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Where it begins in the segment, in bytes.
    pub(super) at: u64,
    pub(super) segment: u32,
    pub(super) needle: u32,
    pub(super) text: At,
}

/// Hits with their bytes.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) list: Vec<Record>,
    pub(super) texts: Texts,
}

/// The hits so far.
#[derive(Debug)]
pub(super) enum Found {
    Kept(Records),
    Counted(Tallies),
}

/// The hits beside seams of the segment and needle that were looked at last.
pub(super) type Looked = Option<((u32, u32), Vec<(u64, u64)>)>;

impl Found {
    pub(super) fn new(keep: Keep) -> Self {
        match keep {
            Keep::Matches => Self::Kept(Records { list: Vec::new(), texts: Texts::default() }),
            Keep::Counts | Keep::Presence => Self::Counted(Tallies::default()),
        }
    }

    /// Takes a hit. Breaks when there is no room for it. Says whether it is a match for sure, whatever is found at seams.
    pub(super) fn add(
        &mut self,
        kept: &mut Kept,
        segment: usize,
        hit: Hit<'_>,
        zones: impl FnOnce() -> Zones,
    ) -> ControlFlow<(), bool> {
        let of = (segment as u32, hit.needle as u32);
        match self {
            Self::Kept(Records { list, texts }) => {
                let Hit { text, is_cut, before, after, .. } = hit;
                let text = Text { text, is_cut, before, after };
                if !kept.add(text.len()) {
                    return ControlFlow::Break(());
                }
                list.push(Record { at: hit.at, segment: of.0, needle: of.1, text: texts.add(text) });
                ControlFlow::Continue(false)
            }
            Self::Counted(tallies) => {
                ControlFlow::Continue(tallies.add(of, hit.at, hit.text.len() as u64, zones))
            }
        }
    }

    /// All came: from now on hits can be asked for.
    pub(super) fn settle(&mut self) {
        if let Self::Kept(Records { list, .. }) = self {
            list.sort_unstable_by_key(|record| (record.segment, record.needle, record.at));
        }
    }

    /// For each needle, whether it has any hits.
    pub(super) fn needles(&self, count: usize) -> Vec<bool> {
        let mut has = vec![false; count];
        match self {
            Self::Kept(records) => records.list.iter().for_each(|record| has[record.needle as usize] = true),
            Self::Counted(tallies) => tallies.of.keys().for_each(|&(_, needle)| has[needle as usize] = true),
        }
        has
    }

    /// The last hit of a needle in a segment: where it begins, how long it is.
    pub(super) fn last(&self, segment: usize, needle: usize) -> Option<(u64, u64)> {
        let of = (segment as u32, needle as u32);
        match self {
            Self::Kept(records) => {
                let all = records.of(of);
                all.last().map(|record| (record.at, records.texts.get(record.text).text.len() as u64))
            }
            Self::Counted(tallies) => tallies.of.get(&of).map(|tally| tally.last),
        }
    }

    /// The length of the hit of a needle that begins at a place of a segment which is beside a seam.
    pub(super) fn beginning_at(
        &self,
        segment: usize,
        needle: usize,
        place: u64,
        looked: &mut Looked,
    ) -> Option<u64> {
        let of = (segment as u32, needle as u32);
        match self {
            Self::Kept(records) => {
                let all = records.of(of);
                let number = all.binary_search_by_key(&place, |record| record.at).ok()?;
                Some(records.texts.get(all[number].text).text.len() as u64)
            }
            Self::Counted(tallies) => {
                let tally = tallies.of.get(&of)?;
                if place == 0 {
                    // Asked of every seam: no list of all is needed for it.
                    return tally.edges().next().filter(|&(at, _)| at == 0).map(|(_, len)| len);
                }
                if looked.as_ref().is_none_or(|(other, _)| *other != of) {
                    *looked = Some((of, tally.edges().collect()));
                }
                let (_, edges) = looked.as_ref()?;
                let number = edges.binary_search_by_key(&place, |&(at, _)| at).ok()?;
                Some(edges[number].1)
            }
        }
    }
}

impl Records {
    fn of(&self, of: (u32, u32)) -> &[Record] {
        &self.list[self.range(of)]
    }

    fn range(&self, of: (u32, u32)) -> Range<usize> {
        let key = |record: &Record| (record.segment, record.needle);
        let first = self.list.partition_point(|record| key(record) < of);
        first..first + self.list[first..].partition_point(|record| key(record) == of)
    }
}
