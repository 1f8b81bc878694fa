//! How a mapping is told: what it is, its permissions, its file.

use container_checkpoint::model::{Mapping, MappingKind, Model};
use serde_json::{Map, Value};

use crate::present::json::{address, text_fields};
use crate::present::text::Text;

/// The word for a kind of mapping.
pub fn kind_name(kind: MappingKind) -> &'static str {
    match kind {
        MappingKind::Heap => "heap",
        MappingKind::Stack => "stack",
        MappingKind::Vdso => "vdso",
        MappingKind::Vvar => "vvar",
        MappingKind::Vsyscall => "vsyscall",
        MappingKind::Uprobes => "uprobes",
        MappingKind::AnonymousPrivate => "anonymous",
        MappingKind::AnonymousShared => "shared",
        MappingKind::FilePrivate => "file",
        MappingKind::FileShared => "shared file",
        MappingKind::Memfd => "memfd",
        MappingKind::SysV => "sysv",
        MappingKind::PacketRing => "packet ring",
        MappingKind::AioRing => "aio ring",
        MappingKind::ShadowStack => "shadow stack",
        MappingKind::Guard => "guard",
        MappingKind::Plugin => "plugin",
        MappingKind::Unknown => "unknown",
    }
}

/// A mapping for a table: permissions, and its name as `/proc/PID/maps` has it, else its kind.
pub fn mapping_text(model: &Model, mapping: &Mapping) -> Text {
    let text = Text::own(mapping.permissions()).and(" ");
    match model.mapping_name(mapping) {
        name if name.is_empty() => text.and(format_args!("[{}]", kind_name(mapping.kind))),
        name => text.and_evidence(name),
    }
}

/// A mapping for JSON: range, permissions, kind, file.
pub fn mapping_json(model: &Model, mapping: &Mapping) -> Value {
    let mut map = Map::new();
    map.insert("start".into(), address(mapping.start.0));
    map.insert("end".into(), address(mapping.end.0));
    map.insert("permissions".into(), mapping.permissions().into());
    map.insert("kind".into(), kind_name(mapping.kind).into());
    if mapping.file.is_some() {
        text_fields(&mut map, "file", &model.mapping_name(mapping));
        map.insert("offset".into(), mapping.offset.into());
    }
    Value::Object(map)
}
