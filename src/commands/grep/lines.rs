//! Matches and counts as lines of JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checkpoint_forensics::search::Match;
use container_checkpoint::ids::{Pid, VirtualAddress};
use serde_json::{Map, Value, json};

use super::answers::Answers;
use super::patterns::Given;
use crate::commands::mapping::mapping_json;
use crate::present::json::{address, gap, text_fields};
use crate::present::json_lines::JsonLines;
use crate::session::{Outcome, Session};

/// What the records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// A `match` for each place as a process sees it.
    Matches,
    /// A `count` for each process that was to be searched.
    Counts,
    /// A `count` for each process that has matches.
    CountsOfFound,
}

/// Prints all of it, with the gaps and a summary at the end.
pub fn print(session: &Session<'_>, all: &[Answers<'_>], given: &Given, records: Records) -> Outcome {
    let names: Vec<Vec<u8>> = all.iter().map(|answers| answers.checkpoint.full_name()).collect();
    let mut lines = JsonLines::begin(session.ui.stdout(), &names)?;
    let mut matches = 0u64;
    for answers in all {
        let mut sightings: Vec<(Pid, VirtualAddress, &Match)> = answers
            .matches
            .iter()
            .flat_map(|found| found.sightings.iter().map(move |&(pid, at)| (pid, at, found)))
            .collect();
        matches += sightings.len() as u64;
        if records == Records::Matches {
            sightings
                .sort_by_key(|&(pid, at, found)| (pid, at, found.text.len(), found.pattern, found.encoding));
            for (pid, at, found) in sightings {
                lines.record("match", match_json(answers, given, pid, at, found))?;
            }
            continue;
        }
        for (pid, count) in answers.counts() {
            if records == Records::Counts || count.unwrap_or(0) > 0 {
                lines.record("count", count_json(answers, pid, count))?;
            }
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

fn dump_json(answers: &Answers<'_>) -> Map<String, Value> {
    let mut map = Map::new();
    text_fields(&mut map, "evidence", answers.checkpoint.evidence_name());
    text_fields(&mut map, "dump", answers.checkpoint.name().as_bytes());
    map
}

fn process_json(map: &mut Map<String, Value>, answers: &Answers<'_>, pid: Pid) {
    map.insert("pid".into(), pid.0.into());
    if let Some(command) = answers.command(pid) {
        text_fields(map, "command", command);
    }
}

fn count_json(answers: &Answers<'_>, pid: Pid, count: Option<u64>) -> Map<String, Value> {
    let mut map = dump_json(answers);
    process_json(&mut map, answers, pid);
    if let Some(count) = count {
        map.insert("matches".into(), count.into());
    }
    map
}

fn match_json(
    answers: &Answers<'_>,
    given: &Given,
    pid: Pid,
    at: VirtualAddress,
    found: &Match,
) -> Map<String, Value> {
    let mut map = dump_json(answers);
    map.insert("store".into(), "memory".into());
    process_json(&mut map, answers, pid);
    map.insert("address".into(), address(at.0));
    if let Some(mapping) = answers.mapping(pid, at) {
        map.insert("mapping".into(), mapping_json(&answers.model, mapping));
    }
    let mut object = json!({ "image": found.image, "offset": found.offset });
    if found.ancestor > 0 {
        object["parent"] = found.ancestor.into();
    }
    map.insert("object".into(), object);
    text_fields(&mut map, "pattern", &given.texts[found.pattern]);
    if let Some(encoding) = found.encoding {
        map.insert("encoding".into(), encoding.name().into());
    }
    map.insert("match".into(), text_or_bytes(&found.text));
    if found.is_cut {
        map.insert("cut".into(), true.into());
    }
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
