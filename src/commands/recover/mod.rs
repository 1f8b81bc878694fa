//! `coldcase recover`: files that are nowhere but in the checkpoint.

mod list;
mod write;

use std::ops::Range;
use std::path::PathBuf;

use anyhow::bail;
use checkpoint_forensics::recover::{Choice, Origin};
use clap::{Args, ValueHint};
use container_checkpoint::ids::Pid;

use super::filling::FillArgs;
use super::format::Format;
use super::selection::parse_range;
use crate::present::hint::WithHint as _;
use crate::session::{EvidenceArgs, Outcome, Session};

/// Write out deleted files, memory files, executables, what was in pipes and queues, ranges of memory
///
/// Without a choice, lists what there is. Each file is written whole or not at all, directly below DIR, under a name made of the last component of its own and of what it was,
/// readable to you alone; nothing is ever replaced. Bytes that the evidence does not hold are holes in the file, and are listed; then the exit status is 3. What can't be
/// had at all is said; then it is 1. Give the parents of an incremental dump too.
#[derive(Args, Debug)]
pub struct RecoverArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,

    #[command(flatten)]
    fill: FillArgs,

    /// Where the files go; made if there is none
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: Option<PathBuf>,

    /// The process that --exe, --fd and --mapping are about; without a choice, list only what it holds
    #[arg(long, short, value_name = "PID")]
    pid: Vec<u32>,

    /// The executable: of the process that --pid names, else of all
    ///
    /// A deleted one and one of memfd_create(2) are in the checkpoint whole. Another one is, if the container changed it; if not, those of its pages are written
    /// that the process had written to.
    #[arg(long, help_heading = "What to write")]
    exe: bool,

    /// What descriptor N of a process leads to
    #[arg(long, value_name = "N", requires = "pid", help_heading = "What to write")]
    fd: Vec<u32>,

    /// A deleted file, by the number in the name of its ghost file (hexadecimal)
    #[arg(long, value_name = "ID", value_parser = parse_hexadecimal, help_heading = "What to write")]
    ghost: Vec<u32>,

    /// A file of memfd_create(2), by the number of its shared object
    #[arg(long, value_name = "ID", help_heading = "What to write")]
    memfd: Vec<u64>,

    /// Shared memory without a name or a SysV segment, by the number of its shared object
    #[arg(long, value_name = "ID", help_heading = "What to write")]
    shm: Vec<u64>,

    /// What is in a pipe, socket, terminal, message queue or BPF map, by the name in the list: `pipe:27`, `packets:12`
    #[arg(long, value_name = "NAME", help_heading = "What to write")]
    queue: Vec<String>,

    /// A range of a process's memory, hexadecimal, the end not included: `7f5800000000-7f5800021000`
    #[arg(long, value_name = "START-END", value_parser = parse_range, requires = "pid", help_heading = "What to write")]
    mapping: Vec<Range<u64>>,

    /// Every deleted file and every memory file
    #[arg(long, help_heading = "What to write")]
    all: bool,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

fn parse_hexadecimal(text: &str) -> Result<u32, String> {
    let digits = text.trim_start_matches("0x");
    u32::from_str_radix(digits, 16).map_err(|_| format!("'{text}' is no hexadecimal number"))
}

pub fn run(session: &Session<'_>, args: &RecoverArgs) -> Outcome {
    let choices = args.choices();
    match (&args.output, choices.as_slice()) {
        (None, []) => list::run(session, args),
        (Some(directory), [_, ..]) => write::run(session, args, &choices, directory),
        (None, _) => Err(anyhow::anyhow!("nothing says where the files go")).hint("give --output DIR"),
        (Some(_), []) => bail!("nothing says what to write; without --output, what there is is listed"),
    }
}

impl RecoverArgs {
    fn choices(&self) -> Vec<Choice> {
        let pids = || self.pid.iter().copied().map(Pid);
        let mut choices = Vec::new();
        if self.all {
            choices.push(Choice::Everything);
        }
        if self.exe && self.pid.is_empty() {
            choices.push(Choice::Executable(None));
        }
        if self.exe {
            choices.extend(pids().map(|pid| Choice::Executable(Some(pid))));
        }
        for pid in pids() {
            choices.extend(self.fd.iter().map(|fd| Choice::Descriptor(pid, *fd)));
            choices.extend(self.mapping.iter().map(|range| Choice::Memory(pid, range.clone())));
        }
        choices.extend(self.ghost.iter().copied().map(Choice::Ghost));
        choices.extend(self.memfd.iter().chain(&self.shm).copied().map(Choice::Shared));
        choices.extend(self.queue.iter().cloned().map(Choice::Queue));
        choices
    }
}

/// The options that choose something.
fn option_text(choice: &Choice, origin: Origin) -> String {
    match choice {
        Choice::Ghost(id) => format!("--ghost {id:x}"),
        Choice::Shared(id) if origin == Origin::Memfd => format!("--memfd {id}"),
        Choice::Shared(id) => format!("--shm {id}"),
        Choice::Queue(name) => format!("--queue {name}"),
        Choice::Descriptor(pid, fd) => format!("-p {pid} --fd {fd}"),
        Choice::Executable(Some(pid)) => format!("-p {pid} --exe"),
        Choice::Executable(None) => "--exe".to_owned(),
        Choice::Memory(pid, range) => format!("-p {pid} --mapping {:x}-{:x}", range.start, range.end),
        Choice::Everything => "--all".to_owned(),
    }
}
