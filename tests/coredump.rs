//! `coldcase coredump`: cores of the processes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::inspect::{inspected, processes};
use crate::support::archives::{corpus, testdata, unpacked};
use crate::support::elf::Core;
use crate::support::program::{Ran, coldcase};
use crate::support::truth::{Truth, number};

/// Writes the cores of a checkpoint into a directory.
fn dumped(arguments: &[&str]) -> (TempDir, Ran) {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("cores").into_os_string().into_string().unwrap();
    let ran = coldcase(&[&["coredump", "--output", &output], arguments].concat()).run();
    (directory, ran)
}

/// The cores, without the record and the script that stand beside each, and the executable beside some.
fn names(directory: &TempDir) -> BTreeSet<String> {
    let entries = fs::read_dir(directory.path().join("cores")).unwrap();
    let all: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let is_core = |name: &&String| ![".json", ".gdb", ".exe", ".libs"].iter().any(|end| name.ends_with(end));
    let cores: BTreeSet<String> = all.iter().filter(is_core).cloned().collect();
    let is_program = |name: &String| name.ends_with(".exe") || name.ends_with(".libs");
    let all: BTreeSet<String> = all.into_iter().filter(|name| !is_program(name)).collect();
    let beside = |end: &str| cores.iter().map(|name| format!("{name}{end}")).collect::<BTreeSet<_>>();
    assert_eq!(all, &(&cores | &beside(".json")) | &beside(".gdb"));
    cores
}

fn core(directory: &TempDir, pid: u64) -> Vec<u8> {
    fs::read(directory.path().join(format!("cores/core.{pid}"))).unwrap()
}

#[test]
fn every_process_has_a_core_with_its_threads_and_planted_texts() {
    for name in ["tiny", "counter", "counter-docker", "redis", "tiny-criu"] {
        let truth = Truth::of(name);
        let (directory, ran) = dumped(&[&truth.archive()]);
        ran.ends_with(0);
        let expected = truth
            .processes()
            .iter()
            .map(|process| format!("core.{}", process["pid"]))
            .collect::<BTreeSet<_>>();
        assert_eq!(names(&directory), expected, "{name}");
        for process in truth.processes() {
            let pid = process["pid"].as_u64().unwrap();
            let bytes = core(&directory, pid);
            let core = Core::read(&bytes);
            assert_eq!(core.machine, 62);
            let threads: BTreeSet<u64> = process["threads"]
                .as_array()
                .unwrap()
                .iter()
                .map(|thread| thread["tid"].as_u64().unwrap())
                .collect();
            assert_eq!(core.threads().into_iter().collect::<BTreeSet<_>>(), threads, "{name}: {pid}");
            assert_eq!(core.threads()[0], pid, "{name}: the main thread comes first");
            for needle in truth.needles().iter().filter(|needle| needle.kind != "utf16le") {
                for (_, address) in needle.dumped.iter().filter(|(other, _)| *other == pid) {
                    let found = core.memory(*address, needle.text.len());
                    assert_eq!(found, Some(needle.text.as_bytes().to_vec()), "{name}: {pid} at {address:x}");
                }
                for (_, address) in needle.live_only.iter().filter(|(other, _)| *other == pid) {
                    // A clean page of a file: the file has it, the core does not.
                    assert_eq!(
                        core.memory(*address, needle.text.len()),
                        None,
                        "{name}: {pid} at {address:x}"
                    );
                }
            }
        }
    }
}

#[test]
fn text_in_every_kind_of_memory_is_in_the_core_at_its_address() {
    let truth = Truth::of("kitchen");
    let (directory, ran) = dumped(&[&truth.archive()]);
    let ran = ran.ends_with(0);
    // Three zombies of 45 processes have nothing left.
    assert_eq!(names(&directory).len(), 42, "{}", ran.told());
    for pid in ["25", "26", "46"] {
        assert!(
            ran.messages("note").iter().any(|note| note.contains(&format!("process {pid}:"))),
            "{}",
            ran.told()
        );
    }
    for hit in truth.0["hits"].as_array().unwrap().iter().filter(|hit| hit["encoding"] == "ascii") {
        let bytes = core(&directory, hit["pid"].as_u64().unwrap());
        let text = truth.0["needles"][hit["name"].as_str().unwrap()].as_str().unwrap();
        let found = Core::read(&bytes).memory(number(hit["addr"].as_str().unwrap()), text.len());
        assert_eq!(found, Some(text.as_bytes().to_vec()), "{hit}");
    }
}

