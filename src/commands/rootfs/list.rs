//! `coldcase rootfs EVIDENCE`: the list of changes.

use std::ffi::OsString;

use checkpoint_forensics::rootfs::{Change, Changes, Entry, Facts, Keep, Order, Rider, StoreKind};
use clap::Args;
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::evidence::MemberKind;
use container_checkpoint::gap::Findings;
use serde_json::{Map, Value, json};

use super::{Setting, path_bytes};
use crate::commands::format::Format;
use crate::present::bytes::{count_text, hex};
use crate::present::cell::Cell;
use crate::present::json::{text_fields, text_list_fields};
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::present::time::utc_text;
use crate::session::{EvidenceArgs, Outcome, Session, document};

/// The list of changes.
#[derive(Args, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,

    /// Show this store: `rootfs`, `devshm`, `volumes/NAME`, `tmpfs-dev-N`, a mount point, or `all`; may be given several times
    #[arg(long, value_name = "NAME")]
    store: Vec<OsString>,

    /// Show the SHA-256 of each file
    #[arg(long)]
    hash: bool,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(session: &Session<'_>, args: &ListArgs) -> Outcome {
    let (case, riders) =
        session.open_with(&args.evidence, || Rider::new(args.hash, Keep::Nothing, &session.context));
    let mut documents = Vec::new();
    let chosen = session.chosen(&case, &args.evidence);
    for checkpoint in &chosen {
        let setting = Setting::of(checkpoint);
        let rider = &riders[checkpoint.id().evidence];
        let changes =
            match Changes::gather(setting.subject(&case, checkpoint), args.hash, rider, &session.context) {
                Ok(changes) => changes,
                Err(error) => {
                    session.ui.error(Text::own(error));
                    continue;
                }
            };
        let mut findings = setting.findings.clone();
        findings.extend(changes.findings.clone());
        findings.settle();
        session.tell(checkpoint, &findings);
        for word in args.store.iter().map(path_bytes).filter(|word| word != b"all") {
            if !changes.stores.iter().any(|store| store.is_called(&word)) {
                session
                    .ui
                    .error(Text::evidence(checkpoint.full_name()).and(" has no store ").and_evidence(word));
            }
        }
        match args.format {
            Format::Json => documents.push(json_of(checkpoint, &changes, args, &findings)),
            Format::Table => print(session, checkpoint, &changes, args, chosen.len() > 1)?,
        }
    }
    if args.format == Format::Json {
        session.ui.json(&documents)?;
    }
    Ok(())
}

/// Whether a store is shown: those asked for; the root file system when none was.
fn is_shown(args: &ListArgs, changes: &Changes<'_>, entry: &Entry) -> bool {
    let store = changes.store_of(entry);
    let words: Vec<Vec<u8>> = args.store.iter().map(path_bytes).collect();
    match words.as_slice() {
        [] => store.kind == StoreKind::Rootfs,
        words => words.iter().any(|word| word == b"all" || store.is_called(word)),
    }
}

