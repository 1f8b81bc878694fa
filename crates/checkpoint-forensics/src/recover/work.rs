//! The files while they are written.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use container_checkpoint::error::Error as EvidenceError;
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::FileId;
use container_checkpoint::memory;
use sha2::{Digest as _, Sha256};

use super::memory::Pages;
use super::name::Names;
use super::target::{Target, targets};
use super::{Answer, Choice, Error, NotThere, Origin, Recovered};
use crate::LookedAt;
use crate::outputs::Outputs;
use crate::stores::{
    Chunk, Class, Classes, Contents, Facts, Holder, Kind, Lack, Part, Reading, SharedBytes, Sink, Store,
    Together,
};

/// How much is written or hashed at once, in bytes.
const STEP: usize = 256 << 10;
/// The most zeros that are hashed, of all files together, in bytes: a number of eight bytes can claim them.
const ZEROS_HASHED_MAX: u64 = 16 << 30;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Output {
    origin: Origin,
    id: String,
    title: Option<Vec<u8>>,
    pub(super) holders: Vec<Holder>,
    pub(super) member: Vec<u8>,
    inner: Option<Vec<u8>>,
    pub(super) pages: BTreeSet<(usize, String)>,
    pub(super) files: BTreeSet<FileId>,
    pub(super) contents: Contents,
    pub(super) target: Option<Target>,
    /// The number of its file.
    file: usize,
    /// How many bytes came.
    came: u64,
    /// Why this file can't be written, though others can: it is larger than the file system takes.
    too_large: bool,
}

impl Output {
    pub(super) fn new(origin: Origin, id: String, title: Option<Vec<u8>>) -> Self {
        Self {
            origin,
            id,
            title,
            holders: Vec::new(),
            member: Vec::new(),
            inner: None,
            pages: BTreeSet::new(),
            files: BTreeSet::new(),
            contents: Contents::default(),
            target: None,
            file: 0,
            came: 0,
            too_large: false,
        }
    }

    fn of(store: &Store, title: Option<Vec<u8>>, facts: &Facts) -> Self {
        let (origin, id) = match &store.kind {
            Kind::Ghost(id) => (Origin::Ghost, format!("ghost-{id:x}")),
            Kind::Shared(id) if facts.is_memory_file(*id) => (Origin::Memfd, format!("memfd-{}", id.0)),
            Kind::Shared(id) => (Origin::Shared, format!("shm-{}", id.0)),
            Kind::Archived(archive) => {
                let top: String = String::from_utf8_lossy(&archive.name())
                    .chars()
                    .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
                    .collect();
                (Origin::Archive, top)
            }
            _ => (Origin::Queue, String::from_utf8_lossy(&store.name()).replace(':', "-")),
        };
        Self {
            holders: facts.holders(store),
            member: store.member.to_vec(),
            inner: store.inner.as_deref().map(<[u8]>::to_vec),
            ..Self::new(origin, id, title.or_else(|| facts.title(store)))
        }
    }
}

/// All that is being recovered of one dump.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) looked_at: LookedAt<'a>,
    directory: PathBuf,
    names: Names,
    files: Outputs,
    outputs: Vec<Output>,
    /// Targets that led to something.
    met: HashSet<Target>,
    absent: Vec<(Target, NotThere)>,
    too_large: Vec<NotThere>,
    /// Gaps in what led to no file at all.
    pub(super) findings: Findings,
    /// What went wrong first; nothing is written any more.
    failure: Option<Error>,
}

