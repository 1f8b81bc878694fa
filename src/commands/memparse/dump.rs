//! Memory as a hex dump or as bytes, in the order of its addresses.

use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use checkpoint_forensics::in_order::{self, Absence, Error, Keep, Part, Sink, Source};
use container_checkpoint::case::Case;
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::context::Context;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{AddressSpace, Memory, Missing, Selection};

use super::MemparseArgs;
use crate::present::bytes::size_text;
use crate::present::hex_dump::HexDump;
use crate::present::hint::WithHint as _;
use crate::present::text::Text;
use crate::present::whole_file::{WholeFile, refuse_evidence};
use crate::session::{Outcome, Session};

/// The most zeros that are written for memory that was never written to: address spaces have terabytes of it.
const ZEROS_MAX: u64 = 16 << 30;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

pub fn run(session: &Session<'_>, args: &MemparseArgs, selection: &Selection) -> Outcome {
    if args.raw && args.output.is_none() && session.ui.stdout_is_terminal() {
        let refused: Result<()> = Err(anyhow::anyhow!("bytes of memory are not written to a terminal"));
        return refused.hint("-o FILE writes them to a file; without --raw they are shown in hexadecimal");
    }
    let (case, _, filled) = args.fill.open(session, &args.evidence, &selection.pids, || Nobody)?;
    let chosen: Vec<Checkpoint<'_>> = session.chosen(&case, &args.evidence);
    let memories: Vec<Memory> = chosen.iter().map(|checkpoint| Memory::of(&case, checkpoint.id())).collect();
    // A dump that was given as the parent of another one is not what the question is about.
    let is_parent = |checkpoint: &Checkpoint<'_>| {
        memories.iter().any(|memory| memory.ancestry.iter().skip(1).any(|id| *id == checkpoint.id()))
    };
    let mut of: Vec<(&Checkpoint<'_>, &Memory)> =
        chosen.iter().zip(&memories).filter(|(checkpoint, _)| !is_parent(checkpoint)).collect();
    let (checkpoint, memory) = match (of.pop(), of.len()) {
        (Some(only), 0) => only,
        (None, _) => return Ok(()), // said already
        _ => bail!("several dumps are given, and a dump of memory is of one"),
    };
    let mut known = memory.findings.clone();
    known.extend(checkpoint.evidence_findings().clone());
    known.settle();
    session.tell(checkpoint, &known);
    let Some(space) = process(session, checkpoint, memory, selection)? else { return Ok(()) };
    let ranges = selection.of(memory, space);
    if ranges.is_empty() {
        session.ui.answer(crate::exit::Answer::NotFound);
        session.ui.warning(Text::own(format_args!("process {} has no such mapping", space.pid)));
        return Ok(());
    }
    let dumped = Dumped { session, args, selection, case: &case, checkpoint, memory, space, ranges };
    let absences = dumped.write()?;
    session.tell(checkpoint, &filled.findings(checkpoint.id()));
    filled.tell(session, checkpoint, &checkpoint.model().0);
    dumped.tell(&absences);
    Ok(())
}

/// The one process whose memory is asked for.
fn process<'m>(
    session: &Session<'_>,
    checkpoint: &Checkpoint<'_>,
    memory: &'m Memory,
    selection: &Selection,
) -> Result<Option<&'m AddressSpace>> {
    let (model, _) = checkpoint.model();
    let pid = match selection.pids.as_slice() {
        &[pid] => pid,
        [] => {
            let mut living = memory.spaces.iter().filter(|space| model.has_lived(space.pid));
            match (living.next(), living.next()) {
                (Some(only), None) => only.pid,
                _ => {
                    let several: Result<()> = Err(anyhow::anyhow!("a dump of memory is of one process"));
                    return several
                        .hint("choose it with -p; without options, memparse lists them")
                        .map(|()| None);
                }
            }
        }
        _ => bail!("a dump of memory is of one process: give -p once"),
    };
    let found = memory.space(pid).filter(|space| model.has_lived(space.pid));
    if found.is_none() {
        session.ui.error(Text::evidence(checkpoint.full_name()).and(": ").and(no_memory(&model, pid)));
    }
    Ok(found)
}

fn no_memory(model: &container_checkpoint::model::Model, pid: Pid) -> String {
    match model.processes.get(pid) {
        Some(process) if process.is_zombie() => {
            format!("process {pid} had ended and has no memory")
        }
        Some(_) => format!("the dump has no memory of process {pid}"),
        None => format!("no process with PID {pid}"),
    }
}

