//! JSON is a contract: docs/JSON.md says every key and type, and the output of all commands on all evidence keeps to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::support::archives::{all_of_testdata, archives_in, corpus, has_several_dumps, testdata};
use crate::support::program::coldcase;

/// A key of an object: its type, and whether it is always there.
struct Key {
    kind: String,
    always: bool,
}

/// The objects of docs/JSON.md by name, each with its keys.
struct Schema(BTreeMap<String, BTreeMap<String, Key>>);

impl Schema {
    fn read() -> Self {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/JSON.md")).unwrap();
        let mut objects: BTreeMap<String, BTreeMap<String, Key>> = BTreeMap::new();
        let mut name = String::new();
        for line in page.lines() {
            if let Some(title) = line.strip_prefix("### `") {
                name = title.trim_end_matches('`').to_owned();
            }
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let ["", key, kind, ..] = cells.as_slice() else { continue };
            let Some((key, star)) = key.strip_prefix('`').and_then(|key| key.split_once('`')) else {
                continue;
            };
            let key_type = Key { kind: (*kind).to_owned(), always: star.trim() == "*" };
            let known = objects.entry(name.clone()).or_default().insert(key.to_owned(), key_type);
            assert!(known.is_none(), "{name}: `{key}` stands there twice");
        }
        assert!(objects.len() > 25, "{:?}", objects.keys());
        Self(objects)
    }

    fn keys(&self, names: &[&str]) -> BTreeMap<&str, &Key> {
        let of = |name: &&str| self.0.get(*name).unwrap_or_else(|| panic!("docs/JSON.md has no `{name}`"));
        names.iter().flat_map(of).map(|(key, kind)| (key.as_str(), kind)).collect()
    }

    /// Asserts that an object has the keys of these tables together, and no others.
    #[track_caller]
    fn check(&self, object: &Value, names: &[&str], about: &str) {
        let object = object.as_object().unwrap_or_else(|| panic!("{about}: {object} is no object"));
        let keys = self.keys(names);
        for (key, value) in object {
            match keys.get(key.as_str()) {
                Some(known) => self.check_type(value, &known.kind, &format!("{about}.{key}")),
                None => check_exact_bytes(object, key, &keys, about),
            }
        }
        for (key, known) in keys {
            assert!(!known.always || object.contains_key(key), "{about}: {key} is missing in {object:?}");
        }
    }

    #[track_caller]
    fn check_type(&self, value: &Value, kind: &str, about: &str) {
        if let Some(kind) = kind.strip_prefix("list of ") {
            let list = value.as_array().unwrap_or_else(|| panic!("{about}: {value} is no list"));
            return list.iter().for_each(|value| self.check_type(value, kind, about));
        }
        if let Some(kind) = kind.strip_prefix("map of ") {
            let map = value.as_object().unwrap_or_else(|| panic!("{about}: {value} is no map"));
            return map.values().for_each(|value| self.check_type(value, kind, about));
        }
        let is_right = match kind {
            "text" => value.is_string(),
            "number" => value.is_u64(),
            "bool" => value.is_boolean(),
            "address" => value.as_str().is_some_and(is_address),
            "time" => value.as_str().is_some_and(is_time),
            "hash" => value.as_str().is_some_and(|text| text.len() == 64 && is_hex(text)),
            "base64" => value.as_str().is_some_and(|text| STANDARD.decode(text).is_ok()),
            name => return self.check(value, &[name], about),
        };
        assert!(is_right, "{about}: {value} is no {kind}");
    }
}

