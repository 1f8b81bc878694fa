//! The corpus' cases, point by point: laid out as the kernel's core, values as in gdb's. What may differ stands here, with the reason.

use std::collections::BTreeSet;

use checkpoint_forensics::core_dump::{Fill, Options};
use serde_json::Value;

use super::compare::{LAYOUT, Pair, VALUES, differs};
use super::corpus::range;
use super::evidence::{CASES, Opened, corpus, sysroot};
use super::reader::{Core, Segment};

/// A difference that may be: the case (all when empty), the point, and the section of ELF-CORE.md with the reason.
type Allowed = (&'static str, u8, &'static str);

/// Where our cores may be laid out in another way than the kernel's.
const LAYOUT_ALLOWED: [Allowed; 20] = [
    (
        "",
        4,
        "section 5: the kernel's note has room for AMX tiles, which images never hold and gdb can't read",
    ),
    ("", 9, "section 2: the kernel's core was made by SIGABRT to each thread"),
    ("", 10, "trap 13: the root's parent is 0; the kernel's cores were written after some parents had ended"),
    ("", 11, "section 2: images hold no times"),
    ("", 13, "section 2: the kernel's flags have bits of the dump, its states are of that moment"),
    ("", 14, "as 10"),
    ("", 17, "section 2: as 9; images hold no siginfo"),
    ("", 21, "as 4"),
    ("", 22, "section 5: XCR0 without AMX"),
    ("", 29, "section 5: the layout of components without AMX"),
    ("", 30, "trap 9: [vvar] and [vvar_vclock] are one mapping in the image"),
    ("02-threads", 32, "section 3: bss that was never touched is known to be zero, and written so"),
    ("03-shm", 32, "trap 8: MADV_DONTDUMP memory is kept"),
    ("03-shm", 35, "as 32"),
    (
        "05-python",
        5,
        "section 2: the kernel writes the thread first that took the signal; the leader is first here",
    ),
    ("08-compat32", 5, "as 05-python"),
    ("07-amx", 23, "section 5: tiles are not in the image"),
    ("07-amx", 28, "as 23"),
    // redis has a handler for SIGABRT: its threads ended or ran on before the kernel wrote its core.
    ("06-redis", 0, "README.md: every point of threads; the process ran on until it crashed"),
    ("06-redis", 32, "as 02-threads"),
];

/// Points that can't be compared with the kernel's core of redis, which ran on.
const OF_THREADS: [u8; 10] = [3, 5, 9, 10, 11, 17, 20, 23, 28, 35];

/// Where values may differ from those of gdb's cores.
const VALUES_ALLOWED: [Allowed; 2] = [
    ("08-compat32", 18, "section 7: gdb writes the vector's room behind AT_NULL too"),
    ("04-tree", 34, "trap 1: gdb keeps all of a deleted file, the kernel only mappings that were written to"),
];

/// The address of a page that differs.
fn address(page: &str) -> u64 {
    u64::from_str_radix(page.trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn layouts_are_the_kernels_and_values_are_gdbs() {
    // Without the container's files, pages that are in files alone are not compared.
    let files = corpus().map(|root| sysroot(&root.join("cases/core")));
    let roots = files.as_ref().map_or(&[][..], |(_, root)| std::slice::from_ref(root));
    let (mut failures, mut used) = (Vec::new(), BTreeSet::new());
    let mut skipped = Vec::new();
    for (case, pids) in CASES {
        let Some(archive) = super::evidence::case(case) else {
            skipped.push(case);
            continue;
        };
        let opened = Opened::new(&[&archive]);
        let id = opened.dump("images");
        let filled = |options| Options { undo_restart: true, fill: Fill::All, ..options };
        let cores = opened.write_filled(id, &[], roots, filled).unwrap();
        assert_eq!(cores.pids(), pids, "{case}");
        let facts: Value = serde_json::from_slice(&opened.member(&format!("{case}/facts.json"))).unwrap();
        for pid in pids {
            let end = if pids.len() > 1 { format!(".{pid}") } else { String::new() };
            let core =
                |writer: &str| Core::parse(opened.member(&format!("{case}/core.{writer}{end}")).to_vec());
            let ranges = facts["processes"][pid.to_string()]["volatile_ranges"].as_array().unwrap();
            let volatile: Vec<_> = ranges.iter().map(range).collect();
            let ours = cores.read(*pid);
            // Section 3: of a mapping that begins with an ELF header the kernel's core has that page, as ours, and gdb's all.
            let kernels = core("kernel");
            let is_header = |segment: &&Segment| segment.stored == 0x1000 && segment.stored < segment.len;
            let gdb_alone: Vec<_> =
                kernels.segments.iter().filter(is_header).map(|it| it.start..it.start + it.len).collect();
            let mut hold = |theirs: &Core, numbers: &[u8], allowed: &[Allowed]| {
                let pair = Pair { ours: &ours, theirs, volatile: &volatile, filled: !roots.is_empty() };
                for number in numbers {
                    let mut differences = differs(*number, &pair);
                    if *number == 34 {
                        differences
                            .retain(|page| !gdb_alone.iter().any(|range| range.contains(&address(page))));
                    }
                    let may = |(of, point, _): &&Allowed| {
                        let of_all_threads = *point == 0 && OF_THREADS.contains(number);
                        (of.is_empty() || *of == case) && (point == number || of_all_threads)
                    };
                    match allowed.iter().find(may) {
                        Some(_) if differences.is_empty() => {}
                        Some(reason) => drop(used.insert(*reason)),
                        None => failures.extend(
                            differences
                                .iter()
                                .take(3)
                                .map(|it| format!("{case} {pid}, point {number}: {it:.300}")),
                        ),
                    }
                }
            };
            hold(&kernels, &LAYOUT, &LAYOUT_ALLOWED);
            let values = VALUES.iter().copied().filter(|number| *number != 34 || !roots.is_empty());
            hold(&core("gcore"), &values.collect::<Vec<_>>(), &VALUES_ALLOWED);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let is_compared = |reason: &&Allowed| reason.1 != 34 || !roots.is_empty();
    let unused: Vec<_> = LAYOUT_ALLOWED
        .iter()
        .chain(&VALUES_ALLOWED)
        .filter(is_compared)
        .filter(|reason| !used.contains(*reason) && !skipped.contains(&reason.0))
        .collect();
    assert!(unused.is_empty(), "allowed and equal: {unused:?}");
}

/// What the program asked to leave out is left out on request, as by the kernel.
#[test]
fn dontdump_memory_is_honoured_as_by_the_kernel() {
    let opened = Opened::new(&[&super::evidence::case("03-shm").unwrap()]);
    let cores =
        opened.cores_with(opened.dump("images"), |options| Options { honour_dontdump: true, ..options });
    let (ours, theirs) = (cores.read(48), Core::parse(opened.member("03-shm/core.kernel").to_vec()));
    let pair = Pair { ours: &ours, theirs: &theirs, volatile: &[], filled: false };
    assert_eq!([32, 35].map(|number| differs(number, &pair)), [[""; 0]; 2]);
    assert!(cores.answer.written[0].dontdump_left_out && cores.answer.written[0].dontdump > 0);
}
