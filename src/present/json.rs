//! The shape of our JSON, which is a contract: documents, texts that are not UTF-8, gaps.
//!
//! Every document says `schema_version` and `evidence` first and `gaps` last.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};
use serde_json::{Map, Serializer, Value, json};

use super::bytes::address_text;
use super::escape::is_hidden;

/// Changes when a key is renamed or changes its type; new keys don't change it.
pub const SCHEMA_VERSION: u64 = 1;

/// Puts a text of the evidence under `key`; one that is not UTF-8 gets a sibling `KEY_bytes` in base64.
pub fn text_fields(map: &mut Map<String, Value>, key: &str, text: &[u8]) {
    map.insert(key.to_owned(), String::from_utf8_lossy(text).into());
    if std::str::from_utf8(text).is_err() {
        map.insert(format!("{key}_bytes"), STANDARD.encode(text).into());
    }
}

/// Where a byte of memory is stored: the page image, the offset in it, and how many dumps back it is.
pub fn image_json(image: &str, offset: u64, ancestor: usize) -> Value {
    let mut object = json!({ "image": image, "offset": offset });
    if ancestor > 0 {
        object["parent"] = ancestor.into();
    }
    object
}

/// Puts a list of texts under `key`; if one is not UTF-8, a sibling `KEY_bytes` holds base64 in its place, null elsewhere.
pub fn text_list_fields<T: AsRef<[u8]>>(map: &mut Map<String, Value>, key: &str, texts: &[T]) {
    let lossy = |text: &T| Value::from(String::from_utf8_lossy(text.as_ref()));
    map.insert(key.to_owned(), texts.iter().map(lossy).collect());
    let exact = |text: &T| match std::str::from_utf8(text.as_ref()) {
        Ok(_) => Value::Null,
        Err(_) => STANDARD.encode(text).into(),
    };
    let exact: Vec<Value> = texts.iter().map(exact).collect();
    if exact.iter().any(|value| !value.is_null()) {
        map.insert(format!("{key}_bytes"), exact.into());
    }
}

/// An address as a string, `0x` and 16 digits: JSON's numbers lose bits above 2^53 in many readers.
#[must_use]
pub fn address(address: u64) -> Value {
    address_text(address).into()
}

/// An entry of `gaps`: what is missing, where it should have been, why it isn't there.
#[must_use]
pub fn gap(what: &[u8], place: &[u8], why: &[u8]) -> Value {
    let mut map = Map::new();
    text_fields(&mut map, "what", what);
    text_fields(&mut map, "where", place);
    text_fields(&mut map, "why", why);
    Value::Object(map)
}

/// A document: version and evidence, then the answer's own keys in their order, then the gaps.
#[must_use]
pub fn document(evidence: &[u8], answer: Map<String, Value>, gaps: Vec<Value>) -> Value {
    let mut map = Map::new();
    map.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
    text_fields(&mut map, "evidence", evidence);
    map.extend(answer);
    map.insert("gaps".to_owned(), gaps.into());
    Value::Object(map)
}

/// Writes a value over several lines, two blanks a level, with a line feed at the end.
///
/// # Errors
/// Those of `out`.
pub fn write_pretty(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Harmless(PrettyFormatter::new())))?;
    out.write_all(b"\n")
}

/// Writes a value on one line, with a line feed at the end.
///
/// # Errors
/// Those of `out`.
pub fn write_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Harmless(CompactFormatter)))?;
    out.write_all(b"\n")
}

/// Writes hidden code points as `\uXXXX`, which is the same JSON: a document may be looked at on a terminal too.
///
/// serde_json escapes C0 by itself, but neither DEL, C1 nor marks of direction.
struct Harmless<F>(F);

impl<F: Formatter> Formatter for Harmless<F> {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_key(out)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut shown = 0;
        for (start, c) in fragment.char_indices().filter(|&(_, c)| is_hidden(c)) {
            out.write_all(&fragment.as_bytes()[shown..start])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            shown = start + c.len_utf8();
        }
        out.write_all(&fragment.as_bytes()[shown..])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pretty(value: &Value) -> String {
        let mut out = Vec::new();
        write_pretty(&mut out, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn documents_start_with_the_version_and_end_with_the_gaps() {
        let answer = Map::from_iter([("processes".to_owned(), json!([{"pid": 1}]))]);
        let gaps = vec![gap(b"pages-2.img", b"cp.tar//checkpoint", b"the archive is cut")];
        let expected = r#"{
  "schema_version": 1,
  "evidence": "cp.tar",
  "processes": [
    {
      "pid": 1
    }
  ],
  "gaps": [
    {
      "what": "pages-2.img",
      "where": "cp.tar//checkpoint",
      "why": "the archive is cut"
    }
  ]
}
"#;
        assert_eq!(pretty(&document(b"cp.tar", answer, gaps)), expected);
    }

    #[test]
    fn text_that_is_not_utf8_keeps_its_bytes_beside_it() {
        let mut map = Map::new();
        text_fields(&mut map, "comm", b"plain");
        text_fields(&mut map, "path", b"/a\xff");
        assert_eq!(
            Value::Object(map),
            json!({"comm": "plain", "path": "/a\u{fffd}", "path_bytes": STANDARD.encode(b"/a\xff")})
        );
    }

    #[test]
    fn lists_keep_bytes_in_the_same_places() {
        let mut map = Map::new();
        text_list_fields(&mut map, "argv", &[b"sh".as_slice(), b"\xc0"]);
        text_list_fields(&mut map, "fine", &[b"a"]);
        assert_eq!(
            Value::Object(map),
            json!({"argv": ["sh", "\u{fffd}"], "argv_bytes": [null, "wA=="], "fine": ["a"]})
        );
    }

    #[test]
    fn a_real_replacement_character_is_told_from_bad_bytes() {
        let mut map = Map::new();
        text_fields(&mut map, "name", "\u{fffd}".as_bytes());
        assert_eq!(Value::Object(map), json!({"name": "\u{fffd}"}));
    }

    #[test]
    fn addresses_are_padded_strings() {
        assert_eq!(address(u64::MAX - 1), json!("0xfffffffffffffffe"));
    }

    #[test]
    fn output_has_no_hidden_code_point_and_means_the_same() {
        let every: String = (0..=0x10_FFFF).filter_map(char::from_u32).filter(|&c| is_hidden(c)).collect();
        let value = json!({every.as_str(): [every.as_str(), "plain é 日本"]});
        let text = pretty(&value);
        assert!(!text.chars().any(|c| c != '\n' && is_hidden(c)));
        assert!(text.contains("plain é 日本"));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn pretty_output_is_that_of_serde_json_where_nothing_is_hidden() {
        let value = json!({"a": [], "b": {}, "c": [1, -2.5, true, null, "\"\\\n\u{1}"], "d": {"e": [[]]}});
        assert_eq!(pretty(&value), serde_json::to_string_pretty(&value).unwrap() + "\n");
    }
}
