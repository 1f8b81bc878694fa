//! ELF cores: each live process of a dump as a file that debuggers open.
//!
//! A core has the kernel's form. Its registers are those of the image, so a thread that CRIU stopped inside a system call stands before it, as it would after
//! a restore; [`Options::undo_restart`] takes that back as far as it can be told. Memory is what the images hold and what is known to be zero; pages that are only in files, and what the evidence lost, are not in
//! the core, and debuggers say so instead of showing zeros.

mod absence;
mod arch;
mod debugger;
mod elf;
mod files_note;
mod fill;
mod frame;
mod layout;
mod notes;
mod peeked;
mod pipe;
mod programs;
mod prstatus;
mod psinfo;
mod question;
mod received;
mod record;
mod source;
mod stream;
mod subject;
mod warning;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::slice::from_ref;

use container_checkpoint::context::Context;
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::{FileId, Pid};
use container_checkpoint::memory::{self, Beside, Ride};
use container_checkpoint::model::{Model, Process};
use container_checkpoint::root_files::Root;

pub use absence::{Absence, Absent};
pub use arch::{Restart, Sign};
pub use fill::Fill;
pub use pipe::stream;
pub use question::CoreDump;
pub use source::Source;
pub use subject::Refusal;
pub use warning::{Unit, Warning};

use subject::Subject;

use crate::LookedAt;
use crate::mapped_files::{Keeper, MappedFiles, Refused};
use crate::outputs;
use crate::stores::Rider;

/// What cores are asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where they go, as `core.PID`. It is made if there is none.
    pub directory: PathBuf,
    /// Only of these processes; of all live ones when empty.
    pub pids: Vec<Pid>,
    /// Whether files of these names are replaced.
    pub overwrite: bool,
    /// Whether interrupted system calls are shown as a debugger of the living process showed them, as far as it can be told.
    pub undo_restart: bool,
    /// Whether memory that the program asked to leave out of cores (`MADV_DONTDUMP`) is left out. The images hold it.
    pub honour_dontdump: bool,
    /// Whether `p_paddr` repeats the addresses, for tools that read a core as physical memory; else it is 0.
    pub physical: bool,
    /// Which pages that the process did not write to come from files.
    pub fill: Fill,
    /// The container's root file system, for `core.PID.gdb`: debuggers take code and symbols from there.
    pub root: Option<PathBuf>,
}

/// What was done before, and where files are looked for.
#[derive(Debug, Default)]
pub struct Help<'h, 'm> {
    /// A ride with the same options: `Ride::new(|| CoreDump::new(options.clone(), &context))`.
    pub ride: Option<&'h mut Ride<'m, CoreDump>>,
    /// What kept the ELF files of the first pass.
    pub kept: Option<&'h mut Rider<'m, Keeper>>,
    /// Root file systems that the analyst gave, for pages of files.
    pub roots: &'h [Root],
}

/// The cores of a dump.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// What was written, in the order of the process tree.
    pub written: Vec<Written>,
    /// Who got no core.
    pub skipped: Vec<Skipped>,
    /// Files that were found and are not those that were mapped.
    pub refused: Vec<Refused>,
    /// What could not be had of the dump's memory as a whole, and what is odd about it.
    pub findings: Findings,
}

/// A core that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Whose it is.
    pub pid: Pid,
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes, holes included.
    pub bytes: u64,
    /// The machine, as `uname -m` names it.
    pub machine: &'static str,
    /// What tells gdb everything at once, if there is such a file.
    pub script: Option<PathBuf>,
    /// The executable, where debuggers can't take it from a directory: deleted, changed, a memory file, or of an image that was given.
    pub executable: Option<PathBuf>,
    /// Directories with its libraries of that kind.
    pub libraries: BTreeSet<PathBuf>,
    /// How many threads it has.
    pub threads: usize,
    /// Threads that are not in it, because their registers can't be had.
    pub threads_without_registers: Vec<Pid>,
    /// Memory that the evidence names and does not yield, ascending.
    pub absent: Vec<Absent>,
    /// Bytes of mapped file pages that were never written to: a debugger takes them from the files.
    pub left_to_files: u64,
    /// Bytes of such pages that are in the core, from files that were found.
    pub filled: u64,
    /// Bytes of the program's that CRIU leaves out by rule: rings, pages for lazy restore.
    pub not_captured: u64,
    /// Whether CRIU cut the auxiliary vector: it keeps 22 entries.
    pub auxv_was_cut: bool,
    /// Mappings of files that are not listed: the note of mapped files has room for 16 MiB.
    pub unnamed_mappings: usize,
    /// Threads that were in system calls, which CRIU set back or ended.
    pub restarts: Vec<Restart>,
    /// Whether the core shows them as they were before.
    pub restarts_taken_back: bool,
    /// Bytes of mappings that the program asked to leave out of cores: in the core, unless the options honour that.
    pub dontdump: u64,
    /// Whether they are left out.
    pub dontdump_left_out: bool,
}

