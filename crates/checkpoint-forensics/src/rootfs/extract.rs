//! Writes files below a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::ops::ControlFlow;
use std::path::Path;

use container_checkpoint::context::Context;
use container_checkpoint::error::Error as EvidenceError;
use container_checkpoint::gap::Gap;

use super::beneath::{Beneath, SparseWriter};
use super::changes::Changes;
use super::collect::each_chunk;
use super::contents;
use super::error::{Error, Result};
use super::plan::{self, Plan, Refusal};
use super::select::without_slashes;

/// Which files are meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    /// Paths in the container, each with all below it; all files without any.
    pub paths: Option<&'a [Vec<u8>]>,
    /// The stores to take them from.
    pub stores: Stores<'a>,
}

/// Which stores files are taken from.
#[derive(Clone, Copy, Debug, Default)]
pub enum Stores<'a> {
    /// The root file system; for paths also what is mounted at a known place.
    #[default]
    Usual,
    /// All.
    All,
    /// The one of this name. Paths may then be relative to its top.
    Named(&'a [u8]),
}

/// What was written, and what was not.
#[derive(Debug, Default)]
pub struct Extracted {
    /// Files and directories that are there now, in stored order.
    pub written: Vec<Written>,
    /// Chosen entries that are not, in stored order, each with the reason.
    pub refused: Vec<Refused>,
    /// Paths asked for under which nothing is there.
    pub not_found: Vec<Vec<u8>>,
    /// What the evidence does not yield of what was chosen.
    pub gaps: Vec<Gap>,
}

/// A file or directory that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The number of its entry in [`Changes::entries`].
    pub entry: usize,
    /// Its path, relative to the output directory.
    pub output: Vec<u8>,
    /// How many bytes of contents it has.
    pub bytes: u64,
    /// The set-uid, set-gid and sticky bits of the original, which it did not get.
    pub cleared: u32,
}

/// An entry that was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The number of the entry in [`Changes::entries`].
    pub entry: usize,
    /// Why.
    pub why: Refusal,
}

impl Changes<'_> {
    /// Writes the chosen regular files and directories below a directory that must be empty or not exist (it is made then, open to its owner
    /// alone; what is above it must exist).
    ///
    /// A file goes to its path in the container, or below its store's name where that path is not known. It is whole or not there; it takes
    /// nothing's place; it belongs to the caller; it has the permissions of the original within the umask, readable to its owner in any case,
    /// without set-uid, set-gid and sticky bits; it has its time. A hard link becomes a copy. Links, devices and named pipes are not made.
    /// Long runs of zeros become holes.
    ///
    /// # Errors
    /// When the directory won't do, there is no such store, or the caller asked to stop. What can't be written is refused, one by one.
    pub fn extract(
        &self,
        selection: Selection<'_>,
        directory: &Path,
        context: &Context,
    ) -> Result<Extracted> {
        let (chosen, not_found) = self.chosen(selection)?;
        let plan = plan::plan(self, &chosen);
        let beneath = Beneath::open(directory, &|name| plan.takes(name))?;
        let Plan { directories, files, refused } = plan;
        let mut work = Work { changes: self, beneath, context, written: Vec::new(), refused };
        let made = work.make_directories(directories);
        let result = work.write_files(&files);
        work.set_times(&made);
        let Work { mut written, mut refused, .. } = work;
        let mut gaps = Vec::new();
        match result {
            Err(Error::Evidence(EvidenceError::Cancelled)) => return Err(EvidenceError::Cancelled.into()),
            Err(error) => gaps.push(Gap::new("the contents of files", self.subject.evidence.name(), error)),
            Ok(()) => {}
        }
        written.sort_by_key(|written| written.entry);
        refused.sort_by_key(|(entry, _)| *entry);
        for (entry, why) in &refused {
            if let Refusal::Incomplete { .. } | Refusal::Unreadable(_) = why {
                gaps.push(Gap::new(
                    "the contents of a file",
                    String::from_utf8_lossy(&self.entries[*entry].path),
                    why,
                ));
            }
        }
        let refused = refused.into_iter().map(|(entry, why)| Refused { entry, why }).collect();
        Ok(Extracted { written, refused, not_found, gaps })
    }

    /// The numbers of the chosen entries, ascending, and the paths that choose none.
    fn chosen(&self, selection: Selection<'_>) -> Result<(Vec<usize>, Vec<Vec<u8>>)> {
        let (stores, was_named) = match selection.stores {
            Stores::Named(word) => (self.stores_called(Some(word))?, true),
            Stores::All => (self.stores_called(None)?, false),
            Stores::Usual if selection.paths.is_some() => (
                self.stores_called(None)?.into_iter().filter(|&store| self.is_placed(store)).collect(),
                false,
            ),
            Stores::Usual => (self.rootfs().into_iter().collect(), false),
        };
        let here = |number: &usize| {
            stores.contains(&self.entries[*number].store) && !self.entries[*number].is_deletion()
        };
        let candidates = (0..self.entries.len()).filter(here);
        let Some(paths) = selection.paths else { return Ok((candidates.collect(), Vec::new())) };
        let candidates: Vec<usize> = candidates.collect();
        let mut chosen = BTreeSet::new();
        let mut not_found = Vec::new();
        for path in paths {
            let wanted = without_slashes(path);
            let is_meant = |name: &[u8]| {
                name == wanted
                    || wanted.is_empty()
                    || name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(b"/"))
            };
            let of_path = candidates.iter().copied().filter(|&number| {
                let entry = &self.entries[number];
                is_meant(without_slashes(&entry.path)) || (was_named && is_meant(&entry.stored_name))
            });
            let before = chosen.len();
            let mut found = 0;
            chosen.extend(of_path.inspect(|_| found += 1));
            if found == 0 && chosen.len() == before {
                not_found.push(path.clone());
            }
        }
        Ok((chosen.into_iter().collect(), not_found))
    }
}

