//! Search over random synthetic evidence equals a naive scan of the address spaces that it was built from: however the same memory is stored,
//! whoever shares it, in whatever pieces it comes, the matches are the same.

#![allow(clippy::unwrap_used)] // a failure fails the test

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use checkpoint_builder::{
    Archive, Blocks, Checkpoint, Contents, Generation, Mapping, ObjectKind, PAGE, Packing, Pages, Place,
    Process, Run, SharedObject,
};
use checkpoint_forensics::search::{Counts, Keep, Options, Patterns, Room, Scope, Search, Who};
use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::evidence::Evidence;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{self, Ride, Selection};
use container_checkpoint::model::SharedObjectId;
use container_checkpoint::naming::Locator;
use proptest::collection::vec;
use proptest::prelude::*;
use regex::bytes::{Regex, RegexBuilder};

/// Where each process has memory of its own.
const BASE: u64 = 0x1000_0000;
/// Pages of it.
const OWN: u64 = 10;
/// Where each process maps a memory file for itself; the object that all of them share stands right behind its own memory.
const COPY: u64 = 0x3000_0000;
/// Pages of each shared object.
const SHARED: u64 = 6;
const OBJECTS: [u32; 2] = [7, 9];

/// What is looked for: words, their borders, lines, runs of any length, the shortest of several, pieces that repeat, what nearly every byte is. All matches are far below the bound
/// but for those of a page without a blank, which do not occur.
const EXPRESSIONS: [&str; 19] = [
    "needle",
    r"\bfoo",
    r"bar\b",
    r"\bneedle\b",
    "^foo",
    "bar$",
    "[a-z]+",
    "[a-z]{9,}",
    r"foo[^\n]*?bar",
    r"x9\b[ _]?",
    "aaa",
    "[a-z]{3}",
    "(?i)NEEDLE_?",
    r"foo|foobar|needle\n",
    r"[^a-z\n]+",
    r"\x00x9",
    ".",
    "aa",
    r"[a-z]{40}|\b[a-z]",
];

/// What a page is, and whether it begins a run of its own.
#[derive(Clone, Copy, Debug)]
struct Page {
    place: Option<Place>,
    cut: bool,
}

/// The pages of one mapping or object in one dump.
#[derive(Clone, Debug)]
struct Area {
    pages: Vec<Page>,
    seed: u64,
    /// Stored from the last run to the first, as no CRIU does.
    backwards: bool,
}

/// One process: what it stores, and which part of each object it maps: pages from where, how many.
#[derive(Clone, Debug)]
struct Task {
    own: Area,
    copy: Area,
    shared: (u64, u64),
    copied: (u64, u64),
}

#[derive(Clone, Debug)]
struct Dump {
    tasks: Vec<Task>,
    objects: Vec<Area>,
    /// How its pages are packed, if they are: only a dump of the latest generation has such.
    blocks: Option<Blocks>,
}

/// All that evidence is made of.
#[derive(Clone, Debug)]
struct Made {
    /// The dump, then its parents. What they map is what the dump maps.
    dumps: Vec<Dump>,
    kind: usize,
    generation: Generation,
    packing: Packing,
    page_size: u64,
    /// The parent is another archive.
    parent_elsewhere: bool,
    pre_dumps: bool,
}

fn areas(count: u64, has_parent: bool) -> impl Strategy<Value = Area> {
    let place = prop_oneof![
        6 => Just(Some(Place::Stored)),
        2 => Just(None),
        2 => Just(has_parent.then_some(Place::Parent)),
        1 => Just(Some(Place::Lazy)),
    ];
    let page = (place, any::<bool>()).prop_map(|(place, cut)| Page { place, cut });
    (vec(page, count as usize), any::<u64>(), any::<bool>()).prop_map(|(pages, seed, backwards)| Area {
        pages,
        seed,
        backwards,
    })
}

fn views() -> impl Strategy<Value = (u64, u64)> {
    (0..SHARED).prop_flat_map(|from| (Just(from), 1..=SHARED - from))
}

