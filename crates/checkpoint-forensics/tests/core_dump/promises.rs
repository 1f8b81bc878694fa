//! What is promised of cores whatever the evidence: who gets one, what is in the directory, that the way of reading makes no difference.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;

use checkpoint_forensics::core_dump::{self, Error, Help, Options, Refusal};
use container_checkpoint::context::Context;

use super::evidence::{Cores, Opened, cores_on_a_ride, options, testdata, unpacked};
use super::reader::{
    AUXV, FILE, FPREGSET, PRPSINFO, PRSTATUS, SIGINFO, XSAVE_LAYOUT, XSTATE, u32_at, u64_at,
};

#[test]
fn every_live_process_gets_a_core_and_zombies_get_a_reason() {
    let opened = Opened::new(&[&testdata("images/zombie.tar.zst")]);
    let cores = opened.cores(opened.only());
    assert_eq!(cores.pids(), [57, 60, 61]);
    assert_eq!(refusals(&cores), [(62, Refusal::Zombie)]);
    assert!(cores.answer.findings.gaps.is_empty(), "{:?}", cores.answer.findings.gaps);
    let tids: Vec<_> = cores.read(57).threads().iter().map(|(tid, _)| *tid).collect();
    assert_eq!(tids, [57, 63, 64]);
    assert_eq!(cores.answer.written[0].threads, 3);
}

#[test]
fn notes_are_in_the_kernels_order_and_say_what_is_mapped_pending_and_blocked() {
    let opened = Opened::new(&[&testdata("images/tree.tar.zst")]);
    let core = opened.cores(opened.only()).read(57);
    let notes: Vec<_> = core.notes.iter().map(|note| (note.kind, note.body.len())).collect();
    let files = core.notes(FILE)[0].len();
    let first = [(PRSTATUS, 336), (PRPSINFO, 136), (SIGINFO, 128), (AUXV, 368), (FILE, files)];
    let floating = [(FPREGSET, 512), (XSTATE, 2688)];
    let other = [(PRSTATUS, 336), floating[0], floating[1]];
    assert_eq!(notes, [&first[..], &floating, &other, &other, &[(XSAVE_LAYOUT, 64)]].concat());

    let sigusr1 = 1 << 9;
    let signals: Vec<_> =
        core.notes(PRSTATUS).iter().map(|status| (u64_at(status, 16), u64_at(status, 24))).collect();
    assert_eq!(signals, [(sigusr1, sigusr1), (0, sigusr1), (0, sigusr1)], "pending, blocked");

    let files = core.mapped_files();
    let shared = files.iter().filter(|file| file.name.ends_with(b" (deleted)"));
    let shared: Vec<_> =
        shared.map(|file| (file.end - file.start, str::from_utf8(&file.name).unwrap())).collect();
    assert_eq!(
        shared,
        [
            (0x2000, "/memfd:mix-memfd (deleted)"),
            (0x2000, "/SYSV00001234 (deleted)"),
            (0x3000, "/dev/zero (deleted)")
        ]
    );
    let data = files.iter().find(|file| file.name == b"/tmp/mix/shared.dat").unwrap();
    assert_eq!(data.offset, 0x1000);
    assert!(core.at(data.start).is_empty(), "its pages are in the file");
}

#[test]
fn a_signal_stopped_each_process_and_ended_none() {
    // lldb waits for ever for a core that no signal stopped; gdb says "terminated with" where pr_cursig is set.
    let opened = Opened::new(&[&testdata("images/tree.tar.zst")]);
    let cores = opened.cores(opened.only());
    for pid in cores.pids() {
        let core = cores.read(pid);
        let info = core.notes(SIGINFO)[0];
        assert_eq!((u32_at(info, 0), &info[4..]), (19, &[0; 124][..]), "{pid}");
        assert!(core.notes(PRSTATUS).iter().all(|status| status[..16] == [0; 16]), "{pid}");
    }
}

#[test]
fn another_machine_is_refused_by_its_name() {
    let directory = unpacked(&testdata("images/tree.tar.zst"));
    let image = directory.path().join("core-60.img");
    let mut bytes = fs::read(&image).unwrap();
    // The first field of the message is the machine: 1 is x86-64, 4 is 64-bit PowerPC.
    assert_eq!(bytes[12..14], [0x08, 1]);
    bytes[13] = 4;
    fs::write(&image, bytes).unwrap();
    let opened = Opened::new(&[directory.path()]);
    let cores = opened.cores(opened.only());
    assert_eq!(cores.pids(), [57, 61]);
    assert_eq!(refusals(&cores), [(60, Refusal::Architecture("ppc64le"))]);
}

