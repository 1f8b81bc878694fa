//! Many literals in one pass.

use aho_corasick::packed::{self, Searcher};
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind, Span as Range};

use super::needle::{Needle, Span};

/// Literals that are looked for together. Each one's matches are those that it would have alone.
#[derive(Clone, Debug)]
pub(super) struct Literals {
    engine: Engine,
    members: Vec<Member>,
    longest: usize,
}

#[derive(Clone, Debug)]
enum Engine {
    /// A few bytes of all literals at once, by vector instructions.
    Packed(Searcher),
    Automaton(AhoCorasick),
}

#[derive(Clone, Debug)]
struct Member {
    needle: usize,
    len: usize,
    /// Other members that match wherever this one does: its beginnings.
    within: Vec<usize>,
}

/// More literals than this make too many false alarms for vector instructions.
const PACKED_MAX: usize = 64;

impl Literals {
    /// Prepares a search for these needles, which are literals, all of which fold case or none. `None` when it can't be had; each is looked for alone then.
    pub(super) fn new(needles: &[Needle], members: &[usize], folds: bool) -> Option<Self> {
        let texts: Vec<&[u8]> =
            members.iter().filter_map(|&number| Some(needles[number].as_literal()?.0)).collect();
        let begins = |text: &[u8], with: &[u8]| {
            text.len() >= with.len()
                && if folds { text[..with.len()].eq_ignore_ascii_case(with) } else { text.starts_with(with) }
        };
        // Of those that begin at a place the engine tells the longest one; the others are its beginnings.
        let mut sorted: Vec<usize> = (0..texts.len()).collect();
        let folded: Vec<Vec<u8>> =
            texts.iter().map(|text| if folds { text.to_ascii_lowercase() } else { text.to_vec() }).collect();
        sorted.sort_by(|&a, &b| folded[a].cmp(&folded[b]));
        let mut within = vec![Vec::new(); texts.len()];
        let mut open: Vec<usize> = Vec::new();
        for &one in &sorted {
            while open.last().is_some_and(|&other| !begins(texts[one], texts[other])) {
                open.pop();
            }
            within[one].clone_from(&open);
            open.push(one);
        }
        // Equal texts stand next to each other: each is a beginning of all of them.
        for pair in sorted.windows(2).rev() {
            if texts[pair[0]].len() == texts[pair[1]].len() && begins(texts[pair[1]], texts[pair[0]]) {
                let equal = [within[pair[1]].clone(), vec![pair[1]]].concat();
                within[pair[0]] = equal.into_iter().filter(|&other| other != pair[0]).collect();
            }
        }
        let engine = Engine::new(&texts, folds)?;
        let longest = texts.iter().map(|text| text.len()).max()?;
        let member =
            |(at, within): (usize, Vec<usize>)| Member { needle: members[at], len: texts[at].len(), within };
        Some(Self { engine, members: within.into_iter().enumerate().map(member).collect(), longest })
    }

    /// Hands out matches that begin in a range, in order of their start. `from` says for each needle where its next match may begin.
    pub(super) fn scan(
        &self,
        haystack: &[u8],
        starts: std::ops::Range<usize>,
        from: &mut [usize],
        found: &mut Vec<Span>,
    ) {
        let end = starts.end.saturating_add(self.longest - 1).min(haystack.len());
        let mut at = starts.start;
        while let Some((member, start)) = self.engine.find(haystack, at..end)
            && start < starts.end
        {
            let member = &self.members[member];
            let within = member.within.iter().map(|&other| &self.members[other]);
            for Member { needle, len, .. } in within.chain([member]) {
                if start >= from[*needle] {
                    from[*needle] = start + len;
                    found.push(Span::new(*needle, start, start + len, false));
                }
            }
            at = start + 1;
        }
    }
}

impl Engine {
    fn new(texts: &[&[u8]], folds: bool) -> Option<Self> {
        if !folds && texts.len() <= PACKED_MAX {
            let mut builder = packed::Config::new().match_kind(packed::MatchKind::LeftmostLongest).builder();
            if let Some(searcher) = builder.extend(texts).build() {
                return Some(Self::Packed(searcher));
            }
        }
        let build = |kind| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .ascii_case_insensitive(folds)
                .kind(kind)
                .build(texts)
        };
        let size: usize = texts.iter().map(|text| text.len()).sum();
        let kind = (size <= 64 << 10).then_some(AhoCorasickKind::DFA);
        build(kind).ok().map(Self::Automaton)
    }

    /// The first place where a member begins, and the longest one that does.
    fn find(&self, haystack: &[u8], range: std::ops::Range<usize>) -> Option<(usize, usize)> {
        if range.start > range.end {
            return None;
        }
        match self {
            Self::Packed(searcher) => {
                let found = searcher.find_in(haystack, Range::from(range))?;
                Some((found.pattern().as_usize(), found.start()))
            }
            Self::Automaton(automaton) => {
                let found = automaton.find(Input::new(haystack).range(range))?;
                Some((found.pattern().as_usize(), found.start()))
            }
        }
    }
}
