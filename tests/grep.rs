//! `coldcase grep`: where in whose memory something stands.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::archives::{corpus, testdata, unpacked};
use crate::support::program::{Ran, coldcase};
use crate::support::truth::{Needle, Place, Truth, bytes_pattern, number};

/// The places of the matches, one for each process that sees them.
#[track_caller]
pub fn places(ran: &Ran) -> BTreeSet<Place> {
    let answer = ran.records();
    let place =
        |record: &Value| (record["pid"].as_u64().unwrap(), number(record["address"].as_str().unwrap()));
    let places: BTreeSet<Place> = answer.records.iter().map(place).collect();
    assert_eq!(places.len(), answer.records.len(), "a place is told twice: {}", ran.told());
    assert_eq!(answer.summary["matches"].as_u64(), Some(places.len() as u64), "{}", ran.told());
    places
}

/// Asserts that every planted text is found in each place where the truth has it, and nowhere else.
#[track_caller]
fn assert_finds_needles(truth: &Truth, evidence: &str) {
    // All at once: none of the texts is a part of another, and one run is enough for a compressed archive.
    let needles = truth.needles();
    let pattern = needles.iter().map(Needle::pattern).collect::<Vec<_>>().join("|");
    let ran = coldcase(&["grep", "--format=jsonl", "-C0", &pattern, evidence]).run().ends_with(0);
    let answer = ran.records();
    assert!(answer.gaps.is_empty(), "{}", ran.told());
    let mut told = 0;
    for needle in &needles {
        let is_it = |record: &&Value| {
            record["match"]["text"].as_str().is_some_and(|text| text.as_bytes() == needle.bytes())
        };
        let found: BTreeSet<Place> = answer
            .records
            .iter()
            .filter(is_it)
            .map(|record| (record["pid"].as_u64().unwrap(), number(record["address"].as_str().unwrap())))
            .collect();
        assert_eq!(found, needle.dumped, "{evidence}: {} {}", needle.kind, needle.text);
        assert!(found.is_disjoint(&needle.live_only), "{evidence}: {}", needle.text);
        told += found.len();
    }
    assert_eq!(told, answer.records.len(), "{evidence}: a match that is no planted text");
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

#[test]
fn an_unpacked_checkpoint_answers_as_its_archive() {
    for name in PLANTED {
        let truth = Truth::of(name);
        let directory = unpacked(truth.archive());
        assert_finds_needles(&truth, directory.path().to_str().unwrap());
    }
}

#[test]
fn a_text_that_is_only_in_files_or_in_clean_pages_is_not_found_in_memory() {
    for name in ["counter", "tiny", "counter-crio"] {
        let truth = Truth::of(name);
        let absent: Vec<Needle> =
            truth.needles().into_iter().filter(|needle| needle.dumped.is_empty()).collect();
        assert!(!absent.is_empty(), "{name}");
        for needle in absent {
            coldcase(&["grep", "-F", &needle.text, &truth.archive()]).run().ends_with(1).quietly();
        }
    }
}

#[test]
fn every_compression_gives_the_same_places() {
    let truth = Truth::of("tiny");
    for extension in [".gz", ".zst", ".xz", ".bz2", ".lz4"] {
        assert_finds_needles(&truth, &testdata(&format!("tiny.tar{extension}")));
    }
    assert_finds_needles(&truth, &testdata("tiny-dir.tar"));
}

#[test]
fn archives_of_the_corpus_give_the_places_of_their_truth() {
    let Some(corpus) = corpus() else { return };
    let others = [("counter-gz", "counter.tar.gz"), ("counter-runc", "counter-runc.tar.zst")];
    let all =
        PLANTED.iter().map(|&name| (name, None)).chain(others.map(|(name, archive)| (name, Some(archive))));
    for (name, archive) in all {
        let truth = Truth::of(name);
        let archive = archive.unwrap_or(truth.0["archive"].as_str().unwrap()).replace(".tar.xz", ".tar.zst");
        assert_finds_needles(&truth, corpus.join("checkpoints").join(archive).to_str().unwrap());
    }
}

#[test]
fn pages_in_the_parent_are_searched_when_it_is_given() {
    let truth = Truth::of("pre-final");
    let (last, first) = (truth.archive(), testdata("pre-checkpoint.tar.zst"));
    for needle in truth.needles() {
        // Of the two dumps that are searched, the truth is that of the last one.
        let ran = coldcase(&["grep", "--format=jsonl", "-F", &needle.text, &last, &first]).run();
        let in_last = ran.records().records.into_iter().filter(|record| record["evidence"] == *last);
        let places: BTreeSet<Place> = in_last
            .map(|record| (record["pid"].as_u64().unwrap(), number(record["address"].as_str().unwrap())))
            .collect();
        assert_eq!(places, needle.dumped, "{}", needle.text);
        assert!(ran.records().gaps.is_empty(), "{}", ran.told());
    }
}

#[test]
fn the_order_in_which_a_dump_and_its_parent_are_given_does_not_matter() {
    let (last, first) = (testdata("pre-final.tar.zst"), testdata("pre-checkpoint.tar.zst"));
    let ran = coldcase(&["grep", "--format=jsonl", "-F", "NEEDLE_PRE_STAYS_22bb", &first, &last])
        .run()
        .ends_with(0);
    let answer = ran.records();
    assert_eq!(answer.records.len(), 2, "{}", ran.told());
    let inherited = answer.records.iter().find(|record| record["evidence"] == *last).unwrap();
    assert_eq!(inherited["address"], "0x00000000004ae000");
    assert_eq!(inherited["object"]["parent"], 1, "{inherited}");
}

/// What is given as a parent is not searched itself, and may have any name: the link in the dump may lead nowhere.
#[test]
fn evidence_given_as_a_parent_is_looked_at_for_its_pages_alone() {
    let last = testdata("pre-final.tar.zst");
    let parent = unpacked(testdata("pre-checkpoint.tar.zst"));
    let renamed = parent.path().join("renamed");
    std::fs::rename(parent.path().join("pre-checkpoint"), &renamed).unwrap();
    for parent in [testdata("pre-checkpoint.tar.zst"), renamed.to_str().unwrap().to_owned()] {
        let found = |text: &str| {
            coldcase(&["grep", "--format=jsonl", "-F", text, &last, "--parent", &parent]).run().records()
        };
        let answer = found("NEEDLE_PRE_STAYS_22bb");
        assert!(answer.gaps.is_empty() && answer.records.len() == 1, "{parent}: {:?}", answer.records);
        assert_eq!(answer.records[0]["evidence"], *last);
        assert_eq!(answer.records[0]["object"]["parent"], 1);
        // This one stands in a page of the parent that the dump has anew.
        assert!(found("NEEDLE_PRE_BEFORE_10aa").records.is_empty());
    }
    let ran =
        coldcase(&["grep", "-F", "NEEDLE_PRE_STAYS_22bb", &last, "--parent", "nowhere"]).run().ends_with(2);
    assert!(ran.messages("error")[0].contains("nowhere"), "{}", ran.told());
}

#[test]
fn without_the_parent_a_negative_answer_has_a_gap_and_a_positive_one_stands() {
    let last = testdata("pre-final.tar.zst");
    let ran = coldcase(&["grep", "--format=jsonl", "-F", "NEEDLE_PRE_STAYS_22bb", &last]).run().ends_with(3);
    let gaps = ran.records().gaps;
    assert!(gaps.iter().any(|gap| gap["why"].as_str().unwrap().contains("parent")), "{}", ran.told());
    let ran = coldcase(&["grep", "-F", "NEEDLE_PRE_NEW_44dd", &last]).run().ends_with(0);
    assert!(
        ran.messages("gap").iter().any(|gap| gap.contains("303104 bytes are in the parent")),
        "{}",
        ran.told()
    );
    // Only the parent's stale copy of a page that was written anew has it.
    let ran = coldcase(&["grep", "-F", "NEEDLE_PRE_BEFORE_10aa", &last, &testdata("pre-checkpoint.tar.zst")]);
    let ran = ran.run().ends_with(0).quietly();
    assert_eq!(ran.text().matches("NEEDLE_PRE_BEFORE_10aa").count(), 1, "{}", ran.told());
}

/// What a workload planted: name, encoding, process, address, and the image and the offset that hold its first byte.
type Hit = (String, String, u64, u64, String, u64);

/// The matches of these texts, named by the pattern that they are told to be of.
#[track_caller]
fn hits(
    options: &[&str],
    patterns: &[(String, &String)],
    evidence: &str,
    encoding: Option<&str>,
) -> BTreeSet<Hit> {
    let list = tempfile::NamedTempFile::new().unwrap();
    let lines: String = patterns.iter().map(|(pattern, _)| format!("{pattern}\n")).collect();
    std::fs::write(list.path(), lines).unwrap();
    let file = list.path().to_str().unwrap();
    let ran = coldcase(&[&["grep", "--format=jsonl", "-C0", "-f", file, evidence], options].concat()).run();
    let answer = ran.ends_with(0).quietly().records();
    let told: Vec<Hit> = answer
        .records
        .iter()
        .map(|record| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let (_, name) = patterns.iter().find(|(pattern, _)| *pattern == record["pattern"]).unwrap();
            (
                (*name).clone(),
                encoding.map_or_else(|| text(&record["encoding"]), str::to_owned),
                record["pid"].as_u64().unwrap(),
                number(record["address"].as_str().unwrap()),
                text(&record["object"]["image"]),
                record["object"]["offset"].as_u64().unwrap(),
            )
        })
        .collect();
    let all: BTreeSet<Hit> = told.iter().cloned().collect();
    assert_eq!(all.len(), told.len(), "a match is told twice");
    all
}

