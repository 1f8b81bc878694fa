//! Which pages stay as they are when a dump is compressed: huge pages, and those of plugins.
//!
//! CRIU reads these straight into place, block by block of its own.

use std::collections::BTreeMap;
use std::ops::Range;

use criu_images::schema::{MemfdInodeEntry, MmEntry};
use criu_images::{Image, Result};

/// `MAP_HUGETLB` of a mapping's flags.
const MAP_HUGETLB: u32 = 0x40000;
/// `VMA_EXT_PLUGIN` of a mapping's status.
const EXT_PLUGIN: u32 = 1 << 27;
/// `VMA_ANON_SHARED` of a mapping's status.
const ANON_SHARED: u32 = 1 << 8;

/// The pages of a dump that stay as they are, by the pagemap that names them.
#[derive(Debug, Default)]
pub struct RawPages {
    /// Ranges of addresses by name of the pagemap.
    ranges: BTreeMap<String, Vec<Range<u64>>>,
}

/// Addresses of pages that stay as they are: ascending and disjoint.
#[derive(Debug, Default)]
pub struct Addresses(Vec<Range<u64>>);

impl Addresses {
    /// Whether an address is one of them.
    pub fn contains(&self, address: u64) -> bool {
        let behind = self.0.partition_point(|range| range.start <= address);
        behind > 0 && self.0[behind - 1].contains(&address)
    }
}

impl RawPages {
    /// Takes the mappings of a process.
    pub fn add_mm(&mut self, pid: u64, mm: &[u8]) -> Result<()> {
        let mm: MmEntry = Image::parse_named(b"mm-1.img", mm)?.entry()?;
        for vma in mm.vmas.iter().filter(|vma| vma.flags & MAP_HUGETLB != 0 || vma.status & EXT_PLUGIN != 0) {
            if vma.status & ANON_SHARED != 0 {
                self.add(format!("pagemap-shmem-{}.img", vma.shmid), 0..u64::MAX);
            }
            self.add(format!("pagemap-{pid}.img"), vma.start..vma.end);
        }
        Ok(())
    }

    /// Takes the files in memory, some of which may be made of huge pages.
    pub fn add_memfd(&mut self, memfd: &[u8]) -> Result<()> {
        for inode in Image::parse_named(b"memfd.img", memfd)?.entries::<MemfdInodeEntry>() {
            let inode = inode?;
            if inode.hugetlb_flag.is_some_and(|flag| flag != 0) {
                self.add(format!("pagemap-shmem-{}.img", inode.shmid), 0..u64::MAX);
            }
        }
        Ok(())
    }

    /// Those of the pagemap of this name.
    pub fn of(&self, pagemap: &str) -> Addresses {
        let mut ranges = self.ranges.get(pagemap).cloned().unwrap_or_default();
        ranges.sort_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut().filter(|last| range.start <= last.end) {
                Some(last) => last.end = last.end.max(range.end),
                None => joined.push(range),
            }
        }
        Addresses(joined)
    }

    fn add(&mut self, pagemap: String, range: Range<u64>) {
        self.ranges.entry(pagemap).or_default().push(range);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_and_found() {
        let mut raw = RawPages::default();
        for range in [0x5000..0x6000, 0x1000..0x3000, 0x2000..0x4000] {
            raw.add("pagemap-1.img".to_owned(), range);
        }
        let addresses = raw.of("pagemap-1.img");
        assert_eq!(addresses.0, [0x1000..0x4000, 0x5000..0x6000]);
        let found =
            [0xfff, 0x1000, 0x3fff, 0x4000, 0x5000, 0x6000].map(|address| addresses.contains(address));
        assert_eq!(found, [false, true, true, false, true, false]);
        assert!(!raw.of("pagemap-2.img").contains(0x1000));
    }
}