#[test]
fn a_core_is_readable_to_its_owner_alone_and_replaces_nothing() {
    let archive = testdata("tiny.tar");
    let (directory, ran) = dumped(&[&archive]);
    ran.ends_with(0);
    let path = directory.path().join("cores/core.1");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    fs::write(&path, "something else").unwrap();
    let output = directory.path().join("cores").into_os_string().into_string().unwrap();
    let again = coldcase(&["coredump", "--output", &output, &archive]).run().ends_with(2);
    assert!(again.messages("error")[0].contains("core.1"), "{}", again.told());
    assert_eq!(fs::read(&path).unwrap(), b"something else");
    coldcase(&["coredump", "--force", "--output", &output, &archive]).run().ends_with(0);
    assert_eq!(&fs::read(&path).unwrap()[..4], b"\x7fELF");
}

#[test]
fn a_core_is_not_written_through_a_link() {
    let directory = TempDir::new().unwrap();
    let target = directory.path().join("target");
    fs::write(&target, "precious").unwrap();
    fs::create_dir(directory.path().join("cores")).unwrap();
    std::os::unix::fs::symlink(&target, directory.path().join("cores/core.1")).unwrap();
    let output = directory.path().join("cores").into_os_string().into_string().unwrap();
    for force in [&[][..], &["--force"]] {
        coldcase(&[&["coredump", "--output", &output], force, &[&testdata("tiny.tar")]].concat()).run();
        assert_eq!(fs::read(&target).unwrap(), b"precious", "{force:?}");
    }
}

#[test]
fn a_core_that_was_asked_for_and_is_not_there_is_a_gap() {
    let (directory, ran) = dumped(&["-p", "3", "-p", "99", &testdata("counter.tar.zst")]);
    assert_eq!(ran.status, 3, "{}", ran.told());
    assert!(ran.stderr.contains("gap: core of process 99"), "{}", ran.stderr);
    assert_eq!(names(&directory), BTreeSet::from(["core.3".to_owned()]));
}

#[test]
fn only_the_processes_that_were_asked_for_are_written() {
    let (directory, ran) = dumped(&["-p2", "-p3", &testdata("counter.tar.zst")]);
    ran.ends_with(0);
    assert_eq!(names(&directory), BTreeSet::from(["core.2".into(), "core.3".into()]));
    let (_directory, ran) = dumped(&["--pid=99", &testdata("counter.tar.zst")]);
    assert!(ran.status != 0 && ran.stderr.contains("99"), "{}", ran.told());
}

#[test]
fn without_the_parent_a_core_has_holes_and_says_so() {
    let truth = Truth::of("pre-final");
    let needle = |text: &str| truth.needles().into_iter().find(|needle| needle.kind == text).unwrap();
    let at = |text: &str| needle(text).dumped.first().unwrap().1;
    let (directory, ran) = dumped(&[&truth.archive()]);
    let ran = ran.ends_with(3);
    assert!(ran.messages("gap").iter().any(|gap| gap.contains("parent")), "{}", ran.told());
    let bytes = core(&directory, 1);
    assert_eq!(Core::read(&bytes).memory(at("stays"), 10), None, "what is not there is not zeros");
    assert_eq!(Core::read(&bytes).memory(at("new"), 10), Some(b"NEEDLE_PRE".to_vec()));
    let (directory, ran) = dumped(&[&truth.archive(), &testdata("pre-checkpoint.tar.zst")]);
    let ran = ran.ends_with(0);
    // With several pieces of evidence, each has a directory of its own.
    let text = ran.text();
    let row = text.lines().nth(2).unwrap();
    let path = row.split("   ").last().unwrap().trim();
    assert!(Path::new(path).starts_with(directory.path()), "{}", ran.told());
    let bytes = fs::read(path).unwrap();
    assert_eq!(Core::read(&bytes).memory(at("stays"), 10), Some(b"NEEDLE_PRE".to_vec()));
}

#[test]
fn a_pipe_gives_the_same_core_as_a_file() {
    let archive = testdata("redis.tar.zst");
    let (from_file, _) = dumped(&[&archive]);
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("cores").into_os_string().into_string().unwrap();
    coldcase(&["coredump", "--output", &output, "-"]).fed(fs::read(&archive).unwrap()).run().ends_with(0);
    let (one, other) = (core(&from_file, 1), core(&directory, 1));
    assert!(one == other, "{} and {} bytes", one.len(), other.len());
}

