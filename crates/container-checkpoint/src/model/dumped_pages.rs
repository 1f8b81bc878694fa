//! Which pages of a process were dumped, entry by entry as its pagemap has them.
//!
//! For what shows pagemaps as they are. Whoever wants bytes asks [`memory`](crate::memory).

use criu_images::pagemap::{Pagemap, Run};

use crate::files::FileSet;
use crate::gap::{Field, Findings};
use crate::ids::{Pid, VirtualAddress};

/// Pages that follow each other: one entry of a pagemap, whatever the release that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpedPages {
    /// Address of the first page.
    pub address: VirtualAddress,
    /// How many pages of the dumped machine's page size.
    pub pages: u64,
    /// Where the bytes are.
    pub held: Held,
}

/// Where the bytes of pages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// In this dump.
    Here,
    /// In the parent dump (`PE_PARENT`, or `in_parent` before CRIU 3.5).
    InParent,
    /// Left for lazy restore: they never came into an image (`PE_LAZY` without `PE_PRESENT`).
    Lazy,
    /// Nowhere: the entry has none of these flags.
    Nowhere,
}

impl DumpedPages {
    fn from_run(run: &Run) -> Self {
        let held = match run {
            run if run.in_parent() => Held::InParent,
            run if run.is_present() => Held::Here,
            run if run.is_lazy() => Held::Lazy,
            _ => Held::Nowhere,
        };
        Self { address: VirtualAddress(run.vaddr), pages: run.pages, held }
    }
}

/// The entries of a process's pagemap as far as they can be read. A pagemap that is not there is a gap only where one is expected.
pub fn dumped_pages(
    images: &dyn FileSet,
    pid: Pid,
    is_expected: bool,
    findings: &mut Findings,
) -> Field<Vec<DumpedPages>> {
    let name = format!("pagemap-{pid}.img");
    let what = format!("dumped pages of process {pid}");
    let Some(bytes) = images.file(&name) else {
        let why =
            if images.has(&name) { "its bytes could not be read" } else { "the dump has no such image" };
        if is_expected {
            findings.gap(what, &name, why);
        }
        return Field::Unreadable(format!("{name}: {why}"));
    };
    match Pagemap::parse(&bytes) {
        Ok(Pagemap { runs, damage, .. }) => {
            if let Some(damage) = damage {
                findings.gap(what, &name, damage);
            }
            Field::Known(runs.iter().map(DumpedPages::from_run).collect())
        }
        Err(error) => {
            findings.gap(what, &name, &error);
            Field::Unparsable(format!("{name}: {error}"))
        }
    }
}
