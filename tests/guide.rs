//! The guide's commands print what the guide says.
//!
//! A block of the guide that begins with `$ coldcase` is run in the repository, and standard output compared; a line `? N` at its end is the
//! exit status if it is not 0. With COLDCASE_BLESS=1 the guide is written anew from what is printed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

const GUIDE: &str = "docs/GUIDE.md";

#[test]
fn every_command_of_the_guide_prints_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join(GUIDE)).unwrap();
    // What an earlier run has recovered is not replaced.
    let _ = fs::remove_dir_all(root.join("target/recovered"));
    fs::create_dir_all(root.join("target")).unwrap();
    let mut anew = String::new();
    let mut commands = 0;
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        writeln!(anew, "{line}").unwrap();
        if line != "```console" {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (command, expected) = block.split_first().expect("a block without a command");
        let printed =
            run(root, command.strip_prefix("$ coldcase ").expect("a block that does not run coldcase"));
        writeln!(anew, "{command}\n{printed}```").unwrap();
        commands += 1;
        if std::env::var_os("COLDCASE_BLESS").is_none() {
            let expected: String = expected.iter().map(|line| format!("{line}\n")).collect();
            assert_eq!(
                printed, expected,
                "{command}: run with COLDCASE_BLESS=1 to write the guide anew, and look at what changed"
            );
        }
    }
    assert!(commands >= 10, "the guide has only {commands} commands");
    if std::env::var_os("COLDCASE_BLESS").is_some() {
        fs::write(root.join(GUIDE), anew).unwrap();
    }
}

fn run(root: &Path, arguments: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_coldcase"))
        .args(words(arguments))
        .current_dir(root)
        .env("TZ", "UTC")
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let mut text: String = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    match output.status.code() {
        Some(0) => {}
        status => writeln!(text, "? {}", status.unwrap()).unwrap(),
    }
    text
}

/// Splits a command line: blanks separate, single quotes hold together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (number, part) in line.split('\'').enumerate() {
        if number % 2 == 1 {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        let mut pieces = part.split(' ');
        words.last_mut().unwrap().push_str(pieces.next().unwrap());
        words.extend(pieces.map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}
