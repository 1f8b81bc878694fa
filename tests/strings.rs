//! `coldcase strings`: the printable text of every process.

use std::collections::BTreeSet;

use checkpoint_builder::{Archive, Packing, Worker};
use serde_json::Value;

use crate::support::archives::{plain, testdata};
use crate::support::images::{PAGE, PE_PRESENT, page, pre_dump, run};
use crate::support::program::{Ran, coldcase};
use crate::support::truth::number;

/// Evidence, process, address, text.
type Told = BTreeSet<(String, u64, u64, String)>;

fn sightings(ran: &Ran) -> Told {
    let of = |record: &Value| {
        let of = |key: &str| record[key].as_str().unwrap().to_owned();
        let (evidence, text) = (of("evidence"), of("string"));
        let sightings = record["sightings"].as_array().unwrap().clone();
        sightings.into_iter().map(move |sighting| {
            let address = number(sighting["address"].as_str().unwrap());
            (evidence.clone(), sighting["pid"].as_u64().unwrap(), address, text.clone())
        })
    };
    let all: Vec<_> = ran.records().records.iter().flat_map(of).collect();
    let set: Told = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "a string is told twice");
    set
}

/// What `grep` finds by an expression for such runs.
fn by_grep(encoding: &str, evidence: &[&str]) -> Told {
    let encoding = format!("--encoding={}", encoding.replace("ascii", "utf-8"));
    let question = ["grep", "--format=jsonl", "-C0", "--max-match=1M", &encoding, "-e", r"[\t -~]{6,}"];
    let ran = coldcase(&[&question, evidence].concat()).run(); // there may be none in UTF-16
    let of = |record: &Value| {
        let found = &record["match"];
        let text: String = found["text"].as_str().unwrap().replace('\0', "");
        let evidence = record["evidence"].as_str().unwrap().to_owned();
        (evidence, record["pid"].as_u64().unwrap(), number(record["address"].as_str().unwrap()), text)
    };
    ran.records().records.iter().map(of).collect()
}

#[test]
fn strings_are_what_an_expression_for_them_finds() {
    let (last, first) = (testdata("pre-final.tar.zst"), testdata("pre-checkpoint.tar.zst"));
    let (kitchen, tiny) = (testdata("kitchen.tar.zst"), testdata("tiny-dir.tar"));
    let evidence: [&[&str]; 3] = [&[&kitchen], &[&tiny], &[&last, &first]];
    for evidence in evidence {
        for encoding in ["ascii", "utf-16le", "utf-16be"] {
            let option = format!("--encoding={encoding}");
            let question = ["strings", "--format=jsonl", "-n6", "--max-length=1M", &option];
            let ran = coldcase(&[&question, evidence].concat()).run().ends_with(0);
            assert!(sightings(&ran) == by_grep(encoding, evidence), "{evidence:?} {encoding}");
        }
    }
}

#[test]
fn an_archive_answers_alike_plain_and_compressed() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("kitchen.tar");
    std::fs::write(&path, plain(testdata("kitchen.tar.zst"))).unwrap();
    let of = |path: &str| coldcase(&["strings", path]).run().ends_with(0).text().to_owned();
    let streamed = of(&testdata("kitchen.tar.zst"));
    assert!(streamed.lines().count() > 1000);
    assert!(of(path.to_str().unwrap()) == streamed);
}

