//! `coldcase gdb`: a process's core, and gdb on it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, ExitStatus};

use anyhow::{Context as _, bail};
use checkpoint_forensics::LookedAt;
use checkpoint_forensics::core_dump::{self, Help, Options, Written};
use clap::{Args, ValueHint};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::ids::Pid;
use container_checkpoint::model::Model;
use container_checkpoint::root_files::Root;

use super::coredump::{FillName, tell_absent};
use super::filling::tell_refused;
use crate::present::hint::WithHint as _;
use crate::present::text::Text;
use crate::session::{EvidenceArgs, Outcome, Session};

/// Debug a process: write its core and start gdb on it
///
/// As `coredump` and `gdb -x core.PID.gdb`. The core is in a directory of its own below that for temporary files, readable to you alone, and goes when gdb ends; `--output`
/// keeps it. Nothing that the container holds is run.
#[derive(Args, Debug)]
pub struct GdbArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,

    /// Which process; the first one when there is no choice
    #[arg(long, short, value_name = "PID")]
    pid: Option<u32>,

    /// The container's root file system: a directory, an OCI layout or an archive; may be given several times
    ///
    /// gdb takes code and symbols from the first directory; of an image or archive, those of mapped files are written beside the core.
    #[arg(long, value_name = "ROOT", value_hint = ValueHint::AnyPath)]
    rootfs: Vec<PathBuf>,

    /// Which pages of files that the process did not write to are put into its core
    #[arg(long, value_enum, default_value_t = FillName::Headers)]
    fill: FillName,

    /// Show interrupted system calls as a debugger of the living process did
    #[arg(long)]
    undo_restart: bool,

    /// Keep the core in this directory; made if there is none
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: Option<PathBuf>,

    /// The debugger; for cores of another machine than this one, gdb-multiarch if it is there
    #[arg(long, value_name = "PROGRAM", value_hint = ValueHint::CommandName)]
    gdb: Option<OsString>,

    /// A command for gdb, run when the core is loaded; may be given several times
    #[arg(long = "execute", short = 'x', value_name = "COMMAND")]
    commands: Vec<OsString>,

    /// End gdb behind the commands
    #[arg(long)]
    batch: bool,
}

/// Which debuggers know cores of other machines.
const DEBUGGERS: [&str; 2] = ["gdb-multiarch", "gdb"];

pub fn run(session: &Session<'_>, args: &GdbArgs) -> Outcome {
    session.leave_signals_to_child()?;
    let case = session.open(&args.evidence);
    let chosen = session.chosen(&case, &args.evidence);
    let [checkpoint] = chosen.as_slice() else {
        match chosen.len() {
            0 => return Ok(()), // told already
            several => bail!("{several} dumps were given, and gdb takes one core"),
        }
    };
    let mut roots = Vec::new();
    for root in &args.rootfs {
        roots.push(Root::open(root, &session.context)?);
    }
    let (model, mut findings) = checkpoint.model();
    let pid = process_of(session, args, checkpoint, &model)?;
    let temporary = match &args.output {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new().prefix("coldcase-gdb-").tempdir().context("a directory for the core")?,
        ),
    };
    let directory = temporary.as_ref().map(tempfile::TempDir::path).or(args.output.as_deref());
    let options = Options {
        directory: directory.unwrap_or(Path::new(".")).to_owned(),
        pids: vec![pid],
        overwrite: temporary.is_some(),
        undo_restart: args.undo_restart,
        fill: args.fill.into(),
        root: args.rootfs.iter().find(|root| root.is_dir()).cloned(),
        ..Options::default()
    };
    let looked_at = LookedAt { case: &case, id: checkpoint.id(), model: &model, context: &session.context };
    let answer = core_dump::write(looked_at, Help { roots: &roots, ..Help::default() }, &options)?;
    findings.extend(answer.findings.clone());
    findings.extend(checkpoint.evidence_findings().clone());
    findings.settle();
    session.tell(checkpoint, &findings);
    tell_refused(session, checkpoint, &answer.refused);
    let Some(written) = answer.written.first() else {
        let why = answer.skipped.first().map(|skipped| skipped.why.to_string()).unwrap_or_default();
        bail!("no core of process {pid}: {why}");
    };
    tell_absent(session, checkpoint, written);
    for warning in written.warnings() {
        session.ui.note(Text::own(warning));
    }
    let status = debug(args, written)?;
    if !status.success() {
        bail!("gdb ended with {status}");
    }
    Ok(())
}

/// The process that was asked for, or the first one that lives.
fn process_of(
    session: &Session<'_>,
    args: &GdbArgs,
    checkpoint: &Checkpoint<'_>,
    model: &Model,
) -> anyhow::Result<Pid> {
    if let Some(pid) = args.pid {
        return Ok(Pid(pid));
    }
    let mut living = model.processes.iter().filter(|process| !process.mappings().is_empty());
    let Some(first) = living.next() else { bail!("no process with memory in the dump") };
    let others = living.count();
    if others > 0 {
        let name = first.command.known().map_or(&b""[..], Vec::as_slice);
        let text = Text::evidence(checkpoint.full_name()).and(format_args!(": process {} (", first.pid));
        let text = text.and_evidence(name).and(format_args!("); {others} others: --pid chooses"));
        session.ui.note(text);
    }
    Ok(first.pid)
}

/// Starts the debugger and waits for its end.
fn debug(args: &GdbArgs, written: &Written) -> anyhow::Result<ExitStatus> {
    let is_own = written.machine == std::env::consts::ARCH
        || (written.machine == "i386" && cfg!(target_arch = "x86_64"));
    let programs: Vec<OsString> = match &args.gdb {
        Some(program) => vec![program.clone()],
        None => DEBUGGERS.iter().skip(usize::from(is_own)).map(OsString::from).collect(),
    };
    for program in &programs {
        let mut command = process::Command::new(program);
        command.arg("-q");
        if args.batch {
            command.arg("-batch");
        }
        if let Some(script) = &written.script {
            command.arg("-x").arg(script);
        }
        for line in &args.commands {
            command.arg("-ex").arg(line);
        }
        match command.status() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            status => return status.with_context(|| Text::name(program).to_string()),
        }
    }
    let names = programs.iter().map(|program| program.to_string_lossy()).collect::<Vec<_>>().join(", ");
    Err(anyhow::anyhow!("no debugger: {names}"))
        .hint("install gdb (for other machines gdb-multiarch), or name one with --gdb")
}
