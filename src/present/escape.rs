//! The one way by which bytes of evidence become text that a terminal may be given.
//!
//! A file name, an environment variable or a piece of memory may hold anything: sequences that move the cursor or set
//! the window's title, marks that reverse the reading order, characters without a shape. Everything of that kind is
//! shown as an escape; what can be read stays as it is. The notation is reversible:
//!
//! | in the evidence | shown as |
//! |---|---|
//! | a backslash | `\\` |
//! | line feed, tab, carriage return | `\n`, `\t`, `\r` |
//! | another ASCII control character | `\xNN` |
//! | a byte that is no part of valid UTF-8 | `\xNN` (always 80 or above) |
//! | a hidden code point above ASCII | `\u{N…}` |

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Code points that move, reorder, hide or break a line instead of showing a shape, as inclusive ranges in rising order.
///
/// Unicode's general categories Cc, Zl and Zp as a whole; of Cf all without a shape of their own; the fillers and other
/// default-ignorable code points (DerivedCoreProperties.txt), but for the joiner-like variation selectors, which only
/// choose among shapes; the noncharacters of the first plane. `is_hidden` adds those of the other planes.
const HIDDEN: &[(u32, u32)] = &[
    (0x0000, 0x001F),   // C0
    (0x007F, 0x009F),   // DEL, C1
    (0x00AD, 0x00AD),   // soft hyphen
    (0x034F, 0x034F),   // combining grapheme joiner
    (0x061C, 0x061C),   // Arabic letter mark
    (0x070F, 0x070F),   // Syriac abbreviation mark
    (0x115F, 0x1160),   // Hangul fillers
    (0x17B4, 0x17B5),   // Khmer inherent vowels
    (0x180E, 0x180E),   // Mongolian vowel separator
    (0x200B, 0x200F),   // zero-width space, joiners, direction marks
    (0x2028, 0x202E),   // line and paragraph separator, direction embeddings and overrides
    (0x2060, 0x206F),   // word joiner, invisible operators, direction isolates, deprecated format characters
    (0x3164, 0x3164),   // Hangul filler
    (0xFDD0, 0xFDEF),   // noncharacters
    (0xFEFF, 0xFEFF),   // zero-width no-break space, the byte order mark
    (0xFFA0, 0xFFA0),   // halfwidth Hangul filler
    (0xFFF0, 0xFFFB),   // unassigned ignorable code points, interlinear annotation
    (0xFFFE, 0xFFFF),   // noncharacters
    (0x13430, 0x1343F), // Egyptian hieroglyph format controls
    (0x1BCA0, 0x1BCA3), // shorthand format controls
    (0x1D173, 0x1D17A), // musical format controls
    (0xE0000, 0xE00FF), // tags and their neighbours
    (0xE01F0, 0xE0FFF), // unassigned ignorable code points
];

/// Whether a code point must not reach a terminal as it is.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    let code = u32::from(c);
    if code < 0x7F {
        return code < 0x20;
    }
    code & 0xFFFE == 0xFFFE
        || HIDDEN
            .binary_search_by(|&(first, last)| {
                if last < code {
                    std::cmp::Ordering::Less
                } else if first > code {
                    std::cmp::Ordering::Greater
                } else {
                    std::cmp::Ordering::Equal
                }
            })
            .is_ok()
}

/// Makes evidence showable on one line of a terminal; borrows when nothing has to be escaped.
#[must_use]
pub fn escape(evidence: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(evidence) {
        Ok(text) if !text.chars().any(|c| c == '\\' || is_hidden(c)) => Cow::Borrowed(text),
        _ => Cow::Owned(Escaped(evidence).to_string()),
    }
}

/// Appends evidence as [`escape`] shows it. What needs no escape costs a copy.
pub fn push_escaped(line: &mut Vec<u8>, evidence: &[u8]) {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    let plain = evidence.iter().position(|byte| !is_plain(byte)).unwrap_or(evidence.len());
    let (plain, rest) = evidence.split_at(plain);
    line.extend_from_slice(plain);
    if !rest.is_empty() {
        // Escapes don't depend on what stands before them, and text of ASCII ends no character. Writing to a list doesn't fail.
        let _ = std::io::Write::write_fmt(line, format_args!("{}", Escaped(rest)));
    }
}

/// Makes a text of our own showable: as [`escape`], but a backslash stays single.
///
/// Our own sentences may quote evidence that was escaped already, whose backslashes must not be doubled again. Whatever
/// came in by mistake still can't do anything to the terminal.
#[must_use]
pub fn neutralise(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // Writing to a String doesn't fail.
        let _ = if is_hidden(c) { write_hidden(&mut shown, c) } else { shown.write_char(c) };
    }
    Cow::Owned(shown)
}