fn print(
    session: &Session<'_>,
    checkpoint: &Checkpoint<'_>,
    changes: &Changes<'_>,
    args: &ListArgs,
    several: bool,
) -> Outcome {
    let ui = session.ui;
    let mut table = Table::new([
        Column::wrapped("STORE"),
        Column::whole("CHANGE"),
        Column::whole("MODE"),
        Column::whole("OWNER"),
        Column::whole("SIZE"),
        Column::whole("MODIFIED"),
        Column::wrapped("PATH"),
        Column::wrapped("NOTE"),
        Column::whole("SHA-256"),
    ]);
    for entry in changes.list(Order::Path).into_iter().filter(|entry| is_shown(args, changes, entry)) {
        let facts = entry.facts.as_ref();
        let store = Cell::evidence(changes.store_of(entry).name());
        table.row([
            if args.store.is_empty() { Cell::empty() } else { store },
            Cell::own(change_text(entry)),
            facts.map_or_else(Cell::empty, |facts| Cell::own(mode_text(facts))),
            facts.map_or_else(Cell::empty, |facts| Cell::own(format_args!("{}:{}", facts.uid, facts.gid))),
            facts.and_then(|facts| facts.size).map_or_else(Cell::empty, Cell::own),
            facts.and_then(time).map_or_else(Cell::empty, |time| Cell::own(ui.clock().text(time))),
            Cell::from(path_text(entry)),
            note_text(entry).map_or_else(Cell::empty, Cell::from),
            facts.and_then(|facts| facts.sha256).map_or_else(Cell::empty, |hash| Cell::own(hex(&hash))),
        ]);
    }
    if several {
        ui.line(Text::evidence(checkpoint.full_name()))?;
    }
    if table.is_empty() {
        ui.line("No changes are recorded")?;
    } else {
        ui.table(&table)?;
    }
    ui.line("")?;
    let others: Vec<_> = changes
        .stores
        .iter()
        .filter(|store| args.store.is_empty() && store.kind != StoreKind::Rootfs)
        .collect();
    if !others.is_empty() {
        ui.line("Other files in the checkpoint, shown with --store NAME:")?;
    }
    for store in others {
        let text = Text::own("- ").and_evidence(store.name()).and(": ").and(count_text(
            store.entries as u64,
            "entry",
            "entries",
        ));
        let places = store.mount_points.iter().enumerate();
        let text = places.fold(text, |text, (number, place)| {
            text.and(if number == 0 { ", mounted at " } else { " and " }).and_evidence(place)
        });
        ui.line(text)?;
    }
    ui.line("What this list cannot show:")?;
    for loss in changes.losses {
        ui.line(Text::own("- ").and(loss))?;
    }
    Ok(())
}

fn change_text(entry: &Entry) -> &'static str {
    match entry.change {
        Change::AddedOrChanged => "added or changed",
        Change::Present => "present",
        Change::Deleted => "deleted",
        Change::ContentsDeleted => "contents deleted",
    }
}

/// The path, with the target of a link.
fn path_text(entry: &Entry) -> Text {
    let path = Text::evidence(&entry.path);
    match entry.facts.as_ref().and_then(|facts| facts.link.as_ref().map(|link| (facts.kind, link))) {
        Some((MemberKind::HardLink, link)) => path.and(" = ").and_evidence(link),
        Some((_, link)) => path.and(" -> ").and_evidence(link),
        None => path,
    }
}

fn note_text(entry: &Entry) -> Option<Text> {
    let mut notes: Vec<String> = entry.made_by.iter().map(|who| format!("made by {who}")).collect();
    if entry.name_uncertain {
        notes.push("the real name has bytes that are not UTF-8".into());
    }
    if entry.replaced {
        notes.push("a later entry has the same name".into());
    }
    if let Some(present) = entry.facts.as_ref().and_then(|facts| facts.present) {
        notes.push(format!("only {present} bytes are in the archive"));
    }
    notes.extend(entry.notes.iter().map(ToString::to_string));
    (!notes.is_empty()).then(|| Text::own(notes.join("; ")))
}

/// As `ls -l` shows it: `-rwsr-xr-x`.
fn mode_text(facts: &Facts) -> String {
    let kind = match facts.kind {
        MemberKind::File | MemberKind::HardLink => '-',
        MemberKind::Directory => 'd',
        MemberKind::Symlink => 'l',
        MemberKind::CharDevice(..) => 'c',
        MemberKind::BlockDevice(..) => 'b',
        MemberKind::Fifo => 'p',
        MemberKind::Socket => 's',
        MemberKind::Other(_) => '?',
    };
    let mut text = String::from(kind);
    for (shift, special, with_x, without_x) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = facts.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (facts.mode & special != 0, bits & 1 != 0) {
            (true, true) => with_x,
            (true, false) => without_x,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// What an entry is, for a message.
pub fn kind_text(entry: &Entry) -> &'static str {
    entry.kind().map_or("a deletion", kind_name)
}

fn kind_name(kind: MemberKind) -> &'static str {
    match kind {
        MemberKind::File => "file",
        MemberKind::Directory => "directory",
        MemberKind::Symlink => "symlink",
        MemberKind::HardLink => "hardlink",
        MemberKind::CharDevice(..) => "character device",
        MemberKind::BlockDevice(..) => "block device",
        MemberKind::Fifo => "fifo",
        MemberKind::Socket => "socket",
        MemberKind::Other(_) => "unknown",
    }
}

