//! A core held against another one of the same process, point by point. The points and their numbers are those of the corpus' compare_core.py.

use std::collections::BTreeMap;
use std::ops::Range;

use super::reader::{
    AUXV, Core, FILE, FPREGSET, PRPSINFO, PRSTATUS, SIGINFO, Segment, XSAVE_LAYOUT, XSTATE, u32_at, u64_at,
};

/// A core of ours, and the one that it is held against.
pub struct Pair<'a> {
    pub ours: &'a Core,
    pub theirs: &'a Core,
    /// Memory that changed between the two moments: restartable sequences.
    pub volatile: &'a [Range<u64>],
    /// Whether our core has been filled with the pages of files that are in no image. Without, mappings of files are not compared where those pages decide.
    pub filled: bool,
}

/// Something that is compared: says what differs.
pub struct Point {
    pub number: u8,
    differs: fn(&Pair<'_>) -> Vec<String>,
}

/// What the kernel's cores show: how a core is laid out.
pub const LAYOUT: [u8; 25] =
    [1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 28, 29, 30, 31, 32, 35];
/// What gdb's cores show: values of the frozen process.
pub const VALUES: [u8; 10] = [6, 7, 8, 18, 24, 25, 26, 27, 33, 34];

pub const POINTS: [Point; 35] = [
    Point { number: 1, differs: |pair| unequal("header", pair, identity) },
    // Reading a core says whether it is well formed, or fails.
    Point { number: 2, differs: |_| Vec::new() },
    Point { number: 3, differs: |pair| unequal("notes", pair, order) },
    Point { number: 4, differs: sizes },
    Point { number: 5, differs: |pair| unequal("threads", pair, tids) },
    Point { number: 6, differs: |pair| registers(pair, |name| !is_result(name) && !name.ends_with("base")) },
    Point { number: 7, differs: |pair| registers(pair, is_result) },
    Point { number: 8, differs: |pair| registers(pair, |name| name.ends_with("base")) },
    Point { number: 9, differs: |pair| status(pair, |word| 0..16 + 2 * word) },
    Point { number: 10, differs: |pair| status(pair, |word| 20 + 2 * word..32 + 2 * word) },
    Point { number: 11, differs: |pair| status(pair, |word| 32 + 2 * word..32 + 10 * word) },
    Point { number: 12, differs: valid },
    Point { number: 13, differs: |pair| info(pair, |word, _| 0..2 * word) },
    Point { number: 14, differs: |pair| info(pair, |word, name| 2 * word..name) },
    Point { number: 15, differs: |pair| info(pair, |_, name| name..name + 16) },
    Point { number: 16, differs: |pair| info(pair, |_, name| name + 16..name + 96) },
    Point { number: 17, differs: |pair| unequal("signal", pair, |core| core.notes(SIGINFO).concat()) },
    Point { number: 18, differs: |pair| unequal("vector", pair, |core| core.notes(AUXV).concat()) },
    Point { number: 19, differs: |pair| unequal("files", pair, |core| core.notes(FILE).concat()) },
    Point { number: 20, differs: |pair| of_threads(pair, FPREGSET, |note| note.to_vec()) },
    Point { number: 21, differs: |pair| of_threads(pair, XSTATE, |note| note.len()) },
    Point { number: 22, differs: |pair| of_threads(pair, XSTATE, |note| u64_at(note, 464)) },
    Point { number: 23, differs: |pair| of_threads(pair, XSTATE, |note| note[512..576].to_vec()) },
    Point { number: 24, differs: |pair| of_threads(pair, XSTATE, legacy) },
    Point { number: 25, differs: |pair| of_threads(pair, XSTATE, |note| component(note, 2, 576..832)) },
    Point { number: 26, differs: |pair| of_threads(pair, XSTATE, avx512) },
    Point { number: 27, differs: |pair| of_threads(pair, XSTATE, |note| component(note, 9, 2688..2696)) },
    Point { number: 28, differs: |pair| of_threads(pair, XSTATE, others) },
    Point { number: 29, differs: other_notes },
    Point {
        number: 30,
        differs: |pair| unequal("ranges", pair, |core| compared(pair, core, |it| (it.start, it.len))),
    },
    Point { number: 31, differs: permissions },
    Point { number: 32, differs: stored },
    Point { number: 33, differs: |pair| memory(pair).bytes },
    Point { number: 34, differs: |pair| memory(pair).missing },
    Point { number: 35, differs: |pair| memory(pair).extra },
];

/// What differs of a point, if anything does.
pub fn differs(number: u8, pair: &Pair<'_>) -> Vec<String> {
    POINTS.iter().filter(|point| point.number == number).flat_map(|point| (point.differs)(pair)).collect()
}

fn unequal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    pair: &Pair<'_>,
    of: impl Fn(&Core) -> T,
) -> Vec<String> {
    let (ours, theirs) = (of(pair.ours), of(pair.theirs));
    let differs = ours != theirs;
    differs.then(|| format!("{what}: {ours:?}, not {theirs:?}")).into_iter().collect()
}

