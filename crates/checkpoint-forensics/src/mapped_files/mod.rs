//! The files behind mappings: where a checkpoint holds only the pages that a process wrote to, the others are in the file.
//!
//! A file is looked for where its contents may be: a deleted one among the ghost files, any other among the changes of the root file system, then in the
//! [roots](container_checkpoint::root_files) that an analyst gives. CRIU recorded the build id and the size of each; a file that has others is another one, and is
//! refused by name. So is one without a build id that was in something mounted over the root file system. Nothing is looked up on this machine unless it is given.

mod check;
mod keeper;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::error::Result;
use container_checkpoint::evidence::Bytes;
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::{FileId, Pid};
use container_checkpoint::memory::{Beside, GivenFile};
use container_checkpoint::model::{Deleted, MappingKind, Model, RegularFile};
use container_checkpoint::root_files::Root;

use crate::LookedAt;
use crate::stores::{Class, Classes, Reading, Rider};
use keeper::Key;

pub use check::{Verified, build_id, soname};
pub use keeper::{Keeper, Room};

/// How many bytes of files that only go by are kept, all together.
const KEPT_MAX: u64 = 1 << 30;

/// A file whose contents can be had.
#[derive(Clone, Debug)]
pub struct MappedFile {
    /// The contents.
    pub bytes: Bytes,
    /// Where they are from.
    pub from: Origin,
    /// What shows that it is the file that was mapped.
    pub verified: Verified,
}

/// Where a file's contents are from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A ghost file of the dump, by its number.
    Ghost(u32),
    /// The changes of the root file system, by the path there.
    Changes(Vec<u8>),
    /// A root that the analyst gave: its name, and the path in it.
    Root(String, Vec<u8>),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ghost(id) => write!(f, "ghost-file-{id:x}.img"),
            Self::Changes(path) => write!(f, "the changed file '{}'", String::from_utf8_lossy(path)),
            Self::Root(name, path) => write!(f, "{name}/{}", String::from_utf8_lossy(path)),
        }
    }
}

/// A file of the right path that is not the one that was mapped, or can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The file in the table of files.
    pub file: FileId,
    /// Its path as the process knew it.
    pub path: Vec<u8>,
    /// Where it was found.
    pub from: Origin,
    /// What is wrong with it.
    pub why: String,
}

/// The files behind mappings, as far as they can be had.
#[derive(Clone, Debug, Default)]
pub struct MappedFiles {
    found: BTreeMap<FileId, MappedFile>,
    /// What was found and is not taken, by file.
    pub refused: Vec<Refused>,
}

impl MappedFiles {
    /// A file's contents.
    pub fn get(&self, file: FileId) -> Option<&MappedFile> {
        self.found.get(&file)
    }

    /// Whether something was found in a file's place that is not it.
    pub fn has_refused(&self, file: FileId) -> bool {
        self.refused.iter().any(|refused| refused.file == file)
    }

    /// Where a file's contents are from, for messages.
    pub fn origin_of(&self, file: FileId) -> String {
        self.get(file).map_or_else(String::new, |found| found.from.to_string())
    }

