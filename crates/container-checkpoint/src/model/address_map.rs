//! What the mm image of a process says of its address space.

use criu_images::schema::{MmEntry, VmaEntry};

use super::files::Files;
use super::images::{Images, Reading, absence};
use super::layout::{AuxiliaryVector, MemoryLayout};
use super::mapping::{Mapping, MappingKind};
use crate::gap::{Field, Findings};
use crate::ids::{FileId, Pid, VirtualAddress};

/// How many bad mappings of one process are told one by one.
const TOLD: usize = 8;

/// The address space of a process: marks, mappings, executable (`mm_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressMap {
    /// Code, data, heap, stack, arguments, environment.
    pub layout: MemoryLayout,
    /// The auxiliary vector.
    pub auxv: AuxiliaryVector,
    /// The executable, `/proc/PID/exe`.
    pub executable: FileId,
    /// `PR_GET_DUMPABLE`: 0 no, 1 yes, 2 to root alone (CRIU 1.3 and later).
    pub dumpable: Field<i32>,
    /// Whether huge pages are switched off (CRIU 3.5 and later).
    pub thp_disabled: Field<bool>,
    /// Rings of io_setup(2): id, requests, length in bytes.
    pub aio_rings: Vec<AioRing>,
    /// Mappings, ascending, none overlapping another.
    pub mappings: Vec<Mapping>,
    /// Guard regions, which lie inside mappings and are none themselves; ascending by start.
    pub guards: Vec<Mapping>,
    /// Entries that overlap a mapping before them, which no kernel makes: the image is damaged or forged.
    pub overlapping: Vec<Mapping>,
}

/// A ring of io_setup(2) (`aio_ring_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AioRing {
    /// The context, which is the ring's address.
    pub id: u64,
    /// How many requests it takes.
    pub requests: u32,
    /// Length in bytes.
    pub length: u32,
}

impl AddressMap {
    /// Reads `mm-PID.img`, and `vmas-PID.img` of CRIU before 1.2. `packed` says whether the task is a 32-bit one on a
    /// 64-bit kernel, when that is known; `expected`, whether a missing image is a gap.
    pub(super) fn load(
        images: &mut Images<'_>,
        pid: Pid,
        packed: Option<bool>,
        expected: bool,
        files: &Files,
    ) -> Field<Self> {
        let name = format!("mm-{pid}.img");
        let what = format!("address space of process {pid}");
        let mm = match images.first::<MmEntry>(&name, &what) {
            Field::Known(mm) => mm,
            Field::NotCaptured => {
                if expected {
                    images.findings.gap(&what, &name, "the dump has no such image");
                }
                return Field::Unreadable(format!("{name} is missing"));
            }
            other => return absence(&other),
        };
        let old_name = format!("vmas-{pid}.img");
        let (old, reading) = images.all::<VmaEntry>(&old_name, &what);
        let (vmas, place) = match reading {
            Reading::Absent => (&mm.vmas, &name),
            Reading::Complete | Reading::Damaged(_) => (&old, &old_name),
        };
        let mut map = Self::new(&mm, vmas, packed, place, &mut images.findings);
        for mapping in map.mappings.iter_mut().chain(&mut map.overlapping) {
            if files.is_anonymous_shared(mapping) {
                mapping.kind = MappingKind::AnonymousShared;
            }
        }
        Field::Known(map)
    }

    fn new(
        mm: &MmEntry,
        vmas: &[VmaEntry],
        packed: Option<bool>,
        image: &str,
        findings: &mut Findings,
    ) -> Self {
        let layout = MemoryLayout::from_wire(mm);
        let packed = packed.unwrap_or_else(|| AuxiliaryVector::looks_packed(&mm.mm_saved_auxv));
        let mut map = Self {
            layout,
            auxv: AuxiliaryVector::from_wire(&mm.mm_saved_auxv, packed),
            executable: FileId(mm.exe_file_id),
            dumpable: mm.dumpable.into(),
            thp_disabled: mm.thp_disabled.into(),
            aio_rings: mm
                .aios
                .iter()
                .map(|ring| AioRing { id: ring.id, requests: ring.nr_req, length: ring.ring_len })
                .collect(),
            mappings: Vec::new(),
            guards: Vec::new(),
            overlapping: Vec::new(),
        };
        map.sort_in(vmas, image, findings);
        map
    }

