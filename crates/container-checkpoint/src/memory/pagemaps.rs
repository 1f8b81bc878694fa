//! From pagemap images to extents, through any depth of parents.

use std::collections::HashMap;
use std::sync::Arc;

use criu_images::pagemap::{Pagemap, Run};

use super::extent::{Extent, Extents, Missing, ObjectId, Place};
use super::packing::{Packing, Sound};
use super::{Ancestor, Object};
use crate::files::FileSet;
use crate::gap::Findings;

/// What is read while the address spaces of one dump are put together.
pub(super) struct Pagemaps<'a> {
    /// The dump itself, then its parent, the parent's parent ...
    pub(super) chain: &'a [Ancestor<'a>],
    pub(super) objects: Vec<Object>,
    /// The same by ancestor and name.
    pub(super) numbers: HashMap<(usize, String), ObjectId>,
    pub(super) findings: Findings,
    /// Whether any page is said to be in a parent.
    pub(super) names_parent: bool,
}

impl<'a> Pagemaps<'a> {
    pub(super) fn new(chain: &'a [Ancestor<'a>]) -> Self {
        Self {
            chain,
            objects: Vec::new(),
            numbers: HashMap::new(),
            findings: Findings::default(),
            names_parent: false,
        }
    }

    /// The stored pages of a pagemap image by name. `None` when it can't be read at all (then there is a gap) or is not there.
    pub(super) fn extents(&mut self, name: &str, page_size: u64) -> Option<Extents> {
        let mut levels = Vec::new();
        for depth in 0..self.chain.len() {
            let Some(level) = self.level(depth, name, page_size) else { break };
            // Overlaps are cut before parents are looked at: a hostile pagemap must not ask for the same pages again and again.
            let level = Extents::new(level);
            let more = level.iter().any(|extent| extent.place == Place::Missing(Missing::ParentNotGiven));
            levels.push((level, more));
            if !more {
                break;
            }
            self.names_parent = true;
        }
        // From the oldest to the newest: each level's parent pages are what the level below has at these addresses.
        let chain_ends = levels.len() == self.chain.len();
        let mut below: Option<Extents> = None;
        while let Some((level, names_parent)) = levels.pop() {
            if !names_parent {
                below = Some(level);
                continue;
            }
            let resolved =
                level.iter().flat_map(|extent| resolve(*extent, below.as_ref(), chain_ends)).collect();
            below = Some(Extents::new(resolved));
        }
        below
    }

    /// One pagemap image of one dump, parent pages marked as not given.
    fn level(&mut self, depth: usize, name: &str, page_size: u64) -> Option<Vec<Extent>> {
        let files = self.chain[depth].files;
        if !files.has(name) {
            return None;
        }
        let Some(bytes) = files.file(name) else {
            self.findings.gap("stored pages", name, "the pagemap could not be kept or read");
            return None;
        };
        let pagemap = match Pagemap::parse(&bytes) {
            Ok(pagemap) => pagemap,
            Err(error) => {
                self.findings.gap("stored pages", name, error);
                return None;
            }
        };
        if let Some(damage) = &pagemap.damage {
            self.findings.gap("stored pages behind the damage", name, damage);
        }
        let packing = Packing::of(&pagemap, page_size);
        let sound = packing.as_ref().map_or(Sound { run: usize::MAX, bytes: 0 }, |packing| {
            let (sound, fault) = packing.sound();
            if let Some(fault) = fault {
                self.findings.gap("stored pages", name, format!("{fault}; what follows can't be placed"));
            }
            sound
        });
        let image = format!("pages-{}.img", pagemap.pages_id);
        let Some(object) = self.object(depth, &image, packing) else {
            let why = format!("another pagemap says something else of how {image} is packed");
            self.findings.gap("stored pages", name, why);
            return None;
        };
        let mut next = Ok(0u64);
        let mut impossible = None;
        let mut extents = Vec::with_capacity(pagemap.runs.len());
        for (entry, run) in pagemap.runs.iter().enumerate() {
            let len = run.pages.checked_mul(page_size).filter(|len| run.vaddr.checked_add(*len).is_some());
            let (Some(len), 0) = (len, run.vaddr % page_size) else {
                impossible.get_or_insert((entry + 1, run));
                // What stands behind it in the page image can't be found any more.
                next = Err(Missing::BehindDamage);
                continue;
            };
            // Of the run at which a packed image can't be followed further, the first blocks may be there.
            let whole = if entry == sound.run { sound.bytes.min(len) } else { len };
            if entry > sound.run {
                next = Err(Missing::BehindDamage);
            }
            if whole > 0 {
                let place = place(run, object, &mut next, whole);
                extents.push(Extent { start: run.vaddr, len: whole, place });
            }
            if whole < len {
                next = Err(Missing::BehindDamage);
                let place = place(run, object, &mut next, len - whole);
                extents.push(Extent { start: run.vaddr + whole, len: len - whole, place });
            }
        }
        if let Some((entry, run)) = impossible {
            let why = format!(
                "{} pages at {:#x}: no address space has such, and what follows can't be placed",
                run.pages, run.vaddr
            );
            self.findings.gap("stored pages", format!("{name}, entry {entry}"), why);
        }
        Some(extents)
    }

    /// The number of a page image. `None` when another pagemap says something else of how it is packed: one of them lies.
    fn object(&mut self, ancestor: usize, image: &str, packing: Option<Packing>) -> Option<ObjectId> {
        let key = (ancestor, image.to_owned());
        if let Some(&id) = self.numbers.get(&key) {
            return (self.objects[id.0 as usize].packing.as_deref() == packing.as_ref()).then_some(id);
        }
        let id = ObjectId(u32::try_from(self.objects.len()).ok()?);
        let (image, packing) = (image.to_owned(), packing.map(Arc::new));
        self.objects.push(Object { ancestor, image, packing, contents: None });
        self.numbers.insert(key, id);
        Some(id)
    }
}

