//! The strings in memory: runs of printable characters, and who sees them where.
//!
//! They are handed out as their bytes go by: page image by page image, and in each by offset, which is how CRIU writes processes one after another by ascending address. A
//! string that touches a place where memory goes on elsewhere in the images can only be known when all was seen: those come last, in the same order. Each is handed
//! out once, with all who see it. Never more is kept than the ends of stretches at such places.

mod coding;
mod joined;
mod kept;
mod run;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use container_checkpoint::evidence::passed;
use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::memory::{Memory, Object, ObjectId, Question, Selection, Want};

pub use coding::Coding;
use joined::{Joining, Placed};
use kept::Kept;
use run::{Bounds, Edges, Reader, Run};

use crate::search::plan::{Plan, Scope};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to look.
    pub selection: Selection,
    /// How characters stand in bytes; each is looked for by itself.
    pub codings: Vec<Coding>,
    /// The fewest characters of a string.
    pub least: u64,
    /// The most bytes of text that are told of one string.
    pub most: usize,
}

/// A string in memory.
#[derive(Clone, Debug)]
pub struct Found<'f> {
    /// Who sees the first byte at which address, ascending.
    pub sightings: &'f [(Pid, VirtualAddress)],
    /// The page image that holds the first byte, or the mapped file.
    pub object: &'f Object,
    /// The offset of the first byte in the image, in bytes.
    pub offset: u64,
    /// How its characters stand in bytes.
    pub coding: Coding,
    /// Its characters, as UTF-8; its first ones where it is cut.
    pub text: &'f [u8],
    /// How many bytes it has in memory.
    pub len: u64,
    /// Whether it has more characters than are told.
    pub is_cut: bool,
}

/// Takes strings; breaks when it wants no more.
pub type Sink<'s> = Box<dyn FnMut(&Found<'_>) -> ControlFlow<()> + 's>;

/// Strings over seams and who sees them, by segment, place in it, length and lane: what several processes see is one.
type ByPlace = BTreeMap<(usize, u64, u64, usize), (Run, Vec<(Pid, VirtualAddress)>)>;

/// A stretch of which a part came.
#[derive(Debug)]
struct Open {
    /// One a lane.
    readers: Vec<Reader>,
    /// Runs of several lanes that wait for their order: lane, run.
    waiting: Vec<(usize, Run)>,
}

impl Open {
    fn new(readers: Vec<Reader>) -> Self {
        Self { readers, waiting: Vec::new() }
    }
}

/// Strings in several codings are put into order between places so far apart, in bytes: wherever pieces end, the order is the same.
const BLOCK: u64 = 64 << 10;
/// How much one reader takes at a time, in bytes: what it has looked at is given back meanwhile.
const PIECE: usize = 1 << 20;

/// The most bytes that are kept of runs at the ends of stretches.
const HELD_MAX: usize = 64 << 20;
/// How many are kept of each beyond that.
const HELD_EACH: usize = 256;

/// Who is told of strings.
enum Told<'s> {
    /// Somebody, at once.
    Sink(Sink<'s>),
    /// Nobody yet.
    Kept(Kept),
}

/// Strings under way: a [`Question`] to the pages of one dump. One with a sink hands out what it finds at once, so it must not ride along with a first pass, whose answer may
/// be dropped: that is for one that keeps them.
pub struct Strings<'s> {
    options: Options,
    told: Told<'s>,
    plan: Plan,
    pids: Vec<Pid>,
    objects: Vec<Object>,
    /// Stretches of which a part came, by segment: a reader a lane, and how much came.
    readers: HashMap<usize, Open>,
    /// By segment and lane.
    edges: BTreeMap<(usize, usize), Edges>,
    held: usize,
    /// Of the string that is told: kept, since there may be millions.
    sightings: Vec<(Pid, VirtualAddress)>,
    is_stopped: bool,
}

