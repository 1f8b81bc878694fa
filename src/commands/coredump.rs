//! `coldcase coredump`: processes as ELF cores for debuggers.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use checkpoint_forensics::core_dump::{self, Answer, CoreDump, Options, Written};
use clap::{Args, ValueHint};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::evidence::split_path;
use container_checkpoint::ids::Pid;
use container_checkpoint::model::Model;

use crate::present::bytes::{count_text, size_text};
use crate::present::cell::Cell;
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::present::whole_file::refuse_evidence;
use crate::session::{EvidenceArgs, Outcome, Session};

/// Write ELF cores of the processes, for gdb and other debuggers
///
/// Each live process of x86-64 becomes `core.PID`: registers as in the images, threads, auxiliary vector, mapped files, and all memory that the images hold. What they don't hold
/// is not in the core, and a debugger says so instead of showing zeros; pages of files that were never written to come from the files themselves (give
/// gdb the container's root with `set sysroot`). Cores are the memory of the victim: they are readable to you alone.
#[derive(Args, Debug)]
pub struct CoredumpArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,

    /// Where the cores go; made if there is none
    #[arg(long, short, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    output: PathBuf,

    /// Only this process; may be given several times
    #[arg(long, short, value_name = "PID")]
    pid: Vec<u32>,

    /// Replace cores that exist
    #[arg(long)]
    force: bool,
}

pub fn run(session: &Session<'_>, args: &CoredumpArgs) -> Outcome {
    refuse_evidence(&args.output, args.evidence.names())?;
    session.end_cleanly_on_signals()?;
    let options = Options {
        directory: args.output.clone(),
        pids: args.pid.iter().copied().map(Pid).collect(),
        overwrite: args.force,
    };
    // Several dumps have the same pids: each gets a directory of its own, whose name is known only when all is opened.
    let make = || CoreDump::new(options.clone(), &session.context);
    let (case, mut rides) = if args.evidence.names_one_dump() {
        session.open_riding(&args.evidence, make)
    } else {
        (session.open(&args.evidence), Vec::new())
    };
    let chosen = session.chosen(&case, &args.evidence);
    if chosen.len() > 1 && !args.output.exists() {
        fs::create_dir(&args.output).with_context(|| format!("cannot make {}", args.output.display()))?;
    }
    for checkpoint in &chosen {
        let options = match chosen.len() {
            1 => options.clone(),
            _ => Options { directory: directory_of(&args.output, checkpoint), ..options.clone() },
        };
        let ride = rides.get_mut(checkpoint.id().evidence);
        let (model, mut findings) = checkpoint.model();
        match core_dump::write(&case, checkpoint.id(), &model, &session.context, ride, &options) {
            Ok(answer) => {
                findings.extend(answer.findings.clone());
                findings.extend(checkpoint.evidence_findings().clone());
                findings.settle();
                session.tell(checkpoint, &findings);
                print(session, checkpoint, &model, &answer)?;
            }
            Err(error) => session.ui.error(Text::own(error)),
        }
    }
    Ok(())
}

/// A directory that tells the dump from the others: its evidence's base name, and its own where that is not enough.
pub fn directory_of(output: &std::path::Path, checkpoint: &Checkpoint<'_>) -> PathBuf {
    let plain = |text: &str| {
        text.replace(|letter: char| !(letter.is_ascii_alphanumeric() || "-_.".contains(letter)), "_")
    };
    let evidence = plain(&String::from_utf8_lossy(split_path(checkpoint.evidence_name()).1));
    let evidence = evidence.trim_start_matches('.');
    let name = if checkpoint.is_one_of_several() {
        format!("{evidence}-{}", plain(checkpoint.name()))
    } else {
        evidence.to_owned()
    };
    output.join(format!("{}-{}", checkpoint.id().evidence + 1, name))
}

fn print(session: &Session<'_>, checkpoint: &Checkpoint<'_>, model: &Model, answer: &Answer) -> Outcome {
    let mut table = Table::new([
        Column::whole("PID"),
        Column::wrapped("COMMAND"),
        Column::whole("THREADS"),
        Column::whole("SIZE"),
        Column::whole("LEFT TO FILES"),
        Column::wrapped("CORE"),
    ]);
    for written in &answer.written {
        let command = model.processes.get(written.pid).and_then(|process| process.command.known());
        table.row([
            Cell::own(written.pid),
            command.map_or_else(Cell::empty, Cell::evidence),
            Cell::own(written.threads),
            Cell::size(written.bytes),
            Cell::size(written.left_to_files),
            Cell::from(Text::name(&written.path)),
        ]);
        tell_absent(session, checkpoint, written);
    }
    if !table.is_empty() {
        session.ui.table(&table)?;
    }
    if answer.written.iter().any(|written| written.auxv_was_cut) {
        session.ui.note("CRIU keeps 22 entries of an auxiliary vector: `info auxv` may lack the last ones");
    }
    for skipped in &answer.skipped {
        let text = Text::evidence(checkpoint.full_name())
            .and(format_args!(": no core of process {}: ", skipped.pid));
        session.ui.note(text.and(Text::evidence(skipped.why.to_string())));
    }
    if model.is_pre_dump {
        session.ui.note(
            Text::evidence(checkpoint.full_name()).and(": a pre-dump holds memory and no processes: no core"),
        );
    } else if answer.written.is_empty() {
        let pids = if answer.skipped.is_empty() {
            "no process in the dump"
        } else {
            "no process of which a core could be written"
        };
        session.ui.gap("cores", Text::evidence(checkpoint.full_name()), pids);
    }
    Ok(())
}

/// What a core lacks although the evidence names it.
fn tell_absent(session: &Session<'_>, checkpoint: &Checkpoint<'_>, written: &Written) {
    let place = || Text::evidence(checkpoint.full_name()).and(format_args!("//pid {}", written.pid));
    for absent in &written.absent {
        let what = Text::own(format_args!("{} of memory at {}", size_text(absent.len), absent.start));
        session.ui.gap(what, place(), Text::own(absent.why.why()));
    }
    for tid in &written.threads_without_registers {
        session.ui.gap(Text::own(format_args!("thread {tid}")), place(), "its registers can't be had");
    }
    if written.unnamed_mappings > 0 {
        let count = count_text(written.unnamed_mappings as u64, "mapping is", "mappings are");
        session
            .ui
            .note(place().and(format_args!(": {count} not in the list of mapped files, which is full")));
    }
}
