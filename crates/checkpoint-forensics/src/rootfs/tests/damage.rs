//! Archives that are cut, damaged or too large: what is before the fault is kept, the fault is a gap.

use container_checkpoint::context::Limits;

use super::tar::{Head, Tar};
use super::*;

fn sample() -> Tar {
    let mut tar = Tar::default();
    tar.file("one", b"1").file("two", &[b'2'; 2000]).file("three", b"3");
    tar
}

fn names(changes: &Changes<'_>) -> Vec<String> {
    changes.entries.iter().map(|entry| text(&entry.path)).collect()
}

#[test]
fn a_cut_inside_a_file_keeps_the_file_with_what_is_there() {
    let home = tempfile::tempdir().unwrap();
    // Header and contents of the first file take two blocks, the second's header one more.
    let cut = &sample().end()[..1536 + 700];
    for hash in [false, true] {
        for opened in
            in_every_shape(&[("rootfs-diff.tar", cut)], &home.path().join(hash.to_string()), hash, &Keep::All)
        {
            let places = Places::default();
            let changes = opened.changes(Deletions::Listed, &places, hash);
            assert_eq!(names(&changes), ["/one", "/two"], "{}", opened.shape);
            let facts = changes.entries[1].facts.as_ref().unwrap();
            assert_eq!(
                (facts.size, facts.present, facts.sha256),
                (Some(2000), Some(700), None),
                "{} {hash}",
                opened.shape
            );
            assert!(
                changes
                    .findings
                    .gaps
                    .iter()
                    .any(|gap| gap.place.contains("rootfs-diff.tar") && gap.why.contains("700")),
                "{:?}",
                changes.findings
            );
            assert_eq!(changes.entries[0].facts.as_ref().unwrap().sha256.is_some(), hash);
            if opened.shape == "stream" {
                continue;
            }
            let mut out = Vec::new();
            let came = changes.cat(b"/two", CatOptions::default(), &mut out, &Context::default()).unwrap();
            assert!(matches!(came, Cat::Written { bytes: 700, gap: Some(_), .. }), "{came:?}");
            assert_eq!(out, [b'2'; 700]);
            let target = home.path().join(format!("{hash}-{}", opened.shape));
            let extracted = changes.extract(Selection::default(), &target, &Context::default()).unwrap();
            assert_eq!(extracted.written.len(), 1);
            assert_eq!(extracted.refused[0].why, Refusal::Incomplete { present: 700, size: 2000 });
            assert_eq!(extracted.gaps.len(), 1);
            assert!(!target.join("two").exists(), "whole or not at all");
        }
    }
}

#[test]
fn a_cut_between_files_is_told_although_all_of_them_are_there() {
    let opened = with_rootfs(&sample().bytes());
    let places = Places::default();
    let changes = opened.changes(Deletions::Listed, &places, false);
    assert_eq!(names(&changes), ["/one", "/two", "/three"]);
    assert_eq!(changes.findings.gaps.len(), 1);
}

#[test]
fn a_packed_archive_that_breaks_off_keeps_what_was_before() {
    let mut tar = Tar::default();
    for number in 0..200u32 {
        let noise: Vec<u8> = (0..600)
            .map(|at| (number.wrapping_mul(2_654_435_761).wrapping_add(at * 40_503) >> 9) as u8)
            .collect();
        tar.file(&format!("f{number}"), &noise);
    }
    let packed = gzip(&tar.end());
    let home = tempfile::tempdir().unwrap();
    for opened in
        in_every_shape(&[("rootfs-diff.tar", &packed[..packed.len() / 2])], home.path(), true, &Keep::Nothing)
    {
        let places = Places::default();
        let changes = opened.changes(Deletions::Whiteouts, &places, true);
        assert!((10..200).contains(&changes.entries.len()), "{}: {}", opened.shape, changes.entries.len());
        assert!(!changes.findings.gaps.is_empty());
    }
}

#[test]
fn a_damaged_header_costs_its_own_file_only() {
    let mut bytes = sample().end();
    bytes[1024 + 3] ^= 0x20; // within the second header
    let opened = with_rootfs(&bytes);
    let places = Places::default();
    let changes = opened.changes(Deletions::Listed, &places, false);
    assert_eq!(names(&changes), ["/one", "/three"]);
    assert!(changes.findings.gaps.iter().any(|gap| gap.why.contains("checksum")));
}

#[test]
fn noise_and_emptiness_are_gaps() {
    let places = Places::default();
    for diff in [&b""[..], b"noise", &[7; 5000], b"\x1f\x8bnoise", b"\x28\xb5\x2f\xfdnoise"] {
        let opened = with_rootfs(diff);
        let changes = opened.changes(Deletions::Listed, &places, true);
        assert!(changes.entries.is_empty());
        assert!(!changes.findings.gaps.is_empty(), "{}", text(diff));
    }
    let opened = with_rootfs(&[0; 1024]);
    assert!(
        opened.changes(Deletions::Listed, &places, true).findings.gaps.is_empty(),
        "an archive without members is one"
    );
}