impl Work<'_> {
    /// Begins a file; its number. `None` when that failed.
    pub(super) fn begin(&mut self, mut output: Output) -> Option<usize> {
        if self.failure.is_some() {
            return None;
        }
        let title = output.title.as_deref().filter(|_| output.origin != Origin::Queue);
        let path = self.directory.join(self.names.give(title, &output.id));
        if path.symlink_metadata().is_ok() {
            self.failure = Some(Error::Exists { path });
            return None;
        }
        self.met.extend(output.target.clone());
        match self.files.add(path, 0) {
            Ok(file) => {
                output.file = file;
                self.outputs.push(output);
                Some(self.outputs.len() - 1)
            }
            Err(error) => {
                self.failure = Some(error.into());
                None
            }
        }
    }

    pub(super) fn write(&mut self, output: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        if self.failure.is_some() {
            return ControlFlow::Break(());
        }
        let Some(output) = self.outputs.get_mut(output) else { return ControlFlow::Break(()) };
        if output.too_large {
            return ControlFlow::Continue(());
        }
        for (step, piece) in (0u64..).zip(bytes.chunks(STEP)) {
            if self.looked_at.context.cancelled() {
                return ControlFlow::Break(());
            }
            let at = at + step * STEP as u64;
            // The last page of an object reaches behind its end; its length is set at the end.
            match self.files.write_sparse(output.file, at, piece) {
                Ok(()) => {}
                Err(error) if error.is_too_large() => output.too_large = true,
                Err(error) => {
                    self.failure = Some(error.into());
                    return ControlFlow::Break(());
                }
            }
        }
        output.came += bytes.len() as u64;
        ControlFlow::Continue(())
    }

    pub(super) fn lacks(&mut self, output: usize, Lack { range, why }: Lack) {
        if let Some(output) = self.outputs.get_mut(output) {
            output.contents.lack(range, why);
        }
    }

    pub(super) fn not_there(&mut self, target: &Target, what: Vec<u8>, why: String) {
        self.absent.push((target.clone(), NotThere { what, why }));
    }

    /// Gives the files their lengths and hashes.
    fn complete(&mut self, dropped: &mut HashSet<usize>) -> Result<Vec<Recovered>, Error> {
        let mut recovered = Vec::new();
        let mut zeros_left = ZEROS_HASHED_MAX;
        for (number, output) in self.outputs.iter_mut().enumerate() {
            if dropped.contains(&number) {
                continue;
            }
            let len = output.contents.len;
            match self.files.set_len(output.file, len) {
                Err(error) if error.is_too_large() => output.too_large = true,
                result => result?,
            }
            if output.too_large {
                dropped.insert(number);
                let what = output.title.clone().unwrap_or_else(|| output.id.clone().into_bytes());
                let why = format!("it has {len} bytes, more than the file system takes");
                self.too_large.push(NotThere { what, why });
                continue;
            }
            let left = zeros_left.checked_sub(len.saturating_sub(output.came));
            zeros_left = left.unwrap_or(zeros_left);
            let sha256 = match left {
                Some(_) => Some(hash(&mut self.files, output.file, len, self.looked_at)?),
                None => None,
            };
            let mut lacks = std::mem::take(&mut output.contents.lacks);
            lacks.sort_by_key(|lack| lack.range.start);
            lacks.dedup_by(|next, last| {
                let goes_on = next.why == last.why && next.range.start <= last.range.end;
                last.range.end = if goes_on { last.range.end.max(next.range.end) } else { last.range.end };
                goes_on
            });
            recovered.push(Recovered {
                path: self.files.path(output.file).to_owned(),
                origin: output.origin,
                id: output.id.clone(),
                title: output.title.clone(),
                holders: output.holders.clone(),
                member: output.member.clone(),
                inner: output.inner.clone(),
                pages: output.pages.clone(),
                files: output.files.clone(),
                len,
                sha256,
                lacks,
            });
        }
        // Which comes first in a stream is no order for people.
        recovered.sort_by(|a, b| (a.origin, &a.path).cmp(&(b.origin, &b.path)));
        Ok(recovered)
    }
}

fn hash(files: &mut Outputs, file: usize, len: u64, looked_at: LookedAt<'_>) -> Result<[u8; 32], Error> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; STEP.min(usize::try_from(len).unwrap_or(STEP))];
    let mut at = 0;
    while at < len {
        if looked_at.context.cancelled() {
            return Err(EvidenceError::Cancelled.into());
        }
        let count = buffer.len().min(usize::try_from(len - at).unwrap_or(usize::MAX));
        files.read(file, at, &mut buffer[..count])?;
        hasher.update(&buffer[..count]);
        at += count as u64;
    }
    Ok(hasher.finalize().into())
}

/// Writes the stores that are wanted.
struct Writer<'w, 'a> {
    work: &'w RefCell<Work<'a>>,
    facts: &'w Facts,
    targets: &'w [Target],
    output: Option<usize>,
}

