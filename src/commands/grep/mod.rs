//! `coldcase grep`: where something stands, in the memory of which process or in what else holds bytes.

mod answers;
mod lines;
pub mod patterns;
mod stores;
mod table;

use std::ffi::OsString;

use anyhow::bail;
use checkpoint_forensics::LookedAt;
use checkpoint_forensics::search::{Everywhere, Keep, Options, Room, Scope};
use checkpoint_forensics::stores::Classes;
use clap::{Args, ValueEnum, ValueHint};

use super::filling::FillArgs;
use super::selection::SelectionArgs;
use crate::exit::Answer;
use crate::present::text::Text;
use crate::session::{DumpArgs, EvidenceArgs, Outcome, Session};
use answers::Answers;
use lines::Records;
use patterns::{Given, PatternArgs};
use stores::In;

/// Find texts or patterns in the memory of every process, and in all else that holds bytes
///
/// Says for each match which process sees it, at which address, in which mapping, and where its bytes are in the images. Matches across borders of pages and of
/// images are found where the addresses go on; nothing is joined where they don't. Memory that several processes share is shown once, with all
/// of them. Each pattern has its own matches, as if it were searched for alone: they don't overlap each other, but those of two patterns, or of one in two encodings,
/// may. With --in, what else holds bytes is searched too: a match says in which store it is, at which offset, and which processes hold that. Exit status: 0
/// found, 1 not found, 3 not found but something could not be read.
#[derive(Args, Debug)]
#[command(override_usage = "coldcase grep [OPTIONS] <PATTERN> <EVIDENCE>...\n       \
                            coldcase grep [OPTIONS] (-e <PATTERN> | -f <FILE>)... <EVIDENCE>...")]
pub struct GrepArgs {
    /// A regular expression over bytes (`\xNN` is a byte), or with -F a text, with --hex bytes; with -e or -f it is evidence
    #[arg(value_name = "PATTERN", required_unless_present_any = ["patterns", "files"])]
    first: Option<OsString>,

    /// Archives, directories, OCI layouts, or `-` for standard input; `EVIDENCE//NAME` chooses a dump
    #[arg(value_name = "EVIDENCE", value_hint = ValueHint::AnyPath)]
    evidence: Vec<OsString>,

    #[command(flatten)]
    dumps: DumpArgs,

    #[command(flatten)]
    patterns: PatternArgs,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    fill: FillArgs,

    /// Search in these
    ///
    /// With --pid, of other stores than memory those that one of the processes holds. --mapping and --range choose among memory alone. Memory that processes share is one place, in their
    /// memory and in the shared object.
    #[arg(long = "in", value_name = "LIST", value_delimiter = ',', default_value = "memory")]
    places: Vec<In>,

    /// Print only how many matches each process has, and each store that has some; `-` is for a process of which nothing could be searched
    #[arg(long, short)]
    count: bool,

    /// Print only which evidence, processes and stores have matches
    #[arg(long, short = 'l', conflicts_with = "count")]
    files_with_matches: bool,

    /// Show at most the first N matches of each dump
    #[arg(long, short, value_name = "N")]
    max_count: Option<usize>,

    /// Show N bytes before and behind each match
    #[arg(long, short = 'C', value_name = "N", default_value_t = 16)]
    context: usize,

    /// Keep at most N matches; that there are more is a gap [default: as many as fit into 32 MiB of memory]
    ///
    /// They are found in the order in which memory is stored, which is not that of addresses: where there are more, others may stand before and between those that are shown. -c and -l keep none
    /// and count all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_matches: Option<u64>,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people
    Table,
    /// One JSON object a line: a header, a `match` for each place as a process sees it or a store has it, `gap`s, a summary
    Jsonl,
}

/// The largest context, so that a typing error does not ask for the memory of the machine.
const CONTEXT_MAX: usize = 1 << 20;

impl GrepArgs {
    fn only_counts(&self) -> bool {
        self.count || self.files_with_matches
    }

