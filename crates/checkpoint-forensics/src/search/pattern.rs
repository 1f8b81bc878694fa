//! What is searched for: texts, regular expressions and bytes, each in one or several encodings.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;

use super::encoding::Encoding;
use super::hex;
use super::literals::Literals;
use super::needle::{LONGEST, Needle};

/// The longest match of a regular expression that is told whole, in bytes, unless something else is asked for.
pub const MAX_MATCH: usize = 64 << 10;

/// How patterns are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Syntax {
    /// Regular expressions over bytes: `.`, classes and `\b` mean ASCII, `\xFF` is a byte.
    #[default]
    Regex,
    /// Texts to be found as they stand.
    Literal,
    /// Bytes in hexadecimal, blanks allowed, `??` for any byte. They stand in no encoding.
    Hex,
}

/// How patterns are to be understood.
#[derive(Clone, Debug)]
pub struct Reading {
    /// How they are written.
    pub syntax: Syntax,
    /// Whether upper and lower case ASCII letters match each other.
    pub ignore_case: bool,
    /// The encodings in which they are looked for.
    pub encodings: Vec<Encoding>,
    /// The longest match of a regular expression that is told whole, in bytes; at least 1.
    pub max_match: usize,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            syntax: Syntax::default(),
            ignore_case: false,
            encodings: vec![Encoding::Utf8],
            max_match: MAX_MATCH,
        }
    }
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
    Syntax(#[from] Box<regex_syntax::Error>),
    /// It is one that would take too much memory, or another one that can't be used.
    #[error("the pattern can't be compiled: {0}")]
    Compile(String),
    /// It is not UTF-8, which a regular expression has to be.
    #[error("the pattern is not UTF-8")]
    NotUtf8,
    /// It is not bytes in hexadecimal.
    #[error("'{0}' is no byte in hexadecimal: two digits, or ??")]
    Hex(String),
    /// It can't be said in an encoding.
    #[error("the pattern can't be searched in {}: {why}", encoding.name())]
    NotIn {
        /// The encoding.
        encoding: Encoding,
        /// What can't be said.
        why: &'static str,
    },
}

/// Compiled patterns. Each has matches of its own, as if it were searched for alone: leftmost ones that don't overlap each other; those of different patterns, and
/// of one pattern in different encodings, may.
#[derive(Clone, Debug)]
pub struct Patterns {
    needles: Vec<Needle>,
    /// Literals are looked for together where there are several or case doesn't matter; the others one by one.
    groups: Vec<Literals>,
    singles: Vec<usize>,
}

impl Patterns {
    /// Compiles patterns.
    ///
    /// # Errors
    /// The number of the first pattern that can't be used, and why.
    pub fn new<P: AsRef<[u8]>>(patterns: &[P], reading: &Reading) -> Result<Self, (usize, PatternError)> {
        let mut needles = Vec::new();
        for (number, pattern) in patterns.iter().enumerate() {
            let add = |needle: Needle| needles.push(needle);
            compile(number, pattern.as_ref(), reading, add).map_err(|error| (number, error))?;
        }
        let mut groups = Vec::new();
        let mut singles: Vec<usize> = (0..needles.len()).collect();
        for folds in [false, true] {
            let is_member = |number: &usize| needles[*number].as_literal().is_some_and(|(_, is)| is == folds);
            let (members, others): (Vec<usize>, _) = singles.iter().partition(|number| is_member(number));
            if members.len() > usize::from(!folds)
                && let Some(group) = Literals::new(&needles, &members, folds)
            {
                singles = others;
                groups.push(group);
            }
        }
        Ok(Self { needles, groups, singles })
    }

    /// A single text to be found as it stands.
    ///
    /// # Errors
    /// When it is empty.
    pub fn literal(text: &[u8], ignore_case: bool) -> Result<Self, PatternError> {
        let reading = Reading { syntax: Syntax::Literal, ignore_case, ..Reading::default() };
        Self::new(&[text], &reading).map_err(|(_, error)| error)
    }

    /// A single regular expression over bytes.
    ///
    /// # Errors
    /// When it can't be compiled.
    pub fn regex(expression: &str, ignore_case: bool) -> Result<Self, PatternError> {
        Self::new(&[expression], &Reading { ignore_case, ..Reading::default() }).map_err(|(_, error)| error)
    }

    /// Each pattern in each of its encodings.
    pub(super) fn needles(&self) -> &[Needle] {
        &self.needles
    }

    pub(super) fn groups(&self) -> &[Literals] {
        &self.groups
    }

    /// The numbers of the needles that are in no group.
    pub(super) fn singles(&self) -> &[usize] {
        &self.singles
    }

    /// How many bytes behind the start of a match may be needed to know it.
    pub(super) fn reach(&self) -> usize {
        self.needles.iter().map(Needle::reach).max().unwrap_or(0)
    }

    /// How many bytes on either side of a seam may decide what its matches are.
    pub(super) fn seam_reach(&self) -> usize {
        self.needles.iter().map(Needle::seam_reach).max().unwrap_or(0)
    }
}

fn compile(
    number: usize,
    pattern: &[u8],
    reading: &Reading,
    mut add: impl FnMut(Needle),
) -> Result<(), PatternError> {
    if pattern.is_empty() {
        return Err(PatternError::Empty);
    }
    // In UTF-16 it takes twice as many bytes.
    if pattern.len() > LONGEST / 2 {
        return Err(PatternError::Compile(format!("it is longer than {} MiB", LONGEST >> 21)));
    }
    let max = reading.max_match.max(1);
    match reading.syntax {
        Syntax::Hex => {
            let bytes = hex::parse(pattern)?;
            let known: Option<Vec<u8>> = bytes.iter().copied().collect();
            add(match known {
                Some(known) => Needle::literal(number, None, &known, false),
                None => Needle::regex(number, None, &hex::expression(&bytes), usize::MAX)?,
            });
        }
        Syntax::Literal => {
            for &encoding in &reading.encodings {
                let text = encoding
                    .encoded(pattern)
                    .ok_or(PatternError::NotIn { encoding, why: "it is not UTF-8" })?;
                // The bytes of UTF-16 may look like letters that they are none of.
                if reading.ignore_case && encoding != Encoding::Utf8 && !pattern.is_ascii() {
                    let escaped = regex_syntax::escape(&String::from_utf8_lossy(pattern));
                    let folded = encoding.translated(&parse(&escaped, true)?)?;
                    add(Needle::regex(number, Some(encoding), &folded, usize::MAX)?);
                } else {
                    add(Needle::literal(number, Some(encoding), &text, reading.ignore_case));
                }
            }
        }
        Syntax::Regex => {
            let expression = std::str::from_utf8(pattern).map_err(|_| PatternError::NotUtf8)?;
            let expression = parse(expression, reading.ignore_case)?;
            for &encoding in &reading.encodings {
                let translated = encoding.translated(&expression)?;
                add(Needle::regex(number, Some(encoding), &translated, max)?);
            }
        }
    }
    Ok(())
}

fn parse(expression: &str, ignore_case: bool) -> Result<Hir, PatternError> {
    let mut parser = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .multi_line(true)
        .case_insensitive(ignore_case)
        .dot_matches_new_line(false)
        .build();
    parser.parse(expression).map_err(|error| Box::new(error).into())
}
