//! Search: where in the memory of which process does something stand.
//!
//! A [`Scanner`] finds [`Patterns`] in any bytes that come in order (a [`Stretch`]); a [`Search`] lets one run over the memory of a dump and its shared objects, [`Everywhere`] over all that
//! holds bytes in it.
//!
//! Each stored byte is scanned once, however many processes share it. Where memory goes on at the next address but elsewhere in the images (another page
//! image, a parent dump, a shared object), the bytes around the seam are joined and scanned too, so that no match is missed there; where addresses don't go on, nothing is joined, so
//! that no match is made up.

mod answer;
mod elsewhere;
mod encoding;
mod everywhere;
mod hex;
mod kept;
mod literals;
mod needle;
mod pattern;
pub(crate) mod plan;
mod scan;
mod seams;
mod space;
mod window;

#[cfg(test)]
mod pattern_tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use container_checkpoint::ids::{FileId, Pid, VirtualAddress};
use container_checkpoint::memory::{Memory, Question, Selection, Want};
use container_checkpoint::model::SharedObjectId;

pub use elsewhere::StoreSearch;
pub use encoding::Encoding;
pub use everywhere::{Everywhere, FoundEverywhere, Riders, StoreMatch, Subject};
pub use kept::{Kept, Room};
pub use pattern::{MAX_MATCH, PatternError, Patterns, Reading, Syntax};
use plan::Plan;
pub use plan::Scope;
pub use scan::{Hit, Scanner, Sink, Stretch};
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
    /// Room for matches; what goes beyond is said to.
    pub room: Room,
    /// How many threads may scan; at least 1. The answer is the same for any number.
    pub threads: usize,
}

/// A match: bytes at one place of the images, and every process that sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The number of the pattern, in the list that was compiled.
    pub pattern: usize,
    /// The encoding that matched; `None` for bytes in hexadecimal.
    pub encoding: Option<Encoding>,
    /// Who sees the first byte at which address, ascending.
    pub sightings: Vec<(Pid, VirtualAddress)>,
    /// Which shared objects have the first byte at which offset, ascending.
    pub objects: Vec<(SharedObjectId, u64)>,
    /// The page image that holds the first byte: `pages-2.img`; of a parent dump when `ancestor` is above 0. Or where the file is from that does.
    pub image: Arc<str>,
    /// The mapped file that holds the first byte, which is in no page image.
    pub file: Option<FileId>,
    /// Whose image it is: 0 is the dump itself, 1 its parent, and so on.
    pub ancestor: usize,
    /// The offset of the first byte in the image, in bytes.
    pub offset: u64,
    /// The bytes that matched.
    pub text: Vec<u8>,
    /// Whether the match may go on, and is told only as far as matches may be long.
    pub is_cut: bool,
    /// Memory right before them: fewer bytes than asked for where the stored memory begins.
    pub before: Vec<u8>,
    /// Memory right behind them.
    pub after: Vec<u8>,
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
    /// The names of page images: matches share them.
    images: Vec<Arc<str>>,
    found: Found,
}

/// The hits so far.
#[derive(Debug)]
struct Found {
    /// By segment and needle, ascending by place.
    hits: BTreeMap<(usize, usize), Vec<Hit>>,
    kept: Kept,
}

impl Found {
    fn new(room: &Room) -> Self {
        Self { hits: BTreeMap::new(), kept: Kept::new(room) }
    }

    fn add(&mut self, segment: usize, hit: Hit) -> ControlFlow<()> {
        if !self.kept.add(hit.text.len() + hit.before.len() + hit.after.len()) {
            return ControlFlow::Break(());
        }
        self.hits.entry((segment, hit.needle)).or_default().push(hit);
        ControlFlow::Continue(())
    }
}

impl Search {
    /// Prepares a search.
    pub fn new(options: Options) -> Self {
        let scanner = Scanner::new(options.patterns.clone(), options.context, options.threads);
        let found = Found::new(&options.room);
        Self {
            options,
            scanner,
            plan: Plan::default(),
            stretches: HashMap::new(),
            windows: Vec::new(),
            came: Vec::new(),
            images: Vec::new(),
            found,
        }
    }

    /// Whether more matches were there than may be kept.
    pub fn is_truncated(&self) -> bool {
        self.found.kept.is_full()
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
        let Self { scanner, found, stretches, .. } = self;
        let stretch = stretches.entry(segment).or_default();
        let flow = stretch.take(scanner, bytes, last, &mut |hit| found.add(segment, hit));
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
        self.stretches.clear();
        self.images = memory.objects.iter().map(|object| Arc::from(object.image.as_str())).collect();
        self.came = vec![0; self.plan.segments.len()];
        self.found = Found::new(&self.options.room);
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
