//! Patterns in what holds bytes beside memory: files, queues, registers, logs.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use super::kept::{Kept, Room};
use super::scan::{Hit, Scanner, Stretch};
use super::texts::{At, Text, Texts};
use super::{Encoding, Keep};
use crate::stores::{Chunk, Contents, Sink, Store};

/// How much is scanned at once for each thread, in bytes: what is lent whole is not copied whole.
const PIECE: usize = 1 << 20;
/// More threads than this don't make pieces longer.
const PIECES_MAX: usize = 8;

/// What all searchers of stores have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) scanner: Scanner,
    pub(super) room: Room,
    pub(super) keep: Keep,
    /// A stretch that nobody uses, with its buffers: many small stores come one after another.
    spare: RefCell<Option<Stretch>>,
}

impl Common {
    pub(super) fn new(scanner: Scanner, room: Room, keep: Keep) -> Rc<Self> {
        Rc::new(Self { scanner, room, keep, spare: RefCell::default() })
    }
}

/// A match in a store that is no memory.
#[derive(Clone, Copy, Debug)]
pub struct StoreMatch<'m> {
    /// The store.
    pub store: &'m Arc<Store>,
    /// Where it begins in the store, in bytes.
    pub at: u64,
    /// Where it begins in the store's member, or in the file of an archive, in bytes: not always the same, as a deleted file may have holes. Of a register 0.
    pub offset: u64,
    /// The number of the pattern, in the list that was compiled.
    pub pattern: usize,
    /// The encoding that matched; `None` for bytes in hexadecimal.
    pub encoding: Option<Encoding>,
    /// The bytes that matched.
    pub text: &'m [u8],
    /// Whether the match may go on, and is told only as far as matches may be long.
    pub is_cut: bool,
    /// Bytes of the store right before them.
    pub before: &'m [u8],
    /// Bytes of the store right behind them.
    pub after: &'m [u8],
}

/// A match in a store, as it is kept.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// The store's number among those with matches.
    store: u32,
    needle: u32,
    /// Where it begins in the store.
    at: u64,
    /// Where it begins in the member, or in the file of an archive.
    offset: u64,
    text: At,
}

/// The matches in the stores of a dump that are no memory: by class, by stored order, by place.
#[derive(Debug, Default)]
pub struct Elsewhere {
    /// Of each needle the pattern and the encoding.
    needles: Vec<(usize, Option<Encoding>)>,
    parts: Vec<Part>,
    len: usize,
}

/// Those of one member.
#[derive(Debug)]
struct Part {
    /// The stores with matches and how many each has.
    stores: Vec<(Arc<Store>, u64)>,
    records: Vec<Record>,
    texts: Texts,
}

impl Elsewhere {
    pub(super) fn new(scanner: &Scanner) -> Self {
        let needles = scanner.patterns.needles().iter();
        let needles = needles.map(|needle| (needle.pattern, needle.encoding)).collect();
        Self { needles, parts: Vec::new(), len: 0 }
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = StoreMatch<'_>> {
        self.parts.iter().flat_map(|part| part.records.iter().map(|record| self.told(part, record)))
    }

    /// Drops all but the first ones that are kept.
    pub fn truncate(&mut self, most: usize) {
        if most >= self.len {
            return;
        }
        let mut left = most;
        for part in &mut self.parts {
            part.records.truncate(left);
            left -= part.records.len();
            part.stores.iter_mut().for_each(|(_, count)| *count = 0);
            part.records.iter().for_each(|record| part.stores[record.store as usize].1 += 1);
        }
        self.len = most;
    }

    /// How many matches each store has that has some, in their order.
    pub(super) fn counts(&self) -> Vec<(Arc<Store>, u64)> {
        let mut counts: Vec<(Arc<Store>, u64)> = Vec::new();
        for (store, count) in self.parts.iter().flat_map(|part| &part.stores).filter(|(_, count)| *count > 0)
        {
            match counts.last_mut() {
                Some((last, sum)) if last == store => *sum += count,
                _ => counts.push((store.clone(), *count)),
            }
        }
        counts
    }

    /// Adds the matches of a member in the stores that are chosen. Gives the room that they take.
    pub(super) fn add(&mut self, search: StoreSearch, is_chosen: impl Fn(&Store) -> bool) -> Kept {
        let StoreSearch { stores, counts, mut records, texts, kept, .. } = search;
        let chosen: Vec<bool> = stores.iter().map(is_chosen).collect();
        records.retain(|record| chosen[record.store as usize]);
        // Stores are in order; in each, matches of several patterns are mixed as blocks came.
        let needles = &self.needles;
        records.sort_by_key(|record| {
            let (pattern, encoding) = needles[record.needle as usize];
            (record.store, record.at, texts.get(record.text).text.len(), pattern, encoding)
        });
        self.len += records.len();
        let counts = counts.into_iter().zip(&chosen).map(|(count, &chosen)| if chosen { count } else { 0 });
        let stores = stores.into_iter().map(Arc::new).zip(counts).collect();
        if !chosen.is_empty() {
            self.parts.push(Part { stores, records, texts });
        }
        kept
    }

