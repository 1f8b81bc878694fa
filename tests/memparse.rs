//! `coldcase memparse`: as checkpointctl's where that is right, and right where it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::support::archives::{all_of_testdata, corpus, has_several_dumps, plain, testdata};
use crate::support::goldens;
use crate::support::program::{Ran, coldcase};
use crate::support::truth::Truth;

fn memparse(arguments: &[&str]) -> Ran {
    coldcase(&[&["memparse"], arguments].concat()).run()
}

/// Address and bytes of each row of a hex dump; a `*` is filled with rows as the one before, up to the next.
fn rows(text: &str) -> BTreeMap<u64, String> {
    let mut rows = BTreeMap::new();
    let mut last: Option<(u64, String)> = None;
    let mut is_folded = false;
    for line in text.lines() {
        let is_row = line.len() == 85 && u64::from_str_radix(&line[..16], 16).is_ok();
        if !is_row {
            is_folded = line == "*";
            continue;
        }
        let (address, bytes) = (u64::from_str_radix(&line[..16], 16).unwrap(), line[18..65].to_owned());
        if let Some((from, same)) = last.filter(|_| is_folded) {
            rows.extend((from..address).step_by(16).skip(1).map(|at| (at, same.clone())));
        }
        is_folded = false;
        assert_eq!(rows.insert(address, bytes.clone()), None, "{address:x} twice");
        last = Some((address, bytes));
    }
    assert!(!is_folded, "the end of a folded run is not known");
    rows
}

/// What checkpointctl says of a process: its name and size. Its size of shared memory is that of all mappings that are shared, files too, whatever of it is in the dump.
fn sizes(table: &str) -> BTreeMap<String, (String, String)> {
    let cell = |row: &[(String, String)], name: &str| {
        row.iter().find(|(title, _)| title == name).map_or_else(String::new, |(_, cell)| cell.clone())
    };
    let row = |row: &Vec<(String, String)>| {
        (cell(row, "PID"), (cell(row, "PROCESS NAME"), cell(row, "MEMORY SIZE")))
    };
    goldens::table(table).iter().map(row).collect()
}

#[test]
fn sizes_are_checkpointctls() {
    for (name, archive) in [
        ("counter", "counter.tar.zst"),
        ("counter-later", "counter-later.tar.xz"),
        ("counter-crio", "counter-crio.tar.xz"),
        ("counter-containerd", "counter-containerd.tar.xz"),
        ("redis", "redis.tar.zst"),
        ("tiny", "tiny.tar"),
        ("pre-final", "pre-final.tar.zst"),
        ("kitchen", "kitchen.tar.zst"),
    ] {
        let golden = goldens::text(&format!("{name}/memparse.out"));
        let ran = memparse(&[&testdata(archive)]);
        let heading = format!("\nDisplaying processes memory sizes from {}\n\n", testdata(archive));
        assert!(ran.text().starts_with(&heading), "{}", ran.told());
        let (golden, mut ours) = (sizes(&golden), sizes(ran.text()));
        // Zombies, which the peer leaves out, have no memory.
        ours.retain(|_, (_, size)| size != "-");
        for (pid, (comm, size)) in &golden {
            // It shows a name of escape sequences as it is, which a table of text does not find again.
            let known = &ours[pid];
            assert!(
                known.1 == *size && (known.0 == *comm || comm.is_empty()),
                "{name} {pid}: {known:?} and not {size} {comm}"
            );
        }
        assert_eq!(ours.len(), golden.len(), "{name}");
    }
}

#[test]
fn shared_memory_is_what_the_dump_has_of_it() {
    // The peer counts mapped files, which are not in the dump: 28.0 KiB for each process here.
    let ran = memparse(&[&testdata("counter.tar.zst")]);
    assert!(
        ran.text().lines().any(|line| line.starts_with("1     bash") && line.ends_with("0 B")),
        "{}",
        ran.told()
    );
    let ran = memparse(&[&testdata("kitchen.tar.zst")]);
    assert!(ran.text().contains("\n8     mem             2.2 MiB       12.0 KiB\n"), "{}", ran.told());
}

