//! How much of an archive is read for a question, counted by a reader that remembers what it was asked for.

#![allow(clippy::unwrap_used)] // a failure fails the test

use std::io::{self, Cursor};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::{Arc, Mutex};

use checkpoint_builder::{Archive, Packing, Worker};
use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::command_line::CommandLines;
use container_checkpoint::container::Engine;
use container_checkpoint::context::Context;
use container_checkpoint::evidence::{Evidence, Nobody, Passenger, ReadAt};
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{self, Memory, Place, Question, Ride, Want};
use container_checkpoint::naming::Locator;

const WORKER: Worker = Worker { memory: 8 << 20, needles: 50, secrets: 0, run: 256, apart: 0 };
const DUMP: DumpId = DumpId { evidence: 0, dump: 0 };
/// What may be read of a compressed archive beside its passes: its first bytes, which tell how it is packed.
const SNIFF: u64 = 512;

/// Bytes that remember which of them were read. They lend no memory, so that nothing is read unseen.
#[derive(Debug)]
struct Counted {
    bytes: Vec<u8>,
    reads: Mutex<Vec<Range<u64>>>,
}

impl Counted {
    fn new(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { bytes, reads: Mutex::default() })
    }

    /// How many bytes were read, those read twice counted twice.
    fn total(&self) -> u64 {
        self.reads.lock().unwrap().iter().map(|read| read.end - read.start).sum()
    }

    /// How many of the bytes in these ranges were read.
    fn within(&self, ranges: &[Range<u64>]) -> u64 {
        let reads = self.reads.lock().unwrap();
        let pairs = reads.iter().flat_map(|read| ranges.iter().map(move |range| (read, range)));
        pairs.map(|(read, range)| read.end.min(range.end).saturating_sub(read.start.max(range.start))).sum()
    }
}

impl ReadAt for Counted {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read_at(offset, buffer)?;
        self.reads.lock().unwrap().push(offset..offset + count as u64);
        Ok(count)
    }
}

/// Wants all stored memory, as a search does, and counts the needles in it.
#[derive(Debug, Default)]
struct Everything {
    wanted: u64,
    came: u64,
    needles: usize,
    /// The end of each want's bytes so far, where a needle may have begun.
    ends: Vec<Vec<u8>>,
}

const NEEDLE: &[u8] = b"NEEDLE_big_";

impl Question for Everything {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        let stored = memory.spaces.iter().flat_map(|space| &space.stored);
        let wants: Vec<_> = stored
            .filter_map(|extent| match extent.place {
                Place::Image(object, offset) => Some(Want { object, offset, len: extent.len }),
                Place::Missing(_) => None,
            })
            .collect();
        *self = Self { wanted: wants.iter().map(|want| want.len).sum(), ..Self::default() };
        self.ends.resize(wants.len(), Vec::new());
        wants
    }

    fn bytes(&mut self, want: usize, _: u64, bytes: &[u8]) -> ControlFlow<()> {
        let joined = [&self.ends[want], bytes].concat();
        let (first, rest) = (NEEDLE[0], &NEEDLE[1..]);
        self.needles +=
            joined.split(|&byte| byte == first).skip(1).filter(|behind| behind.starts_with(rest)).count();
        self.ends[want] = joined[joined.len().saturating_sub(NEEDLE.len() - 1)..].to_vec();
        self.came += bytes.len() as u64;
        ControlFlow::Continue(())
    }

    fn lost(&mut self, _: usize, _: u64, _: u64) {
        panic!("nothing is packed");
    }
}

/// Where the page images stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    AsCriu,
    PagesFirst,
}

fn packed(order: Order, packing: Packing) -> Vec<u8> {
    let checkpoint = WORKER.checkpoint();
    let archive = Archive::podman(&checkpoint);
    let archive = if order == Order::PagesFirst { archive.pages_first() } else { archive };
    archive.write_packed(packing, Vec::new()).unwrap()
}

fn plain(order: Order) -> Vec<u8> {
    packed(order, Packing::Plain)
}

fn open(source: &Arc<Counted>, passenger: &mut dyn Passenger) -> Case {
    let evidence =
        Evidence::from_source("big".into(), source.clone(), &Context::default(), passenger).unwrap();
    let mut case = Case::default();
    case.add_opened(evidence, Locator::whole(Path::new("big")));
    case
}

/// Where the contents of the page images lie in a plain tar.
fn pages_of(bytes: &[u8]) -> Vec<Range<u64>> {
    let mut tar = tar::Archive::new(Cursor::new(bytes));
    let entries = tar.entries_with_seek().unwrap().map(Result::unwrap);
    let pages = entries.filter(|entry| entry.path_bytes().starts_with(b"checkpoint/pages-"));
    pages.map(|entry| entry.raw_file_position()..entry.raw_file_position() + entry.size()).collect()
}

/// What `show` tells, and more: container, statistics, sizes, processes, where memory is.
fn read_all_but_memory(case: &Case) {
    let checkpoint = Checkpoint::new(case, DUMP);
    let (info, findings) = checkpoint.container();
    assert_eq!(info.engine, Engine::Podman);
    assert_eq!(info.name.known().map(String::as_str), Some("worker"));
    assert!(
        info.statistics.known().is_some_and(|statistics| statistics.pages_written > (WORKER.memory >> 12))
    );
    assert!(findings.gaps.is_empty(), "{findings:?}");
    assert!(checkpoint.sizes().pages > WORKER.memory);
    let (model, findings) = checkpoint.model();
    assert_eq!(model.processes.depth_first().count(), 2);
    assert!(findings.gaps.is_empty(), "{findings:?}");
    let memory = Memory::of(case, DUMP);
    assert!(memory.findings.gaps.is_empty(), "{:?}", memory.findings);
}