/// Shows evidence escaped where a `Display` is wanted: `format!("{} of {}", Escaped(name), …)`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(
    /// The bytes as the evidence has them.
    pub &'a [u8],
);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if is_hidden(c) => write_hidden(f, c)?,
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

fn write_hidden(out: &mut impl Write, c: char) -> fmt::Result {
    match c {
        '\n' => out.write_str("\\n"),
        '\t' => out.write_str("\\t"),
        '\r' => out.write_str("\\r"),
        c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the notation back, written apart from the code above.
    fn unescape(shown: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = shown;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '\\' {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            let kind = rest.chars().next().expect("a backslash is never the last character");
            rest = &rest[1..];
            match kind {
                '\\' => bytes.push(b'\\'),
                'n' => bytes.push(b'\n'),
                't' => bytes.push(b'\t'),
                'r' => bytes.push(b'\r'),
                'x' => {
                    bytes.push(u8::from_str_radix(&rest[..2], 16).expect("two hex digits"));
                    rest = &rest[2..];
                }
                'u' => {
                    let end = rest.find('}').expect("a closing brace");
                    let code = u32::from_str_radix(&rest[1..end], 16).expect("hex digits");
                    let c = char::from_u32(code).expect("a code point");
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = &rest[end + 1..];
                }
                other => panic!("an escape unknown to the notation: {other:?}"),
            }
        }
        bytes
    }

    fn assert_safe_and_reversible(evidence: &[u8]) {
        let shown = escape(evidence);
        assert!(!shown.chars().any(|c| c.is_control() || is_hidden(c)), "{evidence:x?} gives {shown:?}");
        assert_eq!(unescape(&shown), evidence, "{shown:?}");
        assert_eq!(Escaped(evidence).to_string(), shown);
        let mut line = b"> ".to_vec();
        push_escaped(&mut line, evidence);
        assert_eq!(&line[2..], shown.as_bytes());
    }

    #[test]
    fn every_byte_and_every_pair_of_bytes_is_safe_and_reversible() {
        for first in 0..=255u8 {
            assert_safe_and_reversible(&[first]);
            for second in 0..=255u8 {
                assert_safe_and_reversible(&[first, second]);
            }
        }
    }

    #[test]
    fn every_code_point_is_safe_and_reversible() {
        for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
            assert_safe_and_reversible(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    #[test]
    fn named_dangers_are_escaped() {
        let classes = [
            0x00..=0x1F,
            0x7F..=0x9F,
            0x61C..=0x61C,
            0x200B..=0x200F,
            0x2028..=0x202E,
            0x2066..=0x2069,
            0xFEFF..=0xFEFF,
            0xE0000..=0xE007F,
            0x1FFFE..=0x1FFFF,
        ];
        for c in classes.into_iter().flatten().filter_map(char::from_u32) {
            assert!(is_hidden(c), "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn readable_text_stays_as_it_is_and_is_borrowed() {
        for text in
            ["", "/usr/bin/env -i A=b", "naïve Ωμέγα 日本語 🦀 العربية עברית", "❤\u{fe0f}", "\u{fffd}"]
        {
            assert!(matches!(escape(text.as_bytes()), Cow::Borrowed(shown) if shown == text), "{text}");
        }
    }

    #[test]
    fn notation_is_as_documented() {
        assert_eq!(escape(b"a\\b\n\t\r\x1b[31m\x7f"), "a\\\\b\\n\\t\\r\\x1b[31m\\x7f");
        assert_eq!(
            escape(b"\xff\xc2\x85\xe2\x80\xae\xf3\xa0\x81\x81\xc2"),
            "\\xff\\u{85}\\u{202e}\\u{e0041}\\xc2"
        );
    }

    #[test]
    fn a_literal_escape_differs_from_a_real_one() {
        assert_ne!(escape(b"\\x1b"), escape(b"\x1b"));
        assert_ne!(escape(b"\\u{202e}"), escape("\u{202e}".as_bytes()));
    }

    #[test]
    fn our_own_text_keeps_escapes_that_are_in_it_and_loses_its_teeth() {
        let quoted = escape(b"a\x1b\\").into_owned();
        assert_eq!(neutralise(&quoted), quoted);
        assert_eq!(neutralise("no\x1b]0;title\x07"), "no\\x1b]0;title\\x07");
    }

    #[test]
    fn ranges_rise_so_that_they_can_be_searched() {
        assert!(HIDDEN.iter().all(|(first, last)| first <= last));
        assert!(HIDDEN.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }
}