#[test]
fn only_chosen_processes_are_written() {
    let opened = Opened::new(&[&testdata("images/tree.tar.zst")]);
    let cores = opened.cores_of(opened.only(), &[60, 999]).unwrap();
    assert_eq!(cores.pids(), [60]);
    assert_eq!(refusals(&cores), [(999, Refusal::NoSuchProcess)]);
    assert_eq!(names(&cores), ["core.60", "core.60.gdb", "core.60.json"]);
}

#[test]
fn cores_are_for_their_owner_and_replace_nothing_unasked() {
    let opened = Opened::new(&[&testdata("images/tree.tar.zst")]);
    let id = opened.only();
    let cores = opened.cores(id);
    assert_eq!(cores_of(&names(&cores)), ["core.57", "core.60", "core.61"]);
    for written in &cores.answer.written {
        let metadata = fs::metadata(&written.path).unwrap();
        assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (written.bytes, 0o600));
    }

    fs::write(cores.path(60), "mine").unwrap();
    let options = options(cores.directory.path(), &[]);
    let write = |options: &Options| {
        let (model, context) = (opened.model(id), Context::default());
        core_dump::write(opened.looked_at(id, &model, &context), Help::default(), options)
    };
    let refused = write(&options).unwrap_err();
    assert!(matches!(&refused, Error::Exists { path } if *path == cores.path(57)), "{refused}");
    assert_eq!(fs::read(cores.path(60)).unwrap(), b"mine");
    write(&Options { overwrite: true, ..options }).unwrap();
    assert_eq!(fs::read(cores.path(60)).unwrap()[..4], *b"\x7fELF");
    assert_eq!(cores_of(&names(&cores)), ["core.57", "core.60", "core.61"]);
}

#[test]
fn nothing_stays_of_cores_that_were_stopped() {
    let opened = Opened::new(&[&testdata("images/tree.tar.zst")]);
    let (id, directory, context) = (opened.only(), tempfile::tempdir().unwrap(), Context::default());
    context.cancel.store(true, Ordering::Relaxed);
    let options = options(directory.path(), &[]);
    let model = opened.model(id);
    let stopped = core_dump::write(opened.looked_at(id, &model, &context), Help::default(), &options);
    assert!(matches!(stopped, Err(Error::Checkpoint(_))), "{stopped:?}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_core_is_the_same_whatever_the_container() {
    let plain = Opened::new(&[&testdata("tiny.tar")]);
    let expected = plain.cores(plain.only()).read(1).bytes;
    for packing in ["gz", "zst", "xz", "bz2", "lz4"] {
        let archive = testdata(&format!("tiny.tar.{packing}"));
        let opened = Opened::new(&[&archive]);
        let core = opened.cores(opened.only()).read(1).bytes;
        let ridden = cores_on_a_ride(&archive);
        assert!(ridden.read(1).bytes == core, "{packing}, while it is opened");
        let record = |cores: &Cores| fs::read(cores.directory.path().join("core.1.json")).unwrap();
        assert!(record(&ridden) == record(&opened.cores(opened.only())), "{packing}, what is beside it");
        // The first two are dumps of their own.
        assert!(core == expected || ["gz", "zst"].contains(&packing), "{packing}, in a second pass");
    }
    let directory = unpacked(&testdata("tiny.tar"));
    let opened = Opened::new(&[directory.path()]);
    assert!(opened.cores(opened.only()).read(1).bytes == expected, "a directory");
}

fn refusals(cores: &Cores) -> Vec<(u32, Refusal)> {
    cores.answer.skipped.iter().map(|skipped| (skipped.pid.0, skipped.why.clone())).collect()
}

fn names(cores: &Cores) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(cores.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The names without those of what is beside the cores.
fn cores_of(names: &[String]) -> Vec<&str> {
    let is_core = |name: &&str| !name.ends_with(".json") && !name.ends_with(".gdb");
    names.iter().map(String::as_str).filter(is_core).collect()
}

#[test]
fn a_refusal_says_why_in_one_sentence() {
    assert_eq!(
        Refusal::Architecture("ppc64le").to_string(),
        "cores of ppc64le processes are not written: how that machine's register notes are laid out is missing here"
    );
    assert_eq!(
        Refusal::NoRegisters(String::new()).to_string(),
        "the registers of none of its threads are known"
    );
    let missing = Refusal::NoMappings("mm-7.img is missing".into());
    assert_eq!(missing.to_string(), "its mappings are not known: mm-7.img is missing");
}
