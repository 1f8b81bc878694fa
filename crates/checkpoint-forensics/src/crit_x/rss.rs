//! `crit x DIR rss`: which pages of each process were dumped, and which mappings they are in.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use container_checkpoint::files::FileSet;
use container_checkpoint::gap::{Field, Findings};
use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::model::{DumpedPages, Held, Mapping, Model, Process, dumped_pages, status};

use super::names;

/// The dumped pages of one process.
#[derive(Clone, Debug)]
pub struct Rss<'m> {
    /// Whose they are.
    pub pid: Pid,
    /// Entries of the pagemap, in the order of the image.
    pub entries: Field<Vec<RssEntry>>,
    /// The mappings that they are in, ascending; none when the images don't say what was mapped.
    pub mappings: Vec<CoveredMapping<'m>>,
}

/// Pages that follow each other: one entry of a pagemap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RssEntry {
    /// Address of the first page.
    pub address: VirtualAddress,
    /// How many pages of the dumped machine's page size.
    pub pages: u64,
    /// Where the bytes are.
    pub held: Held,
    /// The mappings that it overlaps, as a range of [`Rss::mappings`].
    pub mappings: Range<usize>,
}

/// A mapping with dumped pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoveredMapping<'m> {
    /// Address of its first page.
    pub start: VirtualAddress,
    /// How many pages it has.
    pub pages: u64,
    /// The path of its file; `None` when it is no file's.
    pub path: Option<Cow<'m, [u8]>>,
}

/// The dumped pages of all processes, in the order of the image; of a pre-dump by pid.
pub(super) fn tables<'m>(images: &dyn FileSet, model: &'m Model, findings: &mut Findings) -> Vec<Rss<'m>> {
    if model.is_pre_dump {
        let table = |pid| Rss {
            pid,
            entries: dumped_pages(images, pid, true, findings).map(listed),
            mappings: Vec::new(),
        };
        return pagemap_pids(images).into_iter().map(table).collect();
    }
    // All processes of a machine have one page size; that of another one is better than none.
    let common = model.processes.iter().find_map(|process| process.page_size().known().copied());
    model.processes.iter().map(|process| table(images, model, process, common, findings)).collect()
}

fn table<'m>(
    images: &dyn FileSet,
    model: &'m Model,
    process: &'m Process,
    common: Option<u64>,
    findings: &mut Findings,
) -> Rss<'m> {
    let pid = process.pid;
    if process.is_zombie() {
        return Rss { pid, entries: Field::NotApplicable, mappings: Vec::new() };
    }
    // Why a process has no known address space, the model has told; it may have no pagemap then.
    let has_mappings = process.memory.known().is_some();
    let runs = dumped_pages(images, pid, has_mappings, findings);
    let page_size = process.page_size().known().copied().or(common);
    let Some(page_size) = page_size.filter(|_| has_mappings) else {
        if has_mappings {
            let why = "nothing says how large a page is";
            findings.gap(format!("mappings of the pages of process {pid}"), format!("mm-{pid}.img"), why);
        }
        return Rss { pid, entries: runs.map(listed), mappings: Vec::new() };
    };
    let mut cover = Cover::new(model, process.mappings(), page_size);
    let entries = runs.map(|runs| runs.iter().map(|run| cover.entry(run)).collect());
    if cover.out_of_order > 0 {
        let what = format!("{} entries do not lie behind those before them", cover.out_of_order);
        findings.note(what, format!("pagemap-{pid}.img"), "no CRIU writes this: damaged or forged");
    }
    Rss { pid, entries, mappings: cover.covered }
}

/// Entries of which nothing says what was mapped there.
fn listed(runs: Vec<DumpedPages>) -> Vec<RssEntry> {
    runs.iter().map(|run| entry(run, 0..0)).collect()
}

fn entry(run: &DumpedPages, mappings: Range<usize>) -> RssEntry {
    RssEntry { address: run.address, pages: run.pages, held: run.held, mappings }
}

/// Finds the mappings of one entry after the other.
struct Cover<'m> {
    model: &'m Model,
    /// All mappings, ascending and disjoint.
    all: &'m [Mapping],
    /// Bytes a page.
    page_size: u64,
    /// The mappings that entries were in so far.
    covered: Vec<CoveredMapping<'m>>,
    /// The first mapping behind them, as a number in `all`.
    next: usize,
    /// Where the last entry ended.
    free_from: u64,
    /// How many entries start before that.
    out_of_order: u64,
}

impl<'m> Cover<'m> {
    fn new(model: &'m Model, all: &'m [Mapping], page_size: u64) -> Self {
        Self { model, all, page_size, covered: Vec::new(), next: 0, free_from: 0, out_of_order: 0 }
    }

    fn entry(&mut self, run: &DumpedPages) -> RssEntry {
        // CRIU writes entries by address. Others are shown without mappings, so that a forged pagemap can't name all
        // mappings again in each entry.
        if run.address.0 < self.free_from {
            self.out_of_order += 1;
            return entry(run, 0..0);
        }
        let end = run.address.0.saturating_add(run.pages.saturating_mul(self.page_size));
        self.free_from = end;
        let first = self.all.partition_point(|mapping| mapping.end.0 <= run.address.0);
        let behind = self.all.partition_point(|mapping| mapping.start.0 < end).max(first);
        // The entry before may have ended in the same mapping: then that is the last one covered.
        let is_shared = first < self.next && first < behind;
        let start = self.covered.len() - usize::from(is_shared);
        let new = self.all.get(first.max(self.next)..behind).unwrap_or_default();
        self.covered.extend(new.iter().map(|mapping| covered(self.model, mapping, self.page_size)));
        self.next = self.next.max(behind);
        entry(run, start..self.covered.len())
    }
}

fn covered<'m>(model: &'m Model, mapping: &Mapping, page_size: u64) -> CoveredMapping<'m> {
    let is_file = mapping.status & (status::FILE_PRIVATE | status::FILE_SHARED) != 0;
    CoveredMapping {
        start: mapping.start,
        pages: mapping.len().div_ceil(page_size),
        path: is_file.then(|| names::of_mapping(&model.files, mapping)),
    }
}

/// The processes that have a pagemap, by their images alone.
fn pagemap_pids(images: &dyn FileSet) -> BTreeSet<Pid> {
    let pid = |name: &String| name.strip_prefix("pagemap-")?.strip_suffix(".img")?.parse().ok().map(Pid);
    images.names().iter().filter_map(pid).collect()
}
