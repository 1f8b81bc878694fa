//! `coldcase maps`: every mapping as /proc/PID/maps had it, and every byte of each accounted for.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::archives::{all_of_testdata, archives_in, corpus, has_several_dumps, testdata};
use crate::support::program::{Ran, coldcase};

fn maps(archive: &str, more: &[&str]) -> Ran {
    coldcase(&[&["maps", "--format=json", archive], more].concat()).run()
}

/// The mappings of a document, each with its pid.
fn mappings(document: &Value) -> Vec<(u64, &Value)> {
    let of = |process: &'_ Value| process["pid"].as_u64().unwrap();
    let processes = document["processes"].as_array().unwrap().iter();
    processes
        .flat_map(|process| {
            process["mappings"].as_array().unwrap().iter().map(move |mapping| (of(process), mapping))
        })
        .collect()
}

fn address(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn sum(sources: &Value) -> u64 {
    sources.as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum()
}

#[test]
fn mappings_are_those_of_the_running_processes() {
    let text = fs::read_to_string(testdata("truth/kitchen.maps.tsv")).unwrap();
    let mut truth: BTreeMap<(u64, u64), (u64, String, String)> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let [pid, addresses, permissions, _, _, _, name] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let (start, end) = addresses.split_once('-').unwrap();
        let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let (pid, start, end) = (pid.parse().unwrap(), number(start), number(end));
        // CRIU has both as one.
        if name == "[vvar_vclock]" {
            let vvar = truth.range_mut(..(pid, start)).next_back().unwrap();
            assert_eq!((vvar.1.0, vvar.1.2.as_str()), (start, "[vvar]"));
            vvar.1.0 = end;
            continue;
        }
        truth.insert((pid, start), (end, permissions.to_owned(), name.to_owned()));
    }
    assert!(truth.len() > 480);
    let document = maps(&testdata("kitchen.tar.zst"), &[]).ends_with(0).document();
    let ours: BTreeMap<_, _> = mappings(&document)
        .into_iter()
        .map(|(pid, mapping)| {
            let name = mapping.get("name").map_or("", |name| name.as_str().unwrap());
            let permissions = mapping["permissions"].as_str().unwrap();
            let end = address(&mapping["end"]);
            ((pid, address(&mapping["start"])), (end, permissions.to_owned(), name.to_owned()))
        })
        .collect();
    for (place, mapping) in &truth {
        assert_eq!(ours.get(place), Some(mapping), "{} {:x}", place.0, place.1);
    }
    assert_eq!(ours.len(), truth.len());
}

#[test]
fn offsets_are_those_of_the_running_processes() {
    let text = fs::read_to_string(testdata("truth/kitchen.maps.tsv")).unwrap();
    let document = maps(&testdata("kitchen.tar.zst"), &[]).document();
    let ours: BTreeMap<_, _> = mappings(&document)
        .into_iter()
        .map(|(pid, mapping)| ((pid, address(&mapping["start"])), mapping))
        .collect();
    let mut compared = 0;
    for line in text.lines().filter(|line| line.contains("\t/kitchen") || line.contains("\t/var/")) {
        let fields: Vec<&str> = line.split('\t').collect();
        let start = u64::from_str_radix(fields[1].split_once('-').unwrap().0, 16).unwrap();
        let mapping = ours[&(fields[0].parse().unwrap(), start)];
        assert_eq!(mapping["offset"].as_u64(), u64::from_str_radix(fields[3], 16).ok(), "{line}");
        compared += 1;
    }
    assert!(compared > 150);
}

