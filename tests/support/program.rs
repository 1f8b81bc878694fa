//! Runs the program as a user would, in an environment of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::safe;

/// No question on evidence as small as this takes longer, even unoptimised and on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// One run of the program, to be described and then started.
pub struct Coldcase {
    command: Command,
    shown: String,
    input: Input,
    raw: bool,
}

enum Input {
    Nothing,
    File(PathBuf),
    Pipe(Vec<u8>),
}

/// Describes a run with these arguments.
pub fn coldcase<S: AsRef<OsStr>>(arguments: &[S]) -> Coldcase {
    Coldcase::started_by(Command::new(env!("CARGO_BIN_EXE_coldcase")), arguments)
}

/// As [`coldcase`], with an address space of so many bytes: what asks for more dies.
pub fn coldcase_within<S: AsRef<OsStr>>(bytes: u64, arguments: &[S]) -> Coldcase {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"ulimit -v "$0" && exec "$@""#]).arg((bytes / 1024).to_string());
    shell.arg(env!("CARGO_BIN_EXE_coldcase"));
    Coldcase::started_by(shell, arguments)
}

/// As [`coldcase`], with files of at most so many bytes: a write beyond them fails.
pub fn coldcase_filing<S: AsRef<OsStr>>(bytes: u64, arguments: &[S]) -> Coldcase {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"ulimit -f "$0" && exec "$@""#]).arg((bytes / 512).to_string());
    shell.arg(env!("CARGO_BIN_EXE_coldcase"));
    Coldcase::started_by(shell, arguments)
}

impl Coldcase {
    fn started_by<S: AsRef<OsStr>>(mut command: Command, arguments: &[S]) -> Self {
        command.args(arguments).env_clear().env("TZ", "UTC").env("PATH", "/usr/bin:/bin");
        let words: Vec<_> =
            arguments.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
        Self { command, shown: format!("coldcase {}", words.join(" ")), input: Input::Nothing, raw: false }
    }

    /// Sets a variable of the program's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Standard input is this file, as with `<` in a shell.
    pub fn redirected_from(mut self, file: impl AsRef<Path>) -> Self {
        self.input = Input::File(file.as_ref().to_owned());
        self
    }

    /// Standard input is a pipe in which these bytes come.
    pub fn fed(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Pipe(bytes.into());
        self
    }

    /// Standard output is bytes that were asked for, not text for people.
    pub fn raw(mut self) -> Self {
        self.raw = true;
        self
    }

    /// Runs it to its end. Whatever the evidence: it ends by itself, in time, with one of the four statuses, and what
    /// it says may be put on a terminal.
    pub fn run(mut self) -> Ran {
        let stdin = match &self.input {
            Input::Nothing => Stdio::null(),
            Input::File(path) => File::open(path).unwrap().into(),
            Input::Pipe(_) => Stdio::piped(),
        };
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let feeder = child.stdin.take().map(|mut pipe| {
            let Input::Pipe(bytes) = std::mem::replace(&mut self.input, Input::Nothing) else {
                unreachable!()
            };
            // The program may have seen enough before the end: a broken pipe is no error.
            thread::spawn(move || drop(pipe.write_all(&bytes)))
        });
        let start = Instant::now();
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if start.elapsed() > TIME_LIMIT {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            thread::sleep(Duration::from_millis(1));
        };
        if let Some(feeder) = feeder {
            feeder.join().unwrap();
        }
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        let stderr = String::from_utf8(stderr).unwrap_or_else(|error| panic!("{}: {error}", self.shown));
        let code = ended.and_then(|status| status.code());
        let ran = Ran { status: code.unwrap_or(-1), stdout, stderr, shown: self.shown };
        assert!(matches!(ran.status, 0..=3), "ended by {ended:?}\n{}", ran.told());
        safe::assert_harmless(ran.stderr.as_bytes(), &ran.shown);
        if !self.raw {
            safe::assert_harmless(&ran.stdout, &ran.shown);
        }
        ran
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// What came of a run.
pub struct Ran {
    /// The exit status.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
    shown: String,
}

impl Ran {
    /// All of it, for messages.
    pub fn told(&self) -> String {
        let out: String = String::from_utf8_lossy(&self.stdout).chars().take(2000).collect();
        let err: String = self.stderr.chars().take(2000).collect();
        format!("$ {}\nstatus {}\n--- stdout\n{out}\n--- stderr\n{err}", self.shown, self.status)
    }

    /// Asserts the exit status.
    #[track_caller]
    pub fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}", self.told());
        self
    }

    /// Asserts that there is nothing on standard error.
    #[track_caller]
    pub fn quietly(self) -> Self {
        assert_eq!(self.stderr, "", "{}", self.told());
        self
    }

    /// Standard output as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.told()))
    }

    /// The lines of standard error that begin with this kind: `gap`, `note`, `error`, `warning`.
    pub fn messages(&self, kind: &str) -> Vec<&str> {
        let start = format!("coldcase: {kind}: ");
        self.stderr.lines().filter_map(|line| line.strip_prefix(start.as_str())).collect()
    }

    /// The documents of an array of JSON.
    #[track_caller]
    pub fn documents(&self) -> Vec<Value> {
        match serde_json::from_slice(&self.stdout) {
            Ok(Value::Array(documents)) => documents,
            Ok(_) => panic!("no array: {}", self.told()),
            Err(error) => panic!("{error}: {}", self.told()),
        }
    }

    /// The only document of an array of JSON.
    #[track_caller]
    pub fn document(&self) -> Value {
        let mut documents = self.documents();
        assert_eq!(documents.len(), 1, "{}", self.told());
        documents.remove(0)
    }

    /// Lines of JSON: a header, records, gaps, a summary.
    #[track_caller]
    pub fn records(&self) -> Records {
        let parsed = self.text().lines().map(serde_json::from_str);
        let mut lines: Vec<Value> =
            parsed.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}: {}", self.told()));
        assert!(lines.len() >= 2, "no header and summary: {}", self.told());
        let summary = lines.pop().unwrap();
        let header = lines.remove(0);
        assert_eq!(header["type"], "header", "{}", self.told());
        assert_eq!(summary["type"], "summary", "{}", self.told());
        let (gaps, records) = lines.into_iter().partition(|line| line["type"] == "gap");
        Records { header, records, gaps, summary }
    }
}

/// An answer in lines of JSON.
pub struct Records {
    /// The first line.
    pub header: Value,
    /// What was found.
    pub records: Vec<Value>,
    /// What could not be looked at.
    pub gaps: Vec<Value>,
    /// The last line.
    pub summary: Value,
}

impl Records {
    /// The records of a type.
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.records.iter().filter(|record| record["type"] == kind).collect()
    }
}
