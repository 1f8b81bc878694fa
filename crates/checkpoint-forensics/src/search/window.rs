//! The bytes around a seam, as far as they came.

use std::ops::Range;

/// The bytes around a seam. What did not come is unknown, not zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// What came, ascending, joined where it touches.
    known: Vec<Range<usize>>,
}

impl Window {
    /// A window of which nothing has come yet.
    pub(super) fn new(len: usize) -> Self {
        Self { bytes: vec![0; len], known: Vec::new() }
    }

    /// Takes bytes that belong at a place in it.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        let mut new = at..at + bytes.len();
        self.known.retain(|old| {
            let apart = old.end < new.start || new.end < old.start;
            if !apart {
                new = new.start.min(old.start)..new.end.max(old.end);
            }
            apart
        });
        let place = self.known.partition_point(|old| old.start < new.start);
        self.known.insert(place, new);
    }

    /// What came around a place without a hole, on both of its sides: where it begins, and the bytes.
    pub(super) fn around(&self, place: usize) -> Option<(usize, &[u8])> {
        let known = self.known.iter().find(|known| known.start < place && place < known.end)?;
        Some((known.start, &self.bytes[known.clone()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_any_order_make_one() {
        let mut window = Window::new(10);
        window.put(4, b"ef");
        window.put(8, b"ij");
        assert_eq!(window.around(4), None, "nothing came in front of it");
        window.put(2, b"cd");
        assert_eq!(window.around(4), Some((2, &b"cdef"[..])));
        window.put(6, b"gh");
        assert_eq!(window.around(8), Some((2, &b"cdefghij"[..])));
    }
}
