//! Memory: for every address of a process where its bytes are.
//!
//! [`Memory`] is made from metadata alone. Reading the bytes is one thing, whatever the evidence is: a [`Question`] says which ranges of which page images it
//! wants, and gets them, from a mapping in any order, or from a stream as they go by ([`Ride`], [`answer`]).

mod backing;
mod extent;
mod filled;
mod holes;
mod packing;
mod pagemaps;
mod parents;
mod question;
mod ride;
mod selection;
mod shared;
mod space;
mod stored;
mod visit;

pub use backing::{Backing, Piece};
pub use extent::{Extent, Extents, Missing, ObjectId, Place};
pub use filled::{FileContents, GivenFile};
pub use packing::{Packing, PlainPages, PlainPart};
pub use parents::ancestry;
pub use question::{Answered, Beside, Question, answer, answer_beside, ridden};
pub use ride::Ride;
pub use selection::Selection;
pub use shared::SharedPages;
pub use space::AddressSpace;
pub use stored::{Stored, StoredExtents};
pub use visit::Want;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::case::{Case, DumpId};
use crate::evidence::{MemberId, MemberKind};
use crate::files::FileSet;
use crate::gap::Findings;
use crate::model::{Files, files_of};
use extent::Lost;
use pagemaps::Pagemaps;

/// The address spaces of one dump.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// One for each process that has a pagemap or mappings, ascending by pid. Left-over images of another dump are among them:
    /// the process tree says who lived.
    pub spaces: Vec<AddressSpace>,
    /// The shared objects, ascending by number; also those that no process maps.
    pub shared: Vec<SharedPages>,
    /// The files behind mappings.
    pub files: Files,
    /// The page images that extents point into.
    pub objects: Vec<Object>,
    /// The dump itself, then its parents, as numbers in the case; empty while a stream still goes by.
    pub ancestry: Vec<DumpId>,
    /// What can't be had, and what is odd.
    pub findings: Findings,
    /// Whether any page is said to be in a parent image.
    pub names_parent: bool,
    /// Where the plain pages of each object end, `None` where its image can't be read. Shorter than the objects where that is not known.
    ends: Vec<Option<u64>>,
}

/// What extents point into: a page image, or a file behind mappings.
#[derive(Clone, Debug)]
pub struct Object {
    /// Whose it is: 0 is the dump itself, 1 its parent, and so on.
    pub ancestor: usize,
    /// Its name: `pages-2.img`, or where the file is from.
    pub image: String,
    /// How its pages are packed, if they are: offsets in it are those of the plain pages.
    pub packing: Option<Arc<Packing>>,
    /// The contents, if it is a file that the case [was given](Case::give_file).
    pub contents: Option<FileContents>,
}

impl Object {
    /// Whether it is the same page image.
    fn is_image(&self, other: &Self) -> bool {
        let key = |object: &Self| (object.ancestor, object.contents.is_some());
        key(self) == key(other) && self.image == other.image && self.packing == other.packing
    }
}

/// One dump of a chain, as its images are read.
#[derive(Clone, Copy)]
pub(crate) struct Ancestor<'a> {
    pub(crate) files: &'a dyn FileSet,
}

impl Memory {
    /// The address spaces of a dump, with its parents among all evidence of the case.
    pub fn of(case: &Case, id: DumpId) -> Self {
        let mut findings = Findings::default();
        let ancestry = ancestry(case, id, &mut findings);
        let files: Vec<_> =
            ancestry.iter().map(|&id| case.dump(id).image_files(case.evidence(id).index())).collect();
        let chain: Vec<_> = files.iter().map(|files| Ancestor { files }).collect();
        let mut memory = Self::assemble(&chain);
        memory.findings.extend(findings);
        let link = parents::parent_link(case, id);
        if memory.names_parent && ancestry.len() == 1 {
            let place = link.as_deref().map_or("no parent link", |link| link);
            memory.findings.gap("the parent dump", place, "not among the given evidence; give it too");
        }
        if !memory.names_parent
            && let Some(link) = link
        {
            let why = "a left-over of an earlier checkpoint: no page of this dump is in a parent";
            memory.findings.note("a stale parent link", "parent", format!("{why} (it points to '{link}')"));
        }
        memory.ancestry = ancestry;
        memory.ends = memory.objects.iter().map(|object| memory.end_of(case, object)).collect();
        holes::mark(case, id, &mut memory);
        memory.fill(case.files_behind_mappings(id));
        memory
    }

