//! The four statuses: 0 done or found, 1 not found, 2 could not do it, 3 an answer with gaps.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::support::archives::testdata;
use crate::support::program::coldcase;

#[test]
fn the_table_of_statuses_holds() {
    let (tiny, last, first) =
        (testdata("tiny.tar"), testdata("pre-final.tar.zst"), testdata("pre-checkpoint.tar.zst"));
    let (tiny, last, first) = (tiny.as_str(), last.as_str(), first.as_str());
    let table: &[(&[&str], i32)] = &[
        (&["show", tiny], 0),
        (&["inspect", tiny], 0),
        (&["grep", "NEEDLE", tiny], 0),
        (&["grep", "nowhere", tiny], 1),
        (&["grep", "-c", "nowhere", tiny], 1),
        (&["show", "/nonexistent"], 2),
        (&["grep", "NEEDLE", "/nonexistent"], 2),
        (&["inspect", "--all", last], 3),
        (&["grep", "nowhere", last], 3),
        // A positive answer stands whatever is missing.
        (&["grep", "NEEDLE_PRE_NEW", last], 0),
        (&["grep", "nowhere", last, first], 1),
        // What could not be done at all wins over all.
        (&["grep", "NEEDLE", tiny, "/nonexistent"], 2),
        (&["grep", "nowhere", last, "/nonexistent"], 2),
        (&["rootfs", tiny], 0),
        (&["rootfs", "cat", tiny, "/no/such/file"], 1),
        (&["crit", "info", "/nonexistent"], 2),
        // Usage.
        (&[], 2),
        (&["nonsense"], 2),
        (&["show"], 2),
        (&["show", "--nonsense", tiny], 2),
        (&["grep", "(", tiny], 2),
        (&["--version"], 0),
        (&["--help"], 0),
        (&["help", "grep"], 0),
    ];
    for (arguments, status) in table {
        coldcase(arguments).run().ends_with(*status);
    }
}

#[test]
fn one_unreadable_evidence_of_several_does_not_stop_the_others() {
    let directory = TempDir::new().unwrap();
    let bad = |name: &str, contents: &[u8]| -> String {
        let path = directory.path().join(name);
        fs::write(&path, contents).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let empty_directory = directory.path().join("empty directory");
    fs::create_dir(&empty_directory).unwrap();
    let unreadable = [
        "/nonexistent".to_owned(),
        bad("empty", b""),
        bad("text", b"no archive at all\n"),
        bad("zeros", &[0; 10240]),
        bad("zstd-magic-alone", &[0x28, 0xb5, 0x2f, 0xfd]),
        bad("other.tar", &crate::support::tar_bytes::Tar::default().file("README", b"hello").finish()),
        empty_directory.to_str().unwrap().to_owned(),
    ];
    let (tiny, counter) = (testdata("tiny.tar"), testdata("counter.tar.zst"));
    for bad in &unreadable {
        let evidence = [tiny.as_str(), bad, counter.as_str()];
        let shown = coldcase(&[&["show", "--format=json"], &evidence[..]].concat()).run().ends_with(2);
        let names: Vec<_> =
            shown.documents().iter().map(|document| document["container_name"].clone()).collect();
        assert_eq!(names, ["tiny", "counter"], "{}", shown.told());
        assert_eq!(shown.messages("error").len(), 1, "{}", shown.told());
        let inspected =
            coldcase(&[&["inspect", "--all", "--format=json"], &evidence[..]].concat()).run().ends_with(2);
        assert_eq!(inspected.documents().len(), 2, "{}", inspected.told());
        let found =
            coldcase(&[&["grep", "--format=jsonl", "NEEDLE_ANON|RANDOM_1432"], &evidence[..]].concat())
                .run()
                .ends_with(2);
        assert_eq!(found.records().records.len(), 4, "{}", found.told());
    }
}

#[test]
fn errors_name_the_evidence() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("text");
    fs::write(&path, "no archive at all\n").unwrap();
    let path = path.to_str().unwrap();
    for evidence in ["/nonexistent", path] {
        let ran = coldcase(&["show", evidence]).run().ends_with(2);
        assert!(ran.messages("error")[0].contains(evidence), "{}", ran.told());
        assert!(ran.stdout.is_empty(), "{}", ran.told());
    }
}

#[test]
fn a_file_that_may_not_be_read_is_an_error_that_says_so() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("locked.tar");
    fs::copy(testdata("tiny.tar"), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&path).is_ok() {
        println!("skipped: whoever runs this may read anything");
        return;
    }
    let ran = coldcase(&["show", path.to_str().unwrap()]).run().ends_with(2);
    assert!(ran.messages("error")[0].to_lowercase().contains("permission denied"), "{}", ran.told());
}

#[test]
fn a_reader_who_goes_away_is_no_error() {
    use std::io::Read;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_coldcase"))
        .args(["inspect", "--all", "--format=json", &testdata("hostile.tar.zst")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    // The pipe is closed here, long before the document's end.
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
