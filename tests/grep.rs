//! `coldcase grep`: where in whose memory something stands.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::archives::{corpus, testdata, unpacked};
use crate::support::images::{PE_LAZY, PE_PRESENT, Message, old_run, page, pre_dump, run};
use crate::support::program::{Ran, coldcase};
use crate::support::truth::{Place, Truth, bytes_pattern, number};

/// The places of the matches, one for each process that sees them.
#[track_caller]
pub fn places(ran: &Ran) -> BTreeSet<Place> {
    let answer = ran.records();
    let place = |record: &Value| (record["pid"].as_u64().unwrap(), number(record["address"].as_str().unwrap()));
    let places: BTreeSet<Place> = answer.records.iter().map(place).collect();
    assert_eq!(places.len(), answer.records.len(), "a place is told twice: {}", ran.told());
    assert_eq!(answer.summary["matches"].as_u64(), Some(places.len() as u64), "{}", ran.told());
    places
}

/// Asserts that every planted text is found in each place where the truth has it, and nowhere else.
#[track_caller]
fn assert_finds_needles(truth: &Truth, evidence: &str) {
    for needle in truth.needles() {
        let ran = coldcase(&["grep", "--format=jsonl", &needle.pattern(), evidence]).run();
        let found = places(&ran);
        assert_eq!(found, needle.dumped, "{evidence}: {} {}", needle.kind, needle.text);
        assert!(found.is_disjoint(&needle.live_only), "{evidence}: {}", needle.text);
        assert_eq!(ran.status, if needle.dumped.is_empty() { 1 } else { 0 }, "{}", ran.told());
        assert!(ran.records().gaps.is_empty(), "{}", ran.told());
    }
}

/// Checkpoints whose planted texts are known.
const PLANTED: &[&str] = &[
    "checkpoint-image",
    "containerd-ctr",
    "counter",
    "counter-containerd",
    "counter-crio",
    "counter-docker",
    "counter-later",
    "pre-whole",
    "redis",
    "tiny",
    "tiny-criu",
    "tiny-criu-noshare",
];

#[test]
fn every_planted_text_is_found_where_the_running_process_had_it_and_nowhere_else() {
    for name in PLANTED {
        let truth = Truth::of(name);
        assert_finds_needles(&truth, &truth.archive());
    }
}
