//! `coldcase grep`: where in the memory of which process something stands.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checkpoint_forensics::search::{Match, Options, Pattern, Search};
use clap::{Args, ValueEnum};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::gap::{Field, Findings};
use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::memory::{self, Answered};
use container_checkpoint::model::Model;
use serde_json::{Map, Value, json};

use super::mapping::{mapping_json, mapping_text};
use super::selection::SelectionArgs;
use crate::exit::Answer;
use crate::present::bytes::count_text;
use crate::present::cell::Cell;
use crate::present::hint::WithHint as _;
use crate::present::json::{address, gap, text_fields};
use crate::present::json_lines::JsonLines;
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::session::{EvidenceArgs, Outcome, Session};

/// Find a text or pattern in the memory of every process
///
/// Says for each match which process sees it, at which address, in which mapping, and where its bytes are in the images. Matches across borders of pages and of
/// images are found where the addresses go on; nothing is joined where they don't. Memory that several processes share is shown once, with all
/// of them. Exit status: 0 found, 1 not found, 3 not found but some memory could not be read.
#[derive(Args, Debug)]
pub struct GrepArgs {
    /// A regular expression over bytes (`\xNN` is a byte), or with -F a text
    #[arg(value_name = "PATTERN")]
    pattern: OsString,

    #[command(flatten)]
    evidence: EvidenceArgs,

    /// Take the pattern as a text, not as a regular expression
    #[arg(long, short = 'F')]
    fixed_strings: bool,

    /// Let upper and lower case ASCII letters match each other
    #[arg(long, short)]
    ignore_case: bool,

    #[command(flatten)]
    selection: SelectionArgs,

    /// Print only how many matches each process has
    #[arg(long, short)]
    count: bool,

    /// Show N bytes before and behind each match
    #[arg(long, short = 'C', value_name = "N", default_value_t = 16)]
    context: usize,

    /// Keep at most N matches of each dump
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    max_matches: usize,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people
    Table,
    /// One JSON object a line: a header, a `match` for each place as a process sees it, `gap`s, a summary
    Jsonl,
}

/// The largest context, so that a typing error does not ask for the memory of the machine.
const CONTEXT_MAX: usize = 1 << 20;

/// What was found in one dump.
struct Answers<'c> {
    checkpoint: Checkpoint<'c>,
    model: Model,
    memory: memory::Memory,
    matches: Vec<Match>,
    findings: Findings,
}

pub fn run(session: &Session<'_>, args: &GrepArgs) -> Outcome {
    let options = options(session, args)?;
    let make = || Search::new(options.clone());
    let (case, mut rides) = session.open_riding(&args.evidence, make);
    let mut all = Vec::new();
    for checkpoint in session.chosen(&case, &args.evidence) {
        let ride = rides.get_mut(checkpoint.id().evidence);
        match memory::answer(&case, checkpoint.id(), &session.context, ride, make) {
            Ok(answered) => all.push(gather(checkpoint, answered, args)),
            Err(error) => session.ui.error(Text::own(error)),
        }
    }
    let found = all.iter().any(|answers| !answers.matches.is_empty());
    session.ui.answer(if found { Answer::Found } else { Answer::NotFound });
    for answers in &all {
        session.tell(&answers.checkpoint, &answers.findings);
    }
    match args.format {
        Format::Jsonl => print_lines(session, &all),
        Format::Table if args.count => print_counts(session, &all),
        Format::Table => print_table(session, &all),
    }
}

