//! Search: where in the memory of which process does something stand.
//!
//! A [`Scanner`] finds [`Patterns`] in any bytes that come in order (a [`Stretch`]); a [`Search`] lets one run over the memory of a dump and its shared objects, [`Everywhere`] over all that
//! holds bytes in it.
//!
//! Each stored byte is scanned once, however many processes share it. Where memory goes on at the next address but elsewhere in the images (another page
//! image, a parent dump, a shared object), the bytes around the seam are joined and scanned too, so that no match is missed there; where addresses don't go on, nothing is joined, so
//! that no match is made up.

mod answer;
mod counts;
mod elsewhere;
mod encoding;
mod everywhere;
mod found;
mod hex;
mod kept;
mod literals;
mod matches;
mod needle;
mod pattern;
pub(crate) mod plan;
mod scan;
mod seams;
mod space;
mod tally;
mod texts;
mod window;

#[cfg(test)]
mod pattern_tests;

use std::collections::HashMap;
use std::ops::ControlFlow;

use container_checkpoint::gap::Findings;
use container_checkpoint::memory::{Memory, Question, Selection, Want};

pub use counts::Counts;
pub use elsewhere::{Elsewhere, StoreMatch, StoreSearch};
pub use encoding::Encoding;
pub use everywhere::{Everywhere, FoundEverywhere, Riders};
use found::Found;
pub use kept::{Kept, Room};
pub use matches::{Match, Matches};
pub use pattern::{MAX_MATCH, PatternError, Patterns, Reading, Syntax};
use plan::Plan;
pub use plan::Scope;
pub use scan::{Hit, Scanner, Sink, Stretch};
pub use space::Who;
use window::Window;

/// What a search is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to look for.
    pub patterns: Patterns,
    /// Whose bytes.
    pub scope: Scope,
    /// Where to look in the memory of processes.
    pub selection: Selection,
    /// How many bytes before and behind a match are kept.
    pub context: usize,
    /// What is kept of what is found.
    pub keep: Keep,
    /// Room for matches; what goes beyond is said to.
    pub room: Room,
    /// How many threads may scan; at least 1. The answer is the same for any number.
    pub threads: usize,
}

/// What is kept of what is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Matches, with their bytes and what is around them.
    #[default]
    Matches,
    /// How many there are; no match takes memory of its own.
    Counts,
    /// Who has any; how many is not known then.
    Presence,
}

/// A search under way: a [`Question`] to the pages of one dump.
#[derive(Debug)]
pub struct Search {
    options: Options,
    scanner: Scanner,
    plan: Plan,
    /// Segments of which a part came, by their number.
    stretches: HashMap<usize, Stretch>,
    windows: Vec<Window>,
    /// How many bytes of each segment were searched.
    came: Vec<u64>,
    found: Found,
    kept: Kept,
    /// Whether there was no room for some matches at seams.
    is_short: bool,
    /// Which address spaces have a match for sure, where no more is asked.
    have: Vec<bool>,
}

impl Search {
    /// Prepares a search.
    pub fn new(options: Options) -> Self {
        let scanner = Scanner::new(options.patterns.clone(), options.context, options.threads);
        let (found, kept) = (Found::new(options.keep), Kept::new(&options.room));
        Self {
            options,
            scanner,
            plan: Plan::default(),
            stretches: HashMap::new(),
            windows: Vec::new(),
            came: Vec::new(),
            found,
            kept,
            is_short: false,
            have: Vec::new(),
        }
    }

    /// Whether more matches were there than may be kept. To be asked when they were handed out.
    pub fn is_truncated(&self) -> bool {
        self.is_short || self.kept.is_full()
    }

    /// What of the memory was not searched, or not as far as promised.
    pub fn unsearched(&self) -> Findings {
        let mut findings = Findings::default();
        if self.plan.is_cut {
            let why = "stored memory is seen in too many places; choose processes with --pid";
            findings.gap("memory", "memory", why);
        }
        // There are so many seams that the bytes around them would not fit into memory.
        if self.plan.reach < self.scanner.reach() as u64 {
            let why = format!(
                "memory is stored in so many pieces that matches of more than {} bytes across two of them may be missed",
                self.plan.reach
            );
            findings.gap("matches", "memory", why);
        }
        findings
    }

    /// How many bytes of each process were searched, in the order of its address spaces. What a process sees at two addresses counts twice.
    pub fn searched(&self, memory: &Memory) -> Vec<u64> {
        let mut bytes = vec![0u64; memory.spaces.len()];
        for (segment, came) in self.came.iter().enumerate().take(self.plan.segments.len()) {
            for view in self.plan.views_of(segment) {
                if let Some(bytes) = bytes.get_mut(view.space) {
                    *bytes = bytes.saturating_add(*came);
                }
            }
        }
        bytes
    }

    fn scan(&mut self, segment: usize, bytes: &[u8], last: bool) -> ControlFlow<()> {
        let Self { scanner, found, kept, stretches, plan, have, options, .. } = self;
        let only_presence = options.keep == Keep::Presence;
        let all_have = |have: &[bool]| plan.views_of(segment).iter().all(|view| have[view.space]);
        if only_presence && all_have(have) {
            stretches.remove(&segment);
            return ControlFlow::Continue(());
        }
        let stretch = stretches.entry(segment).or_default();
        let flow = stretch.take(scanner, bytes, last, &mut |hit| {
            let is_sure = found.add(kept, segment, hit, || plan.zones_of(segment))?;
            if only_presence && is_sure {
                plan.views_of(segment).iter().for_each(|view| have[view.space] = true);
                return ControlFlow::Break(()); // of this segment nothing more has to be known
            }
            ControlFlow::Continue(())
        });
        if only_presence {
            return ControlFlow::Continue(());
        }
        if last {
            stretches.remove(&segment);
        }
        flow
    }
}

impl Question for Search {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        let reach = self.scanner.patterns.seam_reach().saturating_add(self.scanner.context) as u64;
        self.plan = Plan::new(memory, reach, &self.options.selection, self.options.scope);
        let len = |seam: &plan::Seam| (seam.window.end - seam.window.start) as usize;
        self.windows = self.plan.seams.iter().map(|seam| Window::new(len(seam))).collect();
        self.came = vec![0; self.plan.segments.len()];
        self.have = vec![false; memory.spaces.len() + memory.shared.len()];
        std::mem::take(&mut self.plan.wants)
    }

    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        let segments = self.plan.segments.len();
        if want >= segments {
            let (seam, position) = self.plan.window_parts[want - segments];
            self.windows[seam].put(position + at as usize, bytes);
            return ControlFlow::Continue(());
        }
        self.came[want] += bytes.len() as u64;
        let last = at + bytes.len() as u64 == self.plan.segments[want].len;
        self.scan(want, bytes, last)
    }

    /// A stretch ends there, and another one begins behind: no match goes over what is not known.
    fn lost(&mut self, want: usize, at: u64, len: u64) {
        let behind = at + len;
        let Some(segment) = self.plan.segments.get(want) else { return };
        let is_last = behind == segment.len;
        if self.scan(want, &[], true).is_continue() && !is_last {
            self.stretches.insert(want, Stretch::from(behind));
        }
    }

    /// What came of segments that were cut short is searched to its end.
    fn finish(&mut self) {
        let mut short: Vec<usize> = self.stretches.keys().copied().collect();
        short.sort_unstable();
        for segment in short {
            if self.scan(segment, &[], true).is_break() {
                break;
            }
        }
    }
}