/// `KEY_bytes` beside a text or a list of texts that is not UTF-8 somewhere.
#[track_caller]
fn check_exact_bytes(object: &Map<String, Value>, key: &str, keys: &BTreeMap<&str, &Key>, about: &str) {
    let text = key
        .strip_suffix("_bytes")
        .filter(|text| keys.get(text).is_some_and(|known| known.kind.ends_with("text")));
    let text = text.unwrap_or_else(|| panic!("{about}: `{key}` is not in docs/JSON.md"));
    let decoded =
        |bytes: &Value| STANDARD.decode(bytes.as_str().unwrap_or_else(|| panic!("{about}: {key}"))).unwrap();
    match &object[text] {
        Value::Array(texts) => {
            let exact = object[key].as_array().unwrap();
            assert_eq!(exact.len(), texts.len(), "{about}: {key}");
            assert!(exact.iter().any(|bytes| !bytes.is_null()), "{about}: {key} says nothing");
            for (bytes, text) in exact.iter().zip(texts).filter(|(bytes, _)| !bytes.is_null()) {
                assert_eq!(
                    String::from_utf8_lossy(&decoded(bytes)),
                    text.as_str().unwrap(),
                    "{about}: {key}"
                );
            }
        }
        text => assert_eq!(
            String::from_utf8_lossy(&decoded(&object[key])),
            text.as_str().unwrap(),
            "{about}: {key}"
        ),
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_address(text: &str) -> bool {
    text.len() == 18 && text.strip_prefix("0x").is_some_and(is_hex)
}

fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (seconds, rest) = shape.split_at(shape.len().min(19));
    seconds == "0000-00-00T00:00:00"
        && rest.ends_with('Z')
        && rest[..rest.len() - 1].strip_prefix('.').unwrap_or_default().chars().all(|c| c == '0')
}

/// A question, and the tables that its documents keep to.
const QUESTIONS: &[(&[&str], &[&str])] = &[
    (&["show", "--print-stats", "--format=json"], &["document", "summary"]),
    (&["inspect", "--all", "--format=json"], &["document", "summary", "inspect"]),
    (&["rootfs", "--store=all", "--hash", "--format=json"], &["document", "rootfs"]),
    (&["recover", "--format=json"], &["document", "recoverable"]),
    (&["maps", "--zeros", "--format=json"], &["document", "maps"]),
    (&["maps", "--fill=all", "--format=json"], &["document", "maps"]),
    (&["modules", "--format=json"], &["document", "modules"]),
];

/// What `recover` writes; it is given a directory for it.
const RECOVERY: (&[&str], &[&str]) = (
    &["recover", "--all", "--exe", "--fill=all", "--shm=0", "--queue=pipe", "--format=json"],
    &["document", "recovered"],
);

/// Questions that are answered line by line: the tables of their records, and of their summary.
const STREAMS: &[(&[&str], &str, &str)] = &[
    (&["grep", "--format=jsonl", r"(?-u)NEEDLE|COLDCASE|\xff\xfe\x1b"], "match", "grep's summary"),
    (&["grep", "--format=jsonl", "--max-match=12", "-m20", "[A-Z_]{9,}"], "match", "grep's summary"),
    (&["grep", "--format=jsonl", "--fill=all", "-m20", "ELF|GNU"], "match", "grep's summary"),
    (&["grep", "--format=jsonl", "-c", "--hex", "4e 45 45 44"], "count", "grep's summary"),
    (&["grep", "--format=jsonl", "--in=all", r"(?-u)NEEDLE_|\xff\xfe\x1b|passw"], "match", "grep's summary"),
    (&["grep", "--format=jsonl", "--in=all", "-l", "root"], "count", "grep's summary"),
    (&["strings", "--format=jsonl", "-n40", "--max-length=60"], "string", "strings' summary"),
];

fn keeps_to_the_contract(schema: &Schema, archive: &str) {
    let all_dumps: &[&str] = if has_several_dumps(archive) { &["--all-dumps"] } else { &[] };
    for (question, tables) in QUESTIONS {
        let ran = coldcase(&[question, all_dumps, &[archive]].concat()).run();
        for document in ran.documents() {
            schema.check(&document, tables, &format!("{archive}: {}", question[0]));
            assert_eq!(document["schema_version"], 1);
        }
    }
    let out = tempfile::TempDir::new().unwrap();
    let ran =
        coldcase(&[RECOVERY.0, all_dumps, &["-o", out.path().to_str().unwrap(), archive]].concat()).run();
    for document in ran.documents() {
        schema.check(&document, RECOVERY.1, &format!("{archive}: recover"));
    }
    for (question, table, summary) in STREAMS {
        let ran = coldcase(&[question, all_dumps, &[archive]].concat()).run();
        let answer = ran.records();
        schema.check(&answer.header, &["header"], archive);
        for record in &answer.records {
            // What is said of where something is depends on what it is in.
            let in_memory = format!("{table} in memory");
            let tables: &[&str] = match (*table, record["store"] == "memory") {
                _ if record["type"] == "file" => &["file", "mapped_file"],
                ("string", _) => &[table],
                (_, true) => &[table, &in_memory],
                ("match", false) => &[table, "match in a store", "of a store"],
                (_, false) => &[table, "of a store"],
            };
            schema.check(record, tables, archive);
        }
        answer.gaps.iter().for_each(|gap| schema.check(gap, &["gap"], archive));
        schema.check(&answer.summary, &["summary line", summary], archive);
        assert_eq!(answer.summary["records"].as_u64(), Some(answer.records.len() as u64), "{archive}");
        assert_eq!(answer.summary["gaps"].as_u64(), Some(answer.gaps.len() as u64), "{archive}");
    }
}

#[test]
fn every_key_on_all_of_testdata_is_documented_with_its_type() {
    let schema = Schema::read();
    for archive in all_of_testdata() {
        keeps_to_the_contract(&schema, &archive);
    }
}

#[test]
fn what_is_beside_cores_keeps_to_the_contract() {
    let schema = Schema::read();
    let (mut records, mut calls) = (0, 0);
    for archive in all_of_testdata().into_iter().filter(|archive| !has_several_dumps(archive)) {
        let directory = tempfile::TempDir::new().unwrap();
        let output = directory.path().join("cores");
        coldcase(&["coredump", "--output", output.to_str().unwrap(), &archive]).run();
        for entry in fs::read_dir(&output).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            assert!(bytes.iter().all(|byte| (0x20..0x7f).contains(byte) || *byte == b'\n'), "{archive}");
            let record: Value = serde_json::from_slice(&bytes).unwrap();
            schema.check(&record, &["core"], &archive);
            records += 1;
            let threads = record["threads"].as_array().unwrap();
            calls += threads.iter().filter(|thread| thread.get("interrupted_call").is_some()).count();
            assert_sources_fill_segments(&record, &archive);
        }
    }
    assert!(records > 100 && calls > 50, "{records} records, {calls} calls");
}

