//! One pattern in one encoding: its matches as if nothing else were searched for.

use memchr::memchr2;
use memchr::memmem::Finder;
use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::Hir;

use super::encoding::Encoding;
use super::pattern::PatternError;

/// A pattern in an encoding.
#[derive(Clone, Debug)]
pub(super) struct Needle {
    /// The number of the pattern.
    pub(super) pattern: usize,
    /// `None` for bytes, which stand in none.
    pub(super) encoding: Option<Encoding>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Literal(Box<Finder<'static>>),
    /// A literal whose ASCII letters match either case.
    Folded(Vec<u8>),
    Regex {
        regex: Box<meta::Regex>,
        /// The longest match that is told whole.
        max: usize,
        reach: usize,
    },
}

/// A match in bytes that are at hand. There may be as many as bytes: it is kept small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: usize,
    /// The number of the needle.
    needle: u32,
    /// The length, doubled, and whether it is cut.
    len: u32,
}

/// No match is told farther than this, in bytes.
pub(super) const LONGEST: usize = (u32::MAX >> 1) as usize;

impl Span {
    /// A match from `start` on up to `end`, which is at most [`LONGEST`] bytes; `is_cut` when it may go on.
    pub(super) fn new(needle: usize, start: usize, end: usize, is_cut: bool) -> Self {
        Self { start, needle: needle as u32, len: ((end - start) as u32) << 1 | u32::from(is_cut) }
    }

    /// The number of the needle.
    pub(super) fn needle(self) -> usize {
        self.needle as usize
    }

    /// The first byte behind it.
    pub(super) fn end(self) -> usize {
        self.start + (self.len >> 1) as usize
    }

    /// Whether it may go on, and is told only as far as matches may be long.
    pub(super) fn is_cut(self) -> bool {
        self.len & 1 == 1
    }
}

/// Memory that an expression may take, in bytes, as in the `regex` crate.
const SIZE_MAX: usize = 10 << 20;

impl Needle {
    pub(super) fn literal(pattern: usize, encoding: Option<Encoding>, text: &[u8], folds: bool) -> Self {
        let kind = match folds {
            true => Kind::Folded(text.to_vec()),
            false => Kind::Literal(Box::new(Finder::new(text).into_owned())),
        };
        Self { pattern, encoding, kind }
    }

    /// `max`: the longest match that is told whole; what can't be longer is always told whole.
    pub(super) fn regex(
        pattern: usize,
        encoding: Option<Encoding>,
        expression: &Hir,
        max: usize,
    ) -> Result<Self, PatternError> {
        let longest = expression.properties().maximum_len();
        if longest == Some(0) {
            return Err(PatternError::Empty);
        }
        let max = max.min(longest.unwrap_or(usize::MAX)).min(LONGEST);
        // One more tells whether a match goes on.
        let reach = max.saturating_add(1);
        let regex = meta::Regex::builder()
            .configure(
                meta::Config::new()
                    .utf8_empty(false)
                    .which_captures(WhichCaptures::Implicit)
                    .nfa_size_limit(Some(SIZE_MAX))
                    .hybrid_cache_capacity(2 << 20),
            )
            .build_from_hir(expression)
            .map_err(|error| {
                PatternError::Compile(match error.size_limit() {
                    Some(_) => format!("it takes more than {} MiB", SIZE_MAX >> 20),
                    None => error.to_string(),
                })
            })?;
        Ok(Self { pattern, encoding, kind: Kind::Regex { regex: Box::new(regex), max, reach } })
    }

    /// The bytes of a literal, and whether either case of their letters matches.
    pub(super) fn as_literal(&self) -> Option<(&[u8], bool)> {
        match &self.kind {
            Kind::Literal(finder) => Some((finder.needle(), false)),
            Kind::Folded(text) => Some((text, true)),
            Kind::Regex { .. } => None,
        }
    }

    /// The first match that begins at `from` or behind it: first byte, the one behind it, whether it is cut. Bytes before `from` are looked at for `^` and `\b`
    /// only. Empty matches don't count. `after_cut` says that a match which was cut ends at `from`: it may well go on.
    pub(super) fn find_at(
        &self,
        haystack: &[u8],
        mut from: usize,
        after_cut: bool,
    ) -> Option<(usize, usize, bool)> {
        match &self.kind {
            Kind::Literal(finder) => {
                let at = finder.find(haystack.get(from..)?)? + from;
                Some((at, at + finder.needle().len(), false))
            }
            // For short stretches: over long ones such literals are looked for in a group.
            Kind::Folded(text) => loop {
                let first = *text.first()?;
                let rest = haystack.get(from..)?;
                let at = memchr2(first.to_ascii_lowercase(), first.to_ascii_uppercase(), rest)?;
                if rest[at..].get(..text.len())?.eq_ignore_ascii_case(text) {
                    return Some((from + at, from + at + text.len(), false));
                }
                from += at + 1;
            },
            Kind::Regex { regex, max, .. } => {
                let mut near = after_cut;
                loop {
                    if from > haystack.len() {
                        return None;
                    }
                    // What goes on for long is not looked at to its end again for each part that is told of it.
                    let end = from.saturating_add(max.saturating_mul(2)).min(haystack.len());
                    let end = if near { end } else { haystack.len() };
                    let found = regex.search(&Input::new(haystack).range(from..end));
                    let is_decided = |start: usize| end == haystack.len() || start.saturating_add(*max) < end;
                    let Some(found) = found.filter(|found| is_decided(found.start())) else {
                        if near {
                            near = false;
                            continue;
                        }
                        return None;
                    };
                    if found.is_empty() {
                        from = found.end() + 1;
                        continue;
                    }
                    let start = found.start();
                    if found.len() <= *max {
                        return Some((start, found.end(), false));
                    }
                    // What a match is must not depend on how much of the memory behind it is at hand: it is looked for in as much as it may have.
                    let limit = start + max;
                    let input = Input::new(haystack).range(start..limit).anchored(Anchored::Yes);
                    let end = regex.search(&input).map(|found| found.end()).filter(|&end| end > start);
                    let end = end.unwrap_or(limit);
                    return Some((start, end, end == limit));
                }
            }
        }
    }

    /// Whether what stands beside a match may decide whether it is one (`^`, `$`, `\b`): of a regular expression it is taken to.
    pub(super) fn may_look_around(&self) -> bool {
        matches!(self.kind, Kind::Regex { .. })
    }

    /// How many bytes behind the start of a match may be needed to know it.
    pub(super) fn reach(&self) -> usize {
        match &self.kind {
            Kind::Literal(finder) => finder.needle().len(),
            Kind::Folded(text) => text.len(),
            Kind::Regex { reach, .. } => *reach,
        }
    }

    /// How many bytes on either side of a seam may decide what its matches are. Where matches can overlap each other, one across a seam moves those behind it, until
    /// a place where none goes on.
    pub(super) fn seam_reach(&self) -> usize {
        match self.as_literal() {
            Some((text, folds)) if !overlaps_itself(text, folds) => self.reach(),
            _ => self.reach().max(SEAM_REACH),
        }
    }
}

/// How far behind a seam matches are followed that it has moved, in bytes.
const SEAM_REACH: usize = 64 << 10;

/// Whether a text may begin again before it ends.
fn overlaps_itself(text: &[u8], folds: bool) -> bool {
    let same = |a: &[u8], b: &[u8]| if folds { a.eq_ignore_ascii_case(b) } else { a == b };
    (1..text.len()).any(|shift| same(&text[shift..], &text[..text.len() - shift]))
}