#[test]
fn lines_have_process_address_and_text_that_is_safe_to_see() {
    let text = b"\x1bone\ttwo\\\0abc\0four\xff";
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("made.tar");
    let pages = [page(PAGE - 4, b"BORD"), page(0, b"ERLINE"), page(0, text)];
    let runs = [run(0x10000, 2, PE_PRESENT), run(0x13000, 1, PE_PRESENT)];
    std::fs::write(&path, pre_dump(&runs, &pages)).unwrap();
    let path = path.to_str().unwrap();
    let ran = coldcase(&["strings", path]).run().ends_with(0).quietly();
    let expected = [
        r"      1  0x0000000000010ffc  BORDERLINE",
        r"      1  0x0000000000013001  one\ttwo\\",
        r"      1  0x000000000001300e  four",
        "",
    ];
    assert_eq!(ran.text(), expected.join("\n"));
    let ran = coldcase(&["strings", "-n5", "--max-length=4", path]).run().ends_with(0);
    assert_eq!(ran.text().matches(" [cut]").count(), 2, "{}", ran.told());
    let ran = coldcase(&["strings", "--range=13000-14000", "-n8", path]).run().ends_with(0);
    assert_eq!(ran.text().lines().count(), 1, "{}", ran.told());
    coldcase(&["strings", "-n0", path]).run().ends_with(2);
    coldcase(&["strings", "-p99", path]).run().ends_with(3);
}

#[test]
fn memory_that_several_processes_share_is_told_once_with_all_of_them() {
    let kitchen = testdata("kitchen.tar.zst");
    let ran = coldcase(&["strings", &kitchen]).run().ends_with(0);
    let lines: Vec<&str> = ran.text().lines().filter(|line| line.contains("NEEDLE_anon_shared_1")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].trim_start().starts_with("8,27 "), "{lines:?}");
}

/// Few strings are kept while the evidence goes by, so that it may come through a pipe; more are printed in another pass.
#[test]
fn one_pass_is_enough_for_a_few_strings() {
    let kitchen = testdata("kitchen.tar.zst");
    let packed = std::fs::read(&kitchen).unwrap();
    for format in ["plain", "jsonl"] {
        let question = ["strings", "-n6", "--encoding=ascii,utf-16le", "--format", format];
        let named = coldcase(&[&question[..], &[&kitchen]].concat()).run().ends_with(0).quietly();
        let piped =
            coldcase(&[&question[..], &["-"]].concat()).fed(packed.clone()).run().ends_with(0).quietly();
        assert!(named.text().lines().count() > 1000);
        let plain = tempfile::NamedTempFile::with_suffix(".tar").unwrap();
        std::fs::write(plain.path(), self::plain(&kitchen)).unwrap();
        let name = plain.path().to_str().unwrap();
        let mapped = coldcase(&[&question[..], &[name]].concat()).run().ends_with(0).quietly();
        assert_eq!(named.text(), mapped.text().replace(name, &kitchen));
        assert_eq!(
            named.text(),
            piped
                .text()
                .replace("\"evidence\":[\"-\"]", &format!("\"evidence\":[\"{kitchen}\"]"))
                .replace("\"evidence\":\"-\"", &format!("\"evidence\":\"{kitchen}\""))
        );
    }
}

#[test]
fn many_strings_take_a_second_pass() {
    let worker = Worker { memory: 16 << 20, ..Worker::default() };
    let checkpoint = worker.checkpoint();
    let directory = tempfile::TempDir::new().unwrap();
    let made = |packing, name: &str| {
        let path = directory.path().join(name);
        Archive::podman(&checkpoint).write_packed(packing, std::fs::File::create(&path).unwrap()).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let (plain, packed) = (made(Packing::Plain, "made.tar"), made(Packing::Zstd, "made.tar.zst"));
    let strings = |name: &str| coldcase(&["strings", "--encoding=ascii,utf-8", name]).run().ends_with(0);
    let (of_plain, of_packed) = (strings(&plain), strings(&packed));
    assert!(of_plain.text().len() > 40 << 20, "{}", of_plain.text().len());
    assert!(of_plain.text() == of_packed.text());
    let bytes = std::fs::read(&packed).unwrap();
    let ran = coldcase(&["strings", "--encoding=ascii,utf-8", "-"]).fed(bytes).run().ends_with(2);
    assert_eq!((ran.text(), ran.messages("error").len()), ("", 1), "{:?}", ran.stderr);
}