fn dumps(tasks: usize, has_parent: bool) -> impl Strategy<Value = Dump> {
    let task = (areas(OWN, has_parent), areas(SHARED, has_parent), views(), views())
        .prop_map(|(own, copy, shared, copied)| Task { own, copy, shared, copied });
    (vec(task, tasks), vec(areas(SHARED, has_parent), OBJECTS.len()), blocks())
        .prop_map(|(tasks, objects, blocks)| Dump { tasks, objects, blocks })
}

/// What stands in about every fifth page, and breaks the block that it stands in.
const BREAKS: &[u8] = b"needleneedleneedlex9";

fn blocks() -> impl Strategy<Value = Option<Blocks>> {
    let blocks = (1..5u64, 1..4u64, 2..5u64, any::<bool>()).prop_map(|(pages, aligned, plain, is_broken)| {
        let blocks = Blocks::of(pages).aligned(aligned).plain(plain);
        if is_broken { blocks.broken_with(BREAKS) } else { blocks }
    });
    proptest::option::weighted(0.7, blocks)
}

fn made() -> impl Strategy<Value = Made> {
    let generations =
        prop_oneof![1 => Just(Generation::V1), 1 => Just(Generation::V35), 2 => Just(Generation::V42)];
    let packing = prop_oneof![3 => Just(Packing::Plain), 2 => proptest::sample::select(&Packing::ALL[..])];
    let pages = prop_oneof![4 => Just(PAGE), 1 => Just(4 * PAGE)];
    let chain = (1..=3usize, 0..=2usize).prop_flat_map(|(tasks, parents)| {
        (0..=parents).map(|depth| dumps(tasks, depth < parents).boxed()).collect::<Vec<_>>()
    });
    (chain, 0..4usize, generations, packing, pages, any::<bool>(), any::<bool>()).prop_map(
        |(dumps, kind, generation, packing, page_size, parent_elsewhere, pre_dumps)| Made {
            dumps,
            kind,
            generation,
            packing,
            page_size,
            parent_elsewhere,
            pre_dumps,
        },
    )
}

/// Words and signs without a pattern: a generator (xorshift64*) that gives the same for the same seed.
fn text(seed: u64, len: usize) -> Vec<u8> {
    const PIECES: [&[u8]; 9] = [b"aaaa", b"foo", b"bar", b" ", b"\n", b"\0", b"x9", b"needle", b"_"];
    let mut state = seed | 1;
    let mut bytes = Vec::new();
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let number = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        bytes.extend_from_slice(PIECES[number as usize % PIECES.len()]);
    }
    bytes.truncate(len);
    bytes
}

impl Area {
    fn pages(&self, made: &Made) -> Pages {
        let mut runs: Vec<Run> = Vec::new();
        for (first, page) in (0..).zip(&self.pages) {
            let has_lazy = made.generation != Generation::V1;
            let Some(place) = page.place.filter(|place| has_lazy || *place != Place::Lazy) else { continue };
            match runs.last_mut() {
                Some(run) if !page.cut && run.place == place && run.first + run.pages == first => {
                    run.pages += 1
                }
                _ => runs.push(Run { first, pages: 1, place }),
            }
        }
        if self.backwards {
            runs.reverse();
        }
        let bytes = text(self.seed, self.pages.len() * made.page_size as usize);
        Pages::new(runs, Contents::given(bytes))
    }
}

