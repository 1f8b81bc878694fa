//! One JSON file of an engine: read as far as it goes, looked into without trust.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;

use serde_json::Value;

use super::facts::then;
use super::json::{integer, kind, read_partially, short};
use super::timestamp::Timestamp;
use crate::files::FileSet;
use crate::gap::{Field, Findings};

/// The largest document that is read, in bytes: a parsed one takes up to twenty times its size in memory. The largest seen has 1.3 MB.
const LARGEST: usize = 16 << 20;

/// One JSON file of a bundle (or a JSON text inside another), with a memory for what is wrong with it.
///
/// A file that is cut or breaks off is kept up to the last complete key or element of its outermost level.
/// Numbers are exact up to the ranges of `i64` and `u64`; nesting beyond serde_json's limit of 128 is an
/// error.
pub(super) struct Document<'a> {
    name: String,
    root: Value,
    state: State,
    expected: Cell<bool>,
    findings: &'a RefCell<Findings>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Absent,
    Whole,
    Broken(String),
}

impl<'a> Document<'a> {
    /// Reads a file of the set; a gap is recorded if it is there and can't be read.
    pub(super) fn load(files: &dyn FileSet, name: &str, findings: &'a RefCell<Findings>) -> Self {
        match files.file(name) {
            Some(bytes) => Self::parse(name.to_owned(), &bytes, findings),
            None if files.has(name) => {
                let why = "the evidence has it, its bytes could not be had".to_owned();
                findings.borrow_mut().gap("container metadata", name, &why);
                Self::new(name.to_owned(), Value::Null, State::Broken(why), findings)
            }
            None => Self::new(name.to_owned(), Value::Null, State::Absent, findings),
        }
    }

    /// Reads JSON from bytes; `name` says where they stand.
    pub(super) fn parse(name: String, bytes: &[u8], findings: &'a RefCell<Findings>) -> Self {
        if bytes.len() > LARGEST {
            let why = format!("{} bytes; no engine writes more than {LARGEST}", bytes.len());
            findings.borrow_mut().gap("container metadata", &name, &why);
            return Self::new(name, Value::Null, State::Broken(why), findings);
        }
        let text = String::from_utf8_lossy(bytes);
        if let Cow::Owned(_) = text {
            findings.borrow_mut().note(
                "bytes that are not UTF-8",
                &name,
                "no engine writes such JSON; they are read as U+FFFD",
            );
        }
        let outcome = read_partially(&text);
        for key in &outcome.repeated {
            findings.borrow_mut().note(
                "key given twice",
                format!("{name}: {}", short(key)),
                "the last one counts",
            );
        }
        let state = match outcome.broken {
            Some(why) => {
                findings.borrow_mut().gap("container metadata", &name, &why);
                State::Broken(why)
            }
            None => State::Whole,
        };
        Self::new(name, outcome.root, state, findings)
    }

    /// A document that does not exist.
    pub(super) fn absent(name: &str, findings: &'a RefCell<Findings>) -> Self {
        Self::new(name.to_owned(), Value::Null, State::Absent, findings)
    }

    fn new(name: String, root: Value, state: State, findings: &'a RefCell<Findings>) -> Self {
        Self { name, root, state, expected: Cell::new(false), findings }
    }

    /// Where it stands, for gaps and notes.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is such a file.
    pub(super) fn exists(&self) -> bool {
        self.state != State::Absent
    }

    /// Whether it was read to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// The outermost value, as far as it could be read.
    pub(super) fn root(&self) -> &Value {
        &self.root
    }

    /// Says that the engine always writes this file: its absence is a gap, and its facts unreadable.
    pub(super) fn expect(&self) {
        self.expected.set(true);
        if !self.exists() {
            self.findings.borrow_mut().gap("container metadata", &self.name, "no such member");
        }
    }

    /// What a field is that this file should hold and doesn't.
    pub(super) fn nothing<T>(&self) -> Field<T> {
        match &self.state {
            State::Whole => Field::NotCaptured,
            State::Broken(why) => Field::Unreadable(format!("{}: {why}", self.name)),
            State::Absent if self.expected.get() => Field::Unreadable(format!("no {}", self.name)),
            State::Absent => Field::NotCaptured,
        }
    }