#[test]
fn a_dump_has_checkpointctls_rows_and_those_that_it_folds_away_or_does_not_see() {
    let golden = goldens::text("tiny/memparse-pid-1.out");
    let ran = memparse(&["-p", "1", &testdata("tiny.tar")]).ends_with(0).quietly();
    let header = |text: &str| text.lines().skip(3).take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(header(ran.text()), header(&golden));
    let ours = rows(ran.text());
    let mut compared = 0;
    // Only the rows that it prints: one that it folds away need not be as the one before.
    for line in golden.lines().skip(5).filter(|line| *line != "*" && !line.is_empty()) {
        let address = u64::from_str_radix(&line[..16], 16).unwrap();
        assert_eq!(ours[&address], line[18..65], "{line}");
        compared += 1;
    }
    assert!(compared > 400);
    // The anonymous shared page, which the peer does not see.
    assert!(ours[&0x7f2e_94b2_b000].starts_with("00 00 00 00 00 4e 45 45 44 4c 45"), "{}", ran.told());
}

#[test]
fn the_bytes_are_those_of_the_page_images() {
    // tiny's own pages image in the order of its pagemap; its shared object in between.
    let archive = testdata("tiny.tar");
    let raw = coldcase(&["memparse", "-p", "1", "--range", "403000-414000", "--raw", &archive])
        .raw()
        .run()
        .ends_with(0);
    let text = memparse(&["-p", "1", "--range", "403000-414000", &archive]);
    let bytes: Vec<u8> = rows(text.text())
        .values()
        .flat_map(|row| row.split(' ').map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect::<Vec<_>>())
        .collect();
    assert_eq!(bytes.len(), 0x11000);
    assert!(bytes == raw.stdout);
    let tar = plain(&archive);
    assert!(tar.windows(4096).step_by(512).any(|page| page == &bytes[..4096]), "as it stands in the archive");
}

/// Every process of all of testdata: the hex dump and the bytes agree, and a packed archive gives what a plain one does, although its bytes come in another order.
#[test]
fn a_stream_gives_the_bytes_in_the_order_of_their_addresses() {
    let directory = TempDir::new().unwrap();
    let mut processes = 0;
    for archive in ["kitchen.tar.zst", "tiny.tar.gz", "criu-features.tar.zst", "redis.tar.zst"].map(testdata)
    {
        let unpacked = directory.path().join("plain.tar");
        fs::write(&unpacked, plain(&archive)).unwrap();
        let unpacked = unpacked.to_str().unwrap();
        for pid in sizes(memparse(&[&archive]).text())
            .into_iter()
            .filter(|(_, (_, size))| size != "-")
            .map(|(pid, _)| pid)
        {
            let ask = |evidence: &str| memparse(&["-q", "-p", &pid, evidence]);
            let (packed, plain) = (ask(&archive), ask(unpacked));
            assert!(
                packed.text().replace(&archive, "-") == plain.text().replace(unpacked, "-"),
                "{}",
                packed.told()
            );
            rows(packed.text());
            processes += 1;
        }
    }
    assert!(processes > 45, "{processes}");
}

