//! Memory that a search takes for itself, and all that a core takes, does not grow with the evidence.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use checkpoint_builder::{Archive, Packing, Worker};
use tempfile::TempDir;

const SMALL: u64 = 16 << 20;
const LARGE: u64 = 128 << 20;
/// What may differ from run to run, in KiB: threads come and go.
const SLACK: u64 = 4 << 10;

/// The most anonymous memory (KiB) seen of a search. What is mapped of files is the page cache's.
fn peak_of_a_search(archive: &Path, arguments: &[&str]) -> u64 {
    let mut search = Command::new(env!("CARGO_BIN_EXE_coldcase"));
    search.args(["grep", "-q"]).args(arguments).arg(archive);
    peak(search, "RssAnon:")
}

/// The largest value (KiB) seen of a line of a command's status while it runs.
fn peak(mut command: Command, line: &str) -> u64 {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        peak = peak.max(memory(&status, line).unwrap_or(0));
        thread::sleep(Duration::from_micros(500));
    };
    assert_eq!(ended.code(), Some(0), "{command:?}");
    assert!(peak > 0, "nothing was seen of {command:?}");
    peak
}

fn memory(status: &str, line: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|of| of.strip_prefix(line))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn eight_times_the_memory_is_searched_in_the_same_memory() {
    let directory = TempDir::new().unwrap();
    for packing in [Packing::Plain, Packing::Zstd] {
        let [small, large] = [SMALL, LARGE].map(|memory| {
            let worker = Worker { memory, needles: 100, ..Worker::default() };
            let path = directory.path().join(format!("{memory}-{packing:?}.tar"));
            Archive::podman(&worker.checkpoint())
                .write_packed(packing, File::create(&path).unwrap())
                .unwrap();
            peak_of_a_search(&path, &["-c", "NEEDLE_[a-z]+_[0-9]{4}_SECRET"])
        });
        assert!(large <= small + SLACK, "{packing:?}: {small} KiB for 16 MiB, {large} KiB for 128 MiB");
    }
}

/// What a search may take, in KiB; this memory has few pagemap entries, which add 64 bytes each.
const MOST: u64 = 64 << 10;

#[test]
fn matches_without_number_are_told_and_counted_in_bounded_memory() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("made.tar");
    let worker = Worker { memory: SMALL / 2, ..Worker::default() };
    Archive::podman(&worker.checkpoint()).write(File::create(&path).unwrap()).unwrap();
    for arguments in [&["-c", "."][..], &["--format=jsonl", "-C40", "[a-z]"], &["-C1000", "[a-z]+"]] {
        let peak = peak_of_a_search(&path, arguments);
        assert!(peak <= MOST, "{arguments:?}: {peak} KiB");
    }
}

/// A plain archive is mapped: what was read of it is given back.
#[test]
fn eight_times_the_memory_is_written_to_a_core_in_the_same_resident_memory() {
    let directory = TempDir::new().unwrap();
    let [small, large] = [SMALL, LARGE].map(|memory| {
        let worker = Worker { memory, needles: 100, ..Worker::default() };
        let path = directory.path().join(format!("{memory}.tar"));
        Archive::podman(&worker.checkpoint())
            .write_packed(Packing::Plain, File::create(&path).unwrap())
            .unwrap();
        let mut write = Command::new(env!("CARGO_BIN_EXE_coldcase"));
        write.arg("coredump").arg("-o").arg(directory.path().join(format!("cores-{memory}"))).arg(&path);
        // The most that was resident so far: seen shortly before the end, it is all.
        peak(write, "VmHWM:")
    });
    assert!(large <= small + 2 * SLACK, "{small} KiB for 16 MiB, {large} KiB for 128 MiB");
}