impl std::fmt::Debug for Strings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Strings").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<'s> Strings<'s> {
    /// Prepares the question; `sink` is given what is found.
    pub fn new(options: Options, sink: Sink<'s>) -> Self {
        Self::telling(options, Told::Sink(sink))
    }

    /// Prepares a question that keeps what it finds, as long as that takes little memory.
    pub fn keeping(options: Options) -> Self {
        Self::telling(options, Told::Kept(Kept::default()))
    }

    /// Hands out what was kept, until `sink` wants no more. False, and nothing is handed out, when there was more than could be kept.
    pub fn tell_kept(&self, sink: &mut dyn FnMut(&Found<'_>) -> ControlFlow<()>) -> bool {
        match &self.told {
            Told::Kept(kept) if kept.is_full() => false,
            Told::Kept(kept) => {
                kept.tell(&self.objects, sink);
                true
            }
            Told::Sink(_) => true,
        }
    }

    fn telling(options: Options, told: Told<'s>) -> Self {
        Self {
            options,
            told,
            plan: Plan::default(),
            pids: Vec::new(),
            objects: Vec::new(),
            readers: HashMap::new(),
            edges: BTreeMap::new(),
            held: 0,
            sightings: Vec::new(),
            is_stopped: false,
        }
    }

    /// Whether stored memory is seen in more places than can be kept: what is behind them was left out.
    pub fn left_out_memory(&self) -> bool {
        self.plan.is_cut
    }

    /// How characters stand in bytes, and at which places units begin: each is read by itself.
    fn lanes(&self) -> Vec<(Coding, usize)> {
        let phases = |coding: &Coding| match coding {
            Coding::Ascii | Coding::Utf8 => 0..1,
            Coding::Utf16Le | Coding::Utf16Be => 0..2,
        };
        self.options.codings.iter().flat_map(|coding| phases(coding).map(|phase| (*coding, phase))).collect()
    }

    fn bounds(&self) -> Bounds {
        Bounds { least: self.options.least.max(1), most: self.options.most }
    }

    fn readers(&self, number: usize) -> Vec<Reader> {
        let segment = &self.plan.segments[number];
        let has_seam = |at: &dyn Fn(u64) -> u64| {
            self.plan
                .views_of(number)
                .iter()
                .any(|view| self.plan.seam_at(view.space, at(view.address)).is_some())
        };
        let holds = (has_seam(&|start| start), has_seam(&|start| start.saturating_add(segment.len)));
        // Units begin at even addresses or at odd ones, and pages at even ones.
        let phase = |phase: usize| (phase + segment.offset as usize) % 2;
        let reader = |(coding, at)| Reader::new(coding, phase(at), self.bounds(), holds);
        self.lanes().into_iter().map(reader).collect()
    }

    fn end_if_all_came(&mut self, number: usize, came: u64) {
        if came == self.plan.segments[number].len {
            self.end(number, false);
        }
    }

    /// The stretch ends.
    fn end(&mut self, number: usize, is_short: bool) {
        let Some(Open { readers, mut waiting }) = self.readers.remove(&number) else { return };
        let mut ends = Vec::new();
        for (lane, reader) in readers.into_iter().enumerate() {
            ends.push(reader.end(is_short, &mut |run| waiting.push((lane, run.clone()))));
        }
        self.tell_waiting(number, &mut waiting);
        for (lane, mut edges) in ends.into_iter().enumerate() {
            if edges == Edges::default() {
                continue;
            }
            for run in edges.front.iter_mut().chain(&mut edges.back) {
                if self.held > HELD_MAX && run.text.len() > HELD_EACH {
                    let end = (0..=HELD_EACH).rev().find(|&at| run.text[at] & 0xc0 != 0x80).unwrap_or(0);
                    run.text = run.text[..end].to_vec();
                    run.is_cut = true;
                }
                self.held += run.text.len();
            }
            self.edges.insert((number, lane), edges);
        }
    }

    /// Strings of several codings in the order of their places.
    fn tell_waiting(&mut self, number: usize, waiting: &mut Vec<(usize, Run)>) {
        let lanes = self.lanes();
        waiting.sort_by_key(|(lane, run)| (run.start, *lane));
        for (lane, run) in waiting.drain(..) {
            self.tell_run(number, lanes[lane].0, &run);
        }
    }

    /// A string inside a segment, for all who see it.
    fn tell_run(&mut self, number: usize, coding: Coding, run: &Run) {
        let Self { plan, pids, objects, told, is_stopped, sightings, .. } = self;
        let segment = &plan.segments[number];
        let sighting =
            |view: &crate::search::plan::View| (pids[view.space], VirtualAddress(view.address + run.start));
        sightings.clear();
        sightings.extend(plan.views_of(number).iter().map(sighting));
        sightings.sort_unstable();
        let found = (segment.object, segment.offset + run.start, coding, run);
        tell(sightings, objects, found, told, is_stopped);
    }

    /// What is at the ends of stretches, joined as each process sees them.
    fn tell_joined(&mut self) {
        let edges = std::mem::take(&mut self.edges);
        // By process: address and number of the segments that have something at an end.
        let mut views: BTreeMap<usize, Vec<(u64, usize)>> = BTreeMap::new();
        let mut segments: Vec<usize> = edges.keys().map(|&(segment, _)| segment).collect();
        segments.dedup();
        for number in segments {
            for view in self.plan.views_of(number) {
                views.entry(view.space).or_default().push((view.address, number));
            }
        }
        views.values_mut().for_each(|list| list.sort_unstable());
        let mut all: ByPlace = BTreeMap::new();
        let lanes = self.lanes();
        for (lane, (coding, _)) in lanes.iter().enumerate() {
            for (&space, list) in &views {
                let mut flush = |placed: Placed| {
                    let Placed { run, address, place: (segment, start) } = placed;
                    if run.chars >= self.options.least.max(1) {
                        let key = (segment, start, run.len, lane);
                        let (_, sightings) = all.entry(key).or_insert_with(|| (run, Vec::new()));
                        sightings.push((self.pids[space], VirtualAddress(address)));
                    }
                };
                let mut joining = Joining::new(*coding, self.options.most);
                for &(address, number) in list {
                    if let Some(edges) = edges.get(&(number, lane)) {
                        let len = self.plan.segments[number].len;
                        joining.next((number, address, len), edges, &mut flush);
                    }
                }
                joining.end(&mut flush);
            }
        }
        let Self { plan, objects, told, is_stopped, .. } = self;
        for ((number, start, _, lane), (run, mut sightings)) in all {
            let segment = &plan.segments[number];
            sightings.sort_unstable();
            let found = (segment.object, segment.offset + start, lanes[lane].0, &run);
            tell(&sightings, objects, found, told, is_stopped);
        }
    }
}

