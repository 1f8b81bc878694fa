//! One process's address space: its mappings, and where the bytes behind them are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::extent::{Extents, Place};
use super::pagemaps::{Pagemaps, page_size_by_sizes};
use super::stored::{Stored, View};
use crate::files::FileSet;
use crate::gap::Field;
use crate::ids::{FileId, Pid, VirtualAddress};
use crate::model::{AddressMap, Files, Mapping, MappingKind, address_map, files_of};

/// CRIU up to 4.2.1 leaves out, without a word, pages of arm64 processes at or above 2^48: nothing stored there proves nothing.
const MAYBE_LEFT_OUT_FROM: u64 = 1 << 48;

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
    /// Whether its pagemap and those of its shared objects were read whole: only then is what they leave out known to be zero.
    is_whole: bool,
}

/// A stretch of addresses with one kind of backing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First address.
    pub start: VirtualAddress,
    /// Length in bytes.
    pub len: u64,
    /// What is behind it.
    pub backing: Backing,
}

/// What is behind a stretch of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Stored in the images, or said to be.
    Stored(Place),
    /// Never written: it reads as zeros.
    Zero,
    /// A page of a file that was not written to: the file's bytes at this offset, which are not in the images.
    File(FileId, u64),
    /// Mapped, and CRIU never dumps it (`[vvar]`, `[vsyscall]`, rings).
    NotCaptured,
    /// Mapped, and what the images would hold of it can't be known.
    Unknown,
    /// Nothing is mapped there.
    Unmapped,
}

impl AddressSpace {
    /// The mapping at an address.
    pub fn mapping_at(&self, address: VirtualAddress) -> Option<&Mapping> {
        self.map.as_ref()?.mapping_at(address)
    }

    /// What is behind each part of a range, ascending and without holes.
    pub fn locate(&self, range: Range<u64>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut at = range.start;
        for extent in self.stored.within(range.clone()) {
            self.not_stored(at..extent.start, &mut pieces);
            let (start, len) = (VirtualAddress(extent.start), extent.len);
            pieces.push(Piece { start, len, backing: Backing::Stored(extent.place) });
            at = extent.end();
        }
        self.not_stored(at..range.end, &mut pieces);
        pieces
    }

    fn not_stored(&self, range: Range<u64>, pieces: &mut Vec<Piece>) {
        let mut at = range.start;
        let mut push = |from: u64, to: u64, backing: Backing| {
            if from < to {
                pieces.push(Piece { start: VirtualAddress(from), len: to - from, backing });
            }
        };
        let Some(map) = &self.map else {
            push(range.start, range.end, Backing::Unknown); // a pre-dump does not say what is mapped
            return;
        };
        let first = map.mappings.partition_point(|mapping| mapping.end.0 <= range.start);
        for mapping in map.mappings[first..].iter().take_while(|mapping| mapping.start.0 < range.end) {
            let (start, end) = (mapping.start.0.max(at), mapping.end.0.min(range.end));
            push(at, start, Backing::Unmapped);
            push(start, end, self.beneath(mapping, start));
            at = end;
        }
        push(at, range.end, Backing::Unmapped);
    }

    /// What is behind an address of a mapping where nothing is stored.
    fn beneath(&self, mapping: &Mapping, address: u64) -> Backing {
        use MappingKind as Kind;
        match mapping.kind {
            Kind::FilePrivate | Kind::FileShared => match mapping.file {
                Some(file) => Backing::File(file, mapping.offset.saturating_add(address - mapping.start.0)),
                None => Backing::Unknown,
            },
            Kind::Heap | Kind::Stack | Kind::AnonymousPrivate | Kind::AnonymousShared | Kind::Memfd | Kind::SysV | Kind::ShadowStack => {
                let maybe_left_out = mapping.start.0 >= MAYBE_LEFT_OUT_FROM
                    && self.stored.within(mapping.start.0..mapping.end.0).next().is_none();
                if self.is_whole && !maybe_left_out { Backing::Zero } else { Backing::Unknown }
            }
            Kind::Vdso | Kind::Vvar | Kind::Vsyscall | Kind::Uprobes | Kind::PacketRing | Kind::AioRing | Kind::Plugin => Backing::NotCaptured,
            Kind::Guard | Kind::Unknown => Backing::Unknown,
        }
    }
}

/// All address spaces of a dump, ascending by pid.
pub(super) fn all(files: &dyn FileSet, pagemaps: &mut Pagemaps<'_>) -> Vec<AddressSpace> {
    let table = files_of(files);
    let maps: BTreeMap<Pid, Option<AddressMap>> = pids(files)
        .into_iter()
        .map(|pid| {
            let map = files.has(&format!("mm-{pid}.img")).then(|| address_map(files, pid, &table));
            (pid, map.and_then(|map| if let Field::Known(map) = map { Some(map) } else { None }))
        })
        .collect();
    // All tasks of a machine have one page size; a pre-dump, which has no mm images, shows it by its sizes.
    let common = maps.values().flatten().find_map(page_size).or_else(|| page_size_by_sizes(files));
    let mut shared = SharedObjects { extents: BTreeMap::new() };
    maps.into_iter().map(|(pid, map)| space(pid, map, common, &table, &mut shared, pagemaps)).collect()
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
    let Some(size) = page_size else {
        pagemaps.findings.gap(format!("memory of process {pid}"), format!("pagemap-{pid}.img"), "nothing says how large a page is");
        return AddressSpace { pid, page_size, map, stored: Stored::default(), is_whole: false };
    };
    let gaps_before = pagemaps.findings.gaps.len();
    let name = format!("pagemap-{pid}.img");
    let private = pagemaps.extents(&name, size);
    if private.is_none() && map.is_some() {
        pagemaps.findings.gap(format!("memory of process {pid}"), &name, "the dump has no such image, or it can't be read");
    }
    let private = private.unwrap_or_default();
    let mut is_whole = gaps_before == pagemaps.findings.gaps.len();
    let mut views = Vec::new();
    for mapping in map.iter().flat_map(|map| &map.mappings) {
        let Some(object) = table.shared_object(mapping) else { continue };
        // No kernel makes a mapping that reaches behind the largest offset.
        let within_offsets = mapping.offset.checked_add(mapping.len()).is_some();
        match shared.get(object.0, size, pagemaps).filter(|_| within_offsets) {
            Some(object) => {
                let range = mapping.start.0..mapping.end.0;
                views.push(View { range, object: object.clone(), from: mapping.offset });
            }
            None => is_whole = false,
        }
    }
    let stored = Stored::new(private, views);
    report_missing(pid, &stored, pagemaps);
    AddressSpace { pid, page_size, map, stored, is_whole }
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
        let (what, place) = (format!("memory of process {pid}"), format!("pagemap-{pid}.img, from address {first:#x}"));
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
struct SharedObjects {
    extents: BTreeMap<u64, Option<Arc<Extents>>>,
}

impl SharedObjects {
    fn get(&mut self, id: u64, page_size: u64, pagemaps: &mut Pagemaps<'_>) -> Option<&Arc<Extents>> {
        let read = || {
            let name = format!("pagemap-shmem-{id}.img");
            let extents = pagemaps.extents(&name, page_size).map(Arc::new);
            if extents.is_none() {
                let why = "the dump has no such image, or it can't be read";
                pagemaps.findings.gap(format!("shared memory object {id}"), name, why);
            }
            extents
        };
        self.extents.entry(id).or_insert_with(read).as_ref()
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
