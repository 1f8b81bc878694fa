//! A cell of a table: a safe text, or nothing.

use super::bytes::{address_text, size_text};
use super::text::Text;

/// What stands where nothing is known in a column that others fill.
const NOTHING: &str = "-";

/// One cell: a safe text, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Cell(Option<Text>);

impl Cell {
    /// A cell for which there is nothing to show.
    #[must_use]
    pub fn empty() -> Self {
        Self(None)
    }

    /// Bytes of the evidence, escaped.
    #[must_use]
    pub fn evidence(bytes: impl AsRef<[u8]>) -> Self {
        Self(Some(Text::evidence(bytes)))
    }

    /// Words of our own.
    #[must_use]
    pub fn own(words: impl std::fmt::Display) -> Self {
        Self(Some(Text::own(words)))
    }

    /// A size in bytes.
    #[must_use]
    pub fn size(bytes: u64) -> Self {
        Self::own(size_text(bytes))
    }

    /// A virtual address.
    #[must_use]
    pub fn address(address: u64) -> Self {
        Self::own(address_text(address))
    }

    /// Whether there is anything in it.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.0.is_some()
    }

    /// What stands in the table for it.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.0.as_ref().map_or(NOTHING, Text::as_str)
    }

    /// How many columns of a terminal that takes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.as_ref().map_or(NOTHING.len(), Text::width)
    }
}

impl From<Text> for Cell {
    fn from(text: Text) -> Self {
        Self(Some(text))
    }
}

impl From<&'static str> for Cell {
    fn from(words: &'static str) -> Self {
        Self(Some(words.into()))
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(content: Option<T>) -> Self {
        content.map_or_else(Self::empty, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_from_an_empty_text() {
        assert_eq!((Cell::empty().shown(), Cell::empty().is_filled()), ("-", false));
        assert_eq!((Cell::evidence(b"").shown(), Cell::evidence(b"").is_filled()), ("", true));
        assert_eq!(Cell::from(None::<Text>).shown(), "-");
    }

    #[test]
    fn numbers_have_their_own_shapes() {
        assert_eq!(Cell::own(42).shown(), "42");
        assert_eq!(Cell::size(3584).shown(), "3.5 KiB");
        assert_eq!(Cell::address(0x1000).shown(), "0x0000000000001000");
    }

    #[test]
    fn evidence_is_escaped() {
        assert_eq!(Cell::evidence(b"\x1b[0m\xff").shown(), "\\x1b[0m\\xff");
    }
}
