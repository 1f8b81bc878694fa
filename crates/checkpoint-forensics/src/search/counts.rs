//! Matches that are counted: as many as would be told.

use std::collections::BTreeMap;
use std::sync::Arc;

use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{Memory, ObjectId, Place};
use container_checkpoint::model::SharedObjectId;

use super::answer::{Seen, Tellable};
use super::found::Found;
use super::seams::{AtSeam, Decided};
use super::space::{Space, Who};
use super::{Matches, Search};
use crate::stores::Store;

/// How many matches there are, and who has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of each process that has any: what it sees at two addresses counts twice.
    pub processes: BTreeMap<Pid, u64>,
    /// Of each shared object that has any.
    pub objects: BTreeMap<SharedObjectId, u64>,
    /// Of each other store that has any, in their order.
    pub stores: Vec<(Arc<Store>, u64)>,
    /// How many places there are: what several see is one.
    pub places: u64,
}

impl Counts {
    pub(super) fn of(matches: &Matches) -> Self {
        let mut counts = Self { places: matches.len() as u64, ..Self::default() };
        matches.counts().for_each(|(who, count)| counts.add(who, count));
        counts
    }

    fn add(&mut self, who: Who, count: u64) {
        if count > 0 {
            match who {
                Who::Process(pid) => *self.processes.entry(pid).or_default() += count,
                Who::Object(id) => *self.objects.entry(id).or_default() += count,
            }
        }
    }
}

/// A match at a seam: the place of its first byte, the needle, the length, and where its bytes are.
type Placed = (ObjectId, u64, usize, u64, AtSeam);

impl Search {
    /// How many matches those see who are to be told.
    pub fn counts(&mut self, memory: &Memory, tells: &dyn Fn(Who) -> bool) -> Counts {
        if matches!(self.found, Found::Kept(_)) {
            return Counts::of(&self.matches(memory, tells));
        }
        let decided = self.decide_at_seams(memory, tells);
        let tellable = Tellable::new(memory, tells);
        let mut by_rank = vec![0u64; tellable.ranks.whos.len()];
        let mut places = 0;
        if let Found::Counted(tallies) = &self.found {
            for (&(segment, needle), tally) in &tallies.of {
                let views = tellable.views(self.plan.views_of(segment as usize));
                views.iter().for_each(|seen| by_rank[seen.rank as usize] += tally.sure);
                places += if views.is_empty() { 0 } else { tally.sure };
                for edge in tally.edges() {
                    let mut is_seen = false;
                    for seen in &views {
                        if keeps(&decided, needle as usize, seen, edge) {
                            by_rank[seen.rank as usize] += 1;
                            is_seen = true;
                        }
                    }
                    places += u64::from(is_seen);
                }
            }
        }
        places += self.count_seams(memory, &tellable, &decided, &mut by_rank);
        self.is_short |= decided.is_full();
        let mut counts = Counts { places, ..Counts::default() };
        for (who, count) in tellable.ranks.whos.into_iter().zip(by_rank) {
            counts.add(who, count);
        }
        counts
    }

    /// Counts the matches at seams, and gives how many places they are that no hit inside a segment is.
    fn count_seams(
        &self,
        memory: &Memory,
        tellable: &Tellable,
        decided: &Decided,
        by_rank: &mut [u64],
    ) -> u64 {
        let mut all: Vec<Placed> = Vec::new();
        for (&(needle, space), matches) in &decided.matches {
            let (Some(rank), space) = (tellable.rank(space), Space::of(memory, space)) else { continue };
            for &found in matches {
                let Some(Place::Image(object, offset)) = space.at(found.address) else { continue };
                by_rank[rank as usize] += 1;
                all.push((object, offset, needle, found.len(), found));
            }
        }
        let place = |&(object, offset, needle, len, _): &Placed| (object, offset, needle, len);
        let text = |found: &Placed| self.text_at_seam(found.4).map(|text| text.text);
        all.sort_unstable_by(|a, b| place(a).cmp(&place(b)).then_with(|| text(a).cmp(&text(b))));
        all.dedup_by(|a, b| place(a) == place(b) && text(a) == text(b));
        all.iter().filter(|found| !self.is_counted(place(found), tellable, decided)).count() as u64
    }

    /// Whether a match at a seam is to somebody else a hit inside the segment: then it is counted.
    fn is_counted(
        &self,
        (object, offset, needle, len): (ObjectId, u64, usize, u64),
        tellable: &Tellable,
        decided: &Decided,
    ) -> bool {
        let Some(segment) = self.plan.segment_of(object, offset) else { return false };
        let at = offset - self.plan.segments[segment].offset;
        if self.found.beginning_at(segment, needle, at, &mut None) != Some(len) {
            return false;
        }
        let views = tellable.views(self.plan.views_of(segment));
        views.iter().any(|seen| keeps(decided, needle, seen, (at, len)))
    }
}

fn keeps(decided: &Decided, needle: usize, seen: &Seen, (at, len): (u64, u64)) -> bool {
    decided.keeps((needle, seen.space), seen.address + at, len)
}
