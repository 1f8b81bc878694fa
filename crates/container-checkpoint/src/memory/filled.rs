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
    /// How long it is, in bytes.
    pub len: u64,
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
            let contents = Some(FileContents { file: *file, len, bytes });
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

/// The pages in which something is stored, ascending. A sparse file may be larger than anybody would wait for: of others it is known that they are zero.
fn pages(bytes: &Bytes, page: u64) -> Vec<Range<u64>> {
    let mut pages: Vec<Range<u64>> = Vec::new();
    for part in bytes.stored_within(0..bytes.len()) {
        let part = part.start / page * page..part.end.div_ceil(page).saturating_mul(page).min(bytes.len());
        match pages.last_mut() {
            Some(last) if last.end >= part.start => last.end = last.end.max(part.end),
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
