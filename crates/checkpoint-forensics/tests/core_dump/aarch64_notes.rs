//! Notes and memory of arm64 cores against the corpus' list of what gdb wrote of the same process, and the kernel of another one of the same program in the same machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use checkpoint_forensics::core_dump::{Fill, Options};
use container_checkpoint::context::Context;
use container_checkpoint::root_files::Root;

use super::aarch64::{Case, each, hexadecimal};
use super::compare::{Pair, differs};
use super::evidence::{Opened, corpus};
use super::reader::{AUXV, Core, FILE, FPREGSET, Note, PRPSINFO, PRSTATUS, SIGINFO};

const TLS: u32 = 0x401;
const HW_BREAK: u32 = 0x402;
const HW_WATCH: u32 = 0x403;
const SYSTEM_CALL: u32 = 0x404;
const SVE: u32 = 0x405;
const PAC_MASK: u32 = 0x406;
const PACA_KEYS: u32 = 0x407;
const PACG_KEYS: u32 = 0x408;
const TAGGED_ADDR_CTRL: u32 = 0x409;
const PAC_ENABLED_KEYS: u32 = 0x40a;
const SSVE: u32 = 0x40b;
const ZA: u32 = 0x40c;
const ZT: u32 = 0x40d;
const FPMR: u32 = 0x40e;
const GCS: u32 = 0x410;
const GDB_TDESC: u32 = 0xff00_0000;

/// Who wrote the core that ours is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Writer {
    Kernel,
    Gdb,
}
use Writer::{Gdb, Kernel};

/// In which way a note of ours is another one than theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// They have it, we don't.
    Missing,
    /// We have it, they don't.
    Added,
    /// Another length.
    Size,
    /// Another value of the word of 8 bytes with this number.
    Word(usize),
}
use Way::{Added, Missing, Size, Word};

const A72: [&str; 2] = ["01-looper-4k-a72", "02-threads-4k-a72"];
const OLD: [&str; 1] = ["06-threads-old-4k"];
/// 48 bits of addresses, as our mask has it.
const SHORT: [&str; 2] = ["01-looper-4k-max-va48", "02-threads-4k-max-va48"];
const GUARDED: [&str; 2] = ["03-looper-gcs-4k-max", "03-threads-gcs-4k-max"];
const LONG: [&str; 8] = [
    "01-looper-4k-max",
    "01-looper-16k-max",
    "02-threads-4k-max",
    "02-threads-16k-max",
    "04-mte-4k-max",
    "05-podman-4k-max",
    "07-high-4k-max",
    "08-sme-4k-max",
];
const TAGGED: [&str; 1] = ["04-mte-4k-max"];
const THREADS: [&str; 6] = [
    "02-threads-4k-max",
    "02-threads-4k-max-va48",
    "02-threads-4k-a72",
    "02-threads-16k-max",
    "03-threads-gcs-4k-max",
    "06-threads-old-4k",
];