/// All texts at once, in all encodings: each place of the truth, and no other. Those of the texts that are only elsewhere than in memory are in no match.
#[track_caller]
fn assert_finds_hits(truth: &Value, evidence: &str) {
    let texts = truth["needles"].as_object().unwrap();
    let expected: BTreeSet<Hit> = truth["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| {
            let text = |key: &str| hit[key].as_str().unwrap().to_owned();
            let encoding = text("encoding").replace("ascii", "utf-8");
            let at = (hit["pid"].as_u64().unwrap(), number(&text("addr")));
            (text("name"), encoding, at.0, at.1, text("file"), hit["offset"].as_u64().unwrap())
        })
        .collect();
    let plain: Vec<(String, &String)> =
        texts.iter().map(|(name, text)| (text.as_str().unwrap().to_owned(), name)).collect();
    let hex =
        |text: &Value| text.as_str().unwrap().bytes().map(|byte| format!("{:02x} ", byte ^ 0x5a)).collect();
    let xored: Vec<(String, &String)> = texts.iter().map(|(name, text)| (hex(text), name)).collect();
    let mut found = hits(&["-F", "--encoding=utf-8,utf-16le,utf-16be"], &plain, evidence, None);
    found.extend(hits(&["--hex"], &xored, evidence, Some("xor-0x5a")));
    assert_eq!(found, expected, "{evidence}");
    let in_encoding = |encoding: &str| found.iter().filter(|hit| hit.1 == encoding).count();
    for encoding in ["utf-8", "utf-16le", "utf-16be", "xor-0x5a"] {
        assert!(in_encoding(encoding) > 0, "no text in {encoding}");
    }
    // As expressions they are the same.
    let escaped: Vec<(String, &String)> =
        plain.iter().map(|(text, name)| (text.replace('.', r"\."), *name)).collect();
    let by_expression = hits(&["--encoding=utf-16be,utf-8,utf-16le"], &escaped, evidence, None);
    found.retain(|hit| hit.1 != "xor-0x5a");
    assert_eq!(by_expression, found, "{evidence}");
}

