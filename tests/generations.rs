//! Dumps by CRIU 3.17 to 4.3, incremental chains, single features of the kernel: as true as the newest.
//!
//! Every page is compared with what the frozen process had, by hash. `grep` gives the pages: a pattern of any 256 bytes matches
//! stored memory from end to end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::inspect::{exact_list, inspected, processes};
use crate::support::archives::{corpus, testdata, unpack_into};
use crate::support::program::coldcase;
use crate::support::truth::{Pages, Place, number};

/// How long a match is; a page of 4 KiB has sixteen.
const PIECE: u64 = 256;
const PAGE: u64 = 4096;

/// A page as `grep` gave it.
struct Page {
    hash: String,
    /// The kind of the mapping that it is in.
    kind: String,
    is_zero: bool,
}

/// All memory that a dump holds, page by page, of each process.
#[track_caller]
fn memory_of(evidence: &[&str], dump: &str) -> BTreeMap<Place, Page> {
    let pattern = format!("(?s-u:.{{{PIECE}}})");
    let all = ["grep", "--format=jsonl", "-C0", "--max-matches=1000000", &pattern];
    let ran = coldcase(&[&all, evidence].concat()).run().ends_with(0);
    assert!(!ran.messages("gap").iter().any(|gap| gap.contains("--max-matches")), "{}", ran.told());
    let mut pieces: BTreeMap<Place, (Vec<u8>, String)> = BTreeMap::new();
    for record in ran.records().records.iter().filter(|record| dump.is_empty() || record["dump"] == dump) {
        let found = &record["match"];
        let bytes = match found["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => STANDARD.decode(found["bytes"].as_str().unwrap()).unwrap(),
        };
        let place = (record["pid"].as_u64().unwrap(), number(record["address"].as_str().unwrap()));
        let kind = record["mapping"]["kind"].as_str().unwrap_or_default().to_owned();
        assert!(pieces.insert(place, (bytes, kind)).is_none(), "{place:x?} is told twice");
    }
    let mut pages: BTreeMap<Place, Page> = BTreeMap::new();
    let starts: Vec<Place> = pieces.keys().copied().filter(|(_, address)| address % PAGE == 0).collect();
    assert_eq!(starts.len() as u64 * (PAGE / PIECE), pieces.len() as u64, "pieces that are no whole pages");
    for (pid, address) in starts {
        let of_page = |at: u64| {
            pieces.get(&(pid, address + at)).unwrap_or_else(|| panic!("{pid}: a hole in page {address:x}"))
        };
        let bytes: Vec<u8> =
            (0..PAGE).step_by(PIECE as usize).flat_map(|at| of_page(at).0.iter().copied()).collect();
        let hash: String = Sha256::digest(&bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let is_zero = bytes.iter().all(|&byte| byte == 0);
        pages.insert((pid, address), Page { hash, kind: of_page(0).1.clone(), is_zero });
    }
    pages
}

/// Asserts that each page that the process had is there with its bytes, unless the images leave it out for a known reason; and that nothing else is there.
#[track_caller]
fn assert_same_pages(ours: &BTreeMap<Place, Page>, truth: &Pages, about: &str) {
    let mut compared = 0;
    for (place, hash) in &truth.present {
        match ours.get(place) {
            None => assert!(truth.absent.contains_key(place), "{about}: page {place:x?} is missing"),
            Some(_) if truth.absent.contains_key(place) => {
                panic!("{about}: page {place:x?} is made up: {}", truth.absent[place])
            }
            // `!` could not be read from the process, `-` has no bytes there.
            Some(_) if hash == "!" || hash == "-" => {}
            Some(page) => {
                assert_eq!(page.hash, *hash, "{about}: page {place:x?}");
                compared += 1;
            }
        }
    }
    assert!(compared > 10, "{about}: only {compared} pages were compared");
    for (place, page) in ours.iter().filter(|(place, _)| !truth.present.contains_key(place)) {
        // A shared object is dumped whole, also what this process had not touched; a page of it that nobody wrote to is zeros in a hole of the object.
        // The kernel's code for user space is dumped though the process had not touched it.
        let of_object = truth.of_objects.contains(&page.hash) || page.is_zero;
        let is_known =
            page.kind == "vdso" || (of_object && ["shared", "memfd", "sysv"].contains(&page.kind.as_str()));
        assert!(is_known, "{about}: page {place:x?} of a {} mapping was not in the process", page.kind);
    }
}

#[test]
fn every_page_of_a_dump_by_an_old_criu_is_what_the_process_had() {
    let ours = memory_of(&[&testdata("criu317-mix.tar.zst")], "");
    assert_same_pages(&ours, &Pages::of("criu317-mix"), "criu317-mix");
}

#[test]
fn every_page_of_a_chain_of_incremental_dumps_is_what_the_process_had() {
    let archive = testdata("criu317-chain.tar.zst");
    for (dump, truth) in [("chain/3", "chain-3"), ("chain/3-full", "chain-3-full"), ("dedup/3", "chain-3")] {
        let ours = memory_of(&[&format!("{archive}//{dump}")], "");
        assert_same_pages(&ours, &Pages::of(&format!("criu317-chain.{truth}")), dump);
    }
}

/// The names of the corpus's truths about pages of a prefix: `criu317-chain.` gives `chain-3`, ….
fn stems(truth: &Path, archive: &str) -> Vec<String> {
    let names = fs::read_dir(truth).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut stems: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".pages.tsv")?.to_owned()))
        .filter(|stem| {
            stem == archive || stem.strip_prefix(archive).is_some_and(|rest| rest.starts_with('.'))
        })
        .collect();
    stems.sort();
    stems
}

