//! From hits to matches: who sees them where, and what crosses seams.

use std::collections::{BTreeMap, HashMap};

use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::memory::{Memory, ObjectId, Place};

use super::scan::{Hit, LOOK_BEHIND};
use super::{Match, Search};

/// Matches by the place of their first byte, and their length: what several processes see is one.
type ByPlace = BTreeMap<(ObjectId, u64, usize), Match>;

impl Search {
    /// The matches in the memory of the processes that lived, ordered by process and address.
    pub fn matches(&self, memory: &Memory, lived: &dyn Fn(Pid) -> bool) -> Vec<Match> {
        let mut found = ByPlace::new();
        let crossing = self.at_seams(memory, lived, &mut found);
        for (segment, hit) in &self.found.hits {
            self.within(*segment, hit, memory, lived, &crossing, &mut found);
        }
        let mut all: Vec<Match> = found.into_values().collect();
        for one in &mut all {
            one.sightings.sort_unstable();
            one.sightings.dedup();
        }
        all.sort_by(|a, b| a.sightings.cmp(&b.sightings).then_with(|| a.text.len().cmp(&b.text.len())));
        all
    }

    /// A hit inside a segment, for each process that sees all of it, and to which no match at a seam covers it.
    fn within(
        &self,
        number: usize,
        hit: &Hit,
        memory: &Memory,
        lived: &dyn Fn(Pid) -> bool,
        crossing: &Crossing,
        found: &mut ByPlace,
    ) {
        let segment = &self.plan.segments[number];
        let (start, len) = (segment.offset + hit.at, hit.text.len() as u64);
        let began = segment.views.partition_point(|view| view.offset <= start);
        for view in segment.views[..began].iter().filter(|view| start + len <= view.offset + view.len) {
            let (pid, at) = (memory.spaces[view.space].pid, view.address + (start - view.offset));
            let at_start = start == view.offset && self.decides(view.space, view.address);
            let at_end =
                start + len == view.offset + view.len && self.decides(view.space, view.address + view.len);
            if !lived(pid) || at_start || at_end || crossing.touches(pid, at, len) {
                continue;
            }
            let one = found.entry((segment.object, start, hit.text.len())).or_insert_with(|| {
                let (mut before, mut after) = (hit.before.clone(), hit.after.clone());
                // A part of the context that another process sees is not this one's.
                before.drain(..before.len().saturating_sub((start - view.offset) as usize));
                after.truncate(usize::try_from(view.offset + view.len - start - len).unwrap_or(usize::MAX));
                self.widen(view.space, at, len, &mut before, &mut after);
                let text = hit.text.clone();
                self.one(memory, segment.object, start, text, before, after)
            });
            one.sightings.push((pid, VirtualAddress(at)));
        }
    }

    /// Whether what stands beside an address decides about matches there, and is known: then the window around the seam has them.
    fn decides(&self, space: usize, address: u64) -> bool {
        self.options.pattern.may_look_around()
            && self.plan.seam_at(space, address).is_some_and(|number| self.around(number).is_some())
    }

    /// The bytes around a seam without a hole: the address of the first one, and the bytes.
    fn around(&self, number: usize) -> Option<(u64, &[u8])> {
        let seam = &self.plan.seams[number];
        let (start, bytes) = self.windows[number].around((seam.at - seam.window.start) as usize)?;
        Some((seam.window.start + start as u64, bytes))
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

    /// Matches across seams; of patterns that look around, also those that touch one.
    fn at_seams(&self, memory: &Memory, lived: &dyn Fn(Pid) -> bool, found: &mut ByPlace) -> Crossing {
        let mut crossing = Crossing::default();
        let touching = self.options.pattern.may_look_around();
        for (number, seam) in self.plan.seams.iter().enumerate() {
            let space = &memory.spaces[seam.space];
            let Some((first, bytes)) = self.around(number).filter(|_| lived(space.pid)) else { continue };
            let middle = (seam.at - first) as usize;
            // In the middle of a run, `^` must not take the window's start for that of memory.
            let is_start = seam.from_run_start && first == seam.window.start;
            let mut at = if is_start || !touching { 0 } else { LOOK_BEHIND.min(middle) };
            while let Some((start, end)) =
                self.options.pattern.find_at(bytes, at).filter(|&(start, _)| start <= middle)
            {
                at = end;
                let is_across = start < middle && middle < end;
                let touches = touching && (start == middle || end == middle);
                if !is_across && !touches {
                    continue;
                }
                let address = first + start as u64;
                let stored = space.stored.within(address..address.saturating_add(1)).next();
                let Some(Place::Image(object, offset)) = stored.map(|part| part.place) else { continue };
                // A match over two seams is found at both.
                if !crossing.add(space.pid, address, (end - start) as u64) {
                    continue;
                }
                let context = self.options.context;
                let one = found.entry((object, offset, end - start)).or_insert_with(|| {
                    let before = bytes[start.saturating_sub(context)..start].to_vec();
                    let after = bytes[end..(end + context).min(bytes.len())].to_vec();
                    self.one(memory, object, offset, bytes[start..end].to_vec(), before, after)
                });
                one.sightings.push((space.pid, VirtualAddress(address)));
            }
        }
        crossing
    }

    fn one(
        &self,
        memory: &Memory,
        object: ObjectId,
        offset: u64,
        text: Vec<u8>,
        before: Vec<u8>,
        after: Vec<u8>,
    ) -> Match {
        let object = memory.object(object);
        Match {
            sightings: Vec::new(),
            image: object.image.clone(),
            ancestor: object.ancestor,
            offset,
            text,
            before,
            after,
        }
    }
}

/// The stretches of memory that matches at seams cover: start and length, by process.
#[derive(Default)]
struct Crossing(HashMap<Pid, BTreeMap<u64, u64>>);

impl Crossing {
    /// False when it is known already.
    fn add(&mut self, pid: Pid, at: u64, len: u64) -> bool {
        self.0.entry(pid).or_default().insert(at, len).is_none_or(|known| known != len)
    }

    fn touches(&self, pid: Pid, at: u64, len: u64) -> bool {
        let Some(spans) = self.0.get(&pid) else { return false };
        // They don't overlap: the last that begins before our end is the only one that can reach us.
        spans.range(..at + len).next_back().is_some_and(|(from, len)| from + len > at)
    }
}
