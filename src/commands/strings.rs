//! `coldcase strings`: the printable text in the memory of every process.

use std::io::{self, Write};
use std::ops::ControlFlow;

use checkpoint_forensics::strings::{Coding, Found, Options, Strings};
use clap::{Args, ValueEnum};
use container_checkpoint::case::Case;
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::error::Error;
use container_checkpoint::gap::{Field, Findings};
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{self, Memory, Ride, Selection};
use container_checkpoint::model::Model;
use serde_json::{Map, Value};

use super::filling::{FillArgs, Filled};
use super::mapping::mapping_json;
use super::selection::SelectionArgs;
use crate::cli::parse_size;
use crate::present::bytes::push_address;
use crate::present::escape::push_escaped;
use crate::present::json::{address, gap, image_json, text_fields};
use crate::present::json_lines::JsonLines;
use crate::present::text::Text;
use crate::session::{EvidenceArgs, Outcome, Session};
use crate::ui::Stdout;

/// Print the strings in the memory of every process
///
/// As strings(1): runs of at least MIN printable ASCII characters and tabs, each with the process and the address. They are printed as they lie in the page
/// images, which is process by process and by ascending address; those that touch a place where memory goes on elsewhere in the images (another image, a parent
/// dump, a shared object) come last. A string never goes over a hole in memory. Memory that several processes share is printed once, with all of them. A compressed archive with many strings is read twice, so that
/// nothing has to be taken back.
#[derive(Args, Debug)]
pub struct StringsArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    fill: FillArgs,

    /// Print strings of at least MIN characters
    #[arg(long, short = 'n', value_name = "MIN", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    bytes: u64,

    /// Look for characters in these encodings, each by itself
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "ascii")]
    encoding: Vec<CodingName>,

    /// Print at most this much of a string, and mark it as cut
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_size)]
    max_length: u64,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Plain)]
    format: Format,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line a string: process, address, text
    Plain,
    /// One JSON object a line: a header, a `string` for each, `gap`s, a summary
    Jsonl,
}

/// An encoding, as a user names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CodingName {
    /// Printable ASCII and tab
    Ascii,
    /// The same and all other characters but controls
    #[value(name = "utf-8", alias = "utf8")]
    Utf8,
    /// Printable ASCII and tab in two bytes each, the lower one first
    #[value(name = "utf-16le", alias = "utf16le")]
    Utf16Le,
    /// Printable ASCII and tab in two bytes each, the higher one first
    #[value(name = "utf-16be", alias = "utf16be")]
    Utf16Be,
}

impl From<CodingName> for Coding {
    fn from(name: CodingName) -> Self {
        match name {
            CodingName::Ascii => Self::Ascii,
            CodingName::Utf8 => Self::Utf8,
            CodingName::Utf16Le => Self::Utf16Le,
            CodingName::Utf16Be => Self::Utf16Be,
        }
    }
}

pub fn run(session: &Session<'_>, args: &StringsArgs) -> Outcome {
    let mut codings: Vec<Coding> = Vec::new();
    for coding in args.encoding.iter().copied().map(Coding::from) {
        if !codings.contains(&coding) {
            codings.push(coding);
        }
    }
    let options = Options {
        selection: args.selection.selection(),
        codings,
        least: args.bytes,
        most: usize::try_from(args.max_length.clamp(1, 64 << 20)).unwrap_or(usize::MAX),
    };
    let keeping = || Strings::keeping(options.clone());
    let (case, mut rides, filled) =
        args.fill.open(session, &args.evidence, &options.selection.pids, || Ride::new(keeping))?;
    let chosen = session.chosen(&case, &args.evidence);
    let mut printer = Printer::new(session, args.format, &chosen, &filled)?;
    let mut gaps = Vec::new();
    for checkpoint in &chosen {
        let evidence = checkpoint.id().evidence;
        let findings =
            match strings_of(session, &case, checkpoint, rides.get_mut(evidence), &options, &mut printer)? {
                Ok(mut findings) => {
                    findings.extend(filled.findings(checkpoint.id()));
                    findings.settle();
                    findings
                }
                Err(error) => {
                    session.ui.error(Text::own(error));
                    continue;
                }
            };
        session.tell(checkpoint, &findings);
        filled.tell(session, checkpoint, &checkpoint.model().0);
        for entry in &findings.gaps {
            let place = [&checkpoint.full_name(), b"//".as_slice(), entry.place.as_bytes()].concat();
            gaps.push(gap(entry.what.as_bytes(), &place, entry.why.as_bytes()));
        }
    }
    Ok(printer.finish(gaps)?)
}

