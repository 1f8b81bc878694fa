//! A file's text for a terminal: lines and tabs stay, all that could take hold of the terminal is escaped.

use std::io::{self, Write};

use super::escape::escape;

/// A line is passed on after so many bytes even if it has no end: a binary file may have none.
const LONGEST: usize = 64 << 10;

/// Escapes what is written through it, line by line.
#[derive(Debug)]
pub struct EscapedLines<W: Write> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> EscapedLines<W> {
    /// Writes escaped text to `out`. The last line goes out with [`Write::flush`].
    pub fn new(out: W) -> Self {
        Self { out, line: Vec::new() }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        for (number, part) in self.line.split(|&byte| byte == b'\t').enumerate() {
            if number > 0 {
                self.out.write_all(b"\t")?;
            }
            self.out.write_all(escape(part).as_bytes())?;
        }
        self.line.clear();
        Ok(())
    }
}

impl<W: Write> Write for EscapedLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            self.line.extend_from_slice(text);
            if text.len() < part.len() {
                self.pass_on()?;
                self.out.write_all(b"\n")?;
            } else if self.line.len() > LONGEST {
                self.pass_on()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_sequences_do_not() {
        let mut shown = EscapedLines::new(Vec::new());
        for piece in ["na\u{ef}".as_bytes(), b"ve\tx\n\x1b]0;ti", b"tle\x07\r\nend"] {
            shown.write_all(piece).unwrap();
        }
        shown.flush().unwrap();
        assert_eq!(String::from_utf8(shown.out).unwrap(), "na\u{ef}ve\tx\n\\x1b]0;title\\x07\\r\nend");
    }
}
