//! How much is kept of what is found, whoever finds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most memory that matches may take when nobody says how many are wanted, in bytes.
const KEPT_MAX: usize = 32 << 20;
/// What a match takes beside its bytes and their context, in bytes: its record, where it stands in the order in which matches are told, and the lengths.
const OVERHEAD: usize = 24 + 16 + super::texts::HEADER;

/// The room for matches: shared by all that are searched at once.
#[derive(Clone, Debug)]
pub struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: Option<usize>,
    count: AtomicUsize,
    bytes: AtomicUsize,
}

impl Room {
    /// Room for so many matches; without a number for as many as fit into the memory that is meant for them.
    pub fn new(most: Option<usize>) -> Self {
        Self(Arc::new(Shared { most, count: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }))
    }

    /// What there is room for, for a message: `1000`, `fit into 32 MiB of memory`.
    pub fn text(&self) -> String {
        match self.0.most {
            Some(most) => format!("{most}"),
            None => format!("fit into {} MiB of memory", KEPT_MAX >> 20),
        }
    }
}

/// What one searcher keeps. The room is free again when this is dropped.
#[derive(Debug)]
pub struct Kept {
    room: Room,
    count: usize,
    bytes: usize,
    is_full: bool,
}

impl Kept {
    pub(crate) fn new(room: &Room) -> Self {
        Self { room: room.clone(), count: 0, bytes: 0, is_full: false }
    }

    /// Takes room for a match of so many bytes with its context; false when there is none left.
    pub(crate) fn add(&mut self, bytes: usize) -> bool {
        let shared = &self.room.0;
        let bytes = bytes.saturating_add(OVERHEAD);
        let has_room = match shared.most {
            Some(most) => shared.count.load(Ordering::Relaxed) < most,
            None => shared.bytes.load(Ordering::Relaxed).saturating_add(bytes) <= KEPT_MAX,
        };
        if !has_room {
            self.is_full = true;
            return false;
        }
        shared.count.fetch_add(1, Ordering::Relaxed);
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }

    /// Takes so many more bytes for what has room already; false when there is none left.
    pub(crate) fn add_bytes(&mut self, bytes: usize) -> bool {
        let shared = &self.room.0;
        let taken = shared.bytes.load(Ordering::Relaxed).saturating_add(bytes);
        if shared.most.is_none() && taken > KEPT_MAX {
            self.is_full = true;
            return false;
        }
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }

    /// Takes a place for a match whose bytes have room already; false when there are as many as may be.
    pub(crate) fn add_one(&mut self) -> bool {
        if self.room.0.most.is_some_and(|most| self.room.0.count.load(Ordering::Relaxed) >= most) {
            self.is_full = true;
            return false;
        }
        self.room.0.count.fetch_add(1, Ordering::Relaxed);
        self.count += 1;
        true
    }

    /// A match turned out to be none: others may be as many. Its bytes stay where they are.
    pub(crate) fn remove(&mut self) {
        if self.count > 0 {
            self.count -= 1;
            self.room.0.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether more was found than there was room for.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.room.0.count.fetch_sub(self.count, Ordering::Relaxed);
        self.room.0.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_shared_and_comes_back() {
        let room = Room::new(Some(3));
        let (mut one, mut other) = (Kept::new(&room), Kept::new(&room));
        assert!(one.add(1) && one.add(1) && other.add(1));
        assert!(!other.add(1) && other.is_full() && !one.is_full());
        drop(one);
        assert!(other.add(1));
    }

    #[test]
    fn without_a_number_memory_is_what_counts() {
        let mut kept = Kept::new(&Room::new(None));
        assert!(kept.add(KEPT_MAX / 2));
        assert!(!kept.add(KEPT_MAX / 2), "with what it takes beside its bytes it does not fit");
        assert!(Kept::new(&Room::new(Some(1))).add(KEPT_MAX), "who asks for a match gets it");
    }
}