/// Notes of theirs that can't hold: the writer, the cases, the type, in which way, and the section of ELF-CORE-AARCH64.md with the reason.
type Allowed = (Writer, &'static [&'static [&'static str]], u32, Way, &'static str);

const ALL: &[&[&str]] = &[&A72, &OLD, &SHORT, &GUARDED, &LONG];
/// Machines that sign, with vectors of any length.
const SIGNING: &[&[&str]] = &[&OLD, &SHORT, &GUARDED, &LONG];
/// Machines of today, with matrices.
const MATRICES: &[&[&str]] = &[&SHORT, &GUARDED, &LONG];

const ALLOWED: [Allowed; 36] = [
    (Kernel, ALL, HW_BREAK, Missing, "section 4: not saved"),
    (Kernel, ALL, HW_WATCH, Missing, "section 4: not saved"),
    (Kernel, ALL, SYSTEM_CALL, Missing, "section 4: not saved; it is -1 in every core"),
    (Kernel, ALL, TAGGED_ADDR_CTRL, Missing, "section 4: not saved"),
    (Gdb, &[&TAGGED], TAGGED_ADDR_CTRL, Missing, "section 4: not saved"),
    (Kernel, SIGNING, SVE, Missing, "section 4: not saved; the low 16 bytes are in NT_FPREGSET"),
    (Gdb, SIGNING, SVE, Missing, "section 4: not saved; the low 16 bytes are in NT_FPREGSET"),
    (Kernel, MATRICES, SSVE, Missing, "section 4: not saved"),
    (Gdb, MATRICES, SSVE, Missing, "section 4: not saved"),
    (Kernel, MATRICES, ZA, Missing, "section 4: not saved"),
    (Gdb, MATRICES, ZA, Missing, "section 4: not saved"),
    (Kernel, MATRICES, ZT, Missing, "section 4: not saved"),
    (Gdb, MATRICES, ZT, Missing, "section 4: not saved"),
    (Kernel, MATRICES, FPMR, Missing, "section 4: not saved"),
    (Gdb, MATRICES, FPMR, Missing, "section 4: not saved"),
    (Kernel, ALL, TLS, Size, "section 4: TPIDR2 is not saved"),
    (Gdb, ALL, TLS, Size, "section 4: TPIDR2 is not saved"),
    (Kernel, ALL, TLS, Word(0), "another process"),
    (Kernel, &[&OLD], PAC_ENABLED_KEYS, Missing, "README.md: CRIU 3.17 saved no keys"),
    (Kernel, &[&OLD], PACA_KEYS, Missing, "README.md: CRIU 3.17 saved no keys"),
    (Kernel, &[&OLD], PACG_KEYS, Missing, "README.md: CRIU 3.17 saved no keys"),
    (Gdb, MATRICES, PAC_ENABLED_KEYS, Added, "section 2: gdb doesn't write it"),
    (Gdb, MATRICES, PACA_KEYS, Added, "section 2: gdb doesn't write it"),
    (Gdb, MATRICES, PACG_KEYS, Added, "section 2: gdb doesn't write it"),
    (Gdb, SIGNING, FPREGSET, Added, "section 2: absent from gdb's core of a machine with SVE"),
    // 16 KiB kernels end at 2^47, all others of these at 2^48, and the machine's registers could hold 52 bits.
    (Kernel, &[&GUARDED, &LONG], PAC_MASK, Word(0), "section 5: made from the highest address"),
    (Kernel, &[&GUARDED, &LONG], PAC_MASK, Word(1), "section 5: made from the highest address"),
    (Gdb, &[&GUARDED, &LONG], PAC_MASK, Word(0), "section 5: made from the highest address"),
    (Gdb, &[&GUARDED, &LONG], PAC_MASK, Word(1), "section 5: made from the highest address"),
    (Kernel, &[&SHORT, &LONG], GCS, Missing, "section 4: saved by CRIU 4.3, of a process that has one"),
    (Gdb, &[&SHORT, &LONG], GCS, Missing, "section 4: saved by CRIU 4.3, of a process that has one"),
    (Kernel, &[&GUARDED], GCS, Word(1), "section 4: features_locked is not kept"),
    (Gdb, &[&GUARDED], GCS, Word(1), "section 4: features_locked is not kept"),
    (Kernel, &[&GUARDED], GCS, Word(2), "another process"),
    (
        Gdb,
        &[&THREADS],
        SIGINFO,
        Missing,
        "section 2: gdb writes one for each thread, the kernel for the first",
    ),
    (Gdb, ALL, GDB_TDESC, Missing, "section 2: gdb's own description of registers"),
];

/// A row of the list.
struct Row {
    owner: String,
    kind: u32,
    size: usize,
    /// A short note's bytes, if they are told.
    bytes: Option<Vec<u8>>,
    /// The thread of a status note.
    tid: Option<u32>,
}

/// The list by core; says so if there is no corpus.
fn list() -> Option<BTreeMap<String, Vec<Row>>> {
    let text = fs::read_to_string(corpus()?.join("cases/aarch64/notes.tsv")).unwrap();
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [core, index, owner, kind, _, size, about] = fields[..] else { panic!("{line}") };
        let rows = rows.entry(core.to_owned()).or_default();
        assert_eq!(index.parse(), Ok(rows.len()), "{line}");
        let kind = u32::from_str_radix(kind.trim_start_matches("0x"), 16).unwrap();
        let digits = (0..about.len()).step_by(2);
        let bytes = digits
            .map(|at| about.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()))
            .collect::<Option<Vec<u8>>>()
            .filter(|bytes| !bytes.is_empty());
        let tid = about.strip_prefix("tid=").map(|tid| tid.parse().unwrap());
        assert_eq!(tid.is_some(), kind == PRSTATUS, "{line}");
        rows.push(Row { owner: owner.to_owned(), kind, size: size.parse().unwrap(), bytes, tid });
    }
    Some(rows)
}

/// What is the process's. gdb writes it before the first thread and behind the last one, the kernel (and we) among the notes of the first.
const OF_PROCESS: [u32; 4] = [PRPSINFO, AUXV, FILE, GDB_TDESC];

/// The rows of each thread, by its id.
fn by_thread<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<(u32, Vec<&'a Row>)> {
    let mut threads: Vec<(u32, Vec<&Row>)> = Vec::new();
    for row in rows {
        match row.tid {
            Some(tid) => threads.push((tid, vec![row])),
            None => threads.last_mut().unwrap().1.push(row),
        }
    }
    threads
}