/// The archives of the corpus that have a truth about pages, with where they lie.
fn generations(corpus: &Path) -> Vec<(String, PathBuf)> {
    let directory = corpus.join("checkpoints/generations");
    let archives = crate::support::archives::archives_in(&directory);
    let name = |path: &String| {
        Path::new(path).file_name().unwrap().to_str().unwrap().strip_suffix(".tar.zst").map(str::to_owned)
    };
    archives
        .iter()
        .filter_map(|path| Some((name(path)?, PathBuf::from(path))))
        .filter(|(name, _)| name != "bin")
        .collect()
}

#[test]
fn every_page_of_every_generation_is_what_the_process_had() {
    let Some(corpus) = corpus() else { return };
    let truth = corpus.join("checkpoints/generations/truth");
    let mut compared = 0;
    for (name, path) in generations(&corpus) {
        let archive = path.to_str().unwrap();
        for stem in stems(&truth, &name) {
            let pages = Pages::of_corpus(&truth, &stem);
            let dump = stem.strip_prefix(&format!("{name}.")).map(dump_name);
            let evidence = match &dump {
                Some(dump) => format!("{archive}//{dump}"),
                None => archive.to_owned(),
            };
            // A pre-dump names no mappings; its truth was taken for its successor.
            if name.ends_with("-pre") || dump.as_deref().is_some_and(|dump| dump.ends_with("pre/1")) {
                continue;
            }
            let parent = name
                .strip_suffix("-with-previous")
                .map(|start| path.with_file_name(format!("{start}-pre.tar.zst")));
            let given: Vec<&str> = std::iter::once(evidence.as_str())
                .chain(parent.iter().map(|path| path.to_str().unwrap()))
                .collect();
            let ours = if parent.is_some() {
                // Both podman archives hold a `checkpoint` and a `pre-checkpoint`: only the first is asked about.
                memory_of(&given, "checkpoint")
            } else {
                memory_of(&given, "")
            };
            assert_same_pages(&ours, &pages, &stem);
            compared += 1;
        }
    }
    assert!(compared >= 60, "{compared}");
}

/// `chain-3-full` is `chain/3-full`, `auto-dedup-2` is `auto-dedup/2`.
fn dump_name(stem: &str) -> String {
    for directory in ["chain", "dedup", "pre-read", "pre", "auto-dedup"] {
        if let Some(rest) = stem.strip_prefix(&format!("{directory}-")) {
            return format!("{directory}/{rest}");
        }
    }
    stem.to_owned()
}

#[test]
fn pages_that_were_left_for_lazy_restore_are_said_to_be_missing_and_not_made_up() {
    let evidence = format!("{}//lazy", testdata("criu317-chain.tar.zst"));
    let ran = coldcase(&["grep", "--format=jsonl", "-F", "GEN a page", &evidence]).run();
    // All of them were left behind.
    assert!(ran.records().records.is_empty(), "{}", ran.told());
    assert!(ran.stderr.contains("lazy"), "{}", ran.told());
}

#[test]
fn a_chain_without_its_parents_says_what_it_lacks() {
    let directory = tempfile::TempDir::new().unwrap();
    unpack_into(testdata("criu317-chain.tar.zst"), directory.path());
    fs::rename(directory.path().join("chain/3"), directory.path().join("alone")).unwrap();
    let alone = directory.path().join("alone");
    // The link leads to ../2, which is not beside it any more.
    let ran =
        coldcase(&["grep", "--format=jsonl", "nowhere at all", alone.to_str().unwrap()]).run().ends_with(3);
    assert!(
        ran.records().gaps.iter().any(|gap| gap["why"].as_str().unwrap().contains("parent")),
        "{}",
        ran.told()
    );
}

