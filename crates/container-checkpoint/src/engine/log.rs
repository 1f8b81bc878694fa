//! What CRIU's own log says about the dump: `dump.log`.

use std::cell::RefCell;

use crate::files::FileSet;
use crate::gap::{Field, Findings};

/// The dump itself: which CRIU made it, on which host, how it went. Without a log (Podman, Docker, ctr) an
/// OCI image's annotations may still tell the version.
#[derive(Clone, Debug, Default)]
pub struct DumpLog {
    /// CRIU's version, `4.2.1`.
    pub criu_version: Field<String>,
    /// CRIU's commit, if it was built from a repository.
    pub criu_commit: Field<String>,
    /// Node name of the host.
    pub node_name: Field<String>,
    /// The host's kernel.
    pub kernel: Field<Kernel>,
    /// Whether CRIU says that the dump was completed. A log that ends before it says so is unreadable here.
    pub finished: Field<bool>,
    /// How many lines of the log are errors.
    pub errors: Field<u64>,
    /// The last of these lines, without its time.
    pub last_error: Field<String>,
}

/// The kernel as uname(2) names it. An image's annotations know less of it than the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Operating system, `Linux`.
    pub system: Option<String>,
    /// Release, `6.18.44`.
    pub release: String,
    /// Build, `#1 SMP …`.
    pub version: Option<String>,
    /// Architecture: `x86_64` in the log, Go's `amd64` in annotations.
    pub machine: Option<String>,
}

/// How CRIU ends the log of a dump and of a pre-dump.
const ENDINGS: [&[u8]; 2] = [b"Dumping finished successfully", b"Pre-dumping finished successfully"];

/// The file's name; a bare dump has it beside its images.
const NAME: &str = "dump.log";

impl DumpLog {
    /// Reads `dump.log` if there is one.
    pub(super) fn read(bundle: &dyn FileSet, images: &dyn FileSet, findings: &RefCell<Findings>) -> Self {
        if let Some(bytes) = bundle.file(NAME).or_else(|| images.file(NAME)) {
            let log = Self::parse(&bytes);
            let how = match log.finished {
                Field::Known(true) => return log,
                Field::Known(false) => "CRIU says that the dump failed",
                _ => "it ends before the dump does: the log is cut, or CRIU was stopped",
            };
            findings.borrow_mut().note("dump not completed", NAME, how);
            return log;
        }
        if bundle.has(NAME) || images.has(NAME) {
            findings.borrow_mut().gap(
                "log of the dump",
                NAME,
                "the evidence has it, its bytes could not be had",
            );
        }
        Self::default()
    }

    /// Reads the lines of a log. They look like `(00.000023) Version: 4.2.1 (gitid 0)`.
    fn parse(bytes: &[u8]) -> Self {
        let mut log = Self::default();
        let mut errors = 0;
        for line in bytes.split(|byte| *byte == b'\n') {
            let message = without_time(line);
            if let Some(rest) = message.strip_prefix(b"Version: ") {
                if log.criu_version.known().is_none() {
                    log.take_version(&String::from_utf8_lossy(rest));
                }
            } else if let Some(rest) = message.strip_prefix(b"Running on ") {
                if log.node_name.known().is_none() {
                    log.take_host(&String::from_utf8_lossy(rest));
                }
            } else if message.starts_with(b"Error (") {
                errors += 1;
                log.last_error = Field::Known(String::from_utf8_lossy(message).into_owned());
                // The last words of a dump that failed are an error like others: `Error
                // (criu/cr-dump.c:1781): Dumping FAILED.`
                if message.trim_ascii_end().ends_with(b"umping FAILED.") {
                    log.finished = Field::Known(false);
                }
            } else if ENDINGS.contains(&message.trim_ascii_end()) {
                log.finished = Field::Known(true);
            }
        }
        log.errors = Field::Known(errors);
        if log.finished.known().is_none() {
            log.finished = Field::Unreadable("the log ends before the dump does".to_owned());
        }
        log
    }

    /// `4.2.1 (gitid v4.2-10-gabc)`; gitid 0 is a build from a release.
    fn take_version(&mut self, text: &str) {
        let (version, commit) = text.split_once(" (gitid ").unwrap_or((text, ""));
        if !version.trim().is_empty() {
            self.criu_version = Field::Known(version.trim().to_owned());
        }
        let commit = commit.trim_end().trim_end_matches(')');
        if !commit.is_empty() && commit != "0" {
            self.criu_commit = Field::Known(commit.to_owned());
        }
    }