/// Class, data, version, ABI, type, machine, version, lengths of headers.
fn identity(core: &Core) -> Vec<u8> {
    let bytes = &core.bytes;
    let lengths = 16 + 8 + 3 * core.word + 4;
    [&bytes[..9], &bytes[16..24], &bytes[lengths..lengths + 4]].concat()
}

fn order(core: &Core) -> Vec<(String, u32)> {
    core.notes.iter().map(|note| (String::from_utf8_lossy(&note.owner).into_owned(), note.kind)).collect()
}

fn tids(core: &Core) -> Vec<u32> {
    core.threads().iter().map(|(tid, _)| *tid).collect()
}

fn sizes(pair: &Pair<'_>) -> Vec<String> {
    let sizes = |core: &Core| -> BTreeMap<u32, Vec<usize>> {
        let mut sizes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for note in core.notes.iter().filter(|note| note.kind != FILE) {
            sizes.entry(note.kind).or_default().push(note.body.len());
        }
        sizes.values_mut().for_each(|sizes| sizes.dedup());
        sizes
    };
    let theirs = sizes(pair.theirs);
    let both = sizes(pair.ours).into_iter().filter_map(|(kind, ours)| Some((kind, ours, theirs.get(&kind)?)));
    both.filter(|(_, ours, theirs)| ours != *theirs)
        .map(|(kind, ours, theirs)| format!("note {kind:#x}: {ours:?}, not {theirs:?}"))
        .collect()
}

const NAMES_64: &str = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss \
                        fs_base gs_base ds es fs gs";
const NAMES_32: &str = "ebx ecx edx esi edi ebp eax ds es fs gs orig_eax eip cs eflags esp ss";

/// Registers in which the result of a system call shows.
fn is_result(name: &str) -> bool {
    matches!(&name[name.len() - 2..], "ax" | "ip")
}

/// The status notes of threads that both have, ours first.
fn statuses<'a>(pair: &'a Pair<'_>) -> Vec<(u32, &'a [u8], &'a [u8])> {
    let theirs: BTreeMap<u32, &[u8]> =
        pair.theirs.threads().into_iter().map(|(tid, notes)| (tid, notes[0].body.as_slice())).collect();
    let ours = pair.ours.threads().into_iter().map(|(tid, notes)| (tid, notes[0].body.as_slice()));
    ours.filter_map(|(tid, ours)| Some((tid, ours, *theirs.get(&tid)?))).collect()
}

