//! Cores against those that gdb and the kernel wrote of the same frozen processes.

use container_checkpoint::memory::{Memory, Place};
use serde_json::Value;

use super::evidence::{CASES, Opened};
use super::reader::{
    AUXV, Core, FILE, FPREGSET, Note, PRPSINFO, XSAVE_LAYOUT, XSTATE, registers, u32_at, u64_at,
};

/// Those whose registers these tests know.
fn of_64_bits() -> impl Iterator<Item = (&'static str, &'static [u32])> {
    CASES.into_iter().filter(|(case, _)| *case != "08-compat32")
}

/// Numbers of general registers in PRSTATUS.
const AX: usize = 10;
const ORIG_AX: usize = 15;
const IP: usize = 16;

/// One process of a case.
struct Process<'a> {
    name: String,
    ours: &'a Core,
    gdbs: Core,
    kernels: Core,
    facts: Value,
}

fn each_process(check: impl Fn(&Process<'_>)) {
    for (case, pids) in of_64_bits() {
        let Some(archive) = super::evidence::case(case) else { continue };
        let opened = Opened::new(&[&archive]);
        let cores = opened.cores(opened.dump("images"));
        assert_eq!(cores.pids(), pids, "{case}");
        let facts: Value = serde_json::from_slice(&opened.member(&format!("{case}/facts.json"))).unwrap();
        for pid in pids {
            let end = if pids.len() > 1 { format!(".{pid}") } else { String::new() };
            let core =
                |writer: &str| Core::parse(opened.member(&format!("{case}/core.{writer}{end}")).to_vec());
            check(&Process {
                name: format!("{case} {pid}"),
                ours: &cores.read(*pid),
                gdbs: core("gcore"),
                kernels: core("kernel"),
                facts: facts["processes"][pid.to_string()].clone(),
            });
        }
    }
}

#[test]
fn registers_are_those_of_the_frozen_threads_but_for_what_criu_does_to_interrupted_calls() {
    each_process(|process| {
        let name = &process.name;
        let ours = process.ours.threads();
        let mut gdbs = process.gdbs.threads();
        gdbs.sort_by_key(|(tid, _)| *tid);
        assert_eq!(tids(&ours), tids(&gdbs), "{name}: threads, the leader first");
        for ((tid, ours), (_, gdbs)) in ours.iter().zip(&gdbs) {
            let (ours, gdbs) = (registers(&ours[0].body), registers(&gdbs[0].body));
            for register in (0..27).filter(|register| ![AX, IP].contains(register)) {
                assert_eq!(ours[register], gdbs[register], "{name}, thread {tid}, register {register}");
            }
            let expected = match gdbs[AX].cast_signed() {
                -514..=-512 => (gdbs[ORIG_AX], gdbs[IP] - 2),
                -516 => (-4_i64 as u64, gdbs[IP]),
                _ => (gdbs[AX], gdbs[IP]),
            };
            assert_eq!((ours[AX], ours[IP]), expected, "{name}, thread {tid}");
        }
    });
}

#[test]
fn floating_point_and_vector_registers_are_those_of_the_frozen_threads() {
    each_process(|process| {
        for (tid, notes) in process.ours.threads() {
            let name = format!("{}, thread {tid}", process.name);
            let truth = &process.facts["registers_ptrace"][tid.to_string()];
            let body =
                |kind: u32| notes.iter().find(|note| note.kind == kind).map(|note| note.body.as_slice());
            assert_eq!(body(FPREGSET).unwrap(), unhex(&truth["fpregset_hex"], 512), "{name}");

            let ours = body(XSTATE).unwrap();
            let frozen = unhex(&truth["xstate"]["hex_without_trailing_zeros"], 11008);
            // The CPU had AMX, which CRIU does not keep.
            assert_eq!((ours.len(), u64_at(ours, 464)), (2688, 0xe7), "{name}");
            assert_eq!(u64_at(ours, 512), u64_at(&frozen, 512) & 0xe7, "{name}");
            assert_eq!(ours[..464], frozen[..464], "{name}");
            assert_eq!(ours[520..], frozen[520..2688], "{name}");
        }
    });
}

#[test]
fn what_is_beside_registers_and_memory_is_as_the_kernel_writes_it() {
    each_process(|process| {
        let (name, ours, kernels) = (&process.name, process.ours, &process.kernels);
        for kind in [AUXV, FILE] {
            assert_eq!(ours.notes(kind), kernels.notes(kind), "{name}: note {kind:#x}");
        }
        let (ours_info, kernels_info) = (ours.notes(PRPSINFO)[0], kernels.notes(PRPSINFO)[0]);
        assert_eq!(ours_info[3], kernels_info[3], "{name}: nice");
        assert_eq!(ours_info[16..28], kernels_info[16..28], "{name}: user, group, process");
        assert_eq!(ours_info[32..], kernels_info[32..], "{name}: group, session, name, arguments");
        // The kernel's cores were written later: their flags tell of the dump, and parents had ended.
        let gdbs_info = process.gdbs.notes(PRPSINFO)[0];
        assert_eq!(u64_at(ours_info, 8), u64_at(gdbs_info, 8), "{name}: flags");
        let ppid = u32_at(ours_info, 28);
        assert!(
            ppid == 0 || ppid == u32_at(gdbs_info, 28),
            "{name}: parent {ppid}; the root's is not in the dump"
        );

        let kernels = kernels.threads();
        let kinds = |(_, notes): &(u32, Vec<&Note>)| -> Vec<(Vec<u8>, u32)> {
            let told = notes.iter().filter(|note| note.kind != XSAVE_LAYOUT);
            told.map(|note| (note.owner.clone(), note.kind)).collect()
        };
        // Which thread is the first depends on who took the signal.
        for (ours, kernels) in ours.threads().iter().zip(&kernels) {
            assert_eq!(kinds(ours), kinds(kernels), "{name}: order of notes");
        }
        for (tid, notes) in ours.threads() {
            // The other threads of redis had ended when the kernel wrote its core.
            let Some((_, kernels)) = kernels.iter().find(|(other, _)| *other == tid) else { continue };
            let (ours, kernels) = (&notes[0].body, &kernels[0].body);
            // The kernel's core was made by a SIGABRT to each thread.
            assert_eq!(
                u64_at(ours, 16),
                u64_at(kernels, 16) & !0x20,
                "{name}, thread {tid}: pending signals"
            );
            assert_eq!(u64_at(ours, 24), u64_at(kernels, 24), "{name}, thread {tid}: blocked signals");
            assert_eq!(ours[40..48], kernels[40..48], "{name}, thread {tid}: group, session");
            assert_eq!(u32_at(ours, 328), 1, "{name}, thread {tid}");
        }
    });
}

#[test]
fn every_byte_of_memory_is_gdbs() {
    each_process(|process| {
        let volatile: Vec<_> =
            process.facts["volatile_ranges"].as_array().unwrap().iter().map(range).collect();
        let is_volatile = |address: u64| volatile.iter().any(|range| range.contains(&address));
        let (mut compared, mut beyond) = (0, 0);
        for (start, bytes) in process.ours.held() {
            let mut done = 0;
            while done < bytes.len() {
                let address = start + done as u64;
                let here = &bytes[done..(done + 4096).min(bytes.len())];
                let theirs = process.gdbs.at(address);
                if theirs.is_empty() {
                    beyond += usize::from(here.iter().any(|byte| *byte != 0));
                } else if here != &theirs[..here.len()] {
                    for (at, (ours, theirs)) in (address..).zip(here.iter().zip(theirs)) {
                        assert!(
                            ours == theirs || is_volatile(at),
                            "{}: {at:#x} is {ours:#x}, not {theirs:#x}",
                            process.name
                        );
                    }
                }
                compared += usize::from(!theirs.is_empty());
                done += here.len();
            }
        }
        assert!(compared > 50, "{}: {compared} pages", process.name);
        // gdb leaves out clean code and what the program asked to leave out; CRIU always stores the page that it wrote a system call to.
        assert!(beyond <= 1, "{}: {beyond} pages are in no core of gdb's", process.name);
    });
}

#[test]
fn all_that_the_images_hold_is_in_the_cores() {
    for (case, pids) in of_64_bits() {
        let Some(archive) = super::evidence::case(case) else { continue };
        let opened = Opened::new(&[&archive]);
        let id = opened.dump("images");
        let (cores, memory) = (opened.cores(id), Memory::of(&opened.case, id));
        for pid in pids {
            let core = cores.read(*pid);
            for extent in &memory.space(container_checkpoint::ids::Pid(*pid)).unwrap().stored {
                assert!(matches!(extent.place, Place::Image(..)), "{case}: {extent:?}");
                let mut at = extent.start;
                while at < extent.end() {
                    let held = core.at(at).len() as u64;
                    assert!(held > 0, "{case} {pid}: {at:#x} is stored and not in the core");
                    at += held;
                }
            }
        }
    }
}

#[test]
fn the_same_process_dumped_twice_gives_the_same_core() {
    let Some(archive) = super::evidence::case("03-shm") else { return };
    // The second dump holds holes of shared memory as pages of zeros, since gdb had read them in between.
    let opened = Opened::new(&[&archive]);
    let cores = ["images-before-gcore", "images"].map(|dump| opened.cores(opened.dump(dump)));
    let [before, after] = cores.map(|cores| cores.read(48));
    assert_eq!(before.segments, after.segments);
    let differ = before.held().zip(after.held()).flat_map(|((start, before), (_, after))| {
        (start..)
            .zip(before.iter().zip(after))
            .filter(|(_, (before, after))| before != after)
            .map(|(at, _)| at)
    });
    let facts: Value = serde_json::from_slice(&opened.member("03-shm/facts.json")).unwrap();
    let volatile = range(&facts["processes"]["48"]["volatile_ranges"][0]);
    assert_eq!(differ.filter(|at| !volatile.contains(at)).collect::<Vec<u64>>(), [0; 0]);
}

fn tids(threads: &[(u32, Vec<&Note>)]) -> Vec<u32> {
    threads.iter().map(|(tid, _)| *tid).collect()
}

/// `START-END` in hexadecimal.
pub fn range(text: &Value) -> std::ops::Range<u64> {
    let (start, end) = text.as_str().unwrap().split_once('-').unwrap();
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    number(start)..number(end)
}

/// Hexadecimal bytes, filled up with zeros.
fn unhex(text: &Value, len: usize) -> Vec<u8> {
    let digits = text.as_str().unwrap();
    let mut bytes: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    bytes.resize(len, 0);
    bytes
}