fn time(facts: &Facts) -> Option<jiff::Timestamp> {
    jiff::Timestamp::new(facts.modified.seconds, facts.modified.nanoseconds.try_into().ok()?).ok()
}

fn json_of(
    checkpoint: &Checkpoint<'_>,
    changes: &Changes<'_>,
    args: &ListArgs,
    findings: &Findings,
) -> Value {
    let stores = changes.stores.iter().map(|store| {
        let mut map = Map::new();
        text_fields(&mut map, "name", &store.name());
        text_fields(&mut map, "member", &store.member);
        text_list_fields(&mut map, "mount_points", &store.mount_points);
        map.insert("entries".into(), store.entries.into());
        Value::Object(map)
    });
    let shown = changes.list(Order::Path).into_iter().filter(|entry| is_shown(args, changes, entry));
    let mut map = Map::new();
    map.insert("stores".into(), stores.collect());
    map.insert("entries".into(), shown.map(|entry| entry_json(changes, entry)).collect());
    map.insert("known_losses".into(), changes.losses.iter().copied().collect());
    document(checkpoint, map, findings)
}

fn entry_json(changes: &Changes<'_>, entry: &Entry) -> Value {
    let mut map = Map::new();
    text_fields(&mut map, "store", &changes.store_of(entry).name());
    text_fields(&mut map, "path", &entry.path);
    map.insert("change".into(), change_text(entry).into());
    if let Some(facts) = &entry.facts {
        map.insert("type".into(), kind_name(facts.kind).into());
        map.insert("mode".into(), format!("{:04o}", facts.mode).into());
        map.insert("uid".into(), facts.uid.into());
        map.insert("gid".into(), facts.gid.into());
        if let Some(size) = facts.size {
            map.insert("size".into(), size.into());
        }
        match time(facts) {
            Some(time) => map.insert("modified".into(), utc_text(time).into()),
            None => map.insert("modified_seconds".into(), facts.modified.seconds.into()),
        };
        if let Some(link) = &facts.link {
            text_fields(&mut map, "link", link);
        }
        if let MemberKind::CharDevice(major, minor) | MemberKind::BlockDevice(major, minor) = facts.kind {
            map.insert("device".into(), json!({ "major": major, "minor": minor }));
        }
        if !facts.xattrs.is_empty() {
            let xattrs = facts.xattrs.iter().map(|(name, value)| {
                let mut pair = Map::new();
                text_fields(&mut pair, "name", name);
                text_fields(&mut pair, "value", value);
                Value::Object(pair)
            });
            map.insert("xattrs".into(), xattrs.collect());
        }
        if let Some(hash) = &facts.sha256 {
            map.insert("sha256".into(), hex(hash).into());
        }
        if let Some(present) = facts.present {
            map.insert("present".into(), present.into());
        }
    }
    if entry.name_uncertain {
        map.insert("name_uncertain".into(), true.into());
    }
    if entry.replaced {
        map.insert("replaced".into(), true.into());
    }
    if let Some(who) = entry.made_by {
        map.insert("made_by".into(), who.into());
    }
    if !entry.notes.is_empty() {
        map.insert("notes".into(), entry.notes.iter().copied().collect());
    }
    Value::Object(map)
}