#[test]
fn one_core_goes_into_a_pipe_with_the_bytes_of_a_file() {
    for name in
        ["tiny.tar", "tiny.tar.zst", "redis.tar.zst", "aarch64-16k.tar.zst", "criu421-compat32.tar.zst"]
    {
        let archive = testdata(name);
        let (directory, _) = dumped(&[&archive]);
        let file = fs::read(directory.path().join("cores").join(names(&directory).first().unwrap())).unwrap();
        let ran = coldcase(&["coredump", "-o-", &archive]).raw().run().ends_with(0);
        assert!(ran.stdout == file, "{name}: {} and {} bytes", ran.stdout.len(), file.len());
        let spool = directory.path().to_str().unwrap();
        let spooled = coldcase(&["coredump", "-o-", "--spool", spool, "-"]).fed(fs::read(&archive).unwrap());
        assert!(spooled.raw().run().ends_with(0).stdout == file, "{name}, from a pipe");
        assert_eq!(fs::read_dir(spool).unwrap().count(), 1, "nothing stays");
    }
    let several = coldcase(&["coredump", "-o-", &testdata("counter.tar.zst")]).run();
    assert!(several.stdout.is_empty() && several.stderr.contains("choose with --pid"), "{}", several.told());
    let chosen = coldcase(&["coredump", "-o-", "-p3", &testdata("counter.tar.zst")]).raw().run().ends_with(0);
    assert_eq!(Core::read(&chosen.stdout).threads(), [3]);
}

/// What is not there is not in the headers, though they go first.
#[test]
fn a_pipe_has_no_bytes_that_the_evidence_lost() {
    let archive = testdata("pre-final.tar.zst");
    let (directory, _) = dumped(&[&archive]);
    let ran = coldcase(&["coredump", "-o-", &archive]).raw().run().ends_with(3);
    assert!(ran.stdout == core(&directory, 1));
}

#[test]
fn addresses_are_physical_ones_on_request_and_the_same_core_otherwise() {
    let archive = testdata("tiny.tar");
    let (plain, _) = dumped(&[&archive]);
    let (physical, _) = dumped(&["--physical", &archive]);
    let (plain, physical) = (core(&plain, 1), core(&physical, 1));
    assert_eq!(plain.len(), physical.len());
    let programs = |bytes: &[u8]| -> Vec<(u64, u64)> {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let count = usize::from(u16::from_le_bytes([bytes[56], bytes[57]]));
        (1..count).map(|index| 64 + index * 56).map(|at| (word(at + 16), word(at + 24))).collect()
    };
    assert!(programs(&plain).iter().all(|(_, physical)| *physical == 0));
    assert!(programs(&physical).iter().all(|(virtual_, physical)| virtual_ == physical));
    let end = |bytes: &[u8]| bytes[64 + 56 * programs(bytes).len()..].len();
    assert!(plain[plain.len() - end(&plain)..][56..] == physical[physical.len() - end(&physical)..][56..]);
}

/// Whatever processes are called, gdb is told nothing but what the program has to say.
#[test]
fn names_of_the_evidence_are_no_commands_for_gdb() {
    let (directory, ran) = dumped(&[&testdata("hostile.tar.zst")]);
    assert!(ran.status == 0 || ran.status == 3, "{}", ran.told());
    let exe = format!("file {}", directory.path().join("cores/core.").display());
    let known = [
        "set auto-load ",
        "set sysroot /nonexistent",
        "core-file /",
        "thread apply ",
        &exe,
        "set solib-search-path /",
    ];
    let mut lines = 0;
    for name in names(&directory) {
        let script = fs::read_to_string(directory.path().join(format!("cores/{name}.gdb"))).unwrap();
        assert!(script.bytes().all(|byte| (0x20..0x7f).contains(&byte) || byte == b'\n'), "{script:?}");
        for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert!(known.iter().any(|start| line.starts_with(start)), "{line}");
            assert!(!line.ends_with('\\'), "{line}");
            lines += 1;
        }
    }
    assert!(lines > 100, "{lines}");
}