fn registers(pair: &Pair<'_>, chosen: impl Fn(&str) -> bool) -> Vec<String> {
    let (word, names) = (pair.ours.word, if pair.ours.word == 8 { NAMES_64 } else { NAMES_32 });
    let first = 32 + 10 * word;
    let mut differences = Vec::new();
    for (tid, ours, theirs) in statuses(pair) {
        for (number, name) in names.split_whitespace().enumerate().filter(|(_, name)| chosen(name)) {
            let [ours, theirs] = [ours, theirs].map(|note| pair.ours.word_at(note, first + number * word));
            if ours != theirs {
                differences.push(format!("thread {tid}: {name} {ours:#x}, not {theirs:#x}"));
            }
        }
    }
    differences
}

fn status(pair: &Pair<'_>, part: impl Fn(usize) -> Range<usize>) -> Vec<String> {
    let part = part(pair.ours.word);
    let parts = statuses(pair)
        .into_iter()
        .map(|(tid, ours, theirs)| (tid, &ours[part.clone()], &theirs[part.clone()]));
    parts
        .filter(|(_, ours, theirs)| ours != theirs)
        .map(|(tid, ours, theirs)| format!("thread {tid}: {ours:x?}, not {theirs:x?}"))
        .collect()
}

fn valid(pair: &Pair<'_>) -> Vec<String> {
    status(pair, |word| if word == 8 { 328..332 } else { 140..144 })
}

/// A part of the note on the process, given a word's length and where the name begins.
fn info(pair: &Pair<'_>, part: impl Fn(usize, usize) -> Range<usize>) -> Vec<String> {
    let word = pair.ours.word;
    let part = part(word, if word == 8 { 40 } else { 28 });
    unequal("process", pair, |core| core.notes(PRPSINFO)[0][part.clone()].to_vec())
}

fn of_threads<T: PartialEq + std::fmt::Debug>(
    pair: &Pair<'_>,
    kind: u32,
    of: impl Fn(&[u8]) -> T,
) -> Vec<String> {
    let of = |core: &Core| -> BTreeMap<u32, T> {
        let threads = core.threads().into_iter();
        threads
            .filter_map(|(tid, notes)| Some((tid, of(&notes.iter().find(|note| note.kind == kind)?.body))))
            .collect()
    };
    let (ours, theirs) = (of(pair.ours), of(pair.theirs));
    let tids = statuses(pair).into_iter().map(|(tid, ..)| tid);
    tids.filter(|tid| ours.get(tid) != theirs.get(tid))
        .map(|tid| format!("thread {tid}: {:?}, not {:?}", ours.get(&tid), theirs.get(&tid)))
        .collect()
}

/// The bytes of a component, zeros where it is in its initial state.
fn component(note: &[u8], number: u32, part: Range<usize>) -> Vec<u8> {
    let is_set = u64_at(note, 512) >> number & 1 == 1;
    let held = note.get(part.clone()).filter(|_| is_set).map(<[u8]>::to_vec);
    held.unwrap_or_else(|| vec![0; part.len()])
}

/// x87 and SSE registers with their initial values where the state says so.
fn legacy(note: &[u8]) -> Vec<u8> {
    let bits = u64_at(note, 512);
    let mut x87 = [&note[..24], &note[32..160]].concat();
    if bits & 1 == 0 {
        x87 = vec![0; 152];
        x87[..2].copy_from_slice(&0x37f_u16.to_le_bytes());
    }
    let mxcsr = if bits & 6 == 0 { 0x1f80 } else { u32_at(note, 24) };
    [x87, component(note, 1, 160..416), mxcsr.to_le_bytes().to_vec()].concat()
}

fn avx512(note: &[u8]) -> Vec<u8> {
    [(5, 1088..1152), (6, 1152..1664), (7, 1664..2688)]
        .map(|(number, part)| component(note, number, part))
        .concat()
}

/// Bounds registers and tiles.
fn others(note: &[u8]) -> Vec<u8> {
    [(3, 960..1024), (4, 1024..1088), (17, 2752..2816), (18, 2816..11008)]
        .map(|(number, part)| component(note, number, part))
        .concat()
}

