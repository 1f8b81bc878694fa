//! `coldcase grep --in`: where something stands beside the memory of processes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::archives::{corpus, plain, testdata, unpacked};
use crate::support::program::coldcase;
use crate::support::truth::{Truth, number};

/// A planted text: name, encoding, and where its first byte is: a process and an address, a register, or a member of the evidence.
type Hit = (String, String, String);

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn in_memory(hit: &Value) -> String {
    format!(
        "pid {} at {:#x}, {}+{}",
        hit["pid"],
        number(hit["addr"].as_str().unwrap()),
        text(&hit["file"]),
        hit["offset"]
    )
}

fn in_member(store: &str, member: &str, path: &str, offset: &Value) -> String {
    format!("{store}: {member} {path}+{offset}")
}

/// What sort of store a member is.
fn store_of(member: &str) -> &'static str {
    const BY_NAME: &[(&str, &str)] = &[
        ("pagemap-shmem-", "shared"),
        ("ghost-file-", "files"),
        ("devshm-checkpoint.tar", "files"),
        ("tmpfs-dev-", "files"),
        ("rootfs-diff.tar", "rootfs"),
        ("volumes/", "rootfs"),
        ("config.dump", "metadata"),
        ("spec.dump", "metadata"),
    ];
    BY_NAME.iter().find(|(start, _)| member.starts_with(start)).map_or("queues", |(_, store)| store)
}

/// Where a record of a match has its first byte.
fn place(record: &Value) -> String {
    let object = &record["object"];
    match record["store"].as_str().unwrap() {
        "memory" => format!(
            "pid {} at {:#x}, {}+{}",
            record["pid"],
            number(record["address"].as_str().unwrap()),
            text(&object["image"]),
            object["offset"]
        ),
        "registers" => text(&record["store_name"]),
        store => {
            let directory = format!("{}/", text(&record["dump"]));
            let member = text(&record["member"]);
            let member = member.strip_prefix(&directory).unwrap_or(&member);
            let offset = if store == "shared" { &record["offset"] } else { &record["member_offset"] };
            in_member(store, member, &text(&record["member_file"]), offset)
        }
    }
}

/// The matches of texts everywhere, in all encodings and with every byte XORed with 5a.
#[track_caller]
fn found_everywhere(texts: &BTreeMap<String, String>, evidence: &str, more: &[&str]) -> Vec<Hit> {
    let hex = |text: &String| text.bytes().map(|byte| format!("{:02x} ", byte ^ 0x5a)).collect::<String>();
    let plain: BTreeMap<String, &String> = texts.iter().map(|(name, text)| (text.clone(), name)).collect();
    let xored: BTreeMap<String, &String> = texts.iter().map(|(name, text)| (hex(text), name)).collect();
    let mut all = Vec::new();
    for (options, patterns) in
        [(&["-F", "--encoding=utf-8,utf-16le,utf-16be"][..], plain), (&["--hex"], xored)]
    {
        let given: Vec<&str> = patterns.keys().flat_map(|pattern| ["-e", pattern]).collect();
        let arguments = ["grep", "--in=all", "--format=jsonl", "-C0", evidence];
        let answer = coldcase(&[&arguments[..], &given, options, more].concat()).run().records();
        assert!(answer.gaps.is_empty(), "{evidence}: {:?}", answer.gaps);
        assert_eq!(answer.summary["matches"].as_u64(), Some(answer.records.len() as u64));
        all.extend(answer.records.iter().map(|record| {
            let encoding = record["encoding"].as_str().unwrap_or("xor-0x5a");
            let name = patterns[record["pattern"].as_str().unwrap()];
            (name.clone(), encoding.to_owned(), place(record))
        }));
    }
    all
}

#[track_caller]
fn as_set(hits: Vec<Hit>) -> BTreeSet<Hit> {
    let told = hits.len();
    let all: BTreeSet<Hit> = hits.into_iter().collect();
    assert_eq!(all.len(), told, "a match is told twice");
    all
}