/// What is held against each other: their rows, our notes.
fn pairs<'a>(writer: Writer, rows: &'a [Row], core: &'a Core) -> Vec<(Vec<&'a Row>, Vec<&'a Note>)> {
    let mut ours = core.threads();
    let first = ours[0].0;
    match writer {
        // Its threads have other ids, and all but the first the same notes.
        Kernel => {
            let theirs = by_thread(rows);
            assert_eq!(theirs.len(), ours.len());
            theirs.into_iter().zip(ours).map(|((_, rows), (_, notes))| (rows, notes)).collect()
        }
        Gdb => {
            let (of_process, of_threads): (Vec<_>, Vec<_>) =
                rows.iter().partition(|row| OF_PROCESS.contains(&row.kind));
            let theirs = by_thread(of_threads);
            assert_eq!(theirs.len(), ours.len());
            let notes = ours[0].1.extract_if(.., |note| OF_PROCESS.contains(&note.kind)).collect();
            let mut pairs = vec![(of_process, notes)];
            for (tid, rows) in theirs {
                // In a container the only thread has another id.
                let tid = if ours.len() == 1 { first } else { tid };
                let (_, notes) = ours.iter().find(|(ours, _)| *ours == tid).unwrap();
                pairs.push((rows, notes.clone()));
            }
            pairs
        }
    }
}

/// How our notes of a thread are others than theirs.
fn ways(theirs: &[&Row], ours: &[&Note]) -> BTreeSet<(u32, Way)> {
    let mut ways = BTreeSet::new();
    for row in theirs {
        let note = ours.iter().find(|note| note.kind == row.kind && note.owner == row.owner.as_bytes());
        let Some(note) = note else {
            ways.insert((row.kind, Missing));
            continue;
        };
        if note.body.len() != row.size {
            ways.insert((row.kind, Size));
        }
        let words = row.bytes.as_deref().unwrap_or_default().chunks(8).zip(note.body.chunks(8));
        let others = words.enumerate().filter(|(_, (theirs, ours))| theirs != ours);
        ways.extend(others.map(|(number, _)| (row.kind, Word(number))));
    }
    let added = ours.iter().filter(|note| theirs.iter().all(|row| row.kind != note.kind));
    ways.extend(added.map(|note| (note.kind, Added)));
    ways
}

/// What differed and may, and what may not.
#[derive(Default)]
struct Held {
    used: BTreeSet<(Writer, String, u32, Way)>,
    failures: Vec<String>,
}

impl Held {
    /// Holds a core against one of the list, thread by thread.
    fn hold(&mut self, writer: Writer, case: &str, rows: &[Row], core: &Core) {
        for (number, (rows, notes)) in pairs(writer, rows, core).into_iter().enumerate() {
            for (kind, way) in ways(&rows, &notes) {
                let may = |(of, groups, of_kind, of_way, _): &Allowed| {
                    (*of, *of_kind, *of_way) == (writer, kind, way)
                        && groups.iter().any(|group| group.contains(&case))
                };
                if ALLOWED.iter().any(may) {
                    self.used.insert((writer, case.to_owned(), kind, way));
                } else {
                    self.failures.push(format!("{case}, {writer:?}, {number}: {kind:#x} {way:?}"));
                }
            }
            let theirs: Vec<u32> = rows.iter().map(|row| row.kind).collect();
            let in_both: Vec<u32> =
                notes.iter().map(|note| note.kind).filter(|kind| theirs.contains(kind)).collect();
            let order: Vec<u32> = theirs.into_iter().filter(|kind| in_both.contains(kind)).collect();
            if writer == Kernel && in_both != order {
                self.failures.push(format!("{case}, {number}: order {in_both:x?}, not {order:x?}"));
            }
        }
    }

    fn assert(&self, listed: &BTreeMap<String, Vec<Row>>, seen: usize) {
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        assert_eq!(seen, listed.keys().filter(|name| !name.contains("threads-fp")).count());
        let mut unused = Vec::new();
        for (writer, groups, kind, way, _) in ALLOWED {
            for case in groups.iter().flat_map(|group| group.iter()) {
                let is_listed = listed.contains_key(&name(writer, case));
                if is_listed && !self.used.contains(&(writer, (*case).to_owned(), kind, way)) {
                    unused.push(format!("{case}, {writer:?}: {kind:#x} {way:?}"));
                }
            }
        }
        assert!(unused.is_empty(), "allowed and equal:\n{}", unused.join("\n"));
    }
}

/// A core's name in the list.
fn name(writer: Writer, case: &str) -> String {
    match writer {
        Kernel => format!("kernel-cores/{case}.core"),
        Gdb => case.to_owned(),
    }
}

