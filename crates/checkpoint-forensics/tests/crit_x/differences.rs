//! Where crit fails or misleads, what is true: each difference of the documentation.

use checkpoint_forensics::crit_x::Question;
use serde_json::json;

use super::evidence::{Images, golden};

fn tree() -> Images {
    Images::of("images/tree.tar.zst", None)
}

#[test]
fn a_zombie_is_shown_and_has_nothing() {
    let zombie = Images::of("images/zombie.tar.zst", None);
    assert!(zombie.text(Question::Ps).ends_with("\n     62     57     57       zombie\n"));
    for question in [Question::Fds, Question::Mems, Question::Rss] {
        let text = zombie.text(question);
        assert!(text.contains("\n61\n"), "{text}");
        assert!(text.ends_with("\n62\n"), "{text}");
    }
}

#[test]
fn all_roots_are_shown() {
    let mut images = tree();
    images.edit("pstree.img", |entries| entries[2]["ppid"] = json!(0));
    let text = images.text(Question::Ps);
    assert_eq!(
        text,
        "    PID   PGID    SID   COMM\n     57     57     57   mix\n     60     57     57       child\n     61     57     57   stopped one\n"
    );
    // A parent that is not in the dump makes a root too.
    images.edit("pstree.img", |entries| entries[2]["ppid"] = json!(4242));
    assert_eq!(images.text(Question::Ps), text);
}

#[test]
fn memory_files_have_names() {
    let text = tree().text(Question::Mems);
    assert!(
        text.contains("\t7ff450c5f000-7ff450c61000           rw- /memfd:mix-memfd (deleted) (s)\n"),
        "{text}"
    );
    assert!(text.contains("\t7ff450c63000-7ff450c66000           rw- /dev/zero (deleted) (s)\n"), "{text}");
    // Private ones too, where they have an offset, and where pages of them were written.
    let mix = Images::of("criu317-mix.tar.zst", None);
    let text = mix.text(Question::Mems);
    assert!(text.contains("rw- /memfd:gen-memfd (deleted) + 0x4000\n"), "{text}");
    assert!(mix.text(Question::Rss).contains("/ 8        /memfd:gen-memfd (deleted)\n"));
}

#[test]
fn a_program_in_a_memory_file_has_its_name() {
    let mut images = tree();
    images.edit("mm-60.img", |entries| entries[0]["exe_file_id"] = json!(23));
    let text = images.text(Question::Mems);
    assert!(
        text.contains("60\n\texe                                     /memfd:mix-memfd (deleted)\n"),
        "{text}"
    );
}

#[test]
fn pages_have_the_size_of_the_dumped_machine() {
    let text = Images::of("aarch64-16k.tar.zst", None).text(Question::Rss);
    // The entry's second page is in the second mapping; by pages of 4 KiB both would be in the first.
    let entry = "\t5555744bc000 / 2        5555744bc000 / 1        /case/looper\n\
                 \t                        5555744c0000 / 1        /case/looper\n\
                 \t                       \n";
    assert!(text.contains(entry), "{text}");
    assert!(text.contains("\t555578960000 / 1        555578960000 / 40      \n"), "{text}");
}

#[test]
fn pages_that_are_not_in_this_dump_say_so() {
    let chain = Images::of("criu317-chain.tar.zst", Some("chain/3")).text(Question::Rss);
    let lazy = Images::of("criu317-chain.tar.zst", Some("lazy")).text(Question::Rss);
    let marks =
        |text: &str, mark: &str| text.lines().filter(|line| *line == format!("\t{:24}({mark})", "")).count();
    assert!(marks(&chain, "parent") > 0 && marks(&chain, "lazy") == 0, "{chain}");
    assert!(marks(&lazy, "lazy") > 0 && marks(&lazy, "parent") == 0, "{lazy}");
    let entries =
        |text: &str| text.lines().filter(|line| line.starts_with("\t") && !line.starts_with("\t ")).count();
    assert!(marks(&chain, "parent") < entries(&chain));

    let mut images = tree();
    images.edit("pagemap-57.img", |entries| entries[1]["flags"] = json!(0));
    images.edit("pagemap-60.img", |entries| entries[1]["flags"] = json!(5));
    images.edit("pagemap-61.img", |entries| entries[1]["flags"] = json!(2));
    let text = images.text(Question::Rss);
    assert_eq!(["absent", "parent", "lazy"].map(|mark| marks(&text, mark)), [1, 1, 1]);
}