    /// All that were found, by the number of the file.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &MappedFile)> {
        self.found.iter().map(|(file, found)| (*file, found))
    }

    /// Gives the case what was found: questions to the memory of the dump's processes see it from now on.
    pub fn give_to(&self, case: &mut Case, id: DumpId) {
        for (file, found) in self.iter() {
            let (name, bytes) = (found.from.to_string(), found.bytes.clone());
            case.give_file(id, GivenFile { file, name, bytes });
        }
    }

    /// Looks for all files behind mappings of processes: of these, or of all of the dump when none are named. Of compressed evidence this is one pass more where deleted or changed files are to be had, and of each compressed
    /// root one.
    ///
    /// # Errors
    /// When the evidence or a root can't be read again.
    pub fn gather(looked_at: LookedAt<'_>, pids: &[Pid], roots: &[Root]) -> Result<(Self, Findings)> {
        let LookedAt { case, id, context, .. } = looked_at;
        let pass = |beside: Option<Beside<'_>>| match beside {
            Some(beside) => case.evidence(id).pass_again(context, beside.passenger),
            None => Ok(()),
        };
        Self::gather_beside(looked_at, pids, roots, None, pass).map(|((), files, findings)| (files, findings))
    }

    /// As [`gather`](Self::gather), for who has a question of his own to the evidence and wants one pass for both: `pass` makes it, with somebody beside if there is need. `ridden`
    /// was shown the first pass.
    ///
    /// # Errors
    /// What `pass` says, and when a root can't be read.
    pub fn gather_beside<T>(
        looked_at: LookedAt<'_>,
        pids: &[Pid],
        roots: &[Root],
        ridden: Option<&mut Rider<'_, Keeper>>,
        pass: impl FnOnce(Option<Beside<'_>>) -> Result<T>,
    ) -> Result<(T, Self, Findings)> {
        let LookedAt { case, id, model, context } = looked_at;
        let mut files = Self::default();
        let mut findings = Findings::default();
        let mapped = mapped(model, pids);
        let mut wanted: BTreeMap<Key, Vec<FileId>> = BTreeMap::new();
        for (&file, mapped) in &mapped {
            if let Some(key) = key(model, mapped.regular) {
                wanted.entry(key).or_default().push(file);
            }
        }
        let keys: Rc<BTreeSet<Key>> = Rc::new(wanted.keys().cloned().collect());
        let room = Room::new(KEPT_MAX);
        let make = || Keeper::of(&keys, &room);
        let has = |is_ghost: bool| keys.iter().any(|key| matches!(key, Key::Ghost(_)) == is_ghost);
        let classes = [has(true).then_some(Class::Files), has(false).then_some(Class::Rootfs)];
        let classes: Classes = classes.into_iter().flatten().collect();
        let rode = ridden.is_some();
        let mut kept = Vec::new();
        let answer = {
            // What rode along has been shown these already.
            let mut reading = Reading::new(case, id, model, classes, context, ridden, &make);
            let answer = pass(reading.beside())?;
            // Members that none of these files is in are somebody else's errand.
            let (parts, _) = reading.finish(case);
            kept.extend(parts.into_iter().flat_map(|part| part.sink.into_kept()));
            answer
        };
        let had: BTreeSet<&Key> = kept.iter().map(|(key, _)| key).collect();
        // Of a first pass nothing is kept but ELF files.
        let is_lost = |key: &&Key| !rode && matches!(key, Key::Ghost(_)) && !had.contains(key);
        for lost in wanted.keys().filter(is_lost) {
            findings.gap(
                "a mapped file",
                lost.origin().to_string(),
                "the dump has no such image, or it can't be read",
            );
        }
        for (key, kept) in kept {
            let from = key.origin();
            for &file in wanted.get(&key).into_iter().flatten() {
                match &kept {
                    Ok(bytes) => files.add(file, &mapped[&file], from.clone(), bytes.clone()),
                    Err(why) => {
                        findings.gap("a mapped file", from.to_string(), why);
                        files.refuse(file, mapped[&file].regular, from.clone(), why.clone());
                    }
                }
            }
        }
        for root in roots {
            files.add_from_root(&mapped, root, context)?;
        }
        Ok((answer, files, findings))
    }

    fn add_from_root(
        &mut self,
        mapped: &BTreeMap<FileId, Mapped<'_>>,
        root: &Root,
        context: &Context,
    ) -> Result<()> {
        let is_lacking = |file: &FileId, mapped: &Mapped<'_>| {
            mapped.regular.deleted.is_none() && !self.found.contains_key(file)
        };
        let lacking: Vec<(FileId, &Mapped<'_>)> = mapped
            .iter()
            .filter(|(file, mapped)| is_lacking(file, mapped))
            .map(|(file, mapped)| (*file, mapped))
            .collect();
        let mut paths: Vec<Vec<u8>> = lacking.iter().map(|(_, mapped)| mapped.regular.path.clone()).collect();
        paths.sort();
        paths.dedup();
        let found = root.files(&paths, KEPT_MAX, context)?;
        for (file, mapped) in lacking {
            let regular = mapped.regular;
            match found.get(&regular.path) {
                Some(Ok(there)) => {
                    let from = Origin::Root(root.name().to_owned(), there.path.clone());
                    self.add(file, mapped, from, there.bytes.clone());
                }
                Some(Err(why)) => {
                    let path = regular.path.strip_prefix(b"/").unwrap_or(&regular.path).to_vec();
                    self.refuse(file, regular, Origin::Root(root.name().to_owned(), path), why.clone());
                }
                None => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, file: FileId, mapped: &Mapped<'_>, from: Origin, bytes: Bytes) {
        let regular = mapped.regular;
        let is_by_number = matches!(from, Origin::Ghost(_));
        match (check::check(regular, &bytes), mapped.mount) {
            // At its path in a root file system there may be another file, which the mount hid.
            (Ok(Verified::Size | Verified::Nothing), Some(mount)) if !is_by_number => {
                let mount = String::from_utf8_lossy(mount);
                let why =
                    format!("it has no build id, and the mapped file was in what is mounted at {mount}");
                self.refuse(file, regular, from, why);
            }
            (Ok(verified), _) => drop(self.found.entry(file).or_insert(MappedFile { bytes, from, verified })),
            (Err(why), _) => self.refuse(file, regular, from, why),
        }
    }

    fn refuse(&mut self, file: FileId, regular: &RegularFile, from: Origin, why: String) {
        self.refused.push(Refused { file, path: regular.path.clone(), from, why });
    }
}

/// A file behind mappings.
#[derive(Clone, Copy, Debug)]
struct Mapped<'m> {
    regular: &'m RegularFile,
    /// Where the file system is mounted that it is in, if that is known and not the root.
    mount: Option<&'m [u8]>,
}

/// The regular files that are mapped in processes, by their number.
fn mapped<'m>(model: &'m Model, pids: &[Pid]) -> BTreeMap<FileId, Mapped<'m>> {
    let chosen = model.processes.iter().filter(|process| pids.is_empty() || pids.contains(&process.pid));
    let mappings = chosen.flat_map(|process| process.mappings());
    let is_file = |kind| matches!(kind, MappingKind::FilePrivate | MappingKind::FileShared);
    let files = mappings.filter(|mapping| is_file(mapping.kind)).filter_map(|mapping| mapping.file);
    let mounts: BTreeMap<u32, &[u8]> =
        model.mounts.values().flatten().map(|mount| (mount.id, mount.mountpoint.as_slice())).collect();
    let is_root = |mountpoint: &[u8]| matches!(mountpoint, b"/" | b"./" | b".");
    let known = |file: FileId| {
        let regular = model.files.with_path(file)?.regular()?;
        let mount = regular.mount.known().and_then(|id| mounts.get(id)).copied();
        Some((file, Mapped { regular, mount: mount.filter(|mountpoint| !is_root(mountpoint)) }))
    };
    files.filter_map(known).collect()
}

/// Under what the evidence has a file's contents, if it does.
fn key(model: &Model, regular: &RegularFile) -> Option<Key> {
    match regular.deleted {
        None => Some(Key::Path(regular.path.clone())),
        Some(Deleted::Ghost { id }) => Some(Key::Ghost(id)),
        Some(Deleted::Linked { file }) => {
            Some(Key::Path(model.files.with_path(file)?.regular()?.path.clone()))
        }
        Some(Deleted::ProcessDirectory { .. } | Deleted::Unknown { .. }) => None,
    }
}

#[cfg(test)]
mod tests;