impl Made {
    fn checkpoint(&self, depth: usize) -> Checkpoint {
        let page = self.page_size;
        let mut checkpoint = Checkpoint::new().generation(self.generation).page_size(page);
        let kinds = [
            ObjectKind::Memfd("shared".into()),
            ObjectKind::Anonymous,
            ObjectKind::AnonymousBefore314,
            ObjectKind::SysV,
        ];
        let kinds = [kinds[self.kind].clone(), ObjectKind::Memfd("copied".into())];
        for ((id, kind), area) in OBJECTS.into_iter().zip(kinds).zip(&self.dumps[depth].objects) {
            checkpoint = checkpoint.object(SharedObject::new(id, kind, SHARED, area.pages(self)));
        }
        for ((pid, task), latest) in (1..).zip(&self.dumps[depth].tasks).zip(&self.dumps[0].tasks) {
            let ((shared, shared_len), (copied, copied_len)) = (latest.shared, latest.copied);
            let mut copy = task.copy.clone();
            copy.pages.truncate(copied_len as usize);
            let behind = BASE + OWN * page;
            let process = Process::new(pid)
                .mapping(Mapping::anonymous(BASE, OWN * page).with(task.own.pages(self)))
                .mapping(Mapping::shared(behind, shared_len * page, OBJECTS[0], shared * page))
                .mapping(
                    Mapping::private_of(COPY, copied_len * page, OBJECTS[1], copied * page)
                        .with(copy.pages(self)),
                );
            checkpoint = checkpoint.process(process);
        }
        if let (Generation::V42, Some(blocks)) = (self.generation, &self.dumps[depth].blocks) {
            checkpoint = checkpoint.packed(blocks.clone());
        }
        let is_last = depth + 1 == self.dumps.len();
        let checkpoint = if is_last { checkpoint } else { checkpoint.on_top_of(self.checkpoint(depth + 1)) };
        if depth > 0 && self.pre_dumps { checkpoint.as_pre_dump() } else { checkpoint }
    }

    /// The archives: the dump's own first.
    fn archives(&self, checkpoint: &Checkpoint) -> Vec<Vec<u8>> {
        let write = |archive: Archive<'_>| archive.write_packed(self.packing, Vec::new()).unwrap();
        if self.parent_elsewhere && self.dumps.len() > 1 {
            let parent = self.checkpoint(1);
            return vec![
                write(Archive::podman(checkpoint).parent_elsewhere("../pre-checkpoint")),
                write(Archive::podman(&parent).directory("pre-checkpoint")),
            ];
        }
        vec![write(Archive::podman(checkpoint))]
    }
}

/// What is added to the number of a shared object, so that it is no process's.
const OBJECT: u32 = 1000;

/// Process and address, or shared object and offset; text.
type Sighting = (u32, u64, Vec<u8>);

fn naive(checkpoint: &Checkpoint, tasks: usize, regex: &Regex) -> BTreeSet<Sighting> {
    let mut all = BTreeSet::new();
    for pid in 1..=tasks as u32 {
        all.extend(in_all(regex, pid, checkpoint.known(pid)));
    }
    for object in OBJECTS {
        all.extend(in_all(regex, OBJECT + object, checkpoint.known_of_object(object)));
    }
    all
}

fn in_all(regex: &Regex, whose: u32, stretches: Vec<(u64, Vec<u8>)>) -> Vec<Sighting> {
    let mut all = Vec::new();
    for (start, bytes) in stretches {
        let found = regex.find_iter(&bytes).filter(|found| !found.is_empty());
        all.extend(found.map(|found| (whose, start + found.start() as u64, found.as_bytes().to_vec())));
    }
    all
}