#[test]
fn podman_s_pair_of_archives_answers_as_one() {
    let (last, first) =
        (testdata("criu317-podman-with-previous.tar.zst"), testdata("criu317-podman-pre.tar.zst"));
    let gaps = |evidence: &[&str]| -> Vec<Value> {
        let ran = coldcase(&[&["grep", "--format=jsonl", "nowhere at all"], evidence].concat()).run();
        ran.records().gaps
    };
    assert!(!gaps(&[&last]).is_empty());
    assert_eq!(gaps(&[&last, &first]), Vec::<Value>::new());
    let document = inspected(&[&last, &first]);
    let shown = processes(&document);
    assert_eq!(shown[&1].0["cmdline"], "/gen/gen soft");
    let codes: Vec<_> =
        shown.values().filter_map(|(process, _)| process["exit_status"]["code"].as_u64()).collect();
    assert_eq!(codes, [7], "one zombie");
}

#[test]
fn a_zombie_has_no_threads_whatever_garbage_the_image_lists() {
    let document = inspected(&[&testdata("criu317-mix.tar.zst")]);
    let shown = processes(&document);
    assert_eq!(shown.keys().copied().collect::<Vec<_>>(), [1000, 1002, 1003, 1008]);
    assert!(shown[&1008].0.get("threads").is_none(), "{}", shown[&1008].0);
    assert_eq!(shown[&1003].0["threads"].as_array().unwrap().len(), 5);
}

#[test]
fn processes_of_every_generation_are_those_that_ran() {
    let Some(corpus) = corpus() else { return };
    let truth = corpus.join("checkpoints/generations/truth");
    let mut compared = 0;
    for (name, path) in generations(&corpus) {
        for stem in stems(&truth, &name) {
            let dump = stem.strip_prefix(&format!("{name}.")).map(dump_name);
            if name.ends_with("-pre")
                || dump.as_deref().is_some_and(|dump| ["pre/1", "lazy"].iter().any(|no| dump.ends_with(no)))
            {
                continue;
            }
            let evidence =
                dump.map_or(path.display().to_string(), |dump| format!("{}//{dump}", path.display()));
            let parent = name
                .strip_suffix("-with-previous")
                .map(|start| path.with_file_name(format!("{start}-pre.tar.zst")));
            let given: Vec<&str> = std::iter::once(evidence.as_str())
                .chain(parent.iter().map(|path| path.to_str().unwrap()))
                .collect();
            let live: Vec<Value> =
                serde_json::from_slice(&fs::read(truth.join(format!("{stem}.procs.json"))).unwrap()).unwrap();
            assert_same_processes(&inspected(&given), &live, &stem);
            compared += 1;
        }
    }
    assert!(compared >= 50, "{compared}");
}

#[track_caller]
fn assert_same_processes(document: &Value, live: &[Value], about: &str) {
    let shown = processes(document);
    let pids: BTreeSet<u64> = live.iter().map(|process| process["pid"].as_u64().unwrap()).collect();
    assert_eq!(shown.keys().copied().collect::<BTreeSet<_>>(), pids, "{about}");
    let strings = |list: &Value| -> Vec<Vec<u8>> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().as_bytes().to_vec()).collect()
    };
    for process in live {
        let pid = process["pid"].as_u64().unwrap();
        let ours = &shown[&pid].0;
        let about = format!("{about}: process {pid}");
        assert_eq!(ours["command"], process["comm"], "{about}");
        if process["status"]["State"].as_str().unwrap().starts_with('Z') {
            assert!(
                ours.get("arguments").is_none_or(|list| list == &serde_json::json!([])),
                "{about}: {ours}"
            );
            continue;
        }
        assert_eq!(ours["executable"], process["exe"], "{about}");
        assert_eq!(exact_list(ours, "arguments"), strings(&process["cmdline"]), "{about}");
        assert_eq!(exact_list(ours, "environment"), strings(&process["environ"]), "{about}");
        let live_threads = process["threads"].as_object().unwrap();
        if live_threads.len() > 1 {
            // In a container, the truth's numbers are the machine's: only their order is comparable.
            let is_inside = process["pid"] != process["hostpid"];
            let number = |position: usize, tid: u64| if is_inside { position as u64 } else { tid };
            let told = ours["threads"].as_array().unwrap().iter().enumerate();
            let told: BTreeMap<u64, &Value> = told
                .map(|(at, thread)| (number(at, thread["tid"].as_u64().unwrap()), &thread["command"]))
                .collect();
            let mut live: Vec<(u64, &Value)> =
                live_threads.iter().map(|(tid, thread)| (tid.parse().unwrap(), &thread["comm"])).collect();
            live.sort_by_key(|(tid, _)| *tid);
            let live: BTreeMap<u64, &Value> =
                live.into_iter().enumerate().map(|(at, (tid, comm))| (number(at, tid), comm)).collect();
            assert_eq!(told, live, "{about}");
        }
    }
}
