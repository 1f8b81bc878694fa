//! Archives that try to get out of the output directory, or to leave something there that acts.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use super::tar::{Head, Tar};
use super::*;

/// Extracts everything into a new directory next to a guarded one, and lists what is there then: path, type, special bits and contents.
fn extract(diff: &[u8], selection: Selection<'_>) -> (Vec<String>, Vec<String>) {
    let home = tempfile::tempdir().unwrap();
    let outside = home.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("guard"), b"untouched").unwrap();
    let opened = with_rootfs(diff);
    let places = Places::default();
    let changes = opened.changes(Deletions::Listed, &places, false);
    let out = home.path().join("out");
    let extracted = changes.extract(selection, &out, &Context::default()).unwrap();
    let refused = extracted.refused.iter().map(|refused| {
        assert!(!extracted.written.iter().any(|written| written.entry == refused.entry));
        format!("{}: {}", text(&changes.entries[refused.entry].stored_name), refused.why)
    });
    let refused: Vec<String> = refused.collect();
    assert_eq!(fs::read(outside.join("guard")).unwrap(), b"untouched");
    let mut names: Vec<_> =
        fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["out", "outside"], "nothing beside the output directory");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    (listing(&out), refused)
}

fn listing(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![top.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(top).unwrap().to_string_lossy().escape_debug().to_string();
            let kind = metadata.file_type();
            assert!(kind.is_dir() || kind.is_file(), "{name}");
            assert!(
                !(kind.is_symlink() || kind.is_fifo() || kind.is_char_device() || kind.is_block_device())
            );
            assert_eq!(metadata.mode() & 0o7000, 0, "{name}");
            if kind.is_dir() {
                found.push(format!("{name}/"));
                pending.push(path);
            } else {
                assert_eq!(metadata.nlink(), 1, "hard links become copies");
                let contents = fs::read(&path).unwrap();
                let contents =
                    if contents.len() > 40 { format!("{} bytes", contents.len()) } else { text(&contents) };
                found.push(format!("{name}={contents}"));
            }
        }
    }
    found.sort();
    found
}

fn everything(tar: &mut Tar) -> (Vec<String>, Vec<String>) {
    extract(&tar.end(), Selection::default())
}

