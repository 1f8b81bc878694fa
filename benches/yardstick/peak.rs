//! The most anonymous memory that a command has: what it took for itself, without the files that it maps.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use anyhow::Context as _;

/// How often the kernel is asked.
const PAUSE: Duration = Duration::from_micros(500);

/// Runs a command, its output thrown away.
pub fn of(command: &[OsString]) -> anyhow::Result<String> {
    let (program, arguments) = command.split_first().context("no command is given")?;
    let mut child = Command::new(program).args(arguments).stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = peak.max(anonymous(&status).unwrap_or(0));
        thread::sleep(PAUSE);
    }
    Ok(format!("{peak} KiB"))
}

/// `RssAnon` in KiB.
fn anonymous(status: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