/// Prints the strings of one dump, and says what could not be had.
fn strings_of(
    session: &Session<'_>,
    case: &Case,
    checkpoint: &Checkpoint<'_>,
    ride: Option<&mut Ride<'_, Strings<'static>>>,
    options: &Options,
    printer: &mut Printer<'_>,
) -> io::Result<Result<Findings, Error>> {
    // Names come from the model; what it lacks beside memory is no gap of strings.
    let (model, _) = checkpoint.model();
    let memory = Memory::of(case, checkpoint.id());
    let asked_for = &options.selection;
    let chosen = memory.spaces.iter().map(|space| space.pid).filter(|&pid| asked_for.has_process(pid));
    let mut pids: Vec<Pid> = chosen.clone().filter(|&pid| model.has_lived(pid)).collect();
    // When the evidence went by it was not known yet who lived.
    let ride = ride.filter(|_| pids.len() == chosen.count());
    if pids.is_empty() {
        pids.push(Pid(u32::MAX)); // no process is not all of them
    }
    let options = Options { selection: Selection { pids, ..asked_for.clone() }, ..options.clone() };
    let of = Of { checkpoint, model: &model, memory: &memory };
    let mut printed = Ok(());
    let answered = {
        let mut sink = |found: &Found<'_>| {
            printed = printer.print(&of, found);
            if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let id = checkpoint.id();
        let ridden = ride.and_then(|ride| memory::ridden(case, id, ride));
        match ridden.filter(|answered| answered.question.tell_kept(&mut sink)) {
            Some(answered) => Ok((answered.question.left_out_memory(), answered.findings)),
            None => {
                let make = || Strings::new(options, Box::new(sink));
                memory::answer(case, id, &session.context, None, make)
                    .map(|answered| (answered.question.left_out_memory(), answered.findings))
            }
        }
    };
    printed?;
    printer.flush()?;
    let (left_out, mut findings) = match answered {
        Ok(answered) => answered,
        Err(error) => return Ok(Err(error)),
    };
    findings.extend(checkpoint.evidence_findings().clone());
    if left_out {
        let why = "stored memory is seen in too many places; choose processes with --pid";
        findings.gap("memory", "memory", why);
    }
    for &pid in asked_for.pids.iter().filter(|&&pid| memory.space(pid).is_none()) {
        findings.gap("memory", format!("pid {pid}"), "the dump has no memory of such a process");
    }
    findings.settle();
    Ok(Ok(findings))
}

/// Whose strings they are.
struct Of<'a> {
    checkpoint: &'a Checkpoint<'a>,
    model: &'a Model,
    memory: &'a Memory,
}

/// Prints strings as they come.
enum Printer<'u> {
    Plain(Plain<'u>),
    Lines { lines: JsonLines<Stdout<'u>>, strings: u64, filled: &'u Filled },
}