/// What a search of everything answers: its matches, or with another `keep` none, and their counts.
fn answered(
    archives: &[Vec<u8>],
    pattern: &Patterns,
    threads: usize,
    keep: Keep,
    tells: &dyn Fn(Who) -> bool,
) -> (BTreeSet<Sighting>, Counts) {
    let options = Options {
        patterns: pattern.clone(),
        scope: Scope { processes: true, objects: true },
        selection: Selection::default(),
        context: 5,
        keep,
        room: Room::new(Some(usize::MAX)),
        threads,
    };
    let make = || Search::new(options.clone());
    let context = Context::default();
    let mut case = Case::default();
    let mut rides: Vec<Ride<'_, Search>> = Vec::new();
    for archive in archives {
        let mut ride = Ride::new(make);
        let evidence =
            Evidence::from_source("made".into(), Arc::new(archive.clone()), &context, &mut ride).unwrap();
        case.add_opened(evidence, Locator::whole(Path::new("made")));
        rides.push(ride);
    }
    let dump = case.evidences[0].dumps.iter().position(|dump| dump.images.as_deref() == Some(b"checkpoint"));
    let id = DumpId { evidence: 0, dump: dump.unwrap() };
    let mut answered = memory::answer(&case, id, &context, rides.first_mut(), make).unwrap();
    if keep != Keep::Matches {
        return (BTreeSet::new(), answered.question.counts(&answered.memory, tells));
    }
    let matches = answered.question.matches(&answered.memory, tells);
    let mut all = BTreeSet::new();
    let in_processes = matches.in_processes().map(|(Pid(pid), at, one)| (pid, at.0, one.text.to_vec()));
    let in_objects = matches.in_objects().map(|(id, at, one)| (OBJECT + id.0 as u32, at, one.text.to_vec()));
    for sighting in in_processes.chain(in_objects) {
        assert!(all.insert(sighting.clone()), "told twice: {sighting:x?}");
    }
    let mut counts = Counts { places: matches.len() as u64, ..Counts::default() };
    let mut last = None;
    for one in matches.iter() {
        let (sightings, objects) = (one.sightings(), one.objects());
        for &(pid, _) in &sightings {
            *counts.processes.entry(pid).or_default() += 1;
        }
        for &(id, _) in &objects {
            *counts.objects.entry(id).or_default() += 1;
        }
        let place = (sightings.is_empty(), sightings, objects, one.text.len());
        assert!(last.as_ref() < Some(&place), "{last:x?} and then {place:x?}");
        last = Some(place);
    }
    assert_eq!(matches.iter().count(), matches.len());
    (all, counts)
}

fn searched(archives: &[Vec<u8>], pattern: &Patterns, threads: usize) -> BTreeSet<Sighting> {
    answered(archives, pattern, threads, Keep::Matches, &|_| true).0
}

/// How many there are of each, which a list of them says, and nobody has two at one place.
fn count(sightings: &BTreeSet<Sighting>) -> BTreeMap<u32, u64> {
    let mut counts = BTreeMap::new();
    sightings.iter().for_each(|(whose, ..)| *counts.entry(*whose).or_default() += 1);
    counts
}

fn by_number(counts: &Counts) -> BTreeMap<u32, u64> {
    let processes = counts.processes.iter().map(|(pid, count)| (pid.0, *count));
    let objects = counts.objects.iter().map(|(id, count)| (OBJECT + id.0 as u32, *count));
    processes.chain(objects).collect()
}

fn told<'a>(sightings: impl Iterator<Item = &'a Sighting>) -> Vec<String> {
    let tell = |(pid, at, text): &Sighting| format!("{pid} {at:#x} {:?}", String::from_utf8_lossy(text));
    sightings.map(tell).take(4).collect()
}

/// A literal that stands somewhere in the memory of the first process: often over a border of pages.
fn literal(checkpoint: &Checkpoint, page: u64, place: u64, len: usize) -> Option<Vec<u8>> {
    let known = checkpoint.known(1);
    let (_, bytes) = known.get(place as usize % known.len().max(1))?;
    let border = (place >> 8) % (bytes.len() as u64 / page) * page;
    let from = (border + (place >> 32) % 64).saturating_sub(32) as usize;
    bytes.get(from..from + len).map(<[u8]>::to_vec)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn search_is_a_scan_of_each_address_space_and_each_shared_object(
        made in made(),
        expression in proptest::sample::select(&EXPRESSIONS[..]),
        (place, len) in (any::<u64>(), 1..40usize),
        threads in 1..4usize,
    ) {
        let checkpoint = made.checkpoint(0);
        let archives = made.archives(&checkpoint);
        let tasks = made.dumps[0].tasks.len();
        let mut wanted = vec![(expression.to_owned(), Patterns::regex(expression, false).unwrap())];
        if let Some(text) = literal(&checkpoint, made.page_size, place, len) {
            let escaped = text.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            wanted.push((escaped, Patterns::literal(&text, false).unwrap()));
        }
        for (expression, pattern) in wanted {
            let regex = RegexBuilder::new(&expression).unicode(false).multi_line(true).build().unwrap();
            let expected = naive(&checkpoint, tasks, &regex);
            let everybody = |_| true;
            let (found, listed) = answered(&archives, &pattern, threads, Keep::Matches, &everybody);
            prop_assert!(
                found == expected,
                "{expression}: lost {:?}, made up {:?}",
                told(expected.difference(&found)),
                told(found.difference(&expected))
            );
            // What is only counted is as many, to all and to some.
            let (_, counts) = answered(&archives, &pattern, threads, Keep::Counts, &everybody);
            prop_assert_eq!(&counts, &listed, "{}", expression);
            prop_assert_eq!(by_number(&counts), count(&expected), "{}", expression);
            let some = |who| !matches!(who, Who::Process(Pid(1)) | Who::Object(SharedObjectId(7)));
            let (_, listed) = answered(&archives, &pattern, threads, Keep::Matches, &some);
            let (_, counts) = answered(&archives, &pattern, threads, Keep::Counts, &some);
            prop_assert_eq!(&counts, &listed, "{}, for some", expression);
            let (_, presence) = answered(&archives, &pattern, threads, Keep::Presence, &everybody);
            let who = |counts: &Counts| by_number(counts).into_keys().collect::<Vec<_>>();
            prop_assert_eq!(who(&presence), count(&expected).into_keys().collect::<Vec<_>>());
        }
    }
}

