//! Scanning one stretch of memory, whether it lies there whole or comes in pieces.
//!
//! A stretch is cut into blocks at fixed places. A match begins in one block and is looked for in that block and a margin behind it, always in exactly these bytes:
//! so the matches don't depend on how the stretch came, nor on how many threads scan it.

use std::ops::ControlFlow;
use std::{io, thread};

use container_checkpoint::evidence::passed;

use super::encoding::Encoding;
use super::needle::Span;
use super::pattern::Patterns;

/// How far apart blocks begin, in bytes.
const BLOCK: usize = 1 << 20;
/// How much is searched for one group of literals before the next one's turn, in bytes.
const PART: usize = 128 << 10;
/// The most blocks that a thread takes before hits are handed out.
const SHARE: usize = 8;
/// So many hits may wait for being handed out: where they are dense, fewer blocks are scanned at once.
const WAITING: usize = 512 << 10;
/// The fewest blocks that are scanned at once, and as many as at first, when it is not known yet how dense hits are.
const FEW: usize = 2;
/// Bytes before a place that `^` and `\b` may look at.
pub(super) const LOOK_BEHIND: usize = 4;

/// A match within a stretch, as its bytes go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit<'b> {
    /// Where it begins, in bytes from the start of the stretch.
    pub at: u64,
    /// The number of the pattern, in the list that was compiled.
    pub pattern: usize,
    /// The encoding that matched; `None` for bytes in hexadecimal.
    pub encoding: Option<Encoding>,
    /// Its bytes.
    pub text: &'b [u8],
    /// Whether it may go on, and is told only as far as matches may be long.
    pub is_cut: bool,
    /// Bytes of the stretch right before it.
    pub before: &'b [u8],
    /// Bytes of the stretch right behind it.
    pub after: &'b [u8],
    /// The number of the needle.
    pub(super) needle: usize,
}

/// What does not change from stretch to stretch: what is looked for, and how.
#[derive(Clone, Debug)]
pub struct Scanner {
    pub(super) patterns: Patterns,
    /// How many bytes of context are kept on either side.
    pub(super) context: usize,
    pub(super) threads: usize,
}

/// More threads than this share no work.
const THREADS_MAX: usize = 1024;

impl Scanner {
    /// A scanner for patterns, which keeps so many bytes of context on either side and uses so many threads. Hits are the same for any number of them.
    pub fn new(patterns: Patterns, context: usize, threads: usize) -> Self {
        Self { patterns, context, threads: threads.clamp(1, THREADS_MAX) }
    }

    /// How many bytes a decision about a match may need behind its start.
    pub(super) fn reach(&self) -> usize {
        self.patterns.reach().saturating_add(self.context)
    }

    /// Matches of one needle that begin in a block, from a place in it on.
    fn scan_for(&self, number: usize, bytes: &[u8], start: usize, from: &mut usize, found: &mut Vec<Span>) {
        let needle = &self.patterns.needles()[number];
        let behind = start.saturating_add(BLOCK);
        // What is behind the block is seen so far as a match that begins in it may reach.
        let bytes = &bytes[..behind.saturating_add(needle.reach()).min(bytes.len())];
        // Bytes before the block but for the nearest don't change what is found.
        let skipped = start.saturating_sub(LOOK_BEHIND);
        let mut after_cut = false;
        while let Some((first, end, is_cut)) =
            needle.find_at(&bytes[skipped..], (*from).max(start) - skipped, after_cut)
            && skipped + first < behind
        {
            after_cut = is_cut;
            let (start, end) = (skipped + first, skipped + end);
            found.push(Span::new(number, start, end, is_cut));
            *from = end;
        }
    }

    /// All matches that begin in a block, in order of their start; `from` says for each needle where the next one may.
    fn scan(&self, bytes: &[u8], start: usize, from: &mut [usize]) -> Vec<Span> {
        let mut found = Vec::new();
        for &number in self.patterns.singles() {
            self.scan_for(number, bytes, start, &mut from[number], &mut found);
        }
        let end = start.saturating_add(BLOCK).min(bytes.len());
        for group in self.patterns.groups() {
            // Small parts stay in the processor's cache from one group to the next.
            for part in (start..end).step_by(PART) {
                group.scan(bytes, part..end.min(part + PART), from, &mut found);
            }
        }
        if self.patterns.needles().len() > 1 {
            found.sort_unstable();
        }
        found
    }

