//! JSON text as Python's `json.dump` lays it out: on one line, or indented by four spaces; ASCII only.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes in one line of crit's base64.
const BASE64_LINE: usize = 57;

/// Writes JSON from begin and end marks. The caller keeps them in balance.
pub(crate) struct Text<'w, W: Write> {
    out: &'w mut W,
    pretty: bool,
    /// For each open object or list: whether something stands in it.
    open: Vec<bool>,
    /// A key was written; its value comes next.
    after_key: bool,
}

impl<'w, W: Write> Text<'w, W> {
    pub fn new(out: &'w mut W, pretty: bool) -> Self {
        Self { out, pretty, open: Vec::new(), after_key: false }
    }

    pub fn begin(&mut self, bracket: u8) -> io::Result<()> {
        self.place()?;
        self.open.push(false);
        self.out.write_all(&[bracket])
    }

    pub fn end(&mut self, bracket: u8) -> io::Result<()> {
        if self.open.pop() == Some(true) {
            self.new_line()?;
        }
        self.out.write_all(&[bracket])
    }

    /// Writes a key: a name that needs no escapes, as all names of the schema are.
    pub fn key(&mut self, key: &str) -> io::Result<()> {
        self.place()?;
        self.after_key = true;
        self.out.write_all(b"\"")?;
        self.out.write_all(key.as_bytes())?;
        self.out.write_all(b"\": ")
    }

    pub fn unsigned(&mut self, number: u64) -> io::Result<()> {
        self.place()?;
        write!(self.out, "{number}")
    }

    pub fn signed(&mut self, number: i64) -> io::Result<()> {
        self.place()?;
        write!(self.out, "{number}")
    }

    pub fn boolean(&mut self, value: bool) -> io::Result<()> {
        self.place()?;
        self.out.write_all(if value { b"true" } else { b"false" })
    }

    pub fn null(&mut self) -> io::Result<()> {
        self.place()?;
        self.out.write_all(b"null")
    }

    /// Writes a string; what is not UTF-8 becomes U+FFFD.
    pub fn string(&mut self, text: &[u8]) -> io::Result<()> {
        self.place()?;
        self.out.write_all(b"\"")?;
        for chunk in text.utf8_chunks() {
            self.escaped(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                self.out.write_all(b"\\ufffd")?;
            }
        }
        self.out.write_all(b"\"")
    }

    /// Writes pieces of bytes as one string of base64, as crit does: each line of 76 characters ends with a newline.
    pub fn base64_lines(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        self.place()?;
        self.out.write_all(b"\"")?;
        let mut line = [0; BASE64_LINE];
        let mut filled = 0;
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (taken, after) = rest.split_at(rest.len().min(BASE64_LINE - filled));
                line[filled..filled + taken.len()].copy_from_slice(taken);
                filled += taken.len();
                rest = after;
                if filled == BASE64_LINE {
                    self.base64_line(&line)?;
                    filled = 0;
                }
            }
        }
        if filled > 0 {
            self.base64_line(&line[..filled])?;
        }
        self.out.write_all(b"\"")
    }

    /// Writes bytes as one string of base64 without line breaks.
    pub fn base64(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.place()?;
        self.out.write_all(b"\"")?;
        for part in bytes.chunks(BASE64_LINE) {
            self.base64_part(part)?;
        }
        self.out.write_all(b"\"")
    }

    fn base64_line(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.base64_part(bytes)?;
        self.out.write_all(b"\\n")
    }

    /// Writes the base64 of at most a line.
    fn base64_part(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut text = [0; BASE64_LINE.div_ceil(3) * 4];
        let length = STANDARD.encode_slice(bytes, &mut text).map_err(io::Error::other)?;
        self.out.write_all(&text[..length])
    }

    fn escaped(&mut self, text: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, character) in text.char_indices() {
            if matches!(character, ' '..='~') && character != '"' && character != '\\' {
                continue;
            }
            self.out.write_all(&text.as_bytes()[plain..at])?;
            plain = at + character.len_utf8();
            match character {
                '"' => self.out.write_all(b"\\\"")?,
                '\\' => self.out.write_all(b"\\\\")?,
                '\n' => self.out.write_all(b"\\n")?,
                '\r' => self.out.write_all(b"\\r")?,
                '\t' => self.out.write_all(b"\\t")?,
                '\u{8}' => self.out.write_all(b"\\b")?,
                '\u{c}' => self.out.write_all(b"\\f")?,
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(self.out, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        self.out.write_all(&text.as_bytes()[plain..])
    }

    /// Writes what stands ahead of the next value or key: a separator and a new line.
    fn place(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.after_key) {
            return Ok(());
        }
        let Some(filled) = self.open.last_mut() else { return Ok(()) };
        if std::mem::replace(filled, true) {
            self.out.write_all(if self.pretty { b"," } else { b", " })?;
        }
        self.new_line()
    }

    fn new_line(&mut self) -> io::Result<()> {
        if self.pretty {
            self.out.write_all(b"\n")?;
            for _ in &self.open {
                self.out.write_all(b"    ")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pretty: bool, write: impl FnOnce(&mut Text<'_, Vec<u8>>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut Text::new(&mut out, pretty)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_layouts_are_pythons() {
        let write = |text: &mut Text<'_, Vec<u8>>| {
            text.begin(b'{')?;
            text.key("a")?;
            text.begin(b'[')?;
            text.unsigned(1)?;
            text.boolean(true)?;
            text.end(b']')?;
            text.key("b")?;
            text.begin(b'[')?;
            text.end(b']')?;
            text.end(b'}')
        };
        assert_eq!(written(false, write), r#"{"a": [1, true], "b": []}"#);
        assert_eq!(
            written(true, write),
            "{\n    \"a\": [\n        1,\n        true\n    ],\n    \"b\": []\n}"
        );
    }

    #[test]
    fn strings_are_ascii_as_pythons() {
        let text = "\"\\/\u{7f}\u{80}é\u{2028}\u{10348}\n\r\t\u{8}\u{c}\u{1}~";
        assert_eq!(
            written(false, |out| out.string(text.as_bytes())),
            r#""\"\\/\u007f\u0080\u00e9\u2028\ud800\udf48\n\r\t\b\f\u0001~""#
        );
        assert_eq!(written(false, |out| out.string(b"\xe9t\xe9")), r#""\ufffdt\ufffd""#);
    }

    #[test]
    fn base64_breaks_lines_as_pythons() {
        for (length, expected) in
            [(0, vec![]), (1, vec![4]), (57, vec![76]), (58, vec![76, 4]), (114, vec![76, 76])]
        {
            let bytes = vec![0xa5; length];
            let (head, tail) = bytes.split_at(length / 3);
            let text = written(false, |out| out.base64_lines(&[head, tail]));
            let lines: Vec<_> = text.trim_matches('"').split_terminator("\\n").map(str::len).collect();
            assert_eq!(lines, expected);
        }
        assert_eq!(written(false, |out| out.base64_lines(&[b"a", b"bcd"])), r#""YWJjZA==\n""#);
    }
}