#[test]
fn the_end_says_what_is_not_known_and_how_to_go_on() {
    let (directory, ran) = dumped(&[&testdata("counter.tar.zst")]);
    let ran = ran.ends_with(0);
    let text = ran.text();
    let script = directory.path().join("cores/core.1.gdb");
    assert!(text.ends_with(&format!("\nTo debug: gdb -x {}\n", script.display())), "{text}");
    assert!(
        text.contains("What these cores can't know:\n  core.1, 2, 3: 3 threads in system calls"),
        "{text}"
    );
    let script = fs::read_to_string(script).unwrap();
    assert!(script.contains("\nset sysroot /nonexistent\n"), "{script}");
    assert!(script.contains("\nthread apply 1 -q thread name bash\n"), "{script}");
}

/// The shell's limit is in blocks of 512 or 1024 bytes: less than a core either way.
#[test]
fn nothing_is_left_of_a_core_that_is_larger_than_files_may_be() {
    let directory = TempDir::new().unwrap();
    let script = format!("ulimit -f 64; exec {} coredump -o cores \"$0\"", env!("CARGO_BIN_EXE_coldcase"));
    let evidence = std::path::absolute(testdata("tiny.tar")).unwrap();
    let mut shell = std::process::Command::new("sh");
    let ran = shell.current_dir(directory.path()).args(["-c", &script]).arg(evidence).output().unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(3), "{:?}: {told}", ran.status);
    assert!(told.contains("its memory is larger than a file can be"), "{told}");
    assert!(!directory.path().join("cores").exists());
}

/// Asserts that each byte of our core is that of gdb's core of the same frozen process, but where it can't be.
#[track_caller]
fn assert_same_memory(ours: &Core<'_>, reference: &Core<'_>, volatile: &BTreeSet<u64>, about: &str) {
    let mut compared = 0;
    for &(start, _, bytes) in &ours.loads {
        for (index, page) in bytes.chunks(4096).enumerate() {
            let address = start + index as u64 * 4096;
            let Some(theirs) = reference.memory(address, page.len()) else { continue };
            compared += 1;
            assert!(page == theirs || volatile.contains(&address), "{about}: page {address:x} differs");
        }
    }
    assert!(compared > 10, "{about}: {compared}");
}

#[test]
fn memory_is_that_of_gdb_s_core_of_the_same_moment() {
    let Some(corpus) = corpus() else { return };
    for case in ["01-simple", "01-static", "02-threads", "04-tree", "05-python", "06-redis"] {
        compare_case(&corpus.join(format!("cases/core/{case}.tar.zst")), case);
    }
}

fn compare_case(archive: &Path, case: &str) {
    let unpacked = unpacked(archive);
    let root = unpacked.path().join(case);
    let (directory, ran) = dumped(&[root.join("images").to_str().unwrap()]);
    ran.ends_with(0);
    let facts: serde_json::Value =
        serde_json::from_slice(&fs::read(root.join("facts.json")).unwrap()).unwrap();
    for name in names(&directory) {
        let pid = name.strip_prefix("core.").unwrap();
        let reference = [format!("core.gcore.{pid}"), "core.gcore".into()]
            .iter()
            .find_map(|name| fs::read(root.join(name)).ok());
        let reference = reference.unwrap_or_else(|| panic!("{case}: no core of {pid} by gdb"));
        let ours = fs::read(directory.path().join("cores").join(&name)).unwrap();
        let (ours, reference) = (Core::read(&ours), Core::read(&reference));
        assert_eq!(ours.machine, reference.machine);
        let sorted = |threads: Vec<u64>| threads.into_iter().collect::<BTreeSet<_>>();
        assert_eq!(sorted(ours.threads()), sorted(reference.threads()), "{case}: {pid}");
        assert_same_memory(&ours, &reference, &volatile(&facts, pid), &format!("{case}: {pid}"));
    }
}

/// The pages that changed between gdb's core and the dump: restartable sequences, which the kernel writes to.
fn volatile(facts: &serde_json::Value, pid: &str) -> BTreeSet<u64> {
    let ranges = facts["processes"][pid]["volatile_ranges"].as_array().cloned().unwrap_or_default();
    let of_x86 = ranges.into_iter().map(|range| number(range.as_str().unwrap().split('-').next().unwrap()));
    let differ = facts["checks"]["memory"]["differ"].as_array().cloned().unwrap_or_default();
    let of_arm = differ.into_iter().filter_map(|page| page[0].as_str().map(number));
    of_x86.chain(of_arm).map(|address| address & !0xfff).collect()
}