impl Sink for Writer<'_, '_> {
    fn begin(&mut self, store: &Store) -> ControlFlow<()> {
        self.output = None;
        let mut work = self.work.borrow_mut();
        let facts = self.facts;
        let Some(target) = self.targets.iter().find(|target| target.is(store, facts)) else {
            return ControlFlow::Break(());
        };
        let title = match target {
            Target::Path { title, .. } => Some(title.clone()),
            _ => None,
        };
        let mut output = Output::of(store, title, facts);
        output.target = Some(target.clone());
        // One store may be what several choices mean.
        let met: Vec<Target> =
            self.targets.iter().filter(|target| target.is(store, facts)).cloned().collect();
        work.met.extend(met);
        self.output = work.begin(output);
        if self.output.is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn bytes(&mut self, _: &Store, chunk: Chunk<'_>) -> ControlFlow<()> {
        let Some(output) = self.output else { return ControlFlow::Break(()) };
        let mut work = self.work.borrow_mut();
        if let (Some((image, ancestor)), Some(output)) = (chunk.pages, work.outputs.get_mut(output)) {
            output.pages.insert((ancestor, image.to_owned()));
        }
        work.write(output, chunk.at, chunk.bytes)
    }

    fn end(&mut self, _: &Store, contents: &Contents) {
        let mut work = self.work.borrow_mut();
        if let Some(output) = self.output.take().and_then(|output| work.outputs.get_mut(output)) {
            output.contents = contents.clone();
        }
    }
}

/// Writes what the choices lead to into a directory, which is made if there is none. No file of it is ever replaced.
///
/// # Errors
/// When a file can't be written or is there already, when the evidence can't be read a second time and that is needed, when the caller asked to stop. Nothing half
/// written is left behind then.
pub fn recover(looked_at: LookedAt<'_>, choices: &[Choice], directory: &Path) -> Result<Answer, Error> {
    let LookedAt { case, id, model, context } = looked_at;
    let facts = Facts::of(model);
    let (targets, mut nowhere) = targets(looked_at, choices);
    let work = RefCell::new(Work {
        looked_at,
        directory: directory.to_owned(),
        names: Names::default(),
        files: Outputs::default(),
        outputs: Vec::new(),
        met: HashSet::new(),
        absent: Vec::new(),
        too_large: Vec::new(),
        findings: Findings::default(),
        failure: None,
    });
    let make = || Writer { work: &work, facts: &facts, targets: &targets, output: None };
    let classes: Classes =
        Class::all().filter(|class| targets.iter().any(|target| target.classes().has(*class))).collect();
    let mut reading = Reading::new(case, id, model, classes, context, None, &make);
    let question = || Together::new(Pages::new(&work, &targets), SharedBytes::new(&make));
    let answered = memory::answer_beside(case, id, context, None, question, reading.beside())?;
    let Together { first: pages, second: shared, .. } = answered.question;
    pages.close();
    let mut parts = shared.into_parts(&answered.memory, &facts);
    let (others, mut findings) = reading.finish(case);
    parts.extend(others);
    findings.extend(of_interest(&work.borrow(), &parts));
    drop((pages, parts));

    let mut work = work.into_inner();
    if let Some(failure) = work.failure {
        return Err(failure);
    }
    if context.cancelled() {
        return Err(EvidenceError::Cancelled.into());
    }
    // Mapped pages are what is left of a file that no archive has.
    let has_file = |path: &[u8]| {
        let of_archive = work.outputs.iter().filter(|output| output.origin == Origin::Archive);
        of_archive
            .into_iter()
            .any(|output| output.title.as_deref() == Some(path) && output.contents.lacks.is_empty())
    };
    let mut dropped: HashSet<usize> = (0..work.outputs.len())
        .filter(|&number| {
            let output = &work.outputs[number];
            let title = output.title.as_deref().unwrap_or_default();
            output.origin == Origin::MappedPages && has_file(title)
        })
        .collect();
    // A queue in which nothing waited is no file.
    let is_empty = |output: &Output| output.origin == Origin::Queue && output.contents.len == 0;
    let (empty, filled): (Vec<usize>, Vec<usize>) =
        (0..work.outputs.len()).partition(|&number| is_empty(&work.outputs[number]));
    let with_bytes: HashSet<&Target> =
        filled.iter().filter_map(|&number| work.outputs[number].target.as_ref()).collect();
    let without = empty.iter().filter_map(|&number| work.outputs[number].target.as_ref());
    for target in without.filter(|target| !with_bytes.contains(target)) {
        work.met.remove(target);
    }
    dropped.extend(empty);
    let has_pages = |path: &[u8]| {
        let pages = work.outputs.iter().filter(|output| output.origin == Origin::MappedPages);
        pages.into_iter().any(|output| output.title.as_deref() == Some(path))
    };
    for target in targets.iter().filter(|target| !work.met.contains(*target)) {
        let is_in_pages = matches!(target, Target::Path { path, .. } if has_pages(path));
        nowhere.extend(target.absent().filter(|_| !is_in_pages));
    }
    let is_told = |target: &Target| {
        let Target::Mapped { path, .. } = target else { return true };
        !targets.iter().any(|other| matches!(other, Target::Path { path: other, .. } if other == path))
    };
    nowhere
        .extend(work.absent.iter().filter(|(target, _)| is_told(target)).map(|(_, absent)| absent.clone()));
    let recovered = work.complete(&mut dropped)?;
    let kept: HashSet<usize> = (0..work.outputs.len())
        .filter(|number| !dropped.contains(number))
        .map(|number| work.outputs[number].file)
        .collect();
    let too_large = std::mem::take(&mut work.too_large);
    work.files.persist(false, |file| kept.contains(&file))?;
    findings.extend(std::mem::take(&mut work.findings));
    findings.settle();
    Ok(Answer { recovered, not_there: nowhere, too_large, findings })
}

/// What is wrong with the members that were wanted, or may have held what was wanted.
fn of_interest<S>(work: &Work<'_>, parts: &[Part<S>]) -> Findings {
    let mut findings = Findings::default();
    for part in parts {
        let is_wanted = part.stores.iter().any(|(store, _)| {
            work.outputs.iter().any(|output| {
                output.member == *store.member && output.inner.as_deref() == store.inner.as_deref()
            })
        });
        let is_shared = part.stores.iter().any(|(store, _)| matches!(store.kind, Kind::Shared(_)));
        if is_wanted || !is_shared {
            findings.extend(part.findings.clone());
        }
    }
    findings
}