fn options(session: &Session<'_>, args: &GrepArgs) -> anyhow::Result<Options> {
    if args.context > CONTEXT_MAX {
        bail!("--context {} is more than {CONTEXT_MAX}", args.context);
    }
    let pattern = if args.fixed_strings {
        Pattern::literal(args.pattern.as_bytes(), args.ignore_case)
    } else {
        let expression = args
            .pattern
            .to_str()
            .context("the pattern is not UTF-8")
            .hint("-F takes any bytes; in a regular expression \\xNN is a byte")?;
        Pattern::regex(expression, args.ignore_case)
    };
    Ok(Options {
        pattern: pattern.hint("-F takes the pattern as a text; in a regular expression \\xNN is a byte")?,
        selection: args.selection.selection(),
        context: args.context,
        most: args.max_matches.max(1),
        threads: session.context.threads,
    })
}

fn gather<'c>(checkpoint: Checkpoint<'c>, answered: Answered<Search>, args: &GrepArgs) -> Answers<'c> {
    let Answered { question, memory, mut findings } = answered;
    // Names come from the model; what it lacks beside memory is no gap of a search.
    let (model, _) = checkpoint.model();
    findings.extend(checkpoint.evidence_findings().clone());
    if question.is_truncated() {
        findings.gap("matches", "memory", format!("more than {}; raise --max-matches", args.max_matches));
    }
    if question.left_out_memory() {
        findings.gap(
            "memory",
            "memory",
            "stored memory is seen in too many places; choose processes with --pid",
        );
    }
    if let Some(longest) = question.longest_across_seams() {
        let why = format!(
            "memory is stored in so many pieces that matches of more than {longest} bytes across two of them may be missed"
        );
        findings.gap("matches", "memory", why);
    }
    for pid in args.selection.pid.iter().copied().map(Pid) {
        if memory.space(pid).is_none() {
            findings.gap("memory", format!("pid {pid}"), "the dump has no memory of such a process");
        }
    }
    findings.settle();
    let matches = question.matches(&memory, &|pid| lived(&model, pid));
    Answers { checkpoint, model, memory, matches, findings }
}

/// Whether a process is one of the dump's, not left over of another. A pre-dump does not list its processes, and a broken list leaves some out.
pub(super) fn lived(model: &Model, pid: Pid) -> bool {
    model.is_pre_dump || !model.processes.is_whole() || model.processes.get(pid).is_some()
}

impl Answers<'_> {
    fn command(&self, pid: Pid) -> Option<&[u8]> {
        match &self.model.processes.get(pid)?.command {
            Field::Known(command) => Some(command),
            _ => None,
        }
    }

    fn mapping(&self, pid: Pid, at: VirtualAddress) -> Option<&container_checkpoint::model::Mapping> {
        self.memory.space(pid)?.mapping_at(at)
    }
}

fn print_table(session: &Session<'_>, all: &[Answers<'_>]) -> Outcome {
    let several = all.len() > 1;
    let mut table = Table::new([
        Column::wrapped("EVIDENCE"),
        Column::wrapped("PID"),
        Column::wrapped("COMMAND"),
        Column::whole("ADDRESS"),
        Column::wrapped("MAPPING"),
        Column::wrapped("MATCH"),
    ]);
    for answers in all {
        for found in &answers.matches {
            let Some(&(pid, at)) = found.sightings.first() else { continue };
            let pids: Vec<String> = found.sightings.iter().map(|(pid, _)| pid.to_string()).collect();
            let mut text = found.before.clone();
            text.extend_from_slice(&found.text);
            text.extend_from_slice(&found.after);
            table.row([
                if several { Cell::evidence(answers.checkpoint.full_name()) } else { Cell::empty() },
                Cell::own(pids.join(", ")),
                answers.command(pid).map_or_else(Cell::empty, Cell::evidence),
                Cell::address(at.0),
                Cell::from(answers.mapping(pid, at).map(|mapping| mapping_text(&answers.model, mapping))),
                Cell::evidence(text),
            ]);
        }
    }
    if !table.is_empty() {
        session.ui.table(&table)?;
    }
    Ok(())
}

