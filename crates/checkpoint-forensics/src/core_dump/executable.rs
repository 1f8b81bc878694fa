//! `core.PID.exe`: an executable that is in the evidence, for debuggers: a deleted or changed file, a memory file.
//!
//! What ran from a file that the analyst has is taken from there. What ran from nowhere else is written once for all processes that run from it, if all of it is there.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use container_checkpoint::ids::{FileId, Pid};
use container_checkpoint::memory::{Extents, Memory, Place, Want};

use super::question::{write_bytes, write_file};
use super::{Error, Options};
use crate::mapped_files::MappedFiles;
use crate::outputs::Outputs;

/// The executables of the processes of one dump, as far as they have to be written.
#[derive(Debug, Default)]
pub(super) struct Executables {
    all: Vec<Executable>,
    /// The number of the first want of memory files.
    first_want: usize,
    /// By want: the executable, and the offset of its first byte in it.
    parts: Vec<(usize, u64)>,
}

#[derive(Debug)]
struct Executable {
    file: FileId,
    /// The number of its output.
    output: usize,
    path: PathBuf,
    len: u64,
    /// Bytes that still have to come.
    lacking: u64,
}

impl Executables {
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
            let Some((pages, len)) = memory_file(memory, map.executable) else { continue };
            if self.of(map.executable).is_some() {
                continue;
            }
            let lacking = pages.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.len));
            let Some(number) = self.add(map.executable, pid, (len, lacking), options, outputs)? else {
                continue;
            };
            for extent in pages.iter() {
                // What can't be had does not come, so that it stays lacking.
                if let Place::Image(object, offset) = extent.place {
                    self.parts.push((number, extent.start));
                    wants.push(Want { object, offset, len: extent.len });
                }
            }
        }
        Ok(())
    }

    /// Begins an executable's file; its number. `None` when the file system takes none so large.
    fn add(
        &mut self,
        file: FileId,
        pid: Pid,
        (len, lacking): (u64, u64),
        options: &Options,
        outputs: &mut Outputs,
    ) -> Result<Option<usize>, Error> {
        let path = options.executable(pid);
        match outputs.add(path.clone(), len) {
            Ok(output) => self.all.push(Executable { file, output, path, len, lacking }),
            Err(error) if error.is_too_large() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(Some(self.all.len() - 1))
    }

    fn of(&self, file: FileId) -> Option<&Executable> {
        self.all.iter().find(|one| one.file == file)
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
        let (number, start) = *self.parts.get(want.checked_sub(self.first_want)?)?;
        let executable = &mut self.all[number];
        executable.lacking -= bytes.len() as u64;
        Some(write_bytes(outputs, executable.output, start + at, bytes, cancel))
    }

    /// The executable of a process that is in the evidence, written: where it will be, and its output.
    pub(super) fn write(
        &mut self,
        pid: Pid,
        file: FileId,
        files: &MappedFiles,
        options: &Options,
        outputs: &mut Outputs,
        cancel: &AtomicBool,
    ) -> Result<Option<(PathBuf, usize)>, Error> {
        if self.of(file).is_none() {
            let Some(found) = files.get(file) else { return Ok(None) };
            let len = found.bytes.len();
            let Some(number) = self.add(file, pid, (len, 0), options, outputs)? else { return Ok(None) };
            let (output, from) = (self.all[number].output, || found.from.to_string());
            write_file(outputs, output, 0, (&found.bytes, 0..len), cancel, from)?;
        }
        let Some(executable) = self.of(file).filter(|one| one.lacking == 0) else { return Ok(None) };
        outputs.set_len(executable.output, executable.len)?;
        Ok(Some((executable.path.clone(), executable.output)))
    }
}

/// The pages and the size of a memory file, if a file is one and all that its images should say of it is there.
fn memory_file(memory: &Memory, file: FileId) -> Option<(&Extents, u64)> {
    let inode = memory.files.get(file)?.memfd()?.inode.known()?;
    let shared = memory.shared.iter().find(|shared| shared.id.0 == u64::from(inode.shmid))?;
    let page = memory.spaces.iter().find_map(|space| space.page_size)?;
    let end = shared.pages.iter().last().map_or(0, |extent| extent.end());
    let is_within = inode.size.checked_next_multiple_of(page).is_some_and(|size| end <= size);
    (shared.is_whole && is_within).then_some((&*shared.pages, inode.size))
}
