//! Where the bytes of a stretch of addresses are stored.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A page image, or a file behind mappings, in one [`Memory`](super::Memory): its number in [`Memory::objects`](super::Memory::objects).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u32);

/// A stretch of addresses whose bytes are in the images, or should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First address (in a shared object: first offset), in bytes.
    pub start: u64,
    /// Length in bytes; never 0.
    pub len: u64,
    /// Where its bytes are.
    pub place: Place,
}

/// Where bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a page image, at an offset in bytes; of a packed image, among its plain pages. Or in a file that the case [was given](crate::case::Case::give_file).
    Image(ObjectId, u64),
    /// The evidence says that there are bytes, and they can't be had.
    Missing(Missing),
}

/// Why bytes that the evidence names can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// In a parent image that is not among the given evidence.
    ParentNotGiven,
    /// The pagemap says parent, and the parent's pagemap does not have the page.
    NotInParent,
    /// `PE_LAZY` alone: a page of a `--lazy-pages` dump that never came into an image.
    Lazy,
    /// Neither present nor in a parent nor lazy.
    NoFlags,
    /// In a block of a packed page image (CRIU 4.3's `--compress`) that can't be unpacked.
    BrokenBlock,
    /// In a hole of a sparse page image: zeros that a copy did not store, or pages that were punched out because a younger dump has newer ones.
    Hole,
    /// Behind an entry of the pagemap that can't be true, so that their place in the page image is unknown.
    BehindDamage,
    /// The page image named by the pagemap is not in the evidence.
    NoPageImage,
    /// The page image ends before them.
    CutShort,
}

impl Missing {
    /// The reason in words.
    pub fn why(self) -> &'static str {
        match self {
            Self::ParentNotGiven => "in the parent dump, which was not given",
            Self::NotInParent => "said to be in the parent dump, whose pagemap does not have them",
            Self::Lazy => "left for lazy restore; they never came into an image",
            Self::NoFlags => "neither present nor in a parent by their flags",
            Self::BrokenBlock => "in packed blocks that can't be unpacked",
            Self::Hole => "holes in the page image: zeros, or pages punched out for a younger dump",
            Self::BehindDamage => "behind an entry of the pagemap that can't be true",
            Self::NoPageImage => "in a page image that is not in the evidence, or nearly all holes",
            Self::CutShort => "behind the end of the page image",
        }
    }
}

impl Extent {
    /// The first address behind it.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// The part of it that lies in a range.
    pub fn clipped(&self, range: &Range<u64>) -> Option<Self> {
        let (start, end) = (self.start.max(range.start), self.end().min(range.end));
        let place = match self.place {
            Place::Image(object, offset) => {
                Place::Image(object, offset.saturating_add(start.saturating_sub(self.start)))
            }
            missing @ Place::Missing(_) => missing,
        };
        (start < end).then(|| Self { start, len: end - start, place })
    }

    /// Whether another extent goes on where this one ends, in addresses and in the image.
    fn is_continued_by(&self, next: &Self) -> bool {
        self.end() == next.start
            && match (self.place, next.place) {
                (Place::Image(object, offset), Place::Image(other, at)) => {
                    object == other && offset.checked_add(self.len) == Some(at)
                }
                (Place::Missing(why), Place::Missing(other)) => why == other,
                _ => false,
            }
    }
}

/// Bytes of page images that can't be had after all: ascending ranges of offsets that don't touch.
pub(super) type Lost = BTreeMap<ObjectId, Vec<Range<u64>>>;

/// Ascending extents that don't overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extents(Vec<Extent>);

impl Extents {
    /// Sorts extents, joins what goes on, and cuts away what a lower one covers already.
    pub fn new(mut extents: Vec<Extent>) -> Self {
        extents.sort_by_key(|extent| extent.start);
        let mut sorted = Self::default();
        for extent in extents {
            let free_from = sorted.0.last().map_or(0, Extent::end);
            if let Some(extent) = extent.clipped(&(free_from..u64::MAX)) {
                sorted.push(extent);
            }
        }
        sorted
    }

    fn push(&mut self, extent: Extent) {
        match self.0.last_mut() {
            Some(last) if last.is_continued_by(&extent) => last.len += extent.len,
            _ => self.0.push(extent),
        }
    }

    /// Marks lost bytes as such that can't be had, for a reason; `touched` gets the images of which there were some.
    pub(super) fn mark(&mut self, lost: &Lost, why: Missing, touched: &mut BTreeSet<ObjectId>) {
        let mut marked = Vec::new();
        for extent in std::mem::take(&mut self.0) {
            let Place::Image(object, offset) = extent.place else {
                marked.push(extent);
                continue;
            };
            let end = offset + extent.len;
            let ranges = lost.get(&object).map_or(&[][..], Vec::as_slice);
            let first = ranges.partition_point(|range| range.end <= offset);
            let mut from = extent.start;
            for range in ranges[first..].iter().take_while(|range| range.start < end) {
                let address = |at: u64| extent.start + (at.clamp(offset, end) - offset);
                let hole = address(range.start)..address(range.end);
                marked.extend(extent.clipped(&(from..hole.start)));
                let place = Place::Missing(why);
                marked.push(Extent { start: hole.start, len: hole.end - hole.start, place });
                from = hole.end;
                touched.insert(object);
            }
            marked.extend(extent.clipped(&(from..extent.end())));
        }
        self.0 = marked;
    }

