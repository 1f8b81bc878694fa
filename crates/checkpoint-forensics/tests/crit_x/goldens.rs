//! crit's own text of real dumps: what is in testdata/crit-x/README.md.

use checkpoint_forensics::crit_x::Question;

use super::evidence::{Images, QUESTIONS, assert_as_crit, golden};

/// Archive, dump in it, start of the goldens' names, questions.
const DUMPS: [(&str, Option<&str>, &str, &[&str]); 9] = [
    ("images/tree.tar.zst", None, "tree", &["ps", "fds", "mems", "rss"]),
    ("crit-x/gen-v3.5.tar.zst", None, "tree", &["ps", "fds", "mems", "rss"]),
    ("crit-x/gen-v1.0.tar.zst", None, "tree", &["ps", "fds", "mems", "rss"]),
    ("images/zombie.tar.zst", None, "zombie", &["ps", "fds", "mems", "rss"]),
    ("criu317-mix.tar.zst", None, "criu317-mix", &["mems", "rss"]),
    ("criu317-chain.tar.zst", Some("chain/3"), "criu317-chain-3", &["rss"]),
    ("criu317-chain.tar.zst", Some("lazy"), "criu317-lazy", &["rss"]),
    ("criu43-guard.tar.zst", None, "criu43-guard", &["mems"]),
    ("aarch64-16k.tar.zst", None, "aarch64-16k", &["ps", "fds", "mems"]),
];

#[test]
fn real_dumps_read_as_crit_prints_them() {
    for (archive, dump, start, questions) in DUMPS {
        let images = Images::of(archive, dump);
        for (question, word) in QUESTIONS.iter().filter(|(_, word)| questions.contains(word)) {
            let crits = golden(&format!("{start}.{word}.txt"));
            assert_as_crit(&images.text(*question), &crits, &format!("{archive} {word}"));
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

#[test]
fn every_kind_of_process_and_file_reads_as_crit_prints_it() {
    let images = Images::of("kitchen.tar.zst", None);
    for (question, word) in QUESTIONS {
        let mut crits = golden(&format!("kitchen.{word}.txt"));
        if question == Question::Fds {
            // A name with a line feed is quoted, and so a line stays a line.
            let broken = "\t     18: unix[462110 (0) =00nul=00inside=FF\n]\n";
            assert!(crits.contains(broken));
            crits = crits.replace(broken, "\t     18: unix[462110 (0) =00nul=00inside=FF=0A]\n");
        }
        assert_as_crit(&images.text(question), &crits, word);
    }
}
