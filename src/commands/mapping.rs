//! How a mapping is told: what it is, its permissions, its file.

use container_checkpoint::model::{Mapping, Model};
use serde_json::{Map, Value};

use crate::present::json::{address, text_fields};
use crate::present::text::Text;

/// A mapping for a table: permissions, and its name as `/proc/PID/maps` has it, else its kind.
pub fn mapping_text(model: &Model, mapping: &Mapping) -> Text {
    let text = Text::own(mapping.permissions()).and(" ");
    match model.mapping_name(mapping) {
        name if name.is_empty() => text.and(format_args!("[{}]", mapping.kind.name())),
        name => text.and_evidence(name),
    }
}

/// A mapping for JSON: range, permissions, kind, file.
pub fn mapping_json(model: &Model, mapping: &Mapping) -> Value {
    let mut map = Map::new();
    map.insert("start".into(), address(mapping.start.0));
    map.insert("end".into(), address(mapping.end.0));
    map.insert("permissions".into(), mapping.permissions().into());
    map.insert("kind".into(), mapping.kind.name().into());
    if mapping.file.is_some() {
        text_fields(&mut map, "file", &model.mapping_name(mapping));
        map.insert("offset".into(), mapping.offset.into());
    }
    Value::Object(map)
}
