//! Memory that a search takes for itself does not grow with the evidence.

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

/// The most anonymous memory (`RssAnon`, KiB) seen of a search. What is mapped of files is the page cache's.
fn peak_of_a_search(archive: &Path, arguments: &[&str]) -> u64 {
    let mut search = Command::new(env!("CARGO_BIN_EXE_coldcase"));
    search.args(["grep", "-q"]).args(arguments).arg(archive);
    let mut child = search.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        peak = peak.max(anonymous(&status).unwrap_or(0));
        thread::sleep(Duration::from_micros(500));
    };
    assert_eq!(ended.code(), Some(0), "{}", archive.display());
    assert!(peak > 0, "nothing was seen of the search");
    peak
}

fn anonymous(status: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
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
