//! `core.PID.exe` and `core.PID.libs/`: the executable and the libraries of a process, for debuggers, where these can't take them from a directory: deleted and changed files, memory files, files of an
//! image or archive that the analyst gave.
//!
//! What a directory that the analyst gave has is taken from there, unless the container changed it. Each file is written once for all processes that run from it, if all of it is there;
//! a library once more where it would stand beside one that has a name of the process's own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use container_checkpoint::ids::{FileId, Pid};
use container_checkpoint::memory::{Extents, Memory, Place, SharedPages, Want};
use container_checkpoint::model::{Model, SharedObjectId};

use super::question::{write_bytes, write_file};
use super::subject::Subject;
use super::{Error, Options};
use crate::mapped_files::{MappedFile, MappedFiles, Origin, build_id, soname};
use crate::outputs::Outputs;

/// The programs of the processes of one dump, as far as they are written.
#[derive(Debug, Default)]
pub(super) struct Programs {
    /// Executables that are memory files.
    in_memory: BTreeMap<SharedObjectId, InMemory>,
    /// What was written of files, as an executable and as a library: of some, several copies.
    written: BTreeMap<(Origin, Role), Vec<Written>>,
    /// By directory of libraries: the names in it, and where each is from.
    directories: BTreeMap<PathBuf, BTreeMap<String, Origin>>,
    /// The number of the first want of memory files.
    first_want: usize,
    /// By want: the object, and the offset of the first byte in it.
    parts: Vec<(SharedObjectId, u64)>,
}

/// What a file is to a debugger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Executable,
    Library,
}

/// A file that was begun.
#[derive(Clone, Debug)]
struct Written {
    /// The number of its output.
    output: usize,
    path: PathBuf,
}

#[derive(Debug)]
struct InMemory {
    written: Written,
    /// Its length in bytes: its last page reaches behind it.
    len: u64,
    /// Bytes that still have to come.
    lacking: u64,
}

/// What there is for a process.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) executable: Option<PathBuf>,
    /// The directories of its libraries.
    pub(super) libraries: BTreeSet<PathBuf>,
    pub(super) outputs: Vec<usize>,
}

