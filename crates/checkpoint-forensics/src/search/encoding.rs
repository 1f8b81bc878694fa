//! The encodings in which a text may stand in memory.

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Repetition};

use super::pattern::PatternError;

/// How a text's characters are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// One byte for ASCII; the bytes of a pattern as they are given.
    Utf8,
    /// Two bytes a unit, the lower one first: Windows, .NET, Java.
    Utf16Le,
    /// Two bytes a unit, the higher one first.
    Utf16Be,
}

impl Encoding {
    /// Its name: `utf-16le`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
        }
    }

    /// A text's bytes in it; `None` when it has to be known what the text is, and it is not UTF-8.
    pub(super) fn encoded(self, text: &[u8]) -> Option<Vec<u8>> {
        if self == Self::Utf8 {
            return Some(text.to_vec());
        }
        let text = std::str::from_utf8(text).ok()?;
        Some(text.encode_utf16().flat_map(|unit| self.bytes(unit)).collect())
    }

    /// A UTF-16 unit's bytes.
    pub(super) const fn bytes(self, unit: u16) -> [u8; 2] {
        match self {
            Self::Utf16Be => unit.to_be_bytes(),
            Self::Utf8 | Self::Utf16Le => unit.to_le_bytes(),
        }
    }

    /// A regular expression over bytes as one over units of this encoding. A class that has no byte above 7F is one of ASCII; one that has them all (`.`,
    /// `[^x]`) has all units that are no ASCII.
    ///
    /// # Errors
    /// When the expression looks at what stands beside (`^`, `\b`), or names bytes above 7F that are no text.
    pub(super) fn translated(self, expression: &Hir) -> Result<Hir, PatternError> {
        match self {
            Self::Utf8 => Ok(expression.clone()),
            Self::Utf16Le | Self::Utf16Be => self.units(expression),
        }
    }

    // As deep as the parser lets expressions be.
    fn units(self, expression: &Hir) -> Result<Hir, PatternError> {
        let refused = |why| Err(PatternError::NotIn { encoding: self, why });
        Ok(match expression.kind() {
            HirKind::Empty => Hir::empty(),
            HirKind::Literal(literal) => match self.encoded(&literal.0) {
                Some(bytes) => Hir::literal(bytes),
                None => return refused("it has bytes above 7F that are no text"),
            },
            HirKind::Class(class) => match self.class(class) {
                Some(units) => units,
                None => return refused("it has a class with some of the bytes above 7F"),
            },
            HirKind::Look(_) => return refused("^, $, \\b and \\B look at single bytes"),
            HirKind::Repetition(repetition) => {
                let sub = Box::new(self.units(&repetition.sub)?);
                Hir::repetition(Repetition { sub, ..repetition.clone() })
            }
            HirKind::Capture(capture) => self.units(&capture.sub)?,
            HirKind::Concat(parts) => Hir::concat(self.all(parts)?),
            HirKind::Alternation(parts) => Hir::alternation(self.all(parts)?),
        })
    }

    fn all(self, parts: &[Hir]) -> Result<Vec<Hir>, PatternError> {
        parts.iter().map(|part| self.units(part)).collect()
    }

    fn class(self, class: &Class) -> Option<Hir> {
        let ranges: Vec<(u32, u32)> = match class {
            Class::Bytes(class) => {
                class.iter().map(|range| (range.start().into(), range.end().into())).collect()
            }
            Class::Unicode(class) => {
                class.iter().map(|range| (range.start().into(), range.end().into())).collect()
            }
        };
        let has_all_above = ranges.last().is_some_and(|&(start, end)| start <= 0x80 && end >= 0xff);
        if !has_all_above && ranges.iter().any(|&(_, end)| end > 0x7f) {
            return None;
        }
        let ascii = ranges.iter().filter(|(start, _)| *start <= 0x7f);
        let ascii = set(ascii.map(|&(start, end)| (start as u8, end.min(0x7f) as u8)));
        let unit = |low: Hir, high: Hir| {
            Hir::concat(if self == Self::Utf16Be { vec![high, low] } else { vec![low, high] })
        };
        let mut units = vec![unit(ascii, set([(0, 0)]))];
        if has_all_above {
            units.push(unit(set([(0x80, 0xff)]), set([(0, 0)])));
            units.push(unit(set([(0, 0xff)]), set([(1, 0xff)])));
        }
        Some(Hir::alternation(units))
    }
}

/// A class of bytes.
pub(super) fn set(ranges: impl IntoIterator<Item = (u8, u8)>) -> Hir {
    let ranges = ranges.into_iter().map(|(start, end)| ClassBytesRange::new(start, end));
    Hir::class(Class::Bytes(ClassBytes::new(ranges)))
}
