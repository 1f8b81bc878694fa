//! What is chosen, written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;
use checkpoint_forensics::LookedAt;
use checkpoint_forensics::mapped_files::MappedFile;
use checkpoint_forensics::recover::{self, Choice, NotThere, Recovered};
use container_checkpoint::evidence::Nobody;
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::{FileId, Pid};
use serde_json::{Map, Value};

use super::RecoverArgs;
use crate::commands::coredump::directory_of;
use crate::commands::format::Format;
use crate::commands::holders::{holders_json, holders_text};
use crate::exit::Answer;
use crate::present::bytes::{count_text, hex};
use crate::present::cell::Cell;
use crate::present::json::text_fields;
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::present::whole_file::refuse_evidence;
use crate::session::{Outcome, Session, document};

pub fn run(session: &Session<'_>, args: &RecoverArgs, choices: &[Choice], directory: &Path) -> Outcome {
    refuse_evidence(directory, args.evidence.names())?;
    session.end_cleanly_on_signals()?;
    let pids: Vec<Pid> = args.pid.iter().copied().map(Pid).collect();
    let (case, _, filled) = args.fill.open(session, &args.evidence, &pids, || Nobody)?;
    let chosen = session.chosen(&case, &args.evidence);
    if chosen.len() > 1 && !directory.exists() {
        fs::create_dir(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let mut documents = Vec::new();
    for checkpoint in &chosen {
        let directory = match chosen.len() {
            1 => directory.to_owned(),
            _ => directory_of(directory, checkpoint),
        };
        let (model, mut findings) = checkpoint.model();
        let context = &session.context;
        let looked_at = LookedAt { case: &case, id: checkpoint.id(), model: &model, context };
        let answer = match recover::recover(looked_at, choices, &directory) {
            Ok(answer) => answer,
            Err(error) => {
                session.ui.error(Text::own(error));
                continue;
            }
        };
        findings.extend(answer.findings.clone());
        findings.extend(filled.findings(checkpoint.id()));
        findings.extend(checkpoint.evidence_findings().clone());
        answer.recovered.iter().for_each(|recovered| add_gaps(recovered, &mut findings));
        findings.settle();
        session.tell(checkpoint, &findings);
        filled.tell(session, checkpoint, &model);
        for recovered in answer.recovered.iter().filter(|recovered| recovered.sha256.is_none()) {
            let why = format!(": not hashed, since nearly all of its {} bytes are holes", recovered.len);
            session.ui.note(Text::name(&recovered.path).and(why));
        }
        for NotThere { what, why } in &answer.not_there {
            session.ui.answer(Answer::NotFound);
            session.ui.warning(Text::own("not there: ").and_evidence(what).and(": ").and_evidence(why));
        }
        for NotThere { what, why } in &answer.too_large {
            session.ui.error(Text::own("not written: ").and_evidence(what).and(": ").and_evidence(why));
        }
        match args.format {
            Format::Table => {
                print(session, &answer.recovered, |file| filled.file(checkpoint.id(), file))?;
            }
            Format::Json => {
                let mut map = Map::new();
                let recovered = answer.recovered.iter();
                map.insert(
                    "recovered".into(),
                    recovered.map(|one| json_of(one, |file| filled.file(checkpoint.id(), file))).collect(),
                );
                map.insert(
                    "not_there".into(),
                    answer.not_there.iter().chain(&answer.too_large).map(not_there_json).collect(),
                );
                if let Some(files) = filled.json(checkpoint.id(), &model) {
                    map.insert("files".into(), files.into_iter().map(Value::Object).collect());
                }
                documents.push(document(checkpoint, map, &findings));
            }
        }
        if answer.recovered.is_empty() && answer.not_there.is_empty() && answer.too_large.is_empty() {
            session.ui.note(Text::evidence(checkpoint.full_name()).and(": nothing of that kind to recover"));
        }
    }
    if args.format == Format::Json {
        session.ui.json(&documents)?;
    }
    Ok(())
}

/// What a file lacks, a gap for each reason.
fn add_gaps(recovered: &Recovered, findings: &mut Findings) {
    let mut reasons: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for lack in &recovered.lacks {
        let (bytes, ranges, first) = reasons.entry(&lack.why).or_insert((0, 0, lack.range.start));
        *bytes += lack.range.end - lack.range.start;
        *ranges += 1;
        *first = lack.range.start.min(*first);
    }
    for (why, (bytes, ranges, first)) in reasons {
        let what = format!("{bytes} of the {} bytes of {}", recovered.len, shown_name(&recovered.path));
        let place = format!("{}, from byte {first}", count_text(ranges, "range", "ranges"));
        findings.gap(what, place, why);
    }
}

fn shown_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where the bytes are from: a member, a file in it, page images.
fn source_text<'f>(recovered: &Recovered, file: impl Fn(FileId) -> Option<&'f MappedFile>) -> Text {
    let mut text = Text::evidence(&recovered.member);
    if let Some(inner) = &recovered.inner {
        text = text.and("//").and_evidence(inner);
    }
    if !recovered.pages.is_empty() {
        let page = |(ancestor, image): &(usize, String)| match ancestor {
            0 => image.clone(),
            _ => format!("{image} of parent {ancestor}"),
        };
        let pages: Vec<String> = recovered.pages.iter().map(page).collect();
        text = text.and(", ").and_evidence(pages.join(", "));
    }
    for file in recovered.files.iter().filter_map(|id| file(*id)) {
        text = text.and(", ").and_evidence(file.from.to_string());
        text = text.and(format_args!(" ({})", file.verified.text()));
    }
    text
}

fn print<'f>(
    session: &Session<'_>,
    all: &[Recovered],
    file: impl Fn(FileId) -> Option<&'f MappedFile>,
) -> Outcome {
    let mut table = Table::new([
        Column::wrapped("FILE"),
        Column::whole("SIZE"),
        Column::whole("MISSING"),
        Column::wrapped("NAME"),
        Column::wrapped("HELD BY"),
        Column::wrapped("SOURCE"),
        Column::whole("SHA-256"),
    ]);
    for recovered in all {
        table.row([
            Cell::from(Text::name(&recovered.path)),
            Cell::own(recovered.len),
            if recovered.lacking() > 0 { Cell::own(recovered.lacking()) } else { Cell::empty() },
            recovered.title.as_ref().map_or_else(Cell::empty, Cell::evidence),
            if recovered.holders.is_empty() {
                Cell::empty()
            } else {
                holders_text(&recovered.holders).into()
            },
            Cell::from(source_text(recovered, &file)),
            recovered.sha256.map_or_else(Cell::empty, |hash| Cell::own(hex(&hash))),
        ]);
    }
    if !table.is_empty() {
        session.ui.table(&table)?;
    }
    Ok(())
}

