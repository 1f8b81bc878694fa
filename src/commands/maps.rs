//! `coldcase maps`: what is mapped in each process, and where its bytes are.

use checkpoint_forensics::accounting::{Account, Source, WrittenZeros, account};
use clap::Args;
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{self, AddressSpace, Answered, Memory, Missing, Ride, Selection};
use container_checkpoint::model::{Mapping, Model};
use serde_json::{Map, Value, json};

use super::filling::{FillArgs, Filled};
use super::format::Format;
use super::mapping::mapping_json;
use super::selection::SelectionArgs;
use crate::exit::Answer;
use crate::present::bytes::count_text;
use crate::present::cell::Cell;
use crate::present::json::text_fields;
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::session::{EvidenceArgs, Outcome, Session, document};

/// Show what is mapped in each process, and where its bytes are
///
/// As pmap: addresses, permissions, size, and what is mapped, with offset in the file. BYTES says for every byte where it is: `own` (pages of the process in the dump), `parent` (in a parent dump), `shared` (pages of a shared
/// object in the dump), `zero` (never written), `reserved` (never written, and nobody may access it), `file` (not written to: in the file alone), `filled` (not written to, and the file is there: --fill), `guard`, `not captured` (CRIU never dumps it), `lazy`, `missing` and `unknown`
/// (gaps). DIRTY is how many pages of a private mapping of a file were written to. No page of memory is read, unless `--zeros` asks for it.
#[derive(Args, Debug)]
pub struct MapsArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    fill: FillArgs,

    /// Read all stored pages, and tell those apart that hold nothing but zeros: `written zero`
    #[arg(long)]
    zeros: bool,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// From so many columns on, a row has the whole range, the kind and the count of written pages. Below, it is pmap's: the first address and the size.
const WIDE: usize = 110;

/// What is mapped in the processes of one dump.
struct Maps<'c> {
    checkpoint: Checkpoint<'c>,
    model: Model,
    processes: Vec<Process>,
    findings: Findings,
}

/// The chosen mappings of one process.
struct Process {
    pid: Pid,
    command: Option<Vec<u8>>,
    page_size: Option<u64>,
    mappings: Vec<(Mapping, Account)>,
}

pub fn run(session: &Session<'_>, args: &MapsArgs) -> Outcome {
    let selection = args.selection.selection();
    let make = || WrittenZeros::new(selection.clone());
    let (case, mut rides, filled) = if args.zeros {
        args.fill.open(session, &args.evidence, &selection.pids, || Ride::new(make))?
    } else {
        let (case, _, filled) = args.fill.open(session, &args.evidence, &selection.pids, || Nobody)?;
        (case, Vec::new(), filled)
    };
    let mut all = Vec::new();
    for checkpoint in session.chosen(&case, &args.evidence) {
        if !args.zeros {
            all.push(gather(
                checkpoint,
                &Memory::of(&case, checkpoint.id()),
                &selection,
                None,
                filled.findings(checkpoint.id()),
            ));
            continue;
        }
        let ride = rides.get_mut(checkpoint.id().evidence);
        match memory::answer(&case, checkpoint.id(), &session.context, ride, make) {
            Ok(Answered { question, memory, mut findings }) => {
                findings.extend(filled.findings(checkpoint.id()));
                all.push(gather(checkpoint, &memory, &selection, Some(&question), findings));
            }
            Err(error) => session.ui.error(Text::own(error)),
        }
    }
    for maps in &all {
        session.tell(&maps.checkpoint, &maps.findings);
        filled.tell(session, &maps.checkpoint, &maps.model);
    }
    if !all.is_empty() && all.iter().all(|maps| maps.processes.is_empty()) {
        session.ui.answer(Answer::NotFound);
    }
    if args.format == Format::Json {
        let documents: Vec<Value> = all.iter().map(|maps| maps_json(maps, &filled)).collect();
        return Ok(session.ui.json(&documents)?);
    }
    let several = all.len() > 1;
    for (number, (maps, process)) in
        all.iter().flat_map(|maps| maps.processes.iter().map(move |process| (maps, process))).enumerate()
    {
        if number > 0 {
            session.ui.line("")?;
        }
        print(session, maps, process, several)?;
    }
    Ok(())
}