#[test]
fn names_that_lead_out_are_refused() {
    let mut tar = Tar::default();
    for name in ["../outside/guard", "x/../../outside/guard", "/tmp/absolute", "a//b", "a/./b", "..", "a/.."]
    {
        tar.file(name, b"owned");
    }
    tar.pax(&[(b"path", b"zero\0byte")]).file("x", b"owned");
    tar.pax(&[(b"path", &[b'/'; 9000])]).file("x", b"owned");
    tar.pax(&[(b"path", &b"d/".repeat(3000))]).file("x", b"owned");
    tar.file("fine", b"1").file("..fine", b"2").file("fine..", b"3").file("...", b"4");
    let (there, refused) = everything(&mut tar);
    assert_eq!(there, ["...=4", "..fine=2", "fine..=3", "fine=1"]);
    let reasons: Vec<_> = refused.iter().map(|refused| refused.rsplit_once(": ").unwrap().1).collect();
    let expected = [
        "its name goes up ('..')",
        "its name goes up ('..')",
        "its name is absolute",
        "its name has an empty part",
        "its name has a part '.'",
        "its name goes up ('..')",
        "its name goes up ('..')",
        "its name holds a zero byte",
        "its name is absolute",
        "its name is longer than a path can be",
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn nothing_goes_through_a_link() {
    let mut tar = Tar::default();
    tar.link(b'2', "link", "../outside")
        .file("link/guard", b"owned")
        .file("link/deep/er", b"owned")
        .directory("link/dir/");
    // The other order: what is above is decided by what it is in the end.
    tar.file("late/guard", b"owned").link(b'2', "late", "../outside");
    // A link that becomes a directory again is one.
    tar.link(b'2', "again", "../outside").directory("again/").file("again/x", b"inside");
    tar.file("file", b"f").file("file/below", b"owned");
    tar.entry(&Head { name: b"fifo", kind: b'6', ..Head::default() }, b"").file("fifo/below", b"owned");
    let (there, refused) = everything(&mut tar);
    assert_eq!(there, ["again/", "again/x=inside", "file=f"]);
    let expected = [
        "link: it is a symbolic link",
        "link/guard: '/link' above it is a symbolic link",
        "link/deep/er: '/link' above it is a symbolic link",
        "link/dir: '/link' above it is a symbolic link",
        "late/guard: '/late' above it is a symbolic link",
        "late: it is a symbolic link",
        "again: a later entry of the same name was taken",
        "file/below: '/file' above it is a regular file",
        "fifo: it is a named pipe",
        "fifo/below: '/fifo' above it is a named pipe",
    ];
    assert_eq!(refused, expected);
}

#[test]
fn hard_links_become_copies_of_files_in_the_archive_and_of_nothing_else() {
    let mut tar = Tar::default();
    tar.file("a", b"text")
        .link(b'1', "b", "a")
        .link(b'1', "d/c", "b")
        .link(b'1', "self", "self")
        .link(b'1', "early", "later");
    tar.file("later", b"").link(b'1', "out1", "/etc/passwd").link(b'1', "out2", "../outside/guard").link(
        b'1',
        "out3",
        "outside/guard",
    );
    tar.link(b'2', "link", "/etc/shadow").link(b'1', "shadow", "link");
    tar.entry(&Head { name: b"disk", kind: b'4', device: (8, 0), ..Head::default() }, b"")
        .link(b'1', "disk2", "disk");
    let (there, refused) = everything(&mut tar);
    assert_eq!(there, ["a=text", "b=text", "d/", "d/c=text", "later="]);
    let lost = "it is a hard link to something that is no file before it in the archive";
    let expected = [
        format!("self: {lost}"),
        format!("early: {lost}"),
        format!("out1: {lost}"),
        format!("out2: {lost}"),
        format!("out3: {lost}"),
        "link: it is a symbolic link".into(),
        "shadow: it is a symbolic link".into(),
        "disk: it is a device (8, 0)".into(),
        "disk2: it is a device (8, 0)".into(),
    ];
    assert_eq!(refused, expected);
}

#[test]
fn special_files_and_special_bits_stay_behind() {
    let mut tar = Tar::default();
    let mut head = |name, kind, mode| {
        tar.entry(&Head { name, kind, mode, device: (1, 3), ..Head::default() }, b"");
    };
    head(b"setuid", b'0', 0o6755);
    head(b"none", b'0', 0);
    head(b"sticky/", b'5', 0o1000);
    head(b"char", b'3', 0o666);
    head(b"block", b'4', 0o666);
    head(b"pipe", b'6', 0o666);
    head(b"odd", b'V', 0o666);
    let home = tempfile::tempdir().unwrap();
    let opened = with_rootfs(&tar.end());
    let places = Places::default();
    let changes = opened.changes(Deletions::Listed, &places, false);
    let out = home.path().join("out");
    let extracted = changes.extract(Selection::default(), &out, &Context::default()).unwrap();
    let written: Vec<_> =
        extracted.written.iter().map(|written| (text(&written.output), written.cleared)).collect();
    assert_eq!(
        written,
        [("setuid".to_owned(), 0o6000), ("none".to_owned(), 0), ("sticky".to_owned(), 0o1000)]
    );
    assert_eq!(listing(&out), ["none=", "setuid=", "sticky/"]);
    let mode = |name: &str| fs::metadata(out.join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("none"), mode("sticky")), (0o600, 0o700), "readable to the analyst all the same");
    assert_eq!(fs::metadata(out.join("setuid")).unwrap().mtime(), 1_700_000_000);
    assert_eq!(fs::metadata(out.join("sticky")).unwrap().mtime(), 1_700_000_000);
    let kinds: Vec<_> = extracted.refused.iter().map(|refused| refused.why.to_string()).collect();
    assert_eq!(
        kinds,
        [
            "it is a device (1, 3)",
            "it is a device (1, 3)",
            "it is a named pipe",
            "it is an entry of unknown type"
        ]
    );
    assert!(extracted.gaps.is_empty(), "what is left out on purpose is no gap");
}

#[test]
fn of_several_entries_of_a_name_the_last_is_taken() {
    let mut tar = Tar::default();
    tar.file("x", b"1").file("x", b"2").file("y", b"1").directory("y/").file("y/in", b"").file("x", b"3");
    let (there, refused) = everything(&mut tar);
    assert_eq!(there, ["x=3", "y/", "y/in="]);
    assert_eq!(refused.len(), 3);
}

#[test]
fn names_of_any_bytes_are_written_as_they_are() {
    let mut tar = Tar::default();
    tar.file("new\nline", b"1")
        .file("\x1b[2J", b"2")
        .file("-rf", b"3")
        .file(".wh.x", b"4")
        .file(".incomplete", b"5");
    tar.entry(&Head { name: b"\xff\xfe", ..Head::default() }, b"6");
    tar.pax(&[(b"path", &[b'n'; 256])]).file("x", b"7");
    let (there, refused) = everything(&mut tar);
    assert_eq!(there.len(), 6, "{there:?}");
    assert_eq!(refused.len(), 1);
    assert!(refused[0].contains("it can't be written"), "a component of 256 bytes: {}", refused[0]);
}

#[test]
fn paths_choose_what_is_below_them_and_hard_links_bring_their_contents() {
    let mut tar = Tar::default();
    tar.directory("a/")
        .file("a/x", b"1")
        .file("ab", b"2")
        .link(b'1', "c/hard", "a/x")
        .file("c/d/e", b"3")
        .link(b'2', "link", "a");
    tar.file("link/x", b"4");
    let diff = tar.end();
    let some = |paths: &[&str]| paths.iter().map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>();
    for (paths, there, refused) in [
        (&["/a"][..], &["a/", "a/x=1"][..], 0),
        (&["c"], &["c/", "c/d/", "c/d/e=3", "c/hard=1"], 0),
        (&["/c/hard", "/ab"], &["ab=2", "c/", "c/hard=1"], 0),
        (&["/nothing"], &[], 0),
        (&["/link/x"], &[], 1),
        (&["/"], &["a/", "a/x=1", "ab=2", "c/", "c/d/", "c/d/e=3", "c/hard=1"], 2),
    ] {
        let chosen = some(paths);
        let came = extract(&diff, Selection { paths: Some(&chosen), ..Selection::default() });
        assert_eq!(
            (came.0, came.1.len()),
            (there.iter().map(|name| (*name).to_owned()).collect(), refused),
            "{paths:?}"
        );
    }
}

#[test]
fn every_shape_of_evidence_gives_the_same_files() {
    let home = tempfile::tempdir().unwrap();
    let (mut diff, mut shm) = (Tar::default(), Tar::default());
    let diff = gzip(&diff.file("a", b"1").link(b'1', "b", "a").file("large", &vec![b'x'; 300_000]).end());
    let shm = shm.directory("./").file("./segment", b"2").file("./zeros", &[0; 200_000]).end();
    let members: [(&str, &[u8]); 3] =
        [("devshm-checkpoint.tar", &shm), ("rootfs-diff.tar", &diff), ("volumes/v.tar", &shm)];
    for keep in [Keep::Nothing, Keep::All] {
        let home = home.path().join(format!("{keep:?}"));
        for opened in in_every_shape(&members, &home, false, &keep) {
            let places = Places::default();
            let changes = opened.changes(Deletions::Listed, &places, false);
            let out = home.join(opened.shape);
            let selection = Selection { stores: Stores::All, ..Selection::default() };
            let extracted = changes.extract(selection, &out, &Context::default()).unwrap();
            if opened.shape == "stream" && keep == Keep::Nothing {
                assert!(extracted.written.iter().all(|written| written.bytes == 0));
                assert!(
                    !extracted.gaps.is_empty()
                        && extracted
                            .refused
                            .iter()
                            .all(|refused| matches!(refused.why, Refusal::Unreadable(_)))
                );
                continue;
            }
            let expected = [
                "a=1",
                "b=1",
                "dev/",
                "dev/shm/",
                "dev/shm/segment=2",
                "dev/shm/zeros=200000 bytes",
                "large=300000 bytes",
                "volumes/",
                "volumes/v/",
                "volumes/v/segment=2",
                "volumes/v/zeros=200000 bytes",
            ];
            assert_eq!(listing(&out), expected, "{}", opened.shape);
            assert!(extracted.refused.is_empty() && extracted.gaps.is_empty());
        }
    }
}

#[test]
fn an_output_directory_that_holds_something_is_left_alone() {
    let opened = with_rootfs(&Tar::default().file("a", b"1").end());
    let places = Places::default();
    let changes = opened.changes(Deletions::Listed, &places, false);
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("mine"), b"mine").unwrap();
    let result = changes.extract(Selection::default(), home.path(), &Context::default());
    assert!(matches!(result, Err(Error::NotEmpty(_))), "{result:?}");
    assert_eq!(listing(home.path()), ["mine=mine"]);
}
