//! Cores of arm64 processes, written on this machine: their notes against what gdb saw of the living process, and gdb on them.

use std::fs;

use checkpoint_forensics::core_dump::Options;
use serde_json::Value;
use tempfile::TempDir;

use super::debugger::answers;
use super::evidence::{Opened, case, unpacked};
use super::reader::{AUXV, Core, FILE, FPREGSET, PRPSINFO, PRSTATUS, SIGINFO, u32_at, u64_at};

const TLS: u32 = 0x401;
const PAC_MASK: u32 = 0x406;
const PAC_ENABLED_KEYS: u32 = 0x40a;
const PACA_KEYS: u32 = 0x407;
const PACG_KEYS: u32 = 0x408;
const GCS: u32 = 0x410;

/// The cases, and the notes that a thread has beside its status and vector registers.
const CASES: [(&str, &[(u32, usize)]); 14] = [
    ("01-looper-4k-max", SIGNING),
    ("01-looper-4k-max-va48", SIGNING),
    ("01-looper-4k-a72", PLAIN),
    ("01-looper-16k-max", SIGNING),
    ("02-threads-4k-max", SIGNING),
    ("02-threads-4k-max-va48", SIGNING),
    ("02-threads-4k-a72", PLAIN),
    ("02-threads-16k-max", SIGNING),
    ("03-looper-gcs-4k-max", GUARDED),
    ("03-threads-gcs-4k-max", GUARDED),
    ("04-mte-4k-max", SIGNING),
    // CRIU 3.17 kept no keys; the auxiliary vector tells that the machine signs.
    ("06-threads-old-4k", &[(FPREGSET, 528), (TLS, 8), (PAC_MASK, 16)]),
    ("07-high-4k-max", SIGNING),
    ("08-sme-4k-max", SIGNING),
];

/// A machine that doesn't sign addresses.
const PLAIN: &[(u32, usize)] = &[(FPREGSET, 528), (TLS, 8)];
/// The kernel's order (notes.tsv) and sizes, without what CRIU does not keep. Its TLS has TPIDR2_EL0 too, which images lack.
const SIGNING: &[(u32, usize)] =
    &[(FPREGSET, 528), (TLS, 8), (PAC_MASK, 16), (PAC_ENABLED_KEYS, 8), (PACA_KEYS, 64), (PACG_KEYS, 16)];
/// A process with a shadow stack.
const GUARDED: &[(u32, usize)] = &[
    (FPREGSET, 528),
    (TLS, 8),
    (PAC_MASK, 16),
    (PAC_ENABLED_KEYS, 8),
    (PACA_KEYS, 64),
    (PACG_KEYS, 16),
    (GCS, 24),
];

/// A case: its core by us, and what gdb said of the living process.
pub struct Case {
    pub name: &'static str,
    pub facts: Value,
    pub core: Core,
    script: String,
    /// Root file system with the case's program.
    pub root: TempDir,
    pub opened: Opened,
    _cores: super::evidence::Cores,
}

pub fn each(check: impl Fn(&Case, &[(u32, usize)])) {
    for (name, notes) in CASES {
        let archives = ["sysroot", name].map(|name| case(&format!("aarch64-{name}")));
        let [Some(root), Some(archive)] = archives else { continue };
        let (root, opened) = (unpacked(&root), Opened::new(&[&archive]));
        let facts: Value = serde_json::from_slice(&opened.member(&format!("{name}/facts.json"))).unwrap();
        let program = facts["binary"].as_str().unwrap().trim_start_matches("/case/");
        let bytes = opened.member(&format!("{name}/bin/{program}"));
        fs::write(root.path().join("case").join(program), bytes).unwrap();
        let given = Some(root.path().to_owned());
        let cores = opened.cores_with(opened.dump("images"), |options| Options { root: given, ..options });
        let pid = u32::try_from(facts["gdb"]["pid"].as_u64().unwrap()).unwrap();
        assert_eq!(cores.pids(), [pid], "{name}");
        let script = cores.directory.path().join(format!("core.{pid}.gdb")).to_str().unwrap().to_owned();
        let core = cores.read(pid);
        check(&Case { name, facts, core, script, root, opened, _cores: cores }, notes);
    }
}

