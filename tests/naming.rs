//! How evidence, dumps and members are named: `EVIDENCE//DUMP//MEMBER`.

use std::fs;

use tempfile::TempDir;

use crate::support::archives::{plain, testdata, unpack_into};
use crate::support::program::coldcase;

/// The dumps of the chain of incremental dumps, in stored order.
const CHAIN: &[&str] = &[
    "chain/1",
    "chain/2",
    "chain/3",
    "chain/3-full",
    "dedup/1",
    "dedup/2",
    "dedup/3",
    "pre/1",
    "pre/2",
    "pre-read/1",
    "pre-read/2",
    "auto-dedup/1",
    "auto-dedup/2",
    "lazy",
];

#[test]
fn evidence_with_several_dumps_lists_them_and_asks_which() {
    let archive = testdata("criu317-chain.tar.zst");
    for command in
        [&["inspect"][..], &["grep", "GEN"], &["rootfs"], &["coredump", "--output=/nonexistent/cores"]]
    {
        let ran = coldcase(&[command, &[&archive]].concat()).run().ends_with(2);
        let message = ran.messages("error")[0];
        assert!(message.contains(&CHAIN.join(", ")) && message.contains("--all-dumps"), "{}", ran.told());
    }
}

#[test]
fn each_dump_is_chosen_by_its_name() {
    let archive = testdata("criu317-chain.tar.zst");
    for dump in CHAIN {
        let ran = coldcase(&["show", "--format=json", &format!("{archive}//{dump}")]).run();
        assert_eq!(ran.document()["dump"], *dump, "{}", ran.told());
        let of_one_slash = coldcase(&["show", "--format=json", &format!("{archive}//{dump}/")]).run();
        assert_eq!(of_one_slash.stdout, ran.stdout);
    }
}

#[test]
fn all_dumps_are_taken_when_asked_for_and_by_show_always() {
    let archive = testdata("criu317-chain.tar.zst");
    for question in [&["show"][..], &["show", "--all-dumps"], &["inspect", "--all-dumps"]] {
        let ran = coldcase(&[question, &["--format=json", &archive]].concat()).run();
        let names: Vec<_> =
            ran.documents().iter().map(|document| document["dump"].as_str().unwrap().to_owned()).collect();
        assert_eq!(names, CHAIN);
    }
    let table = coldcase(&["show", &archive]).run().ends_with(0);
    for dump in CHAIN {
        assert!(table.text().contains(&format!("{archive}//{dump} ")), "{}", table.told());
    }
}

#[test]
fn a_dump_that_is_not_there_is_an_error_that_names_those_that_are() {
    let archive = testdata("criu317-chain.tar.zst");
    let ran = coldcase(&["show", &format!("{archive}//chain/9")]).run().ends_with(2);
    let message = ran.messages("error")[0];
    assert!(message.contains("chain/9") && message.contains("chain/3-full"), "{}", ran.told());
}

#[test]
fn a_single_dump_goes_by_the_name_of_its_directory_or_by_none() {
    for (archive, dump) in
        [("tiny.tar", "checkpoint"), ("counter-docker-dir.tar.xz", "cp1"), ("tiny-criu.tar", "tiny-criu")]
    {
        let archive = testdata(archive);
        let plainly = coldcase(&["show", "--format=json", &archive]).run().ends_with(0).document();
        assert_eq!(plainly["dump"], dump);
        let by_name =
            coldcase(&["show", "--format=json", &format!("{archive}//{dump}")]).run().ends_with(0).document();
        assert_eq!(by_name["container_name"], plainly["container_name"]);
    }
}

#[test]
fn members_are_named_from_the_archive_or_from_the_dump() {
    let (tiny, chain) = (testdata("tiny.tar"), testdata("criu317-chain.tar.zst"));
    let decoded =
        |arguments: &[&str]| coldcase(&[&["crit", "decode"], arguments].concat()).run().ends_with(0).stdout;
    let expected = decoded(&["-i", &format!("{tiny}//checkpoint/pstree.img")]);
    assert_eq!(decoded(&["-i", &format!("{tiny}//checkpoint//pstree.img")]), expected);
    assert_eq!(decoded(&["-i", &format!("{tiny}//pstree.img")]), expected);
    assert_eq!(decoded(&["-i", &tiny, "--member", "checkpoint/pstree.img"]), expected);
    let of_chain = decoded(&["-i", &format!("{chain}//chain/3//pstree.img")]);
    assert_eq!(decoded(&["-i", &format!("{chain}//chain/3/pstree.img")]), of_chain);
    assert_ne!(of_chain, expected);
    let other = decoded(&["-i", &format!("{chain}//chain/1//pstree.img")]);
    assert_ne!(of_chain, other, "the child was born after the first dump");
}

