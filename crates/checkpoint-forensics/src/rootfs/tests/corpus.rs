//! Real checkpoints against what was true of the running containers: `COLDCASE_CORPUS` names the directory that has them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read as _};

use container_checkpoint::evidence::{Compression, MemberKind};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::listing::hex;
use super::*;

fn corpus() -> Option<PathBuf> {
    let corpus = std::env::var_os("COLDCASE_CORPUS").map(|top| PathBuf::from(top).join("checkpoints"));
    if corpus.is_none() {
        println!("skipped: no corpus");
    }
    corpus
}

fn open(path: &Path, hash: bool) -> Opened {
    let context = Context::default();
    let mut rider = Rider::new(hash, Keep::Nothing, &context);
    let evidence = Evidence::open(path, &context, &mut rider).unwrap();
    Opened::new("corpus", evidence, rider)
}

/// What an entry of the container's upper directory was.
#[derive(Debug, PartialEq, Eq)]
struct Truth {
    kind: String,
    mode: u32,
    owner: (u64, u64),
    /// Nanoseconds since 1970, where it was recorded.
    modified: Option<i128>,
    sha256: Option<String>,
    target: Option<Vec<u8>>,
    device: Option<(u64, u64)>,
    xattrs: BTreeSet<(Vec<u8>, Vec<u8>)>,
}