/// Each byte of a segment has one source, and those that are held come first.
fn assert_sources_fill_segments(record: &Value, about: &str) {
    for segment in record["segments"].as_array().unwrap() {
        let mut at = address(&segment["start"]);
        let mut held = 0;
        for source in segment["sources"].as_array().unwrap() {
            assert_eq!(address(&source["start"]), at, "{about}: {segment}");
            let length = source["length"].as_u64().unwrap();
            at += length;
            held += if source["held"] == true { length } else { 0 };
        }
        assert_eq!(at, address(&segment["start"]) + segment["length"].as_u64().unwrap(), "{about}");
        assert_eq!(Some(held), segment["stored"].as_u64(), "{about}: {segment}");
    }
}

fn address(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn every_key_on_all_of_the_corpus_is_documented_with_its_type() {
    let Some(corpus) = corpus() else { return };
    let schema = Schema::read();
    for directory in ["checkpoints", "checkpoints/generations", "cases/aarch64"] {
        for archive in archives_in(&corpus.join(directory)) {
            if !["bin.tar", "sysroot.tar", "kernel-cores.tar", "05-podman-4k-max.tar"]
                .iter()
                .any(|no| archive.contains(&format!("/{no}")))
            {
                keeps_to_the_contract(&schema, &archive);
            }
        }
    }
}

#[test]
fn documents_begin_with_version_and_evidence_and_end_with_gaps() {
    for (question, _) in QUESTIONS {
        let ran =
            coldcase(&[question, &[testdata("counter.tar.zst").as_str()][..]].concat()).run().ends_with(0);
        let document = ran.document();
        let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
        assert_eq!(keys[..2], ["schema_version", "evidence"], "{question:?}");
        assert_eq!(keys[keys.len() - 2..], ["notes", "gaps"], "{question:?}");
    }
}

#[test]
fn keys_stand_in_the_order_of_the_page() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/JSON.md")).unwrap();
    let table = page.split("### `summary`").nth(1).unwrap();
    let order: Vec<&str> = table
        .lines()
        .take_while(|line| !line.starts_with("### "))
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let ran = coldcase(&["show", "--print-stats", "--format=json", &testdata("counter-crio.tar.xz")])
        .run()
        .ends_with(0);
    let document = ran.document();
    let told: Vec<&str> =
        document.as_object().unwrap().keys().map(String::as_str).filter(|key| order.contains(key)).collect();
    let expected: Vec<&str> = order.into_iter().filter(|key| told.contains(key)).collect();
    assert_eq!(told, expected);
}