fn print_counts(session: &Session<'_>, all: &[Answers<'_>]) -> Outcome {
    if all.is_empty() {
        return Ok(()); // nothing was searched: no count is not a count of zero
    }
    let several = all.len() > 1;
    let mut table = Table::new([
        Column::wrapped("EVIDENCE"),
        Column::whole("PID"),
        Column::wrapped("COMMAND"),
        Column::whole("MATCHES"),
    ]);
    for answers in all {
        let mut counts: HashMap<Pid, u64> = HashMap::new();
        for found in &answers.matches {
            // A process that sees the same bytes at two addresses has two matches.
            found.sightings.iter().for_each(|(pid, _)| *counts.entry(*pid).or_default() += 1);
        }
        for space in answers.memory.spaces.iter().filter(|space| lived(&answers.model, space.pid)) {
            table.row([
                if several { Cell::evidence(answers.checkpoint.full_name()) } else { Cell::empty() },
                Cell::own(space.pid),
                answers.command(space.pid).map_or_else(Cell::empty, Cell::evidence),
                Cell::own(counts.get(&space.pid).copied().unwrap_or_default()),
            ]);
        }
    }
    session.ui.table(&table)?;
    let total: usize = all.iter().map(|answers| answers.matches.len()).sum();
    session.ui.note(Text::own(count_text(total as u64, "place in memory", "places in memory")));
    Ok(())
}

fn print_lines(session: &Session<'_>, all: &[Answers<'_>]) -> Outcome {
    let names: Vec<Vec<u8>> = all.iter().map(|answers| answers.checkpoint.full_name()).collect();
    let mut lines = JsonLines::begin(session.ui.stdout(), &names)?;
    let mut matches = 0u64;
    for answers in all {
        let mut sightings: Vec<(Pid, VirtualAddress, &Match)> = answers
            .matches
            .iter()
            .flat_map(|found| found.sightings.iter().map(move |&(pid, at)| (pid, at, found)))
            .collect();
        sightings.sort_by_key(|&(pid, at, found)| (pid, at, found.text.len()));
        for (pid, at, found) in sightings {
            lines.record("match", match_json(answers, pid, at, found))?;
            matches += 1;
        }
    }
    for answers in all {
        for entry in &answers.findings.gaps {
            let place = [&answers.checkpoint.full_name(), b"//".as_slice(), entry.place.as_bytes()].concat();
            lines.gap(gap(entry.what.as_bytes(), &place, entry.why.as_bytes()))?;
        }
    }
    let places: usize = all.iter().map(|answers| answers.matches.len()).sum();
    let mut summary = Map::new();
    summary.insert("matches".into(), matches.into());
    summary.insert("places".into(), places.into());
    Ok(lines.finish(summary)?)
}

fn match_json(answers: &Answers<'_>, pid: Pid, at: VirtualAddress, found: &Match) -> Map<String, Value> {
    let mut map = Map::new();
    text_fields(&mut map, "evidence", answers.checkpoint.evidence_name());
    text_fields(&mut map, "dump", answers.checkpoint.name().as_bytes());
    map.insert("store".into(), "memory".into());
    map.insert("pid".into(), pid.0.into());
    if let Some(command) = answers.command(pid) {
        text_fields(&mut map, "command", command);
    }
    map.insert("address".into(), address(at.0));
    if let Some(mapping) = answers.mapping(pid, at) {
        map.insert("mapping".into(), mapping_json(&answers.model, mapping));
    }
    let mut object = json!({ "image": found.image, "offset": found.offset });
    if found.ancestor > 0 {
        object["parent"] = found.ancestor.into();
    }
    map.insert("object".into(), object);
    map.insert("match".into(), text_or_bytes(&found.text));
    let context = [found.before.as_slice(), &found.text, &found.after].concat();
    let mut context = text_or_bytes(&context);
    context["match_offset"] = found.before.len().into();
    map.insert("context".into(), context);
    map
}

/// A text, or base64 when it is not UTF-8.
fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "bytes": STANDARD.encode(bytes) }),
    }
}
