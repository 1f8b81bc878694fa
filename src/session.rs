//! What a command works with: the voice, the readers' context, the evidence that was given.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Result;
use clap::{Args, ValueHint};
use container_checkpoint::case::{Case, Choice, DumpId};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::context::{Context, Limits};
use container_checkpoint::error::Error;
use container_checkpoint::evidence::{Nobody, Passenger};
use container_checkpoint::gap::{Findings, Gap, Note};
use container_checkpoint::memory::{Question, Ride};
use container_checkpoint::naming::Locator;
use serde_json::{Map, Value};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::cli::GlobalOptions;
use crate::present::json;
use crate::present::text::Text;
use crate::ui::Ui;

/// So many notes on one checkpoint are told one by one: a hostile archive has as many as it likes.
const NOTES_TOLD: usize = 20;

/// Unpacking a packed archive of so many bytes takes longer than an analyst notices.
const UNPACKING_TAKES_LONG: u64 = 8 << 20;

/// The evidence that a command is given.
#[derive(Args, Clone, Debug)]
pub struct EvidenceArgs {
    /// Archives, directories, OCI layouts, or `-` for standard input; `EVIDENCE//NAME` chooses a dump
    #[arg(required = true, value_name = "EVIDENCE", value_hint = ValueHint::AnyPath)]
    pub evidence: Vec<OsString>,

    #[command(flatten)]
    pub dumps: DumpArgs,
}

/// Which dumps of it, and where their parents are.
#[derive(Args, Clone, Debug, Default)]
pub struct DumpArgs {
    /// Take all dumps of evidence that holds several
    #[arg(long)]
    pub all_dumps: bool,

    /// Evidence with the parent of an incremental dump, where pages that did not change are; may be given several times
    ///
    /// Nothing else is asked of it. Parents are also found in the evidence itself, and among all that is given.
    #[arg(long, value_name = "EVIDENCE", value_hint = ValueHint::AnyPath)]
    pub parent: Vec<OsString>,
}

impl EvidenceArgs {
    /// All that is read, parents too.
    pub fn names(&self) -> impl Iterator<Item = &OsString> {
        self.evidence.iter().chain(&self.dumps.parent)
    }

    /// Whether one evidence is given, and nothing chooses among its dumps: then it has one, or the command asks for a choice.
    pub fn names_one_dump(&self) -> bool {
        matches!(self.evidence.as_slice(), [name] if !self.dumps.all_dumps && Locator::parse(name).selector.is_none())
    }
}

/// What a command works with.
pub struct Session<'u> {
    /// The program's voice.
    pub ui: &'u Ui,
    /// What readers are given.
    pub context: Context,
}

impl<'u> Session<'u> {
    /// Makes a session from the options that all commands have.
    pub fn new(ui: &'u Ui, options: &GlobalOptions) -> Self {
        let limits = Limits { metadata: options.max_metadata, ..Limits::default() };
        let context = Context {
            limits,
            threads: options.threads().get(),
            spool: options.spool.clone(),
            progress: Arc::new(ui.progress_of_passes()),
            ..Context::default()
        };
        Self { ui, context }
    }

