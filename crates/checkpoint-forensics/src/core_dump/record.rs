//! `core.PID.json`: what a core can't say. docs/JSON.md names every key.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use container_checkpoint::ids::{FileId, VirtualAddress};
use container_checkpoint::model::{Mapping, Model};
use serde::Serialize as _;
use serde_json::ser::Formatter;
use serde_json::{Map, Serializer, Value, json};

use super::layout::{Layout, Segment, is_private_to_program};
use super::source::Stretch;
use super::subject::Subject;
use super::{Restart, Written};
use crate::mapped_files::MappedFiles;

/// Version of the keys.
const SCHEMA_VERSION: u32 = 1;

/// Fields of notes that the kernel fills and images can't.
const UNKNOWN_FIELDS: [&str; 3] = [
    "NT_PRSTATUS: pr_info, pr_cursig, pr_utime, pr_stime, pr_cutime, pr_cstime",
    "NT_PRPSINFO: pr_state (running or sleeping), pr_zomb",
    "NT_SIGINFO: SIGSTOP stands there, as in gdb's cores",
];

/// Writes the record of a core. Segments are written one by one: there may be very many.
pub(super) fn write(
    out: &mut dyn Write,
    subject: &Subject<'_>,
    model: &Model,
    layout: &Layout,
    written: &Written,
    files: &MappedFiles,
) -> io::Result<()> {
    let mut head = head(subject, model, layout, written);
    head.insert("files".into(), files_of(layout, model, files).into());
    let head = ascii(&Value::Object(head))?;
    // Without its closing brace.
    out.write_all(&head[..head.len().saturating_sub(1)])?;
    out.write_all(b",\"segments\":[")?;
    let mut mappings = subject.map.mappings.iter().peekable();
    let mut stretches = layout.stretches.as_slice();
    for (number, segment) in layout.segments.iter().enumerate() {
        while mappings.next_if(|mapping| mapping.end.0 <= segment.start).is_some() {}
        let end = segment.start + segment.len;
        let first = stretches.partition_point(|stretch| stretch.end() <= segment.start);
        stretches = &stretches[first..];
        let within = stretches.iter().take_while(|stretch| stretch.start < end);
        let sources = within.map(|stretch| source(stretch, segment)).collect();
        let entry = entry(segment, mappings.peek().copied(), model, sources);
        out.write_all(if number > 0 { b",\n" } else { b"\n" })?;
        out.write_all(&ascii(&Value::Object(entry))?)?;
    }
    out.write_all(b"\n]}\n")
}

fn head(subject: &Subject<'_>, model: &Model, layout: &Layout, written: &Written) -> Map<String, Value> {
    let mut head = Map::new();
    head.insert("schema_version".into(), SCHEMA_VERSION.into());
    head.insert("pid".into(), written.pid.0.into());
    head.insert("machine".into(), written.machine.into());
    if let Some(command) = subject.process.command.known() {
        text(&mut head, "command", command);
    }
    if let Some(path) = model.files.path(subject.map.executable) {
        text(&mut head, "executable", &path);
    }
    if let Some(name) = written.executable.as_ref().and_then(|path| path.file_name()) {
        head.insert("executable_file".into(), name.to_string_lossy().into());
    }
    head.insert("page_size".into(), layout.page.into());
    let threads = subject.threads.iter().map(|(thread, _)| {
        let mut entry = Map::new();
        entry.insert("tid".into(), thread.tid.0.into());
        if let Some(name) = thread.command.known() {
            text(&mut entry, "command", name);
        }
        if let Some(restart) = written.restarts.iter().find(|restart| restart.tid == thread.tid) {
            entry.insert("interrupted_call".into(), interrupted(restart, written));
        }
        Value::Object(entry)
    });
    head.insert("threads".into(), threads.collect());
    let lost: Vec<Value> = written.threads_without_registers.iter().map(|tid| tid.0.into()).collect();
    head.insert("threads_without_registers".into(), lost.into());
    let shared = subject.process.task.known().and_then(|task| task.pending.known());
    if let Some(queue) = shared {
        head.insert("shared_pending".into(), queue.iter().map(|queued| Value::from(queued.signal)).collect());
    }
    head.insert("auxv_cut".into(), written.auxv_was_cut.into());
    let unknown = UNKNOWN_FIELDS.iter().map(|field| Value::from(*field));
    head.insert("unknown_fields".into(), unknown.chain(of_machine(subject)).collect());
    let dontdump = subject.map.mappings.iter().filter(|mapping| is_private_to_program(mapping));
    head.insert(
        "dontdump".into(),
        dontdump.map(|mapping| Value::Object(range(mapping.start.0, mapping.len()))).collect(),
    );
    let guards = subject.map.guards.iter().map(|guard| Value::Object(range(guard.start.0, guard.len())));
    head.insert("guards".into(), guards.collect());
    let absent = written.absent.iter().map(|absent| {
        let mut entry = range(absent.start.0, absent.len);
        entry.insert("why".into(), absent.why.why().into());
        Value::Object(entry)
    });
    head.insert("absent".into(), absent.collect());
    head
}