    /// The value at a path of keys; `null` counts as absent, as Go's decoder has it.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        let mut value = &self.root;
        for key in path {
            value = value.as_object()?.get(*key)?;
        }
        (!value.is_null()).then_some(value)
    }

    /// A text; an empty one counts as absent, as Go writes what is unset.
    pub(super) fn text(&self, path: &[&str]) -> Field<String> {
        match self.get(path) {
            Some(Value::String(text)) if text.is_empty() => Field::NotCaptured,
            Some(Value::String(text)) => Field::Known(text.clone()),
            Some(other) => self.wrong(path, "a text", other),
            None => self.nothing(),
        }
    }

    /// A whole number that fits its type.
    pub(super) fn number<T: TryFrom<i128>>(&self, path: &[&str]) -> Field<T> {
        let Some(value) = self.get(path) else { return self.nothing() };
        match integer(value).and_then(|number| T::try_from(number).ok()) {
            Some(number) => Field::Known(number),
            None => self.wrong(path, "a whole number in range", value),
        }
    }

    /// True or false.
    pub(super) fn flag(&self, path: &[&str]) -> Field<bool> {
        match self.get(path) {
            Some(Value::Bool(flag)) => Field::Known(*flag),
            Some(other) => self.wrong(path, "true or false", other),
            None => self.nothing(),
        }
    }

    /// An RFC 3339 time; Go's zero time counts as absent.
    pub(super) fn time(&self, path: &[&str]) -> Field<Timestamp> {
        then(self.text(path), |text| match Timestamp::from_rfc3339(&text) {
            Ok(time) => time.into(),
            Err(why) => self.unparsable(path, format!("{} is {why}", short(&text))),
        })
    }

    /// A time as nanoseconds since 1970; 0 counts as absent.
    pub(super) fn nanoseconds(&self, path: &[&str]) -> Field<Timestamp> {
        then(self.number(path), |number| Timestamp::from_nanoseconds(number).into())
    }

    /// A list of texts, in order. What is no text is left out, with a gap.
    pub(super) fn texts(&self, path: &[&str]) -> Field<Vec<String>> {
        let list = match self.get(path) {
            Some(Value::Array(list)) => list,
            Some(other) => return self.wrong(path, "a list", other),
            None => return self.nothing(),
        };
        let mut texts = Vec::with_capacity(list.len());
        for item in list {
            match item {
                Value::String(text) => texts.push(text.clone()),
                other => self.complain(path, format!("{} in a list of texts", kind(other))),
            }
        }
        Field::Known(texts)
    }

    /// A map of texts, in the file's order. What is no text is left out, with a gap.
    pub(super) fn pairs(&self, path: &[&str]) -> Field<Vec<(String, String)>> {
        let map = match self.get(path) {
            Some(Value::Object(map)) => map,
            Some(other) => return self.wrong(path, "a map", other),
            None => return self.nothing(),
        };
        let mut pairs = Vec::with_capacity(map.len());
        for (key, value) in map {
            match value {
                Value::String(text) => pairs.push((key.clone(), text.clone())),
                other => self
                    .complain(&[path, &[key.as_str()]].concat(), format!("not a text, but {}", kind(other))),
            }
        }
        Field::Known(pairs)
    }

    /// A list or map that its writer leaves out when it is empty: absent from a whole file means that there
    /// is nothing in it.
    pub(super) fn or_empty<T>(&self, field: Field<Vec<T>>) -> Field<Vec<T>> {
        match field {
            Field::NotCaptured if self.is_whole() => Field::Known(Vec::new()),
            other => other,
        }
    }

    /// JSON inside a text of this document.
    pub(super) fn nested(&self, path: &[&str]) -> Document<'a> {
        let name = self.place(path);
        match self.text(path) {
            Field::Known(text) => Self::parse(name, text.as_bytes(), self.findings),
            Field::Unreadable(why) | Field::Unparsable(why) => {
                Self::new(name, Value::Null, State::Broken(why), self.findings)
            }
            Field::NotCaptured | Field::NotApplicable => Self::absent(&name, self.findings),
        }
    }

    /// Records that a value is of another type than its key has, and gives the field that says so.
    pub(super) fn wrong<T>(&self, path: &[&str], wanted: &str, found: &Value) -> Field<T> {
        self.unparsable(path, format!("not {wanted}, but {}", kind(found)))
    }

    /// Records that a value makes no sense, and gives the field that says so.
    pub(super) fn unparsable<T>(&self, path: &[&str], why: String) -> Field<T> {
        self.complain(path, &why);
        Field::Unparsable(why)
    }

    /// Records that something at a path makes no sense, and is left out.
    pub(super) fn complain(&self, path: &[&str], why: impl fmt::Display) {
        self.findings.borrow_mut().gap("container metadata", self.place(path), why);
    }

    /// The file and the key in it, cut to a length that a line can bear.
    pub(super) fn place(&self, path: &[&str]) -> String {
        let mut place = self.name.clone();
        for (depth, key) in path.iter().enumerate() {
            place.push_str(if depth == 0 { ": " } else { " → " });
            place.push_str(&short(key));
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(text: &str, look: impl FnOnce(&Document<'_>) -> T) -> (T, Findings) {
        let findings = RefCell::new(Findings::default());
        let answer = look(&Document::parse("config.dump".to_owned(), text.as_bytes(), &findings));
        (answer, findings.into_inner())
    }

    #[test]
    fn empty_texts_and_null_are_not_captured() {
        let (_, findings) = with(r#"{"name":"","id":null,"x":"y"}"#, |document| {
            assert_eq!(document.text(&["name"]), Field::NotCaptured);
            assert_eq!(document.text(&["id"]), Field::NotCaptured);
            assert_eq!(document.text(&["absent", "deeper"]), Field::NotCaptured);
            assert_eq!(document.text(&["x", "into a text"]), Field::NotCaptured);
            assert_eq!(document.text(&["x"]), Field::Known("y".to_owned()));
        });
        assert!(findings.gaps.is_empty());
    }

    #[test]
    fn integers_beyond_a_double_are_exact() {
        let text = r#"{"a":1795322707340160556,"b":18446744073709551615,"c":1e400,"d":1.5,"e":-1,"f":99999999999999999999}"#;
        // 1e400 is refused by the parser itself: everything before it stays.
        let (_, findings) = with(text, |document| {
            assert_eq!(document.number::<i64>(&["a"]), Field::Known(1_795_322_707_340_160_556));
            assert_eq!(document.number::<u64>(&["b"]), Field::Known(u64::MAX));
            assert!(matches!(document.number::<i64>(&["b"]), Field::Unparsable(_)));
            assert!(matches!(document.text(&["d"]), Field::Unreadable(_)));
        });
        assert_eq!(findings.gaps.len(), 2);
        let (_, findings) = with(r#"{"d":1.5,"e":-1,"f":99999999999999999999}"#, |document| {
            for key in ["d", "e", "f"] {
                assert!(matches!(document.number::<u32>(&[key]), Field::Unparsable(_)), "{key}");
            }
            assert_eq!(document.number::<i64>(&["e"]), Field::Known(-1));
        });
        assert_eq!(findings.gaps.len(), 3);
    }

    #[test]
    fn a_wrong_type_is_a_gap_for_that_fact_alone() {
        let (_, findings) =
            with(r#"{"id":7,"name":"n","labels":{"a":"b","c":[],"":"d"},"args":["x",1,"y"]}"#, |document| {
                assert!(matches!(document.text(&["id"]), Field::Unparsable(_)));
                assert_eq!(document.text(&["name"]), Field::Known("n".to_owned()));
                let labels = [("a", "b"), ("", "d")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
                assert_eq!(document.pairs(&["labels"]), Field::Known(labels));
                assert_eq!(document.texts(&["args"]), Field::Known(vec!["x".to_owned(), "y".to_owned()]));
            });
        let places: Vec<&str> = findings.gaps.iter().map(|gap| gap.place.as_str()).collect();
        assert_eq!(places, ["config.dump: id", "config.dump: labels → c", "config.dump: args"]);
    }

    #[test]
    fn times_say_what_they_are() {
        let (_, findings) = with(r#"{"zero":"0001-01-01T00:00:00Z","bad":"noon","at":0}"#, |document| {
            assert_eq!(document.time(&["zero"]), Field::NotCaptured);
            assert!(matches!(document.time(&["bad"]), Field::Unparsable(_)));
            assert_eq!(document.nanoseconds(&["at"]), Field::NotCaptured);
        });
        assert_eq!(findings.gaps.len(), 1);
    }

    #[test]
    fn what_a_broken_file_lacks_is_unreadable_not_absent() {
        let (_, findings) = with(r#"{"id":"a","na"#, |document| {
            assert!(!document.is_whole() && document.exists());
            assert_eq!(document.text(&["id"]), Field::Known("a".to_owned()));
            assert!(matches!(document.text(&["name"]), Field::Unreadable(_)));
        });
        assert_eq!(findings.gaps.len(), 1);
        assert!(findings.gaps[0].why.contains("byte"), "{}", findings.gaps[0].why);
    }

    #[test]
    fn long_keys_do_not_swell_the_messages() {
        let text = format!(r#"{{"labels":{{"{}":1}}}}"#, "k".repeat(100_000));
        let (_, findings) = with(&text, |document| document.pairs(&["labels"]));
        assert!(findings.gaps[0].place.len() < 200);
    }

    #[test]
    fn json_in_a_text_is_read_and_its_faults_have_a_place() {
        let text = r#"{"annotations":{"good":"{\"name\":\"x\"}","bad":"{"}}"#;
        let (_, findings) = with(text, |document| {
            assert_eq!(
                document.nested(&["annotations", "good"]).text(&["name"]),
                Field::Known("x".to_owned())
            );
            assert!(matches!(document.nested(&["annotations", "bad"]).text(&["name"]), Field::Unreadable(_)));
            assert_eq!(document.nested(&["annotations", "none"]).text(&["name"]), Field::NotCaptured);
        });
        assert_eq!(findings.gaps.len(), 1);
        assert_eq!(findings.gaps[0].place, "config.dump: annotations → bad");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_noted() {
        let findings = RefCell::new(Findings::default());
        let document = Document::parse("status".to_owned(), b"{\"a\":\"\xff\"}", &findings);
        assert_eq!(document.text(&["a"]), Field::Known("\u{fffd}".to_owned()));
        assert_eq!(findings.borrow().notes.len(), 1);
    }
}