/// What is dumped.
struct Dumped<'a> {
    session: &'a Session<'a>,
    args: &'a MemparseArgs,
    selection: &'a Selection,
    case: &'a Case,
    checkpoint: &'a Checkpoint<'a>,
    memory: &'a Memory,
    space: &'a AddressSpace,
    ranges: Vec<Range<u64>>,
}

impl Dumped<'_> {
    /// Writes the dump to where it goes; what is not in it.
    fn write(&self) -> Result<Vec<Absent>> {
        let ui = self.session.ui;
        let title = |doing: &str| {
            Text::own(format_args!(
                "{doing} memory pages content for process ID {} from checkpoint: ",
                self.space.pid
            ))
            .and_evidence(self.checkpoint.full_name())
        };
        match &self.args.output {
            Some(path) => {
                self.session.end_cleanly_on_signals()?;
                refuse_evidence(path, self.args.evidence.names())?;
                let mut file = WholeFile::begin(path, self.args.force)?;
                let directory = file.directory().to_owned();
                let absences = self.write_to(&mut file, false, Some(directory))?;
                file.finish()?;
                ui.note(title("Wrote").and(" to file: ").and(Text::name(path)));
                Ok(absences)
            }
            None => {
                if !self.args.raw {
                    ui.line("")?;
                    ui.line(title("Displaying"))?;
                    ui.line("")?;
                }
                let mut out = ui.stdout();
                let absences = self.write_to(&mut out, true, self.session.context.spool.clone())?;
                out.flush()?;
                Ok(absences)
            }
        }
    }

    fn write_to(&self, out: &mut dyn Write, fold: bool, keep_in: Option<PathBuf>) -> Result<Vec<Absent>> {
        if self.args.raw {
            let is_choice = !self.selection.ranges.is_empty() || self.selection.is_by_mapping();
            let mut raw = Raw { out, with_reserved: is_choice, absences: Absences::new(self), zeros: 0 };
            self.read(keep_in, &mut raw)?;
            return Ok(raw.absences.all);
        }
        let mut hex = Hex { dump: HexDump::new(out, fold), absences: Absences::new(self), untold: None };
        self.read(keep_in, &mut hex)?;
        hex.tell()?;
        hex.dump.finish()?;
        Ok(hex.absences.all)
    }

    fn read(&self, keep_in: Option<PathBuf>, sink: &mut dyn Sink) -> Result<()> {
        let Self { session, case, checkpoint, memory, space, .. } = *self;
        // Rows that run over the screen show well enough how far it is.
        let progress = (!session.ui.stdout_is_terminal() || self.args.output.is_some())
            .then(|| session.ui.progress(Text::evidence(checkpoint.evidence_name())));
        let context = match &progress {
            Some(progress) => Context { progress: Arc::new(progress.callback()), ..session.context.clone() },
            None => session.context.clone(),
        };
        let source = Source { case, id: checkpoint.id(), memory, space };
        let findings = in_order::read(
            source,
            &self.ranges,
            &context,
            Keep { directory: keep_in, ..Keep::default() },
            sink,
        );
        drop(progress);
        let findings = match findings {
            Err(error @ Error::OutOfOrder(_)) => {
                return Err(error).hint(
                    "`coldcase unpack` it first; -o FILE or --spool DIR keeps them on a disk meanwhile",
                );
            }
            findings => findings?,
        };
        session.tell(checkpoint, &findings);
        Ok(())
    }

    /// What of the evidence is missing in the dump, once for each reason.
    fn tell(&self, absences: &[Absent]) {
        let ui = self.session.ui;
        let place =
            || Text::evidence(self.checkpoint.full_name()).and(format_args!("//pid {}", self.space.pid));
        let mut told: Vec<(Absence, u64, u64)> = Vec::new();
        for absent in absences {
            let len = absent.end - absent.start;
            match told.iter_mut().find(|(why, ..)| why.why() == absent.why.why()) {
                Some((_, bytes, _)) => *bytes += len,
                None => told.push((absent.why, len, absent.start)),
            }
        }
        for (why, bytes, first) in told {
            let what = format!("{} of memory, the first at {first:#x}", size_text(bytes));
            // Where images are cut or broken is among the findings.
            let is_found = matches!(why, Absence::CutShort | Absence::Missing(Missing::BrokenBlock));
            if why.is_gap() && !is_found {
                ui.gap(Text::own(what), place(), why.why());
            } else if self.args.raw && why != Absence::Unmapped {
                ui.note(place().and(format_args!(": left out: {what}: {}", why.why())));
            }
            if why == Absence::Missing(Missing::ParentNotGiven) {
                ui.hint("give the parent dump with --parent");
            }
        }
    }
}

