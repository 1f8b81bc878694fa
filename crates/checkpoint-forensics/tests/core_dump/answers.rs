//! gdb's answers on our cores against its answers on the cores that gdb wrote of the same frozen processes: the questions are those that were asked of the living ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use checkpoint_forensics::core_dump::Options;
use serde_json::Value;

use super::evidence::{Opened, case, unpacked};

const CASES: [(&str, &[u32]); 7] = [
    ("01-simple", &[48]),
    ("01-static", &[48]),
    ("02-threads", &[48]),
    ("03-shm", &[48]),
    ("04-tree", &[48, 49, 50, 53, 54, 55]),
    ("05-python", &[48]),
    ("08-compat32", &[54]),
];

/// Answers that may be others: the case (all when empty), the beginning of the question, and why.
const ALLOWED: [(&str, &str, &str); 11] = [
    ("", "p $_siginfo", "images hold no siginfo; gdb's has the SIGSTOP of its own attaching"),
    ("", "info threads", "gdb numbers the threads of a process from the newest on"),
    ("04-tree", "info sharedlibrary", "the deleted program is not in the root file system"),
    ("08-compat32", "info sharedlibrary", "as before; gdb finds libraries by the program's first page"),
    (
        "08-compat32",
        "info registers",
        "gdb 13 can't read its own note of AVX state; thread areas are in ours alone",
    ),
    ("08-compat32", "info all-registers", "as before"),
    // Pages of files, which fill the core on request.
    ("03-shm", "x/s m_file_private", "a page of a file that is not in the root file system"),
    ("03-shm", "x/s m_file_shared", "as before"),
    ("03-shm", "x/s m_file_ro", "as before"),
    ("03-shm", "x/s m_deleted", "a deleted file: its content is in a ghost image"),
    ("03-shm", "x/s m_dontdump", "memory that gdb leaves out, and we keep"),
];

/// Asks gdb each question of each thread, by the thread's id, or of the process.
const SCRIPT: &str = r#"
import gdb, json
def ask(question):
    try:
        return gdb.execute(question, to_string=True)
    except gdb.error as error:
        return "error: %s" % error
threads = sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.ptid[1])
answers = []
for question in json.load(open(QUESTIONS)):
    every = "thread apply all -q "
    chosen = threads if question.startswith(every) else threads[:1]
    question = question.removeprefix(every)
    for thread in chosen:
        thread.switch()
        gdb.execute("frame 0", to_string=True)
        answers.append([question, thread.ptid[1], ask(question)])
json.dump(answers, open(ANSWERS, "w"))
"#;

/// The answers by question and thread; `None`, with a word on it, without gdb.
fn asked(open: &[String], questions: &Value) -> Option<BTreeMap<(String, u64), String>> {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("questions"), questions.to_string()).unwrap();
    let script = SCRIPT
        .replace("QUESTIONS", &format!("{:?}", path("questions")))
        .replace("ANSWERS", &format!("{:?}", path("answers")));
    fs::write(path("script.py"), script).unwrap();
    let mut gdb = Command::new("gdb");
    gdb.env("LC_ALL", "C.UTF-8").env("HOME", place.path()).args(["-nx", "-q", "-batch"]);
    for setting in ["set width 0", "set height 0", "set debuginfod enabled off", "set print repeats 0"] {
        gdb.args(["-ex", setting]);
    }
    for command in open.iter().map(String::as_str).chain([format!("source {}", path("script.py")).as_str()]) {
        gdb.args(["-ex", command]);
    }
    let output = match gdb.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: no gdb");
            return None;
        }
        output => output.unwrap(),
    };
    let Ok(answers) = fs::read(path("answers")) else {
        panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let answers: Vec<(String, u64, String)> = serde_json::from_slice(&answers).unwrap();
    Some(
        answers
            .into_iter()
            .map(|(question, tid, answer)| ((question, tid), without_numbers(&answer)))
            .collect(),
    )
}

/// gdb numbers the values that it shows; what it failed to show has no number.
fn without_numbers(answer: &str) -> String {
    let line = |line: &str| match line.split_once(" = ") {
        Some((number, value)) if number.starts_with('$') && number[1..].parse::<u32>().is_ok() => {
            format!("$ = {value}")
        }
        _ => line.to_owned(),
    };
    answer.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn gdb_says_the_same_of_our_core_and_of_its_own() {
    let Some(files) = case("sysroot") else { return };
    let (root, mut used, mut failures) = (unpacked(&files), BTreeSet::new(), Vec::new());
    let (mut same, mut errors) = (0, 0);
    for (name, pids) in CASES {
        let Some(archive) = case(name) else { continue };
        let opened = Opened::new(&[&archive]);
        let given = Some(root.path().to_owned());
        let cores = opened.cores_with(opened.dump("images"), |options| Options {
            undo_restart: true,
            root: given,
            ..options
        });
        let facts: Value = serde_json::from_slice(&opened.member(&format!("{name}/facts.json"))).unwrap();
        let place = tempfile::tempdir().unwrap();
        for pid in pids {
            let process = &facts["processes"][pid.to_string()];
            let end = if pids.len() > 1 { format!(".{pid}") } else { String::new() };
            let reference = place.path().join("core.gcore");
            fs::write(&reference, opened.member(&format!("{name}/core.gcore{end}"))).unwrap();
            let program = root.path().join(process["exe"].as_str().unwrap().trim_start_matches('/'));
            let open = [
                format!("set sysroot {}", root.path().display()),
                if program.is_file() { format!("file {}", program.display()) } else { "echo".to_owned() },
                format!("core-file {}", reference.display()),
            ];
            let script = format!("source {}", script_of(&cores.path(*pid)));
            let questions = &process["queries"];
            let (Some(ours), Some(theirs)) = (asked(&[script], questions), asked(&open, questions)) else {
                return;
            };
            assert_eq!(ours.len(), theirs.len(), "{name} {pid}");
            for (key, theirs) in &theirs {
                let ours = &ours[key];
                if ours == theirs {
                    (same, errors) = (same + 1, errors + usize::from(ours.contains("rror")));
                    continue;
                }
                let reason = ALLOWED
                    .iter()
                    .find(|(of, question, _)| (of.is_empty() || *of == name) && key.0.starts_with(question));
                match reason {
                    Some(reason) => drop(used.insert(*reason)),
                    None => failures.push(format!("{name} {pid}, {key:?}:\n{ours:.600}\nnot\n{theirs:.600}")),
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let unused: Vec<_> = ALLOWED.iter().filter(|reason| !used.contains(*reason)).collect();
    assert!(unused.is_empty(), "allowed and equal: {unused:?}");
    assert!(same > 400 && errors * 5 < same, "{same} are the same, {errors} of them errors");
}

fn script_of(core: &Path) -> String {
    format!("{}.gdb", core.display())
}
