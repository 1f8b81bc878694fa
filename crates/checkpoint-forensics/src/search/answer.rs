//! From hits to matches: who sees them where.

use std::collections::BTreeMap;

use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::memory::{Memory, ObjectId, Place};

use super::scan::Hit;
use super::seams::{AtSeam, Decided};
use super::space::{Space, Who};
use super::{Match, Search};

/// Matches by the place of their first byte and their needle: what several see is one. Of two that begin at one place, each may go on in a page of its own.
type ByPlace = BTreeMap<(ObjectId, u64, usize), Vec<Match>>;

/// The match at a place that has these bytes; it is made if there is none.
fn entry<'f>(
    found: &'f mut ByPlace,
    place: (ObjectId, u64, usize),
    text: &[u8],
    new: impl FnOnce() -> Match,
) -> &'f mut Match {
    let all = found.entry(place).or_default();
    let number = all.iter().position(|one| one.text == text).unwrap_or_else(|| {
        all.reserve_exact(1);
        all.push(new());
        all.len() - 1
    });
    &mut all[number]
}

impl Match {
    fn seen_by(&mut self, who: Who, at: u64) {
        match who {
            Who::Process(pid) => self.sightings.push((pid, VirtualAddress(at))),
            Who::Object(id) => self.objects.push((id, at)),
        }
    }
}

impl Search {
    /// The matches in the memory of the processes that lived, ordered by process and address, and then those that are only in shared objects. They are handed out
    /// once.
    pub fn matches(&mut self, memory: &Memory, lived: &dyn Fn(Pid) -> bool) -> Vec<Match> {
        let counts = |who| match who {
            Who::Process(pid) => lived(pid),
            Who::Object(_) => true,
        };
        let mut found = ByPlace::new();
        let mut decided = self.decide_at_seams(memory, &counts);
        for ((segment, _), hits) in std::mem::take(&mut self.found.hits) {
            for hit in hits {
                self.within(segment, hit, memory, &counts, &decided, &mut found);
            }
        }
        for at_seam in decided.matches.drain(..) {
            self.add_at_seam(at_seam, memory, &mut found);
        }
        let mut all: Vec<Match> = found.into_values().flatten().collect();
        for one in &mut all {
            one.sightings.sort_unstable();
            one.sightings.dedup();
            one.objects.sort_unstable();
            one.objects.dedup();
        }
        all.sort_by(|a, b| {
            let key = |found: &Match| (found.text.len(), found.pattern, found.encoding);
            let of_processes = a.sightings.is_empty().cmp(&b.sightings.is_empty());
            let by_place = of_processes.then_with(|| a.sightings.cmp(&b.sightings));
            by_place.then_with(|| a.objects.cmp(&b.objects)).then_with(|| key(a).cmp(&key(b)))
        });
        all
    }

    /// A hit inside a segment, for each of those to whom no seam says otherwise.
    fn within(
        &self,
        number: usize,
        hit: Hit,
        memory: &Memory,
        counts: &dyn Fn(Who) -> bool,
        decided: &Decided,
        found: &mut ByPlace,
    ) {
        let segment = &self.plan.segments[number];
        let (offset, len) = (segment.offset + hit.at, hit.text.len() as u64);
        for view in self.plan.views_of(number) {
            let (who, at) = (Space::of(memory, view.space).who(), view.address + hit.at);
            if !counts(who) || !decided.keeps((hit.needle, view.space), at, len) {
                continue;
            }
            let new = || {
                let (mut before, mut after) = (hit.before.clone(), hit.after.clone());
                self.widen(view.space, at, len, &mut before, &mut after);
                let bytes = (before, hit.text.clone(), after);
                self.one(memory, (segment.object, offset), hit.needle, bytes, hit.is_cut)
            };
            entry(found, (segment.object, offset, hit.needle), &hit.text, new).seen_by(who, at);
        }
    }

    fn add_at_seam(&self, at_seam: AtSeam, memory: &Memory, found: &mut ByPlace) {
        let AtSeam { needle, space, address, text, is_cut, before, after } = at_seam;
        let space = Space::of(memory, space);
        let Some(Place::Image(object, offset)) = space.at(address) else { return };
        let bytes = || (before, text.clone(), after);
        let new = || self.one(memory, (object, offset), needle, bytes(), is_cut);
        entry(found, (object, offset, needle), &text, new).seen_by(space.who(), address);
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
        let (image, object) = (&self.images[object.0 as usize], memory.object(object));
        let needle = &self.scanner.patterns.needles()[needle];
        Match {
            pattern: needle.pattern,
            encoding: needle.encoding,
            sightings: Vec::new(),
            objects: Vec::new(),
            image: image.clone(),
            file: object.contents.as_ref().map(|contents| contents.file),
            ancestor: object.ancestor,
            offset,
            text,
            is_cut,
            before,
            after,
        }
    }
}