fn tell(
    sightings: &[(Pid, VirtualAddress)],
    objects: &[Object],
    (object, offset, coding, run): (ObjectId, u64, Coding, &Run),
    told: &mut Told<'_>,
    is_stopped: &mut bool,
) {
    if *is_stopped {
        return;
    }
    let Run { text, len, is_cut, .. } = run;
    let image = &objects[object.0 as usize];
    let found = Found { sightings, object: image, offset, coding, text, len: *len, is_cut: *is_cut };
    let flow = match told {
        Told::Sink(sink) => sink(&found),
        Told::Kept(kept) => kept.add(object.0, &found),
    };
    *is_stopped = flow.is_break();
}

impl Question for Strings<'_> {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        self.plan = Plan::new(memory, 0, &self.options.selection, Scope::PROCESSES);
        self.pids = memory.spaces.iter().map(|space| space.pid).collect();
        self.objects = memory.objects.clone();
        self.plan.wants.clone()
    }

    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        let mut open = self.readers.remove(&want);
        let Open { readers, waiting } = open.get_or_insert_with(|| Open::new(self.readers(want)));
        let came = at + bytes.len() as u64;
        if let [reader] = readers.as_mut_slice() {
            let coding = self.options.codings[0];
            for piece in bytes.chunks(PIECE) {
                reader.take(piece, &mut |run| self.tell_run(want, coding, run));
                passed(piece);
            }
        } else {
            let (mut rest, mut place) = (bytes, at);
            while !rest.is_empty() {
                let len = (BLOCK - place % BLOCK).min(rest.len() as u64);
                let (piece, behind) = rest.split_at(len as usize);
                for (lane, reader) in readers.iter_mut().enumerate() {
                    reader.take(piece, &mut |run| waiting.push((lane, run.clone())));
                }
                passed(piece);
                (rest, place) = (behind, place + len);
                if place.is_multiple_of(BLOCK) {
                    self.tell_waiting(want, waiting);
                }
            }
        }
        self.readers.extend(open.map(|open| (want, open)));
        self.end_if_all_came(want, came);
        if self.is_stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// A string ends there, and one may begin behind.
    fn lost(&mut self, want: usize, at: u64, len: u64) {
        let mut open = self.readers.remove(&want).unwrap_or_else(|| Open::new(self.readers(want)));
        let Open { readers, waiting } = &mut open;
        for (lane, reader) in readers.iter_mut().enumerate() {
            reader.skip(len, &mut |run| waiting.push((lane, run.clone())));
        }
        self.tell_waiting(want, waiting);
        self.readers.insert(want, open);
        self.end_if_all_came(want, at + len);
    }

    fn finish(&mut self) {
        if self.is_stopped {
            return;
        }
        let mut short: Vec<usize> = self.readers.keys().copied().collect();
        short.sort_unstable();
        short.into_iter().for_each(|number| self.end(number, true));
        self.tell_joined();
    }
}
