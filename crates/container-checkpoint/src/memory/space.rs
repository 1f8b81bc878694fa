//! One process's address space: its mappings, and where the bytes behind them are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::backing::Doubts;
use super::extent::{Extents, Place};
use super::pagemaps::{Pagemaps, page_size_by_sizes};
use super::stored::{Stored, View};
use crate::files::FileSet;
use crate::gap::{Field, Findings};
use crate::ids::{FileId, Pid, VirtualAddress};
use crate::model::{AddressMap, Files, Mapping, MappingKind, SharedObjectId, address_map};

/// One process's address space.
#[derive(Clone, Debug)]
pub struct AddressSpace {
    /// Whose it is.
    pub pid: Pid,
    /// Bytes a page (`AT_PAGESZ` of its auxiliary vector); `None` when the images don't say.
    pub page_size: Option<u64>,
    /// Its mappings and marks; absent in pre-dumps.
    pub map: Option<AddressMap>,
    /// What is stored of it, in this dump, its parents and shared objects.
    pub stored: Stored,
    /// Where what is not stored is not known to be zero.
    pub(super) doubts: Doubts,
    /// Of given files: where they are zero because nothing is stored there. Offsets, ascending.
    pub(super) zeros_of_files: Arc<BTreeMap<FileId, Vec<Range<u64>>>>,
}

impl AddressSpace {
    /// The mapping at an address.
    pub fn mapping_at(&self, address: VirtualAddress) -> Option<&Mapping> {
        self.map.as_ref()?.mapping_at(address)
    }
}

/// All address spaces of a dump, ascending by pid, and the shared objects, ascending by number: those that some process maps, and those that none does.
pub(super) fn all(
    files: &dyn FileSet,
    table: &Files,
    pagemaps: &mut Pagemaps<'_>,
) -> (Vec<AddressSpace>, Vec<super::SharedPages>) {
    let maps: BTreeMap<Pid, Option<AddressMap>> = pids(files)
        .into_iter()
        .map(|pid| {
            let map = files.has(&format!("mm-{pid}.img")).then(|| address_map(files, pid, table));
            (pid, map.and_then(|map| if let Field::Known(map) = map { Some(map) } else { None }))
        })
        .collect();
    // All tasks of a machine have one page size; a pre-dump, which has no mm images, shows it by its sizes.
    let common = maps.values().flatten().find_map(page_size).or_else(|| page_size_by_sizes(files));
    let mut shared = SharedObjects::default();
    let spaces =
        maps.into_iter().map(|(pid, map)| space(pid, map, common, table, &mut shared, pagemaps)).collect();
    (spaces, shared.with_unmapped(files, common, pagemaps))
}

fn space(
    pid: Pid,
    map: Option<AddressMap>,
    common_page_size: Option<u64>,
    table: &Files,
    shared: &mut SharedObjects,
    pagemaps: &mut Pagemaps<'_>,
) -> AddressSpace {
    let page_size = map.as_ref().and_then(page_size).or(common_page_size);
    let mut doubts = Doubts::of(map.as_ref());
    let Some(size) = page_size else {
        pagemaps.findings.gap(
            format!("memory of process {pid}"),
            format!("pagemap-{pid}.img"),
            "nothing says how large a page is",
        );
        doubts.private = true;
        return AddressSpace {
            pid,
            page_size,
            map,
            stored: Stored::default(),
            doubts,
            zeros_of_files: Arc::default(),
        };
    };
    let gaps_before = pagemaps.findings.gaps.len();
    let name = format!("pagemap-{pid}.img");
    let private = pagemaps.extents(&name, size);
    if private.is_none() && map.is_some() {
        pagemaps.findings.gap(
            format!("memory of process {pid}"),
            &name,
            "the dump has no such image, or it can't be read",
        );
    }
    let private = private.unwrap_or_default();
    doubts.private = gaps_before < pagemaps.findings.gaps.len();
    let mut misses = private.has_missing();
    let mut views = Vec::new();
    for mapping in map.iter().flat_map(|map| &map.mappings).filter(|mapping| is_shared(mapping, table)) {
        // No kernel makes a mapping that reaches behind the largest offset.
        let within_offsets = mapping.offset.checked_add(mapping.len()).is_some();
        let object = table.shared_object(mapping).filter(|_| within_offsets);
        if object.is_none() {
            let why = "its mapping does not say which shared object it shows";
            pagemaps.findings.gap(
                format!("memory of process {pid}"),
                format!("mm-{pid}.img, mapping at {}", mapping.start),
                why,
            );
        }
        let object = object.map(|object| shared.get(object.0, size, pagemaps));
        if !object.is_some_and(|object| object.is_whole) {
            doubts.shared.push(mapping.start.0);
        }
        if let Some(SharedObject { extents: Some(extents), has_missing, .. }) = object {
            let range = mapping.start.0..mapping.end.0;
            views.push(View { range, object: extents.clone(), from: mapping.offset });
            misses |= has_missing;
        }
    }
    let stored = Stored::new(private, views);
    if misses {
        report_missing(pid, &stored, pagemaps);
    }
    AddressSpace { pid, page_size, map, stored, doubts, zeros_of_files: Arc::default() }
}