    /// What has to be kept of matches: of a count nothing, unless it is one of the first matches alone.
    fn keep(&self) -> Keep {
        match (self.max_count, self.format) {
            (Some(_), _) => Keep::Matches,
            (None, Format::Table) if self.files_with_matches => Keep::Presence,
            (None, _) if self.only_counts() => Keep::Counts,
            (None, _) => Keep::Matches,
        }
    }

    /// The pattern among the arguments, and the evidence: all arguments where options give the patterns.
    fn split(&self) -> anyhow::Result<(Option<&OsString>, EvidenceArgs)> {
        let (pattern, first) =
            if self.patterns.are_given() { (None, self.first.as_ref()) } else { (self.first.as_ref(), None) };
        let evidence: Vec<OsString> = first.into_iter().chain(&self.evidence).cloned().collect();
        if evidence.is_empty() {
            bail!("no evidence is given");
        }
        if self.patterns.read_standard_input() && evidence.iter().any(|name| name == "-") {
            bail!("standard input can't be patterns and evidence at once");
        }
        Ok((pattern, EvidenceArgs { evidence, dumps: self.dumps.clone() }))
    }

    fn options(&self, session: &Session<'_>, given: &Given) -> anyhow::Result<Options> {
        if self.context > CONTEXT_MAX {
            bail!("--context {} is more than {CONTEXT_MAX}", self.context);
        }
        let (processes, _) = In::chosen(&self.places);
        let selection = self.selection.selection();
        if !processes && (selection.is_by_mapping() || !selection.ranges.is_empty()) {
            bail!("--mapping and --range choose among memory, which --in leaves out");
        }
        Ok(Options {
            patterns: given.patterns.clone(),
            scope: Scope { processes, objects: false },
            selection,
            context: if self.only_counts() { 0 } else { self.context },
            keep: self.keep(),
            room: Room::new(self.max_matches.map(|most| usize::try_from(most).unwrap_or(usize::MAX))),
            threads: session.context.threads,
        })
    }
}

pub fn run(session: &Session<'_>, args: &GrepArgs) -> Outcome {
    let (pattern, evidence) = args.split()?;
    let given = args.patterns.compile(session.ui, pattern)?;
    let options = args.options(session, &given)?;
    let (in_memory, classes) = In::chosen(&args.places);
    let in_memory_alone = in_memory && classes == Classes::default();
    let search = Everywhere::new(options.clone(), classes);
    let make = || search.sink();
    let riders = || search.riders(&session.context, &make);
    let (case, mut riders, filled) = args.fill.open(session, &evidence, &options.selection.pids, riders)?;
    let mut all = Vec::new();
    for checkpoint in session.chosen(&case, &evidence) {
        let id = checkpoint.id();
        let (model, _) = checkpoint.model();
        let looked_at = LookedAt { case: &case, id, model: &model, context: &session.context };
        match search.answer(looked_at, riders.get_mut(id.evidence), &make) {
            Ok(mut found) => {
                found.findings.extend(filled.findings(id));
                let (selection, most) = (&options.selection, args.max_count);
                all.push(Answers::new(checkpoint, model, found, selection, most, &options.room));
            }
            Err(error) => session.ui.error(Text::own(error)),
        }
    }
    let found = all.iter().any(|answers| answers.places() > 0);
    session.ui.answer(if found { Answer::Found } else { Answer::NotFound });
    for answers in &all {
        session.tell(&answers.checkpoint, &answers.found.findings);
        filled.tell(session, &answers.checkpoint, &answers.model);
    }
    let records = match args {
        GrepArgs { count: true, .. } => Records::Counts,
        GrepArgs { files_with_matches: true, .. } => Records::CountsOfFound,
        _ => Records::Matches,
    };
    match (args.format, records) {
        (Format::Jsonl, _) => lines::print(session, &all, &given, records, &filled),
        (Format::Table, Records::Matches) => table::print_matches(session, &all, &given, !in_memory_alone),
        (Format::Table, _) => {
            table::print_counts(session, &all, records == Records::CountsOfFound, in_memory_alone)
        }
    }
}