/// A process without a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Who.
    pub pid: Pid,
    /// Why.
    pub why: Refusal,
}

/// Why no core could be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The evidence can't be read.
    #[error(transparent)]
    Checkpoint(#[from] container_checkpoint::error::Error),
    /// A file of that name is there, and may not be replaced.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A pipe takes one core.
    #[error("{0} processes would have a core, and a pipe takes one: choose with --pid")]
    Several(usize),
    /// What a process shares would have to be kept in memory.
    #[error("more shared memory than is kept for a pipe: allow a temporary file with --spool")]
    OutOfOrder,
    /// A file whose pages belong into a core can't be read.
    #[error("{from}: {source}")]
    File {
        /// Where the file is.
        from: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file can't be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The core that it was to become.
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

impl Options {
    /// The core of a process.
    pub fn path(&self, pid: Pid) -> PathBuf {
        self.directory.join(format!("core.{pid}"))
    }

    /// What has no place in a core, as JSON.
    pub fn record(&self, pid: Pid) -> PathBuf {
        self.directory.join(format!("core.{pid}.json"))
    }

    /// What gdb is to be told about a core.
    pub fn script(&self, pid: Pid) -> PathBuf {
        self.directory.join(format!("core.{pid}.gdb"))
    }

    /// The executable of a process, where debuggers can't take it from a directory.
    pub fn executable(&self, pid: Pid) -> PathBuf {
        self.directory.join(format!("core.{pid}.exe"))
    }

    /// The libraries of a process, likewise.
    pub fn libraries(&self, pid: Pid) -> PathBuf {
        self.directory.join(format!("core.{pid}.libs"))
    }

    /// A file in the root file system that debuggers are told of.
    fn in_root(&self, model: &Model, file: FileId) -> Option<PathBuf> {
        let regular = model.files.with_path(file)?.regular().filter(|regular| regular.deleted.is_none())?;
        let (root, context) = (self.root.as_ref()?, Context::default());
        // As all files of a root are found: no link and no name leads out of it.
        let found = Root::open(root, &context).ok()?.files(from_ref(&regular.path), 0, &context).ok()?;
        let found = found.into_values().next()?.ok()?;
        Some(root.join(OsStr::from_bytes(&found.path)))
    }

    fn rules(&self) -> layout::Rules {
        layout::Rules { honour_dontdump: self.honour_dontdump, fill: self.fill }
    }

    /// All files of a process.
    fn paths(&self, pid: Pid) -> [PathBuf; 5] {
        [self.path(pid), self.record(pid), self.script(pid), self.executable(pid), self.libraries(pid)]
    }
}

/// Writes the core of each process that the options choose. Of compressed evidence this is one pass over it, and one more where pages of files have to be looked for in it and were
/// not kept.
///
/// # Errors
/// When a core exists and may not be replaced, when a file can't be written, when the evidence can't be read a second time and that is needed, when the caller
/// asked to stop. No core is left half written.
pub fn write(looked_at: LookedAt<'_>, help: Help<'_, '_>, options: &Options) -> Result<Answer, Error> {
    let LookedAt { case, id, model, context } = looked_at;
    let candidates = candidates(model, &options.pids);
    let pids: Vec<Pid> =
        candidates.iter().filter(|(_, subject)| subject.is_ok()).map(|(pid, _)| *pid).collect();
    if !options.overwrite
        && let Some(path) =
            pids.iter().flat_map(|pid| options.paths(*pid)).find(|path| path.symlink_metadata().is_ok())
    {
        return Err(Error::Exists { path });
    }
    if pids.is_empty() {
        let (written, skipped) =
            CoreDump::new(options.clone(), context).finish(model, candidates, &MappedFiles::default())?;
        return Ok(Answer { written, skipped, refused: Vec::new(), findings: Findings::default() });
    }
    let Help { ride, kept, roots } = help;
    let make = || CoreDump::new(Options { pids, ..options.clone() }, context);
    let pass = |beside: Option<Beside<'_>>| memory::answer_beside(case, id, context, ride, make, beside);
    let (answered, files, more) = options.fill.gather(looked_at, &options.pids, roots, kept, pass)?;
    let mut findings = answered.findings;
    findings.extend(more);
    let (written, skipped) = answered.question.finish(model, candidates, &files)?;
    Ok(Answer { written, skipped, refused: files.refused, findings })
}

/// Who is to get a core, in the order of the process tree; then who was asked for and is not in it.
fn candidates<'m>(model: &'m Model, pids: &[Pid]) -> Vec<question::Candidate<'m>> {
    let chosen = |process: &&Process| pids.is_empty() || pids.contains(&process.pid);
    let found = model.processes.iter().filter(chosen).map(|process| (process.pid, Subject::of(process)));
    let unknown = pids.iter().filter(|pid| model.processes.get(**pid).is_none());
    found.chain(unknown.map(|pid| (*pid, Err(Refusal::NoSuchProcess)))).collect()
}