/// Whether a mapping shows a shared object, or should.
fn is_shared(mapping: &Mapping, table: &Files) -> bool {
    let by_kind =
        matches!(mapping.kind, MappingKind::AnonymousShared | MappingKind::Memfd | MappingKind::SysV);
    by_kind || table.shared_object(mapping).is_some()
}

/// A gap for each reason why stored pages of a process can't be had.
fn report_missing(pid: Pid, stored: &Stored, pagemaps: &mut Pagemaps<'_>) {
    let mut by_reason: BTreeMap<super::Missing, (u64, u64)> = BTreeMap::new();
    for extent in stored {
        if let Place::Missing(why) = extent.place {
            let (bytes, _) = by_reason.entry(why).or_insert((0, extent.start));
            *bytes += extent.len;
        }
    }
    for (why, (bytes, first)) in by_reason {
        let (what, place) =
            (format!("memory of process {pid}"), format!("pagemap-{pid}.img, from address {first:#x}"));
        let why_not = format!("{bytes} bytes are {}", why.why());
        // Lazy pages are left out by rule: the dump is as CRIU wanted it.
        if why == super::Missing::Lazy {
            pagemaps.findings.note(what, place, why_not);
        } else {
            pagemaps.findings.gap(what, place, why_not);
        }
    }
}

/// The shared objects of a dump, read once.
#[derive(Default)]
struct SharedObjects(BTreeMap<u64, SharedObject>);

/// The stored pages of a shared object.
struct SharedObject {
    /// `None` when its pagemap is not there or can't be read.
    extents: Option<Arc<Extents>>,
    /// Whether all of its pagemap could be read, and those of its parents.
    is_whole: bool,
    /// Whether some of its pages can't be had.
    has_missing: bool,
}

impl SharedObjects {
    fn get(&mut self, id: u64, page_size: u64, pagemaps: &mut Pagemaps<'_>) -> &SharedObject {
        self.0.entry(id).or_insert_with(|| {
            let name = format!("pagemap-shmem-{id}.img");
            let gaps_before = pagemaps.findings.gaps.len();
            let extents = pagemaps.extents(&name, page_size);
            if extents.is_none() {
                let why = "the dump has no such image, or it can't be read";
                pagemaps.findings.gap(format!("shared memory object {id}"), name, why);
            }
            let is_whole = gaps_before == pagemaps.findings.gaps.len();
            let has_missing = extents.as_ref().is_some_and(Extents::has_missing);
            SharedObject { extents: extents.map(Arc::new), is_whole, has_missing }
        })
    }
}

impl SharedObjects {
    /// All of them. What is wrong with one that no process maps is no gap of any process's memory: it is told with that object alone.
    fn with_unmapped(
        mut self,
        files: &dyn FileSet,
        page_size: Option<u64>,
        pagemaps: &mut Pagemaps<'_>,
    ) -> Vec<super::SharedPages> {
        let number =
            |name: &String| name.strip_prefix("pagemap-shmem-")?.strip_suffix(".img")?.parse::<u64>().ok();
        let unmapped: BTreeSet<u64> =
            files.names().iter().filter_map(number).filter(|id| !self.0.contains_key(id)).collect();
        let mut told: BTreeMap<u64, Findings> = BTreeMap::new();
        for id in unmapped {
            let before = std::mem::take(&mut pagemaps.findings);
            match page_size {
                Some(size) => drop(self.get(id, size, pagemaps)),
                None => pagemaps.findings.gap(
                    format!("shared memory object {id}"),
                    format!("pagemap-shmem-{id}.img"),
                    "nothing says how large a page is",
                ),
            }
            told.insert(id, std::mem::replace(&mut pagemaps.findings, before));
            let unknown = SharedObject { extents: None, is_whole: false, has_missing: false };
            self.0.entry(id).or_insert(unknown);
        }
        let shown = |(id, object): (u64, SharedObject)| super::SharedPages {
            id: SharedObjectId(id),
            pages: object.extents.unwrap_or_default(),
            is_whole: object.is_whole,
            findings: told.remove(&id).unwrap_or_default(),
        };
        self.0.into_iter().map(shown).collect()
    }
}

/// `AT_PAGESZ`, if it can be true: a power of two from 4 KiB to 1 MiB.
fn page_size(map: &AddressMap) -> Option<u64> {
    map.auxv.page_size().filter(|size| size.is_power_of_two() && (4096..=1 << 20).contains(size))
}

/// The processes that have images of memory.
fn pids(files: &dyn FileSet) -> BTreeSet<Pid> {
    let number = |name: &String| {
        let rest = name.strip_prefix("pagemap-").or_else(|| name.strip_prefix("mm-"))?;
        rest.strip_suffix(".img")?.parse().ok().map(Pid)
    };
    files.names().iter().filter_map(number).collect()
}