#[test]
fn notes_are_the_listed_ones_but_for_what_images_lack() {
    let Some(listed) = list() else { return };
    let (held, seen) = (std::cell::RefCell::new(Held::default()), std::cell::Cell::new(0));
    let hold = |case: &str, core: &Core| {
        for writer in [Kernel, Gdb] {
            if let Some(rows) = listed.get(&name(writer, case)) {
                held.borrow_mut().hold(writer, case, rows, core);
                seen.set(seen.get() + 1);
            }
        }
    };
    each(|case, _| hold(case.name, &case.core));
    // The archive as the engine wrote it: the process has another number in the container.
    let archive = corpus().unwrap().join("cases/aarch64/05-podman-4k-max.archive.tar.zst");
    let opened = Opened::new(&[&archive]);
    hold("05-podman-4k-max", &opened.cores(opened.only()).read(1));
    held.into_inner().assert(&listed, seen.get());
}

/// A case's core with pages of files from the container's root.
fn filled(case: &Case) -> Core {
    let root = Root::open(case.root.path(), &Context::default()).unwrap();
    let filled = |options| Options { fill: Fill::All, ..options };
    let cores = case.opened.write_filled(case.opened.dump("images"), &[], &[root], filled).unwrap();
    cores.read(cores.pids()[0])
}

/// What the system said of the living process beside registers: its mappings, and its auxiliary vector byte by byte.
#[test]
fn mappings_files_and_vector_are_those_of_the_living_process() {
    each(|case, _| {
        let mut segments = Vec::new();
        let mut files = Vec::new();
        for line in case.facts["maps"].as_array().unwrap() {
            let words: Vec<&str> = line.as_str().unwrap().splitn(6, ' ').collect();
            let number = |digits: &str| u64::from_str_radix(digits, 16).unwrap();
            let (start, end) = words[0].split_once('-').unwrap();
            let (start, end, name) =
                (number(start), number(end), words[5].split_once(' ').map_or("", |it| it.1).trim());
            // Section 4: CRIU leaves such pages out without a word. A debugger would show zeros of a segment without bytes.
            let is_lost = case.name == "07-high-4k-max" && start == 1 << 50;
            let flag = |letter: char, flag: u32| if words[1].contains(letter) { flag } else { 0 };
            if !is_lost {
                segments.push((start, end - start, flag('r', 4) | flag('w', 2) | flag('x', 1)));
            }
            if name.starts_with('/') {
                files.push((start, end, number(words[2]), name.as_bytes().to_vec()));
            }
        }
        let ours: Vec<_> = filled(case).segments.iter().map(|it| (it.start, it.len, it.flags)).collect();
        assert_eq!(ours, segments, "{}", case.name);
        let ours: Vec<_> =
            case.core.mapped_files().into_iter().map(|it| (it.start, it.end, it.offset, it.name)).collect();
        assert_eq!(ours, files, "{}", case.name);
        let vector: String = case.core.notes(AUXV)[0].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(vector, case.facts["auxv_hex"].as_str().unwrap(), "{}", case.name);
    });
}

/// With pages of files from the container's root, memory is byte by byte that of gdb's core but for what the dump itself changed.
#[test]
fn memory_is_gdbs_of_the_same_process() {
    let Some(cases) = corpus().map(|root| root.join("cases/aarch64")) else { return };
    let compared = std::cell::Cell::new(0);
    each(|case, _| {
        // The repository's copies of the cases are without it.
        let whole = Opened::new(&[&cases.join(format!("{}.tar.zst", case.name))]);
        let path = format!("{}/core.gcore", case.name);
        if whole.case.evidences[0].member(&path).is_err() {
            return;
        }
        let theirs = Core::parse(whole.member(&path).to_vec());
        let ours = filled(case);
        let changed = case.facts["checks"]["memory"]["differ"].as_array().unwrap();
        let volatile: Vec<_> = changed
            .iter()
            .flat_map(|page| {
                let start = hexadecimal(&page[0]);
                page[1].as_array().unwrap().iter().map(move |at| start + hexadecimal(at)).map(|at| at..at + 8)
            })
            .collect();
        let pair = Pair { ours: &ours, theirs: &theirs, volatile: &volatile, filled: true };
        assert_eq!(differs(33, &pair), [""; 0], "{}", case.name);
        // Section 1: gdb keeps the whole text, the kernel and we the pages that were written to with what is beside them.
        let is_text = |page: &String| {
            let at = hexadecimal(&page.as_str().into());
            let files = ours.mapped_files();
            let segment = ours.segments.iter().find(|it| (it.start..it.start + it.len).contains(&at));
            segment.unwrap().flags == 5 && files.iter().any(|file| (file.start..file.end).contains(&at))
        };
        let missing: Vec<_> = differs(34, &pair).into_iter().filter(|page| !is_text(page)).collect();
        assert_eq!(missing, [""; 0], "{}", case.name);
        compared.set(compared.get() + 1);
    });
    // README.md: three are without, for their size.
    assert_eq!(compared.get(), 11);
}
