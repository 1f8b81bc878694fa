//! `coldcase coredump`: processes as ELF cores for debuggers.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use checkpoint_forensics::LookedAt;
use checkpoint_forensics::core_dump::{
    self, Absent, Answer, CoreDump, Error, Fill, Help, Options, Refusal, Unit, Warning, Written,
};
use checkpoint_forensics::mapped_files::{Keeper, Room};
use checkpoint_forensics::stores::{Both, Class, Classes, Rider};
use clap::{Args, ValueEnum, ValueHint};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::evidence::split_path;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::Ride;
use container_checkpoint::model::Model;
use container_checkpoint::root_files::Root;

use super::filling::tell_refused;
use crate::present::bytes::size_text;
use crate::present::cell::Cell;
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::present::whole_file::refuse_evidence;
use crate::session::{EvidenceArgs, Outcome, Session};

/// Write ELF cores of the processes, for gdb and other debuggers
///
/// Each live process of x86-64 (32-bit ones too) and aarch64 becomes `core.PID` in the kernel's form: registers, threads, auxiliary vector, mapped files, and all memory that the images hold.
/// What they don't hold is not in the core; pages of files that were never written to come from the files themselves (`--rootfs`). Beside it, `core.PID.gdb` tells gdb what it has to
/// know, and `core.PID.json` what a core can't say; an executable and libraries that are in the evidence (deleted, changed, memory files) are `core.PID.exe` and in `core.PID.libs`. Cores are the
/// memory of the victim: they are readable to you alone.
#[derive(Args, Debug)]
pub struct CoredumpArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,

    /// Where the cores go; made if there is none. `-` writes the core of one process to standard output
    #[arg(long, short, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    output: PathBuf,

    /// With `--output -`: where a temporary file may be made
    ///
    /// Needed when the evidence can be read only once, and when more than 64 MiB of shared memory would have to be kept.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    spool: Option<PathBuf>,

    /// Only this process; may be given several times
    #[arg(long, short, value_name = "PID")]
    pid: Vec<u32>,

    /// Replace cores that exist
    #[arg(long)]
    force: bool,

    /// The container's root file system: a directory, an OCI layout or an archive; may be given several times
    ///
    /// Pages of files that a process did not write to are in no checkpoint. They are taken from here, if the build id or the size is that of the file that was mapped; gdb takes
    /// code and symbols from the first directory; of an image or archive, those of mapped files are written beside the core.
    #[arg(long, value_name = "ROOT", value_hint = ValueHint::AnyPath)]
    rootfs: Vec<PathBuf>,

    /// Which pages of files that a process did not write to are put into its core
    ///
    /// From ghost files of deleted ones, from files that the container changed, and from --rootfs.
    #[arg(long, value_enum, default_value_t = FillName::Headers)]
    fill: FillName,

    /// Show interrupted system calls as a debugger of the living process did
    ///
    /// CRIU sets a thread in a system call back before it, so that it is made again after a restore. What the kernel had returned (ERESTARTSYS and its kin) is lost;
    /// it follows from the call in all but rare cases.
    #[arg(long)]
    undo_restart: bool,

    /// Leave out memory that programs asked to leave out of cores
    ///
    /// That is MADV_DONTDUMP: keys and passwords, often. The images hold it, and so do cores unless this is given.
    #[arg(long)]
    honour_dontdump: bool,

    /// Repeat addresses as physical ones, for readers of physical memory such as Volatility
    #[arg(long)]
    physical: bool,
}

/// Which pages of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FillName {
    /// None
    None,
    /// The first page of each ELF file, with its build id
    Headers,
    /// All that the kernel would have written: also the rest of mappings that were written to
    All,
}

impl From<FillName> for Fill {
    fn from(name: FillName) -> Self {
        match name {
            FillName::None => Self::None,
            FillName::Headers => Self::Headers,
            FillName::All => Self::All,
        }
    }
}

