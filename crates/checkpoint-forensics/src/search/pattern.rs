//! What is searched for: a literal or a regular expression, over bytes.

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

/// The longest match of a regular expression that is promised to be found whole, in bytes.
pub const REGEX_REACH: usize = 64 << 10;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Literal(Box<Finder<'static>>),
    Regex(Regex),
}

/// Why a pattern can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It has no bytes, or matches the empty text everywhere.
    #[error("the pattern is empty")]
    Empty,
    /// It is no regular expression.
    #[error("{0}")]
    Regex(#[from] regex::Error),
}

impl Pattern {
    /// A text to be found as it stands.
    ///
    /// # Errors
    /// When it is empty.
    pub fn literal(text: &[u8], ignore_case: bool) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if ignore_case {
            let escaped: String = text.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            return Self::regex(&escaped, true);
        }
        Ok(Self { kind: Kind::Literal(Box::new(Finder::new(text).into_owned())) })
    }

    /// A regular expression over bytes: `.`, classes and `\b` mean ASCII, `\xFF` is a byte.
    ///
    /// # Errors
    /// When it can't be compiled.
    pub fn regex(expression: &str, ignore_case: bool) -> Result<Self, PatternError> {
        if expression.is_empty() {
            return Err(PatternError::Empty);
        }
        let regex = RegexBuilder::new(expression)
            .unicode(false)
            .case_insensitive(ignore_case)
            .multi_line(true)
            .dot_matches_new_line(false)
            .build()?;
        Ok(Self { kind: Kind::Regex(regex) })
    }

    /// The first match that begins at `from` or behind it. Bytes before `from` are looked at for `^` and `\b` only. Empty matches don't count.
    pub(super) fn find_at(&self, haystack: &[u8], mut from: usize) -> Option<(usize, usize)> {
        match &self.kind {
            Kind::Literal(finder) => {
                let at = finder.find(haystack.get(from..)?)? + from;
                Some((at, at + finder.needle().len()))
            }
            Kind::Regex(regex) => loop {
                if from > haystack.len() {
                    return None;
                }
                let found = regex.find_at(haystack, from)?;
                if !found.is_empty() {
                    return Some((found.start(), found.end()));
                }
                from = found.end() + 1;
            },
        }
    }

    /// Whether what stands beside a match may decide whether it is one (`^`, `$`, `\b`): of a regular expression it is taken to.
    pub(super) fn may_look_around(&self) -> bool {
        matches!(self.kind, Kind::Regex(_))
    }

    /// How many bytes behind the start of a match may be needed to know it whole.
    pub(super) fn reach(&self) -> usize {
        match &self.kind {
            Kind::Literal(finder) => finder.needle().len(),
            Kind::Regex(_) => REGEX_REACH,
        }
    }
}
