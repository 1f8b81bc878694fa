//! crit's own text of real dumps: what is in testdata/crit-x/README.md.

use std::collections::BTreeMap;

use checkpoint_forensics::crit_x::Question;

use super::evidence::{Images, QUESTIONS, assert_as_crit, golden, testdata};

/// Goldens of one dump of several in an archive: start of their names, archive, dump.
const OF_SEVERAL: [(&str, &str, &str); 2] = [
    ("criu317-chain-3", "criu317-chain.tar.zst", "chain/3"),
    ("criu317-lazy", "criu317-chain.tar.zst", "lazy"),
];

/// The images of the dump that goldens are of.
fn images_of(name: &str) -> Images {
    if let Some((_, archive, dump)) = OF_SEVERAL.iter().find(|(start, ..)| *start == name) {
        return Images::of(archive, Some(dump));
    }
    let archives = [format!("images/{name}.tar.zst"), format!("{name}.tar.zst")];
    let archive = archives.iter().find(|archive| testdata(archive).exists());
    Images::of(archive.unwrap_or_else(|| panic!("no archive for crit-x/{name}")), None)
}

/// What crit prints of each dump, by question: all `NAME.QUESTION.txt` of testdata/crit-x.
fn goldens() -> BTreeMap<String, Vec<(Question, String)>> {
    let mut goldens: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for file in std::fs::read_dir(testdata("crit-x")).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        let Some((name, word)) = file.strip_suffix(".txt").and_then(|stem| stem.rsplit_once('.')) else {
            continue;
        };
        let question = QUESTIONS.iter().find(|(_, it)| *it == word);
        let (question, _) = question.unwrap_or_else(|| panic!("{file}: crit x has no question {word}"));
        goldens.entry(name.to_owned()).or_default().push((*question, golden(&file)));
    }
    goldens
}

#[test]
fn real_dumps_read_as_crit_prints_them() {
    let mut compared = 0;
    for (name, texts) in goldens() {
        let images = images_of(&name);
        for (question, mut crits) in texts {
            if (name.as_str(), question) == ("kitchen", Question::Fds) {
                // A name with a line feed is quoted, and so a line stays a line.
                let broken = "\t     18: unix[462110 (0) =00nul=00inside=FF\n]\n";
                assert!(crits.contains(broken));
                crits = crits.replace(broken, "\t     18: unix[462110 (0) =00nul=00inside=FF=0A]\n");
            }
            assert_as_crit(&images.text(question), &crits, &format!("{name} {question:?}"));
            compared += 1;
        }
    }
    assert!(compared >= 20, "only {compared} texts were compared");
}

#[test]
fn older_generations_of_one_dump_read_as_the_dump() {
    for archive in ["crit-x/gen-v3.5.tar.zst", "crit-x/gen-v1.0.tar.zst"] {
        let images = Images::of(archive, None);
        for (question, word) in QUESTIONS {
            assert_as_crit(
                &images.text(question),
                &golden(&format!("tree.{word}.txt")),
                &format!("{archive} {word}"),
            );
        }
    }
}

#[test]
fn where_crit_is_right_it_is_the_same_byte_for_byte() {
    let tree = Images::of("images/tree.tar.zst", None);
    for (question, word) in QUESTIONS.iter().filter(|(_, word)| *word != "mems") {
        assert_eq!(tree.text(*question), golden(&format!("tree.{word}.txt")));
    }
}