#[test]
fn a_member_that_is_not_there_is_an_error() {
    for name in ["no-such.img", "checkpoint//no-such.img", "no-such-dump//pstree.img"] {
        let ran =
            coldcase(&["crit", "info", &format!("{}//{name}", testdata("tiny.tar"))]).run().ends_with(2);
        assert!(ran.messages("error")[0].contains("no-such"), "{}", ran.told());
    }
}

#[test]
fn colons_in_the_kubelet_s_names_separate_nothing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("checkpoint-counters_default-counter-2026-11-22T04:13:32Z.tar");
    fs::write(&path, plain(testdata("counter-crio.tar.xz"))).unwrap();
    let path = path.to_str().unwrap();
    coldcase(&["show", path]).run().ends_with(0);
    coldcase(&["crit", "info", &format!("{path}//checkpoint/inventory.img")]).run().ends_with(0);
}

#[test]
fn of_names_with_two_slashes_the_longest_path_that_exists_wins() {
    let directory = TempDir::new().unwrap();
    unpack_into(testdata("criu317-chain.tar.zst"), directory.path());
    let root = directory.path().to_str().unwrap();
    // `chain//3` is a path of the file system too: a directory with one dump.
    let path = format!("{root}//chain//3");
    let ran = coldcase(&["show", "--format=json", &path]).run().ends_with(0);
    assert_eq!(ran.document()["evidence"], path, "{}", ran.told());
    let member = coldcase(&["crit", "info", &format!("{root}//chain//3//pstree.img")]).run().ends_with(0);
    assert!(member.text().contains("PSTREE"), "{}", member.told());
}

#[test]
fn a_directory_holds_several_dumps_as_an_archive_does() {
    let directory = TempDir::new().unwrap();
    unpack_into(testdata("criu317-chain.tar.zst"), directory.path());
    let root = directory.path().to_str().unwrap();
    let ran = coldcase(&["show", "--all-dumps", "--format=json", root]).run().ends_with(0);
    let mut names: Vec<_> =
        ran.documents().iter().map(|document| document["dump"].as_str().unwrap().to_owned()).collect();
    names.sort();
    let mut expected: Vec<&str> = CHAIN.to_vec();
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn names_with_odd_characters_are_evidence_like_any_other() {
    let directory = TempDir::new().unwrap();
    for name in ["with blank.tar", "-dash.tar", "new\nline.tar", "esc\x1b[31m.tar"] {
        let path = directory.path().join(name);
        fs::copy(testdata("tiny.tar"), &path).unwrap();
        let ran = coldcase(&["show", path.to_str().unwrap()]).run().ends_with(0);
        assert!(ran.text().contains("tiny"), "{}", ran.told());
        let document =
            coldcase(&["show", "--format=json", path.to_str().unwrap()]).run().ends_with(0).document();
        assert_eq!(document["evidence"].as_str(), path.to_str());
    }
}

#[test]
fn a_name_that_is_no_utf8_is_evidence_too() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(OsStr::from_bytes(b"\xff\xfe.tar"));
    fs::copy(testdata("tiny.tar"), &path).unwrap();
    let ran = coldcase(&[OsStr::new("show"), path.as_os_str()]).run().ends_with(0);
    assert!(ran.text().contains("\\xff\\xfe.tar"), "{}", ran.told());
    let document = coldcase(&[OsStr::new("show"), OsStr::new("--format=json"), path.as_os_str()])
        .run()
        .ends_with(0)
        .document();
    let told = crate::inspect::exact(&document, "evidence").unwrap();
    assert_eq!(told, path.as_os_str().as_bytes(), "{document}");
}
