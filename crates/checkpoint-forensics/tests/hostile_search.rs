//! Search against a scan of each process's memory put together by hand: whatever way the same memory is stored, the matches are the same.
//!
//! Archives and images are written byte by byte here, with none of the readers' layouts.

#![allow(clippy::unwrap_used)] // a failure fails the test

use std::collections::BTreeSet;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use checkpoint_forensics::search::{Encoding, Keep, Options, Patterns, Reading, Room, Scope, Search, Syntax};
use checkpoint_forensics::strings::{self, Coding, Strings};
use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::evidence::{Evidence, Nobody};
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{self, Ride, Selection};
use container_checkpoint::naming::Locator;
use regex::bytes::RegexBuilder;

const PAGE: usize = 4096;
const BASE: u64 = 0x1000_0000;
/// Where each process maps the shared object.
const SHARED: u64 = 0x2000_0000;
const DUMP: DumpId = DumpId { evidence: 0, dump: 0 };

/// A generator of numbers that are the same in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn message(field: u64, contents: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(contents.len() as u64), contents.to_vec()].concat()
}

fn image(magics: &[u32], entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = magics.iter().flat_map(|magic| magic.to_le_bytes()).collect();
    for entry in entries {
        bytes.extend((entry.len() as u32).to_le_bytes());
        bytes.extend(entry);
    }
    bytes
}

fn pagemap(pages_id: u64, runs: &[(u64, u64)]) -> Vec<u8> {
    let run = |&(address, pages): &(u64, u64)| {
        [number(1, address), number(2, 0), number(4, 4), number(5, pages)].concat()
    };
    let entries: Vec<_> = [number(1, pages_id)].into_iter().chain(runs.iter().map(run)).collect();
    image(&[0x5456_4319, 0x5608_4025], &entries)
}

/// Mappings: first address, length, status, shared object, offset in it.
fn mm(mappings: &[[u64; 5]]) -> Vec<u8> {
    let vma = |&[start, len, status, object, offset]: &[u64; 5]| {
        let fields = [start, start + len, offset, object, 3, 0x22, status, 1];
        message(14, &(1..).zip(fields).flat_map(|(field, value)| number(field, value)).collect::<Vec<_>>())
    };
    let mut entry: Vec<u8> = (1..=12).flat_map(|field| number(field, 0)).collect();
    entry.extend(message(13, &[varint(6), varint(PAGE as u64), varint(0), varint(0)].concat()));
    entry.extend(mappings.iter().flat_map(vma));
    image(&[0x5456_4319, 0x5749_2820], &[entry])
}