    /// All of them, ascending.
    pub fn iter(&self) -> std::slice::Iter<'_, Extent> {
        self.0.iter()
    }

    /// Whether some bytes can't be had.
    pub(super) fn has_missing(&self) -> bool {
        self.0.iter().any(|extent| matches!(extent.place, Place::Missing(_)))
    }

    /// The extent of this number.
    pub(super) fn get(&self, number: usize) -> Option<&Extent> {
        self.0.get(number)
    }

    /// The number of the first extent that ends behind a place.
    pub(super) fn first_behind(&self, place: u64) -> usize {
        self.0.partition_point(|extent| extent.end() <= place)
    }

    /// The parts that lie in a range, ascending.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Extent> + '_ {
        let first = self.first_behind(range.start);
        self.0[first..].iter().map_while(move |extent| extent.clipped(&range))
    }

    /// The stretches of a range that no extent covers.
    pub fn holes(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut holes = Vec::new();
        let mut at = range.start;
        for extent in self.within(range.clone()) {
            if at < extent.start {
                holes.push(at..extent.start);
            }
            at = extent.end();
        }
        if at < range.end {
            holes.push(at..range.end);
        }
        holes
    }
}

impl<'a> IntoIterator for &'a Extents {
    type Item = &'a Extent;
    type IntoIter = std::slice::Iter<'a, Extent>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(start: u64, len: u64, offset: u64) -> Extent {
        Extent { start, len, place: Place::Image(ObjectId(0), offset) }
    }

    #[test]
    fn neighbours_are_joined_only_when_the_image_goes_on_too() {
        let extents = Extents::new(vec![
            image(0x3000, 0x1000, 0x2000),
            image(0x1000, 0x1000, 0),
            image(0x2000, 0x1000, 0x1000),
            image(0x4000, 0x1000, 0x9000),
        ]);
        assert_eq!(extents.0, [image(0x1000, 0x3000, 0), image(0x4000, 0x1000, 0x9000)]);
    }

    #[test]
    fn overlapping_entries_of_a_hostile_pagemap_do_not_count_twice() {
        let extents = Extents::new(vec![
            image(0x1000, 0x2000, 0),
            image(0x2000, 0x2000, 0x7000),
            image(u64::MAX - 10, 100, 0),
        ]);
        assert_eq!(extents.0[..2], [image(0x1000, 0x2000, 0), image(0x3000, 0x1000, 0x8000)]);
        assert_eq!(extents.0[2].end(), u64::MAX);
    }

    #[test]
    fn what_is_broken_is_cut_out() {
        let mut extents = Extents::new(vec![image(0x2000, 0x3000, 0x1000), image(0x8000, 0x1000, 0x4000)]);
        let mut touched = BTreeSet::new();
        let elsewhere = Lost::from([(ObjectId(1), vec![0..0x1000, 0x2000..0x9000])]);
        extents.mark(&elsewhere, Missing::Hole, &mut touched);
        assert_eq!((extents.0.len(), touched.len()), (2, 0), "another image");
        let here = Lost::from([(ObjectId(0), vec![0..0x800, 0x2000..0x3000, 0x3800..0x4800])]);
        extents.mark(&here, Missing::BrokenBlock, &mut touched);
        assert_eq!(touched, BTreeSet::from([ObjectId(0)]));
        let lost = |start, len| Extent { start, len, place: Place::Missing(Missing::BrokenBlock) };
        let expected = [
            image(0x2000, 0x1000, 0x1000),
            lost(0x3000, 0x1000),
            image(0x4000, 0x800, 0x3000),
            lost(0x4800, 0x800),
            lost(0x8000, 0x800),
            image(0x8800, 0x800, 0x4800),
        ];
        assert_eq!(extents.0, expected);
    }

    #[test]
    fn holes_are_what_no_extent_covers() {
        let extents = Extents::new(vec![image(0x2000, 0x1000, 0), image(0x4000, 0x1000, 0x5000)]);
        assert_eq!(extents.holes(0x1000..0x6000), [0x1000..0x2000, 0x3000..0x4000, 0x5000..0x6000]);
        assert_eq!(extents.holes(0x2800..0x2900), []);
        assert_eq!(
            extents.within(0x2800..0x4100).collect::<Vec<_>>(),
            [image(0x2800, 0x800, 0x800), image(0x4000, 0x100, 0x5000)]
        );
    }
}
