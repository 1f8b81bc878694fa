//! Scanning one stretch of memory, whether it lies there whole or comes in pieces.
//!
//! A stretch is cut into blocks at fixed places. A match begins in one block and is looked for in that block and a margin behind it, always in exactly these bytes:
//! so the matches don't depend on how the stretch came, nor on how many threads scan it. A match of a regular expression can be at most a
//! block and the margin long.

use std::ops::ControlFlow;
use std::{io, thread};

use super::pattern::Pattern;

/// How far apart blocks begin, in bytes.
const BLOCK: usize = 1 << 20;
/// How many blocks a thread takes before hits are handed out.
const SHARE: usize = 8;
/// Bytes before a place that `^` and `\b` may look at.
pub(super) const LOOK_BEHIND: usize = 4;

/// A match within the stretch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Where it begins, in bytes from the start of the stretch.
    pub(super) at: u64,
    /// Its bytes.
    pub(super) text: Vec<u8>,
    /// Bytes of the stretch right before it.
    pub(super) before: Vec<u8>,
    /// Bytes of the stretch right behind it.
    pub(super) after: Vec<u8>,
}

/// What does not change from stretch to stretch.
#[derive(Clone, Debug)]
pub(super) struct Scanner {
    pub(super) pattern: Pattern,
    /// How many bytes of context are kept on either side.
    pub(super) context: usize,
    pub(super) threads: usize,
}

/// A match in bytes that are at hand: first byte, and the one behind it.
type Span = (usize, usize);

impl Scanner {
    /// How many bytes a decision about a match may need behind its start.
    pub(super) fn reach(&self) -> usize {
        self.pattern.reach() + self.context
    }

    /// The bytes that the block which begins at `start` is looked for in.
    fn block<'b>(&self, bytes: &'b [u8], start: usize) -> &'b [u8] {
        &bytes[..(start + BLOCK + self.reach()).min(bytes.len())]
    }

    /// Matches that begin in a block, from a place in it on.
    fn scan(&self, bytes: &[u8], start: usize, from: usize) -> Vec<Span> {
        let bytes = self.block(bytes, start);
        // Bytes before the block but for the nearest don't change what is found.
        let skipped = start.saturating_sub(LOOK_BEHIND);
        let mut found = Vec::new();
        let mut at = from.max(start) - skipped;
        while let Some((first, end)) = self.pattern.find_at(&bytes[skipped..], at)
            && skipped + first < start + BLOCK
        {
            found.push((skipped + first, skipped + end));
            at = end;
        }
        found
    }

    /// All matches that begin in these blocks, given where each begins. Each thread takes some; where the last match of one block reaches into the next, that one is scanned
    /// anew from there.
    fn blocks(&self, bytes: &[u8], starts: &[usize], from: &mut usize) -> Vec<Span> {
        let workers = self.threads.min(starts.len()).max(1);
        let share = starts.len().div_ceil(workers).max(1);
        let alone =
            |part: &[usize]| part.iter().map(|&start| self.scan(bytes, start, start)).collect::<Vec<_>>();
        let mut lists: Vec<Vec<Span>> = Vec::with_capacity(starts.len());
        if workers == 1 {
            for &start in starts {
                let list = self.scan(bytes, start, *from);
                *from = list.last().map_or(*from, |&(_, end)| end);
                lists.push(list);
            }
            return lists.concat();
        }
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
        let mut all: Vec<Span> = Vec::new();
        for (&start, list) in starts.iter().zip(lists) {
            let list = if *from > start { self.scan(bytes, start, *from) } else { list };
            *from = list.last().map_or(*from, |&(_, end)| end);
            all.extend(list);
        }
        all
    }

    fn hit(&self, bytes: &[u8], base: u64, (start, end): Span) -> Hit {
        Hit {
            at: base + start as u64,
            text: bytes[start..end].to_vec(),
            before: bytes[start.saturating_sub(self.context)..start].to_vec(),
            after: bytes[end..(end + self.context).min(bytes.len())].to_vec(),
        }
    }
}

/// A stretch that comes in pieces, in order.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// What is kept of the bytes that came: enough before the next block for context, all behind it.
    kept: Vec<u8>,
    /// Where `kept` begins in the stretch.
    base: u64,
    /// Where the next block begins, in `kept`.
    block: usize,
    /// Where the next match may begin, in `kept`.
    from: usize,
}

impl Stretch {
    /// Takes the next piece, and hands out the hits that are decided. `last` says that nothing follows.
    pub(super) fn take(
        &mut self,
        scanner: &Scanner,
        piece: &[u8],
        last: bool,
        sink: &mut Sink<'_>,
    ) -> ControlFlow<()> {
        // What is lent whole is scanned where it lies.
        if self.kept.is_empty() && self.base == 0 && last {
            return self.scan(scanner, piece, true, sink);
        }
        let mut kept = std::mem::take(&mut self.kept);
        kept.extend_from_slice(piece);
        let flow = self.scan(scanner, &kept, last, sink);
        let done = self.block.saturating_sub(scanner.context.max(LOOK_BEHIND)).min(kept.len());
        kept.drain(..done);
        (self.base, self.block, self.from) =
            (self.base + done as u64, self.block - done, self.from.saturating_sub(done));
        self.kept = kept;
        flow
    }

    /// Scans the blocks of which all bytes are there.
    fn scan(&mut self, scanner: &Scanner, bytes: &[u8], last: bool, sink: &mut Sink<'_>) -> ControlFlow<()> {
        let whole = |start: usize| {
            if last { start < bytes.len() } else { start + BLOCK + scanner.reach() <= bytes.len() }
        };
        while whole(self.block) {
            let mut starts = Vec::new();
            while starts.len() < SHARE * scanner.threads && whole(self.block) {
                starts.push(self.block);
                self.block += BLOCK;
            }
            for span in scanner.blocks(bytes, &starts, &mut self.from) {
                sink(scanner.hit(bytes, self.base, span))?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Takes hits in order, and says when it has enough.
pub(super) type Sink<'a> = dyn FnMut(Hit) -> ControlFlow<()> + 'a;

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner(pattern: Pattern, threads: usize) -> Scanner {
        Scanner { pattern, context: 3, threads }
    }

    fn in_pieces(scanner: &Scanner, bytes: &[u8], size: usize) -> Vec<Hit> {
        let mut stretch = Stretch::default();
        let pieces = bytes.chunks(size).map(|piece| (piece, false)).chain([(&[][..], true)]);
        pieces.flat_map(|(piece, last)| taken(&mut stretch, scanner, piece, last)).collect()
    }

    fn taken(stretch: &mut Stretch, scanner: &Scanner, piece: &[u8], last: bool) -> Vec<Hit> {
        let mut hits = Vec::new();
        let flow = stretch.take(scanner, piece, last, &mut |hit| {
            hits.push(hit);
            ControlFlow::Continue(())
        });
        assert_eq!(flow, ControlFlow::Continue(()));
        hits
    }

    fn patterns() -> Vec<Pattern> {
        let regex = |expression| Pattern::regex(expression, false).unwrap();
        vec![
            Pattern::literal(b"aab", false).unwrap(),
            Pattern::literal(b"AAB", true).unwrap(),
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
            [Pattern::literal(b"needle", false).unwrap(), Pattern::regex(r"\bneedle", false).unwrap()]
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
