//! What stores hold, against what was planted in running systems: testdata/truth, and the corpus if it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use container_checkpoint::case::{Case, Choice, DumpId};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::context::Context;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::memory::Ride;
use container_checkpoint::naming::Locator;
use serde_json::Value;

use super::*;

/// A hit: the store's member as the truth names it, the file in it, the offset.
type Hit = (String, Option<String>, u64);

/// Looks for needles in all that it is shown, across chunks that go on.
struct Finder {
    needles: Vec<(String, Vec<u8>)>,
    longest: usize,
    /// The end of what came before, and where that ends in the store.
    tail: (Vec<u8>, u64),
    /// By needle: where it begins in the store, and the offset that belongs to it.
    found: Vec<(String, Vec<u8>, Store, u64, u64)>,
}

impl Finder {
    fn new(needles: &[(String, Vec<u8>)]) -> Self {
        let longest = needles.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or(1);
        Self { needles: needles.to_vec(), longest, tail: (Vec::new(), 0), found: Vec::new() }
    }
}

impl Sink for Finder {
    fn begin(&mut self, _: &Store) -> ControlFlow<()> {
        self.tail = (Vec::new(), 0);
        ControlFlow::Continue(())
    }

    fn bytes(&mut self, store: &Store, chunk: Chunk<'_>) -> ControlFlow<()> {
        if chunk.at != self.tail.1 {
            self.tail.0.clear();
        }
        let before = self.tail.0.len();
        let joined = [self.tail.0.as_slice(), chunk.bytes].concat();
        for (name, needle) in &self.needles {
            for at in memchr::memmem::find_iter(&joined, needle) {
                if at + needle.len() > before {
                    let back = before as u64 - (before.min(at) as u64);
                    let ahead = at.saturating_sub(before) as u64;
                    let place = (chunk.at + ahead - back, chunk.offset + ahead - back);
                    self.found.push((name.clone(), needle.clone(), store.clone(), place.0, place.1));
                }
            }
        }
        let keep = joined.len().min(self.longest - 1);
        self.tail = (joined[joined.len() - keep..].to_vec(), chunk.at + chunk.bytes.len() as u64);
        ControlFlow::Continue(())
    }
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("COLDCASE_CORPUS").map(PathBuf::from);
    if root.is_none() {
        println!("skipped: no corpus");
    }
    root
}

/// What was found, with what is known of the stores.
struct Found {
    parts: Vec<Part<Finder>>,
    facts: Facts,
    passes: u64,
}

impl Found {
    fn hits(&self) -> BTreeMap<String, BTreeSet<Hit>> {
        let mut hits: BTreeMap<String, BTreeSet<Hit>> = BTreeMap::new();
        for (name, _, store, at, offset) in self.parts.iter().flat_map(|part| &part.sink.found) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let shown = match &store.kind {
                Kind::Register { name, .. } => (format!("register {name}"), None, *at),
                Kind::Shared(_) => (text(&store.member), None, *at),
                _ => (text(&store.member), store.inner.as_deref().map(text), *offset),
            };
            hits.entry(name.clone()).or_default().insert(shown);
        }
        hits
    }
}

