//! What is stored of one address space: its own pages, and those of the shared objects that it sees.
//!
//! A shared object's extents are kept once, however many mappings show it: a database maps its buffers into hundreds of processes.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::extent::{Extent, Extents, Lost, Missing, ObjectId};

/// What is stored of one address space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The process's own pages: they come first.
    private: Extents,
    /// Shared objects and files behind mappings, ascending and disjoint.
    views: Vec<View>,
}

/// A shared object behind a mapping, or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The addresses of the mapping.
    pub(super) range: Range<u64>,
    /// The object's stored pages, by offset in the object.
    pub(super) object: Arc<Extents>,
    /// The offset in the object that the first address shows.
    pub(super) from: u64,
}

/// Shared objects before and after bytes of them were marked, by the address of what was before, which is kept so that it stays taken.
pub(super) type Marked = HashMap<*const Extents, (Arc<Extents>, Arc<Extents>)>;

/// A shared object's pages with lost bytes marked.
pub(super) fn marked(
    object: &Arc<Extents>,
    lost: &Lost,
    why: Missing,
    marked: &mut Marked,
    touched: &mut BTreeSet<ObjectId>,
) -> Arc<Extents> {
    let (_, new) = marked.entry(Arc::as_ptr(object)).or_insert_with(|| {
        let mut extents = Extents::clone(object);
        extents.mark(lost, why, touched);
        (object.clone(), Arc::new(extents))
    });
    new.clone()
}

impl Stored {
    pub(super) fn new(private: Extents, views: Vec<View>) -> Self {
        Self { private, views }
    }

    /// Shows what further mappings show.
    pub(super) fn show(&mut self, views: Vec<View>) {
        if !views.is_empty() {
            self.views.extend(views);
            self.views.sort_by_key(|view| view.range.start);
        }
    }

    /// Marks lost bytes as such that can't be had, for a reason. `marked` has the objects that were marked for other spaces, by what they were before.
    pub(super) fn mark(
        &mut self,
        lost: &Lost,
        why: Missing,
        marked: &mut Marked,
        touched: &mut BTreeSet<ObjectId>,
    ) {
        self.private.mark(lost, why, touched);
        for view in &mut self.views {
            view.object = self::marked(&view.object, lost, why, marked, touched);
        }
    }

    /// The parts of a range that are the process's own pages, not those of a shared object: ascending, and each as [`within`](Self::within) has it.
    pub fn own_within(&self, range: Range<u64>) -> impl Iterator<Item = Extent> + '_ {
        self.private.within(range)
    }

    /// All that is stored, ascending by address.
    pub fn iter(&self) -> StoredExtents<'_> {
        self.within(0..u64::MAX)
    }

    /// The parts that lie in a range, ascending by address.
    pub fn within(&self, range: Range<u64>) -> StoredExtents<'_> {
        let private = self.private.first_behind(range.start);
        let view = self.views.partition_point(|view| view.range.end <= range.start);
        StoredExtents { stored: self, at: range.start, end: range.end, private, view, object: None }
    }
}

impl<'a> IntoIterator for &'a Stored {
    type Item = Extent;
    type IntoIter = StoredExtents<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A walk over what is stored. Made by [`Stored::within`].
#[derive(Clone, Debug)]
pub struct StoredExtents<'a> {
    stored: &'a Stored,
    at: u64,
    end: u64,
    /// The next extent of the process's own pages.
    private: usize,
    /// The view that is looked at.
    view: usize,
    /// The next extent of its object, once it was looked for.
    object: Option<usize>,
}

impl Iterator for StoredExtents<'_> {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        while self.at < self.end {
            let own =
                self.stored.private.get(self.private).and_then(|extent| extent.clipped(&(self.at..self.end)));
            let hole_end = match own {
                Some(own) if own.start == self.at => {
                    self.private += 1;
                    self.at = own.end();
                    return Some(own);
                }
                Some(own) => own.start,
                None => self.end,
            };
            if let Some(shared) = self.shared(hole_end) {
                return Some(shared);
            }
        }
        None
    }
}

