//! What CRIU counted during a dump: `stats-dump`.

use std::cell::RefCell;

use criu_images::Image;
use criu_images::schema::{DumpStatsEntry, StatsEntry};

use crate::files::FileSet;
use crate::gap::{Field, Findings};

/// Times and page counts of one dump, CRIU's `dump_stats_entry`. Times are microseconds, pages are of the
/// dumped machine's page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpStatistics {
    /// Time to stop all tasks, in microseconds.
    pub freezing_time: u32,
    /// Time the tasks stood still, in microseconds.
    pub frozen_time: u32,
    /// Time to collect memory, in microseconds.
    pub memdump_time: u32,
    /// Time to write memory, in microseconds.
    pub memwrite_time: u32,
    /// Pages looked at.
    pub pages_scanned: u64,
    /// Pages left out because the parent dump has them.
    pub pages_skipped_parent: u64,
    /// Pages written.
    pub pages_written: u64,
    /// Time to find names for inotify watches, in microseconds; since CRIU 1.2.
    pub irmap_resolve: Option<u32>,
    /// Pages left for a lazy restore.
    pub pages_lazy: u64,
    /// Pipes used to collect pages; since CRIU 3.7.
    pub page_pipes: Option<u64>,
    /// Buffers in these pipes; since CRIU 3.7.
    pub page_pipe_bufs: Option<u64>,
    /// Pages of shared memory looked at; since CRIU 3.13.
    pub shpages_scanned: Option<u64>,
    /// Pages of shared memory left out because the parent dump has them; since CRIU 3.13.
    pub shpages_skipped_parent: Option<u64>,
    /// Pages of shared memory written; since CRIU 3.13.
    pub shpages_written: Option<u64>,
}

/// The file's name, in every layout.
const NAME: &str = "stats-dump";

impl DumpStatistics {
    /// Reads `stats-dump`, which engines put beside their metadata and a bare dump beside its images.
    pub(super) fn read(
        bundle: &dyn FileSet,
        images: &dyn FileSet,
        findings: &RefCell<Findings>,
    ) -> Field<Self> {
        let Some(bytes) = bundle.file(NAME).or_else(|| images.file(NAME)) else {
            if bundle.has(NAME) || images.has(NAME) {
                return unreadable(findings, "the evidence has it, its bytes could not be had".to_owned());
            }
            return Field::NotCaptured;
        };
        match Image::parse_named(NAME.as_bytes(), &bytes).and_then(|image| image.entry::<StatsEntry>()) {
            Ok(StatsEntry { dump: Some(entry), .. }) => Field::Known(entry.into()),
            Ok(_) => unreadable(findings, "it holds no statistics of a dump".to_owned()),
            Err(error) => unreadable(findings, error.to_string()),
        }
    }
}

impl From<DumpStatsEntry> for DumpStatistics {
    fn from(entry: DumpStatsEntry) -> Self {
        Self {
            freezing_time: entry.freezing_time,
            frozen_time: entry.frozen_time,
            memdump_time: entry.memdump_time,
            memwrite_time: entry.memwrite_time,
            pages_scanned: entry.pages_scanned,
            pages_skipped_parent: entry.pages_skipped_parent,
            pages_written: entry.pages_written,
            irmap_resolve: entry.irmap_resolve,
            pages_lazy: entry.pages_lazy,
            page_pipes: entry.page_pipes,
            page_pipe_bufs: entry.page_pipe_bufs,
            shpages_scanned: entry.shpages_scanned,
            shpages_skipped_parent: entry.shpages_skipped_parent,
            shpages_written: entry.shpages_written,
        }
    }
}

fn unreadable(findings: &RefCell<Findings>, why: String) -> Field<DumpStatistics> {
    findings.borrow_mut().gap("dump statistics", NAME, &why);
    Field::Unreadable(why)
}

#[cfg(test)]
mod tests {
    use super::super::test_files::Files;
    use super::*;

    /// Head word of a service file, magic STATS, one entry: dump { 1..7 = 9..15, pages_lazy = 3 }.
    const BYTES: &[u8] = b"\x40\x59\x10\x55\x06\x33\x09\x57\x12\0\0\0\
        \x0a\x10\x08\x09\x10\x0a\x18\x0b\x20\x0c\x28\x0d\x30\x0e\x38\x0f\x48\x03";

    fn read(bundle: &Files, images: &Files) -> (Field<DumpStatistics>, usize) {
        let findings = RefCell::new(Findings::default());
        let answer = DumpStatistics::read(bundle, images, &findings);
        (answer, findings.into_inner().gaps.len())
    }

    #[test]
    fn reads_beside_the_metadata_or_the_images() {
        let here = Files::default().with(NAME, BYTES);
        for (bundle, images) in [(&here, &Files::default()), (&Files::default(), &here)] {
            let (answer, gaps) = read(bundle, images);
            let statistics = answer.known().copied().unwrap();
            assert_eq!((statistics.freezing_time, statistics.pages_written, gaps), (9, 15, 0));
            assert_eq!((statistics.pages_lazy, statistics.page_pipes), (3, None));
        }
    }

    #[test]
    fn absent_is_not_captured_and_broken_is_a_gap() {
        assert_eq!(read(&Files::default(), &Files::default()), (Field::NotCaptured, 0));
        for cut in 0..BYTES.len() {
            let (answer, gaps) = read(&Files::default().with(NAME, &BYTES[..cut]), &Files::default());
            assert!(matches!(answer, Field::Unreadable(_)), "{cut}");
            assert_eq!(gaps, 1);
        }
    }
}