/// A context that counts the passes over packed evidence.
pub(crate) fn counting() -> (Context, Arc<AtomicU64>) {
    let passes = Arc::new(AtomicU64::new(0));
    let (counter, last) = (passes.clone(), AtomicU64::new(0));
    let progress = move |done, _| {
        let before = last.swap(done, Ordering::Relaxed);
        // At the end of a pass the same number is told again.
        if before == 0 || done < before {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    };
    (Context { progress: Arc::new(progress), ..Context::default() }, passes)
}

/// Searches a dump, riding along with the first pass or not.
fn search(archive: &Path, needles: &[(String, Vec<u8>)], classes: Classes, rides: bool) -> Found {
    let (context, passes) = counting();
    let mut case = Case::default();
    let make = || Finder::new(needles);
    let mut both = Both::new(Ride::new(|| SharedBytes::new(&make)), Rider::new(classes, &context, &make));
    if rides {
        case.add(Locator::parse(archive.as_os_str()), &context, &mut both);
    } else {
        case.add(Locator::parse(archive.as_os_str()), &context, &mut Nobody);
    }
    let id = DumpId { evidence: 0, dump: case.evidences[0].chosen(Choice::One).unwrap()[0] };
    let (model, _) = Checkpoint::new(&case, id).model();
    let is_packed = archive.extension().is_some_and(|extension| extension == "zst");
    assert_eq!(passes.load(Ordering::Relaxed), u64::from(is_packed), "evidence is opened in one pass");
    let taken = rides.then_some((&mut both.second, &mut both.first));
    let answer = super::read(&case, id, &model, classes, &context, taken, &make).unwrap();
    assert_eq!(answer.findings.gaps, [], "{}", archive.display());
    let passes = passes.load(Ordering::Relaxed);
    Found { parts: answer.parts, facts: Facts::of(&model), passes }
}

fn lines(path: &Path) -> Vec<Value> {
    let bytes = std::fs::read(path).unwrap();
    let text = if path.extension().is_some_and(|extension| extension == "zst") {
        zstd::stream::decode_all(bytes.as_slice()).unwrap()
    } else {
        bytes
    };
    String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The needles of a workload, and where they were found by other means beside memory.
struct Truth {
    needles: Vec<(String, Vec<u8>)>,
    hits: BTreeMap<String, BTreeSet<Hit>>,
    not_found: Vec<String>,
}

fn truth(corpus: &Path, name: &str) -> Truth {
    let directory = corpus.join("checkpoints/truth");
    let file = |kind: &str| {
        let plain = directory.join(format!("{name}.{kind}.jsonl"));
        if plain.exists() { plain } else { directory.join(format!("{name}.{kind}.jsonl.zst")) }
    };
    let needles: BTreeMap<String, Vec<u8>> = planted(corpus, name);
    let mut hits: BTreeMap<String, BTreeSet<Hit>> = BTreeMap::new();
    let mut not_found = Vec::new();
    for hit in lines(&file("hits")) {
        let text = |key: &str| hit[key].as_str().map(str::to_owned);
        let place = match hit["kind"].as_str().unwrap() {
            "shmem" => (text("image").unwrap(), None, hit["offset_in_object"].as_u64().unwrap()),
            "file" => {
                let member = text("member").map(|member| member.trim_start_matches("./").to_owned());
                (text("file").unwrap(), member, hit["offset"].as_u64().unwrap())
            }
            "not_found" => {
                not_found = hit["names"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|name| name.as_str().unwrap().to_owned())
                    .collect();
                continue;
            }
            _ => continue,
        };
        if hit["encoding"] == "ascii" {
            hits.entry(text("name").unwrap()).or_default().insert(place);
        }
    }
    Truth { needles: needles.into_iter().collect(), hits, not_found }
}

/// What was planted: name and bytes. Made-up secrets lie in an archive, so that they are nowhere plain text.
fn planted(corpus: &Path, name: &str) -> BTreeMap<String, Vec<u8>> {
    let directory = corpus.join("checkpoints/make/workloads");
    let text = if name == "compromised" {
        let packed = std::fs::File::open(directory.join("secrets.tar.zst")).unwrap();
        let tar = zstd::stream::decode_all(packed).unwrap();
        let mut text = Vec::new();
        let mut visit = |member: container_checkpoint::evidence::Member, contents: &mut dyn std::io::Read| {
            if member.base_name() == b"needles-compromised.json" {
                contents.read_to_end(&mut text)?;
            }
            Ok(ControlFlow::Continue(()))
        };
        container_checkpoint::evidence::nested::walk("", &mut &tar[..], &Context::default(), &mut visit);
        text
    } else {
        std::fs::read(directory.join("needles.json")).unwrap()
    };
    let all: BTreeMap<String, String> = serde_json::from_slice(&text).unwrap();
    all.into_iter().map(|(name, needle)| (name, needle.into_bytes())).collect()
}

/// The truth calls the directory of images of a bare dump `checkpoint` too.
fn as_told(hits: BTreeMap<String, BTreeSet<Hit>>) -> BTreeMap<String, BTreeSet<Hit>> {
    let renamed = |(member, inner, at): Hit| (member.replace("criu-features/", "checkpoint/"), inner, at);
    hits.into_iter().map(|(name, places)| (name, places.into_iter().map(renamed).collect())).collect()
}

fn without_registers() -> Classes {
    Class::all().filter(|class| *class != Class::Registers).collect()
}

#[test]
fn everything_planted_is_in_its_store_at_its_place_and_nothing_else() {
    let Some(corpus) = corpus() else { return };
    for name in ["kitchen", "compromised", "criu-features"] {
        let truth = truth(&corpus, name);
        assert!(truth.hits.len() > 8, "{name}: {:?}", truth.hits);
        let archive = corpus.join(format!("checkpoints/{name}.tar.zst"));
        let found = as_told(search(&archive, &truth.needles, without_registers(), true).hits());
        for (needle, places) in &truth.hits {
            assert_eq!(found.get(needle), Some(places), "{name}: {needle}");
        }
        for needle in &truth.not_found {
            assert_eq!(found.get(needle), None, "{name}: {needle}");
        }
        let others: Vec<_> = found.keys().filter(|needle| !truth.hits.contains_key(*needle)).collect();
        assert!(others.is_empty(), "{name}: {others:?}");
    }
}

fn needle(text: &[u8]) -> Vec<(String, Vec<u8>)> {
    vec![("x".to_owned(), text.to_vec())]
}

#[test]
fn a_register_is_found_by_its_name() {
    let found = search(&testdata("kitchen.tar.zst"), &needle(b"NEEXMM_a3cfe3518"), Classes::ALL, true);
    let all: Vec<_> = found.parts.iter().flat_map(|part| &part.sink.found).collect();
    let [(_, _, store, 0, 0)] = all.as_slice() else { panic!("{all:?}") };
    let (pid, tid) = (container_checkpoint::ids::Pid(2), container_checkpoint::ids::Pid(24));
    assert_eq!(store.kind, Kind::Register { pid, tid, name: "xmm14".into() });
    assert_eq!(String::from_utf8_lossy(&store.member), "checkpoint/core-24.img");
    assert_eq!(found.facts.holders(store), [Holder::Thread(pid, tid)]);
}

#[test]
fn who_holds_a_store_and_what_it_is_called_is_known() {
    use container_checkpoint::ids::Pid;
    for (text, holder, title) in [
        (&b"NEEDLE_ghost_sparse_2cb201b7a5"[..], Holder::Descriptor(Pid(10), 17), "/var/tmp/"),
        (b"NEEDLE_memfd_7e1144a78d", Holder::Descriptor(Pid(9), 30), "/memfd:"),
        (b"NEEDLE_tmpfs_ghost_8c45a1b657", Holder::Descriptor(Pid(43), 10), "/"),
    ] {
        let found = search(&testdata("kitchen.tar.zst"), &needle(text), Classes::ALL, true);
        let all: Vec<_> = found.parts.iter().flat_map(|part| &part.sink.found).collect();
        let [(_, _, store, ..)] = all.as_slice() else { panic!("{all:?}") };
        assert!(found.facts.holders(store).contains(&holder), "{store:?}: {:?}", found.facts.holders(store));
        let name = String::from_utf8(found.facts.title(store).unwrap()).unwrap();
        assert!(name.starts_with(title), "{name}");
    }
}

#[test]
fn one_pass_is_enough_for_a_rider_and_two_without() {
    let archive = testdata("kitchen.tar.zst");
    let needles = needle(b"NEEDLE_");
    let ridden = search(&archive, &needles, Classes::ALL, true);
    let asked = search(&archive, &needles, Classes::ALL, false);
    assert_eq!((ridden.passes, asked.passes), (1, 2));
    assert_eq!(ridden.hits(), asked.hits());
    assert!(ridden.hits()["x"].len() > 40, "{:?}", ridden.hits());
}

#[test]
fn a_plain_archive_shows_the_same_stores() {
    let packed = testdata("kitchen.tar.zst");
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("kitchen.tar");
    let bytes = zstd::stream::decode_all(std::fs::File::open(&packed).unwrap()).unwrap();
    std::fs::write(&plain, bytes).unwrap();
    let needles = needle(b"NEEDLE_");
    let (packed, plain) =
        (search(&packed, &needles, Classes::ALL, true), search(&plain, &needles, Classes::ALL, false));
    assert_eq!(packed.hits(), plain.hits());
    let stores = |found: &Found| -> Vec<(Store, Contents)> {
        found.parts.iter().flat_map(|part| part.stores.clone()).collect()
    };
    assert_eq!(stores(&packed), stores(&plain));
}

#[test]
fn holes_of_a_sparse_file_stay_holes() {
    let found = search(&testdata("kitchen.tar.zst"), &needle(b"NEEDLE_"), Classes::ALL, true);
    let stores: Vec<&(Store, Contents)> = found.parts.iter().flat_map(|part| &part.stores).collect();
    let (_, sparse) = stores.iter().find(|(store, _)| store.kind == Kind::Ghost(6)).unwrap();
    assert_eq!((sparse.len, sparse.lacking()), (5 << 20, 0));
    let holes: u64 = sparse.holes.iter().map(|hole| hole.end - hole.start).sum();
    assert_eq!(holes, (5 << 20) - 4096, "{:?}", sparse.holes);
}

#[test]
fn classes_choose() {
    let all = search(&testdata("kitchen.tar.zst"), &needle(b"NEEDLE_"), Classes::ALL, true).hits();
    let mut together = BTreeSet::new();
    for class in Class::all() {
        let hits =
            search(&testdata("kitchen.tar.zst"), &needle(b"NEEDLE_"), [class].into_iter().collect(), true);
        for part in &hits.parts {
            for (store, _) in &part.stores {
                let is_memory_file = matches!(store.kind, Kind::Shared(id) if hits.facts.is_memory_file(id));
                assert!(store.is_in([class].into_iter().collect(), is_memory_file), "{class:?}: {store:?}");
            }
        }
        together.extend(hits.hits().remove("x").unwrap_or_default());
    }
    assert_eq!(all["x"], together);
}

/// Holds what it is shown against what was promised: bytes ascend, what is missing is not shown, all lies within the length.
#[derive(Default)]
struct Checker {
    shown: Vec<std::ops::Range<u64>>,
    stores: usize,
}

impl Sink for Checker {
    fn begin(&mut self, _: &Store) -> ControlFlow<()> {
        self.shown.clear();
        ControlFlow::Continue(())
    }

    fn bytes(&mut self, store: &Store, chunk: Chunk<'_>) -> ControlFlow<()> {
        let range = chunk.at..chunk.at + chunk.bytes.len() as u64;
        let before = self.shown.last().map_or(0, |last| last.end);
        assert!(range.start >= before && range.start < range.end, "{store:?}: {range:?} behind {before}");
        self.shown.push(range);
        ControlFlow::Continue(())
    }

    fn end(&mut self, store: &Store, contents: &Contents) {
        self.stores += 1;
        // The last page of a shared object reaches behind its end.
        let is_object = matches!(store.kind, Kind::Shared(_));
        let end = self.shown.last().map_or(0, |last| last.end);
        assert!(end <= contents.len || is_object, "{store:?}: {end} bytes of {}", contents.len);
        let mut missing: Vec<_> = contents.lacks.iter().map(|lack| lack.range.clone()).collect();
        missing.extend(contents.holes.iter().cloned());
        missing.sort_by_key(|range| range.start);
        assert!(missing.windows(2).all(|pair| pair[0].end <= pair[1].start), "{store:?}: {contents:?}");
        for range in &missing {
            assert!(range.start < range.end && range.end <= contents.len, "{store:?}: {contents:?}");
            let overlaps = |shown: &std::ops::Range<u64>| shown.start < range.end && range.start < shown.end;
            assert!(!self.shown.iter().any(overlaps), "{store:?}: {range:?} is shown");
        }
        if contents.more_holes == 0 && !is_object {
            let covered = missing.iter().chain(&self.shown).map(|range| range.end - range.start).sum::<u64>();
            assert_eq!(covered, contents.len, "{store:?}: {contents:?}");
        }
    }
}

/// The contents of a plain tar's members: name, offset, length.
fn members(tar: &[u8]) -> Vec<(String, usize, usize)> {
    let mut members = Vec::new();
    let mut at = 0;
    while at + 512 <= tar.len() && tar[at] != 0 {
        let text = |from: usize, to: usize| {
            let field = &tar[at + from..at + to];
            String::from_utf8_lossy(field).trim_end_matches('\0').trim().to_owned()
        };
        let size = usize::from_str_radix(&text(124, 135), 8).unwrap();
        members.push((text(0, 100), at + 512, size));
        at += 512 + size.next_multiple_of(512);
    }
    members
}

/// All stores of an archive in memory, plain or packed, checked.
fn checked(tar: Vec<u8>, packed: bool) -> usize {
    let context = Context::default();
    let bytes = if packed { zstd::stream::encode_all(&tar[..], 1).unwrap() } else { tar };
    let source = std::sync::Arc::new(bytes);
    let evidence =
        container_checkpoint::evidence::Evidence::from_source("x".into(), source, &context, &mut Nobody)
            .unwrap();
    let mut case = Case::default();
    case.add_opened(evidence, Locator::parse("x".as_ref()));
    let Ok(chosen) = case.evidences[0].chosen(Choice::One) else { return 0 };
    let id = DumpId { evidence: 0, dump: chosen[0] };
    let (model, _) = Checkpoint::new(&case, id).model();
    let make = Checker::default;
    let answer = super::read(&case, id, &model, Classes::ALL, &context, None, &make).unwrap();
    answer.parts.iter().map(|part| part.sink.stores).sum()
}

#[test]
fn whatever_is_wrong_with_the_images_stores_are_shown_as_promised() {
    const CONTENTS: [&str; 9] = [
        "bpfmap",
        "fifo-data",
        "ghost-file",
        "ipcns-msg",
        "pagemap-shmem",
        "pipes-data",
        "sk-queues",
        "tcp-stream",
        "tty-data",
    ];
    let whole = zstd::stream::decode_all(std::fs::File::open(testdata("kitchen.tar.zst")).unwrap()).unwrap();
    let all = checked(whole.clone(), false);
    assert!(all > 1000, "{all}");
    assert_eq!(checked(whole.clone(), true), all);
    let images: Vec<_> = members(&whole)
        .into_iter()
        .filter(|(name, _, size)| *size > 0 && CONTENTS.iter().any(|part| name.contains(part)))
        .collect();
    let mut state = 12345u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for round in 0..30 {
        let mut tar = whole.clone();
        for _ in 0..=random(12) {
            let (_, at, size) = &images[random(images.len())];
            // Most lengths and counts stand in front.
            let span = if random(2) == 0 { *size } else { 80.min(*size) };
            let place = at + random(span);
            tar[place] = [0, 1, 0x7f, 0x80, 0xff, tar[place] ^ 4][random(6)];
        }
        if round % 3 == 0 {
            let (_, at, size) = &images[random(images.len())];
            tar.truncate(at + random(*size));
        }
        let streamed = checked(tar.clone(), true);
        assert_eq!(checked(tar, false), streamed, "round {round}");
    }
}

#[test]
fn packets_of_a_stream_are_one_store_and_messages_are_not() {
    // Two packets of socket 1, one of socket 2, one more of socket 1; length 4 each.
    let mut image = b"\x19\x43\x56\x54\x26\x40\x26\x56".to_vec();
    for (socket, text) in [(1, b"abcd"), (1, b"efgh"), (2, b"ijkl"), (1, b"mnop")] {
        image.extend_from_slice(&[4, 0, 0, 0, 8, socket, 0x10, 4]);
        image.extend_from_slice(text);
    }
    let stores = |streams: &[u32]| -> Vec<(String, u64)> {
        let mut part = Part::new(|_: &Store, _: Chunk<'_>| ControlFlow::Continue(()));
        let bytes = container_checkpoint::evidence::Bytes::new(std::sync::Arc::new(image.clone()));
        let streams = streams.iter().copied().collect();
        let (source, from) = (super::feed::Source::Payloads, super::feed::From::Bytes(&bytes));
        part.show(&source, b"x/sk-queues.img", 0, from, &streams, &Context::default());
        assert_eq!(part.findings.gaps, []);
        let name = |store: &Store| String::from_utf8(store.name()).unwrap();
        part.stores.iter().map(|(store, contents)| (name(store), contents.len)).collect()
    };
    let expected = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
        list.iter().map(|(name, len)| ((*name).to_owned(), *len)).collect()
    };
    let apart = [("packets:1:0", 4), ("packets:1:1", 4), ("packets:2:0", 4), ("packets:1:2", 4)];
    assert_eq!(stores(&[]), expected(&apart));
    assert_eq!(stores(&[1]), expected(&[("packets:1:0", 8), ("packets:2:0", 4), ("packets:1:2", 4)]));
}