#[test]
fn planted_texts_stand_where_they_were() {
    let archive = testdata("kitchen.tar.zst");
    let truth = Truth::of("kitchen");
    let mut found = 0;
    for hit in truth.0["hits"].as_array().unwrap().iter().filter(|hit| hit["encoding"] == "ascii") {
        let text = format!("NEEDLE_{}_", hit["name"].as_str().unwrap());
        let address =
            u64::from_str_radix(hit["addr"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        let range = format!("{address:x}-{:x}", address + text.len() as u64);
        let arguments =
            ["memparse", "-q", "-p", &hit["pid"].to_string(), "--range", &range, "--raw", &archive];
        let ran = coldcase(&arguments).raw().run().ends_with(0);
        assert_eq!(String::from_utf8_lossy(&ran.stdout), text);
        found += 1;
    }
    assert!(found > 30, "{found}");
}

#[test]
fn what_is_not_in_the_dump_is_named_and_never_zeros() {
    let (child, parent) = (testdata("pre-final.tar.zst"), testdata("pre-checkpoint.tar.zst"));
    let range = ["-p", "1", "--range", "4ae000-4ae020"];
    let ran = memparse(&[&range[..], &[&child]].concat()).ends_with(3);
    assert!(rows(ran.text()).is_empty());
    let line = "# 00000000004ae000-00000000004ae020  32 B: in the parent dump, which was not given\n";
    assert!(ran.text().contains(line), "{}", ran.told());
    assert!(ran.stderr.contains("hint: give the parent dump"), "{}", ran.told());
    let ran = memparse(&[&range[..], &[&child, &parent]].concat()).ends_with(0);
    assert!(ran.text().contains("|NEEDLE_PRE_STAYS|"), "{}", ran.told());
    let raw = coldcase(&["memparse", "--raw", "-p", "1", "--range", "4ae000-4ae020", &child])
        .raw()
        .run()
        .ends_with(3);
    assert_eq!(raw.stdout, b"");

    let ran = memparse(&["-p", "8", "--range", "7f58aec1d000-7f58aec27000", &testdata("kitchen.tar.zst")])
        .ends_with(0);
    for line in [
        "# 00007f58aec1e000-00007f58aec24000  24.0 KiB: never dumped by CRIU\n",
        "# 00007f58aec26000-00007f58aec27000  4.0 KiB: nothing is mapped there\n",
    ] {
        assert!(ran.text().contains(line), "{}", ran.told());
    }
    let ran = memparse(&["-p", "8", "--mapping", "kitchen", &testdata("kitchen.tar.zst")]).ends_with(0);
    assert!(
        ran.text()
            .contains("# 0000000000400000-0000000000401000  4.0 KiB: in the mapped file alone, /kitchen\n")
    );
}

#[test]
fn a_cut_archive_gives_what_stands_before_the_cut() {
    let directory = TempDir::new().unwrap();
    for name in ["tiny.tar", "tiny.tar.gz"] {
        let whole = memparse(&["-p", "1", &testdata(name)]);
        let cut = directory.path().join(name);
        let mut bytes = fs::read(testdata(name)).unwrap();
        let pages =
            plain(testdata(name)).windows(16).rposition(|window| window == b"NEEDLE_BUF_END_4").unwrap();
        // The page image of the process ends in the middle.
        bytes.truncate(if name.ends_with(".gz") { bytes.len() * 3 / 5 } else { pages });
        fs::write(&cut, &bytes).unwrap();
        let ran = memparse(&["-p", "1", cut.to_str().unwrap()]);
        if ran.status == 2 {
            continue; // cut before the process's images
        }
        assert_eq!(ran.status, 3, "{}", ran.told());
        let (whole, part) = (rows(whole.text()), rows(ran.text()));
        assert!(part.len() < whole.len());
        // The last row before the cut may be half full.
        let is_right = |(at, row): (&u64, &String)| whole[at].starts_with(row.trim_end());
        assert!(!part.is_empty() && part.iter().all(is_right), "{}", ran.told());
        assert_eq!(
            ran.messages("gap").iter().filter(|gap| gap.contains("page image")).count(),
            1,
            "{}",
            ran.told()
        );
    }
}

/// What is cut off may be another process's: the dump is whole, and the evidence is not.
#[test]
fn that_the_archive_is_cut_is_told_beside_a_whole_dump() {
    let directory = TempDir::new().unwrap();
    let packed = testdata("counter.tar.zst");
    let cut = directory.path().join("cut.tar.zst");
    fs::write(&cut, &fs::read(&packed).unwrap()[..1_000_000]).unwrap();
    let cut = cut.to_str().unwrap();
    let (whole, part) =
        (memparse(&["-p", "1", &packed]).ends_with(0), memparse(&["-p", "1", cut]).ends_with(3));
    assert_eq!(rows(part.text()), rows(whole.text()));
    let told = part.messages("gap");
    assert!(told.len() == 1 && told[0].contains("the rest of the archive"), "{told:?}");
    // Whether the process has such a mapping is answered from what is there.
    assert_eq!(memparse(&["-p", "1", "--mapping", "nosuch", cut]).ends_with(3).messages("gap"), told);
}

#[test]
fn a_file_has_every_row_is_private_and_is_not_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("dump.txt");
    let output = path.to_str().unwrap();
    let archive = testdata("tiny.tar");
    memparse(&["-p", "1", "-o", output, &archive]).ends_with(0);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("Address  ") && !text.contains("\n*\n"));
    assert_eq!(rows(&text), rows(memparse(&["-p", "1", &archive]).text()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    memparse(&["-p", "1", "-o", output, &archive]).ends_with(2);
    memparse(&["-p", "1", "-o", output, "--raw", "--mapping", "stack", "--force", &archive]).ends_with(0);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len() % 4096, 0);
    assert!(bytes.windows(16).any(|window| window == b"NEEDLE_ARGV_31c7"));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}

/// By whatever name the evidence is given, and whatever is asked.
#[test]
fn evidence_is_never_written_over_or_into() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (archive, parent, inside) =
        (path("tiny.tar"), path("parent.tar"), path("dir/checkpoint/pages-1.img"));
    let link = path("link.tar");
    fs::copy(testdata("tiny.tar"), &archive).unwrap();
    fs::copy(testdata("tiny.tar"), &parent).unwrap();
    fs::hard_link(&archive, &link).unwrap();
    let whole = path("dir");
    tar::Archive::new(fs::File::open(&archive).unwrap()).unpack(&whole).unwrap();
    let images = fs::read(&inside).unwrap();
    let new = path("dir/new");
    let located = format!("{archive}//checkpoint");
    for (evidence, output) in [
        (&[archive.as_str()][..], &archive),
        (&[&located], &archive),
        (&["--parent", &parent, &archive], &parent),
        (&[&archive], &link),
        (&[&whole], &inside),
        (&[&whole], &new),
    ] {
        let ran = memparse(&[&["-p", "1", "--raw", "--force", "-o", output], evidence].concat()).ends_with(2);
        assert!(ran.stderr.contains("evidence"), "{}", ran.told());
    }
    coldcase(&["memparse", "-p", "1", "--raw", "--force", "-o", &archive, "-"])
        .redirected_from(&archive)
        .run()
        .ends_with(2);
    for output in [&whole, &new] {
        for command in [&["recover", "--all"][..], &["coredump"], &["rootfs", "extract"]] {
            let ran = coldcase(&[command, &["-o", output, &whole]].concat()).run().ends_with(2);
            assert!(ran.stderr.contains("evidence"), "{}", ran.told());
        }
    }
    assert!(fs::read(&archive).unwrap() == fs::read(testdata("tiny.tar")).unwrap());
    assert!(fs::read(&inside).unwrap() == images && !Path::new(&new).exists());
}