#[test]
fn a_broken_list_of_deletions_does_not_hide_the_files() {
    let home = tempfile::tempdir().unwrap();
    let (diff, places) = (sample().end(), Places::default());
    for opened in in_every_shape(
        &[("rootfs-diff.tar", &diff), ("deleted.files", b"[\"/a\",")],
        home.path(),
        false,
        &Keep::Nothing,
    ) {
        let changes = opened.changes(Deletions::Listed, &places, false);
        assert_eq!(changes.entries.len(), 3);
        assert_eq!(changes.findings.gaps.len(), 1);
        assert_eq!(changes.findings.gaps[0].place, "deleted.files");
    }
}

#[test]
fn what_is_kept_of_names_is_bounded() {
    let mut tar = Tar::default();
    for number in 0..50 {
        tar.pax(&[(b"path", format!("{number:0200}").as_bytes())]).file("x", b"");
    }
    let diff = tar.end();
    let places = Places::default();
    for (limits, expected) in [
        (Limits { members: 20, ..Limits::default() }, 20),
        (Limits { metadata: 8000, ..Limits::default() }, 10),
        (Limits::default(), 50),
    ] {
        let opened = with_rootfs(&diff);
        let context = Context { limits, ..Context::default() };
        let subject = Subject {
            evidence: &opened.evidence,
            dump: &opened.dump,
            deletions: Deletions::Listed,
            places: &places,
        };
        let changes = Changes::gather(subject, false, &opened.rider, &context).unwrap();
        assert_eq!(changes.entries.len(), expected);
        assert_eq!(changes.findings.gaps.is_empty(), expected == 50, "{:?}", changes.findings);
    }
}

#[test]
fn a_size_that_lies_takes_no_memory() {
    let mut tar = Tar::default();
    tar.entry(&Head { name: b"huge", size: Some(0o77777777777), ..Head::default() }, b"little");
    let home = tempfile::tempdir().unwrap();
    for opened in in_every_shape(&[("rootfs-diff.tar", &tar.end())], home.path(), true, &Keep::All) {
        let places = Places::default();
        let changes = opened.changes(Deletions::Listed, &places, true);
        let facts = changes.entries[0].facts.as_ref().unwrap();
        assert_eq!(
            (facts.size, facts.present, facts.sha256),
            (Some(0o77777777777), Some(1536), None),
            "{}",
            opened.shape
        );
    }
}

#[test]
fn no_damage_leads_out_of_the_output_directory() {
    let mut tar = Tar::default();
    tar.directory("d/").file("d/a", b"text").link(b'1', "d/b", "d/a").link(b'2', "l", "../outside");
    tar.pax(&[
        (b"path", b"d/pax"),
        (b"size", b"3"),
        (b"GNU.sparse.map", b"0,1,2,1"),
        (b"GNU.sparse.size", b"4"),
    ])
    .file("x", b"abc");
    let whole = tar.end();
    let home = tempfile::tempdir().unwrap();
    let places = Places::default();
    let mut state = 0x9e37_79b9_u32;
    for round in 0..400usize {
        let mut bytes = whole.clone();
        for _ in 0..1 + round % 3 {
            // xorshift32: the same damage in every run
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let at = state as usize % bytes.len();
            bytes[at] = [b'/', b'.', 0, 0xff, b'7', (state >> 24) as u8][round % 6];
            repair_checksum(&mut bytes, at);
        }
        let opened = with_rootfs(&bytes);
        let changes = opened.changes(Deletions::Listed, &places, true);
        let out = home.path().join("out");
        let extracted = changes.extract(Selection::default(), &out, &Context::default()).unwrap();
        for written in &extracted.written {
            assert!(!out.join(Path::new(&*String::from_utf8_lossy(&written.output))).is_symlink());
        }
        for entry in &changes.entries {
            changes
                .cat(
                    &entry.path,
                    CatOptions { follow: true, ..CatOptions::default() },
                    &mut Vec::new(),
                    &Context::default(),
                )
                .unwrap();
        }
        fs::remove_dir_all(&out).unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "round {round}");
    }
}

/// Makes the header block at an offset pass for a whole one.
fn repair_checksum(bytes: &mut [u8], at: usize) {
    let block = &mut bytes[at / 512 * 512..][..512];
    if &block[257..262] == b"ustar" {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

#[test]
fn a_stop_is_a_stop() {
    let context = Context::default();
    context.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    let opened = with_rootfs(&sample().end());
    let places = Places::default();
    let subject = Subject {
        evidence: &opened.evidence,
        dump: &opened.dump,
        deletions: Deletions::Listed,
        places: &places,
    };
    assert!(Changes::gather(subject, true, &opened.rider, &context).is_err());
}