/// The files whose pages are in the core though nobody wrote to them.
fn files_of(layout: &Layout, model: &Model, files: &MappedFiles) -> Vec<Value> {
    let mut bytes: BTreeMap<FileId, u64> = BTreeMap::new();
    for filling in &layout.fillings {
        *bytes.entry(filling.file).or_default() += filling.len;
    }
    let entry = |(file, bytes): (FileId, u64)| {
        let found = files.get(file)?;
        let mut entry = Map::new();
        text(&mut entry, "path", &model.files.path(file)?);
        entry.insert("bytes".into(), bytes.into());
        text(&mut entry, "from", found.from.to_string().as_bytes());
        entry.insert("verified".into(), found.verified.name().into());
        Some(Value::Object(entry))
    };
    bytes.into_iter().filter_map(entry).collect()
}

/// What notes of some machines hold that images don't.
fn of_machine(subject: &Subject<'_>) -> Vec<Value> {
    let Some(arm) = subject.threads.iter().find_map(|(_, registers)| match registers {
        container_checkpoint::model::Registers::Aarch64(arm) => Some(arm),
        _ => None,
    }) else {
        return Vec::new();
    };
    let mut fields = vec![
        "NT_ARM_SVE, NT_ARM_SSVE, NT_ARM_ZA, NT_ARM_ZT, NT_ARM_FPMR: CRIU keeps V0 to V31 alone".to_owned(),
        "NT_ARM_TLS: TPIDR2_EL0".to_owned(),
        "NT_ARM_TAGGED_ADDR_CTRL, memory tags".to_owned(),
        "NT_ARM_PAC_MASK: derived from the highest address".to_owned(),
    ];
    if arm.guarded_stack.is_some() {
        fields.push("NT_ARM_GCS: features_locked".to_owned());
    }
    fields.into_iter().map(Value::from).collect()
}

fn interrupted(restart: &Restart, written: &Written) -> Value {
    json!({
        "number": restart.call,
        "sign": restart.sign.name(),
        "set_back": restart.was_set_back,
        "result": restart.result_name(),
        "taken_back": written.restarts_taken_back,
    })
}

fn entry(
    segment: &Segment,
    mapping: Option<&Mapping>,
    model: &Model,
    sources: Vec<Value>,
) -> Map<String, Value> {
    let mut entry = range(segment.start, segment.len);
    entry.insert("stored".into(), segment.stored.into());
    if let Some(at) = segment.at {
        entry.insert("offset".into(), at.into());
    }
    if let Some(mapping) = mapping {
        entry.insert("permissions".into(), mapping.permissions().into());
        entry.insert("kind".into(), mapping.kind.name().into());
        let name = model.mapping_name(mapping);
        if !name.is_empty() {
            text(&mut entry, "name", &name);
        }
        let advice = (0..64).filter(|advice| mapping.was_advised(*advice));
        entry.insert("advice".into(), advice.map(Value::from).collect());
    }
    entry.insert("sources".into(), sources.into());
    entry
}

/// The part of a stretch that lies in a segment.
fn source(stretch: &Stretch, segment: &Segment) -> Value {
    let (start, end) = (stretch.start.max(segment.start), stretch.end().min(segment.start + segment.len));
    let mut entry = range(start, end - start);
    entry.insert("source".into(), stretch.source.name().into());
    entry.insert("held".into(), stretch.held.into());
    Value::Object(entry)
}

fn range(start: u64, len: u64) -> Map<String, Value> {
    let start = VirtualAddress(start);
    let mut range = Map::new();
    range.insert("start".into(), format!("{:#018x}", start.0).into());
    range.insert("length".into(), len.into());
    range
}

/// Evidence's bytes as text, and exactly where that is another thing.
fn text(map: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    map.insert(key.into(), String::from_utf8_lossy(bytes).into());
    if str::from_utf8(bytes).is_err() {
        map.insert(format!("{key}_bytes"), STANDARD.encode(bytes).into());
    }
}

/// JSON in ASCII alone: what does something to a terminal is escaped.
fn ascii(value: &Value) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii))?;
    Ok(bytes)
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let is_plain = |letter: char| letter.is_ascii() && letter != '\x7f';
        for letter in fragment.chars() {
            let mut units = [0; 2];
            if is_plain(letter) {
                out.write_all(&[letter as u8])?;
                continue;
            }
            for unit in letter.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_ascii_and_exact() {
        let mut map = Map::new();
        text(&mut map, "command", b"del \xc3\xa9 \xe2\x80\xae");
        text(&mut map, "name", b"a\xff");
        let bytes = ascii(&Value::Object(map.clone())).unwrap();
        assert!(bytes.is_ascii());
        assert_eq!(serde_json::from_slice::<Map<String, Value>>(&bytes).unwrap(), map);
        assert_eq!((map.get("command_bytes"), map["name_bytes"].as_str()), (None, Some("Yf8=")));
    }
}