    /// `NODENAME SYSNAME RELEASE VERSION MACHINE`; only VERSION has blanks in it.
    fn take_host(&mut self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        if let [node, system, release, version @ .., machine] = words.as_slice() {
            self.node_name = Field::Known((*node).to_owned());
            self.kernel = Field::Known(Kernel {
                system: Some((*system).to_owned()),
                release: (*release).to_owned(),
                version: Some(version.join(" ")),
                machine: Some((*machine).to_owned()),
            });
        }
    }
}

/// A line without the seconds since the start that CRIU puts before it.
fn without_time(line: &[u8]) -> &[u8] {
    let end = line.iter().take(24).position(|byte| *byte == b')');
    match (line.first(), end.and_then(|end| line.get(end + 1..))) {
        (Some(b'('), Some([b' ', message @ ..])) => message,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "(00.000000) CRIU run id = e1fe\n\
        (00.000023) Version: 4.2.1 (gitid 0)\n\
        (00.000027) Running on vm Linux 6.18.44-fc #1 SMP PREEMPT_DYNAMIC @0 x86_64\n\
        (00.100000) Dumping processes (pid: 310 comm: bash)\n\
        (00.266425) cg:    `- Dumping pids of /\n\
        (00.323608) Dumping finished successfully\n";

    #[test]
    fn tells_version_host_and_success() {
        let log = DumpLog::parse(LOG.as_bytes());
        assert_eq!(log.criu_version, Field::Known("4.2.1".to_owned()));
        assert_eq!(log.criu_commit, Field::NotCaptured);
        assert_eq!(log.node_name, Field::Known("vm".to_owned()));
        let kernel = log.kernel.known().unwrap();
        assert_eq!((kernel.release.as_str(), kernel.machine.as_deref()), ("6.18.44-fc", Some("x86_64")));
        assert_eq!(kernel.version.as_deref(), Some("#1 SMP PREEMPT_DYNAMIC @0"));
        assert_eq!((log.finished, log.errors), (Field::Known(true), Field::Known(0)));
    }

    #[test]
    fn a_log_that_ends_early_does_not_say_how_it_went() {
        let cut = &LOG[..LOG.find("(00.323608)").unwrap()];
        let log = DumpLog::parse(cut.as_bytes());
        assert_eq!(log.criu_version, Field::Known("4.2.1".to_owned()));
        assert!(matches!(log.finished, Field::Unreadable(_)));
        assert!(matches!(DumpLog::parse(b"").finished, Field::Unreadable(_)));
    }

    #[test]
    fn failure_and_its_last_error() {
        let log = DumpLog::parse(
            b"(00.1) Version: 3.17.1 (gitid v3.17-5-gabcdef)\n\
              (00.2) Error (criu/mem.c:1): first\n\
              (00.4) Error (criu/cr-dump.c:1781): Dumping FAILED.\n",
        );
        assert_eq!((log.finished, log.errors), (Field::Known(false), Field::Known(2)));
        assert_eq!(log.last_error, Field::Known("Error (criu/cr-dump.c:1781): Dumping FAILED.".to_owned()));
        assert_eq!(log.criu_commit, Field::Known("v3.17-5-gabcdef".to_owned()));
    }

    #[test]
    fn only_a_log_of_a_completed_dump_is_silent() {
        use super::super::test_files::Files;
        for (text, notes) in
            [(LOG, 0), (&LOG[..60], 1), ("", 1), ("(00.4) Error (c:1): Dumping FAILED.\n", 1)]
        {
            let findings = RefCell::new(Findings::default());
            DumpLog::read(&Files::default().with(NAME, text), &Files::default(), &findings);
            assert_eq!(findings.into_inner().notes.len(), notes, "{text}");
        }
        let findings = RefCell::new(Findings::default());
        let log = DumpLog::read(&Files::default(), &Files::default(), &findings);
        assert_eq!((log.finished, findings.into_inner().notes.len()), (Field::NotCaptured, 0));
    }

    #[test]
    fn a_line_forged_by_a_name_in_the_middle_does_not_count() {
        let log = DumpLog::parse(b"(00.1) files: name (00.2) Version: 9.9 (gitid 0)\n(00.3) Running on \n");
        assert_eq!((log.criu_version, log.node_name), (Field::NotCaptured, Field::NotCaptured));
    }

    #[test]
    fn bytes_of_any_kind_do_no_harm() {
        for bytes in [&b"((((((((((("[..], b")", b"()", b"() ", &[0xff; 300], b"(00.1) Version: \n"] {
            assert_eq!(DumpLog::parse(bytes).criu_version, Field::NotCaptured);
        }
    }
}