/// A range that is not in the dump.
struct Absent {
    start: u64,
    end: u64,
    why: Absence,
}

/// The ranges that are not in the dump, joined where they go on.
struct Absences<'a> {
    dumped: &'a Dumped<'a>,
    all: Vec<Absent>,
}

impl<'a> Absences<'a> {
    fn new(dumped: &'a Dumped<'a>) -> Self {
        Self { dumped, all: Vec::new() }
    }

    /// Whether it is worth a word: that nothing is mapped is one only where it was asked for; a pre-dump does not know what is.
    fn is_told(&self, why: Absence) -> bool {
        let is_asked = !self.dumped.selection.ranges.is_empty();
        match why {
            Absence::Unmapped => is_asked,
            Absence::Unknown => is_asked || self.dumped.space.map.is_some(),
            _ => true,
        }
    }

    fn add(&mut self, start: u64, len: u64, why: Absence) {
        let end = start.saturating_add(len);
        match self.all.last_mut() {
            Some(last) if last.end == start && last.why.why() == why.why() => last.end = end,
            _ => self.all.push(Absent { start, end, why }),
        }
    }
}

/// Bytes in hexadecimal, with a line for each range that has none.
struct Hex<'a, W: Write> {
    dump: HexDump<W>,
    absences: Absences<'a>,
    /// A range without bytes that may go on: from, to, why, the file if there is one.
    untold: Option<(u64, u64, Text)>,
}

impl<W: Write> Hex<'_, W> {
    fn tell(&mut self) -> io::Result<()> {
        let Some((start, end, why)) = self.untold.take() else { return Ok(()) };
        self.dump.line(&format!("# {start:016x}-{end:016x}  {}: {why}", size_text(end - start)))
    }

    fn without_bytes(&mut self, start: u64, len: u64, why: Text) -> io::Result<()> {
        let end = start.saturating_add(len);
        match &mut self.untold {
            Some((_, last, known)) if *last == start && *known == why => *last = end,
            _ => {
                self.tell()?;
                self.untold = Some((start, end, why));
            }
        }
        Ok(())
    }

    fn why(&self, why: Absence) -> Text {
        let text = Text::own(why.why());
        let Absence::File(id, _) = why else { return text };
        match self.absences.dumped.memory.files.path(id) {
            Some(path) => text.and(", ").and_evidence(path),
            None => text,
        }
    }
}

impl<W: Write> Sink for Hex<'_, W> {
    fn part(&mut self, address: u64, part: Part<'_>) -> io::Result<()> {
        match part {
            Part::Bytes(bytes) => {
                self.tell()?;
                self.dump.bytes(address, bytes)
            }
            Part::Zeros(len) => self.without_bytes(address, len, "never written: zeros".into()),
            Part::Reserved(len) => {
                self.without_bytes(address, len, "never written, and nobody may access it".into())
            }
            Part::Absent(len, why) if self.absences.is_told(why) => {
                self.absences.add(address, len, why);
                let why = self.why(why);
                self.without_bytes(address, len, why)
            }
            Part::Absent(..) => Ok(()),
        }
    }
}

/// The bytes themselves.
struct Raw<'a, 'o> {
    out: &'o mut dyn Write,
    /// Whether memory that nobody may access is zeros too: not in a dump of all, which it would make gigabytes longer.
    with_reserved: bool,
    absences: Absences<'a>,
    zeros: u64,
}

impl Raw<'_, '_> {
    fn zeros(&mut self, mut len: u64) -> io::Result<()> {
        self.zeros = self.zeros.saturating_add(len);
        if self.zeros > ZEROS_MAX {
            let limit = size_text(ZEROS_MAX);
            return Err(io::Error::other(format!(
                "more than {limit} of zeros for memory that was never written; choose less with --range or --mapping"
            )));
        }
        while len > 0 {
            let part = len.min(ZEROS.len() as u64);
            self.out.write_all(&ZEROS[..part as usize])?;
            len -= part;
        }
        Ok(())
    }
}

impl Sink for Raw<'_, '_> {
    fn part(&mut self, address: u64, part: Part<'_>) -> io::Result<()> {
        match part {
            Part::Bytes(bytes) => self.out.write_all(bytes),
            Part::Zeros(len) => self.zeros(len),
            Part::Reserved(len) if self.with_reserved => self.zeros(len),
            Part::Reserved(_) => Ok(()),
            Part::Absent(len, why) => {
                if self.absences.is_told(why) {
                    self.absences.add(address, len, why);
                }
                Ok(())
            }
        }
    }
}
