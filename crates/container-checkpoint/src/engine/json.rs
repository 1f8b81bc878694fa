//! JSON that may break off: what was complete before the break is kept.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What could be read of a JSON text.
pub(super) struct Partial {
    /// The outermost value with all its complete keys or elements; null if not even that.
    pub(super) root: Value,
    /// Why and at which byte reading ended early.
    pub(super) broken: Option<String>,
    /// Keys of the outermost map that stand there more than once.
    pub(super) repeated: Vec<String>,
}

/// Reads a JSON text. If it breaks off or is broken, what is complete on its outermost level is kept.
///
/// Numbers are exact within `i64` and `u64`. serde_json's limit of 128 nested levels is in force.
pub(super) fn read_partially(text: &str) -> Partial {
    let mut partial = Partial { root: Value::Null, broken: None, repeated: Vec::new() };
    if text.trim_start().is_empty() {
        partial.broken = Some("empty".to_owned());
        return partial;
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let outcome = Outermost(&mut partial).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    if let Err(error) = outcome {
        let what = if error.is_eof() { "breaks off" } else { "no JSON" };
        partial.broken = Some(format!("{what} at byte {}", byte_offset(text, error.line(), error.column())));
    }
    partial
}

/// A whole number, exact.
pub(super) fn integer(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// The beginning of a text from the evidence, for a message.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The byte that a line and a column (both from 1, the column in bytes) stand for.
fn byte_offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    before.saturating_add(column).min(text.len())
}

/// Reads the outermost level piece by piece; each piece as a whole, by serde_json.
struct Outermost<'p>(&'p mut Partial);

impl<'de> DeserializeSeed<'de> for Outermost<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Outermost<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut map = Map::new();
        let outcome = loop {
            match access.next_entry::<String, Value>() {
                Ok(Some((key, value))) => {
                    if map.contains_key(&key) {
                        self.0.repeated.push(key.clone());
                    }
                    map.insert(key, value);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.0.root = Value::Object(map);
        outcome
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut list = Vec::new();
        let outcome = loop {
            match access.next_element::<Value>() {
                Ok(Some(value)) => list.push(value),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.0.root = Value::Array(list);
        outcome
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.keep(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.keep(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.keep(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.keep(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.keep(value)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.keep(Value::Null)
    }
}

impl Outermost<'_> {
    fn keep<E>(self, value: impl Into<Value>) -> Result<(), E> {
        self.0.root = value.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values_of_every_type() {
        for text in
            ["null", "true", "-3", "18446744073709551615", "1.5", r#""x""#, "[1,[2]]", r#"{"a":{"b":null}}"#]
        {
            let partial = read_partially(text);
            assert_eq!(partial.broken, None, "{text}");
            assert_eq!(partial.root, serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn every_cut_keeps_what_was_complete() {
        let text = r#"{"first":{"a":[1,2]},"second":"two","third":3}"#;
        let second = text.find(r#","second""#).unwrap();
        for cut in 1..text.len() {
            let partial = read_partially(&text[..cut]);
            assert!(partial.broken.is_some(), "{cut}");
            let first = partial.root.get("first").is_some();
            assert_eq!(first, cut >= second, "cut at {cut}");
        }
        let list = read_partially(r#"["/a","/b","/c"#);
        assert_eq!(list.root, serde_json::json!(["/a", "/b"]));
    }

    #[test]
    fn says_at_which_byte() {
        assert_eq!(read_partially("").broken.as_deref(), Some("empty"));
        assert_eq!(read_partially("{\"a\":\n\n x}").broken.as_deref(), Some("no JSON at byte 9"));
        assert_eq!(read_partially("{\"a\":1").broken.as_deref(), Some("breaks off at byte 6"));
    }

    #[test]
    fn trailing_bytes_do_not_hide_the_value() {
        let partial = read_partially(r#"{"a":1} {"a":2}"#);
        assert_eq!(partial.root, serde_json::json!({"a": 1}));
        assert!(partial.broken.is_some());
    }

    #[test]
    fn deep_nesting_is_refused_without_recursing_into_it() {
        let text = format!(r#"{{"id":"x","deep":{}"#, "[".repeat(1_000_000));
        let partial = read_partially(&text);
        assert_eq!(partial.root, serde_json::json!({"id": "x"}));
        assert!(partial.broken.is_some());
        assert!(read_partially(&"[".repeat(1_000_000)).broken.is_some());
    }

    #[test]
    fn repeated_keys_are_remembered() {
        let partial = read_partially(r#"{"id":"a","id":"b"}"#);
        assert_eq!((partial.root, partial.repeated), (serde_json::json!({"id": "b"}), vec!["id".to_owned()]));
    }

    #[test]
    fn messages_are_cut_between_characters() {
        assert_eq!(short("é"), "é");
        assert_eq!(short(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }
}
