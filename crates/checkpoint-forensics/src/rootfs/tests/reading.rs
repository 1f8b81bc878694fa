//! One file's bytes.

use container_checkpoint::error::Error as EvidenceError;

use super::tar::{Head, Tar};
use super::*;

fn sample() -> Vec<u8> {
    let mut tar = Tar::default();
    tar.directory("d/")
        .file("d/file", b"first")
        .file("d/file", b"second")
        .link(b'1', "d/hard", "d/file")
        .link(b'1', "d/hard2", "d/hard");
    tar.link(b'2', "d/link", "../d/./hard")
        .link(b'2', "loop", "loop")
        .link(b'2', "dangling", "/no/such")
        .link(b'1', "lost", "nowhere");
    tar.link(b'1', "linklink", "d/link").link(b'2', "togone", "gone");
    tar.entry(&Head { name: b"null", kind: b'3', device: (1, 3), ..Head::default() }, b"");
    tar.file("dev/shm/x", b"below the mount");
    tar.end()
}

/// What came of a path, in words, and the bytes.
fn cat(changes: &Changes<'_>, path: &str, options: CatOptions<'_>) -> (String, String) {
    let mut out = Vec::new();
    let came = match changes.cat(path.as_bytes(), options, &mut out, &Context::default()) {
        Ok(Cat::Written { entry, through, bytes, gap }) => {
            assert_eq!(bytes, out.len() as u64);
            let through: Vec<_> = through.iter().map(|entry| text(&entry.path)).collect();
            let gap = if gap.is_some() { ", gap" } else { "" };
            format!("{} through {through:?}{gap}", text(&entry.path))
        }
        Ok(Cat::NotAFile { entry, .. }) => format!("{:?}", entry.kind().unwrap()),
        Ok(Cat::Unavailable { gap, .. }) => format!("unavailable: {}", gap.why),
        Ok(Cat::Deleted(entry)) => format!("deleted {}", text(&entry.path)),
        Ok(Cat::NotFound { path, .. }) => format!("not found {}", text(&path)),
        Err(error) => format!("error: {error}"),
    };
    (came, text(&out))
}

#[test]
fn a_path_gives_the_bytes_that_unpacking_would_leave() {
    let home = tempfile::tempdir().unwrap();
    let (diff, mut shm) = (sample(), Tar::default());
    let shm = shm.directory("./").file("./x", b"shared").file("./only", b"there").end();
    let members: [(&str, &[u8]); 3] = [
        ("devshm-checkpoint.tar", &shm),
        ("rootfs-diff.tar", &diff),
        ("deleted.files", b"[\"/gone\",\"/d/file\"]"),
    ];
    for keep in [Keep::Nothing, Keep::All] {
        for opened in in_every_shape(&members, &home.path().join(format!("{keep:?}")), false, &keep) {
            if opened.shape == "stream" && keep == Keep::Nothing {
                continue; // see below
            }
            let places = Places::default();
            let changes = opened.changes(Deletions::Listed, &places, false);
            let plain = CatOptions::default();
            let follow = CatOptions { follow: true, ..plain };
            let in_store = |store| CatOptions { store: Some(store), ..plain };
            for (path, options, came, bytes) in [
                ("/d/file", plain, "/d/file through []", "second"),
                ("d/file", plain, "/d/file through []", "second"),
                ("/d/hard", plain, "/d/file through [\"/d/hard\"]", "second"),
                ("/d/hard2", plain, "/d/file through [\"/d/hard2\"]", "second"),
                ("/d/link", plain, "Symlink", ""),
                ("/d/link", follow, "/d/file through [\"/d/link\", \"/d/hard\"]", "second"),
                ("/linklink", plain, "Symlink", ""),
                ("/loop", follow, "Symlink", ""),
                ("/dangling", follow, "not found /no/such", ""),
                ("/togone", follow, "deleted /gone", ""),
                ("/gone", plain, "deleted /gone", ""),
                ("/d", plain, "Directory", ""),
                ("/d/", plain, "Directory", ""),
                ("/null", plain, "CharDevice(1, 3)", ""),
                (
                    "/lost",
                    plain,
                    "unavailable: it is a hard link to something that is not before it in the archive",
                    "",
                ),
                ("/nowhere", plain, "not found /nowhere", ""),
                ("/dev/shm/x", plain, "/dev/shm/x through []", "below the mount"),
                ("/dev/shm/x", in_store(b"devshm"), "/dev/shm/x through []", "shared"),
                ("x", in_store(b"devshm"), "/dev/shm/x through []", "shared"),
                ("/dev/shm/only", plain, "/dev/shm/only through []", "there"),
                (
                    "x",
                    in_store(b"shm"),
                    "error: the checkpoint has no store 'shm'; it has: rootfs, devshm",
                    "",
                ),
            ] {
                assert_eq!(
                    cat(&changes, path, options),
                    (came.to_owned(), bytes.to_owned()),
                    "{} {keep:?} {path}",
                    opened.shape
                );
            }
        }
    }
}