    fn told<'m>(&'m self, part: &'m Part, record: &Record) -> StoreMatch<'m> {
        let (pattern, encoding) = self.needles[record.needle as usize];
        let text = part.texts.get(record.text);
        StoreMatch {
            store: &part.stores[record.store as usize].0,
            at: record.at,
            offset: record.offset,
            pattern,
            encoding,
            text: text.text,
            is_cut: text.is_cut,
            before: text.before,
            after: text.after,
        }
    }
}

/// Bytes in one piece, in the store and in the member.
#[derive(Clone, Copy, Debug)]
struct Run {
    at: u64,
    offset: u64,
    len: u64,
}

/// Searches the stores of one member of the evidence.
#[derive(Debug)]
pub struct StoreSearch {
    common: Rc<Common>,
    pub(super) kept: Kept,
    /// The stores with matches, in stored order.
    stores: Vec<Store>,
    /// How many each has.
    counts: Vec<u64>,
    records: Vec<Record>,
    texts: Texts,
    /// Whether the store that is being read has matches: then it is the last one.
    is_listed: bool,
    stretch: Option<Stretch>,
    /// Where the stretch begins and ends in the store.
    stretch_at: u64,
    end: u64,
    /// Where the bytes that are not decided yet are in the member.
    runs: VecDeque<Run>,
}

impl StoreSearch {
    pub(super) fn new(common: &Rc<Common>) -> Self {
        Self {
            common: common.clone(),
            kept: Kept::new(&common.room),
            stores: Vec::new(),
            counts: Vec::new(),
            records: Vec::new(),
            texts: Texts::default(),
            is_listed: false,
            stretch: None,
            stretch_at: 0,
            end: 0,
            runs: VecDeque::new(),
        }
    }

    /// Scans the next piece of a stretch, or with `last` what is left of it.
    fn scan(&mut self, store: &Store, piece: &[u8], last: bool) -> ControlFlow<()> {
        let Self {
            common, kept, stores, counts, records, texts, is_listed, stretch, stretch_at, runs, ..
        } = self;
        let Some(stretch) = stretch else { return ControlFlow::Continue(()) };
        let flow = stretch.take(&common.scanner, piece, last, &mut |hit| {
            let Hit { at, text, is_cut, before, after, needle, .. } = hit;
            let text = Text { text, is_cut, before, after };
            if common.keep == Keep::Matches && !kept.add(text.len()) {
                return ControlFlow::Break(());
            }
            if !*is_listed {
                stores.push(store.clone());
                counts.push(0);
                *is_listed = true;
            }
            let number = stores.len() - 1;
            counts[number] += 1;
            match common.keep {
                Keep::Matches => {
                    let at = *stretch_at + at;
                    let run = runs.iter().rev().find(|run| run.at <= at);
                    let offset = run.map_or(at, |run| run.offset + (at - run.at));
                    let (store, needle, text) = (number as u32, needle as u32, texts.add(text));
                    records.push(Record { store, needle, at, offset, text });
                    ControlFlow::Continue(())
                }
                Keep::Counts => ControlFlow::Continue(()),
                Keep::Presence => ControlFlow::Break(()), // nothing more of it is wanted
            }
        });
        let undecided = *stretch_at + stretch.kept_from();
        while runs.front().is_some_and(|run| run.at + run.len <= undecided) {
            runs.pop_front();
        }
        flow
    }

    /// The stretch ends: a hole follows, or nothing.
    fn close(&mut self, store: &Store) -> ControlFlow<()> {
        let flow = self.scan(store, &[], true);
        self.runs.clear();
        if let Some(mut stretch) = self.stretch.take() {
            stretch.clear();
            *self.common.spare.borrow_mut() = Some(stretch);
        }
        flow
    }
}