#[test]
fn questions_that_have_no_answer_are_refused() {
    let archive = testdata("kitchen.tar.zst");
    for (arguments, why) in [
        (&["-p", "25"][..], "had ended and has no memory"),
        (&["-p", "999"], "no process with PID 999"),
        (&["--mapping", "heap"], "a dump of memory is of one process"),
        (&["-p", "1", "-p", "2"], "a dump of memory is of one process"),
        (&["-s", ""], "empty"),
    ] {
        let ran = memparse(&[arguments, &[&archive]].concat()).ends_with(2);
        assert!(ran.stderr.contains(why), "{}", ran.told());
    }
    memparse(&["-p", "8", "--mapping", "nowhere.so", &archive]).ends_with(1);
    for arguments in [&["-s", "x", "-r", "y"][..], &["-c", "3"], &["-s", "x", "--raw"], &["--force"]] {
        memparse(&[arguments, &[&archive]].concat()).ends_with(2);
    }
    let ran = memparse(&["-p", "1", &archive, &testdata("tiny.tar")]).ends_with(2);
    assert!(ran.stderr.contains("several dumps"), "{}", ran.told());
    let ran = coldcase(&["memparse", "-p", "1", "-"])
        .fed(fs::read(testdata("tiny.tar.gz")).unwrap())
        .run()
        .ends_with(2);
    assert!(ran.stderr.contains("--spool"), "{}", ran.told());
}

#[test]
fn a_reader_who_went_away_is_no_error() {
    for archive in ["tiny.tar", "kitchen.tar.zst"].map(testdata) {
        for arguments in
            [&["memparse", "-p", "1", &archive][..], &["memparse", "-p", "1", "--raw", "-q", &archive]]
        {
            let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_coldcase"))
                .args(arguments)
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            drop(child.stdout.take()); // before anything is written
            let ended = child.wait_with_output().unwrap();
            assert_eq!(
                (ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()),
                (Some(0), ""),
                "{arguments:?}"
            );
        }
    }
}

fn addresses(text: &str) -> BTreeSet<String> {
    goldens::table(text)
        .iter()
        .flatten()
        .filter(|(title, _)| title == "ADDRESS")
        .map(|(_, cell)| cell.clone())
        .collect()
}