fn make_command_lines() -> CommandLines {
    CommandLines::new(Vec::new(), true)
}

fn ask_command_lines(case: &Case, ride: Option<&mut Ride<'_, CommandLines>>) {
    let answered = memory::answer(case, DUMP, &Context::default(), ride, make_command_lines).unwrap();
    assert!(answered.findings.gaps.is_empty(), "{:?}", answered.findings);
    let lines = answered.question.by_process();
    let worker = &lines[&Pid(2)];
    assert_eq!(worker.arguments.known().unwrap(), &[&b"/usr/bin/worker"[..], b"--cache", b"large"]);
    assert_eq!(worker.environment.known().unwrap()[1], b"HOSTNAME=worker");
}

fn ask_everything(case: &Case, ride: Option<&mut Ride<'_, Everything>>) {
    let answered = memory::answer(case, DUMP, &Context::default(), ride, Everything::default).unwrap();
    assert!(answered.findings.gaps.is_empty(), "{:?}", answered.findings);
    let Everything { wanted, came, needles, .. } = answered.question;
    assert_eq!(came, wanted);
    assert_eq!(needles, WORKER.needles().len());
}

/// Asks one question of compressed archives and counts the passes, told as bytes read over bytes there.
fn assert_passes(order: Order, passes: u64, ask: &dyn Fn(&Arc<Counted>)) {
    for packing in [Packing::Zstd, Packing::Gzip] {
        let source = Counted::new(packed(order, packing));
        ask(&source);
        let (size, total) = (source.size(), source.total());
        assert!(total >= passes * size, "{total} bytes were read of {size}: less than {passes} passes");
        assert!(
            total <= passes * size + SNIFF,
            "{total} bytes were read of {size}: more than {passes} passes"
        );
    }
}

fn ask_for_show(source: &Arc<Counted>) {
    read_all_but_memory(&open(source, &mut Nobody));
}

fn ask_for_command_lines(source: &Arc<Counted>) {
    let mut ride = Ride::new(make_command_lines);
    let case = open(source, &mut ride);
    ask_command_lines(&case, Some(&mut ride));
    read_all_but_memory(&case);
}

fn ask_for_everything(source: &Arc<Counted>) {
    let mut ride = Ride::new(Everything::default);
    let case = open(source, &mut ride);
    ask_everything(&case, Some(&mut ride));
    read_all_but_memory(&case);
}

#[test]
fn what_needs_no_memory_reads_no_page() {
    for order in [Order::AsCriu, Order::PagesFirst] {
        let bytes = plain(order);
        let pages = pages_of(&bytes);
        assert!(pages.iter().map(|range| range.end - range.start).sum::<u64>() > WORKER.memory);
        let source = Counted::new(bytes);
        ask_for_show(&source);
        assert_eq!(source.within(&pages), 0);
        assert!(source.total() > 0);
    }
}

#[test]
fn command_lines_read_only_their_own_bytes() {
    let bytes = plain(Order::AsCriu);
    let pages = pages_of(&bytes);
    let source = Counted::new(bytes);
    let mut ride = Ride::new(make_command_lines);
    let case = open(&source, &mut ride);
    assert_eq!(source.within(&pages), 0);
    ask_command_lines(&case, Some(&mut ride));
    let read = source.within(&pages);
    assert!(read > 0 && read <= 2 * 4096, "{read} bytes of pages were read for two command lines");
}

#[test]
fn a_search_reads_each_page_once() {
    let bytes = plain(Order::AsCriu);
    let pages = pages_of(&bytes);
    let source = Counted::new(bytes);
    ask_for_everything(&source);
    assert_eq!(source.within(&pages), pages.iter().map(|range| range.end - range.start).sum::<u64>());
}

#[test]
fn a_compressed_archive_is_read_in_one_pass() {
    assert_passes(Order::AsCriu, 1, &ask_for_show);
    assert_passes(Order::AsCriu, 1, &ask_for_command_lines);
    assert_passes(Order::AsCriu, 1, &ask_for_everything);
}

#[test]
fn pages_before_their_pagemaps_cost_a_second_pass_and_no_third() {
    assert_passes(Order::PagesFirst, 1, &ask_for_show);
    assert_passes(Order::PagesFirst, 2, &ask_for_command_lines);
    assert_passes(Order::PagesFirst, 2, &ask_for_everything);
}

/// Has seen enough when anything comes.
#[derive(Debug, Default)]
struct Anything(Everything);

impl Question for Anything {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        self.0.wants(memory)
    }

    fn bytes(&mut self, _: usize, _: u64, _: &[u8]) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn lost(&mut self, _: usize, _: u64, _: u64) {
        panic!("nothing is packed");
    }
}

/// Whoever reads a dump through `head` must not wait until the rest of the archive has gone by.
#[test]
fn a_second_pass_ends_when_the_question_has_seen_enough() {
    let source = Counted::new(packed(Order::PagesFirst, Packing::Gzip));
    let case = open(&source, &mut Nobody);
    let first_pass = source.total();
    memory::answer(&case, DUMP, &Context::default(), None, Anything::default).unwrap();
    let second_pass = source.total() - first_pass;
    assert!(second_pass < first_pass / 4, "{second_pass} bytes were read of {first_pass}");
}