fn texts(all: &Value) -> BTreeMap<String, String> {
    all.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn expected(truth: &Value) -> BTreeSet<Hit> {
    let encoding = |hit: &Value| text(&hit["encoding"]).replace("ascii", "utf-8");
    let list = |key: &str| truth[key].as_array().unwrap().clone();
    let mut all: BTreeSet<Hit> = BTreeSet::new();
    all.extend(list("hits").iter().map(|hit| (text(&hit["name"]), encoding(hit), in_memory(hit))));
    all.extend(list("stored").iter().map(|hit| {
        let member = text(&hit["member"]);
        let place = in_member(store_of(&member), &member, &text(&hit["path"]), &hit["offset"]);
        (text(&hit["name"]), encoding(hit), place)
    }));
    all.extend(list("registers").iter().map(|it| {
        let place = format!("register:{}:{}", it["tid"], text(&it["register"]));
        (text(&it["name"]), "utf-8".to_owned(), place)
    }));
    all
}

/// Each place of the truth in its store, in every encoding, and no other; whatever the thread count, packed and unpacked.
#[test]
fn planted_texts_are_found_in_every_store_and_nowhere_else() {
    for name in ["kitchen", "criu-features"] {
        let truth = Truth::of(name).0;
        let (texts, archive) = (texts(&truth["needles"]), testdata(truth["archive"].as_str().unwrap()));
        let found = found_everywhere(&texts, &archive, &["--threads=1"]);
        assert_eq!(as_set(found.clone()), expected(&truth), "{name}");
        assert_eq!(found_everywhere(&texts, &archive, &["--threads=3"]), found, "{name}: with threads");
        let directory = unpacked(&archive);
        let unpacked = found_everywhere(&texts, directory.path().to_str().unwrap(), &[]);
        assert_eq!(as_set(unpacked), as_set(found), "{name}: a directory");
    }
}

#[test]
fn traces_of_the_intrusion_are_found_in_every_store_and_nowhere_else() {
    let Some(corpus) = corpus() else { return };
    let checkpoints = corpus.join("checkpoints");
    let hits = String::from_utf8(plain(checkpoints.join("truth/compromised.hits.jsonl.zst"))).unwrap();
    let hits: Vec<Value> = hits.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_kind = |kind: &'static str| hits.iter().filter(move |hit| hit["kind"] == kind).cloned();
    let stored: Vec<Value> = of_kind("shmem")
        .map(|mut hit| {
            (hit["member"], hit["offset"]) = (hit["image"].clone(), hit["offset_in_object"].clone());
            hit
        })
        .chain(of_kind("file").map(|mut hit| {
            hit["path"] = text(&hit["member"]).trim_start_matches("./").into();
            hit["member"] = text(&hit["file"]).trim_start_matches("checkpoint/").into();
            hit
        }))
        .collect();
    let truth = serde_json::json!({
        "hits": of_kind("memory").collect::<Vec<_>>(), "stored": stored, "registers": [],
    });
    let packed = unpacked(checkpoints.join("make/workloads/secrets.tar.zst"));
    let needles = std::fs::read(packed.path().join("make/workloads/needles-compromised.json")).unwrap();
    let needles: Value = serde_json::from_slice(&needles).unwrap();
    let archive = checkpoints.join("compromised.tar.zst").into_os_string().into_string().unwrap();
    let (mut found, expected) = (as_set(found_everywhere(&texts(&needles), &archive, &[])), expected(&truth));
    // The scan that the truth is from can't see registers, which are stored as numbers: crit shows this text in those, left over from copying it.
    let in_registers: Vec<Hit> =
        found.extract_if(.., |(_, _, place)| place.starts_with("register:")).collect();
    assert_eq!(in_registers.len(), 6);
    assert!(in_registers.iter().all(|(name, _, place)| name == "staged" && place.contains(":1:zmm")));
    let only = |a: &BTreeSet<Hit>, b: &BTreeSet<Hit>| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!((only(&found, &expected), only(&expected, &found)), (vec![], vec![]));
}

/// What the truth counted in the members as they are stored: in archives of files, the names of files count too.
#[test]
fn logs_metadata_and_changed_files_have_the_planted_texts_that_their_members_have() {
    for name in [
        "checkpoint-image",
        "containerd-ctr",
        "counter",
        "counter-containerd",
        "counter-crio",
        "counter-docker",
        "counter-later",
        "redis",
        "tiny",
        "tiny-criu",
        "tiny-criu-noshare",
    ] {
        let truth = Truth::of(name);
        let base = |member: &str| member.rsplit('/').next().unwrap().to_owned();
        for needle in truth.0["needles"].as_array().unwrap() {
            let pattern = needle["text"].as_str().unwrap();
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for (member, count) in needle["in_members"].as_object().unwrap() {
                let names = truth.0["rootfs"].as_array().unwrap().iter();
                let names = names.filter(|entry| text(&entry["path"]).contains(pattern)).count() as u64;
                let count = count.as_u64().unwrap();
                let count = if member.ends_with(".tar") { count - names } else { count };
                // The layer that all of the dump is in, as a blob; and what was counted in an archive that is packed once more says nothing.
                let is_layer = member.starts_with("blobs/sha256/cc1d6a2f5ffb");
                if !base(member).starts_with("pages-") && !is_layer && needle["kind"] != "utf16le" {
                    *expected.entry(base(member)).or_default() += count;
                }
            }
            let ran = coldcase(&[
                "grep",
                "-F",
                "--in=files,queues,registers,rootfs,logs,metadata",
                "--format=jsonl",
                pattern,
                &truth.archive(),
            ])
            .run();
            let answer = ran.records();
            assert!(answer.gaps.is_empty(), "{}", ran.told());
            let mut found: BTreeMap<String, u64> = BTreeMap::new();
            for record in &answer.records {
                let is_loose = record["member"].as_str().unwrap().starts_with("blobs/sha256/a76d5e4e9126");
                let key = if is_loose { "member_file" } else { "member" };
                *found.entry(base(record[key].as_str().unwrap())).or_default() += 1;
            }
            if name == "counter-containerd" && found.remove("rootfs-diff.tar").is_some() {
                let changed = Truth::of("counter").0["rootfs"].to_string();
                assert!(changed.contains("logfile") && needle["kind"] != "env-secret", "{}", ran.told());
            }
            assert_eq!(found, expected, "{name}: {pattern}");
        }
    }
}

#[test]
fn a_match_says_who_holds_its_store() {
    let kitchen = testdata("kitchen.tar.zst");
    let record = |pattern: &str, choice: &[&str]| {
        let arguments = ["grep", "--in=all", "--format=jsonl", pattern, &kitchen];
        let ran = coldcase(&[&arguments[..], choice].concat()).run();
        let records = ran.records().records;
        assert!(records.len() <= 1, "{}", ran.told());
        records.into_iter().next()
    };
    let pipe = record("NEEDLE_pipe_a16f", &[]).unwrap();
    assert_eq!(pipe["store_name"], "pipe:462099");
    let holders = |record: &Value| record["holders"].as_array().unwrap().clone();
    assert_eq!(holders(&pipe)[0], serde_json::json!({ "pid": 10, "command": "files", "fd": 40 }), "{pipe}");
    let register = record("NEEXMM_a3cfe3518", &[]).unwrap();
    assert_eq!(register["store_name"], "register:24:xmm14");
    assert_eq!(holders(&register)[0]["tid"], 24);
    assert!(register.get("member_offset").is_none(), "{register}");
    // A deleted file with holes: the place in the file is not the one in its image.
    let sparse = record("NEEDLE_ghost_sparse", &[]).unwrap();
    assert_eq!((&sparse["offset"], &sparse["member_offset"]), (&3_145_745.into(), &85.into()));
    assert_eq!(sparse["name"], "/var/tmp/ghost-sparse.bin");
    // Who chooses a process has what it holds.
    assert!(record("NEEDLE_ghost_sparse", &["-p", "10"]).is_some());
    assert!(record("NEEDLE_ghost_sparse", &["-p", "9"]).is_none());
    assert!(record("NEEXMM", &["-p", "2"]).is_some() && record("NEEXMM", &["-p", "10"]).is_none());
}

#[test]
fn shared_bytes_are_one_place_with_one_object_for_all_who_see_them() {
    let kitchen = testdata("kitchen.tar.zst");
    let ran = coldcase(&["grep", "--in=memory,shared", "--format=jsonl", "NEEDLE_anon_shared_1d", &kitchen])
        .run()
        .ends_with(0);
    let answer = ran.records();
    let stores: Vec<&str> = answer.records.iter().map(|record| record["store"].as_str().unwrap()).collect();
    assert_eq!(stores, ["memory", "memory", "shared"], "{}", ran.told());
    assert!(answer.records.iter().all(|record| record["object"] == answer.records[0]["object"]));
    assert_eq!(answer.records[2]["holders"][1]["pid"], 27);
    assert_eq!(answer.summary["places"], 1);
    let table = coldcase(&["grep", "--in=all", "NEEDLE_anon_shared_1d", &kitchen]).run().ends_with(0);
    let row = table.text().lines().find(|line| line.contains("shared 535")).unwrap().to_owned();
    assert!(row.starts_with("8, 27 ") && row.contains("0x00007f58aec1b064"), "{}", table.told());
    // A memory file is a file, and shared memory without a name is none.
    let in_files = |pattern: &str| {
        coldcase(&["grep", "--in=files", "--format=jsonl", pattern, &kitchen]).run().records().records.len()
    };
    assert_eq!((in_files("NEEDLE_memfd_7e"), in_files("NEEDLE_anon_shared_1d")), (1, 0));
}

#[test]
fn counts_are_by_process_and_by_store() {
    let kitchen = testdata("kitchen.tar.zst");
    let ran = coldcase(&["grep", "--in=queues,rootfs", "-c", "NEEDLE_(pipe_a|file_)", &kitchen]).run();
    let rows: Vec<String> = ran
        .text()
        .lines()
        .skip(2)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(rows, ["10, 28 files pipe 462099 1", "10 files rootfs var/tmp/diary.txt 1"], "{}", ran.told());
    assert!(ran.stderr.contains("2 places"), "{}", ran.told());
    let ran = coldcase(&["grep", "--in=logs,all", "-l", "NEEDLE_file_diff", &kitchen]).run().ends_with(0);
    assert!(ran.text().contains("rootfs var/tmp/diary.txt"), "{}", ran.told());
    assert!(!ran.text().contains("memory"), "{}", ran.told());
    let ran = coldcase(&["grep", "--in=logs", "--mapping=heap", "x", &kitchen]).run().ends_with(2);
    assert!(ran.messages("error")[0].contains("--in leaves out"), "{}", ran.told());
}

#[test]
fn a_segment_is_chosen_by_the_name_that_is_shown() {
    let kitchen = testdata("kitchen.tar.zst");
    for name in ["SYSV4b495443", "/SYSV4b495443", "/SYSV4b495443 (deleted)", "sysv"] {
        let ran = coldcase(&["grep", "--mapping", name, "NEEDLE_", &kitchen]).run().ends_with(0);
        assert_eq!(ran.text().matches("NEEDLE_").count(), 1, "{name}: {}", ran.told());
        assert!(ran.text().contains("NEEDLE_shm_sysv_2426"), "{}", ran.told());
    }
    coldcase(&["grep", "--mapping", "SYSV00000000", "NEEDLE_", &kitchen]).run().ends_with(1);
}

/// CRIU writes what says where pages are before the pages: one pass is enough for memory and all else, so that the evidence may come through a pipe.
#[test]
fn everything_is_searched_while_the_evidence_goes_by_once() {
    let everywhere = |evidence: &str| {
        coldcase(&["grep", "--in=all", "--format=jsonl", "NEE(DLE|XMM)_[a-z0-9_]+", evidence])
    };
    for name in ["kitchen", "tiny", "redis"] {
        let archive = testdata(&format!("{name}.tar.zst"));
        let named = everywhere(&archive).run().quietly().records();
        let ran = everywhere("-").fed(std::fs::read(&archive).unwrap()).run().quietly();
        let piped = ran.records();
        assert_eq!(named.records.len(), piped.records.len(), "{name}");
        for (named, mut piped) in named.records.into_iter().zip(piped.records) {
            piped["evidence"] = named["evidence"].clone();
            assert_eq!(named, piped, "{name}");
        }
    }
    // Pages before their pagemaps take another pass.
    let bytes = std::fs::read(testdata("criu-features.tar.zst")).unwrap();
    let ran = everywhere("-").fed(bytes).run().ends_with(2);
    assert_eq!(ran.messages("error").len(), 1, "{}", ran.told());
}

#[test]
fn what_there_is_no_room_for_is_a_gap_and_more_room_can_be_asked_for() {
    let kitchen = testdata("kitchen.tar.zst");
    let found = |most: &str| {
        let arguments = ["grep", "--in=all", "--format=jsonl", "--max-matches", most, "NEEDLE_", &kitchen];
        coldcase(&arguments).run().ends_with(0).records()
    };
    let few = found("50");
    assert_eq!(few.summary["places"], 50, "shared by memory and stores");
    let why = few.gaps[0]["why"].as_str().unwrap();
    assert!(why.contains("more than 50: which ones are shown follows from how they are stored"), "{why}");
    let all = found("1000");
    assert!(all.gaps.is_empty() && all.summary["places"].as_u64() > Some(80), "{}", all.summary);
    // Without a number, what is kept is bounded by the memory that it takes.
    let counter = testdata("counter.tar.zst");
    let ran = coldcase(&["grep", "-C400", "-F", "e", &counter]).run().ends_with(0);
    assert!(ran.messages("gap")[0].contains("fit into 32 MiB of memory: "), "{}", ran.told());
}

#[test]
fn what_is_counted_takes_no_room() {
    let kitchen = testdata("kitchen.tar.zst");
    let arguments = ["grep", "--in=all", "--format=jsonl", "NEEDLE_", &kitchen];
    let all = coldcase(&arguments).run().ends_with(0).records();
    for how in [&["-c"][..], &["-c", "--max-matches=1"], &["-l"]] {
        let counts = coldcase(&[&arguments[..], how].concat()).run().ends_with(0).records();
        assert!(counts.gaps.is_empty(), "{how:?}: {:?}", counts.gaps);
        for key in ["matches", "places"] {
            assert_eq!(counts.summary[key], all.summary[key], "{how:?}: {key}");
        }
        let told: u64 = counts.records.iter().filter_map(|record| record["matches"].as_u64()).sum();
        assert_eq!(told as usize, all.records.len(), "{how:?}");
    }
    // Of the first matches alone, those are counted.
    let few = coldcase(&[&arguments[..], &["-c", "-m3"]].concat()).run().ends_with(0).records();
    assert_eq!(few.summary["places"], 3);
}