/// How many bytes of ELF files are kept while evidence goes by, in case that their first pages are wanted.
const ELF_FILES_KEPT: u64 = 64 << 20;
/// So many lost ranges of a process are told one by one for each reason.
const RANGES_TOLD: usize = 8;

pub fn run(session: &Session<'_>, args: &CoredumpArgs) -> Outcome {
    refuse_evidence(&args.output, args.evidence.names())?;
    session.end_cleanly_on_signals()?;
    let options = Options {
        directory: args.output.clone(),
        pids: args.pid.iter().copied().map(Pid).collect(),
        overwrite: args.force,
        undo_restart: args.undo_restart,
        honour_dontdump: args.honour_dontdump,
        physical: args.physical,
        fill: args.fill.into(),
        root: args.rootfs.iter().find(|root| root.is_dir()).cloned(),
    };
    let mut roots = Vec::new();
    for root in &args.rootfs {
        roots.push(Root::open(root, &session.context)?);
    }
    if args.output.as_os_str() == "-" {
        return write_to_stdout(session, args, &roots, options);
    }
    // Several dumps have the same pids: each gets a directory of its own, whose name is known only when all is opened.
    let make = || CoreDump::new(options.clone(), &session.context);
    let room = Room::new(ELF_FILES_KEPT);
    let keep = || Keeper::any_elf(&room);
    let classes = match options.fill {
        Fill::Headers => [Class::Files, Class::Rootfs].into_iter().collect(),
        Fill::None | Fill::All => Classes::default(),
    };
    let (case, mut rides) = if args.evidence.names_one_dump() {
        let both = || Both::new(Ride::new(make), Rider::new(classes, &session.context, &keep));
        session.open_with(&args.evidence, both)
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
        let mut help = Help { roots: &roots, ..Help::default() };
        if let Some(both) = rides.get_mut(checkpoint.id().evidence) {
            (help.ride, help.kept) = (Some(&mut both.first), Some(&mut both.second));
        }
        // Where not all could be kept, the evidence is read again.
        if !room.was_enough() {
            help.kept = None;
        }
        let (model, mut findings) = checkpoint.model();
        let looked_at =
            LookedAt { case: &case, id: checkpoint.id(), model: &model, context: &session.context };
        match core_dump::write(looked_at, help, &options) {
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

/// Writes one core to standard output, and all that is to be said about it to the other stream.
fn write_to_stdout(session: &Session<'_>, args: &CoredumpArgs, roots: &[Root], options: Options) -> Outcome {
    if session.ui.stdout_is_terminal() {
        anyhow::bail!("a core is no text for a terminal: send it into a file or a pipe");
    }
    let case = session.open(&args.evidence);
    let chosen = session.chosen(&case, &args.evidence);
    let [checkpoint] = chosen.as_slice() else {
        if chosen.is_empty() {
            return Ok(());
        }
        anyhow::bail!("{} dumps were given, and a pipe takes one core", chosen.len());
    };
    let (model, mut findings) = checkpoint.model();
    // With `-` as the directory, paths would seem to be files.
    let options = Options { directory: PathBuf::new(), ..options };
    let looked_at = LookedAt { case: &case, id: checkpoint.id(), model: &model, context: &session.context };
    let (spool, mut out) = (args.spool.as_deref(), session.ui.stdout());
    let answer = match core_dump::stream(looked_at, roots, &options, spool, &mut out) {
        Ok(answer) => answer,
        // A reader who went away is no error; the voice knows.
        Err(error @ Error::Write { .. }) => return Err(error.into()),
        Err(error) => {
            session.ui.error(Text::own(error));
            return Ok(());
        }
    };
    findings.extend(answer.findings.clone());
    findings.extend(checkpoint.evidence_findings().clone());
    findings.settle();
    session.tell(checkpoint, &findings);
    for written in &answer.written {
        tell_absent(session, checkpoint, written);
        for warning in written.warnings() {
            session.ui.note(Text::own(warning));
        }
    }
    tell_refused(session, checkpoint, &answer.refused);
    tell_skipped(session, checkpoint, &model, &answer);
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
        print_end(session, &answer.written)?;
    }
    tell_refused(session, checkpoint, &answer.refused);
    tell_skipped(session, checkpoint, model, answer);
    Ok(())
}

/// Who got no core, and why. That nothing is left of a zombie is no gap.
fn tell_skipped(session: &Session<'_>, checkpoint: &Checkpoint<'_>, model: &Model, answer: &Answer) {
    for skipped in &answer.skipped {
        let (what, why) =
            (format!("core of process {}", skipped.pid), Text::evidence(skipped.why.to_string()));
        let evidence = Text::evidence(checkpoint.full_name());
        match skipped.why {
            Refusal::Zombie => session.ui.note(evidence.and(format_args!(": no {what}: ")).and(why)),
            _ => session.ui.gap(Text::own(what), evidence, why),
        }
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
}

/// What a core lacks although the evidence names it. Many ranges that are missing for one reason are told as one: `core.PID.json` has each.
pub fn tell_absent(session: &Session<'_>, checkpoint: &Checkpoint<'_>, written: &Written) {
    let place = || Text::evidence(checkpoint.full_name()).and(format_args!("//pid {}", written.pid));
    let mut reasons: Vec<(&str, Vec<&Absent>)> = Vec::new();
    for absent in &written.absent {
        let why = absent.why.why();
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, ranges)) => ranges.push(absent),
            None => reasons.push((why, vec![absent])),
        }
    }
    for (why, ranges) in reasons {
        let tell = |what: std::fmt::Arguments<'_>| session.ui.gap(Text::own(what), place(), Text::own(why));
        if let ([first, ..], true) = (ranges.as_slice(), ranges.len() > RANGES_TOLD) {
            let bytes = ranges.iter().fold(0u64, |sum, range| sum.saturating_add(range.len));
            let (size, count) = (size_text(bytes), ranges.len());
            tell(format_args!("{size} of memory in {count} ranges, the first at {}", first.start));
            continue;
        }
        for range in ranges {
            tell(format_args!("{} of memory at {}", size_text(range.len), range.start));
        }
    }
    for tid in &written.threads_without_registers {
        session.ui.gap(Text::own(format_args!("thread {tid}")), place(), "its registers can't be had");
    }
}

