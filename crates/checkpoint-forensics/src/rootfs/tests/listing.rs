//! What a list says.

use container_checkpoint::evidence::{MemberKind, ModificationTime};

use super::tar::{Head, Tar};
use super::*;

const LIST: &[u8] = b"[\"/gone\", \"/img/again\", \"/img/\xef\xbf\xbd\"]";

fn rootfs() -> Vec<u8> {
    let mut tar = Tar::default();
    tar.directory("evil/");
    tar.entry(
        &Head { name: b"evil/setall", mode: 0o7777, uid: 65534, gid: 12, ..Head::default() },
        b"setuid",
    );
    tar.link(b'1', "evil/hard", "evil/setall").link(b'2', "evil/link", "/etc/shadow").link(
        b'1',
        "evil/lost",
        "nowhere",
    );
    tar.entry(&Head { name: b"evil/null", kind: b'3', device: (1, 3), ..Head::default() }, b"");
    tar.entry(&Head { name: b"evil/fifo", kind: b'6', ..Head::default() }, b"");
    tar.pax(&[
        (b"path", b"evil/\xff\n\x1b[2J"),
        (b"mtime", b"-1.25"),
        (b"SCHILY.xattr.user.\x1b\n", b"v\0\xff"),
    ]);
    tar.file("x", b"");
    tar.file("img/again", b"new").file("evil/.wh.file", b"contents").whiteout("evil/.wh.bare");
    tar.end()
}

fn told(changes: &Changes<'_>) -> Vec<(String, Change)> {
    changes.entries.iter().map(|entry| (text(&entry.path), entry.change)).collect()
}

#[test]
fn all_that_is_recorded_is_told_in_every_shape() {
    let home = tempfile::tempdir().unwrap();
    let mut shm = Tar::default();
    shm.directory("./").file("./segment", b"shared");
    let (diff, shm) = (rootfs(), shm.end());
    let members: [(&str, &[u8]); 3] =
        [("devshm-checkpoint.tar", &shm), ("rootfs-diff.tar", &diff), ("deleted.files", LIST)];
    let places = Places::default();
    for opened in in_every_shape(&members, home.path(), true, &Keep::Nothing) {
        let changes = opened.changes(Deletions::Listed, &places, true);
        let expected: Vec<(String, Change)> = [
            ("/evil", Change::AddedOrChanged),
            ("/evil/setall", Change::AddedOrChanged),
            ("/evil/hard", Change::AddedOrChanged),
            ("/evil/link", Change::AddedOrChanged),
            ("/evil/lost", Change::AddedOrChanged),
            ("/evil/null", Change::AddedOrChanged),
            ("/evil/fifo", Change::AddedOrChanged),
            ("/evil/\\xff\\n\\x1b[2J", Change::AddedOrChanged),
            ("/img/again", Change::AddedOrChanged),
            ("/evil/.wh.file", Change::AddedOrChanged),
            ("/evil/.wh.bare", Change::AddedOrChanged),
            ("/gone", Change::Deleted),
            ("/img/again", Change::Deleted),
            ("/img/\\xef\\xbf\\xbd", Change::Deleted),
            ("/dev/shm", Change::Present),
            ("/dev/shm/segment", Change::Present),
        ]
        .map(|(path, change)| (path.to_owned(), change))
        .into();
        assert_eq!(told(&changes), expected, "{}", opened.shape);
        assert_eq!(changes.stores.iter().map(|store| store.entries).collect::<Vec<_>>(), [14, 2]);
        let facts = |at: usize| changes.entries[at].facts.as_ref().unwrap();
        let (file, hard) = (facts(1), facts(2));
        assert_eq!((file.mode, file.uid, file.gid, file.size), (0o7777, 65534, 12, Some(6)));
        assert_eq!(file.modified, ModificationTime { seconds: 1_700_000_000, nanoseconds: 0 });
        assert!(file.sha256.is_some());
        assert_eq!(
            (hard.kind, hard.size, hard.sha256),
            (MemberKind::HardLink, Some(6), file.sha256),
            "a hard link is the file it names"
        );
        assert_eq!(facts(3).link.as_deref(), Some(&b"/etc/shadow"[..]));
        assert_eq!((facts(3).size, facts(3).sha256), (None, None), "what has no contents has no size");
        assert_eq!((facts(4).size, facts(4).sha256), (None, None), "nothing is made up for a lost target");
        assert_eq!(facts(5).kind, MemberKind::CharDevice(1, 3));
        assert_eq!(facts(7).modified, ModificationTime { seconds: -2, nanoseconds: 750_000_000 });
        assert_eq!(facts(7).xattrs, [(b"user.\x1b\n".to_vec(), b"v\0\xff".to_vec())]);
        let uncertain: Vec<bool> = changes.entries.iter().map(|entry| entry.name_uncertain).collect();
        assert_eq!(uncertain.iter().position(|&uncertain| uncertain), Some(13));
        assert!(changes.findings.gaps.is_empty(), "{}: {:?}", opened.shape, changes.findings.gaps);
        assert!(changes.losses.iter().any(|loss| loss.contains("Sockets")));
    }
}

