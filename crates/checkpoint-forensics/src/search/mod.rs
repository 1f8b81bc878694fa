//! Search: where in the memory of which process does something stand.
//!
//! Each stored byte is scanned once, however many processes share it. Where memory goes on at the next address but elsewhere in the images (another page
//! image, a parent dump, a shared object), the bytes around the seam are joined and scanned too, so that no match is missed there; where addresses don't go on, nothing is joined, so
//! that no match is made up.

mod pattern;
mod plan;
mod scan;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::memory::{Memory, Place, Question, Want};

pub use pattern::{Pattern, PatternError, REGEX_REACH};
use plan::Plan;
use scan::{Hit, Scanner, Stretch};

/// What a search is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to look for.
    pub pattern: Pattern,
    /// Only in the memory of these processes; all when empty.
    pub pids: Vec<Pid>,
    /// How many bytes before and behind a match are kept.
    pub context: usize,
    /// The most matches that are kept; what goes beyond is said to.
    pub most: usize,
    /// How many threads may scan; at least 1. The answer is the same for any number.
    pub threads: usize,
}

/// A match: bytes at one place of the images, and every process that sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Who sees the first byte at which address, ascending.
    pub sightings: Vec<(Pid, VirtualAddress)>,
    /// The page image that holds the first byte: `pages-2.img`; of a parent dump when `ancestor` is above 0.
    pub image: String,
    /// Whose image it is: 0 is the dump itself, 1 its parent, and so on.
    pub ancestor: usize,
    /// The offset of the first byte in the image, in bytes.
    pub offset: u64,
    /// The bytes that matched.
    pub text: Vec<u8>,
    /// Memory right before them: fewer bytes than asked for where the stored memory begins.
    pub before: Vec<u8>,
    /// Memory right behind them.
    pub after: Vec<u8>,
}

/// The bytes around a seam, as far as they came.
#[derive(Clone, Debug, Default)]
struct Window {
    bytes: Vec<u8>,
    came: usize,
}

impl Window {
    /// The bytes, if all of them came: what did not come is unknown, not zero.
    fn whole(&self) -> Option<&[u8]> {
        (self.came == self.bytes.len()).then_some(self.bytes.as_slice())
    }
}

/// A search under way: a [`Question`] to the pages of one dump.
#[derive(Debug)]
pub struct Search {
    options: Options,
    scanner: Scanner,
    plan: Plan,
    stretches: HashMap<usize, Stretch>,
    hits: Vec<(usize, Hit)>,
    windows: Vec<Window>,
    /// Set when there are more matches than may be kept.
    truncated: bool,
}

impl Search {
    /// Prepares a search.
    pub fn new(options: Options) -> Self {
        let scanner = Scanner { pattern: options.pattern.clone(), context: options.context, threads: options.threads };
        let (plan, windows) = (Plan::default(), Vec::new());
        Self { options, scanner, plan, stretches: HashMap::new(), hits: Vec::new(), windows, truncated: false }
    }

    /// Whether more matches were there than may be kept.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Whether stored memory is seen in more places than a search can keep: what is behind them was not searched.
    pub fn left_out_memory(&self) -> bool {
        self.plan.is_cut
    }

    /// How long a match may be that lies across two places of the images and is still found, when that is less than promised: there are so many
    /// of these seams that the bytes around them would not fit into memory.
    pub fn longest_across_seams(&self) -> Option<u64> {
        (self.plan.reach < self.scanner.reach() as u64).then_some(self.plan.reach)
    }

    /// The matches in the memory of the processes that lived, ordered by process and address.
    pub fn matches(&self, memory: &Memory, lived: &dyn Fn(Pid) -> bool) -> Vec<Match> {
        let mut found = self.across_seams(memory, lived);
        let crossing = Crossing::new(&found);
        for (segment, hit) in &self.hits {
            found.extend(self.within(*segment, hit, memory, lived, &crossing));
        }
        found.sort_by(|a, b| a.sightings.cmp(&b.sightings).then_with(|| a.text.len().cmp(&b.text.len())));
        found
    }

    /// A hit inside a segment, for every process to which it is one: not where a match across a seam covers it.
    fn within(
        &self,
        number: usize,
        hit: &Hit,
        memory: &Memory,
        lived: &dyn Fn(Pid) -> bool,
        crossing: &Crossing,
    ) -> Option<Match> {
        let segment = &self.plan.segments[number];
        let len = hit.text.len() as u64;
        let mut sightings: Vec<_> = segment
            .views
            .iter()
            .map(|&(space, start)| (memory.spaces[space].pid, start + hit.at))
            .filter(|&(pid, at)| lived(pid) && !crossing.touches(pid, at, len))
            .map(|(pid, at)| (pid, VirtualAddress(at)))
            .collect();
        sightings.sort();
        let object = memory.object(segment.object);
        let (mut before, mut after) = (hit.before.clone(), hit.after.clone());
        if let Some(&(space, start)) = segment.views.first() {
            self.widen(space, start + hit.at, len, &mut before, &mut after);
        }
        (!sightings.is_empty()).then(|| Match {
            sightings,
            image: object.image.clone(),
            ancestor: object.ancestor,
            offset: segment.offset + hit.at,
            text: hit.text.clone(),
            before,
            after,
        })
    }

