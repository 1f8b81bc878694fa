//! Texts that were edited, and texts that are no image: JSON wins over the side key, and every error says where.

#![allow(clippy::unwrap_used)] // a failure fails the test

use criu_images::framing::Image;
use criu_images::json::{self, EncodeError, Options};
use criu_images::schema::{CoreEntry, PstreeEntry};

/// pid 1, ppid 0, pgid 1, sid 1, threads [1, 2] and an unknown field 500 between them.
const PSTREE: &[u8] =
    b"\x19\x43\x56\x54\x30\x30\x27\x50\x0f\0\0\0\x08\x01\xa0\x1f\x07\x10\0\x18\x01\x20\x01\x2a\x02\x01\x02";

fn decoded(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    json::decode(&Image::parse(bytes).unwrap(), &Options::default(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn encoded(text: &str) -> Result<Vec<u8>, EncodeError> {
    let mut image = Vec::new();
    json::encode(text.as_bytes(), &mut image).map(|_| image)
}

#[test]
fn an_edit_keeps_what_was_not_edited() {
    let text = decoded(PSTREE);
    assert!(
        text.contains(r#"["pid", [500, "varint", 7], "ppid", "pgid", "sid", {"threads": "KgIBAg=="}]"#),
        "{text}"
    );

    // Another value: at its old place, with the unknown field still behind it.
    let image = encoded(&text.replace(r#""pid": 1"#, r#""pid": 300"#)).unwrap();
    assert_eq!(&image[12..], b"\x08\xac\x02\xa0\x1f\x07\x10\0\x18\x01\x20\x01\x2a\x02\x01\x02");

    // A value more: behind the others. Another value in the list: the list in canonical form.
    let image = encoded(&text.replace("[1, 2]", "[1, 2, 3]")).unwrap();
    assert_eq!(&image[12..], b"\x08\x01\xa0\x1f\x07\x10\0\x18\x01\x20\x01\x2a\x02\x01\x02\x28\x03");
    let image = encoded(&text.replace("[1, 2]", "[1, 3]")).unwrap();
    assert_eq!(&image[12..], b"\x08\x01\xa0\x1f\x07\x10\0\x18\x01\x20\x01\x28\x01\x28\x03");

    // A value less.
    let image = encoded(&text.replace(r#", "threads": [1, 2]"#, "")).unwrap();
    assert_eq!(&image[12..], b"\x08\x01\xa0\x1f\x07\x10\0\x18\x01\x20\x01");

    // No side key: what JSON says, in canonical form.
    let image = encoded(&format!("{}}}", &text[..text.find(r#", "coldcase""#).unwrap()])).unwrap();
    assert_eq!(&image[12..], b"\x08\x01\x10\0\x18\x01\x20\x01\x28\x01\x28\x02");
}

#[test]
fn text_that_is_not_utf8_is_kept_until_it_is_edited() {
    // core_entry with tc.comm = e9 74 e9.
    let message = b"\x08\x01\x1a\x0f\x08\x01\x10\0\x18\0\x20\0\x28\0\x32\x03\xe9t\xe9";
    let core = [b"\x19\x43\x56\x54\x47\x38\x05\x55", &[message.len() as u8, 0, 0, 0][..], message].concat();
    let text = decoded(&core);
    assert!(text.contains(r#""comm": "\ufffdt\ufffd""#));

    let image = encoded(&text.replace(r#""exit_code": 0"#, r#""exit_code": 5"#)).unwrap();
    let tc = Image::parse(&image).unwrap().entry::<CoreEntry>().unwrap().tc.unwrap();
    assert_eq!((tc.comm.as_slice(), tc.exit_code), (&b"\xe9t\xe9"[..], 5));

    let image = encoded(&text.replace(r#""\ufffdt\ufffd""#, r#""new""#)).unwrap();
    assert_eq!(Image::parse(&image).unwrap().entry::<CoreEntry>().unwrap().tc.unwrap().comm, b"new");

    // Python's way to put such bytes into a string.
    let image = encoded(&text.replace(r#""\ufffdt\ufffd""#, r#""\udcfft""#)).unwrap();
    assert_eq!(Image::parse(&image).unwrap().entry::<CoreEntry>().unwrap().tc.unwrap().comm, b"\xfft");
}

#[test]
fn numbers_may_be_written_as_crit_allows() {
    for pid in ["16", r#""16""#, r#""0x10""#, "16.0", "1.6e1"] {
        let text = format!(
            r#"{{"magic": "PSTREE", "entries": [{{"pid": {pid}, "ppid": 0, "pgid": true, "sid": 0}}]}}"#
        );
        let image = encoded(&text).unwrap();
        let entry = Image::parse(&image).unwrap().entry::<PstreeEntry>().unwrap();
        assert_eq!((entry.pid, entry.pgid), (16, 1), "{pid}");
    }
}

#[test]
fn keys_that_the_schema_has_not_are_told() {
    let text = r#"{"entries": [{"pid": 1, "ppid": 0, "pgid": 0, "sid": 0, "pdi": 2, "extra": ""}], "x": [], "magic": "PSTREE"}"#;
    let mut image = Vec::new();
    let report = json::encode(text.as_bytes(), &mut image).unwrap();
    assert_eq!((report.entries, report.bytes), (1, image.len() as u64));
    assert_eq!(report.ignored, ["entries[0].pdi"]);
}

#[test]
fn errors_say_where_and_why() {
    let entry = r#""ppid": 0, "pgid": 0, "sid": 0"#;
    let cases = [
        ("", "no JSON: line 1, byte 0: expected `{`"),
        ("{\n\"magic\": 1,", "no JSON: line 2, byte 13: expected `\"`"),
        (r#"{"magic": "PSTREE"}"#, r#"no image: the key "entries" is missing"#),
        (r#"{"entries": []}"#, r#"no image: the key "magic" is missing"#),
        (r#"{"magic": "PSTRE", "entries": []}"#, r#"there is no kind of image with the magic "PSTRE""#),
        (r#"{"magic": "PAGES", "entries": []}"#, r#"there is no kind of image with the magic "PAGES""#),
        (r#"{"magic": "PSTREE", "entries": [1]}"#, "entries[0]: expected an object"),
        (
            r#"{"magic": "PSTREE", "entries": [{"pid": 1, PPID}, {"pid": 4294967296, PPID}]}"#,
            "entries[1].pid: 4294967296 is out of range",
        ),
        (r#"{"magic": "PSTREE", "entries": [{"pid": 1.9, PPID}]}"#, "entries[0].pid: 1.9 is no whole number"),
        (
            r#"{"magic": "PSTREE", "entries": [{"pid": "one", PPID}]}"#,
            r#"entries[0].pid: "one" is no value of it"#,
        ),
        (
            r#"{"magic": "PSTREE", "entries": [{"pid": 1, "threads": 1, PPID}]}"#,
            "entries[0].threads: expected a list",
        ),
        (
            r#"{"magic": "PSTREE", "entries": [{PPID}]}"#,
            "entry 0 of PSTREE, byte 12: pstree_entry lacks the required field pid (damaged, or of another kind)",
        ),
        (
            r#"{"magic": "PIPES_DATA", "entries": [{"pipe_id": 1, "bytes": 2, "extra": "... <2B>"}]}"#,
            "entries[0].extra: the payload was left out (--nopl): this text cannot become an image",
        ),
        (
            r#"{"magic": "PIPES_DATA", "entries": [{"pipe_id": 1, "bytes": 2, "extra": "YWJj\n"}]}"#,
            "entries[0].extra: 3 bytes, but the entry says 2",
        ),
        (
            r#"{"magic": "PIPES_DATA", "entries": [{"pipe_id": 1, "bytes": 2}]}"#,
            "entry 0 of PIPES_DATA, byte 16: the content of a pipe of 2 bytes, of which 0 are there (damaged or cut)",
        ),
        (
            r#"{"magic": "CORE", "entries": [{"mtype": "Z80"}]}"#,
            r#"entries[0].mtype: "Z80" is no value of it"#,
        ),
        (
            r#"{"magic": "CORE", "entries": [{"mtype": 1, "tc": {"comm": 5}}]}"#,
            "entries[0].tc.comm: expected a string",
        ),
    ];
    for (text, message) in cases {
        let error = encoded(&text.replace("PPID", entry)).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn a_deep_text_is_refused() {
    let deep = |levels: usize| {
        let (open, close) = (r#"{"name": "", "namespaces": ["#.repeat(levels), "]}".repeat(levels));
        format!(r#"{{"magic": "APPARMOR", "entries": [{{"namespaces": [{open}{close}]}}]}}"#)
    };
    assert!(encoded(&deep(98)).is_ok());
    assert!(matches!(encoded(&deep(120)), Err(EncodeError::Value { .. })));
    assert!(matches!(encoded(&deep(100_000)), Err(EncodeError::Json { .. })));
}