#[test]
fn matches_are_those_of_checkpointctl_and_those_that_it_misses() {
    for (golden, archive, arguments) in [
        (
            "tiny/memparse-pid-1-search-NEEDLE_ANON_5d20.out",
            "tiny.tar",
            ["-p", "1", "-s", "NEEDLE_ANON_5d20"],
        ),
        (
            "kitchen/memparse-search-37-NEEDLE_environ.txt",
            "kitchen.tar.zst",
            ["-p", "37", "-s", "NEEDLE_environ"],
        ),
    ] {
        let ran =
            memparse(&[&arguments[..], &["-c", "16", &testdata(archive)]].concat()).ends_with(0).quietly();
        assert!(ran.text().starts_with("ADDRESS            MATCH  "), "{}", ran.told());
        assert_eq!(addresses(ran.text()), addresses(&goldens::text(golden)), "{}", ran.told());
    }
    // Shared memory, and a text over the border of two images; bytes that are no ASCII; all processes at once.
    let kitchen = testdata("kitchen.tar.zst");
    for arguments in [
        &["-p", "8", "-s", "NEEDLE_anon_shared"][..],
        &["-p", "9", "-s", "NEEDLE_memfd_mapped"],
        &["-p", "9", "-r", r"NEEDLE_shm_sysv_[0-9a-f]{10}"],
        &["-p", "8", "-r", r"N\x00E\x00E\x00D\x00L\x00E\x00_\x00u\x00t\x00f\x001\x006\x00l\x00e"],
        &["-s", "NEEDLE_memfd_mapped"],
    ] {
        let ran = memparse(&[arguments, &[&kitchen]].concat()).ends_with(0);
        assert!(!addresses(ran.text()).is_empty(), "{}", ran.told());
    }
    let ran = memparse(&["-s", "NEEDLE_anon_shared", &kitchen]).ends_with(0);
    assert!(ran.text().contains("PROCESS NAME") && ran.text().contains("mem-child"), "{}", ran.told());
    let ran = memparse(&["-p", "8", "-s", "nowhere", &kitchen]).ends_with(1);
    assert_eq!(ran.text(), "No matches for pattern \"nowhere\" in the memory of PID 8\n");
}

#[test]
fn how_many_matches_are_shown_is_told_where_not_all_are() {
    let archive = testdata("counter.tar.zst");
    // As many as `coldcase grep` keeps.
    let ran = coldcase(&["memparse", "-s", "e", &archive]).run().ends_with(0).quietly();
    assert!(rows_shown(&ran) > 70_000);
    let ran = coldcase(&["memparse", "-s", "e", "-c", "400", &archive]).run().ends_with(0);
    let shown = rows_shown(&ran);
    let gaps = ran.messages("gap");
    assert!(gaps[0].contains(&format!("; {shown} are shown, ")) && gaps.len() == 1, "{gaps:?}");
    assert!((10_000..70_000).contains(&shown), "{shown}");
}

/// Rows below the heading.
fn rows_shown(ran: &Ran) -> usize {
    ran.text().lines().count() - 2
}

#[test]
fn sizes_and_dumps_of_all_evidence_do_nothing_to_a_terminal() {
    for archive in all_of_testdata() {
        let all_dumps: &[&str] = if has_several_dumps(&archive) { &["--all-dumps"] } else { &[] };
        memparse(&[all_dumps, &[&archive]].concat());
    }
    let pids: Vec<String> = sizes(memparse(&[&testdata("hostile.tar.zst")]).text()).into_keys().collect();
    for pid in pids.iter().take(5) {
        memparse(&["-p", pid, &testdata("hostile.tar.zst")]);
    }
}

#[test]
fn sizes_in_the_corpus_are_checkpointctls() {
    let Some(corpus) = corpus() else { return };
    for name in ["compromised", "counter-runc"] {
        let golden = corpus.join(format!("checkpoints/golden/{name}/checkpointctl"));
        let read = |file: &str| fs::read(golden.join(file)).ok();
        let text = read("memparse.out")
            .or_else(|| read("memparse.txt"))
            .or_else(|| read("memparse.txt.zst").map(|packed| zstd::decode_all(packed.as_slice()).unwrap()));
        let golden = sizes(&String::from_utf8_lossy(&text.unwrap()));
        let archive = corpus.join(format!("checkpoints/{name}.tar.zst"));
        let ours = sizes(memparse(&[archive.to_str().unwrap()]).text());
        let mut compared = 0;
        for (pid, (_, size)) in golden.iter().filter(|(pid, _)| pid.parse::<u32>().is_ok()) {
            if let Some(known) = ours
                .get(pid)
                .filter(|_| size.starts_with(|first: char| first.is_ascii_digit()) && size.ends_with('B'))
            {
                assert_eq!(known.1, *size, "{name} {pid}");
                compared += 1;
            }
        }
        assert!(compared > 2, "{name}");
    }
}