/// Where a run's bytes are. `next` is where the next stored run begins in the page image, or why that is unknown.
fn place(run: &Run, object: ObjectId, next: &mut Result<u64, Missing>, len: u64) -> Place {
    if run.in_parent() {
        return Place::Missing(Missing::ParentNotGiven);
    }
    if !run.is_present() {
        return Place::Missing(if run.is_lazy() { Missing::Lazy } else { Missing::NoFlags });
    }
    match *next {
        Err(why) => Place::Missing(why),
        Ok(at) => match at.checked_add(len) {
            Some(end) => {
                *next = Ok(end);
                Place::Image(object, at)
            }
            None => {
                *next = Err(Missing::BehindDamage);
                Place::Missing(Missing::BehindDamage)
            }
        },
    }
}

fn resolve(extent: Extent, below: Option<&Extents>, chain_ends: bool) -> Vec<Extent> {
    if extent.place != Place::Missing(Missing::ParentNotGiven) {
        return vec![extent];
    }
    let why = if below.is_none() && chain_ends { Missing::ParentNotGiven } else { Missing::NotInParent };
    let Some(below) = below else { return vec![Extent { place: Place::Missing(why), ..extent }] };
    let range = extent.start..extent.end();
    let missing = |hole: std::ops::Range<u64>| Extent {
        start: hole.start,
        len: hole.end - hole.start,
        place: Place::Missing(why),
    };
    below.within(range.clone()).chain(below.holes(range).into_iter().map(missing)).collect()
}

/// The page size that a pre-dump's pagemap and page image agree on: pre-dumps hold no `mm` image that says it.
pub(super) fn page_size_by_sizes(files: &dyn FileSet) -> Option<u64> {
    let fits = |name: &String| {
        let pagemap = Pagemap::parse(&files.file(name)?).ok()?;
        let size = files.size(&format!("pages-{}.img", pagemap.pages_id))?;
        [4096, 16384, 65536].into_iter().find(|page_size| {
            let mut pieces = pagemap.pieces(*page_size);
            size > 0 && pieces.by_ref().all(|piece| piece.is_ok()) && pieces.offset() == size
        })
    };
    files.names().iter().filter(|name| name.starts_with("pagemap-")).find_map(fits)
}
