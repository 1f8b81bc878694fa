//! JSON text as Python's `json.dump` lays it out: on one line, or indented by four spaces; ASCII only.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes in one line of crit's base64.
const BASE64_LINE: usize = 57;

/// How much is written to the sink at once, in bytes. Texts are made of very small pieces.
const BUFFER: usize = 64 << 10;

/// The numbers below 100 in two digits.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Writes JSON from begin and end marks. The caller keeps them in balance, and calls [`Text::finish`].
pub(crate) struct Text<'w, W: Write> {
    out: &'w mut W,
    /// What is not written yet.
    buffer: Vec<u8>,
    pretty: bool,
    /// For each open object or list: whether something stands in it.
    open: Vec<bool>,
    /// A key was written; its value comes next.
    after_key: bool,
}

impl<'w, W: Write> Text<'w, W> {
    pub fn new(out: &'w mut W, pretty: bool) -> Self {
        Self { out, buffer: Vec::with_capacity(2 * BUFFER), pretty, open: Vec::new(), after_key: false }
    }

    /// Writes what is not written yet.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.out.flush()
    }

    pub fn begin(&mut self, bracket: u8) -> io::Result<()> {
        self.place()?;
        self.open.push(false);
        self.buffer.push(bracket);
        Ok(())
    }

    pub fn end(&mut self, bracket: u8) -> io::Result<()> {
        if self.open.pop() == Some(true) {
            self.new_line();
        }
        self.buffer.push(bracket);
        Ok(())
    }

    /// Writes a key: a name that needs no escapes, as all names of the schema are.
    #[inline]
    pub fn key(&mut self, key: &str) -> io::Result<()> {
        self.place()?;
        self.after_key = true;
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(b"\": ");
        Ok(())
    }

    pub fn unsigned(&mut self, number: u64) -> io::Result<()> {
        self.place()?;
        self.digits(number);
        Ok(())
    }

    /// Writes a key and its number: [`Text::key`] and [`Text::unsigned`] at once.
    #[inline]
    pub fn unsigned_member(&mut self, key: &str, number: u64) -> io::Result<()> {
        self.key(key)?;
        self.after_key = false;
        self.digits(number);
        Ok(())
    }

    pub fn signed(&mut self, number: i64) -> io::Result<()> {
        self.place()?;
        if number < 0 {
            self.buffer.push(b'-');
        }
        self.digits(number.unsigned_abs());
        Ok(())
    }

    /// Writes a number by hand, two digits at a time: numbers are most of a pagemap's text.
    #[inline]
    fn digits(&mut self, mut number: u64) {
        if number < 10 {
            return self.buffer.push(b'0' + number as u8);
        }
        let mut digits = [0; 20];
        let mut start = digits.len();
        while number >= 100 {
            start -= 2;
            digits[start..start + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
            number /= 100;
        }
        start -= 2;
        digits[start..start + 2].copy_from_slice(&PAIRS[number as usize]);
        // Without the zero in front of an odd number of digits.
        self.buffer.extend_from_slice(&digits[start + usize::from(number < 10)..]);
    }

    pub fn boolean(&mut self, value: bool) -> io::Result<()> {
        self.place()?;
        self.buffer.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    pub fn null(&mut self) -> io::Result<()> {
        self.place()?;
        self.buffer.extend_from_slice(b"null");
        Ok(())
    }

    /// Writes a string; what is not UTF-8 becomes U+FFFD.
    pub fn string(&mut self, text: &[u8]) -> io::Result<()> {
        self.place()?;
        self.buffer.push(b'"');
        for chunk in text.utf8_chunks() {
            self.escaped(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                self.buffer.extend_from_slice(b"\\ufffd");
            }
            self.flush_if_full()?;
        }
        self.buffer.push(b'"');
        Ok(())
    }

    /// Writes pieces of bytes as one string of base64, as crit does: each line of 76 characters ends with a newline.
    pub fn base64_lines(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        self.place()?;
        self.buffer.push(b'"');
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
        self.buffer.push(b'"');
        Ok(())
    }

    /// Writes bytes as one string of base64 without line breaks.
    pub fn base64(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.place()?;
        self.buffer.push(b'"');
        for part in bytes.chunks(BASE64_LINE) {
            self.base64_part(part)?;
        }
        self.buffer.push(b'"');
        Ok(())
    }

    fn base64_line(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.base64_part(bytes)?;
        self.buffer.extend_from_slice(b"\\n");
        Ok(())
    }

    /// Writes the base64 of at most a line.
    fn base64_part(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut text = [0; BASE64_LINE.div_ceil(3) * 4];
        let length = STANDARD.encode_slice(bytes, &mut text).map_err(io::Error::other)?;
        self.buffer.extend_from_slice(&text[..length]);
        self.flush_if_full()
    }

    fn escaped(&mut self, text: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, character) in text.char_indices() {
            if matches!(character, ' '..='~') && character != '"' && character != '\\' {
                continue;
            }
            self.buffer.extend_from_slice(&text.as_bytes()[plain..at]);
            plain = at + character.len_utf8();
            match character {
                '"' => self.buffer.extend_from_slice(b"\\\""),
                '\\' => self.buffer.extend_from_slice(b"\\\\"),
                '\n' => self.buffer.extend_from_slice(b"\\n"),
                '\r' => self.buffer.extend_from_slice(b"\\r"),
                '\t' => self.buffer.extend_from_slice(b"\\t"),
                '\u{8}' => self.buffer.extend_from_slice(b"\\b"),
                '\u{c}' => self.buffer.extend_from_slice(b"\\f"),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(self.buffer, "\\u{unit:04x}")?;
                    }
                }
            }
            self.flush_if_full()?;
        }
        self.buffer.extend_from_slice(&text.as_bytes()[plain..]);
        Ok(())
    }

    /// Writes what stands ahead of the next value or key: a separator and a new line.
    #[inline]
    fn place(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.after_key) {
            return Ok(());
        }
        self.flush_if_full()?;
        let Some(filled) = self.open.last_mut() else { return Ok(()) };
        if std::mem::replace(filled, true) {
            self.buffer.extend_from_slice(if self.pretty { b"," } else { b", " });
        }
        self.new_line();
        Ok(())
    }

    fn new_line(&mut self) {
        if self.pretty {
            self.buffer.push(b'\n');
            for _ in &self.open {
                self.buffer.extend_from_slice(b"    ");
            }
        }
    }

    #[inline]
    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() < BUFFER { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pretty: bool, write: impl FnOnce(&mut Text<'_, Vec<u8>>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        let mut text = Text::new(&mut out, pretty);
        write(&mut text).unwrap();
        text.finish().unwrap();
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
    fn what_fills_the_buffer_many_times_is_all_written() {
        let long = "x\u{1}".repeat(BUFFER);
        let text = written(false, |text| {
            text.begin(b'[')?;
            text.string(long.as_bytes())?;
            text.base64_lines(&[long.as_bytes()])?;
            for number in 0..100_000 {
                text.unsigned(number)?;
            }
            text.end(b']')
        });
        let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(list.len(), 100_002);
        assert_eq!((list[0].as_str(), &list[100_001]), (Some(long.as_str()), &99_999.into()));
    }

    #[test]
    fn numbers_of_every_length_are_written() {
        for number in (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, u64::MAX >> bit]) {
            assert_eq!(written(false, |text| text.unsigned(number)), number.to_string());
            let number = number as i64;
            assert_eq!(written(false, |text| text.signed(number)), number.to_string());
        }
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