/// A text of a truth file: as it is, in hex, or with U+F7xx for the bytes that are no UTF-8.
fn bytes_of(value: &Value) -> Vec<u8> {
    if let Some(hex) = value.get("hex").and_then(Value::as_str) {
        return from_hex(hex);
    }
    let mut bytes = Vec::new();
    for letter in value.as_str().unwrap().chars() {
        match u32::from(letter) {
            code @ 0xf780..=0xf7ff => bytes.push((code & 0xff) as u8),
            _ => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn truth_of(record: &Value) -> Truth {
    let text = |key: &str| record.get(key).and_then(Value::as_str);
    let number = |key: &str| record.get(key).and_then(Value::as_u64).unwrap();
    let numbers = |list: &Value| (list[0].as_u64().unwrap(), list[1].as_u64().unwrap());
    let kind = match text("type").unwrap() {
        "reg" => "file",
        other => other,
    };
    let xattrs = record.get("xattr_hex").and_then(Value::as_object).into_iter().flatten();
    // The overlay file system's own attributes are not the container's.
    let xattrs = xattrs.filter(|(name, _)| !name.starts_with("trusted.overlay."));
    Truth {
        kind: kind.into(),
        mode: u32::from_str_radix(text("mode").unwrap().trim_start_matches("0o"), 8).unwrap() & 0o7777,
        owner: (number("uid"), number("gid")),
        modified: record.get("mtime_ns").map(|time| time.to_string().parse().unwrap()),
        sha256: text("sha256").map(str::to_owned),
        target: record.get("target").map(bytes_of),
        device: record.get("rdev").map(numbers),
        xattrs: xattrs
            .map(|(name, value)| (bytes_of(&Value::from(name.as_str())), from_hex(value.as_str().unwrap())))
            .collect(),
    }
}

/// The truth of an archive: all records, one a line or in one document.
fn records(corpus: &Path, name: &str) -> Vec<Value> {
    let file = |ending: &str| corpus.join("truth").join(format!("{name}{ending}"));
    let mut text = String::new();
    if let Ok(packed) = fs::File::open(file(".truth.jsonl.zst")) {
        Compression::Zstd
            .decoder(Box::new(BufReader::new(packed)))
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
    } else if let Ok(plain) = fs::read_to_string(file(".truth.jsonl")) {
        text = plain;
    } else {
        let document: Value = serde_json::from_str(&fs::read_to_string(file(".json")).unwrap()).unwrap();
        return document["rootfs_changes"].as_array().unwrap().clone();
    }
    // Python's way to write a byte 0xNN that is no UTF-8 is a lone surrogate: no JSON reader takes it.
    let text = text.replace("\\udc", "\\uf7");
    let kinds = ["rootfs", "needle", "mountinfo"].map(|kind| format!("\"kind\": \"{kind}\""));
    let of_kind = text.lines().filter(|line| kinds.iter().any(|kind| line.contains(kind)));
    of_kind.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rootfs_truth(records: &[Value]) -> BTreeMap<Vec<u8>, Truth> {
    let of_rootfs = records.iter().filter(|record| record.get("kind").is_none_or(|kind| kind == "rootfs"));
    of_rootfs
        .map(|record| ([b"/", bytes_of(&record["path"]).as_slice()].concat(), truth_of(record)))
        .collect()
}

fn told(facts: &Facts) -> Truth {
    let kind = match facts.kind {
        // A hard link is another name of a file or symbolic link.
        MemberKind::File | MemberKind::HardLink => "file",
        MemberKind::Directory => "dir",
        MemberKind::Symlink => "symlink",
        MemberKind::CharDevice(..) => "chr",
        MemberKind::BlockDevice(..) => "blk",
        MemberKind::Fifo => "fifo",
        MemberKind::Socket => "socket",
        MemberKind::Other(_) => "other",
    };
    let device = match facts.kind {
        MemberKind::CharDevice(major, minor) | MemberKind::BlockDevice(major, minor) => {
            Some((major.into(), minor.into()))
        }
        _ => None,
    };
    Truth {
        kind: kind.into(),
        mode: facts.mode,
        owner: (facts.uid, facts.gid),
        modified: Some(
            i128::from(facts.modified.seconds) * 1_000_000_000 + i128::from(facts.modified.nanoseconds),
        ),
        sha256: facts.sha256.map(hex),
        target: facts.link.clone().filter(|_| facts.kind == MemberKind::Symlink),
        device,
        xattrs: facts.xattrs.iter().cloned().collect(),
    }
}

struct Case {
    name: &'static str,
    file: &'static str,
    deletions: Deletions,
    /// Changed files that the archive is known to lack.
    lost: &'static [&'static str],
    /// Entries that are not in the truth: made by the dump itself.
    extra: &'static [&'static str],
}

const HOSTS: &[&str] =
    &["/etc/hostname", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf", "/run/.containerenv"];

const CASES: &[Case] = &[
    Case { name: "counter", file: "counter.tar.zst", deletions: Deletions::Listed, lost: HOSTS, extra: &[] },
    Case {
        name: "counter-gz",
        file: "counter.tar.gz",
        deletions: Deletions::Listed,
        lost: HOSTS,
        extra: &[],
    },
    Case {
        name: "counter-later",
        file: "counter-later.tar.zst",
        deletions: Deletions::Listed,
        lost: HOSTS,
        extra: &[],
    },
    Case {
        name: "counter-runc",
        file: "counter-runc.tar.zst",
        deletions: Deletions::Listed,
        lost: HOSTS,
        extra: &[],
    },
    Case {
        name: "counter-crio",
        file: "counter-crio.tar.zst",
        deletions: Deletions::Listed,
        lost: &["/run/.containerenv"],
        extra: &[],
    },
    Case {
        name: "checkpoint-image",
        file: "checkpoint-image.oci.tar.zst",
        deletions: Deletions::Listed,
        lost: HOSTS,
        extra: &[],
    },
    Case {
        name: "counter-containerd",
        file: "counter-containerd.tar.zst",
        deletions: Deletions::Whiteouts,
        lost: &[],
        extra: &[],
    },
    Case {
        name: "containerd-ctr",
        file: "containerd-ctr.oci.tar.zst",
        deletions: Deletions::Whiteouts,
        lost: &[],
        extra: &[],
    },
    Case { name: "redis", file: "redis.tar.zst", deletions: Deletions::Listed, lost: HOSTS, extra: &[] },
    Case {
        name: "tiny",
        file: "tiny.tar",
        deletions: Deletions::Listed,
        lost: &["/run/.containerenv"],
        extra: &[],
    },
    Case {
        name: "tiny",
        file: "tiny-dir.tar",
        deletions: Deletions::Listed,
        lost: &["/run/.containerenv"],
        extra: &[],
    },
    Case {
        name: "compromised",
        file: "compromised.tar.zst",
        deletions: Deletions::Listed,
        lost: HOSTS,
        extra: &[],
    },
    Case {
        name: "kitchen",
        file: "kitchen.tar.zst",
        deletions: Deletions::Listed,
        lost: HOSTS,
        extra: &["/var/tmp/link_remap.49"],
    },
    Case { name: "hostile", file: "hostile.tar.zst", deletions: Deletions::Listed, lost: HOSTS, extra: &[] },
];

#[test]
fn entries_are_what_the_running_system_had() {
    let Some(corpus) = corpus() else { return };
    for case in CASES {
        let truth = rootfs_truth(&records(&corpus, case.name));
        let opened = open(&corpus.join(case.file), true);
        let places = Places::default();
        let changes = opened.changes(case.deletions, &places, true);
        assert!(changes.findings.gaps.is_empty(), "{}: {:?}", case.file, changes.findings.gaps);
        let rootfs: Vec<&Entry> = changes
            .entries
            .iter()
            .filter(|entry| changes.store_of(entry).kind == StoreKind::Rootfs)
            .collect();
        let mut compared = 0;
        for entry in
            rootfs.iter().filter(|entry| !case.extra.iter().any(|extra| extra.as_bytes() == entry.path))
        {
            let name = format!("{}: {}", case.file, text(&entry.path));
            let Some(facts) = &entry.facts else {
                let is_whiteout = |path: &Vec<u8>| String::from_utf8_lossy(path).as_bytes() == entry.path;
                let gone = truth.iter().find(|(path, _)| *path == &entry.path || is_whiteout(path));
                let made_again =
                    rootfs.iter().any(|other| other.path.starts_with(&[&entry.path[..], b"/"].concat()));
                assert!(
                    made_again || gone.is_some_and(|(_, gone)| gone.kind == "whiteout"),
                    "{name}: {gone:?}"
                );
                continue;
            };
            let mut expected = truth_of_path(&truth, &entry.path, &name);
            let mut found = told(facts);
            // Hard links to symbolic links: the archive says only what they are a link to.
            if facts.kind == MemberKind::HardLink && expected.kind == "symlink" {
                (found.kind, found.target) = ("symlink".into(), expected.target.clone());
            }
            // ustar has whole seconds, rounded down.
            match &mut expected.modified {
                Some(time) => *time -= time.rem_euclid(1_000_000_000),
                None => found.modified = None,
            }
            assert_eq!(found, expected, "{name}");
            compared += 1;
        }
        for (path, truth) in &truth {
            let lossy = String::from_utf8_lossy(path);
            let is_there = |entry: &&&Entry| entry.path == *path || entry.path == lossy.as_bytes();
            let here =
                rootfs.iter().filter(is_there).any(|entry| entry.is_deletion() == (truth.kind == "whiteout"));
            let lost_by_rule = truth.kind == "socket"
                || truth.kind == "dir"
                || case.lost.contains(&&*lossy)
                || path == b"/img/dir";
            assert!(here || lost_by_rule, "{}: {} is {}", case.file, text(path), truth.kind);
        }
        println!("{}: {compared} of {} entries compared", case.file, rootfs.len());
        assert!(compared > 0, "{}", case.file);
    }
}

fn truth_of_path(truth: &BTreeMap<Vec<u8>, Truth>, path: &[u8], name: &str) -> Truth {
    let found = truth.get(path).unwrap_or_else(|| panic!("{name}: not in the truth"));
    Truth {
        kind: found.kind.clone(),
        mode: found.mode,
        owner: found.owner,
        modified: found.modified,
        sha256: found.sha256.clone(),
        target: found.target.clone(),
        device: found.device,
        xattrs: found.xattrs.clone(),
    }
}

#[test]
fn deletions_are_those_of_the_upper_directory() {
    let Some(corpus) = corpus() else { return };
    for (name, expected) in [
        (
            "hostile",
            &[
                "/img/\\x1b[31mred",
                "/img/del\\nete",
                "/img/gone",
                "/img/old name",
                "/img/plain",
                "/img/\\xef\\xbf\\xbd\\xef\\xbf\\xbd",
            ][..],
        ),
        ("kitchen", &["/usr/share/kitchen/doomed.txt"]),
        ("compromised", &["/var/log/app/access.log.1", "/var/log/app/app.log"]),
        ("counter", &[]),
    ] {
        let opened = open(&corpus.join(format!("{name}.tar.zst")), false);
        let places = Places::default();
        let changes = opened.changes(Deletions::Listed, &places, false);
        let gone: Vec<&Entry> = changes.entries.iter().filter(|entry| entry.is_deletion()).collect();
        assert_eq!(gone.iter().map(|entry| text(&entry.path)).collect::<Vec<_>>(), expected);
        assert_eq!(gone.iter().filter(|entry| entry.name_uncertain).count(), usize::from(name == "hostile"));
    }
}

#[test]
fn names_like_marks_stay_files_by_podmans_rule() {
    let Some(corpus) = corpus() else { return };
    let opened = open(&corpus.join("hostile.tar.zst"), false);
    let places = Places::default();
    let changes = opened.changes(Deletions::Listed, &places, false);
    for path in ["/evil/.wh.notdeleted", "/evil/opq/.wh..wh..opq"] {
        let mut out = Vec::new();
        let came =
            changes.cat(path.as_bytes(), CatOptions::default(), &mut out, &Context::default()).unwrap();
        assert!(matches!(came, Cat::Written { bytes: 28, gap: None, .. }), "{path}: {came:?}");
    }
    // Removed and made again: both are told.
    let list = changes.list(Order::Path);
    let of = |path: &[u8]| {
        list.iter().filter(|entry| entry.path == path).map(|entry| entry.change).collect::<Vec<_>>()
    };
    assert_eq!(of(b"/img/gone"), [Change::Deleted]);
    assert_eq!(of(b"/img/gone/new"), [Change::AddedOrChanged]);
}

#[test]
fn files_that_the_workload_did_not_make_are_marked() {
    let Some(corpus) = corpus() else { return };
    let mount_points = |places: &[&str]| Places {
        mount_points: places.iter().map(|place| place.as_bytes().to_vec()).collect(),
        ..Places::default()
    };
    for (file, places, expected) in [
        (
            "tiny.tar",
            Places::default(),
            &["/etc/hostname", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf"][..],
        ),
        ("counter-crio.tar.zst", Places::default(), &["/etc/mtab"]),
        (
            "kitchen.tar.zst",
            mount_points(&["/facts", "/volume"]),
            &["/facts", "/var/tmp/link_remap.49", "/volume"],
        ),
        ("compromised.tar.zst", mount_points(&["/var/run/docker.sock"]), &["/var/run/docker.sock"]),
    ] {
        let opened = open(&corpus.join(file), false);
        let changes = opened.changes(Deletions::Listed, &places, false);
        let marked =
            changes.entries.iter().filter(|entry| entry.made_by.is_some()).map(|entry| text(&entry.path));
        assert_eq!(marked.collect::<Vec<_>>(), expected, "{file}");
    }
}

/// The mounts of tmpfs of all processes, and the volume, as /proc had them.
fn places_of(records: &[Value]) -> Places {
    let mut places =
        Places { volumes: vec![(b"kitchen-vol".to_vec(), b"/volume".to_vec())], ..Places::default() };
    for line in records
        .iter()
        .filter(|record| record["kind"] == "mountinfo")
        .flat_map(|record| record["lines"].as_array().unwrap())
    {
        let words: Vec<&str> = line.as_str().unwrap().split(' ').collect();
        let file_system = words.iter().position(|word| *word == "-").map(|at| words[at + 1]);
        if let (Some(device), "/", Some("tmpfs")) = (words[2].strip_prefix("0:"), words[3], file_system) {
            let mount_point = words[4].as_bytes().to_vec();
            places.tmpfs.push(TmpfsMount {
                mount_id: words[0].parse().unwrap(),
                device: device.parse().unwrap(),
                mount_point,
            });
        }
    }
    places
}

#[test]
fn planted_strings_are_where_they_were_planted() {
    let Some(corpus) = corpus() else { return };
    let mut checked = 0;
    for name in ["kitchen", "compromised"] {
        let records = records(&corpus, name);
        let needle = |wanted: &Value| {
            records.iter().find(|record| record["kind"] == "needle" && &record["name"] == wanted)
        };
        let opened = open(&corpus.join(format!("{name}.tar.zst")), false);
        let places = places_of(&records);
        let changes = opened.changes(Deletions::Listed, &places, false);
        let mut hits = String::new();
        let path = corpus.join("truth").join(format!("{name}.hits.jsonl"));
        match fs::File::open(&path) {
            Ok(mut plain) => plain.read_to_string(&mut hits).unwrap(),
            Err(_) => {
                let packed = fs::File::open(path.with_extension("jsonl.zst")).unwrap();
                Compression::Zstd
                    .decoder(Box::new(BufReader::new(packed)))
                    .unwrap()
                    .read_to_string(&mut hits)
                    .unwrap()
            }
        };
        for hit in hits
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|hit| hit.get("member").is_some())
        {
            let Some(needle) = needle(&hit["name"]).and_then(|record| record["needle"].as_str()) else {
                continue;
            };
            let store = hit["file"].as_str().unwrap().as_bytes();
            let member = hit["member"].as_str().unwrap().trim_start_matches("./");
            let mut out = Vec::new();
            let options = CatOptions { store: Some(store), ..CatOptions::default() };
            changes.cat(member.as_bytes(), options, &mut out, &Context::default()).unwrap();
            let offset = hit["offset"].as_u64().unwrap() as usize;
            assert!(out[offset..].starts_with(needle.as_bytes()), "{name}: {hit}");
            checked += 1;
        }
        if name == "kitchen" {
            for path in [
                "/scratch/tmpfs-file",
                "/scratch/sub/deep",
                "/volume/vol-file",
                "/dev/shm/open-shm",
                "/var/inner/in-inner",
            ] {
                let came = changes
                    .cat(path.as_bytes(), CatOptions::default(), &mut Vec::new(), &Context::default())
                    .unwrap();
                assert!(matches!(came, Cat::Written { gap: None, bytes: 1.., .. }), "{path}: {came:?}");
            }
        }
    }
    println!("{checked} planted strings");
    assert!(checked >= 9, "{checked}");
}

#[test]
fn extracted_files_are_those_of_the_running_system() {
    let Some(corpus) = corpus() else { return };
    for name in ["hostile", "compromised", "counter-containerd", "containerd-ctr"] {
        let file = if name == "containerd-ctr" {
            "containerd-ctr.oci.tar.zst".to_owned()
        } else {
            format!("{name}.tar.zst")
        };
        let deletions = if name.contains("containerd") { Deletions::Whiteouts } else { Deletions::Listed };
        let truth = rootfs_truth(&records(&corpus, name));
        let opened = open(&corpus.join(file), false);
        let places = Places::default();
        let changes = opened.changes(deletions, &places, false);
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("out");
        let extracted = changes.extract(Selection::default(), &out, &Context::default()).unwrap();
        assert!(extracted.gaps.is_empty() && extracted.not_found.is_empty());
        let present = changes
            .entries
            .iter()
            .filter(|entry| changes.store_of(entry).kind == StoreKind::Rootfs && !entry.is_deletion())
            .count();
        assert_eq!(
            extracted.written.len() + extracted.refused.len(),
            present,
            "each entry is written or refused"
        );
        for refused in &extracted.refused {
            let entry = &changes.entries[refused.entry];
            let truth = &truth[&entry.path];
            assert!(
                matches!(&refused.why, Refusal::Kind(_)) && truth.kind != "file" && truth.kind != "dir",
                "{}",
                refused.why
            );
        }
        let mut files = 0;
        for written in &extracted.written {
            let entry = &changes.entries[written.entry];
            let truth = &truth[&entry.path];
            use std::os::unix::ffi::OsStrExt as _;
            use std::os::unix::fs::MetadataExt as _;
            let path = out.join(std::ffi::OsStr::from_bytes(&written.output));
            let metadata = fs::symlink_metadata(&path).unwrap();
            assert_eq!(metadata.mode() & 0o7000, 0);
            assert_eq!(written.cleared, truth.mode & 0o7000);
            assert_eq!(metadata.is_dir(), truth.kind == "dir");
            if metadata.is_file() {
                let hash = hex(Sha256::digest(fs::read(&path).unwrap()).into());
                assert_eq!(Some(&hash), truth.sha256.as_ref(), "{name}: {}", text(&entry.path));
                files += 1;
            }
        }
        println!("{name}: {files} files, {} refused", extracted.refused.len());
        assert!(files > 1);
    }
}

#[test]
fn no_archive_of_an_engine_has_a_gap() {
    let Some(corpus) = corpus() else { return };
    let context = Context::default();
    let mut asked = 0;
    for directory in [corpus.clone(), corpus.join("generations")] {
        let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        for path in files.filter(|path| path.file_name().unwrap().to_string_lossy().contains(".tar")) {
            let mut rider = Rider::new(true, Keep::Nothing, &context);
            let Ok(evidence) = Evidence::open(&path, &context, &mut rider) else { continue };
            for dump in dump::find(evidence.index()) {
                let places = Places::default();
                let subject = Subject {
                    evidence: &evidence,
                    dump: &dump,
                    deletions: Deletions::NotRecorded,
                    places: &places,
                };
                let changes = Changes::gather(subject, true, &rider, &context).unwrap();
                assert!(changes.findings.gaps.is_empty(), "{}: {:?}", path.display(), changes.findings.gaps);
                let unhashed = changes.entries.iter().filter(|entry| entry.kind() == Some(MemberKind::File));
                assert_eq!(
                    unhashed.filter(|entry| entry.facts.as_ref().unwrap().sha256.is_none()).count(),
                    0
                );
                asked += 1;
            }
        }
    }
    println!("{asked} dumps");
    assert!(asked > 20);
}

#[test]
fn dockers_checkpoints_say_that_they_have_no_changes() {
    let Some(corpus) = corpus() else { return };
    let opened = open(&corpus.join("counter-docker-dir.tar.zst"), false);
    let places = Places::default();
    let changes = opened.changes(Deletions::NotRecorded, &places, false);
    assert!(changes.stores.iter().all(|store| matches!(store.kind, StoreKind::TmpfsDevice(_))));
    assert!(changes.losses.iter().any(|loss| loss.contains("Docker")));
}