fn every_byte_is_accounted_for(archive: &str) -> usize {
    let all_dumps: &[&str] = if has_several_dumps(archive) { &["--all-dumps"] } else { &[] };
    let mut count = 0;
    for document in maps(archive, all_dumps).documents() {
        for process in document["processes"].as_array().unwrap() {
            let mut size = 0;
            let mut of_sources: BTreeMap<&String, u64> = BTreeMap::new();
            for mapping in process["mappings"].as_array().unwrap() {
                let about = format!("{archive}: {} {mapping}", process["pid"]);
                let len = address(&mapping["end"]) - address(&mapping["start"]);
                assert_eq!(mapping["size"], len, "{about}");
                assert_eq!(sum(&mapping["sources"]), len, "{about}");
                let missing = mapping.get("missing").map_or(0, |list| {
                    list.as_array().unwrap().iter().map(|missing| missing["bytes"].as_u64().unwrap()).sum()
                });
                assert_eq!(
                    mapping["sources"].get("missing").map_or(0, |bytes| bytes.as_u64().unwrap()),
                    missing,
                    "{about}"
                );
                for (source, bytes) in mapping["sources"].as_object().unwrap() {
                    *of_sources.entry(source).or_default() += bytes.as_u64().unwrap();
                }
                size += len;
                count += 1;
            }
            assert_eq!(process["total"]["size"], size, "{archive}");
            assert_eq!(process["total"]["sources"], serde_json::json!(of_sources), "{archive}");
        }
    }
    count
}

#[test]
fn the_sources_of_a_mapping_add_up_to_its_size() {
    let count: usize = all_of_testdata().iter().map(|archive| every_byte_is_accounted_for(archive)).sum();
    assert!(count > 2000, "{count} mappings");
}

#[test]
fn the_sources_of_a_mapping_add_up_to_its_size_in_the_corpus() {
    let Some(corpus) = corpus() else { return };
    let mut count = 0;
    for directory in ["checkpoints", "checkpoints/generations", "cases/aarch64"] {
        for archive in archives_in(&corpus.join(directory)) {
            if !["bin.tar", "sysroot.tar", "kernel-cores.tar", "05-podman-4k-max.tar"]
                .iter()
                .any(|no| archive.contains(&format!("/{no}")))
            {
                count += every_byte_is_accounted_for(&archive);
            }
        }
    }
    assert!(count > 5000, "{count} mappings");
}

fn only(document: &Value, pid: u64, start: u64) -> &Value {
    let found = mappings(document)
        .into_iter()
        .find(|(of, mapping)| *of == pid && address(&mapping["start"]) == start);
    found.unwrap_or_else(|| panic!("{pid} {start:x}")).1
}

#[test]
fn each_kind_of_backing_has_a_word() {
    let document = maps(&testdata("kitchen.tar.zst"), &[]).document();
    let sources = |pid, start| only(&document, pid, start)["sources"].clone();
    assert_eq!(sources(8, 0x7f58_aeb0_1000), serde_json::json!({"own": 53_248, "zero": 12_288}));
    assert_eq!(sources(8, 0x7f58_aeaf_0000), serde_json::json!({"reserved": 65_536}));
    assert_eq!(sources(8, 0x7f58_aec1_b000), serde_json::json!({"shared": 12_288}));
    assert_eq!(sources(8, 0x7f58_aec1_e000), serde_json::json!({"not_captured": 24_576}));
    let data = only(&document, 8, 0x4d_0000);
    assert_eq!(data["sources"], serde_json::json!({"own": 12_288, "file": 8_192}));
    assert_eq!(data["dirty_file_pages"], 3);

    let guard = maps(&testdata("criu43-guard.tar.zst"), &[]).document();
    assert!(mappings(&guard).iter().any(|(_, mapping)| mapping["sources"]["guard"].as_u64() > Some(0)));

    let lazy = maps(&format!("{}//lazy", testdata("criu317-chain.tar.zst")), &[]).ends_with(0).document();
    assert!(mappings(&lazy).iter().any(|(_, mapping)| mapping["sources"]["lazy"].as_u64() > Some(0)));
    let chain = maps(&format!("{}//chain/3", testdata("criu317-chain.tar.zst")), &[]).ends_with(0).document();
    assert!(mappings(&chain).iter().any(|(_, mapping)| mapping["sources"]["parent"].as_u64() > Some(0)));
}