    /// The address spaces from the images of a dump and its parents, nearest first.
    pub(crate) fn assemble(chain: &[Ancestor<'_>]) -> Self {
        let mut pagemaps = Pagemaps::new(chain);
        let files = chain.first().map_or_else(Files::default, |dump| files_of(dump.files));
        let (spaces, shared) =
            chain.first().map_or_else(Default::default, |dump| space::all(dump.files, &files, &mut pagemaps));
        let Pagemaps { objects, mut findings, names_parent, .. } = pagemaps;
        findings.settle();
        Self {
            spaces,
            shared,
            files,
            objects,
            ancestry: Vec::new(),
            findings,
            names_parent,
            ends: Vec::new(),
        }
    }

    /// Whether another one has the same bytes at the same addresses in the same images: an answer from one is an answer from the other.
    fn stores_the_same(&self, other: &Self) -> bool {
        let same = |(a, b): (&AddressSpace, &AddressSpace)| a.pid == b.pid && a.stored == b.stored;
        self.objects.len() == other.objects.len()
            && self.objects.iter().zip(&other.objects).all(|(a, b)| a.is_image(b))
            && self.spaces.len() == other.spaces.len()
            && self.spaces.iter().zip(&other.spaces).all(same)
            && self.shared.len() == other.shared.len()
            && self.shared.iter().zip(&other.shared).all(|(a, b)| a.id == b.id && a.pages == b.pages)
    }

    /// Where a page image is: the dump that has it, and the member. `None` when it is not there.
    fn page_image(&self, case: &Case, object: &Object) -> Option<(DumpId, MemberId)> {
        let owner = *self.ancestry.get(object.ancestor).filter(|_| object.contents.is_none())?;
        let files = case.dump(owner).image_files(case.evidence(owner).index());
        Some((owner, files.member(object.image.as_bytes())?))
    }

    /// Where the plain pages of an object end, as far as its image is there.
    fn end_of(&self, case: &Case, object: &Object) -> Option<u64> {
        let (owner, member) = self.page_image(case, object)?;
        let member = case.evidence(owner).index().member(member);
        if !matches!(member.kind, MemberKind::File | MemberKind::HardLink) || !member.can_be_read() {
            return None;
        }
        let len = member.body.at_hand().map_or(member.size, |bytes| bytes.len().min(member.size));
        Some(object.packing.as_ref().map_or(len, |packing| packing.end(len)))
    }

    /// How many bytes of a page image are there, of `len` from an offset on, and what the others are. What only goes by may still end before what its header says.
    pub fn present(&self, object: ObjectId, offset: u64, len: u64) -> (u64, Missing) {
        match self.ends.get(object.0 as usize) {
            None => (len, Missing::CutShort),
            Some(None) => (0, Missing::NoPageImage),
            Some(Some(end)) => (end.saturating_sub(offset).min(len), Missing::CutShort),
        }
    }

    /// How many bytes that pagemaps place in page images are not in these, by reason, of those that a space sees.
    pub fn short_of(&self, space: &AddressSpace) -> BTreeMap<Missing, u64> {
        let mut short = BTreeMap::new();
        for extent in &space.stored {
            let Place::Image(object, offset) = extent.place else { continue };
            let (there, why) = self.present(object, offset, extent.len);
            if there < extent.len {
                let bytes: &mut u64 = short.entry(why).or_default();
                *bytes = bytes.saturating_add(extent.len - there);
            }
        }
        short
    }

    /// How a page image is packed, if it is one of the packed ones.
    fn packing(&self, id: Option<ObjectId>) -> Option<&Packing> {
        self.objects.get(id?.0 as usize)?.packing.as_deref()
    }

    /// Marks lost bytes as such that can't be had; returns the page images of which there were some.
    fn mark(&mut self, lost: &Lost, why: Missing) -> BTreeSet<ObjectId> {
        let (mut marked, mut touched) = (stored::Marked::new(), BTreeSet::new());
        for space in &mut self.spaces {
            space.stored.mark(lost, why, &mut marked, &mut touched);
        }
        for shared in &mut self.shared {
            shared.pages = stored::marked(&shared.pages, lost, why, &mut marked, &mut touched);
        }
        touched
    }

    /// The address space of a process.
    pub fn space(&self, pid: crate::ids::Pid) -> Option<&AddressSpace> {
        let found = self.spaces.binary_search_by_key(&pid, |space| space.pid);
        found.ok().map(|number| &self.spaces[number])
    }

    /// A page image.
    pub fn object(&self, id: ObjectId) -> &Object {
        &self.objects[id.0 as usize]
    }
}