#[test]
fn guard_regions_hold_no_pages() {
    let text = Images::of("criu43-guard.tar.zst", None).text(Question::Rss);
    let guards: Vec<&str> = ["7ffff7fd8000 / 1 ", "7ffff7fdf000 / 8 "].into();
    assert!(guards.iter().all(|guard| !text.contains(guard)), "{text}");
}

#[test]
fn names_of_sockets_stay_on_their_line() {
    let mut images = tree();
    images.edit("files.img", |entries| {
        let socket = entries.iter_mut().find(|file| file["usk"]["ino"] == json!(296_862)).unwrap();
        socket["usk"]["name"] = json!(format!("{}=0A=3D", "x".repeat(100)));
    });
    let text = images.text(Question::Fds);
    assert!(text.contains(&format!("\t      9: unix[296862 (0) {}=0A=3D]\n", "x".repeat(100))), "{text}");
}

#[test]
fn a_pre_dump_shows_its_pages_alone() {
    let images = Images::of("criu317-chain.tar.zst", Some("pre/1"));
    let (text, findings) = images.ask(Question::Rss);
    assert!(text.starts_with("2000\n\t401000 / 1             \n"), "{text}");
    assert!(findings.gaps.is_empty() && findings.notes.is_empty(), "{findings:?}");
    let (text, findings) = images.ask(Question::Ps);
    assert_eq!(text, "    PID   PGID    SID   COMM\n");
    assert_eq!(findings.notes[0].what, "a pre-dump");
}

#[test]
fn bits_of_a_status_decide_as_in_crit() {
    let mut images = tree();
    images.edit("mm-57.img", |entries| {
        let set = [(0x203, 0), (0x101, 9), (0x881, 14), (0x1201, 0), (0x501, 9), (0x2001, 0)];
        for (vma, (status, shmid)) in entries[0]["vmas"].as_array_mut().unwrap().iter_mut().zip(set) {
            vma["status"] = json!(status);
            vma["shmid"] = json!(shmid);
            vma["pgoff"] = json!(0);
        }
    });
    // What crit 4.2.1 prints of the same images.
    let crits = "\t55d0ba094000-55d0ba095000           r-- [stack]\n\
                 \t55d0ba095000-55d0ba096000           r-x shmem[1]\n\
                 \t55d0ba096000-55d0ba097000           r-- packet[2]\n\
                 \t55d0ba097000-55d0ba098000           r--\n\
                 \t55d0ba098000-55d0ba099000           rw- ips[1]\n\
                 \t55d0c6fd4000-55d0c6ff5000           rw-\n";
    let text = images.text(Question::Mems);
    assert!(text.contains(crits), "{text}");
    assert!(text.contains("rw- ips[3]\n"), "another number for another segment: {text}");
}

#[test]
fn pages_outside_of_any_mapping_stand_alone_as_in_crit() {
    let mut images = tree();
    images.edit("mm-57.img", |entries| {
        entries[0]["vmas"].as_array_mut().unwrap().retain(|vma| vma["start"] != json!(0x55d0_ba09_5000_u64));
    });
    let text = images.text(Question::Rss);
    let crits = golden("tree.rss.txt");
    let with =
        "57\n\t55d0ba095000 / 1        55d0ba095000 / 1        /tmp/mix/mix\n\t                       \n";
    assert!(crits.starts_with(with));
    assert_eq!(text, crits.replacen(with, "57\n\t55d0ba095000 / 1       \n", 1));
}
