//! Matches and counts as lines of JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checkpoint_forensics::search::{Match, StoreMatch};
use checkpoint_forensics::stores::{Kind, Store};
use container_checkpoint::ids::{Pid, VirtualAddress};
use serde_json::{Map, Value, json};

use super::answers::{Answers, Bytes, Count};
use super::patterns::Given;
use super::stores::store_json;
use crate::commands::filling::Filled;
use crate::commands::mapping::mapping_json;
use crate::present::json::{address, gap, image_json, text_fields};
use crate::present::json_lines::JsonLines;
use crate::session::{Outcome, Session};

/// What the records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// A `match` for each place as a process sees it.
    Matches,
    /// A `count` for each process that was to be searched, and each store with matches.
    Counts,
    /// A `count` for each process and store that has matches.
    CountsOfFound,
}

/// Prints all of it, with the gaps and a summary at the end.
pub fn print(
    session: &Session<'_>,
    all: &[Answers<'_>],
    given: &Given,
    records: Records,
    filled: &Filled,
) -> Outcome {
    let names: Vec<Vec<u8>> = all.iter().map(|answers| answers.checkpoint.full_name()).collect();
    let mut lines = JsonLines::begin(session.ui.stdout(), &names)?;
    let mut matches = 0u64;
    for answers in all {
        filled.records(&mut lines, &answers.checkpoint, &answers.model)?;
    }
    for answers in all {
        matches += answers.sightings();
        if records == Records::Matches {
            let found = &answers.found;
            for (pid, at, one) in found.matches.in_processes() {
                lines.record("match", in_process_json(answers, given, pid, at, one, filled))?;
            }
            for (id, at, one) in found.matches.in_objects() {
                lines.record("match", in_object_json(answers, given, &Store::of_object(id), at, one))?;
            }
            for one in found.elsewhere.iter() {
                lines.record("match", in_store_json(answers, given, one))?;
            }
            continue;
        }
        for count in answers.counts() {
            if let Some(fields) = count_json(answers, &count, records) {
                lines.record("count", fields)?;
            }
        }
    }
    for answers in all {
        for entry in &answers.found.findings.gaps {
            let place = [&answers.checkpoint.full_name(), b"//".as_slice(), entry.place.as_bytes()].concat();
            lines.gap(gap(entry.what.as_bytes(), &place, entry.why.as_bytes()))?;
        }
    }
    let places: u64 = all.iter().map(Answers::places).sum();
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

/// `None` where only what has matches is told, and this has none.
fn count_json(answers: &Answers<'_>, count: &Count, records: Records) -> Option<Map<String, Value>> {
    let mut map = dump_json(answers);
    let count = match count {
        Count::Process(pid, count) => {
            map.insert("store".into(), "memory".into());
            process_json(&mut map, answers, *pid);
            *count
        }
        Count::Store(store, count) => {
            store_json(&mut map, answers, store);
            Some(*count)
        }
    };
    if let Some(count) = count {
        map.insert("matches".into(), count.into());
    }
    (records == Records::Counts || count.unwrap_or(0) > 0).then_some(map)
}

fn in_process_json(
    answers: &Answers<'_>,
    given: &Given,
    pid: Pid,
    at: VirtualAddress,
    found: Match<'_>,
    filled: &Filled,
) -> Map<String, Value> {
    let mut map = dump_json(answers);
    map.insert("store".into(), "memory".into());
    process_json(&mut map, answers, pid);
    map.insert("address".into(), address(at.0));
    if let Some(mapping) = answers.mapping(pid, at) {
        map.insert("mapping".into(), mapping_json(&answers.model, mapping));
    }
    let object = match found.file {
        Some(file) => filled.object_json(answers.checkpoint.id(), file, found.offset),
        None => image_json(found.image, found.offset, found.ancestor),
    };
    map.insert("object".into(), object);
    bytes_json(&mut map, given, found.into());
    map
}

fn in_object_json(
    answers: &Answers<'_>,
    given: &Given,
    store: &Store,
    at: u64,
    found: Match<'_>,
) -> Map<String, Value> {
    let mut map = dump_json(answers);
    store_json(&mut map, answers, store);
    map.insert("offset".into(), at.into());
    map.insert("object".into(), image_json(found.image, found.offset, found.ancestor));
    bytes_json(&mut map, given, found.into());
    map
}

fn in_store_json(answers: &Answers<'_>, given: &Given, found: StoreMatch<'_>) -> Map<String, Value> {
    let mut map = dump_json(answers);
    store_json(&mut map, answers, found.store);
    map.insert("offset".into(), found.at.into());
    if !matches!(found.store.kind, Kind::Register { .. }) {
        map.insert("member_offset".into(), found.offset.into());
    }
    bytes_json(&mut map, given, found.into());
    map
}

/// What matched, and what is around it.
fn bytes_json(map: &mut Map<String, Value>, given: &Given, found: Bytes<'_>) {
    text_fields(map, "pattern", &given.texts[found.pattern]);
    if let Some(encoding) = found.encoding {
        map.insert("encoding".into(), encoding.name().into());
    }
    map.insert("match".into(), text_or_bytes(found.text));
    if found.is_cut {
        map.insert("cut".into(), true.into());
    }
    let context = [found.before, found.text, found.after].concat();
    let mut context = text_or_bytes(&context);
    context["match_offset"] = found.before.len().into();
    map.insert("context".into(), context);
}

/// A text, or base64 when it is not UTF-8.
fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "bytes": STANDARD.encode(bytes) }),
    }
}