fn other_notes(pair: &Pair<'_>) -> Vec<String> {
    const GDB_TDESC: u32 = 0xff00_0000;
    let compared = [PRSTATUS, FPREGSET, PRPSINFO, AUXV, XSTATE, SIGINFO, FILE, GDB_TDESC];
    let others = |core: &Core| -> Vec<(u32, Vec<u8>)> {
        let threads = core.threads();
        let mut others: Vec<_> = threads
            .iter()
            .flat_map(|(tid, notes)| notes.iter().map(move |note| (*tid, *note)))
            .filter(|(_, note)| !compared.contains(&note.kind))
            // The layout belongs to no thread, and stands behind whichever is the last one.
            .map(|(tid, note)| (if note.kind == XSAVE_LAYOUT { 0 } else { tid }, note.body.clone()))
            .collect();
        others.sort();
        others
    };
    unequal("other notes", pair, others)
}

/// Segments, without those of files where their pages would decide.
fn compared<T>(pair: &Pair<'_>, core: &Core, of: impl Fn(&Segment) -> T) -> Vec<T> {
    let files = pair.ours.mapped_files();
    let is_file =
        |segment: &&Segment| files.iter().any(|file| file.start <= segment.start && segment.start < file.end);
    core.segments.iter().filter(|segment| pair.filled || !is_file(segment)).map(of).collect()
}

/// Segments of the same range, ours and theirs.
fn in_both(pair: &Pair<'_>) -> Vec<(Segment, Segment)> {
    let theirs: BTreeMap<(u64, u64), Segment> =
        compared(pair, pair.theirs, |it| ((it.start, it.len), *it)).into_iter().collect();
    let ours = compared(pair, pair.ours, |it| *it).into_iter();
    ours.filter_map(|ours| Some((ours, *theirs.get(&(ours.start, ours.len))?))).collect()
}

fn permissions(pair: &Pair<'_>) -> Vec<String> {
    let differ = in_both(pair).into_iter().filter(|(ours, theirs)| ours.flags != theirs.flags);
    differ.map(|(ours, theirs)| format!("{:#x}: {} not {}", ours.start, ours.flags, theirs.flags)).collect()
}

fn stored(pair: &Pair<'_>) -> Vec<String> {
    let differ = in_both(pair).into_iter().filter(|(ours, theirs)| ours.stored != theirs.stored);
    differ
        .map(|(ours, theirs)| format!("{:#x}: {:#x} not {:#x}", ours.start, ours.stored, theirs.stored))
        .collect()
}

#[derive(Default)]
struct MemoryDifferences {
    bytes: Vec<String>,
    missing: Vec<String>,
    extra: Vec<String>,
}

/// Pages with other bytes; those that are not zero and in one core alone.
fn memory(pair: &Pair<'_>) -> MemoryDifferences {
    const PAGE: usize = 4096;
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let is_volatile = |at: u64| pair.volatile.iter().any(|range| range.contains(&at));
    let mut differences = MemoryDifferences::default();
    for (start, bytes) in pair.ours.held() {
        for (address, page) in (start..).step_by(PAGE).zip(bytes.chunks(PAGE)) {
            let theirs = pair.theirs.at(address);
            if theirs.is_empty() {
                if !is_zero(page) {
                    differences.extra.push(format!("{address:#x}"));
                }
                continue;
            }
            let mut differ =
                (address..).zip(page.iter().zip(theirs)).filter(|(_, (ours, theirs))| ours != theirs);
            if let Some((at, _)) = differ.find(|(at, _)| !is_volatile(*at)) {
                differences.bytes.push(format!("{at:#x}"));
            }
        }
    }
    for (start, bytes) in pair.theirs.held() {
        for (address, page) in (start..).step_by(PAGE).zip(bytes.chunks(PAGE)) {
            if pair.ours.at(address).is_empty() && !is_zero(page) {
                differences.missing.push(format!("{address:#x}"));
            }
        }
    }
    differences
}