/// Two processes map one file privately, and one of them has written to its second page: what begins in the first page ends differently.
#[test]
fn what_begins_at_one_place_may_go_on_in_a_page_of_ones_own() {
    let page = |edge: &[u8]| [edge, &vec![b' '; PAGE as usize - edge.len()]].concat();
    let mut bytes = page(b"");
    bytes[PAGE as usize - 2..].copy_from_slice(b"xa");
    bytes.extend(page(b"aa"));
    let object =
        SharedObject::new(9, ObjectKind::Memfd("m".into()), 2, Pages::whole(2, Contents::given(bytes)));
    let own =
        Pages::new(vec![Run { first: 1, pages: 1, place: Place::Stored }], Contents::given(page(b"ba")));
    let copy = Mapping::private_of(COPY, 2 * PAGE, 9, 0);
    let checkpoint = Checkpoint::new()
        .object(object)
        .process(Process::new(1).mapping(copy.clone()))
        .process(Process::new(2).mapping(copy.with(own)));
    let archive = Archive::podman(&checkpoint).write(Vec::new()).unwrap();
    let found = searched(&[archive], &Patterns::regex("xa[a-z]a", false).unwrap(), 1);
    let at = COPY + PAGE - 2;
    let of_object = (OBJECT + 9, PAGE - 2, b"xaaa".to_vec());
    assert_eq!(found, BTreeSet::from([(1, at, b"xaaa".to_vec()), (2, at, b"xaba".to_vec()), of_object]));
}

/// A match that begins right behind a broken block and goes on in a page of another image is one match.
#[test]
fn what_begins_behind_a_broken_block_goes_on_elsewhere() {
    let letters = vec![b'a'; PAGE as usize];
    let broken = [BREAKS, &vec![b' '; PAGE as usize - BREAKS.len()]].concat();
    let bytes = [&broken[..], &letters, &broken].concat();
    let object =
        SharedObject::new(9, ObjectKind::Memfd("m".into()), 3, Pages::whole(3, Contents::given(bytes)));
    let own =
        Pages::new(vec![Run { first: 2, pages: 1, place: Place::Stored }], Contents::given(letters.clone()));
    let checkpoint = Checkpoint::new()
        .packed(Blocks::of(1).broken_with(BREAKS))
        .object(object)
        .process(Process::new(1).mapping(Mapping::private_of(COPY, 3 * PAGE, 9, 0).with(own)));
    let archive = Archive::podman(&checkpoint).write(Vec::new()).unwrap();
    let found = searched(&[archive], &Patterns::regex("a+", false).unwrap(), 1);
    let of_process = (1, COPY + PAGE, letters.repeat(2));
    assert_eq!(found, BTreeSet::from([of_process, (OBJECT + 9, PAGE, letters)]));
}