    /// From here on, a signal to end makes readers stop and what is half written go away; a second one ends the program at once. For commands that write files: a
    /// piece of the victim's memory must not be left behind.
    pub fn end_cleanly_on_signals(&self) -> Result<()> {
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            // The order matters: the first signal finds the flag unset here and sets it below.
            flag::register_conditional_shutdown(signal, 128 + signal, self.context.cancel.clone())?;
            flag::register(signal, self.context.cancel.clone())?;
        }
        // Caught, so that a write beyond the limit on the size of files is an error as that on a full disk is.
        flag::register(SIGXFSZ, Arc::default())?;
        Ok(())
    }

    /// From here on, a signal to end makes readers stop, and is otherwise let be: for a command that hands the terminal to another program, which takes it itself.
    pub fn leave_signals_to_child(&self) -> Result<()> {
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            flag::register(signal, self.context.cancel.clone())?;
        }
        Ok(())
    }

    /// Opens all evidence. What can't be opened is told, and stops nothing.
    pub fn open(&self, args: &EvidenceArgs) -> Case {
        self.open_with(args, || Nobody).0
    }

    /// Opens all evidence with a question riding along each first pass; the rides are in the order of the case's evidence.
    pub fn open_riding<'m, Q: Question + 'm>(
        &self,
        args: &EvidenceArgs,
        make: impl Fn() -> Q + Copy + 'm,
    ) -> (Case, Vec<Ride<'m, Q>>) {
        self.open_with(args, || Ride::new(make))
    }

    /// Opens all evidence with a passenger on each first pass; the passengers are in the order of the case's evidence.
    pub fn open_with<P: Passenger>(
        &self,
        args: &EvidenceArgs,
        mut make: impl FnMut() -> P,
    ) -> (Case, Vec<P>) {
        let mut case = Case::default();
        let mut passengers = Vec::new();
        for name in &args.evidence {
            let mut passenger = make();
            let opened_before = case.evidences.len();
            self.add(&mut case, name, |case, locator, context| case.add(locator, context, &mut passenger));
            if case.evidences.len() > opened_before {
                passengers.push(passenger);
            }
        }
        // Behind all others, so that passengers stand at the numbers of their evidence.
        for name in &args.dumps.parent {
            self.add(&mut case, name, Case::add_parent);
        }
        (case, passengers)
    }

    fn add(&self, case: &mut Case, name: &OsString, open: impl FnOnce(&mut Case, Locator, &Context)) {
        let progress = self.ui.progress(Text::name(name));
        let context = Context { progress: std::sync::Arc::new(progress.callback()), ..self.context.clone() };
        open(case, Locator::parse(name), &context);
        drop(progress);
        if let Some((_, error)) = case.failures.pop() {
            self.ui.error(Text::own(error));
        }
    }

    /// The dumps that a command takes, in order. Evidence that holds none, or several where one is needed, is told.
    pub fn chosen<'c>(&self, case: &'c Case, args: &EvidenceArgs) -> Vec<Checkpoint<'c>> {
        let mut chosen = Vec::new();
        for choice in self.choices(case, args) {
            match choice {
                Ok(dumps) => chosen.extend(dumps.into_iter().map(|id| Checkpoint::new(case, id))),
                Err(error) => self.ui.error(Text::own(error)),
            }
        }
        chosen
    }

    /// As [`chosen`](Self::chosen), by evidence, and nothing is told.
    pub fn choices(&self, case: &Case, args: &EvidenceArgs) -> Vec<Result<Vec<DumpId>, Error>> {
        let choice = if args.dumps.all_dumps { Choice::All } else { Choice::One };
        let asked = case.evidences.iter().enumerate().filter(|(_, opened)| !opened.is_parent);
        let ids =
            |evidence, dumps: Vec<usize>| dumps.into_iter().map(|dump| DumpId { evidence, dump }).collect();
        asked.map(|(evidence, opened)| Ok(ids(evidence, opened.chosen(choice)?))).collect()
    }

    /// Says, after a command that unpacked a large archive more than once, how that is done once for all.
    pub fn hint_at_unpacking(&self) {
        if self.context.repeated.load(Ordering::Relaxed) >= UNPACKING_TAKES_LONG {
            self.ui.hint(
                "`coldcase unpack` once makes further questions fast: this one unpacked the archive twice",
            );
        }
    }

    /// Tells gaps and notes on standard error; gaps also show in the exit status.
    pub fn tell(&self, of: &Checkpoint<'_>, findings: &Findings) {
        let evidence = Text::evidence(of.full_name());
        for Gap { what, place, why } in &findings.gaps {
            self.ui.gap(
                Text::evidence(what),
                evidence.clone().and("//").and_evidence(place),
                Text::evidence(why),
            );
        }
        for Note { what, place, why } in findings.notes.iter().take(NOTES_TOLD) {
            let text = Text::evidence(format!(": {what} ({place}): {why}"));
            self.ui.note(evidence.clone().and(text));
        }
        let untold = findings.notes.len().saturating_sub(NOTES_TOLD);
        if untold > 0 {
            self.ui.note(evidence.and(format_args!(": {untold} more notes; --format json has them all")));
        }
    }
}

/// A document of our JSON about one checkpoint.
pub fn document(of: &Checkpoint<'_>, answer: Map<String, Value>, findings: &Findings) -> Value {
    let mut all = Map::new();
    json::text_fields(&mut all, "dump", of.name().as_bytes());
    all.extend(answer);
    let entry =
        |what: &str, place: &str, why: &str| json::gap(what.as_bytes(), place.as_bytes(), why.as_bytes());
    let notes: Vec<Value> =
        findings.notes.iter().map(|note| entry(&note.what, &note.place, &note.why)).collect();
    all.insert("notes".into(), notes.into());
    let gaps = findings.gaps.iter().map(|gap| entry(&gap.what, &gap.place, &gap.why)).collect();
    json::document(of.evidence_name(), all, gaps)
}

/// A command's result.
pub type Outcome = Result<()>;