/// An extraction under way.
struct Work<'a> {
    changes: &'a Changes<'a>,
    beneath: Beneath,
    context: &'a Context,
    written: Vec<Written>,
    refused: Vec<(usize, Refusal)>,
}

impl Work<'_> {
    /// Makes directories; which of them are there then.
    fn make_directories(&mut self, directories: Vec<(usize, Vec<u8>)>) -> Vec<(usize, Vec<u8>)> {
        let mut made = Vec::new();
        for (entry, path) in directories {
            match self.beneath.make_directory(&path, self.mode(entry)) {
                Ok(()) => {
                    self.note_written(entry, &path, 0);
                    made.push((entry, path));
                }
                Err(error) => self.refused.push((entry, Refusal::Output(error.to_string()))),
            }
        }
        made
    }

    fn write_files(&mut self, files: &BTreeMap<usize, Vec<(usize, Vec<u8>)>>) -> Result<()> {
        let mut left: BTreeSet<usize> = files.keys().copied().collect();
        let wanted = left.clone();
        let changes = self.changes;
        let result = contents::visit(changes, &wanted, self.context, &mut |contents, reader| {
            left.remove(&contents);
            if let Some(places) = files.get(&contents) {
                self.write_file(contents, places, reader);
            }
            ControlFlow::Continue(())
        });
        let why = match &result {
            Ok(()) => "the archive can't be read up to there".to_owned(),
            Err(error) => error.to_string(),
        };
        for (entry, _) in left.iter().filter_map(|contents| files.get(contents)).flatten() {
            self.refused.push((*entry, Refusal::Unreadable(why.clone())));
        }
        result
    }

    /// Writes a file, and copies it to its other names.
    fn write_file(&mut self, contents: usize, places: &[(usize, Vec<u8>)], reader: &mut dyn Read) {
        let size =
            self.changes.entries[contents].facts.as_ref().and_then(|facts| facts.size).unwrap_or_default();
        let Some(((first, path), others)) = places.split_first() else { return };
        match self.put(*first, path, size, reader) {
            Ok(mut file) => {
                for (entry, path) in others {
                    let again = file.rewind().map_err(|error| Refusal::Output(error.to_string()));
                    if let Err(why) = again.and_then(|()| self.put(*entry, path, size, &mut file)) {
                        self.refused.push((*entry, why));
                    }
                }
            }
            // Its bytes have gone by: they are lost for the other names too.
            Err(why) => self.refused.extend(places.iter().map(|(entry, _)| (*entry, why.clone()))),
        }
    }

    fn put(&mut self, entry: usize, path: &[u8], size: u64, reader: &mut dyn Read) -> Result<File, Refusal> {
        let mode = self.mode(entry);
        let Some(facts) = &self.changes.entries[entry].facts else { return Err(Refusal::LinkTarget) };
        let context = self.context;
        let mut fault = None;
        let made = self.beneath.make_file(path, mode, facts.modified, &mut |file| match copy(
            reader, file, context,
        ) {
            Ok(present) if present == size => Ok(()),
            Ok(present) => {
                fault = Some(Refusal::Incomplete { present, size });
                Err(io::Error::other("incomplete"))
            }
            Err(Side::Input(error)) => {
                fault = Some(Refusal::Unreadable(error.to_string()));
                Err(error)
            }
            Err(Side::Output(error)) => Err(error),
        });
        let file = made.map_err(|error| fault.unwrap_or_else(|| Refusal::Output(error.to_string())))?;
        self.note_written(entry, path, size);
        Ok(file)
    }

    fn set_times(&mut self, made: &[(usize, Vec<u8>)]) {
        for (entry, path) in made {
            if let Some(facts) = &self.changes.entries[*entry].facts {
                // A directory without its time is still what was asked for.
                let _ = self.beneath.set_directory_time(path, facts.modified);
            }
        }
    }

    fn mode(&self, entry: usize) -> u32 {
        self.changes.entries[entry].facts.as_ref().map_or(0, |facts| facts.mode)
    }

    fn note_written(&mut self, entry: usize, path: &[u8], bytes: u64) {
        self.written.push(Written {
            entry,
            output: path.to_vec(),
            bytes,
            cleared: self.mode(entry) & 0o7000,
        });
    }
}

/// Which side of a copy failed.
enum Side {
    Input(io::Error),
    Output(io::Error),
}

/// Copies all there is; how many bytes that was.
fn copy(reader: &mut dyn Read, file: &mut File, context: &Context) -> Result<u64, Side> {
    let mut writer = SparseWriter::new(file);
    let mut failed = None;
    let result = each_chunk(reader, context, &mut |chunk| {
        writer.write(chunk).map_err(|error| {
            failed = Some(error);
            io::Error::other("the output failed")
        })
    });
    match (failed, result) {
        (Some(error), _) => Err(Side::Output(error)),
        (None, Err(error)) => Err(Side::Input(error)),
        (None, Ok(())) => writer.finish().map_err(Side::Output),
    }
}
