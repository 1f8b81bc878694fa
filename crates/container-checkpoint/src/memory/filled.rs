//! Files behind mappings as places of bytes: a page of a file that nobody wrote to is in no image, and reads as the file does.
//!
//! Who has such a file (a ghost file, a changed one, one of a [root](crate::root_files)) and has made sure that it is the one that was mapped [gives](crate::case::Case::give_file) it to the case; from then on its bytes are
//! stored bytes of all who map it, and questions see them as they see those of page images.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::extent::{Extent, Extents, Place};
use super::stored::View;
use super::{AddressSpace, Memory, Object, ObjectId};
use crate::evidence::Bytes;
use crate::ids::FileId;
use crate::model::{Mapping, MappingKind};

/// A file behind mappings of a dump's processes.
#[derive(Clone, Debug)]
pub struct GivenFile {
    /// Which file of the dump's table.
    pub file: FileId,
    /// What messages and answers call its contents.
    pub name: String,
    /// All of its contents.
    pub bytes: Bytes,
}

/// What of a file can be seen through mappings.
#[derive(Clone, Debug)]
pub struct FileContents {
    /// Which file.
    pub file: FileId,
    /// Its bytes, and zeros behind them up to the end of a page, as the kernel shows them.
    pub bytes: Bytes,
}

impl Memory {
    /// Puts files behind the mappings that show them: what of these is not stored otherwise is in the file, as far as that reaches.
    pub(super) fn fill(&mut self, given: &[GivenFile]) {
        // All tasks of a machine have one page size.
        let Some(page) = self.spaces.iter().find_map(|space| space.page_size) else { return };
        let mut shown: BTreeMap<FileId, Arc<Extents>> = BTreeMap::new();
        let mut zeros: BTreeMap<FileId, Vec<Range<u64>>> = BTreeMap::new();
        for GivenFile { file, name, bytes: contents } in given {
            let Ok(number) = u32::try_from(self.objects.len()) else { break };
            let len = contents.len();
            let mut bytes = contents.clone();
            bytes.push_hole(len.checked_next_multiple_of(page).map_or(0, |end| end - len));
            let place = |start: u64| Place::Image(ObjectId(number), start);
            let extent = |part: Range<u64>| Extent {
                start: part.start,
                len: part.end - part.start,
                place: place(part.start),
            };
            let stored = Extents::new(pages(&bytes, page).into_iter().map(extent).collect());
            zeros.insert(*file, stored.holes(0..bytes.len()));
            shown.insert(*file, Arc::new(stored));
            self.ends.push(Some(bytes.len()));
            let contents = Some(FileContents { file: *file, bytes });
            self.objects.push(Object { ancestor: 0, image: name.clone(), packing: None, contents });
        }
        zeros.retain(|_, zeros| !zeros.is_empty());
        let zeros = Arc::new(zeros);
        for space in &mut self.spaces {
            space.zeros_of_files = zeros.clone();
            let mappings = space.map.iter().flat_map(|map| &map.mappings);
            let views: Vec<View> = mappings.flat_map(|mapping| views(space, mapping, &shown)).collect();
            space.stored.show(views);
        }
    }

    /// The object that a given file is.
    pub fn given(&self, file: FileId) -> Option<ObjectId> {
        let is_it = |object: &Object| object.contents.as_ref().is_some_and(|contents| contents.file == file);
        (0..).map(ObjectId).zip(&self.objects).find_map(|(id, object)| is_it(object).then_some(id))
    }
}

/// Holes smaller than this are read with what is around them, in bytes.
const HOLE_MIN: u64 = 1 << 20;
/// So many holes are told apart: each is one in every mapping of the file.
const HOLES_MAX: usize = 1024;

/// The pages that have to be read, ascending. A sparse file may be larger than anybody would wait for: of its largest holes it is known that they are zero.
fn pages(bytes: &Bytes, page: u64) -> Vec<Range<u64>> {
    let around = |part: Range<u64>| {
        let end = part.end.checked_next_multiple_of(page).unwrap_or(u64::MAX);
        part.start / page * page..end.min(bytes.len())
    };
    let stored: Vec<Range<u64>> = bytes.stored_within(0..bytes.len()).into_iter().map(around).collect();
    let mut holes: Vec<u64> =
        stored.windows(2).map(|pair| pair[1].start.saturating_sub(pair[0].end)).collect();
    holes.sort_unstable_by(|a, b| b.cmp(a));
    let least = holes.get(HOLES_MAX).map_or(HOLE_MIN, |size| HOLE_MIN.max(size + 1));
    let mut pages: Vec<Range<u64>> = Vec::new();
    for part in stored {
        match pages.last_mut() {
            Some(last) if part.start < last.end.saturating_add(least) => last.end = last.end.max(part.end),
            _ => pages.push(part),
        }
    }
    pages
}

/// What a mapping shows of a file, if it is one that a kernel can have made.
fn views(space: &AddressSpace, mapping: &Mapping, shown: &BTreeMap<FileId, Arc<Extents>>) -> Vec<View> {
    let is_of_file = matches!(mapping.kind, MappingKind::FilePrivate | MappingKind::FileShared);
    let object = mapping.file.filter(|_| is_of_file).and_then(|file| shown.get(&file));
    let (Some(object), Some(_)) = (object, mapping.offset.checked_add(mapping.len())) else {
        return Vec::new();
    };
    let view = |range: Range<u64>| {
        let from = mapping.offset + (range.start - mapping.start.0);
        View { range, object: object.clone(), from }
    };
    space.sees_file(mapping).into_iter().map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse(parts: impl IntoIterator<Item = (u64, u64)>) -> Bytes {
        let source: Arc<dyn crate::evidence::ReadAt> = Arc::new(vec![b'x'; 10_000]);
        let mut bytes = Bytes::default();
        for (hole, len) in parts {
            bytes.push_hole(hole);
            bytes.append(Bytes::new(source.clone()).slice(0..len));
        }
        bytes
    }

    #[test]
    fn large_holes_are_left_out_page_by_page() {
        const MIB: u64 = 1 << 20;
        assert_eq!(pages(&sparse([(0, 10_000)]), 4096), [0..10_000; 1]);
        assert_eq!(pages(&sparse([(5000, 1), (MIB, 1)]), 4096), [4096..5002 + MIB; 1]);
        let far = sparse([(5000, 1), (2 * MIB, 1), (MIB, 0), (3 * MIB, 0)]);
        let second = 5001 + 2 * MIB;
        assert_eq!(pages(&far, 4096), [4096..8192, second / 4096 * 4096..second.next_multiple_of(4096)]);
        assert_eq!(pages(&sparse([(MIB, 0)]), 4096), []);
        assert_eq!(pages(&Bytes::default(), 4096), []);
        let last = u64::MAX - 2;
        assert_eq!(pages(&sparse([(last, 1)]), 4096), [last / 4096 * 4096..last + 1; 1]);
    }

    #[test]
    fn of_many_holes_the_largest_are_left_out() {
        let parts = (0..5000).map(|number| ((2 << 20) + if number % 5 == 1 { 8 << 20 } else { 0 }, 1));
        let bytes = sparse(parts);
        let pages = pages(&bytes, 4096);
        assert_eq!(pages.len(), 1001);
        let read: u64 = pages.iter().map(|part| part.end - part.start).sum();
        assert!(read < 4 * 1001 * (3 << 20), "{read} of {}", bytes.len());
    }
}
