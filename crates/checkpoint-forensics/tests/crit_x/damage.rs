//! Missing, damaged and forged images: what is left is shown, what is not says why, nothing runs away.

use checkpoint_forensics::crit_x::{Question, explore};
use container_checkpoint::model::Model;
use serde_json::{Value, json};

use super::evidence::{Images, QUESTIONS, golden};

fn tree() -> Images {
    Images::of("images/tree.tar.zst", None)
}

/// The lines of one process.
fn lines_of<'t>(text: &'t str, pid: &str) -> Vec<&'t str> {
    let after = text.lines().skip_while(|line| *line != pid).skip(1);
    after.take_while(|line| line.starts_with('\t')).collect()
}

#[test]
fn a_missing_image_costs_only_what_it_holds() {
    let cases: [(&str, Question, &[&str]); 6] = [
        ("ids-60.img", Question::Fds, &["\t      ?: [unreadable]", "\t    cwd: /tmp/mix", "\t   root: /"]),
        ("fdinfo-3.img", Question::Fds, &["\t      ?: [unreadable]", "\t    cwd: /tmp/mix", "\t   root: /"]),
        ("mm-60.img", Question::Mems, &["\texe                                     [unreadable]"]),
        ("pagemap-60.img", Question::Rss, &["\t[unreadable]"]),
        ("files.img", Question::Mems, &["\texe                                     unknown path"]),
        ("mm-60.img", Question::Rss, &["\t55d0ba095000 / 1       ", "\t55d0ba097000 / 2       "]),
    ];
    for (image, question, expected) in cases {
        let mut images = tree();
        images.0.remove(image);
        let (text, findings) = images.ask(question);
        assert_eq!(lines_of(&text, "60")[..expected.len()], *expected, "{image}");
        if image != "files.img" {
            assert!(findings.gaps.iter().any(|gap| gap.place.starts_with(image)), "{image}: {findings:?}");
            let whole = tree().text(question);
            assert_eq!(lines_of(&text, "61"), lines_of(&whole, "61"), "{image}");
        }
    }
    let mut images = tree();
    images.0.remove("fs-60.img");
    let (text, _) = images.ask(Question::Fds);
    assert_eq!(lines_of(&text, "60")[17..], ["\t    cwd: [unreadable]", "\t   root: [unreadable]"]);
}

#[test]
fn without_a_process_tree_processes_are_found_by_their_images() {
    let mut images = tree();
    images.0.remove("pstree.img");
    let (text, findings) = images.ask(Question::Ps);
    let header = "    PID   PGID    SID   COMM\n";
    assert_eq!(
        text,
        format!(
            "{header}     57      ?      ?   mix\n     60      ?      ?   child\n     61      ?      ?   stopped one\n"
        )
    );
    assert!(findings.gaps.iter().any(|gap| gap.place == "pstree.img"));
    assert_eq!(images.ask(Question::Fds).0, golden("tree.fds.txt"));
    images.0.remove("core-60.img");
    assert!(!images.ask(Question::Ps).0.contains("child"));
}

#[test]
fn a_process_without_a_core_has_no_name() {
    let mut images = tree();
    images.0.remove("core-60.img");
    let (text, _) = images.ask(Question::Ps);
    assert!(text.contains("\n     60     57     57       [unreadable]\n"), "{text}");
}

#[test]
fn pages_of_unknown_size_are_counted_and_not_placed() {
    let mut images = Images::of("aarch64-16k.tar.zst", None);
    images.edit("mm-151.img", |entries| entries[0]["mm_saved_auxv"] = json!([0, 0]));
    let (text, findings) = images.ask(Question::Rss);
    assert!(text.starts_with("151\n\t5555744a0000 / 1       \n\t5555744bc000 / 2       \n"), "{text}");
    let gap = findings.gaps.iter().find(|gap| gap.place == "mm-151.img").unwrap();
    assert_eq!(gap.why, "nothing says how large a page is");
}

#[test]
fn a_cut_pagemap_shows_what_it_has() {
    let mut images = tree();
    let pagemap = images.0.get_mut("pagemap-60.img").unwrap();
    pagemap.truncate(pagemap.len() - 3);
    let (text, findings) = images.ask(Question::Rss);
    let whole = tree().text(Question::Rss);
    let (cut, all) = (lines_of(&text, "60"), lines_of(&whole, "60"));
    assert!(!cut.is_empty() && cut.len() < all.len());
    assert_eq!(cut, all[..cut.len()]);
    assert!(findings.gaps.iter().any(|gap| gap.place == "pagemap-60.img"), "{findings:?}");
}

#[test]
fn a_forged_pagemap_cannot_repeat_all_mappings_in_each_entry() {
    let mut images = tree();
    let all = json!({"vaddr": 0, "compat_nr_pages": 0, "nr_pages": u64::MAX, "flags": 4});
    images.edit("pagemap-57.img", |entries| {
        entries.truncate(1);
        entries.extend(std::iter::repeat_n(all, 1000));
    });
    let (text, findings) = images.ask(Question::Rss);
    let lines = lines_of(&text, "57");
    assert!(lines.len() < 1100, "{} lines", lines.len());
    let note = findings.notes.iter().find(|note| note.place == "pagemap-57.img").unwrap();
    assert_eq!(note.what, "999 entries do not lie behind those before them");
}

#[test]
fn a_forged_tree_is_not_indented_without_end() {
    let mut images = tree();
    images.edit("pstree.img", |entries| {
        let process = |pid: u64| json!({"pid": pid, "ppid": pid - 1, "pgid": 1, "sid": 1, "threads": [pid]});
        *entries = (1..=3000).map(process).collect::<Vec<Value>>();
    });
    let (text, _) = images.ask(Question::Ps);
    assert_eq!(text.lines().count(), 3001);
    assert!(text.lines().all(|line| line.len() < 450));
}

#[test]
fn every_text_of_the_evidence_goes_through_the_given_function() {
    let images = Images::of("hostile.tar.zst", None);
    let (model, _) = Model::load(&images);
    for (question, word) in QUESTIONS {
        let (answer, _) = explore(question, &images, &model);
        let mut text = Vec::new();
        answer.write_to(&mut text, &|bytes| bytes.escape_ascii().to_string().into()).unwrap();
        let bad = text.iter().find(|byte| !matches!(byte, b'\n' | b'\t' | 32..=126));
        assert_eq!(bad, None, "{word}");
        let is_line =
            |line: &[u8]| line.is_empty() || line[0] == b'\t' || line[0] == b' ' || line[0].is_ascii_digit();
        assert!(text.split(|byte| *byte == b'\n').all(is_line), "{word}");
    }
}

#[test]
fn damage_anywhere_stops_nothing() {
    let whole = Images::of("images/zombie.tar.zst", None);
    let names: Vec<String> = whole.0.keys().cloned().collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below.max(1)
    };
    for _ in 0..300 {
        let mut images = whole.clone();
        let name = &names[next(names.len())];
        let image = images.0.get_mut(name).unwrap();
        for _ in 0..=next(3) {
            let at = next(image.len());
            match next(3) {
                0 => image.truncate(at),
                1 if at < image.len() => image[at] = u8::try_from(next(256)).unwrap(),
                _ => image.insert(at.min(image.len()), 0xff),
            }
        }
        let (model, _) = Model::load(&images);
        for (question, word) in QUESTIONS {
            let (text, _) = images.ask_of(&model, question);
            let lines = text.lines().count();
            assert!(lines < 2000, "{name} {word}: {lines} lines");
        }
    }
}