fn gather<'c>(
    checkpoint: Checkpoint<'c>,
    memory: &Memory,
    selection: &Selection,
    zeros: Option<&WrittenZeros>,
    mut findings: Findings,
) -> Maps<'c> {
    let (model, of_model) = checkpoint.model();
    findings.extend(of_model);
    if zeros.is_some_and(WrittenZeros::is_cut) {
        findings.gap(
            "written zeros",
            "memory",
            "memory is stored in too many pieces; choose processes with --pid",
        );
    }
    findings.extend(memory.findings.clone());
    findings.extend(checkpoint.evidence_findings().clone());
    let is_chosen = |space: &&AddressSpace| selection.has_process(space.pid) && model.has_lived(space.pid);
    let mut processes = Vec::new();
    for space in memory.spaces.iter().filter(is_chosen) {
        let Some(map) = &space.map else {
            if model.is_pre_dump {
                let why = "a pre-dump holds pages, and does not say what is mapped";
                findings.gap("mappings", format!("pid {}", space.pid), why);
            }
            continue;
        };
        let chosen = map.mappings.iter().filter(|mapping| selection.touches(mapping, &memory.files));
        let accounted = |mapping: &Mapping| {
            let mut account = account(memory, space, mapping);
            if let Some(zeros) = zeros {
                zeros.set_apart(space.pid, mapping.start, &mut account);
            }
            (mapping.clone(), account)
        };
        let mappings: Vec<_> = chosen.map(accounted).collect();
        if !mappings.is_empty() {
            let command = model.processes.get(space.pid).and_then(|process| process.command.known().cloned());
            processes.push(Process { pid: space.pid, command, page_size: space.page_size, mappings });
        }
    }
    // Who read the pages told of it.
    for process in processes.iter().filter(|_| zeros.is_none()) {
        let (_, total) = process.total();
        for why in [Missing::CutShort, Missing::NoPageImage] {
            if let Some(bytes) = total.missing.get(&why) {
                let why = format!("{bytes} bytes are {}", why.why());
                findings.gap("stored pages", format!("pid {}", process.pid), why);
            }
        }
    }
    for pid in selection.pids.iter().filter(|pid| memory.space(**pid).is_none()) {
        findings.gap("mappings", format!("pid {pid}"), "the dump has no memory of such a process");
    }
    findings.settle();
    Maps { checkpoint, model, processes, findings }
}

impl Process {
    /// How many bytes are mapped, and where they are.
    fn total(&self) -> (u64, Account) {
        let mut total = Account::default();
        self.mappings.iter().for_each(|(_, account)| total += account);
        (self.mappings.iter().fold(0, |sum: u64, (mapping, _)| sum.saturating_add(mapping.len())), total)
    }

    /// Pages of a private mapping of a file that were written to.
    fn dirty_pages(&self, account: &Account) -> Option<u64> {
        self.page_size.filter(|size| *size > 0).map(|size| account.dirty_file / size)
    }
}

fn print(session: &Session<'_>, maps: &Maps<'_>, process: &Process, several: bool) -> Outcome {
    let mut title = Text::default();
    if several {
        title = title.and_evidence(maps.checkpoint.full_name()).and(": ");
    }
    title = title.and(format_args!("process {}", process.pid));
    if let Some(command) = &process.command {
        title = title.and(": ").and_evidence(command);
    }
    session.ui.line(title)?;
    let is_wide = session.ui.width().is_none_or(|width| width >= WIDE);
    let mut table = Table::new([
        Column::whole(if is_wide { "ADDRESSES" } else { "ADDRESS" }),
        Column::whole("PERMS"),
        Column::whole("SIZE"),
        Column::whole("KIND"),
        Column::wrapped("BYTES"),
        Column::whole("DIRTY"),
        Column::wrapped("MAPPING"),
    ]);
    for (mapping, account) in &process.mappings {
        let is_private_file = mapping.file.is_some() && !mapping.is_shared();
        table.row([
            Cell::own(addresses(mapping, is_wide)),
            Cell::own(mapping.permissions()),
            Cell::own(short_size(mapping.len())),
            if is_wide { Cell::from(mapping.kind.name()) } else { Cell::empty() },
            Cell::own(bytes_text(account)),
            Cell::from(process.dirty_pages(account).filter(|_| is_wide && is_private_file).map(Text::own)),
            Cell::from(name_text(&maps.model, mapping)),
        ]);
    }
    let (size, total) = process.total();
    let count = count_text(process.mappings.len() as u64, "mapping", "mappings");
    table.row([
        Cell::from("total"),
        Cell::empty(),
        Cell::own(short_size(size)),
        Cell::empty(),
        Cell::own(bytes_text(&total)),
        Cell::from(process.dirty_pages(&total).filter(|_| is_wide).map(Text::own)),
        Cell::own(count),
    ]);
    Ok(session.ui.table(&table)?)
}

