//! Matches in checkpointctl's table: a view of the same search as `coldcase grep`.

use std::os::unix::ffi::OsStrExt;

use anyhow::bail;
use checkpoint_forensics::search::{Keep, Match, Matches, Options, Patterns, Room, Scope, Search, Who};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{self, Answered, Ride};
use container_checkpoint::model::Model;

use super::MemparseArgs;
use crate::exit::Answer;
use crate::present::cell::Cell;
use crate::present::hint::WithHint as _;
use crate::present::table::Column;
use crate::present::text::Text;
use crate::session::{Outcome, Session};

/// The largest context, so that a typing error does not ask for the memory of the machine.
const CONTEXT_MAX: usize = 1 << 20;

pub fn run(session: &Session<'_>, args: &MemparseArgs) -> Outcome {
    let options = Options {
        patterns: pattern(args)?,
        scope: Scope::PROCESSES,
        selection: args.selection.selection(),
        context: args.context,
        keep: Keep::Matches,
        room: Room::new(None),
        threads: session.context.threads,
    };
    if args.context > CONTEXT_MAX {
        bail!("--context {} is more than {CONTEXT_MAX}", args.context);
    }
    let make = || Search::new(options.clone());
    let (case, mut rides, filled) =
        args.fill.open(session, &args.evidence, &options.selection.pids, || Ride::new(make))?;
    let chosen = session.chosen(&case, &args.evidence);
    let several = chosen.len() > 1;
    for checkpoint in chosen {
        let ride = rides.get_mut(checkpoint.id().evidence);
        match memory::answer(&case, checkpoint.id(), &session.context, ride, make) {
            Ok(mut answered) => {
                answered.findings.extend(filled.findings(checkpoint.id()));
                filled.tell(session, &checkpoint, &checkpoint.model().0);
                print(session, args, &checkpoint, answered, several)?;
            }
            Err(error) => session.ui.error(Text::own(error)),
        }
    }
    Ok(())
}

fn pattern(args: &MemparseArgs) -> anyhow::Result<Patterns> {
    if let Some(expression) = &args.search_regex {
        return Patterns::regex(expression, false).hint("-s takes a text as it is");
    }
    let text = args.search.as_deref().unwrap_or_default();
    Patterns::literal(text.as_bytes(), false).hint("-p PID without -s dumps all of the memory")
}

fn print(
    session: &Session<'_>,
    args: &MemparseArgs,
    checkpoint: &Checkpoint<'_>,
    answered: Answered<Search>,
    several: bool,
) -> Outcome {
    let Answered { mut question, memory, mut findings } = answered;
    let (model, _) = checkpoint.model();
    findings.extend(checkpoint.evidence_findings().clone());
    let lived = |who| matches!(who, Who::Process(pid) if model.has_lived(pid));
    let matches = question.matches(&memory, &lived);
    if question.is_truncated() {
        let why = format!(
            "there are more than fit into memory; {} are shown, and others may stand before and between them: choose with --pid, --mapping or --range; `coldcase grep -c` counts all",
            matches.in_processes().count()
        );
        findings.gap("matches", "memory", why);
    }
    findings.extend(question.unsearched());
    for pid in args.selection.pid.iter().copied().map(Pid).filter(|pid| memory.space(*pid).is_none()) {
        findings.gap("memory", format!("pid {pid}"), "the dump has no memory of such a process");
    }
    findings.settle();
    session.tell(checkpoint, &findings);
    session.ui.answer(if matches.is_empty() { Answer::NotFound } else { Answer::Found });
    if several {
        session.ui.line(Text::evidence(checkpoint.full_name()))?;
    }
    if matches.is_empty() {
        return Ok(session.ui.line(none(args))?);
    }
    print_table(session, args, &model, &matches)
}

fn print_table(session: &Session<'_>, args: &MemparseArgs, model: &Model, matches: &Matches) -> Outcome {
    // One process is that of the question: checkpointctl's table. Of several, each row says whose it is.
    let is_one = args.selection.pid.len() == 1;
    let columns = [
        Column::whole("PID"),
        Column::wrapped("PROCESS NAME"),
        Column::whole("ADDRESS"),
        Column::wrapped("MATCH"),
        Column::whole("INSTANCE"),
    ];
    Ok(session.ui.long_table(columns, &|row| {
        let mut last = None;
        let mut instance = 0u64;
        matches.in_processes().try_for_each(|(pid, at, Match { before, text, after, .. })| {
            instance = if last.replace(pid) == Some(pid) { instance + 1 } else { 1 };
            let name = model.processes.get(pid).and_then(|process| process.command.known());
            row([
                if is_one { Cell::empty() } else { Cell::own(pid) },
                name.filter(|_| !is_one).map_or_else(Cell::empty, Cell::evidence),
                Cell::own(format_args!("{:016x}", at.0)),
                Cell::evidence([before, text, after].concat()),
                Cell::own(instance),
            ])
        })
    })?)
}

/// What checkpointctl says when there is no match.
fn none(args: &MemparseArgs) -> Text {
    let text = match &args.search_regex {
        Some(expression) => expression.as_bytes(),
        None => args.search.as_ref().map_or(&[][..], |text| text.as_bytes()),
    };
    let sentence = Text::own("No matches for pattern \"").and_evidence(text).and("\" in the memory");
    match args.selection.pid.as_slice() {
        [] => sentence,
        pids => {
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            sentence.and(format_args!(" of PID {}", pids.join(", ")))
        }
    }
}
