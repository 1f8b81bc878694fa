//! What there is to recover.

use std::ops::ControlFlow;

use container_checkpoint::model::{Deleted, FileKind};

use super::{Choice, Error, Origin};
use crate::LookedAt;
use crate::stores::{self, Chunk, Class, Classes, Contents, Facts, Holder, Kind, Rides, Sink, Store};
use container_checkpoint::gap::Findings;

/// A sink that wants no bytes: the lengths of stores are enough.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lister;

impl Sink for Lister {
    fn begin(&mut self, _: &Store) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn bytes(&mut self, _: &Store, _: Chunk<'_>) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

/// Something that can be recovered.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What chooses it.
    pub choice: Choice,
    /// Where its bytes are from.
    pub origin: Origin,
    /// What it was called in the container.
    pub title: Option<Vec<u8>>,
    /// Who holds it.
    pub holders: Vec<Holder>,
    /// The member of the evidence that holds it or says where it is.
    pub member: Vec<u8>,
    /// Its length in bytes, if that is known without reading it.
    pub len: Option<u64>,
    /// How many of these can't be had, as far as is known without reading it.
    pub lacking: u64,
}

/// The classes of stores that a rider has to show for a list.
pub fn rider_classes() -> Classes {
    [Class::Files, Class::Queues].into_iter().collect()
}

/// What can be recovered of a dump, in a fixed order: deleted files, memory files, shared memory, queues. A rider of the first pass makes another one unnecessary.
///
/// # Errors
/// When the evidence has to be read again and can't be, when the caller asked to stop.
pub fn list<'m>(
    looked_at: LookedAt<'_>,
    rides: Option<Rides<'_, 'm, Lister>>,
    make: stores::Make<'m, Lister>,
) -> Result<(Vec<Candidate>, Findings), Error> {
    let LookedAt { case, id, model, context } = looked_at;
    let facts = Facts::of(model);
    let classes = [Class::Shared, Class::Files, Class::Queues].into_iter().collect();
    let answer = stores::read(case, id, model, classes, context, rides, make)?;
    let mut findings = answer.findings;
    let mut all = Vec::new();
    for part in answer.parts {
        let stores = part.stores.iter().filter_map(|(store, contents)| candidate(store, contents, &facts));
        all.extend(stores);
        if let (Some((store, _)), 1..) = (part.stores.last(), part.unlisted) {
            let why = format!("{} more of them are not listed", part.unlisted);
            findings.gap("stores", String::from_utf8_lossy(&store.member), why);
        }
        findings.extend(part.findings);
    }
    all.extend(linked(looked_at));
    // The order in which an archive has them is no order of theirs.
    all.sort_by(|a, b| order(a).cmp(&order(b)));
    findings.settle();
    Ok((all, findings))
}

fn order(candidate: &Candidate) -> (Origin, u64, &[u8]) {
    let number = match candidate.choice {
        Choice::Ghost(id) => id.into(),
        Choice::Shared(id) => id,
        _ => u64::MAX,
    };
    (candidate.origin, number, &candidate.member)
}

fn candidate(store: &Store, contents: &Contents, facts: &Facts) -> Option<Candidate> {
    let (choice, origin) = match &store.kind {
        Kind::Ghost(id) => (Choice::Ghost(*id), Origin::Ghost),
        Kind::Shared(id) if facts.is_memory_file(*id) => (Choice::Shared(id.0), Origin::Memfd),
        Kind::Shared(id) => (Choice::Shared(id.0), Origin::Shared),
        Kind::Archived(_) => return None,
        _ if contents.len == 0 => return None,
        _ => (Choice::Queue(String::from_utf8_lossy(&store.name()).into_owned()), Origin::Queue),
    };
    Some(Candidate {
        choice,
        origin,
        title: facts.title(store),
        holders: facts.holders(store),
        member: store.member.to_vec(),
        len: Some(contents.len),
        lacking: contents.lacking(),
    })
}

/// Deleted files that CRIU linked elsewhere: an archive of files has them, and a descriptor leads there.
fn linked(looked_at: LookedAt<'_>) -> impl Iterator<Item = Candidate> + '_ {
    let model = looked_at.model;
    model.files.iter().filter_map(move |file| {
        let FileKind::Regular(regular) = &file.kind else { return None };
        let Some(Deleted::Linked { file: link }) = regular.deleted else { return None };
        let open = model.processes.iter().find_map(|process| {
            let table = process.open_files.known()?;
            let open = table.iter().find(|open| open.file == file.id)?;
            Some((process.pid, open.fd))
        });
        let (pid, fd) = open?;
        let path = model.files.with_path(link)?.regular()?.path.clone();
        Some(Candidate {
            choice: Choice::Descriptor(pid, fd),
            origin: Origin::Ghost,
            title: Some(regular.path.clone()),
            holders: vec![Holder::Descriptor(pid, fd)],
            member: path,
            len: regular.size.known().copied(),
            lacking: 0,
        })
    })
}