fn json_of<'f>(recovered: &Recovered, file: impl Fn(FileId) -> Option<&'f MappedFile>) -> Value {
    let mut map = Map::new();
    text_fields(&mut map, "file", recovered.path.as_os_str().as_bytes());
    map.insert("kind".into(), recovered.origin.name().into());
    if let Some(title) = &recovered.title {
        text_fields(&mut map, "name", title);
    }
    map.insert("size".into(), recovered.len.into());
    if let Some(hash) = recovered.sha256 {
        map.insert("sha256".into(), hex(&hash).into());
    }
    map.insert("holders".into(), holders_json(&recovered.holders, |_| None));
    text_fields(&mut map, "member", &recovered.member);
    if let Some(inner) = &recovered.inner {
        text_fields(&mut map, "member_file", inner);
    }
    if !recovered.pages.is_empty() {
        map.insert("page_images".into(), recovered.pages.iter().map(page_image_json).collect());
    }
    if !recovered.files.is_empty() {
        let files = recovered.files.iter().filter_map(|id| file(*id));
        map.insert("mapped_files".into(), files.map(mapped_file_json).collect());
    }
    map.insert("missing".into(), recovered.lacking().into());
    let ranges = recovered.lacks.iter().map(|lack| {
        let mut map = Map::new();
        map.insert("start".into(), lack.range.start.into());
        map.insert("end".into(), lack.range.end.into());
        map.insert("why".into(), lack.why.clone().into());
        Value::Object(map)
    });
    map.insert("missing_ranges".into(), ranges.collect());
    Value::Object(map)
}

fn mapped_file_json(file: &MappedFile) -> Value {
    let mut map = Map::new();
    text_fields(&mut map, "from", file.from.to_string().as_bytes());
    map.insert("verified".into(), file.verified.name().into());
    Value::Object(map)
}

fn page_image_json((ancestor, image): &(usize, String)) -> Value {
    let mut map = Map::new();
    text_fields(&mut map, "image", image.as_bytes());
    if *ancestor > 0 {
        map.insert("parent".into(), (*ancestor).into());
    }
    Value::Object(map)
}

fn not_there_json(not_there: &NotThere) -> Value {
    let mut map = Map::new();
    text_fields(&mut map, "what", &not_there.what);
    map.insert("why".into(), not_there.why.clone().into());
    Value::Object(map)
}