#[test]
fn a_stream_gives_what_was_kept_while_it_went_by() {
    let members = [("rootfs-diff.tar", &sample()[..])];
    let context = Context::default();
    let open = |keep: Keep| {
        let mut rider = Rider::new(false, keep, &context);
        let stream = Cursor::new(gzip(&archive(&members)));
        let evidence = Evidence::from_stream("-".into(), Box::new(stream), &context, &mut rider).unwrap();
        Opened::new("stream", evidence, rider)
    };
    let places = Places::default();
    let opened = open(Keep::Named(vec![b"file".to_vec()]));
    let changes = opened.changes(Deletions::Listed, &places, false);
    assert_eq!(cat(&changes, "/d/hard", CatOptions::default()).1, "second");

    let opened = open(Keep::Named(vec![b"other".to_vec()]));
    let changes = opened.changes(Deletions::Listed, &places, false);
    let result = changes.cat(b"/d/file", CatOptions::default(), &mut Vec::new(), &context);
    assert!(matches!(result, Err(Error::Evidence(EvidenceError::ReadOnce(_)))), "{result:?}");
}

#[test]
fn a_stream_that_nobody_rode_along_with_has_a_gap_for_each_store() {
    let context = Context::default();
    let stream = Cursor::new(gzip(&archive(&[("rootfs-diff.tar", &sample())])));
    let nobody = &mut container_checkpoint::evidence::Nobody;
    let evidence = Evidence::from_stream("-".into(), Box::new(stream), &context, nobody).unwrap();
    let opened = Opened::new("stream", evidence, Rider::new(false, Keep::Nothing, &context));
    let places = Places::default();
    let changes = opened.changes(Deletions::Listed, &places, false);
    assert!(changes.entries.is_empty());
    assert_eq!(changes.findings.gaps.len(), 1);
    assert_eq!(changes.findings.gaps[0].place, "rootfs-diff.tar");
}

#[test]
fn contents_larger_than_what_may_be_kept_still_stream() {
    // Zeros, so that 80 MiB in the archive are little in the test.
    let mut tar = Tar::default();
    tar.file("before", b"small").file("large", &vec![0; 80 << 20]).file("behind", b"small too");
    let bytes = gzip(&archive(&[("rootfs-diff.tar", &gzip(&tar.end()))]));
    let context = Context::default();
    let mut rider = Rider::new(true, Keep::All, &context);
    let evidence = Evidence::from_source("test".into(), Arc::new(bytes), &context, &mut rider).unwrap();
    let opened = Opened::new("compressed", evidence, rider);
    let places = Places::default();
    let changes = opened.changes(Deletions::Listed, &places, true);
    let held = |entry: &Entry| {
        matches!(entry.source.as_ref().unwrap().body, container_checkpoint::evidence::Body::Held(_))
    };
    assert_eq!(changes.entries.iter().map(held).collect::<Vec<_>>(), [true, false, true]);
    let mut count = Counter(0);
    let came = changes.cat(b"/large", CatOptions::default(), &mut count, &context).unwrap();
    assert!(matches!(came, Cat::Written { bytes, gap: None, .. } if bytes == 80 << 20));
    assert_eq!(count.0, 80 << 20);
}

struct Counter(u64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_receiver_that_fails_is_an_error_of_its_own() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let opened = with_rootfs(&sample());
    let places = Places::default();
    let changes = opened.changes(Deletions::Listed, &places, false);
    let result = changes.cat(b"/d/file", CatOptions::default(), &mut Full, &Context::default());
    assert!(matches!(result, Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe));
}
