//! How characters stand in bytes, and which of them make a string.

/// How characters stand in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Coding {
    /// Printable ASCII and tab, a byte each: as strings(1) does unless told otherwise.
    Ascii,
    /// The same, and all characters beyond ASCII but control characters.
    Utf8,
    /// Printable ASCII and tab, two bytes each, the lower one first.
    Utf16Le,
    /// Printable ASCII and tab, two bytes each, the higher one first.
    Utf16Be,
}

/// What stands at the beginning of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A character of a string, of so many bytes.
    Char(char, usize),
    /// So many bytes that are in no string.
    Other(usize),
    /// It takes more bytes to say.
    Incomplete,
}

/// Whether a byte is of a string as a character: printable ASCII or a tab.
pub(super) const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

impl Coding {
    /// Its name: `utf-16le`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ascii => "ascii",
            Self::Utf8 => "utf-8",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
        }
    }

    /// How many bytes at the start of bytes are the rest of a character before them. `phase` is where they begin: of UTF-16, units may begin at even places or at odd ones.
    pub(super) fn lead(self, bytes: &[u8], phase: usize) -> usize {
        match self {
            Self::Ascii => 0,
            Self::Utf8 => bytes.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count(),
            Self::Utf16Le | Self::Utf16Be => phase.min(bytes.len()),
        }
    }

    /// What stands at the beginning of bytes, of which there is at least one.
    pub(super) fn step(self, bytes: &[u8]) -> Step {
        let ascii = |byte: u8, size| match is_printable(byte) {
            true => Step::Char(char::from(byte), size),
            false => Step::Other(size),
        };
        match (self, bytes) {
            (Self::Ascii, [byte, ..]) => ascii(*byte, 1),
            (Self::Utf8, [byte, ..]) if byte.is_ascii() => ascii(*byte, 1),
            (Self::Utf8, bytes) => character(bytes),
            (Self::Utf16Le, [low, high, ..]) | (Self::Utf16Be, [high, low, ..]) => match high {
                0 => ascii(*low, 2),
                _ => Step::Other(2),
            },
            (Self::Ascii | Self::Utf16Le | Self::Utf16Be, _) => Step::Incomplete,
        }
    }
}

/// A character beyond ASCII.
fn character(bytes: &[u8]) -> Step {
    let bytes = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() == 0 => {
            return if error.error_len().is_none() { Step::Incomplete } else { Step::Other(1) };
        }
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(c) if !c.is_control() => Step::Char(c, c.len_utf8()),
        Some(c) => Step::Other(c.len_utf8()),
        None => Step::Incomplete,
    }
}