#[test]
fn texts_in_every_kind_of_memory_are_found_with_process_address_image_and_offset() {
    for name in ["kitchen", "criu-features"] {
        let truth = Truth::of(name);
        assert_finds_hits(&truth.0, &truth.archive());
    }
}

#[test]
fn traces_of_the_intrusion_are_found_with_process_address_image_and_offset() {
    let Some(corpus) = corpus() else { return };
    let checkpoints = corpus.join("checkpoints");
    let hits = String::from_utf8(crate::support::archives::plain(
        checkpoints.join("truth/compromised.hits.jsonl.zst"),
    ))
    .unwrap();
    let hits: Vec<Value> = hits.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let hits: Vec<&Value> = hits.iter().filter(|hit| hit["kind"] == "memory").collect();
    assert!(hits.len() >= 100, "{}", hits.len());
    let packed = crate::support::archives::unpacked(checkpoints.join("make/workloads/secrets.tar.zst"));
    let texts = std::fs::read(packed.path().join("make/workloads/needles-compromised.json")).unwrap();
    let texts: Value = serde_json::from_slice(&texts).unwrap();
    let archive = checkpoints.join("compromised.tar.zst").into_os_string().into_string().unwrap();
    for (name, text) in texts.as_object().unwrap() {
        let here = hits.iter().filter(|hit| hit["name"] == name.as_str() && hit["encoding"] == "ascii");
        let expected: BTreeSet<Place> =
            here.map(|hit| (hit["pid"].as_u64().unwrap(), number(hit["addr"].as_str().unwrap()))).collect();
        let ran = coldcase(&[
            "grep",
            "--format=jsonl",
            &bytes_pattern(text.as_str().unwrap().as_bytes()),
            &archive,
        ])
        .run();
        assert_eq!(places(&ran), expected, "{name}");
    }
}

