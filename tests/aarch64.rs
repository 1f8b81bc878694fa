//! Dumps of another machine, with pages of 4 and of 16 KiB: read as truly on this one.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::grep::places;
use crate::inspect::{exact_list, inspected, processes};
use crate::support::archives::{corpus, testdata, unpacked};
use crate::support::program::coldcase;
use crate::support::truth::number;

/// Texts of the looper program, as `/case/looper --name alpha` held them, with gdb's address in the 16 KiB case where gdb has one.
const TEXTS_16K: &[(&str, Option<u64>)] = &[
    ("COLDCASE-DATA-19c2", None),
    ("COLDCASE-BSS-4d4d", None),
    ("COLDCASE-HEAP-user=admin password=not-a-real-one", Some(0x5555_7896_0010)),
    ("COLDCASE-STACK-gamma-100042", None),
    // In the second page of a shared mapping at 0x7fff9e99c000.
    ("COLDCASE-SHMEM-0b0b", Some(0x7fff_9e9a_0000)),
    ("APP_TOKEN=COLDCASE-ENV-51d0", None),
];

#[test]
fn a_dump_with_pages_of_16_kib_shows_its_process() {
    let document = inspected(&[&testdata("aarch64-16k.tar.zst")]);
    let shown = processes(&document);
    let process = &shown[&151].0;
    assert_eq!(process["command"], "looper");
    assert_eq!(process["executable"], "/case/looper");
    assert_eq!(
        exact_list(process, "arguments"),
        ["/case/looper", "--name", "alpha"].map(|text| text.as_bytes().to_vec())
    );
    let environment = ["PATH=/usr/bin", "LANG=C", "APP_TOKEN=COLDCASE-ENV-51d0"];
    assert_eq!(exact_list(process, "environment"), environment.map(|text| text.as_bytes().to_vec()));
    assert_eq!(document["criu_version"], "4.2.1");
}

#[test]
fn texts_in_pages_of_16_kib_are_found_at_the_debugger_s_addresses() {
    let archive = testdata("aarch64-16k.tar.zst");
    for (text, address) in TEXTS_16K {
        let ran = coldcase(&["grep", "--format=jsonl", "-F", text, &archive]).run().ends_with(0);
        let found = places(&ran);
        if let Some(address) = address {
            assert!(found.contains(&(151, *address)), "{text}: {}", ran.told());
        }
    }
    assert_pattern(&archive, 151, 0x7fff_9e71_0000, 0x4000);
}

/// Every even one of 32 pages begins with its number; the odd ones were never written to.
#[track_caller]
fn assert_pattern(archive: &str, pid: u64, start: u64, page: u64) {
    let ran = coldcase(&["grep", "--format=jsonl", "PAGE [0-9]{3}", archive]).run().ends_with(0);
    let found: BTreeMap<u64, String> = ran
        .records()
        .records
        .iter()
        .map(|record| {
            (
                number(record["address"].as_str().unwrap()),
                record["match"]["text"].as_str().unwrap().to_owned(),
            )
        })
        .filter(|(address, _)| (start..start + 32 * page).contains(address))
        .collect();
    let expected: BTreeMap<u64, String> =
        (0..32).step_by(2).map(|index| (start + index * page, format!("PAGE {index:03}"))).collect();
    assert_eq!(found, expected, "process {pid}");
}

#[test]
fn podman_s_archive_of_an_arm_container_is_shown_and_searched() {
    let archive = testdata("aarch64-podman.tar.zst");
    let document = inspected(&[&archive]);
    assert_eq!(document["engine"], "Podman");
    assert_eq!(document["container_name"], "looper-none");
    assert_eq!(document["image"], "localhost/looper:1");
    let shown = processes(&document);
    assert_eq!(shown[&1].0["cmdline"], "/app/looper --name ctr");
    let ran = coldcase(&["grep", "--format=jsonl", "COLDCASE-(HEAP|DATA|BSS|SHMEM|STACK)", &archive])
        .run()
        .ends_with(0);
    let kinds: std::collections::BTreeSet<String> = ran
        .records()
        .records
        .iter()
        .map(|record| record["match"]["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[test]
fn every_case_shows_its_threads_and_texts() {
    let Some(corpus) = corpus() else { return };
    let cases = [
        "01-looper-16k-max",
        "01-looper-4k-a72",
        "01-looper-4k-max",
        "01-looper-4k-max-va48",
        "02-threads-16k-max",
        "02-threads-4k-a72",
        "02-threads-4k-max",
        "02-threads-4k-max-va48",
        "03-looper-gcs-4k-max",
        "03-threads-gcs-4k-max",
        "04-mte-4k-max",
        "06-threads-old-4k",
        "07-high-4k-max",
        "08-sme-4k-max",
    ];
    for case in cases {
        let unpacked = unpacked(corpus.join(format!("cases/aarch64/{case}.tar.zst")));
        let facts = std::fs::read(unpacked.path().join(case).join("facts.json")).unwrap();
        let facts: Value = serde_json::from_slice(&facts).unwrap();
        let images = unpacked.path().join(case).join("images").into_os_string().into_string().unwrap();
        let document = inspected(&[&images]);
        let pid = facts["gdb"]["pid"].as_u64().unwrap();
        let shown = processes(&document);
        let process = &shown[&pid].0;
        let texts = |key: &str| -> Vec<Vec<u8>> {
            facts[key]
                .as_array()
                .unwrap()
                .iter()
                .map(|text| text.as_str().unwrap().as_bytes().to_vec())
                .collect()
        };
        assert_eq!(exact_list(process, "arguments"), texts("argv"), "{case}");
        assert_eq!(exact_list(process, "environment"), texts("environ"), "{case}");
        let comm = facts["comm"].as_object().unwrap();
        if comm.len() > 1 {
            let threads = process["threads"].as_array().unwrap();
            let told: BTreeMap<String, &Value> =
                threads.iter().map(|thread| (thread["tid"].to_string(), &thread["command"])).collect();
            assert_eq!(told, comm.iter().map(|(tid, name)| (tid.clone(), name)).collect(), "{case}");
        }
        let globals = &facts["gdb"]["globals"];
        let pointer = |key: &str| {
            globals[key].as_str().and_then(|text| text.split_whitespace().find(|word| word.starts_with("0x")))
        };
        if let Some(anon) = pointer("anon") {
            assert_pattern(&images, pid, number(anon), facts["system"]["page_size"].as_u64().unwrap());
        }
        if let Some(heap) = pointer("heap_mark") {
            let ran = coldcase(&["grep", "--format=jsonl", "-F", "COLDCASE-HEAP-user=admin", &images])
                .run()
                .ends_with(0);
            assert!(places(&ran).contains(&(pid, number(heap))), "{case}: {}", ran.told());
        }
        if case.contains("threads") {
            // Each thread has a name of its own in its thread-local storage, and gdb has its address (in `who`, decimal).
            let who = globals["who"].as_str().unwrap();
            let addresses: Vec<u64> = who
                .match_indices("tls_tag_addr = ")
                .map(|(at, key)| {
                    let digits = &who[at + key.len()..];
                    digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap()].parse().unwrap()
                })
                .collect();
            let ran =
                coldcase(&["grep", "--format=jsonl", "COLDCASE-TLS-[a-z]+", &images]).run().ends_with(0);
            let found = places(&ran);
            assert_eq!(addresses.len(), 6, "{who}");
            for address in addresses {
                assert!(found.contains(&(pid, address)), "{case}: {address:x}: {}", ran.told());
            }
        }
    }
}
