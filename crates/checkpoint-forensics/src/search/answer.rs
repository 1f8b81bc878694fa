//! From hits to matches: who sees them where.

use std::collections::BTreeMap;

use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::memory::{Memory, ObjectId, Place};

use super::scan::Hit;
use super::seams::{AtSeam, Decided};
use super::{Match, Search};

/// Matches by the place of their first byte, their bytes and their needle: what several processes see is one. Of two that begin at one place, each may go on in a page of its own.
type ByPlace = BTreeMap<(ObjectId, u64, Vec<u8>, usize), Match>;

impl Search {
    /// The matches in the memory of the processes that lived, ordered by process and address.
    pub fn matches(&self, memory: &Memory, lived: &dyn Fn(Pid) -> bool) -> Vec<Match> {
        let mut found = ByPlace::new();
        let mut decided = self.decide_at_seams(memory, lived);
        for ((segment, _), hits) in &self.found.hits {
            for hit in hits {
                self.within(*segment, hit, memory, lived, &decided, &mut found);
            }
        }
        for at_seam in decided.matches.drain(..) {
            self.add_at_seam(at_seam, memory, &mut found);
        }
        let mut all: Vec<Match> = found.into_values().collect();
        for one in &mut all {
            one.sightings.sort_unstable();
            one.sightings.dedup();
        }
        let key = |found: &Match| (found.text.len(), found.pattern, found.encoding);
        all.sort_by(|a, b| a.sightings.cmp(&b.sightings).then_with(|| key(a).cmp(&key(b))));
        all
    }

    /// A hit inside a segment, for each process to which no seam says otherwise.
    fn within(
        &self,
        number: usize,
        hit: &Hit,
        memory: &Memory,
        lived: &dyn Fn(Pid) -> bool,
        decided: &Decided,
        found: &mut ByPlace,
    ) {
        let segment = &self.plan.segments[number];
        let (offset, len) = (segment.offset + hit.at, hit.text.len() as u64);
        for view in self.plan.views_of(number) {
            let (pid, at) = (memory.spaces[view.space].pid, view.address + hit.at);
            if !lived(pid) || !decided.keeps((hit.needle, view.space), at, len) {
                continue;
            }
            let one =
                found.entry((segment.object, offset, hit.text.clone(), hit.needle)).or_insert_with(|| {
                    let (mut before, mut after) = (hit.before.clone(), hit.after.clone());
                    self.widen(view.space, at, len, &mut before, &mut after);
                    self.one(
                        memory,
                        (segment.object, offset),
                        hit.needle,
                        (before, hit.text.clone(), after),
                        hit.is_cut,
                    )
                });
            one.sightings.push((pid, VirtualAddress(at)));
        }
    }

    fn add_at_seam(&self, at_seam: AtSeam, memory: &Memory, found: &mut ByPlace) {
        let AtSeam { needle, space, address, text, is_cut, before, after } = at_seam;
        let space = &memory.spaces[space];
        let stored = space.stored.within(address..address.saturating_add(1)).next();
        let Some(Place::Image(object, offset)) = stored.map(|part| part.place) else { return };
        let key = (object, offset, text.clone(), needle);
        let new = || self.one(memory, (object, offset), needle, (before, text, after), is_cut);
        let one = found.entry(key).or_insert_with(new);
        one.sightings.push((space.pid, VirtualAddress(address)));
    }

    /// Context that a segment's border cut off goes on around the seam.
    fn widen(&self, space: usize, at: u64, len: u64, before: &mut Vec<u8>, after: &mut Vec<u8>) {
        let wanted = self.options.context;
        let border = at - before.len() as u64;
        if before.len() < wanted
            && let Some((start, bytes)) =
                self.plan.seam_at(space, border).and_then(|number| self.around(number))
        {
            let end = (border - start) as usize;
            let more = (wanted - before.len()).min(end);
            before.splice(..0, bytes[end - more..end].iter().copied());
        }
        let border = at + len + after.len() as u64;
        if after.len() < wanted
            && let Some((start, bytes)) =
                self.plan.seam_at(space, border).and_then(|number| self.around(number))
        {
            let begin = (border - start) as usize;
            let more = (wanted - after.len()).min(bytes.len() - begin);
            after.extend_from_slice(&bytes[begin..begin + more]);
        }
    }

    fn one(
        &self,
        memory: &Memory,
        (object, offset): (ObjectId, u64),
        needle: usize,
        (before, text, after): (Vec<u8>, Vec<u8>, Vec<u8>),
        is_cut: bool,
    ) -> Match {
        let object = memory.object(object);
        let needle = &self.scanner.patterns.needles()[needle];
        Match {
            pattern: needle.pattern,
            encoding: needle.encoding,
            sightings: Vec::new(),
            image: object.image.clone(),
            ancestor: object.ancestor,
            offset,
            text,
            is_cut,
            before,
            after,
        }
    }
}