/// What could not be known, each thing once for all cores, and how to go on.
fn print_end(session: &Session<'_>, written: &[Written]) -> Outcome {
    let mut things: Vec<(Warning, Vec<Pid>)> = Vec::new();
    for (pid, warning) in
        written.iter().flat_map(|core| core.warnings().into_iter().map(|warning| (core.pid, warning)))
    {
        match things.iter_mut().find(|(thing, _)| thing.what == warning.what) {
            Some((thing, pids)) => {
                thing.amount = thing.amount.saturating_add(warning.amount);
                pids.push(pid);
            }
            None => things.push((warning, vec![pid])),
        }
    }
    if !things.is_empty() {
        session.ui.line("")?;
        session.ui.line("What these cores can't know:")?;
    }
    for (thing, pids) in things {
        let text = match thing.unit {
            Unit::Bytes => format!("{} {}", size_text(thing.amount), thing.what),
            Unit::Things(_) => thing.to_string(),
        };
        let of = if written.len() > 1 { format!("{}: ", pids_text(&pids)) } else { String::new() };
        session.ui.line(Text::own(format_args!("  {of}{text}")))?;
    }
    if let Some(script) = written.iter().find_map(|core| core.script.as_deref()) {
        session.ui.line("")?;
        session.ui.line(Text::own("To debug: gdb -x ").and(Text::name(script)))?;
    }
    Ok(())
}

/// The first few processes.
fn pids_text(pids: &[Pid]) -> String {
    const SHOWN: usize = 6;
    let mut text: Vec<String> = pids.iter().take(SHOWN).map(Pid::to_string).collect();
    if pids.len() > SHOWN {
        text.push(format!("and {} more", pids.len() - SHOWN));
    }
    format!("core.{}", text.join(", "))
}
