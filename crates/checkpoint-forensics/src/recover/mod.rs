//! Files out of a checkpoint: deleted ones, memory files, executables, what was in a pipe, a range of memory.
//!
//! [`recover`] writes what some [`Choice`]s lead to, each file whole or not at all, under names that are made here: never under a path of the evidence. What the evidence does
//! not yield of a file is a hole in it, and is listed. [`list`] says what there is to choose.

mod list;
mod memory;
mod name;
mod target;
mod work;

use std::collections::BTreeSet;
use std::path::PathBuf;

use container_checkpoint::gap::Findings;
use container_checkpoint::ids::{FileId, Pid};

use crate::outputs;
use crate::stores::{Holder, Lack};

pub use list::{Candidate, Lister, list, rider_classes};
pub use work::recover;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The executable of a process; of all when there is none.
    Executable(Option<Pid>),
    /// What a descriptor of a process leads to.
    Descriptor(Pid, u32),
    /// A deleted file, by the number of its ghost file.
    Ghost(u32),
    /// A shared object by its number: a memory file, a SysV segment, shared memory without a name.
    Shared(u64),
    /// What is in a pipe, queue or terminal, by the store's [name](crate::stores::Store::name) or the start of it up to a colon.
    Queue(String),
    /// A range of a process's memory.
    Memory(Pid, std::ops::Range<u64>),
    /// Every deleted file and every memory file.
    Everything,
}

/// Where a file's bytes are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A ghost file.
    Ghost,
    /// A file of memfd_create(2).
    Memfd,
    /// A SysV segment, or shared memory without a name.
    Shared,
    /// An archive of files.
    Archive,
    /// A pipe, queue, terminal or BPF map.
    Queue,
    /// The memory of a process.
    Memory,
    /// The pages of a file as a process has them mapped: those that it wrote to.
    MappedPages,
}

impl Origin {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ghost => "deleted file",
            Self::Memfd => "memory file",
            Self::Shared => "shared memory",
            Self::Archive => "file",
            Self::Queue => "queue",
            Self::Memory => "memory",
            Self::MappedPages => "mapped pages",
        }
    }
}

/// A file that was written.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The file.
    pub path: PathBuf,
    /// Where its bytes are from.
    pub origin: Origin,
    /// What chose it, in words: `ghost 2`.
    pub id: String,
    /// What it was called in the container: a path, a name, a connection.
    pub title: Option<Vec<u8>>,
    /// Who holds it.
    pub holders: Vec<Holder>,
    /// The member of the evidence that holds its bytes, or for memory says where they are.
    pub member: Vec<u8>,
    /// When that member is an archive: the file in it.
    pub inner: Option<Vec<u8>>,
    /// The page images that bytes were taken from: how many dumps back, and the name.
    pub pages: BTreeSet<(usize, String)>,
    /// Mapped files that bytes were taken from, which nobody had written to.
    pub files: BTreeSet<FileId>,
    /// Its length in bytes, with holes.
    pub len: u64,
    /// SHA-256 of it as it was written, zeros where bytes are missing. `None` when so much of it is holes that nobody would wait for it.
    pub sha256: Option<[u8; 32]>,
    /// What of it can't be had, ascending.
    pub lacks: Vec<Lack>,
}

impl Recovered {
    /// How many bytes can't be had.
    pub fn lacking(&self) -> u64 {
        self.lacks.iter().map(|lack| lack.range.end - lack.range.start).sum()
    }
}

/// Something that was asked for and can't be had at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotThere {
    /// What was asked for: bytes, since paths come from the evidence.
    pub what: Vec<u8>,
    /// Why it can't be had.
    pub why: String,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// What was written, by origin and then by name.
    pub recovered: Vec<Recovered>,
    /// What can't be had at all, in the order in which it was asked for.
    pub not_there: Vec<NotThere>,
    /// What is there and could not be written, since the file system takes no file so large.
    pub too_large: Vec<NotThere>,
    /// What is wrong with the places that it was looked for in.
    pub findings: Findings,
}

/// Why nothing could be recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The evidence can't be read.
    #[error(transparent)]
    Checkpoint(#[from] container_checkpoint::error::Error),
    /// A file of that name is there; files are never replaced.
    #[error("{} exists already; nothing is ever replaced", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file can't be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file that it was to become.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl From<outputs::Error> for Error {
    fn from(error: outputs::Error) -> Self {
        match error {
            outputs::Error::Exists { path } => Self::Exists { path },
            outputs::Error::Write { path, source } => Self::Write { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use container_checkpoint::case::{Case, DumpId};
    use container_checkpoint::checkpoint::Checkpoint;
    use container_checkpoint::context::Context;
    use container_checkpoint::evidence::{Evidence, Nobody, ReadAt};
    use container_checkpoint::naming::Locator;

    use super::*;
    use crate::LookedAt;

    /// A file in memory that counts how often it is read from its start on.
    #[derive(Debug)]
    struct Counted(Vec<u8>, Arc<AtomicU64>);

    impl ReadAt for Counted {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            // Less is asked for when it is recognised.
            if offset == 0 && buffer.len() > 512 {
                self.1.fetch_add(1, Ordering::Relaxed);
            }
            self.0.read_at(offset, buffer)
        }

        fn size(&self) -> u64 {
            self.0.size()
        }
    }

    #[test]
    fn ghosts_pages_and_parents_of_a_packed_archive_cost_two_passes_together() {
        let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
        for (name, dump, files) in
            [("kitchen.tar.zst", "checkpoint", 13), ("criu317-chain.tar.zst", "chain/3", 2)]
        {
            let (context, passes) = (Context::default(), Arc::new(AtomicU64::new(0)));
            let source = Counted(std::fs::read(testdata.join(name)).unwrap(), passes.clone());
            let evidence =
                Evidence::from_source("x".into(), Arc::new(source), &context, &mut Nobody).unwrap();
            let mut case = Case::default();
            case.add_opened(evidence, Locator::parse("x".as_ref()));
            let id = DumpId { evidence: 0, dump: case.evidences[0].named(dump).unwrap() };
            let (model, _) = Checkpoint::new(&case, id).model();
            let looked_at = LookedAt { case: &case, id, model: &model, context: &context };
            assert_eq!(passes.load(Ordering::Relaxed), 1, "{name}: to open it");
            let directory = tempfile::tempdir().unwrap();
            let choices = [Choice::Everything, Choice::Executable(None), Choice::Queue("fifo".into())];
            let answer = recover(looked_at, &choices, directory.path()).unwrap();
            assert_eq!(passes.load(Ordering::Relaxed), 2, "{name}");
            let written = std::fs::read_dir(directory.path()).unwrap().count();
            assert_eq!((answer.recovered.len(), written), (files, files), "{name}: {:?}", answer.recovered);
        }
    }
}