    /// All matches that begin in these blocks, given where each begins: a list for each. Each thread takes some; where the last match of one block reaches into the next, that one is scanned
    /// anew from there.
    fn blocks(&self, bytes: &[u8], starts: &[usize], from: &mut [usize]) -> Vec<Vec<Span>> {
        let workers = self.threads.min(starts.len()).max(1);
        let share = starts.len().div_ceil(workers).max(1);
        if workers == 1 {
            return starts.iter().map(|&start| self.scan(bytes, start, from)).collect();
        }
        let alone = |part: &[usize]| {
            let scan =
                |&start: &usize| self.scan(bytes, start, &mut vec![start; self.patterns.needles().len()]);
            part.iter().map(scan).collect::<Vec<_>>()
        };
        let mut lists: Vec<Vec<Span>> = Vec::with_capacity(starts.len());
        thread::scope(|scope| {
            // Where the system gives no more threads, the part is scanned here.
            let start = |part| (part, thread::Builder::new().spawn_scoped(scope, move || alone(part)));
            let threads: Vec<_> = starts.chunks(share).map(start).collect();
            // A panic in a scan is a bug of ours: it goes on to whoever called.
            let finish = |(part, thread): (_, io::Result<thread::ScopedJoinHandle<'_, _>>)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(_) => alone(part),
            };
            lists.extend(threads.into_iter().flat_map(finish));
        });
        for (&start, list) in starts.iter().zip(&mut lists) {
            let reached: Vec<usize> = (0..from.len()).filter(|&needle| from[needle] > start).collect();
            if !reached.is_empty() {
                list.retain(|span| from[span.needle()] <= start);
                for needle in reached {
                    self.scan_for(needle, bytes, start, &mut from[needle], list);
                }
                list.sort_unstable();
            }
            for span in list {
                from[span.needle()] = from[span.needle()].max(span.end());
            }
        }
        lists
    }

    fn hit<'b>(&self, bytes: &'b [u8], base: u64, span: Span) -> Hit<'b> {
        let (start, end, needle) = (span.start, span.end(), span.needle());
        let of = &self.patterns.needles()[needle];
        Hit {
            at: base + start as u64,
            pattern: of.pattern,
            encoding: of.encoding,
            text: &bytes[start..end],
            is_cut: span.is_cut(),
            before: &bytes[start.saturating_sub(self.context)..start],
            after: &bytes[end..end.saturating_add(self.context).min(bytes.len())],
            needle,
        }
    }
}

/// A stretch that comes in pieces, in order.
#[derive(Debug, Default)]
pub struct Stretch {
    /// What is kept of the bytes that came: enough before the next block for context, all behind it.
    kept: Vec<u8>,
    /// Where `kept` begins in the stretch.
    base: u64,
    /// Where the next block begins, in `kept`.
    block: usize,
    /// Where the next match of each needle may begin, in `kept`.
    from: Vec<usize>,
    /// How many blocks are scanned at once next.
    batch: usize,
}

impl Stretch {
    /// One that begins at a place: hits say where they are from there on.
    pub(super) fn from(base: u64) -> Self {
        Self { base, ..Self::default() }
    }

    /// Begins anew, with the buffers that it has.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.from.clear();
        (self.base, self.block) = (0, 0);
    }

    /// Where the bytes begin that are still needed.
    pub(super) fn kept_from(&self) -> u64 {
        self.base
    }

    /// Takes the next piece, and hands out the hits that are decided. `last` says that nothing follows.
    /// Breaks when the sink does.
    pub fn take(
        &mut self,
        scanner: &Scanner,
        piece: &[u8],
        last: bool,
        sink: &mut Sink<'_>,
    ) -> ControlFlow<()> {
        // What is lent whole is scanned where it lies.
        if self.kept.is_empty() && self.block == 0 && last {
            return self.scan(scanner, piece, true, sink);
        }
        let mut kept = std::mem::take(&mut self.kept);
        kept.extend_from_slice(piece);
        let flow = self.scan(scanner, &kept, last, sink);
        let done = self.block.saturating_sub(scanner.context.max(LOOK_BEHIND)).min(kept.len());
        kept.drain(..done);
        (self.base, self.block) = (self.base + done as u64, self.block - done);
        self.from.iter_mut().for_each(|from| *from = from.saturating_sub(done));
        self.kept = kept;
        flow
    }

    /// Scans the blocks of which all bytes are there.
    fn scan(&mut self, scanner: &Scanner, bytes: &[u8], last: bool, sink: &mut Sink<'_>) -> ControlFlow<()> {
        self.from.resize(scanner.patterns.needles().len(), 0);
        let reach = BLOCK.saturating_add(scanner.reach());
        self.batch = self.batch.max(FEW);
        let whole = |start: usize| {
            if last { start < bytes.len() } else { start.saturating_add(reach) <= bytes.len() }
        };
        while whole(self.block) {
            let mut starts = Vec::new();
            while starts.len() < self.batch && whole(self.block) {
                starts.push(self.block);
                self.block += BLOCK;
            }
            let lists = scanner.blocks(bytes, &starts, &mut self.from);
            let waiting: usize = lists.iter().map(Vec::len).sum();
            // A byte may be a match: hits are never many times larger than what is scanned.
            let most = (2 * self.batch).min(SHARE * scanner.threads);
            self.batch = most.min(WAITING / (waiting / starts.len()).max(1)).max(FEW);
            for span in lists.into_iter().flatten() {
                sink(scanner.hit(bytes, self.base, span))?;
            }
            passed(&bytes[starts[0]..self.block.min(bytes.len())]);
        }
        ControlFlow::Continue(())
    }
}