    /// Decodes the entries and puts each where it belongs.
    fn sort_in(&mut self, vmas: &[VmaEntry], image: &str, findings: &mut Findings) {
        let mut all = Vec::with_capacity(vmas.len());
        let mut bad = 0;
        for (index, vma) in vmas.iter().enumerate() {
            match Mapping::from_wire(vma, Some(&self.layout)) {
                Ok(mapping) if mapping.kind == MappingKind::Guard => self.guards.push(mapping),
                Ok(mapping) => all.push(mapping),
                Err(why) => {
                    bad += 1;
                    if bad <= TOLD {
                        findings.gap("mapping", format!("{image}, mapping {index}"), why);
                    }
                }
            }
        }
        if bad > TOLD {
            findings.gap("mapping", image, format!("{} further mappings make no sense", bad - TOLD));
        }
        self.guards.sort_by_key(|guard| guard.start);
        if !all.is_sorted_by_key(|mapping| mapping.start) {
            findings.note(
                "the mappings are not in the order of their addresses",
                image,
                "no CRIU writes this",
            );
            all.sort_by_key(|mapping| mapping.start);
        }
        for mapping in all {
            match self.mappings.last() {
                Some(before) if mapping.start < before.end => self.overlapping.push(mapping),
                _ => self.mappings.push(mapping),
            }
        }
        if let Some(first) = self.overlapping.first() {
            let what =
                format!("{} mappings overlap others, the first at {}", self.overlapping.len(), first.start);
            findings.note(what, image, "no kernel makes such mappings: damaged or forged");
        }
    }

    /// The mapping that an address is in.
    pub fn mapping_at(&self, address: VirtualAddress) -> Option<&Mapping> {
        let after = self.mappings.partition_point(|mapping| mapping.start <= address);
        self.mappings.get(after.checked_sub(1)?).filter(|mapping| mapping.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_stand_apart_and_overlaps_are_told() {
        let mm = MmEntry { mm_start_stack: 0x5800, ..Default::default() };
        let vmas = [
            vma(0x1000, 0x3000, 0x201),
            vma(0x2000, 0x4000, 0x201),
            vma(0x5000, 0x6000, 0x201),
            vma(0x9000, 0x9000, 0x201),
            vma(0x1000, 0x2000, 0x10000),
        ];
        let mut findings = Findings::default();
        let map = AddressMap::new(&mm, &vmas, None, "mm-1.img", &mut findings);
        let starts: Vec<u64> = map.mappings.iter().map(|mapping| mapping.start.0).collect();
        assert_eq!(starts, [0x1000, 0x5000]);
        assert_eq!((map.guards.len(), map.overlapping.len()), (1, 1));
        assert_eq!(findings.gaps.len(), 1);
        assert_eq!(findings.gaps[0].place, "mm-1.img, mapping 3");
        assert_eq!(findings.notes.len(), 1);

        let at = |address| map.mapping_at(VirtualAddress(address)).map(|mapping| mapping.start.0);
        assert_eq!(
            [0xfff, 0x1000, 0x2fff, 0x3000, 0x5fff, u64::MAX].map(at),
            [None, Some(0x1000), Some(0x1000), None, Some(0x5000), None]
        );
    }

    #[test]
    fn a_million_bad_mappings_are_not_a_million_gaps() {
        let vmas = vec![vma(2, 1, 0x201); 1_000];
        let mut findings = Findings::default();
        AddressMap::new(&MmEntry::default(), &vmas, None, "mm-1.img", &mut findings);
        assert_eq!(findings.gaps.len(), TOLD + 1);
        assert_eq!(findings.gaps[TOLD].why, "992 further mappings make no sense");
    }

    fn vma(start: u64, end: u64, status: u32) -> VmaEntry {
        VmaEntry { start, end, status, flags: 2, fd: -1, ..Default::default() }
    }
}
