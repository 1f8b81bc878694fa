//! Answers as JSON lines: a header, records, a line for each gap, and a summary at the end.
//!
//! A reader that sees no summary knows that the stream was cut.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::json::{SCHEMA_VERSION, text_list_fields, write_line};

/// A stream of JSON lines: `header`, records, `gap`s, `summary`.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: W,
    records: u64,
    gaps: u64,
}

impl<W: Write> JsonLines<W> {
    /// Starts a stream with its header line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin<T: AsRef<[u8]>>(out: W, evidence: &[T]) -> io::Result<Self> {
        let mut lines = Self { out, records: 0, gaps: 0 };
        let mut header = Map::new();
        header.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
        text_list_fields(&mut header, "evidence", evidence);
        lines.line("header", header)?;
        Ok(lines)
    }

    /// Writes a record of the given type.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn record(&mut self, kind: &str, fields: Map<String, Value>) -> io::Result<()> {
        self.line(kind, fields)?;
        self.records += 1;
        Ok(())
    }

    /// Writes a gap, as `json::gap` makes it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn gap(&mut self, gap: Value) -> io::Result<()> {
        let fields = match gap {
            Value::Object(fields) => fields,
            other => Map::from_iter([("what".to_owned(), other)]),
        };
        self.line("gap", fields)?;
        self.gaps += 1;
        Ok(())
    }

    /// Ends the stream with its summary: how many records and gaps there were, and what else the command counts.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self, fields: Map<String, Value>) -> io::Result<()> {
        let mut summary = Map::new();
        summary.insert("records".to_owned(), self.records.into());
        summary.insert("gaps".to_owned(), self.gaps.into());
        summary.extend(fields);
        self.line("summary", summary)
    }

    fn line(&mut self, kind: &str, fields: Map<String, Value>) -> io::Result<()> {
        let mut map = Map::new();
        map.insert("type".to_owned(), kind.into());
        map.extend(fields);
        write_line(&mut self.out, &map)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::present::json::gap;

    #[test]
    fn a_stream_tells_its_beginning_and_its_end() {
        let mut out = Vec::new();
        let mut lines = JsonLines::begin(&mut out, &["cp.tar"]).unwrap();
        lines.record("match", Map::from_iter([("pid".to_owned(), json!(1))])).unwrap();
        lines.gap(gap(b"a", b"b", b"c")).unwrap();
        lines.finish(Map::from_iter([("bytes_searched".to_owned(), json!(4096))])).unwrap();
        let expected = concat!(
            r#"{"type":"header","schema_version":1,"evidence":["cp.tar"]}"#,
            "\n",
            r#"{"type":"match","pid":1}"#,
            "\n",
            r#"{"type":"gap","what":"a","where":"b","why":"c"}"#,
            "\n",
            r#"{"type":"summary","records":1,"gaps":1,"bytes_searched":4096}"#,
            "\n",
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
