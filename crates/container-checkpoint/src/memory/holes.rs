//! Holes in page images.
//!
//! A dump may take the place of pages of its parent (`criu dump --auto-dedup`, `criu dedup`): these are punched out of the parent's page image, whose pagemap
//! and size stay. Who copies an image may leave holes where there are zeros. Nothing tells one from the other, so that a page that is a hole is not known.

use std::ops::Range;

use super::extent::Lost;
use super::{Memory, Missing, Object, ObjectId};
use crate::case::{Case, DumpId};
use crate::gap::Findings;

/// Holes are punched in whole pages; a smaller one is zeros that a copy did not store.
const PAGE_MIN: u64 = 4096;

/// Marks pages that lie in holes of their images as such that can't be had.
pub(super) fn mark(case: &Case, id: DumpId, memory: &mut Memory) {
    let holes: Lost = (0..)
        .map(ObjectId)
        .zip(&memory.objects)
        .filter_map(|(id, object)| Some((id, holes_of(case, memory, object)?)))
        .collect();
    if holes.is_empty() {
        return;
    }
    // What a younger dump took over is left out by rule, if that one is there.
    let is_superseded = has_younger(case, id);
    for object in memory.mark(&holes, Missing::Hole) {
        let holes = &holes[&object];
        let bytes: u64 = holes.iter().map(|hole| hole.end - hole.start).sum();
        let place = format!("{}, from byte {}", memory.object(object).image, holes[0].start);
        let why = format!("{bytes} bytes of it are {}", Missing::Hole.why());
        if is_superseded {
            memory.findings.note("stored pages", place, format!("{why}; such a dump was given"));
        } else {
            memory.findings.gap("stored pages", place, why);
        }
    }
}

/// The whole pages that are holes in a page image, if there are some, by their offset among the plain pages.
fn holes_of(case: &Case, memory: &Memory, object: &Object) -> Option<Vec<Range<u64>>> {
    let (owner, member) = memory.page_image(case, object)?;
    let member = case.evidence(owner).index().member(member);
    // Nobody reads an image that is nearly all holes.
    if member.holes == 0 || !member.can_be_read() {
        return None;
    }
    let mut holes: Vec<_> = member.hole_ranges().into_iter().filter_map(pages).collect();
    if let Some(packing) = &object.packing {
        holes = packing.lost_in(&holes);
    }
    (!holes.is_empty()).then_some(holes)
}

/// The whole pages of a hole.
fn pages(hole: Range<u64>) -> Option<Range<u64>> {
    let pages = hole.start.checked_next_multiple_of(PAGE_MIN)?..hole.end / PAGE_MIN * PAGE_MIN;
    (!pages.is_empty()).then_some(pages)
}

/// Whether a dump of the case has this one as its parent.
fn has_younger(case: &Case, id: DumpId) -> bool {
    case.all_dumps().any(|other| {
        other != id && super::parents::parent_of(case, other, &mut Findings::default()) == Some(id)
    })
}
