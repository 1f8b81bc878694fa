//! Scanning one stretch of memory that comes in pieces, as if it came whole.

use std::{io, thread};

use super::pattern::Pattern;

/// Bytes before a match's start that `^` and `\b` may look at.
const LOOK_BEHIND: usize = 4;
/// Stretches shorter than this are not worth a second thread, in bytes.
const PARALLEL_MIN: usize = 4 << 20;

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

impl Scanner {
    /// How many bytes a decision about a match may need behind its start.
    pub(super) fn reach(&self) -> usize {
        self.pattern.reach() + self.context
    }

    /// All matches in bytes that are there in one piece, up to `most` of them.
    pub(super) fn whole(&self, bytes: &[u8], most: usize) -> Vec<Hit> {
        let matches = if self.threads > 1 && bytes.len() >= PARALLEL_MIN {
            self.in_parallel(bytes, most)
        } else {
            self.serial(bytes, 0, bytes.len(), most)
        };
        matches.into_iter().map(|span| self.hit(bytes, 0, span)).collect()
    }

    /// Matches that begin in `from..until`.
    fn serial(&self, bytes: &[u8], from: usize, until: usize, most: usize) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut at = from;
        while found.len() < most
            && let Some((start, end)) = self.pattern.find_at(bytes, at)
            && start < until
        {
            found.push((start, end));
            at = end;
        }
        found
    }

    /// Each thread takes a part; where the last match of one part reaches into the next, the scan is made again from its end
    /// until both agree. So the matches are those of a serial scan.
    fn in_parallel(&self, bytes: &[u8], most: usize) -> Vec<(usize, usize)> {
        let parts = self.threads.min(bytes.len() / (PARALLEL_MIN / 2)).max(1);
        let size = bytes.len().div_ceil(parts);
        let border = |part: usize| (part * size).min(bytes.len());
        let lists: Vec<_> = thread::scope(|scope| {
            let scan = |number| move || self.serial(bytes, border(number), border(number + 1), most);
            // Where the system gives no more threads, the part is scanned here.
            let start = |number| (number, thread::Builder::new().spawn_scoped(scope, scan(number)));
            let threads: Vec<_> = (0..parts).map(start).collect();
            // A panic in a scan is a bug of ours: it goes on to whoever called.
            let finish = |(number, thread): (usize, io::Result<thread::ScopedJoinHandle<'_, _>>)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(_) => scan(number)(),
            };
            threads.into_iter().map(finish).collect()
        });
        let mut all: Vec<(usize, usize)> = Vec::new();
        for (number, list) in lists.into_iter().enumerate() {
            let until = border(number + 1);
            let mut at = all.last().map_or(0, |&(_, end)| end);
            let mut rest = list.as_slice();
            while rest.first().is_some_and(|&(start, _)| start < at) {
                let Some((start, end)) = self.pattern.find_at(bytes, at).filter(|&(start, _)| start < until) else {
                    rest = &[];
                    break;
                };
                let same = rest.partition_point(|&(other, _)| other < start);
                rest = &rest[same..];
                if rest.first() == Some(&(start, end)) {
                    break;
                }
                all.push((start, end));
                at = end;
            }
            all.extend_from_slice(rest);
        }
        all.truncate(most);
        all
    }

    fn hit(&self, bytes: &[u8], base: u64, (start, end): (usize, usize)) -> Hit {
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
    /// What is kept of the bytes that came: enough before the next start for context, all behind it.
    kept: Vec<u8>,
    /// Where `kept` begins in the stretch.
    base: u64,
    /// Where the next match may begin, in `kept`.
    from: usize,
}

impl Stretch {
    /// Takes the next piece. `last` says that it ends the stretch.
    pub(super) fn take(&mut self, scanner: &Scanner, piece: &[u8], last: bool, most: usize) -> Vec<Hit> {
        if self.kept.is_empty() && last {
            return scanner.whole(piece, most);
        }
        self.kept.extend_from_slice(piece);
        let until = if last { self.kept.len() } else { self.kept.len().saturating_sub(scanner.reach()) };
        let mut hits = Vec::new();
        while hits.len() < most
            && self.from < until
            && let Some((start, end)) = scanner.pattern.find_at(&self.kept, self.from)
            && start < until
        {
            hits.push(scanner.hit(&self.kept, self.base, (start, end)));
            self.from = end;
        }
        self.from = self.from.max(until);
        let keep_from = self.from.saturating_sub(scanner.context.max(LOOK_BEHIND));
        self.kept.drain(..keep_from);
        self.base += keep_from as u64;
        self.from -= keep_from;
        if last {
            self.kept = Vec::new();
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner(pattern: Pattern, threads: usize) -> Scanner {
        Scanner { pattern, context: 3, threads }
    }

    fn in_pieces(scanner: &Scanner, bytes: &[u8], size: usize) -> Vec<Hit> {
        let mut stretch = Stretch::default();
        let count = bytes.chunks(size).count();
        let pieces = bytes.chunks(size).enumerate();
        pieces.flat_map(|(number, piece)| stretch.take(scanner, piece, number + 1 == count, usize::MAX)).collect()
    }

    #[test]
    fn pieces_give_the_hits_of_the_whole() {
        let bytes = b"xxneedleyyneedneedle needleneedle..\nneedle".repeat(3);
        let patterns = [
            Pattern::literal(b"needle", false).unwrap(),
            Pattern::literal(b"NEEDLE", true).unwrap(),
            Pattern::regex(r"\bneedle", false).unwrap(),
            Pattern::regex(r"^needle", false).unwrap(),
            Pattern::regex(r"e+", false).unwrap(),
        ];
        for pattern in patterns {
            let scanner = scanner(pattern, 1);
            let whole = scanner.whole(&bytes, usize::MAX);
            assert!(!whole.is_empty());
            for size in 1..bytes.len() {
                assert_eq!(in_pieces(&scanner, &bytes, size), whole, "pieces of {size}");
            }
        }
    }

    #[test]
    fn threads_give_the_hits_of_one() {
        // Runs of 'a' of odd lengths everywhere: every border cuts a possible match.
        let bytes: Vec<u8> = (0..9_000_000u32).map(|n| if n % 7001 == 0 { b'b' } else { b'a' }).collect();
        for pattern in [Pattern::literal(b"aa", false).unwrap(), Pattern::regex("a{3}", false).unwrap()] {
            let one = scanner(pattern.clone(), 1).serial(&bytes, 0, bytes.len(), usize::MAX);
            for threads in [2, 3, 4] {
                assert_eq!(scanner(pattern.clone(), threads).in_parallel(&bytes, usize::MAX), one);
            }
        }
    }
}
