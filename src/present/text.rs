//! A line of text that is safe to show: the only kind of text that tables, trees and messages take.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;

use unicode_width::UnicodeWidthStr as _;

use super::escape::{escape, neutralise};

/// One line of text without anything that a terminal would obey, made of evidence and of our own words.
///
/// There is no way to make one without saying which of the two a piece is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Takes bytes of the evidence, escaped.
    ///
    /// A blank at the start or the end, which nobody could see, is shown as `\x20`.
    #[must_use]
    pub fn evidence(bytes: impl AsRef<[u8]>) -> Self {
        Self::default().and_evidence(bytes)
    }

    /// Takes a name from the evidence or from the system, as [`Text::evidence`].
    #[must_use]
    pub fn name(name: impl AsRef<OsStr>) -> Self {
        Self::evidence(name.as_ref().as_bytes())
    }

    /// Takes words of our own: labels, numbers, messages of our libraries.
    ///
    /// Control characters are made harmless in these too, but a backslash stays as it is, so that they may quote text
    /// that was escaped before.
    #[must_use]
    pub fn own(words: impl fmt::Display) -> Self {
        Self::default().and(words)
    }

    /// Adds words of our own.
    #[must_use]
    pub fn and(mut self, words: impl fmt::Display) -> Self {
        self.0.push_str(&neutralise(&words.to_string()));
        self
    }

    /// Adds bytes of the evidence.
    #[must_use]
    pub fn and_evidence(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let (lead, rest) = bytes.strip_prefix(b" ").map_or(("", bytes), |rest| ("\\x20", rest));
        let (body, trail) = rest.strip_suffix(b" ").map_or((rest, ""), |body| (body, "\\x20"));
        self.0.push_str(lead);
        self.0.push_str(&escape(body));
        self.0.push_str(trail);
        self
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many columns of a terminal it takes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.width()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A word in our source is our own.
impl From<&'static str> for Text {
    fn from(words: &'static str) -> Self {
        Self::own(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_and_own_words_are_told_apart() {
        let text = Text::own("[").and_evidence(b"a\\\x1b").and("] in ").and_evidence(b"b\n");
        assert_eq!(text.as_str(), "[a\\\\\\x1b] in b\\n");
        assert_eq!(Text::own(&text), text, "a safe text is not escaped twice");
    }

    #[test]
    fn blanks_at_the_edges_of_evidence_are_seen() {
        assert_eq!(Text::evidence(b" a b  ").as_str(), "\\x20a b \\x20");
        assert_eq!(Text::evidence(b" ").as_str(), "\\x20");
        assert_eq!(Text::evidence(b"").as_str(), "");
    }

    #[test]
    fn a_name_may_hold_any_byte() {
        assert_eq!(Text::name(OsStr::from_bytes(b"/tmp/\xff")).as_str(), "/tmp/\\xff");
    }

    #[test]
    fn width_counts_columns_not_bytes() {
        assert_eq!(Text::evidence("日本é".as_bytes()).width(), 5);
    }
}