impl Case {
    /// A thread as gdb saw it alive.
    fn live(&self, tid: u32) -> &Value {
        let threads = self.facts["gdb"]["threads"].as_array().unwrap();
        threads.iter().find(|thread| thread["tid"] == tid).unwrap_or_else(|| panic!("{}: {tid}", self.name))
    }

    fn page(&self) -> u64 {
        self.facts["system"]["page_size"].as_u64().unwrap()
    }
}

pub fn hexadecimal(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn notes_are_the_kernels_as_far_as_images_hold_them() {
    each(|case, sets| {
        let threads = case.core.threads();
        for (number, (tid, notes)) in threads.iter().enumerate() {
            let of_process: &[u32] = if number == 0 { &[PRPSINFO, SIGINFO, AUXV, FILE] } else { &[] };
            let kinds: Vec<u32> = notes.iter().map(|note| note.kind).collect();
            let sets: Vec<u32> = sets.iter().map(|(kind, _)| *kind).collect();
            assert_eq!(kinds, [&[PRSTATUS][..], of_process, &sets].concat(), "{}, thread {tid}", case.name);
        }
        let size = |kind: u32| case.core.notes(kind)[0].len();
        assert_eq!([PRSTATUS, PRPSINFO, SIGINFO].map(size), [392, 136, 128]);
        for (kind, len) in sets {
            assert_eq!(size(*kind), *len, "{}: note {kind:#x}", case.name);
        }
        let files = case.core.notes(FILE)[0];
        assert_eq!(u64_at(files, 8), case.page(), "{}: offsets are in pages", case.name);
        for segment in &case.core.segments {
            assert_eq!((segment.start % case.page(), segment.offset % case.page()), (0, 0), "{}", case.name);
        }
    });
}

#[test]
fn registers_are_those_of_the_living_threads() {
    each(|case, _| {
        let threads = case.core.threads();
        assert_eq!(threads.len(), case.facts["gdb"]["threads"].as_array().unwrap().len(), "{}", case.name);
        for (tid, notes) in &threads {
            let live = &case.live(*tid)["registers"];
            let about = |register: &str| format!("{}, thread {tid}: {register}", case.name);
            let note =
                |kind: u32| notes.iter().find(|note| note.kind == kind).map(|note| note.body.as_slice());
            let (status, vectors) = (note(PRSTATUS).unwrap(), note(FPREGSET).unwrap());
            let names =
                (0..31).map(|number| format!("x{number}")).chain(["sp", "pc", "cpsr"].map(str::to_owned));
            for (number, name) in names.enumerate() {
                let ours = u64_at(status, 112 + 8 * number);
                // gdb had interrupted this thread's sleep, so that CRIU found it in restart_syscall.
                let restarted = name == "x8" && ours == 128 && hexadecimal(&live[&name]) == 115;
                assert!(ours == hexadecimal(&live[&name]) || restarted, "{}: {ours:#x}", about(&name));
            }
            for number in 0..32 {
                let name = format!("v{number}");
                let ours: String =
                    vectors[16 * number..][..16].iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(live[&name].as_str().unwrap(), format!("le:{ours}"), "{}", about(&name));
            }
            let control = [("fpsr", 512), ("fpcr", 516)];
            for (name, at) in control {
                assert_eq!(u64::from(u32_at(vectors, at)), hexadecimal(&live[name]), "{}", about(name));
            }
            assert_eq!(u64_at(note(TLS).unwrap(), 0), hexadecimal(&live["tpidr"]), "{}", about("tpidr"));
            if let Some(stack) = note(GCS) {
                assert_eq!(u64_at(stack, 16), hexadecimal(&live["gcspr"]), "{}", about("gcspr"));
                assert_eq!(u64_at(stack, 0), hexadecimal(&live["gcs_features_enabled"]));
            }
            assert_mask_covers(case, note(PAC_MASK), live);
        }
    });
}

/// Our mask is made of the highest address: it has all bits of the machine's, and none of an address that was mapped.
fn assert_mask_covers(case: &Case, mask: Option<&[u8]>, live: &Value) {
    let Some(mask) = mask.map(|mask| u64_at(mask, 0)) else {
        assert!(live.get("pauth_dmask").is_none(), "{}", case.name);
        return;
    };
    assert_eq!(mask & hexadecimal(&live["pauth_dmask"]), hexadecimal(&live["pauth_dmask"]), "{}", case.name);
    for segment in &case.core.segments {
        assert_eq!((segment.start + segment.len - 1) & mask, 0, "{}: {:#x}", case.name, segment.start);
    }
}

/// gdb for all machines, opening our script: backtraces through signed frames are line by line those of the living process.
#[test]
fn gdb_shows_the_backtraces_of_the_living_process() {
    each(|case, _| {
        let root = case.root.path().to_str().unwrap();
        let mut commands = vec![
            format!("set debug-file-directory {root}/usr/lib/debug"),
            format!("source {}", case.script),
            "info threads".to_owned(),
        ];
        let threads = case.core.threads();
        commands.extend((1..=threads.len()).flat_map(|number| [format!("thread {number}"), "bt".to_owned()]));
        let Some(answers) = answers("gdb-multiarch", commands, 2) else { return };
        let names = case.facts["comm"].as_object().unwrap();
        for (number, (tid, _)) in threads.iter().enumerate() {
            let name = names[&tid.to_string()].as_str().unwrap();
            let shown = format!("LWP {tid} \"{name}\"");
            assert!(answers[1].contains(&shown), "{}: {shown}: {}", case.name, answers[1]);
            let backtrace = answers[3 + 2 * number].replace(root, "");
            let live: Vec<&str> =
                case.live(*tid)["bt"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
            assert_eq!(backtrace.lines().collect::<Vec<_>>(), live, "{}, thread {tid}", case.name);
        }
    });
}

/// Variables of all threads, and what gdb takes from notes beside registers.
#[test]
fn gdb_reads_globals_and_the_auxiliary_vector() {
    each(|case, _| {
        let globals = case.facts["gdb"]["globals"].as_object().unwrap();
        // Variables of threads need the C library's own library for debuggers, which is another machine's.
        let asked: Vec<_> = globals.iter().filter(|(name, _)| !name.contains("tls")).collect();
        let mut commands = vec![format!("source {}", case.script), "info auxv".to_owned()];
        commands.extend(asked.iter().map(|(name, _)| format!("output {name}")));
        let Some(answers) = answers("gdb-multiarch", commands, 1) else { return };
        for ((name, live), answer) in asked.iter().zip(&answers[2..]) {
            if case.name == "07-high-4k-max" && live.as_str().unwrap().starts_with("0x4000000000") {
                // CRIU left these pages out without a word: they are missing, not zero.
                assert!(answer.contains("Cannot access memory"), "{answer}");
                continue;
            }
            assert_eq!(answer, live.as_str().unwrap(), "{}: {name}", case.name);
        }
        let live = case.facts["gdb"]["auxv"].as_array().unwrap();
        for (ours, live) in answers[1].lines().zip(live) {
            // Type and value; the words between them, and how a value is shown, depend on the debugger's age.
            let numbers = |line: &str| -> (String, Result<u64, String>) {
                let words: Vec<&str> = line.split_whitespace().collect();
                let value = words[words.len() - 1];
                let number = match value.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16).ok(),
                    None => value.parse().ok(),
                };
                (words[0].to_owned(), number.ok_or_else(|| value.to_owned()))
            };
            assert_eq!(numbers(ours), numbers(live.as_str().unwrap()), "{}", case.name);
        }
    });
}