/// As `--range` takes them; where lines are short, only the first.
fn addresses(mapping: &Mapping, is_wide: bool) -> String {
    let (start, end) = (mapping.start.0, mapping.end.0);
    if is_wide { format!("{start:x}-{end:x}") } else { format!("{start:x}") }
}

/// Where all bytes are in a word, else how many are where.
fn bytes_text(account: &Account) -> String {
    let mut sources: Vec<(Source, u64)> = account.sources().collect();
    if let [(source, _)] = sources.as_slice() {
        return source.name().to_owned();
    }
    sources.sort();
    let text = |(source, bytes): &(Source, u64)| format!("{} {}", source.name(), short_size(*bytes));
    sources.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// A size that stays exact: whole KiB where it is whole pages, as all mappings are, and in larger units only where nothing is lost.
fn short_size(bytes: u64) -> String {
    const UNITS: [(u32, char); 3] = [(30, 'G'), (20, 'M'), (10, 'K')];
    let whole = |(shift, _): &&(u32, char)| bytes.is_multiple_of(1 << shift);
    match UNITS.iter().find(whole).filter(|_| bytes > 0) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// What `/proc/PID/maps` calls it, and where in the file it begins; else its kind.
fn name_text(model: &Model, mapping: &Mapping) -> Text {
    let name = model.mapping_name(mapping);
    if name.is_empty() {
        return Text::own(format_args!("[{}]", mapping.kind.name()));
    }
    let text = Text::evidence(name);
    if mapping.file.is_some() && mapping.offset > 0 {
        text.and(format_args!(" +{:#x}", mapping.offset))
    } else {
        text
    }
}

fn maps_json(maps: &Maps<'_>, filled: &Filled) -> Value {
    let processes = maps.processes.iter().map(|process| {
        let mut map = Map::new();
        map.insert("pid".into(), process.pid.0.into());
        if let Some(command) = &process.command {
            text_fields(&mut map, "command", command);
        }
        if let Some(size) = process.page_size {
            map.insert("page_size".into(), size.into());
        }
        let mapping = |(mapping, account): &(Mapping, Account)| {
            let mut map = Map::new();
            if let Value::Object(known) = mapping_json(&maps.model, mapping) {
                map.extend(known);
            }
            let name = maps.model.mapping_name(mapping);
            if !name.is_empty() {
                text_fields(&mut map, "name", &name);
            }
            map.insert("size".into(), mapping.len().into());
            account_fields(&mut map, account, process.dirty_pages(account));
            Value::Object(map)
        };
        map.insert("mappings".into(), process.mappings.iter().map(mapping).collect());
        let (size, total) = process.total();
        let mut sum = Map::new();
        sum.insert("size".into(), size.into());
        account_fields(&mut sum, &total, process.dirty_pages(&total));
        map.insert("total".into(), sum.into());
        Value::Object(map)
    });
    let mut answer = Map::new();
    answer.insert("processes".into(), processes.collect());
    if let Some(files) = filled.json(maps.checkpoint.id(), &maps.model) {
        answer.insert("files".into(), files.into_iter().map(Value::Object).collect());
    }
    document(&maps.checkpoint, answer, &maps.findings)
}

fn account_fields(map: &mut Map<String, Value>, account: &Account, dirty_pages: Option<u64>) {
    let key = |source: Source| source.name().replace(' ', "_");
    let sources: Map<String, Value> =
        account.sources().map(|(source, bytes)| (key(source), bytes.into())).collect();
    map.insert("sources".into(), sources.into());
    if let Some(pages) = dirty_pages {
        map.insert("dirty_file_pages".into(), pages.into());
    }
    if !account.missing.is_empty() {
        let missing = account.missing.iter().map(|(why, bytes)| json!({ "bytes": bytes, "why": why.why() }));
        map.insert("missing".into(), missing.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::short_size;

    #[test]
    fn sizes_are_exact() {
        for (bytes, text) in [
            (0, "0B"),
            (4096, "4K"),
            (1 << 20, "1M"),
            ((1 << 20) + 4096, "1028K"),
            (3 << 30, "3G"),
            (4097, "4097B"),
        ] {
            assert_eq!(short_size(bytes), text);
        }
    }
}
