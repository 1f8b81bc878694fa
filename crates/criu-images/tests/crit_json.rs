//! What crit prints of an image, we print: byte for byte, but where crit is wrong.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use criu_images::framing::Image;
use criu_images::json::{self, Options};
use serde_json::Value;

/// Texts that differ from crit's because crit is wrong: image, operation, what must stand in ours. `docs/CRIT.md`
/// gives the reasons.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    // Content that crit leaves out or cannot leave out.
    ("bpfmap_data/full.img", "nopl", r#""extra": "... <15B>""#),
    ("bpfmap_data/max.img", "nopl", r#""extra": "... <"#),
    ("bpfmap_data/min.img", "nopl", r#""extra": "... <0B>""#),
    ("bpfmap_data/three.img", "nopl", r#""extra": "... <0B>""#),
    ("bpfmap_data/zero.img", "nopl", r#""extra": "... <0B>""#),
    ("ghost_file/chunks-false.img", "nopl", r#""extra": "... <1B>""#),
    ("ghost_file/chunks-zero-length.img", "nopl", r#""extra": "... <0B>""#),
    ("ghost_file/chunks.img", "nopl", r#""extra": "... <58B>""#),
    ("ghost_file/device.img", "nopl", r#""extra": "... <0B>""#),
    ("ghost_file/dir.img", "nopl", r#""extra": "... <0B>""#),
    ("ghost_file/full.img", "nopl", r#""extra": "... <5B>""#),
    ("ghost_file/min.img", "nopl", r#""extra": "... <0B>""#),
    ("ghost_file/plain-empty.img", "nopl", r#""extra": "... <0B>""#),
    ("ghost_file/plain-size.img", "nopl", r#""extra": "... <12B>""#),
    ("ghost_file/plain.img", "nopl", r#""extra": "... <200B>""#),
    ("ghost_file/symlink.img", "nopl", r#""extra": "... <0B>""#),
    ("ghost_file/times.img", "nopl", r#""extra": "... <0B>""#),
    ("ghost-file-1.img", "nopl", r#""extra": "... <17B>""#),
    (
        "bad/tcp-stream-two-entries.img",
        "nopl",
        "\"... <20B>\"\n        },\n        {\n            \"inq_len\": 10,",
    ),
    ("tcp_stream/three.img", "nopl", "\"... <0B>\"\n        },\n        {\n            \"inq_len\": "),
    // Entries that crit does not find.
    ("ghost_file/none.img", "decode", r#"{"magic": "GHOST_FILE", "entries": []}"#),
    ("ghost_file/none.img", "pretty", r#""entries": []"#),
    ("ipcns_shm/in-pagemaps-two.img", "decode", r#""in_pagemaps": true, "extra": ""}, {"desc": {"key": 0, "#),
    ("ipcns_shm/in-pagemaps-two.img", "pretty", "\"extra\": \"\"\n        },\n        {"),
    ("ipcns_shm/in-pagemaps-two.img", "nopl", "\"extra\": \"... <8KB>\"\n        },\n        {"),
    (
        "nohandler/binfmt_misc.img",
        "decode",
        r#"{"magic": "BINFMT_MISC", "entries": [{"name": "a", "enabled": true, "#,
    ),
    ("nohandler/binfmt_misc.img", "pretty", r#""interpreter": "/bin/sh""#),
    (
        "nohandler/pidfd.img",
        "decode",
        r#"{"magic": "PIDFD", "entries": [{"id": 240026, "ino": 5458, "flags": 302314, "#,
    ),
    ("nohandler/pidfd.img", "pretty", r#""nspid": -59632"#),
    // Payloads that crit's info counts as entries, and kinds that it does not know.
    ("pipes-data.img", "info", "\"count\": 1\n"),
    ("sk-queues.img", "info", "\"count\": 1\n"),
    ("ghost-file-1.img", "info", "\"count\": 1\n"),
    ("ghost_file/none.img", "info", "\"count\": 0\n"),
    ("pagemap/none.img", "info", "\"count\": 0\n"),
    ("nohandler/binfmt_misc.img", "info", "\"count\": 1\n"),
    ("nohandler/pidfd.img", "info", "\"count\": 1\n"),
    // Values that crit fails on or drops.
    (
        "wire/comm-not-utf8.img",
        "decode",
        r#""comm": "\ufffdt\ufffd"}}], "coldcase": {"entries": [{"entry": 0, "#,
    ),
    ("wire/comm-not-utf8.img", "pretty", r#""comm": "MgPpdOk=""#),
    ("wire/string-not-utf8.img", "decode", r#""name": "/\ufffd\ufffdab"}]"#),
    ("wire/string-not-utf8.img", "pretty", r#""name": "MgUv//5hYg==""#),
    ("wire/enum-unknown-optional.img", "decode", r#"{"img_version": 2, "lsmtype": 99}]}"#),
    ("wire/enum-unknown-optional.img", "pretty", r#""lsmtype": 99"#),
    ("wire/enum-unknown-required.img", "decode", r#"{"mtype": 99}]}"#),
    ("wire/enum-unknown-required.img", "pretty", r#""mtype": 99"#),
    (
        "wire/inet-addr-0-2-3-words.img",
        "pretty",
        "\"src_addr\": [\n                1,\n                2,\n                3,\n                4,\n                5\n",
    ),
    // Parts that JSON cannot carry ride in the side key.
    ("wire/field-order.img", "decode", r#"{"entry": 0, "fields": ["sid", "ppid", "pid", "pgid"]}"#),
    (
        "wire/unknown-fields.img",
        "decode",
        r#"[500, "varint", 7], [501, "bytes", "Z29uZQ=="], [502, "fixed32", 16"#,
    ),
    ("wire/group.img", "decode", r#"[60, "raw", "4wMIAeQD"]"#),
    ("wire/long-varint.img", "decode", r#"{"pid": "CIGAgAA="}, "ppid""#),
    ("wire/repeated-scalar-twice.img", "decode", r#"[[1, "varint", 1], "ppid", "pgid", "sid", "pid"]"#),
    ("wire/message-split.img", "decode", r#"["mtype", {"tc": "GgQIARAA"}, {"tc": "Gg0YBSAAKAAyBXNwbGl0"}]"#),
    ("wire/packed-where-unpacked.img", "decode", r#"{"threads": "KgQBAqwC"}"#),
    ("wire/negative-int32-as-5-bytes.img", "decode", r#"{"pid": "GP////8P"}"#),
    ("wire/u32-over-32-bits.img", "decode", r#"{"pid": "CIWAgICAIA=="}"#),
    ("v1.0/pstree.img", "decode", r#"], "coldcase": {"head": "none"}}"#),
    ("head/inventory-with-common-word.img", "decode", r#"], "coldcase": {"head": "common"}}"#),
    (
        "unixsk/names-lossy.img",
        "decode",
        r#", "coldcase": {"entries": [{"entry": 0, "fields": ["id", "ino", "#,
    ),
];

#[test]
fn images_read_as_crit_reads_them() {
    let corrections = corrections();
    let mut compared = 0;
    let mut wrong = Vec::new();
    for cases in common::in_repository() {
        for answer in &cases.answers {
            let file = answer["file"].as_str().unwrap();
            for operation in ["decode", "pretty", "nopl", "info"] {
                // crit 4.3 where it differs from 4.2.1: the newer one knows more fields and has fewer faults.
                let Some(golden) = answer["v4.3"].get(operation).or_else(|| answer.get(operation)) else {
                    continue;
                };
                compared += 1;
                let ours = run(file, &cases.images[file], operation);
                if let Err(why) = judge(file, operation, golden, &ours, &corrections) {
                    wrong.push(format!(
                        "{}/{file} {operation}: {why}\n   crit: {golden}\n   ours: {ours:?}",
                        cases.name
                    ));
                }
            }
        }
    }
    assert!(compared > 2000, "only {compared} texts were compared");
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn crits_texts_become_the_images_that_crit_makes_of_them() {
    let mut compared = 0;
    for cases in common::in_repository() {
        for answer in &cases.answers {
            let file = answer["file"].as_str().unwrap();
            for (operation, result) in [("decode", "reencode"), ("pretty", "reencode_pretty")] {
                // crit 4.2.1 swaps two states in its names, so that its text means another state to all others.
                if operation == "pretty" && file.starts_with("core/task-") {
                    continue;
                }
                // Damage that crit does not see when it reads, it does not see when it writes either.
                if file.starts_with("bad/") {
                    continue;
                }
                let newer = |key: &str| answer["v4.3"].get(key).unwrap_or(&answer[key]);
                let (Some(text), expected) = (newer(operation)["out"].as_str(), newer(result)) else {
                    continue;
                };
                let mut image = Vec::new();
                let encoded = json::encode(text.as_bytes(), &mut image);
                let hex = || image.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                let same = match expected {
                    _ if expected == "same" => image == cases.images[file],
                    _ if expected["hex"].is_string() && encoded.is_ok() => {
                        expected["size"] == image.len()
                            && hex().starts_with(expected["hex"].as_str().unwrap().trim_end_matches('.'))
                    }
                    // crit cannot make an image of its text, or makes a broken one.
                    _ => continue,
                };
                compared += 1;
                assert!(same, "{}/{file} {result}: {encoded:?}\n{text}\n{expected}\n{}", cases.name, hex());
            }
        }
    }
    assert!(compared > 1000, "only {compared} texts were compared");
}

/// Runs one operation. An image that fails must leave no text.
fn run(file: &str, bytes: &[u8], operation: &str) -> Result<String, String> {
    let base = file.rsplit('/').next().unwrap();
    let image = Image::parse_named(base.as_bytes(), bytes).map_err(|error| error.to_string())?;
    let options = Options { pretty: operation != "decode", nopl: operation == "nopl", ..Options::default() };
    let mut text = Vec::new();
    let result = match operation {
        "info" => json::info(&image, &Options::default(), &mut text),
        _ => json::decode(&image, &options, &mut text),
    };
    match result {
        Ok(()) => Ok(String::from_utf8(text).unwrap() + "\n"),
        Err(error) => {
            assert!(text.is_empty(), "{file} {operation}: text and error");
            Err(error.to_string())
        }
    }
}

fn judge(
    file: &str,
    operation: &str,
    golden: &Value,
    ours: &Result<String, String>,
    corrections: &[Value],
) -> Result<(), String> {
    let crit = golden["out"].as_str().filter(|_| golden["exit"] == 0);
    if let Some((.., text)) = DIFFERENCES.iter().find(|(image, it, _)| *image == file && *it == operation) {
        let ours = ours.as_ref().map_err(|error| format!("should have worked: {error}"))?;
        return match () {
            () if crit == Some(ours) => Err("crit says the same: no difference".to_owned()),
            () if !ours.contains(text) => Err(format!("{text} is not in it")),
            () => Ok(()),
        };
    }
    if let Ok(text) = ours
        && let Some(at) = text.find("\"coldcase\": {")
    {
        // What crit prints comes first, and the side key behind it.
        let before = text[..at].trim_end().trim_end_matches(',');
        let start = crit.is_some_and(|crit| crit.starts_with(before));
        return if start { Ok(()) } else { Err("not crit's text before the side key".to_owned()) };
    }
    let of_file = |it: &&Value| it["file"] == file;
    if operation == "info" {
        if let Some(right) = corrections.iter().filter(of_file).find(|it| it["op"] == "info") {
            let ours: Value = serde_json::from_str(ours.as_ref()?).unwrap();
            return if ours == right["right"] {
                Ok(())
            } else {
                Err(format!("should be {}", right["right"]))
            };
        }
        if file.starts_with("bad/") {
            return Ok(()); // crit counts in damaged images too; tests/damage.rs has what we do
        }
    }
    let damaged = corrections.iter().filter(of_file).filter(|it| it["op"] == "decode").any(|it| {
        let right = it["right"].as_str().unwrap_or_default();
        right.contains("damaged")
    });
    let damaged = damaged && operation != "info";
    match (crit, ours) {
        (_, Ok(_)) if damaged => Err("damage was not seen".to_owned()),
        (_, Err(_)) if damaged => Ok(()),
        (_, Err(_)) if file == "bad/sem-odd.img" => Ok(()), // crit's --nopl skips what it cannot read
        (Some(crit), Ok(ours)) if crit == ours => Ok(()),
        (None, Err(_)) => Ok(()),
        (Some(_), Err(error)) => Err(format!("should have worked: {error}")),
        _ => Err("differs".to_owned()),
    }
}

/// Where crit is wrong, with what is right, as the maker of the images says.
fn corrections() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/images/synthetic-corrected.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