    /// Context that a segment's border cut off goes on in the seam's window.
    fn widen(&self, space: usize, at: u64, len: u64, before: &mut Vec<u8>, after: &mut Vec<u8>) {
        let wanted = self.options.context;
        let seam_at = |address: u64| {
            let first = self.plan.seams.partition_point(|seam| (seam.space, seam.at) < (space, address));
            let seam = self.plan.seams.get(first).filter(|seam| (seam.space, seam.at) == (space, address))?;
            Some((seam, self.windows[first].whole()?))
        };
        if before.len() < wanted
            && let Some((seam, bytes)) = seam_at(at - before.len() as u64)
        {
            let end = (seam.at - seam.window.start) as usize;
            let more = (wanted - before.len()).min(end);
            before.splice(..0, bytes[end - more..end].iter().copied());
        }
        if after.len() < wanted
            && let Some((seam, bytes)) = seam_at(at + len + after.len() as u64)
        {
            let start = (seam.at - seam.window.start) as usize;
            let more = (wanted - after.len()).min(bytes.len() - start);
            after.extend_from_slice(&bytes[start..start + more]);
        }
    }

    /// Matches that begin on one side of a seam and end on the other.
    fn across_seams(&self, memory: &Memory, lived: &dyn Fn(Pid) -> bool) -> Vec<Match> {
        let mut found: Vec<Match> = Vec::new();
        let mut known = HashSet::new();
        for (seam, window) in self.plan.seams.iter().zip(&self.windows) {
            let space = &memory.spaces[seam.space];
            let Some(bytes) = window.whole().filter(|_| lived(space.pid)) else { continue };
            let middle = (seam.at - seam.window.start) as usize;
            let mut at = 0;
            while let Some((start, end)) = self.scanner.pattern.find_at(bytes, at).filter(|&(start, _)| start < middle) {
                at = end;
                if end <= middle {
                    continue;
                }
                let address = seam.window.start + start as u64;
                let Some(Place::Image(object, offset)) = space.stored.within(address..address.saturating_add(1)).next().map(|part| part.place) else { continue };
                // A match over two seams is found at both.
                if !known.insert((space.pid, address, end - start)) {
                    continue;
                }
                let object = memory.object(object);
                let context = self.options.context;
                found.push(Match {
                    sightings: vec![(space.pid, VirtualAddress(address))],
                    image: object.image.clone(),
                    ancestor: object.ancestor,
                    offset,
                    text: bytes[start..end].to_vec(),
                    before: bytes[start.saturating_sub(context)..start].to_vec(),
                    after: bytes[end..(end + context).min(bytes.len())].to_vec(),
                });
            }
        }
        found
    }
}

/// The stretches of memory that matches across seams cover, by process.
struct Crossing(HashMap<Pid, Vec<(u64, u64)>>);

impl Crossing {
    fn new(matches: &[Match]) -> Self {
        let mut spans: HashMap<Pid, Vec<(u64, u64)>> = HashMap::new();
        for found in matches {
            for &(pid, at) in &found.sightings {
                spans.entry(pid).or_default().push((at.0, at.0 + found.text.len() as u64));
            }
        }
        spans.values_mut().for_each(|spans| spans.sort_unstable());
        Self(spans)
    }

    fn touches(&self, pid: Pid, at: u64, len: u64) -> bool {
        let Some(spans) = self.0.get(&pid) else { return false };
        // The spans of one process don't overlap: the last that begins before our end is the only one that can reach us.
        let behind = spans.partition_point(|&(from, _)| from < at + len);
        behind > 0 && spans[behind - 1].1 > at
    }
}

impl Question for Search {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        let pids = &self.options.pids;
        let chosen = |pid: Pid| pids.is_empty() || pids.contains(&pid);
        self.plan = Plan::new(memory, self.scanner.reach() as u64, &chosen);
        let len = |seam: &plan::Seam| (seam.window.end - seam.window.start) as usize;
        self.windows = self.plan.seams.iter().map(|seam| Window { bytes: vec![0; len(seam)], came: 0 }).collect();
        self.stretches.clear();
        self.hits.clear();
        self.truncated = false;
        self.plan.wants.clone()
    }

    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        let segments = self.plan.segments.len();
        if want >= segments {
            let (seam, position) = self.plan.window_parts[want - segments];
            let start = position + at as usize;
            let window = &mut self.windows[seam];
            window.bytes[start..start + bytes.len()].copy_from_slice(bytes);
            window.came += bytes.len();
            return ControlFlow::Continue(());
        }
        let last = at + bytes.len() as u64 == self.plan.segments[want].len;
        let room = self.options.most - self.hits.len();
        let stretch = self.stretches.entry(want).or_default();
        let hits = stretch.take(&self.scanner, bytes, last, room + 1);
        if last {
            self.stretches.remove(&want);
        }
        if hits.len() > room {
            self.truncated = true;
        }
        self.hits.extend(hits.into_iter().take(room).map(|hit| (want, hit)));
        if self.truncated { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