/// Counted by other means: in the bytes that `memparse --raw` gives.
#[test]
fn pages_that_were_written_with_zeros_are_told_apart_when_asked() {
    for name in ["kitchen.tar.zst", "tiny.tar", "criu-features.tar.zst"] {
        let archive = testdata(name);
        let (plain, zeros) = (maps(&archive, &[]).document(), maps(&archive, &["--zeros"]).document());
        let mut compared = 0;
        for ((pid, before), (_, mapping)) in mappings(&plain).into_iter().zip(mappings(&zeros)) {
            let of = |mapping: &Value, source: &str| {
                mapping["sources"].get(source).map_or(0, |bytes| bytes.as_u64().unwrap())
            };
            let captured = |mapping: &Value| {
                ["own", "shared", "written_zero"].map(|source| of(mapping, source)).iter().sum::<u64>()
            };
            assert_eq!(sum(&mapping["sources"]), mapping["size"].as_u64().unwrap());
            assert_eq!(captured(before), captured(mapping), "{name} {pid} {mapping}");
            assert_eq!(of(before, "written_zero"), 0);
            if compared >= 90 || captured(mapping) == 0 {
                continue;
            }
            let range = format!("{:x}-{:x}", address(&mapping["start"]), address(&mapping["end"]));
            let raw =
                coldcase(&["memparse", "-q", "-p", &pid.to_string(), "--range", &range, "--raw", &archive])
                    .raw()
                    .run();
            let empty = raw.stdout.chunks(4096).filter(|page| page.iter().all(|&byte| byte == 0)).count()
                as u64
                * 4096;
            let known = of(mapping, "written_zero") + of(mapping, "zero") + of(mapping, "reserved");
            assert_eq!(known, empty, "{name} {pid} {mapping}");
            compared += 1;
        }
        assert!(compared > 5, "{name}: {compared}");
    }
}

#[test]
fn pages_of_a_parent_that_was_not_given_are_missing_and_a_gap() {
    let (child, parent) = (testdata("pre-final.tar.zst"), testdata("pre-checkpoint.tar.zst"));
    let alone = maps(&child, &[]).ends_with(3).document();
    let total = &alone["processes"][0]["total"];
    assert_eq!(total["sources"]["missing"], 74 * 4096);
    assert_eq!(total["missing"][0]["why"], "in the parent dump, which was not given");
    let both = coldcase(&["maps", "--format=json", &child, &parent]).run().documents();
    let total = &both[0]["processes"][0]["total"]["sources"];
    assert_eq!((&total["parent"], total.get("missing")), (&(74 * 4096).into(), None));
    // The parent itself is a pre-dump, which has no mappings to show.
    assert_eq!(both[1]["processes"], serde_json::json!([]));
}

#[test]
fn mappings_can_be_chosen() {
    let archive = testdata("kitchen.tar.zst");
    let chosen = |more: &[&str]| {
        let document = maps(&archive, more).ends_with(0).document();
        mappings(&document).len()
    };
    assert_eq!(chosen(&["-p", "8", "--mapping", "heap"]), 1);
    assert_eq!(chosen(&["-p", "8", "--mapping", "rwx"]), 1);
    assert_eq!(chosen(&["-p", "8", "--range", "4d0000-4d6000"]), 2);
    assert_eq!(chosen(&["--mapping", "heap"]), 42);
    assert_eq!(chosen(&["--mapping", "mapped_memfd"]), 1);
    maps(&archive, &["--mapping", "rwxs"]).ends_with(1);
    maps(&archive, &["-p", "999"]).ends_with(3);
}

#[test]
fn the_table_says_the_same() {
    let ran = coldcase(&["maps", "-p", "9", &testdata("kitchen.tar.zst")]).run().ends_with(0).quietly();
    let text = ran.text();
    assert!(text.starts_with("process 9: memfiles\n"), "{text}");
    for row in [
        "4d0000-4d5000                       r--p    20K     file          own 12K, file 8K                                              3       /kitchen +0xcf000",
        "/memfd:mapped_memfd (deleted)",
        "/dev/shm/kitchen-shm-gone (deleted)",
    ] {
        assert!(text.contains(row), "{row}\n{text}");
    }
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("total  ") && last.ends_with(" mappings"), "{text}");
}

#[test]
fn names_of_mapped_files_do_nothing_to_a_terminal() {
    let ran = coldcase(&["maps", &testdata("hostile.tar.zst")]).run(); // looked at by `run`
    assert!(ran.text().contains("total"), "{}", ran.told());
}