#[test]
fn the_same_evidence_gives_the_same_bytes_at_any_number_of_threads() {
    let questions: &[&[&str]] = &[
        &["inspect", "--all"],
        &["inspect", "--all", "--format=json"],
        &["grep", "--format=jsonl", "NEEDLE_[a-z_]+|[a-z]{40}"],
        &["grep", "NEEDLE_[a-z_]+"],
        &["maps", "--format=json"],
        &[
            "grep",
            "--format=jsonl",
            "-F",
            "-eNEEDLE",
            "-ethread",
            "-eread",
            "-ea",
            "--encoding=utf-8,utf-16le",
        ],
        &["rootfs", "--store=all", "--hash", "--format=json"],
    ];
    let answers_alike = |question: &[&str], archive: &str| {
        let once = coldcase(&[question, &["--threads=1", archive]].concat()).run();
        for threads in ["--threads=1", "--threads=3"] {
            let again = coldcase(&[question, &[threads, archive]].concat()).run();
            assert!(
                again.stdout == once.stdout && again.stderr == once.stderr,
                "{threads}: another answer: {}",
                again.told()
            );
        }
    };
    for question in questions {
        answers_alike(question, &testdata("kitchen.tar.zst"));
        answers_alike(question, &testdata("tiny-dir.tar"));
    }
    // Large enough, and mapped, so that threads do share the work.
    let directory = tempfile::TempDir::new().unwrap();
    let plain = directory.path().join("counter.tar");
    fs::write(&plain, crate::support::archives::plain(testdata("counter.tar.zst"))).unwrap();
    answers_alike(&["grep", "--format=jsonl", "[A-Za-z_]{20,}"], plain.to_str().unwrap());
}

#[test]
fn an_answer_from_a_mapping_is_that_from_a_stream() {
    // Uncompressed archives are mapped and searched by several threads, compressed ones stream by.
    let directory = tempfile::TempDir::new().unwrap();
    for name in ["counter.tar.zst", "redis.tar.zst"] {
        let plain = directory.path().join(name.trim_end_matches(".zst"));
        fs::write(&plain, crate::support::archives::plain(testdata(name))).unwrap();
        for question in
            [&["grep", "--format=jsonl", "[A-Za-z_]{20,}"][..], &["inspect", "--all", "--format=json"]]
        {
            let answer = |evidence: &str| {
                let ran = coldcase(&[question, &[evidence]].concat()).run().ends_with(0);
                ran.text().replace(evidence, "-")
            };
            assert!(answer(plain.to_str().unwrap()) == answer(&testdata(name)), "{name}: {question:?}");
        }
    }
}

#[test]
fn an_empty_answer_is_a_document_too() {
    let ran = coldcase(&["show", "--format=json", "/nonexistent"]).run().ends_with(2);
    assert_eq!(ran.text(), "[]\n");
    let ran = coldcase(&["grep", "--format=jsonl", "nowhere", &testdata("tiny.tar")]).run().ends_with(1);
    assert!(ran.records().records.is_empty());
}