impl Sink for StoreSearch {
    fn begin(&mut self, _: &Store) -> ControlFlow<()> {
        self.is_listed = false;
        if self.kept.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn bytes(&mut self, store: &Store, chunk: Chunk<'_>) -> ControlFlow<()> {
        if self.stretch.is_some() && chunk.at != self.end {
            self.close(store)?;
        }
        if self.stretch.is_none() {
            self.stretch = Some(self.common.spare.borrow_mut().take().unwrap_or_default());
            (self.stretch_at, self.end) = (chunk.at, chunk.at);
        }
        let len = chunk.bytes.len() as u64;
        match self.runs.back_mut() {
            Some(last) if last.at + last.len == chunk.at && last.offset + last.len == chunk.offset => {
                last.len += len;
            }
            _ => self.runs.push_back(Run { at: chunk.at, offset: chunk.offset, len }),
        }
        self.end = chunk.at + len;
        let size = PIECE * self.common.scanner.threads.min(PIECES_MAX);
        chunk.bytes.chunks(size).try_for_each(|piece| self.scan(store, piece, false))
    }

    fn wants_list(&self) -> bool {
        false
    }

    fn end(&mut self, store: &Store, _: &Contents) {
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) = self.close(store);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::pattern::Patterns;
    use super::*;
    use crate::stores::Kind;

    fn search(pattern: &str, room: Room) -> StoreSearch {
        StoreSearch::new(&common(pattern, room, Keep::Matches))
    }

    fn common(pattern: &str, room: Room, keep: Keep) -> Rc<Common> {
        Common::new(Scanner::new(Patterns::regex(pattern, false).unwrap(), 2, 1), room, keep)
    }

    fn store(number: u32) -> Store {
        Store { kind: Kind::Pipe(number), member: Arc::from(&b"pipes-data.img"[..]), inner: None }
    }

    /// Shows a store in pieces: where each is in the store and in the member, and its bytes.
    fn show(search: &mut StoreSearch, store: &Store, pieces: &[(u64, u64, &[u8])]) {
        if search.begin(store).is_continue() {
            for &(at, offset, bytes) in pieces {
                if search.bytes(store, Chunk { at, offset, pages: None, bytes }).is_break() {
                    break;
                }
            }
        }
        search.end(store, &Contents::default());
    }

    fn told(search: &StoreSearch) -> Vec<(Vec<u8>, u64, u64, String)> {
        let tell = |found: &Record| {
            let Text { text, before, after, .. } = search.texts.get(found.text);
            let text = [before, b"<", text, b">", after].concat();
            let name = search.stores[found.store as usize].name();
            (name, found.at, found.offset, String::from_utf8(text).unwrap())
        };
        search.records.iter().map(tell).collect()
    }

    #[test]
    fn pieces_are_joined_and_holes_are_not() {
        let mut search = search("ab+c", Room::new(None));
        show(&mut search, &store(1), &[(0, 100, b"xxab"), (4, 104, b"bc-"), (7, 200, b"abc")]);
        show(&mut search, &store(2), &[(0, 0, b"nothing")]);
        show(&mut search, &store(3), &[(0, 0, b"ab"), (1000, 50, b"c abc")]);
        let name = |number| store(number).name();
        let expected = [
            (name(1), 2, 102, "xx<abbc>-a".to_owned()),
            (name(1), 7, 200, "c-<abc>".to_owned()),
            (name(3), 1002, 52, "c <abc>".to_owned()),
        ];
        assert_eq!(told(&search), expected);
    }

    #[test]
    fn pieces_of_any_size_give_the_matches_of_the_whole() {
        let bytes: Vec<u8> = (0..3_000_000u32)
            .map(|n| if n % 1_048_571 < 40 { b'a' + (n % 7 % 3) as u8 } else { b'.' })
            .collect();
        let found = |size: usize| {
            let mut search = search("[a-c]{7,}", Room::new(None));
            let pieces: Vec<(u64, u64, &[u8])> =
                (0..).step_by(size).zip(bytes.chunks(size)).map(|(at, piece)| (at, at + 9, piece)).collect();
            show(&mut search, &store(1), &pieces);
            assert!(search.runs.is_empty() && search.stretch.is_none());
            told(&search)
        };
        let whole = found(bytes.len());
        assert_eq!(whole.len(), 3);
        assert!(whole.iter().all(|(_, at, offset, _)| *offset == at + 9));
        for size in [7, 4096, 1 << 20] {
            assert_eq!(found(size), whole, "pieces of {size}");
        }
    }

    #[test]
    fn no_more_is_read_than_there_is_room_for() {
        let mut search = search("a", Room::new(Some(2)));
        show(&mut search, &store(1), &[(0, 0, b"a")]);
        show(&mut search, &store(2), &[(0, 0, b"aaa")]);
        show(&mut search, &store(3), &[(0, 0, b"a")]);
        assert_eq!(search.records.len(), 2);
        assert!(search.kept.is_full());
    }

    #[test]
    fn what_is_only_counted_needs_no_room() {
        for (keep, expected) in [(Keep::Counts, [3, 2]), (Keep::Presence, [1, 1])] {
            let mut search = StoreSearch::new(&common("a", Room::new(Some(1)), keep));
            show(&mut search, &store(1), &[(0, 0, b"a"), (9, 9, b"aa")]);
            show(&mut search, &store(2), &[(0, 0, b"-")]);
            show(&mut search, &store(3), &[(0, 0, b"a-a")]);
            assert_eq!((&search.counts[..], search.records.len()), (&expected[..], 0));
            assert!(!search.kept.is_full());
            let mut all = Elsewhere::new(&search.common.scanner);
            all.add(search, |store| store.name() != super::tests::store(3).name());
            let counts: Vec<u64> = all.counts().into_iter().map(|(_, count)| count).collect();
            assert_eq!(counts, expected[..1]);
        }
    }
}