impl StoredExtents<'_> {
    /// What a shared object has in the hole that ends there; goes on behind it, or to the end of the hole or view.
    fn shared(&mut self, hole_end: u64) -> Option<Extent> {
        while self.stored.views.get(self.view).is_some_and(|view| view.range.end <= self.at) {
            self.view += 1;
            self.object = None;
        }
        let Some(view) = self.stored.views.get(self.view).filter(|view| view.range.start < hole_end) else {
            self.at = hole_end;
            return None;
        };
        let start = self.at.max(view.range.start);
        let end = hole_end.min(view.range.end);
        let offset = view.from + (start - view.range.start);
        let mut number = *self.object.get_or_insert_with(|| view.object.first_behind(offset));
        // An extent that a page of the process's own cuts in two is looked at again behind that page; several may be hidden by such pages.
        while view.object.get(number).is_some_and(|extent| extent.end() <= offset) {
            number += 1;
        }
        self.object = Some(number);
        let wanted = offset..offset + (end - start);
        let Some(part) = view.object.get(number).and_then(|extent| extent.clipped(&wanted)) else {
            self.at = end;
            return None;
        };
        let address = start + (part.start - offset);
        self.at = address + part.len;
        Some(Extent { start: address, ..part })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{ObjectId, Place};

    fn image(start: u64, len: u64, object: u32, offset: u64) -> Extent {
        Extent { start, len, place: Place::Image(ObjectId(object), offset) }
    }

    /// An object of which offsets 0x1000..0x3000 and 0x5000..0x6000 are stored, seen at two places, with pages of the process's own over it.
    fn stored() -> Stored {
        let object =
            Arc::new(Extents::new(vec![image(0x1000, 0x2000, 1, 0), image(0x5000, 0x1000, 1, 0x2000)]));
        let view = |start: u64, end: u64, from: u64| View { range: start..end, object: object.clone(), from };
        let private = Extents::new(vec![
            image(0x500, 0x100, 0, 0),
            image(0x11800, 0x200, 0, 0x100),
            image(0x20000, 0x1000, 0, 0x300),
        ]);
        Stored::new(private, vec![view(0x10000, 0x18000, 0), view(0x30000, 0x32000, 0x2800)])
    }

    #[test]
    fn own_pages_that_hide_several_parts_of_the_object_hide_no_more() {
        let part = |number: u64| image(number * 0x1000, 0x1000, 1, number * 0x8000);
        let object = Arc::new(Extents::new((0..5).map(part).collect()));
        let private = Extents::new(vec![image(0x11000, 0x3000, 0, 0)]);
        let stored = Stored::new(private, vec![View { range: 0x10000..0x15000, object, from: 0 }]);
        let expected =
            [image(0x10000, 0x1000, 1, 0), image(0x11000, 0x3000, 0, 0), image(0x14000, 0x1000, 1, 0x20000)];
        assert_eq!(stored.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn own_pages_come_first_and_shared_ones_fill_the_holes() {
        let expected = [
            image(0x500, 0x100, 0, 0),
            image(0x11000, 0x800, 1, 0),
            image(0x11800, 0x200, 0, 0x100),
            image(0x11a00, 0x1600, 1, 0xa00),
            image(0x15000, 0x1000, 1, 0x2000),
            image(0x20000, 0x1000, 0, 0x300),
            image(0x30000, 0x800, 1, 0x1800),
        ];
        assert_eq!(stored().iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn any_range_is_the_whole_cut_down() {
        let stored = stored();
        let borders =
            [0, 0x550, 0x11000, 0x11400, 0x11900, 0x12000, 0x15800, 0x18000, 0x30400, 0x31000, u64::MAX];
        for (number, &start) in borders.iter().enumerate() {
            for &end in &borders[number..] {
                let cut: Vec<_> = stored.iter().filter_map(|extent| extent.clipped(&(start..end))).collect();
                assert_eq!(stored.within(start..end).collect::<Vec<_>>(), cut, "{start:#x}..{end:#x}");
            }
        }
    }
}