impl<'u> Printer<'u> {
    fn new(
        session: &Session<'u>,
        format: Format,
        chosen: &[Checkpoint<'_>],
        filled: &'u Filled,
    ) -> io::Result<Self> {
        let out = session.ui.stdout();
        Ok(match format {
            Format::Plain => Self::Plain(Plain {
                out,
                several: chosen.len() > 1,
                buffer: Vec::new(),
                pids: Vec::new(),
                pids_text: Vec::new(),
            }),
            Format::Jsonl => {
                let names: Vec<Vec<u8>> = chosen.iter().map(Checkpoint::full_name).collect();
                let mut lines = JsonLines::begin(out, &names)?;
                for checkpoint in chosen {
                    filled.records(&mut lines, checkpoint, &checkpoint.model().0)?;
                }
                Self::Lines { lines, strings: 0, filled }
            }
        })
    }

    fn print(&mut self, of: &Of<'_>, found: &Found<'_>) -> io::Result<()> {
        match self {
            Self::Plain(plain) => plain.print(of, found),
            Self::Lines { lines, strings, filled } => {
                *strings += 1;
                lines.record("string", string_json(of, found, filled))
            }
        }
    }

    /// What was printed so far leaves the program before it says anything else.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(plain) => plain.flush(),
            Self::Lines { .. } => Ok(()),
        }
    }

    fn finish(self, gaps: Vec<Value>) -> io::Result<()> {
        let Self::Lines { mut lines, strings, .. } = self else { return Ok(()) };
        gaps.into_iter().try_for_each(|gap| lines.gap(gap))?;
        lines.finish(Map::from_iter([("strings".to_owned(), strings.into())]))
    }
}

/// So much is printed at once, in bytes.
const PRINTED_AT_ONCE: usize = 64 << 10;

/// Lines of plain text. There may be tens of millions: they are put together in one buffer.
struct Plain<'u> {
    out: Stdout<'u>,
    /// Whether each line says of which evidence it is.
    several: bool,
    buffer: Vec<u8>,
    /// The processes of the last line, and how they were printed: many lines are of the same.
    pids: Vec<Pid>,
    pids_text: Vec<u8>,
}

impl Plain<'_> {
    /// Evidence where there are several, process, address, text.
    fn print(&mut self, of: &Of<'_>, found: &Found<'_>) -> io::Result<()> {
        let Some((_, at)) = found.sightings.first() else { return Ok(()) };
        let line = &mut self.buffer;
        if self.several {
            push_escaped(line, &of.checkpoint.full_name());
            line.extend_from_slice(b"  ");
        }
        let pids = found.sightings.iter().map(|(pid, _)| *pid);
        if !pids.clone().eq(self.pids.iter().copied()) {
            self.pids = pids.collect();
            let mut distinct = self.pids.clone();
            distinct.dedup(); // a process may see it at several addresses
            let texts: Vec<String> = distinct.iter().map(ToString::to_string).collect();
            self.pids_text = format!("{:>7}  ", texts.join(",")).into_bytes();
        }
        line.extend_from_slice(&self.pids_text);
        push_address(line, at.0);
        line.extend_from_slice(b"  ");
        push_escaped(line, found.text);
        line.extend_from_slice(if found.is_cut { b" [cut]\n" } else { b"\n" });
        if line.len() >= PRINTED_AT_ONCE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let printed = self.out.write_all(&self.buffer);
        self.buffer.clear();
        printed
    }
}

fn string_json(of: &Of<'_>, found: &Found<'_>, filled: &Filled) -> Map<String, Value> {
    let mut map = Map::new();
    text_fields(&mut map, "evidence", of.checkpoint.evidence_name());
    text_fields(&mut map, "dump", of.checkpoint.name().as_bytes());
    map.insert("store".into(), "memory".into());
    let sightings = found.sightings.iter().map(|&(pid, at)| {
        let mut sighting = Map::new();
        sighting.insert("pid".into(), pid.0.into());
        if let Some(Field::Known(command)) = of.model.processes.get(pid).map(|process| &process.command) {
            text_fields(&mut sighting, "command", command);
        }
        sighting.insert("address".into(), address(at.0));
        if let Some(mapping) = of.memory.space(pid).and_then(|space| space.mapping_at(at)) {
            sighting.insert("mapping".into(), mapping_json(of.model, mapping));
        }
        Value::Object(sighting)
    });
    map.insert("sightings".into(), sightings.collect());
    let object = match &found.object.contents {
        Some(contents) => filled.object_json(of.checkpoint.id(), contents.file, found.offset),
        None => image_json(&found.object.image, found.offset, found.object.ancestor),
    };
    map.insert("object".into(), object);
    map.insert("encoding".into(), found.coding.name().into());
    map.insert("length".into(), found.len.into());
    if found.is_cut {
        map.insert("cut".into(), true.into());
    }
    map.insert("string".into(), String::from_utf8_lossy(found.text).into());
    map
}