impl Programs {
    /// Wants the pages of memory files that processes run from.
    pub(super) fn want(
        &mut self,
        memory: &Memory,
        pids: impl Iterator<Item = Pid>,
        options: &Options,
        outputs: &mut Outputs,
        wants: &mut Vec<Want>,
    ) -> Result<(), Error> {
        self.first_want = wants.len();
        for pid in pids {
            let Some(map) = memory.space(pid).and_then(|space| space.map.as_ref()) else { continue };
            let Some((object, pages, len)) = memory_file(memory, map.executable) else { continue };
            if self.in_memory.contains_key(&object) {
                continue;
            }
            let Some(written) = begin(outputs, options.executable(pid), len)? else { continue };
            let lacking = pages.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.len));
            self.in_memory.insert(object, InMemory { written, len, lacking });
            for extent in pages.iter() {
                // What can't be had does not come, so that it stays lacking.
                if let Place::Image(image, offset) = extent.place {
                    self.parts.push((object, extent.start));
                    wants.push(Want { object: image, offset, len: extent.len });
                }
            }
        }
        Ok(())
    }

    /// Whether a want is one of these.
    pub(super) fn has(&self, want: usize) -> bool {
        want >= self.first_want && !self.parts.is_empty()
    }

    /// Takes bytes of a want, if it is one of these.
    pub(super) fn take(
        &mut self,
        want: usize,
        at: u64,
        bytes: &[u8],
        outputs: &mut Outputs,
        cancel: &AtomicBool,
    ) -> Option<Result<(), Error>> {
        let (object, start) = *self.parts.get(want.checked_sub(self.first_want)?)?;
        let executable = self.in_memory.get_mut(&object)?;
        executable.lacking -= bytes.len() as u64;
        Some(write_bytes(outputs, executable.written.output, start + at, bytes, cancel))
    }

    /// Writes the executable and the libraries of a process that are in the evidence and not in the analyst's root.
    pub(super) fn write(
        &mut self,
        subject: &Subject<'_>,
        model: &Model,
        files: &MappedFiles,
        options: &Options,
        outputs: &mut Outputs,
        cancel: &AtomicBool,
    ) -> Result<Beside, Error> {
        let (pid, mut beside) = (subject.process.pid, Beside::default());
        let executable = subject.map.executable;
        let in_memory = model.files.get(executable).and_then(|file| file.memfd()?.inode.known());
        // What the container made of a file of its image is what ran, and a root may be that of another image.
        let stands_in_root = !files.has_refused(executable) && options.in_root(model, executable).is_some();
        let found = files.get(executable).filter(|found| is_of_evidence(found) || !stands_in_root);
        let written = match (in_memory, found) {
            (Some(inode), _) => {
                let whole =
                    self.in_memory.get(&SharedObjectId(inode.shmid.into())).filter(|it| it.lacking == 0);
                match whole {
                    Some(InMemory { written, len, .. }) => {
                        outputs.set_len(written.output, *len)?;
                        Some(written.clone())
                    }
                    None => None,
                }
            }
            (None, Some(found)) => match self.written.get(&(found.from.clone(), Role::Executable)) {
                Some(copies) => copies.first().cloned(),
                None => self.copy(found, Role::Executable, options.executable(pid), outputs, cancel)?,
            },
            (None, None) => None,
        };
        if let Some(Written { output, path }) = written {
            beside.executable = Some(path);
            beside.outputs.push(output);
        }
        self.write_libraries(subject, model, files, options, &mut beside, (outputs, cancel))?;
        Ok(beside)
    }

    fn write_libraries(
        &mut self,
        subject: &Subject<'_>,
        model: &Model,
        files: &MappedFiles,
        options: &Options,
        beside: &mut Beside,
        (outputs, cancel): (&mut Outputs, &AtomicBool),
    ) -> Result<(), Error> {
        // Of two libraries of one name a debugger finds the first.
        let mut names: BTreeMap<String, Option<&MappedFile>> = BTreeMap::new();
        let mut seen = BTreeSet::from([subject.map.executable]);
        let mapped = subject.map.mappings.iter().filter_map(|mapping| mapping.file);
        for file in mapped.filter(|file| seen.insert(*file)) {
            let found = files.get(file);
            if let Some(name) = name(model, file, found) {
                names.entry(name).or_insert(found);
            }
        }
        let own = options.libraries(subject.process.pid);
        for (name, found) in &names {
            let Some(found) = found.filter(|found| is_library(found, options)) else { continue };
            // In another process's directory there may be a file of the name of one of this process's, and another one.
            let directories = &self.directories;
            let fits = |copy: &Written| {
                let there = copy.path.parent().and_then(|directory| directories.get(directory));
                there.into_iter().flatten().all(|(name, from)| {
                    names.get(name).is_none_or(|own| own.is_some_and(|own| own.from == *from))
                })
            };
            let key = (found.from.clone(), Role::Library);
            // Of many copies two are looked at.
            let copies = self.written.get(&key).map_or(&[][..], Vec::as_slice);
            let fitting = copies.first().into_iter().chain(copies.last()).find(|copy| fits(copy)).cloned();
            let written = match fitting {
                Some(written) => Some(written),
                None => self.copy(found, Role::Library, own.join(name), outputs, cancel)?,
            };
            if let Some(Written { output, path }) = written {
                let directory = path.parent().unwrap_or(&own).to_owned();
                let there = self.directories.entry(directory.clone()).or_default();
                there.insert(name.clone(), found.from.clone());
                beside.libraries.insert(directory);
                beside.outputs.push(output);
            }
        }
        Ok(())
    }

    /// Writes a file.
    fn copy(
        &mut self,
        found: &MappedFile,
        role: Role,
        path: PathBuf,
        outputs: &mut Outputs,
        cancel: &AtomicBool,
    ) -> Result<Option<Written>, Error> {
        let len = found.bytes.len();
        let Some(written) = begin(outputs, path, len)? else { return Ok(None) };
        write_file(outputs, written.output, 0, (&found.bytes, 0..len), cancel, || found.from.to_string())?;
        self.written.entry((found.from.clone(), role)).or_default().push(written.clone());
        Ok(Some(written))
    }
}

/// Begins a file; `None` when the file system takes none so large.
fn begin(outputs: &mut Outputs, path: PathBuf, len: u64) -> Result<Option<Written>, Error> {
    match outputs.add(path.clone(), len) {
        Ok(output) => Ok(Some(Written { output, path })),
        Err(error) if error.is_too_large() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether it is of the evidence, and not of a root that the analyst gave.
fn is_of_evidence(found: &MappedFile) -> bool {
    matches!(found.from, Origin::Ghost(_) | Origin::Changes(_))
}

/// Whether it is an ELF file that a debugger can't take from a directory: one of the evidence, or one of a root that is none.
fn is_library(found: &MappedFile, options: &Options) -> bool {
    (is_of_evidence(found) || options.root.is_none()) && build_id(&found.bytes).is_some()
}

/// What debuggers look for: what a library calls itself, else the last part of its path. `None` where that is no plain name.
fn name(model: &Model, file: FileId, found: Option<&MappedFile>) -> Option<String> {
    let path = &model.files.with_path(file)?.regular()?.path;
    let own = found.and_then(|found| soname(&found.bytes));
    let name = str::from_utf8(own.as_ref().unwrap_or(path)).ok()?.rsplit('/').next()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    let is_name = !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_plain);
    is_name.then(|| name.to_owned())
}

/// The pages and the size of a memory file, if a file is one and all that its images should say of it is there.
fn memory_file(memory: &Memory, file: FileId) -> Option<(SharedObjectId, &Extents, u64)> {
    let inode = memory.files.get(file)?.memfd()?.inode.known()?;
    let is_it = |shared: &&SharedPages| shared.id.0 == u64::from(inode.shmid);
    let shared = memory.shared.iter().find(is_it)?;
    let page = memory.spaces.iter().find_map(|space| space.page_size)?;
    let end = shared.pages.iter().last().map_or(0, |extent| extent.end());
    let is_within = inode.size.checked_next_multiple_of(page).is_some_and(|size| end <= size);
    (shared.is_whole && is_within).then_some((shared.id, &*shared.pages, inode.size))
}