/// Asserts that a dump on top of others gives, byte for byte, the cores of a full one.
#[track_caller]
fn assert_same_cores(last: &[&str], full: &str, pids: &[u64]) {
    let (on_top, ran) = dumped(last);
    ran.ends_with(0);
    let (whole, ran) = dumped(&[full]);
    ran.ends_with(0);
    let expected: BTreeSet<String> = pids.iter().map(|pid| format!("core.{pid}")).collect();
    assert_eq!((names(&on_top), names(&whole)), (expected.clone(), expected), "{full}");
    for &pid in pids {
        assert!(core(&on_top, pid) == core(&whole, pid), "{full}: the cores of process {pid} differ");
        let record = fs::read_to_string(on_top.path().join(format!("cores/core.{pid}.json"))).unwrap();
        assert!(record.contains(r#""source":"parent""#), "{full}: process {pid} has nothing from a parent");
    }
}

#[test]
fn the_last_dump_of_a_chain_gives_the_cores_of_the_full_dump_of_that_moment() {
    let chain = |archive: &str| {
        let pids: Vec<u64> =
            processes(&inspected(&[&format!("{archive}//chain/3-full")])).into_keys().collect();
        assert!(pids.len() >= 2, "{archive}: {pids:?}");
        assert_same_cores(&[&format!("{archive}//chain/3")], &format!("{archive}//chain/3-full"), &pids);
    };
    chain(&testdata("criu317-chain.tar.zst"));
    let Some(corpus) = corpus() else { return };
    for generation in ["criu317", "criu411", "criu421", "criu43"] {
        let archive = corpus.join(format!("checkpoints/generations/{generation}-chain.tar.zst"));
        chain(archive.to_str().unwrap());
    }
}

#[test]
fn podman_s_pair_gives_the_core_of_the_whole_checkpoint_after_it() {
    let pair = [&testdata("pre-final.tar.zst"), "--parent", &testdata("pre-checkpoint.tar.zst")];
    // A moment later; the process had not run in between.
    assert_same_cores(&pair, &testdata("pre-whole.tar.zst"), &[1]);
}

/// The executable beside a core.
fn executable(directory: &TempDir, pid: u64) -> std::path::PathBuf {
    directory.path().join(format!("cores/core.{pid}.exe"))
}

/// What `recover` writes for a choice.
fn recovered(arguments: &[&str]) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out");
    coldcase(&[&["recover", "--output", out.to_str().unwrap()], arguments].concat()).run().ends_with(0);
    fs::read(fs::read_dir(&out).unwrap().next().unwrap().unwrap().path()).unwrap()
}

#[test]
fn an_executable_that_is_in_the_evidence_alone_stands_beside_the_core() {
    let archive = testdata("kitchen.tar.zst");
    let (directory, ran) = dumped(&["-p", "40", "-p", "8", &archive]);
    ran.ends_with(0);
    let ghost = fs::read(executable(&directory, 40)).unwrap();
    assert!(ghost == recovered(&["--ghost", "8", &archive]));
    assert_eq!(fs::metadata(executable(&directory, 40)).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!executable(&directory, 8).exists(), "that of the image is not in the evidence");
    let beside =
        |end: &str| fs::read_to_string(directory.path().join(format!("cores/core.40.{end}"))).unwrap();
    assert!(beside("gdb").contains(&format!("\nfile {}\n", executable(&directory, 40).display())));
    let record: serde_json::Value = serde_json::from_str(&beside("json")).unwrap();
    assert_eq!(record["executable_file"], "core.40.exe");

    let again = |more: &[&str]| {
        let out = directory.path().join("cores");
        coldcase(&[&["coredump", "-p", "40", "-o", out.to_str().unwrap(), &archive], more].concat()).run()
    };
    for name in ["core.40", "core.40.gdb", "core.40.json"] {
        fs::remove_file(directory.path().join("cores").join(name)).unwrap();
    }
    let refused = again(&[]);
    assert_eq!(refused.status, 2, "{}", refused.told());
    assert!(refused.stderr.contains("core.40.exe exists already"), "{}", refused.stderr);
    again(&["--force"]).ends_with(0);
    assert!(fs::read(executable(&directory, 40)).unwrap() == ghost);
}

#[test]
fn hidden_executables_stand_beside_their_cores_and_their_stacks_have_names() {
    let Some(corpus) = corpus() else { return };
    let archive = corpus.join("checkpoints/compromised.tar.zst").into_os_string().into_string().unwrap();
    let (directory, ran) = dumped(&[&archive]);
    ran.ends_with(0);
    for pid in [5, 6] {
        let exe = fs::read(executable(&directory, pid)).unwrap();
        assert!(exe == recovered(&["--exe", "-p", &pid.to_string(), &archive]), "{pid}");
        let script = directory.path().join(format!("cores/core.{pid}.gdb"));
        let mut gdb = std::process::Command::new("gdb");
        gdb.args(["-nx", "-batch", "-x"]).arg(script).args(["-ex", "bt"]);
        let Ok(output) = gdb.output() else {
            println!("skipped: no gdb");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(" in pause ()") && said.contains(" in main ()"), "{said}");
    }
}

#[test]
fn a_library_that_the_container_changed_stands_beside_the_core() {
    let Some(corpus) = corpus() else { return };
    let archive = corpus.join("checkpoints/compromised.tar.zst").into_os_string().into_string().unwrap();
    let (directory, ran) = dumped(&["-p", "8", &archive]);
    ran.ends_with(0);
    let libraries = directory.path().join("cores/core.8.libs");
    let hook = coldcase(&["rootfs", "cat", &archive, "/tmp/.lib/libhook.so"]).raw().run().stdout;
    assert!(hook.starts_with(b"\x7fELF") && fs::read(libraries.join("libhook.so")).unwrap() == hook);
    assert_eq!(fs::read_dir(&libraries).unwrap().count(), 1);
    let script = fs::read_to_string(directory.path().join("cores/core.8.gdb")).unwrap();
    assert!(script.contains(&format!("\nset solib-search-path {}\n", libraries.display())), "{script}");
    // It is not written again over what is there.
    let refused =
        coldcase(&["coredump", "-p", "8", "-o", directory.path().join("cores").to_str().unwrap(), &archive]);
    assert_eq!(refused.run().status, 2);
}

#[test]
fn programs_of_an_image_stand_beside_the_core_under_the_names_that_they_are_loaded_by() {
    let (archive, root) =
        (testdata("cores/aarch64-02-threads-4k-max.tar.zst"), testdata("cores/aarch64-sysroot.tar.zst"));
    let image = unpacked(&root);
    let (directory, ran) = dumped(&["--rootfs", &root, &archive]);
    ran.ends_with(0);
    let of_image = |path: &str| fs::read(image.path().join(path)).unwrap();
    assert!(fs::read(executable(&directory, 214)).unwrap() == of_image("case/threads"));
    let libraries = directory.path().join("cores/core.214.libs");
    for name in ["libc.so.6", "ld-linux-aarch64.so.1"] {
        let path = format!("usr/lib/aarch64-linux-gnu/{name}");
        assert!(fs::read(libraries.join(name)).unwrap() == of_image(&path), "{name}");
    }
    assert_eq!(fs::read_dir(&libraries).unwrap().count(), 2);
    // From a directory gdb takes them itself.
    let (directory, ran) = dumped(&["--rootfs", image.path().to_str().unwrap(), &archive]);
    ran.ends_with(0);
    assert!(!executable(&directory, 214).exists() && !directory.path().join("cores/core.214.libs").exists());
    let script = fs::read_to_string(directory.path().join("cores/core.214.gdb")).unwrap();
    assert!(script.contains("case/threads\n") && !script.contains("solib-search-path"), "{script}");
}

#[test]
fn a_memory_file_that_is_not_whole_is_no_executable() {
    let Some(corpus) = corpus() else { return };
    let directory = unpacked(corpus.join("checkpoints/compromised.tar.zst"));
    let images = directory.path().join("checkpoint");
    let shared = fs::read_dir(&images).unwrap().map(|entry| entry.unwrap().path());
    let mut shared = shared.filter(|path| path.to_str().unwrap().contains("pagemap-shmem-"));
    let pagemap = shared.next().unwrap();
    let bytes = fs::read(&pagemap).unwrap();
    fs::write(&pagemap, &bytes[..bytes.len() - 2]).unwrap();
    let (cores, ran) = dumped(&[directory.path().to_str().unwrap()]);
    assert_eq!(ran.status, 3, "{}", ran.told());
    assert!(executable(&cores, 5).exists() && !executable(&cores, 6).exists());
}