fn member(name: &str, contents: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000600\0");
    put(124, format!("{:011o}\0", contents.len()).as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = [&block[..], contents].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Two processes' memory, by page: private pages and those of an object that both map, each from an offset of its own.
struct Memory {
    /// By process: page number from [`BASE`] and contents, in the order in which they are stored.
    private: [Vec<(u64, Vec<u8>)>; 2],
    /// By page of the object, in the order in which they are stored.
    shared: Vec<(u64, Vec<u8>)>,
    /// By process: how many pages of the object it maps, from which.
    views: [(u64, u64); 2],
}

/// A page of words, with letters at its edges more often than not.
fn page(dice: &mut Dice) -> Vec<u8> {
    const PIECES: [&[u8]; 13] = [
        b"aaaa",
        b"foo",
        b"bar",
        b" ",
        b"\n",
        b"\0",
        b"x9",
        b"needle",
        b"_",
        b"w\0i\0d\0e\0\xe9\0t\0",
        b"\0w\0i\0d\0e\0\xe9\0t",
        b"wide",
        "\u{e9}t\u{e9}\u{65e5}".as_bytes(),
    ];
    let mut bytes = Vec::new();
    while bytes.len() < PAGE {
        bytes.extend_from_slice(PIECES[dice.roll(PIECES.len())]);
    }
    bytes.truncate(PAGE);
    bytes
}

fn shuffled<T>(mut list: Vec<T>, dice: &mut Dice) -> Vec<T> {
    for at in (1..list.len()).rev() {
        list.swap(at, dice.roll(at + 1));
    }
    list
}

impl Memory {
    /// `unequal`: the two see different parts of the object.
    fn random(dice: &mut Dice, unequal: bool) -> Self {
        let pages = |count: u64, dice: &mut Dice| -> Vec<(u64, Vec<u8>)> {
            let kept: Vec<u64> = (0..count).filter(|_| dice.roll(6) > 0).collect();
            let all = kept.into_iter().map(|number| (number, page(dice))).collect();
            if dice.roll(2) == 0 { all } else { shuffled(all, dice) }
        };
        let private = [pages(7, dice), pages(5, dice)];
        let shared = pages(6, dice);
        let mut view = || {
            let from = dice.roll(4) as u64;
            (1 + dice.roll(6 - from as usize) as u64, from)
        };
        let first = view();
        Self { private, shared, views: [first, if unequal { view() } else { first }] }
    }

    fn archive(&self) -> Vec<u8> {
        let mut tar = member(
            "checkpoint/inventory.img",
            &image(&[0x5831_3116], &[[1, 2, 4, 8, 9].map(|field| number(field, 1)).concat()]),
        );
        let runs = |pages: &[(u64, Vec<u8>)], base: u64| {
            pages.iter().map(|(at, _)| (base + at * PAGE as u64, 1)).collect::<Vec<_>>()
        };
        for (at, (private, (len, from))) in self.private.iter().zip(self.views).enumerate() {
            let pid = at as u64 + 1;
            let mapped = [
                [BASE, 64 * PAGE as u64, 0x201, 0, 0],
                [SHARED, len * PAGE as u64, 0x101, 7, from * PAGE as u64],
            ];
            tar.extend(member(&format!("checkpoint/mm-{pid}.img"), &mm(&mapped)));
            tar.extend(member(&format!("checkpoint/pagemap-{pid}.img"), &pagemap(pid, &runs(private, BASE))));
        }
        tar.extend(member("checkpoint/pagemap-shmem-7.img", &pagemap(3, &runs(&self.shared, 0))));
        for (pid, pages) in [(1, &self.private[0]), (2, &self.private[1]), (3, &self.shared)] {
            let bytes = pages.iter().flat_map(|(_, page)| page.clone()).collect::<Vec<_>>();
            tar.extend(member(&format!("checkpoint/pages-{pid}.img"), &bytes));
        }
        tar.extend([0; 1024]);
        tar
    }

    /// Every stretch of addresses of a process whose bytes are stored, put together.
    fn stretches(&self, process: usize) -> Vec<(u64, Vec<u8>)> {
        let mut pages: Vec<(u64, &Vec<u8>)> =
            self.private[process].iter().map(|(at, page)| (BASE + at * PAGE as u64, page)).collect();
        let (len, from) = self.views[process];
        let seen = self.shared.iter().filter(|(at, _)| (from..from + len).contains(at));
        pages.extend(seen.map(|(at, page)| (SHARED + (at - from) * PAGE as u64, page)));
        pages.sort();
        let mut stretches: Vec<(u64, Vec<u8>)> = Vec::new();
        for (address, page) in pages {
            match stretches.last_mut() {
                Some((start, bytes)) if *start + bytes.len() as u64 == address => bytes.extend(page),
                _ => stretches.push((address, page.clone())),
            }
        }
        stretches
    }

    fn expected(&self, expression: &str) -> BTreeSet<Sighting> {
        let regex = RegexBuilder::new(expression).unicode(false).multi_line(true).build().unwrap();
        let mut all = BTreeSet::new();
        for process in 0..2 {
            for (start, bytes) in self.stretches(process) {
                all.extend(regex.find_iter(&bytes).map(|found| {
                    (process as u32 + 1, start + found.start() as u64, found.as_bytes().to_vec())
                }));
            }
        }
        all
    }
}

/// Process, address, text.
type Sighting = (u32, u64, Vec<u8>);
/// A sighting of a pattern, by its number, in an encoding.
type OfPattern = (usize, Option<Encoding>, Sighting);

fn found(archive: Vec<u8>, patterns: Patterns, threads: usize) -> BTreeSet<Sighting> {
    found_of_all(archive, patterns, threads).into_iter().map(|(_, _, sighting)| sighting).collect()
}

fn found_of_all(archive: Vec<u8>, patterns: Patterns, threads: usize) -> BTreeSet<OfPattern> {
    let options = Options {
        patterns,
        scope: Scope::PROCESSES,
        selection: Selection::default(),
        context: 5,
        keep: Keep::Matches,
        room: Room::new(Some(usize::MAX)),
        threads,
    };
    let make = || Search::new(options.clone());
    let context = Context::default();
    let packed = archive.starts_with(b"\x1f\x8b");
    let mut ride = Ride::new(make);
    let source = Arc::new(archive);
    let evidence = if packed {
        Evidence::from_source("made".into(), source, &context, &mut ride)
    } else {
        Evidence::from_source("made".into(), source, &context, &mut Nobody)
    };
    let mut case = Case::default();
    case.add_opened(evidence.unwrap(), Locator::parse("made".as_ref()));
    let mut answered = memory::answer(&case, DUMP, &context, packed.then_some(&mut ride), make).unwrap();
    assert_eq!(answered.findings.gaps, []);
    let mut all = BTreeSet::new();
    for (Pid(pid), address, one) in answered.question.matches(&answered.memory, &|_| true).in_processes() {
        let sighting = (pid, address.0, one.text.to_vec());
        assert!(all.insert((one.pattern, one.encoding, sighting)), "told twice: {pid} {address}");
    }
    all
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn told(set: &BTreeSet<Sighting>) -> Vec<String> {
    set.iter().map(|(pid, at, text)| format!("{pid} {at:#x} {:?}", String::from_utf8_lossy(text))).collect()
}

/// Compares for many memories; the patterns' matches can't overlap each other but as a scan from the front decides.
fn compare(expression: &str, unequal: bool) {
    let mut dice = Dice(0x5eed_0000_0000_0001 | (expression.len() as u64) << 8);
    let mut wrong = Vec::new();
    for round in 0..60 {
        let memory = Memory::random(&mut dice, unequal);
        let archive = memory.archive();
        let expected = memory.expected(expression);
        for (form, bytes) in [("plain", archive.clone()), ("packed", gzip(&archive))] {
            let patterns = Patterns::regex(expression, false).unwrap();
            let found = found(bytes, patterns, 1 + round % 3);
            if found != expected {
                let lost = told(&expected.difference(&found).cloned().collect());
                let made_up = told(&found.difference(&expected).cloned().collect());
                wrong.push(format!(
                    "round {round}, {form}: lost {:?}, made up {:?}",
                    lost.iter().take(3).collect::<Vec<_>>(),
                    made_up.iter().take(3).collect::<Vec<_>>()
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{expression}: {} of 120 differ: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(4)]
    );
}

#[test]
fn a_word_is_found_however_memory_is_stored() {
    compare("needle", true);
}

#[test]
fn borders_of_words_are_those_of_memory() {
    compare(r"\bfoo", false);
    compare(r"bar\b", false);
    compare(r"\bneedle\b", false);
}

#[test]
fn borders_of_lines_are_those_of_memory() {
    compare("^foo", false);
    compare("bar$", false);
}

#[test]
fn runs_are_found_whole() {
    compare("[a-z]+", false);
    compare("[a-z]{9,}", false);
}

#[test]
fn the_shortest_match_ends_where_memory_says() {
    compare(r"foo[^\n]*?bar", false);
    compare(r"x9\b[ _]?", false);
}

#[test]
fn what_others_see_beyond_a_view_changes_nothing_in_it() {
    compare(r"\bfoo", true);
    compare("[a-z]+", true);
}

#[test]
fn pieces_that_repeat_are_counted_from_the_front() {
    compare("aaa", false);
    compare("[a-z]{3}", false);
}

/// Compares many patterns at once with a scan for each of them alone.
fn compare_all(patterns: &[&str], reading: &Reading, expression: impl Fn(&str, Encoding) -> String) {
    let mut dice = Dice(0x5eed_0000_0000_0001 | (patterns.len() as u64) << 8);
    for round in 0..12 {
        let memory = Memory::random(&mut dice, false);
        let archive = memory.archive();
        let mut expected: BTreeSet<OfPattern> = BTreeSet::new();
        for (number, pattern) in patterns.iter().enumerate() {
            for &encoding in &reading.encodings {
                let sightings = memory.expected(&expression(pattern, encoding));
                let encoding = (reading.syntax != Syntax::Hex).then_some(encoding);
                expected.extend(sightings.into_iter().map(|sighting| (number, encoding, sighting)));
            }
        }
        assert!(expected.len() > 20, "{}", expected.len());
        for bytes in [archive.clone(), gzip(&archive)] {
            let patterns = Patterns::new(patterns, reading).unwrap();
            let found = found_of_all(bytes, patterns, 1 + round % 3);
            let lost: Vec<_> = expected.difference(&found).take(3).collect();
            let made_up: Vec<_> = found.difference(&expected).take(3).collect();
            assert!(
                lost.is_empty() && made_up.is_empty(),
                "round {round}: lost {lost:?}, made up {made_up:?}"
            );
        }
    }
}

/// A text as an expression that matches its bytes in an encoding.
fn bytes_in(text: &str, encoding: Encoding, ignore_case: bool) -> String {
    let bytes: Vec<u8> = match encoding {
        Encoding::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Encoding::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        _ => text.as_bytes().to_vec(),
    };
    let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("{}{escaped}", if ignore_case { "(?i)" } else { "" })
}

#[test]
fn of_many_texts_each_is_found_as_if_it_were_alone() {
    // Beginnings, ends and parts of each other; some that overlap themselves.
    let texts = [
        "needle",
        "need",
        "needleneedle",
        "eed",
        "le",
        "aaa",
        "aa",
        "aaaa",
        "foobar",
        "foo",
        "bar\n",
        "\0\0",
        "x9x9",
        "absent",
    ];
    for ignore_case in [false, true] {
        let reading = Reading { syntax: Syntax::Literal, ignore_case, ..Reading::default() };
        compare_all(&texts, &reading, |text, encoding| bytes_in(text, encoding, ignore_case));
    }
}

#[test]
fn a_text_that_overlaps_itself_is_counted_from_the_front() {
    for text in ["aaa", "\0", "needleneedle"] {
        let reading = Reading { syntax: Syntax::Literal, ..Reading::default() };
        compare_all(&[text], &reading, |text, encoding| bytes_in(text, encoding, false));
    }
}

#[test]
fn of_many_expressions_each_is_found_as_if_it_were_alone() {
    let expressions = ["[a-z]+", r"\bfoo", "needle|need", "bar$", "a{2,5}", "x9"];
    compare_all(&expressions, &Reading::default(), |expression, _| expression.to_owned());
}

#[test]
fn bytes_some_of_them_unknown() {
    let reading = Reading { syntax: Syntax::Hex, ..Reading::default() };
    compare_all(&["66 6f6f ?? 61", "6162", "78 39"], &reading, |hex, _| match hex {
        "66 6f6f ?? 61" => "(?s)foo.a".to_owned(),
        "6162" => "ab".to_owned(),
        _ => "x9".to_owned(),
    });
}

#[test]
fn texts_in_all_encodings_at_once() {
    let encodings = vec![Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be];
    for ignore_case in [false, true] {
        let reading = Reading {
            syntax: Syntax::Literal,
            ignore_case,
            encodings: encodings.clone(),
            ..Reading::default()
        };
        compare_all(&["wide", "w", "de", "foo", "\u{e9}t"], &reading, |text, encoding| {
            bytes_in(text, encoding, ignore_case)
        });
    }
}

/// All strings of at least four characters, as each process sees them.
fn strings_in(archive: Vec<u8>, coding: Coding, most: usize) -> BTreeSet<(u32, u64, Vec<u8>, bool)> {
    let context = Context::default();
    let evidence = Evidence::from_source("made".into(), Arc::new(archive), &context, &mut Nobody);
    let mut case = Case::default();
    case.add_opened(evidence.unwrap(), Locator::parse("made".as_ref()));
    let mut all = BTreeSet::new();
    let sink = |found: &strings::Found<'_>| {
        for &(Pid(pid), address) in found.sightings {
            let new = all.insert((pid, address.0, found.text.to_vec(), found.is_cut));
            assert!(new, "told twice: {pid} {address}");
        }
        ControlFlow::Continue(())
    };
    let options = strings::Options { selection: Selection::default(), codings: vec![coding], least: 4, most };
    let make = || Strings::new(options, Box::new(sink));
    let answered = memory::answer(&case, DUMP, &context, None, make).unwrap();
    assert_eq!(answered.findings.gaps, []);
    drop(answered);
    all
}

/// Runs of characters in the memory of each process put together by hand; `units` tells the characters at each place.
fn compare_strings(coding: Coding, unequal: bool, units: impl Fn(&[u8]) -> Vec<(usize, String, usize)>) {
    let mut dice = Dice(0x5eed_0000_0000_0007 | (coding as u64) << 8);
    for round in 0..40 {
        let most = if round % 2 == 0 { usize::MAX } else { 30 };
        let memory = Memory::random(&mut dice, unequal);
        let mut expected = BTreeSet::new();
        for process in 0..2 {
            for (start, bytes) in memory.stretches(process) {
                for (at, text, _) in units(&bytes).into_iter().filter(|(_, _, chars)| *chars >= 4) {
                    let fits =
                        (0..=text.len().min(most)).rev().find(|&end| text.is_char_boundary(end)).unwrap();
                    let told = text.as_bytes()[..fits].to_vec();
                    expected.insert((process as u32 + 1, start + at as u64, told, fits < text.len()));
                }
            }
        }
        assert!(expected.len() > 20, "{}", expected.len());
        let archive = memory.archive();
        for bytes in [archive.clone(), gzip(&archive)] {
            let found = strings_in(bytes, coding, most);
            let lost: Vec<_> = expected.difference(&found).take(3).collect();
            let made_up: Vec<_> = found.difference(&expected).take(3).collect();
            assert!(
                lost.is_empty() && made_up.is_empty(),
                "round {round}: lost {lost:?}, made up {made_up:?}"
            );
        }
    }
}

/// Where each match of an expression begins, its text, its characters.
fn by_expression(bytes: &[u8], expression: &str, width: usize) -> Vec<(usize, String, usize)> {
    let regex = RegexBuilder::new(expression).unicode(false).build().unwrap();
    let text = |bytes: &[u8]| bytes.iter().filter(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
    regex.find_iter(bytes).map(|it| (it.start(), text(it.as_bytes()), it.len() / width)).collect()
}

#[test]
fn strings_are_the_runs_of_memory_however_it_is_stored() {
    for unequal in [false, true] {
        compare_strings(Coding::Ascii, unequal, |bytes| by_expression(bytes, r"[\t -~]+", 1));
        compare_strings(Coding::Utf16Le, unequal, |bytes| by_expression(bytes, r"(?:[\t -~]\x00)+", 2));
        compare_strings(Coding::Utf16Be, unequal, |bytes| {
            // At both alignments: a run may begin within another one.
            let mut all: Vec<_> = Vec::new();
            for phase in 0..2 {
                let mut run: Option<(usize, String, usize)> = None;
                for (number, pair) in bytes[phase..].chunks(2).enumerate() {
                    match pair {
                        [0, low @ (b'\t' | b' '..=b'~')] => {
                            let (_, text, chars) = run.get_or_insert((phase + number * 2, String::new(), 0));
                            text.push(char::from(*low));
                            *chars += 1;
                        }
                        _ => all.extend(run.take()),
                    }
                }
                all.extend(run);
            }
            all
        });
        compare_strings(Coding::Utf8, unequal, |bytes| {
            let mut all = Vec::new();
            let mut at = 0;
            for chunk in bytes.utf8_chunks() {
                for part in chunk.valid().split_inclusive(|c: char| c.is_control() && c != '\t') {
                    let text = part.trim_end_matches(|c: char| c.is_control() && c != '\t');
                    all.push((at, text.to_owned(), text.chars().count()));
                    at += part.len();
                }
                at += chunk.invalid().len();
            }
            all
        });
    }
}