/// Each choice of mappings gives the matches of the whole that lie in such mappings, and only these.
#[test]
fn a_choice_of_mappings_and_addresses_gives_the_matches_that_lie_there() {
    let kitchen = testdata("kitchen.tar.zst");
    let found = |choice: &[&str]| {
        let arguments =
            [&["grep", "--format=jsonl", "-C0", "NEEDLE_[a-z0-9_]+", &kitchen][..], choice].concat();
        coldcase(&arguments).run().records().records
    };
    let all = found(&[]);
    type Fits = fn(&Value) -> bool;
    let kind: Fits = |it| it["mapping"]["kind"] == "heap" || it["mapping"]["kind"] == "stack";
    let permissions: Fits = |it| it["mapping"]["permissions"].as_str().unwrap().starts_with("rwx");
    let file: Fits = |it| it["mapping"]["file"].as_str().is_some_and(|file| file.contains("ghost-priv.bin"));
    let both: Fits = |it| it["mapping"]["kind"] == "anonymous" && it["pid"] == 2;
    let addresses: Fits = |it| (0x27f5_d000..0x27f6_0000).contains(&number(it["address"].as_str().unwrap()));
    for (choice, fits) in [
        (&["--mapping", "heap", "--mapping=stack"][..], kind),
        (&["--mapping", "rwx"], permissions),
        (&["--mapping", "ghost-priv.bin"], file),
        (&["--mapping", "/var/tmp/ghost-priv.bin"], file),
        (&["--mapping", "anonymous", "--pid", "2"], both),
        (&["--range", "27f5d000-27f60000"], addresses),
        (&["--range", "0x27f5d000-0x27f60000", "--mapping", "heap", "--mapping", "rw-p"], addresses),
    ] {
        let expected: Vec<Value> = all.iter().filter(|it| fits(it)).cloned().collect();
        assert!(!expected.is_empty() && expected.len() < all.len(), "{choice:?}");
        assert_eq!(found(choice), expected, "{choice:?}");
    }
}

#[test]
fn memory_that_several_processes_share_is_one_row_and_a_record_for_each() {
    let truth = Truth::of("kitchen");
    let text = truth.0["needles"]["anon_shared"].as_str().unwrap();
    let ran = coldcase(&["grep", "--format=jsonl", "-F", text, &truth.archive()]).run().ends_with(0);
    let answer = ran.records();
    let pids: Vec<_> = answer.records.iter().map(|record| record["pid"].as_u64().unwrap()).collect();
    assert_eq!(pids, [8, 27], "{}", ran.told());
    assert_eq!(answer.summary["places"], 1, "{}", answer.summary);
    assert_eq!(answer.records[0]["object"], answer.records[1]["object"]);
    let table = coldcase(&["grep", "-F", text, &truth.archive()]).run().ends_with(0);
    let rows: Vec<&str> = table.text().lines().filter(|line| line.contains(text)).collect();
    assert_eq!(rows.len(), 1, "{}", table.told());
    assert!(rows[0].starts_with("8, 27 "), "{}", rows[0]);
}

#[test]
fn what_could_not_be_searched_is_not_counted_as_zero() {
    let ran = coldcase(&["grep", "-c", "x", "/dev/null"]).run().ends_with(2);
    assert_eq!(ran.text(), "");
    assert!(!ran.stderr.contains("places in memory"), "{}", ran.told());
}
