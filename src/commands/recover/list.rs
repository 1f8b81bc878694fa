//! What there is to recover.

use checkpoint_forensics::LookedAt;
use checkpoint_forensics::recover::{self, Candidate, Lister};
use checkpoint_forensics::stores::{Both, Rider, SharedBytes};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::Ride;
use serde_json::{Map, Value};

use super::{RecoverArgs, option_text};
use crate::commands::format::Format;
use crate::commands::holders::{holders_json, holders_text};
use crate::present::cell::Cell;
use crate::present::json::text_fields;
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::session::{Outcome, Session, document};

pub fn run(session: &Session<'_>, args: &RecoverArgs) -> Outcome {
    let make = || Lister;
    let passenger = || {
        let ride = Ride::new(|| SharedBytes::new(&make));
        Both::new(ride, Rider::new(recover::rider_classes(), &session.context, &make))
    };
    let (case, mut riders) = session.open_with(&args.evidence, passenger);
    let mut documents = Vec::new();
    let chosen = session.chosen(&case, &args.evidence);
    for checkpoint in &chosen {
        let (model, mut findings) = checkpoint.model();
        let id = checkpoint.id();
        let context = &session.context;
        let looked_at = LookedAt { case: &case, id, model: &model, context };
        let rides = riders.get_mut(id.evidence).map(|both| (&mut both.second, &mut both.first));
        match recover::list(looked_at, rides, &make) {
            Ok((mut all, missed)) => {
                findings.extend(missed);
                findings.extend(checkpoint.evidence_findings().clone());
                findings.settle();
                session.tell(checkpoint, &findings);
                all.retain(|candidate| is_held(candidate, &args.pid));
                match args.format {
                    Format::Table => print(session, checkpoint, &all, chosen.len() > 1)?,
                    Format::Json => {
                        let mut answer = Map::new();
                        answer.insert("recoverable".into(), all.iter().map(json_of).collect());
                        documents.push(document(checkpoint, answer, &findings));
                    }
                }
            }
            Err(error) => session.ui.error(Text::own(error)),
        }
    }
    if args.format == Format::Json {
        session.ui.json(&documents)?;
    }
    Ok(())
}

fn is_held(candidate: &Candidate, pids: &[u32]) -> bool {
    pids.is_empty() || candidate.holders.iter().any(|holder| pids.iter().any(|pid| holder.pid() == Pid(*pid)))
}

fn print(session: &Session<'_>, checkpoint: &Checkpoint<'_>, all: &[Candidate], several: bool) -> Outcome {
    if several {
        session.ui.line(Text::evidence(checkpoint.full_name()))?;
    }
    if all.is_empty() {
        session
            .ui
            .line("Nothing to recover: no deleted file, no memory file, nothing in pipes and queues")?;
        return Ok(());
    }
    let mut table = Table::new([
        Column::whole("CHOOSE WITH"),
        Column::whole("KIND"),
        Column::whole("SIZE"),
        Column::whole("MISSING"),
        Column::wrapped("HELD BY"),
        Column::wrapped("NAME"),
    ]);
    for candidate in all {
        table.row([
            Cell::own(option_text(&candidate.choice, candidate.origin)),
            candidate.origin.name().into(),
            candidate.len.map_or_else(Cell::empty, Cell::size),
            if candidate.lacking > 0 { Cell::size(candidate.lacking) } else { Cell::empty() },
            if candidate.holders.is_empty() {
                Cell::empty()
            } else {
                holders_text(&candidate.holders).into()
            },
            candidate.title.as_ref().map_or_else(Cell::empty, Cell::evidence),
        ]);
    }
    session.ui.table(&table)?;
    Ok(())
}

fn json_of(candidate: &Candidate) -> Value {
    let mut map = Map::new();
    map.insert("option".into(), option_text(&candidate.choice, candidate.origin).into());
    map.insert("kind".into(), candidate.origin.name().into());
    if let Some(title) = &candidate.title {
        text_fields(&mut map, "name", title);
    }
    if let Some(len) = candidate.len {
        map.insert("size".into(), len.into());
    }
    map.insert("missing".into(), candidate.lacking.into());
    map.insert("holders".into(), holders_json(&candidate.holders, |_| None));
    text_fields(&mut map, "member", &candidate.member);
    Value::Object(map)
}