#[test]
fn hashes_are_those_of_the_contents() {
    let mut tar = Tar::default();
    tar.file("abc", b"abc").file("empty", b"").directory("d/");
    let opened = with_rootfs(&tar.end());
    let places = Places::default();
    let changes = opened.changes(Deletions::Listed, &places, true);
    let hashes: Vec<_> =
        changes.entries.iter().map(|entry| entry.facts.as_ref().unwrap().sha256.map(hex)).collect();
    // The first two are the examples of FIPS 180 and of the empty text.
    assert_eq!(
        hashes,
        [
            Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned()),
            Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned()),
            None,
        ]
    );
    assert!(
        opened.changes(Deletions::Listed, &places, false).entries.iter().all(|entry| entry
            .facts
            .as_ref()
            .unwrap()
            .sha256
            .is_none())
    );
}

pub(super) fn hex(hash: [u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn which_names_are_deletions_follows_from_the_engine() {
    let mut tar = Tar::default();
    tar.directory("o/")
        .whiteout("o/.wh.a")
        .file("o/.wh.fake", b"hi")
        .whiteout("p/.wh..wh..opq")
        .file("p/new", b"");
    let opened = with_rootfs(&gzip(&tar.end()));
    let places = Places::default();
    let changes = opened.changes(Deletions::Whiteouts, &places, false);
    let expected = [
        ("/o", Change::AddedOrChanged),
        ("/o/a", Change::Deleted),
        ("/o/.wh.fake", Change::AddedOrChanged),
        ("/p", Change::ContentsDeleted),
        ("/p/new", Change::AddedOrChanged),
    ]
    .map(|(path, change)| (path.to_owned(), change));
    assert_eq!(told(&changes), expected);
    assert_eq!(
        changes.stores[0].compression.map(|packed| packed.name()),
        Some("gzip"),
        "whatever its name says"
    );
    assert_eq!(changes.entries[2].notes, ["named like a deletion mark, but not in the form of one"]);
    assert_eq!(changes.entries[1].stored_name, b"o/.wh.a");

    let by_podman = opened.changes(Deletions::Listed, &places, false);
    assert!(by_podman.entries.iter().all(|entry| !entry.is_deletion() && entry.notes.is_empty()));
    let by_unknown = opened.changes(Deletions::NotRecorded, &places, false);
    assert!(by_unknown.entries.iter().all(|entry| !entry.is_deletion()));
    assert_eq!(by_unknown.entries[1].notes, ["in the form of containerd's deletion marks"]);
}

#[test]
fn stores_are_placed_where_the_caller_knows_them() {
    let home = tempfile::tempdir().unwrap();
    let one = |name: &str| {
        let mut tar = Tar::default();
        tar.directory("./").file(name, b"x");
        tar.end()
    };
    let (volume, other, tmpfs, old) = (one("./v"), one("./w"), gzip(&one("./t")), gzip(&one("./o")));
    let members: [(&str, &[u8]); 4] = [
        ("checkpoint/tmpfs-dev-83.tar.gz.img", &tmpfs),
        ("checkpoint/tmpfs-9.tar.gz.img", &old),
        ("volumes/data.tar", &volume),
        ("volumes/lost.tar", &other),
    ];
    let tmpfs = |mount_id, device, mount_point: &[u8]| TmpfsMount {
        mount_id,
        device,
        mount_point: mount_point.to_vec(),
    };
    let places = Places {
        volumes: vec![(b"data".to_vec(), b"/srv/data".to_vec())],
        tmpfs: vec![
            tmpfs(1, 83, b"/tmp"),
            tmpfs(2, 83, b"/tmp"),
            tmpfs(3, 83, b"/again"),
            tmpfs(9, 5, b"/old"),
        ],
        mount_points: Vec::new(),
    };
    for opened in in_every_shape(&members, home.path(), false, &Keep::Nothing) {
        let changes = opened.changes(Deletions::Listed, &places, false);
        let mut names: Vec<_> = changes.stores.iter().map(|store| text(&store.name())).collect();
        names.sort();
        assert_eq!(names, ["tmpfs-9", "tmpfs-dev-83", "volumes/data", "volumes/lost"], "{}", opened.shape);
        let mut paths: Vec<_> = changes.entries.iter().map(|entry| text(&entry.path)).collect();
        paths.sort();
        assert_eq!(
            paths,
            ["", "/old", "/old/o", "/srv/data", "/srv/data/v", "/tmp", "/tmp/t", "w"],
            "{}",
            opened.shape
        );
        let tmpfs = changes.stores.iter().find(|store| store.kind == StoreKind::TmpfsDevice(83)).unwrap();
        assert_eq!(tmpfs.mount_points, [b"/tmp".to_vec(), b"/again".to_vec()]);
        assert!(changes.entries.iter().all(|entry| entry.change == Change::Present));
        assert_eq!(changes.findings.notes.len(), 1, "that there is no rootfs-diff.tar");
    }
}

#[test]
fn a_list_by_path_has_the_deletion_before_what_was_made_again() {
    let mut tar = Tar::default();
    tar.file("b", b"").file("a", b"").file("B", b"");
    let bytes = archive(&[("rootfs-diff.tar", &tar.end()), ("deleted.files", b"[\"/a\"]")]);
    let context = Context::default();
    let mut rider = Rider::new(false, Keep::Nothing, &context);
    let evidence = Evidence::from_source("test".into(), Arc::new(bytes), &context, &mut rider).unwrap();
    let opened = Opened::new("mapped", evidence, rider);
    let places = Places::default();
    let changes = opened.changes(Deletions::Listed, &places, false);
    let list = |order| {
        changes.list(order).iter().map(|entry| (text(&entry.path), entry.is_deletion())).collect::<Vec<_>>()
    };
    let of = |list: [(&str, bool); 4]| list.map(|(path, gone)| (path.to_owned(), gone)).to_vec();
    assert_eq!(list(Order::Stored), of([("/b", false), ("/a", false), ("/B", false), ("/a", true)]));
    assert_eq!(list(Order::Path), of([("/B", false), ("/a", true), ("/a", false), ("/b", false)]));
}

#[test]
fn deletions_are_told_without_an_archive_of_files() {
    let home = tempfile::tempdir().unwrap();
    for opened in in_every_shape(&[("deleted.files", b"[\"/gone\"]")], home.path(), false, &Keep::Nothing) {
        let places = Places::default();
        let changes = opened.changes(Deletions::Listed, &places, false);
        assert_eq!(told(&changes), [("/gone".to_owned(), Change::Deleted)], "{}", opened.shape);
        assert!(changes.findings.gaps.is_empty());
    }
}

#[test]
fn absence_is_explained() {
    let home = tempfile::tempdir().unwrap();
    let places = Places::default();
    for opened in in_every_shape(&[], home.path(), false, &Keep::Nothing) {
        let podman = opened.changes(Deletions::Listed, &places, false);
        assert_eq!(
            (podman.findings.gaps.len(), podman.findings.notes.len()),
            (0, 1),
            "nothing changed, or not recorded"
        );
        let containerd = opened.changes(Deletions::Whiteouts, &places, false);
        assert_eq!(
            (containerd.findings.gaps.len(), containerd.findings.notes.len()),
            (1, 0),
            "containerd always writes it"
        );
        let docker = opened.changes(Deletions::NotRecorded, &places, false);
        assert!(docker.findings.gaps.is_empty() && docker.losses[0].contains("Docker"));
    }
}

/// containerd's own layout: an index whose descriptors are the parts.
fn client_layout(layer: &[u8]) -> Vec<u8> {
    let mut images = Tar::default();
    images.file("inventory.img", b"");
    let descriptor = |media_type: &str, digest: &str| {
        format!(r#"{{"mediaType":"application/vnd.{media_type}","digest":"sha256:{digest}"}}"#)
    };
    let index = format!(r#"{{"manifests":[{}]}}"#, descriptor("oci.image.index.v1+json", "aa"));
    let inner = format!(
        r#"{{"manifests":[{},{}]}}"#,
        descriptor("oci.image.layer.v1.tar+gzip", "cc"),
        descriptor("containerd.container.criu.checkpoint.criu.tar", "bb")
    );
    let mut tar = Tar::default();
    tar.file("blobs/sha256/aa", inner.as_bytes())
        .file("blobs/sha256/bb", &images.end())
        .file("blobs/sha256/cc", layer);
    tar.file("index.json", index.as_bytes()).file("oci-layout", b"{}");
    tar.end()
}

#[test]
fn a_layer_of_changes_reads_like_an_archive_of_them() {
    let mut layer = Tar::default();
    layer
        .directory("etc/")
        .whiteout("etc/.wh.old")
        .file("etc/hostname", b"abc")
        .file("etc/rootfs-diff.tar", b"abc")
        .file("etc/x", b"abc");
    let plain = client_layout(&gzip(&layer.end()));
    let context = Context::default();
    for (shape, bytes) in [("mapped", plain.clone()), ("compressed", gzip(&plain))] {
        for ride in [false, true] {
            let mut rider = Rider::new(ride, Keep::Nothing, &context);
            let evidence =
                Evidence::from_source(shape.into(), Arc::new(bytes.clone()), &context, &mut rider).unwrap();
            let opened = Opened::new(shape, evidence, rider);
            let places = Places::default();
            let changes = opened.changes(Deletions::Whiteouts, &places, true);
            assert_eq!(
                told(&changes)[..2],
                [("/etc".to_owned(), Change::AddedOrChanged), ("/etc/old".to_owned(), Change::Deleted)],
                "{shape}"
            );
            for entry in &changes.entries[2..] {
                let hash = entry.facts.as_ref().unwrap().sha256.map(hex);
                assert!(
                    hash.is_some_and(|hash| hash.starts_with("ba7816bf")),
                    "{shape} {ride}: {}",
                    text(&entry.path)
                );
                let mut out = Vec::new();
                changes.cat(&entry.path, CatOptions::default(), &mut out, &context).unwrap();
                assert_eq!(out, b"abc", "{shape}: {}", text(&entry.path));
            }
            assert!(changes.findings.gaps.is_empty(), "{:?}", changes.findings);
        }
    }
}

#[test]
fn an_archive_at_the_top_of_a_layer_does_not_confuse_what_comes_behind_it() {
    let mut inner = Tar::default();
    let inner = inner.file("one", b"1").file("two", b"2").file("three", b"3").end();
    let mut layer = Tar::default();
    layer
        .file("before", b"first")
        .file("backup.tar", &inner)
        .link(b'1', "same.tar", "backup.tar")
        .file("behind", b"abc")
        .file("last", b"abcd");
    let plain = client_layout(&gzip(&layer.end()));
    let context = Context::default();
    let places = Places::default();
    for (bytes, ride) in [(plain.clone(), false), (gzip(&plain), false), (gzip(&plain), true)] {
        let mut rider = Rider::new(ride, if ride { Keep::All } else { Keep::Nothing }, &context);
        let evidence = Evidence::from_source("test".into(), Arc::new(bytes), &context, &mut rider).unwrap();
        let opened = Opened::new("layout", evidence, rider);
        let changes = opened.changes(Deletions::Whiteouts, &places, true);
        let expected: [(&str, &[u8]); 5] = [
            ("/before", b"first"),
            ("/backup.tar", &inner),
            ("/same.tar", &inner),
            ("/behind", b"abc"),
            ("/last", b"abcd"),
        ];
        assert_eq!(changes.entries.len(), expected.len());
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("out");
        changes.extract(Selection::default(), &out, &context).unwrap();
        for (entry, (path, contents)) in changes.entries.iter().zip(expected) {
            assert_eq!(text(&entry.path), path);
            let mut hash = contents;
            let hash = super::super::collect::hash(&mut hash, &context).unwrap().0;
            assert_eq!(entry.facts.as_ref().unwrap().sha256.map(hex), Some(hex(hash)), "{path}");
            assert_eq!(fs::read(out.join(&path[1..])).unwrap(), contents, "{path}");
        }
    }
}

#[test]
fn an_empty_layer_means_that_nothing_was_changed_and_a_broken_one_does_not() {
    let context = Context::default();
    let places = Places::default();
    let noise =
        [0x1f, 0x8b].iter().copied().chain((0..200u8).map(|byte| byte.wrapping_mul(7))).collect::<Vec<u8>>();
    for (layer, gaps, notes) in [(gzip(&[0; 1024]), 0, 1), (noise, 1, 0)] {
        let plain = client_layout(&layer);
        for bytes in [plain.clone(), gzip(&plain)] {
            let mut rider = Rider::new(false, Keep::Nothing, &context);
            let evidence =
                Evidence::from_source("test".into(), Arc::new(bytes), &context, &mut rider).unwrap();
            let opened = Opened::new("layout", evidence, rider);
            let changes = opened.changes(Deletions::Whiteouts, &places, false);
            assert_eq!(
                (changes.findings.gaps.len(), changes.findings.notes.len()),
                (gaps, notes),
                "{:?}",
                changes.findings
            );
        }
    }
}