/// Takes hits in order, and says when it has enough.
pub type Sink<'a> = dyn FnMut(Hit<'_>) -> ControlFlow<()> + 'a;

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner(patterns: Patterns, threads: usize) -> Scanner {
        Scanner::new(patterns, 3, threads)
    }

    /// Place, needle, whether it is cut; before, text, after.
    type Told = (u64, usize, bool, [Vec<u8>; 3]);

    fn in_pieces(scanner: &Scanner, bytes: &[u8], size: usize) -> Vec<Told> {
        let mut stretch = Stretch::default();
        let pieces = bytes.chunks(size).map(|piece| (piece, false)).chain([(&[][..], true)]);
        pieces.flat_map(|(piece, last)| taken(&mut stretch, scanner, piece, last)).collect()
    }

    fn taken(stretch: &mut Stretch, scanner: &Scanner, piece: &[u8], last: bool) -> Vec<Told> {
        let mut hits = Vec::new();
        let flow = stretch.take(scanner, piece, last, &mut |hit| {
            let bytes = [hit.before, hit.text, hit.after].map(<[u8]>::to_vec);
            hits.push((hit.at, hit.needle, hit.is_cut, bytes));
            ControlFlow::Continue(())
        });
        assert_eq!(flow, ControlFlow::Continue(()));
        hits
    }

    fn patterns() -> Vec<Patterns> {
        let regex = |expression| Patterns::regex(expression, false).unwrap();
        vec![
            Patterns::literal(b"aab", false).unwrap(),
            Patterns::literal(b"AAB", true).unwrap(),
            regex(r"\baa"),
            regex("^b"),
            regex("a+"),
            regex("qxa|xaaaaaaa|aa"),
            regex("[^b]*b|c"),
        ]
    }

    /// Runs of 'a' around all borders of blocks, with marks in them.
    fn bytes(len: usize) -> Vec<u8> {
        let byte = |n: usize| match n {
            n if n % 70_001 == 0 => b'b',
            n if n % 300_007 == 0 => b'\n',
            n if n % 41_011 == 5 => b'x',
            _ => b'a',
        };
        (0..len).map(byte).collect()
    }

    #[test]
    fn neither_pieces_nor_threads_change_what_is_found() {
        let bytes = bytes(2 * BLOCK + 12345);
        for (number, pattern) in patterns().into_iter().enumerate() {
            let whole = taken(&mut Stretch::default(), &scanner(pattern.clone(), 1), &bytes, true);
            for threads in [2, 3] {
                let other = taken(&mut Stretch::default(), &scanner(pattern.clone(), threads), &bytes, true);
                assert!(
                    other == whole,
                    "pattern {number}, {threads} threads: {} and not {}",
                    other.len(),
                    whole.len()
                );
            }
            for size in [262_144, BLOCK + 77] {
                let other = in_pieces(&scanner(pattern.clone(), 2), &bytes, size);
                assert!(
                    other == whole,
                    "pattern {number}, pieces of {size}: {} and not {}",
                    other.len(),
                    whole.len()
                );
            }
        }
    }

    #[test]
    fn short_stretches_in_any_pieces() {
        let bytes = b"xxneedleyyneedneedle needleneedle..\nneedle".repeat(3);
        for pattern in
            [Patterns::literal(b"needle", false).unwrap(), Patterns::regex(r"\bneedle", false).unwrap()]
        {
            let scanner = scanner(pattern, 1);
            let whole = taken(&mut Stretch::default(), &scanner, &bytes, true);
            assert!(!whole.is_empty());
            for size in 1..bytes.len() {
                assert_eq!(in_pieces(&scanner, &bytes, size), whole, "pieces of {size}");
            }
        }
    }
}
