//! Patterns in what holds bytes beside memory: files, queues, registers, logs.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::rc::Rc;

use super::kept::{Kept, Room};
use super::scan::{Hit, Scanner, Stretch};
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
    /// A stretch that nobody uses, with its buffers: many small stores come one after another.
    spare: RefCell<Option<Stretch>>,
}

impl Common {
    pub(super) fn new(scanner: Scanner, room: Room) -> Rc<Self> {
        Rc::new(Self { scanner, room, spare: RefCell::default() })
    }
}

/// A match in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The store's number among those with matches.
    pub(super) store: usize,
    /// Where it begins in the store.
    pub(super) at: u64,
    /// Where it begins in the member, or in the file of an archive.
    pub(super) offset: u64,
    pub(super) hit: Hit,
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
    pub(super) stores: Vec<Store>,
    pub(super) found: Vec<Found>,
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
            found: Vec::new(),
            is_listed: false,
            stretch: None,
            stretch_at: 0,
            end: 0,
            runs: VecDeque::new(),
        }
    }

    /// Scans the next piece of a stretch, or with `last` what is left of it.
    fn scan(&mut self, store: &Store, piece: &[u8], last: bool) -> ControlFlow<()> {
        let Self { common, kept, stores, found, is_listed, stretch, stretch_at, runs, .. } = self;
        let Some(stretch) = stretch else { return ControlFlow::Continue(()) };
        let flow = stretch.take(&common.scanner, piece, last, &mut |hit| {
            if !kept.add(hit.text.len() + hit.before.len() + hit.after.len()) {
                return ControlFlow::Break(());
            }
            if !*is_listed {
                stores.push(store.clone());
                *is_listed = true;
            }
            let at = *stretch_at + hit.at;
            let run = runs.iter().rev().find(|run| run.at <= at);
            let offset = run.map_or(at, |run| run.offset + (at - run.at));
            found.push(Found { store: stores.len() - 1, at, offset, hit });
            ControlFlow::Continue(())
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
        let scanner = Scanner::new(Patterns::regex(pattern, false).unwrap(), 2, 1);
        StoreSearch::new(&Common::new(scanner, room))
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
        let tell = |found: &Found| {
            let text = [&found.hit.before[..], b"<", &found.hit.text, b">", &found.hit.after].concat();
            (search.stores[found.store].name(), found.at, found.offset, String::from_utf8(text).unwrap())
        };
        search.found.iter().map(tell).collect()
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
        assert_eq!(search.found.len(), 2);
        assert!(search.kept.is_full());
    }
}
