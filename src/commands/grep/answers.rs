//! What was found in one dump, and who is told of it.

use std::collections::BTreeMap;

use checkpoint_forensics::search::{Encoding, FoundEverywhere, Match, Room, StoreMatch};
use checkpoint_forensics::stores::{Holder, Store};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::gap::Field;
use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::memory::Selection;
use container_checkpoint::model::{Mapping, Model, SharedObjectId};

/// What was found in one dump.
pub struct Answers<'c> {
    pub checkpoint: Checkpoint<'c>,
    pub model: Model,
    pub found: FoundEverywhere,
}

/// A match, wherever it is.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    pub pattern: usize,
    pub encoding: Option<Encoding>,
    pub text: &'a [u8],
    pub is_cut: bool,
    pub before: &'a [u8],
    pub after: &'a [u8],
}

impl<'a> From<&'a Match> for Bytes<'a> {
    fn from(found: &'a Match) -> Self {
        let Match { pattern, encoding, text, is_cut, before, after, .. } = found;
        Self { pattern: *pattern, encoding: *encoding, text, is_cut: *is_cut, before, after }
    }
}

impl<'a> From<&'a StoreMatch> for Bytes<'a> {
    fn from(found: &'a StoreMatch) -> Self {
        let StoreMatch { pattern, encoding, text, is_cut, before, after, .. } = found;
        Self { pattern: *pattern, encoding: *encoding, text, is_cut: *is_cut, before, after }
    }
}

/// Who has matches, and how many.
pub enum Count {
    /// A process; `None` where nothing of it could be searched.
    Process(Pid, Option<u64>),
    Store(Store, u64),
}

impl<'c> Answers<'c> {
    /// Takes the answer of a search; at most `most` matches of it.
    pub fn new(
        checkpoint: Checkpoint<'c>,
        model: Model,
        mut found: FoundEverywhere,
        selection: &Selection,
        most: Option<usize>,
        room: &Room,
    ) -> Self {
        // Names come from the model; what it lacks beside memory is no gap of a search.
        let findings = &mut found.findings;
        findings.extend(checkpoint.evidence_findings().clone());
        if found.is_truncated {
            let why = format!("there are more than {}; raise --max-matches", room.text());
            findings.gap("matches", "all that was searched", why);
        }
        for &pid in &selection.pids {
            if found.memory.space(pid).is_none() && model.processes.get(pid).is_none() {
                findings.gap("memory", format!("pid {pid}"), "the dump has no memory of such a process");
            }
        }
        findings.settle();
        let most = most.unwrap_or(usize::MAX);
        found.matches.truncate(most);
        found.elsewhere.truncate(most - found.matches.len().min(most));
        Self { checkpoint, model, found }
    }

    /// How many places have a match.
    pub fn places(&self) -> usize {
        self.found.matches.len() + self.found.elsewhere.len()
    }

    /// The name of a process, if it is known.
    pub fn command(&self, pid: Pid) -> Option<&[u8]> {
        match &self.model.processes.get(pid)?.command {
            Field::Known(command) => Some(command),
            _ => None,
        }
    }

    /// The mapping at an address of a process.
    pub fn mapping(&self, pid: Pid, at: VirtualAddress) -> Option<&Mapping> {
        self.found.memory.space(pid)?.mapping_at(at)
    }

    pub fn holders(&self, store: &Store) -> Vec<Holder> {
        self.found.facts.holders(store)
    }

    /// A match for each process and address that sees it, ascending.
    pub fn in_processes(&self) -> Vec<(Pid, VirtualAddress, &Match)> {
        let mut all: Vec<_> = self
            .found
            .matches
            .iter()
            .flat_map(|found| found.sightings.iter().map(move |&(pid, at)| (pid, at, found)))
            .collect();
        all.sort_by_key(|&(pid, at, found)| (pid, at, found.text.len(), found.pattern, found.encoding));
        all
    }

    /// A match for each shared object and place in it, ascending.
    pub fn in_objects(&self) -> Vec<(SharedObjectId, u64, &Match)> {
        let mut all: Vec<_> = self
            .found
            .matches
            .iter()
            .flat_map(|found| found.objects.iter().map(move |&(id, at)| (id, at, found)))
            .collect();
        all.sort_by_key(|&(id, at, found)| (id, at, found.text.len(), found.pattern, found.encoding));
        all
    }

    /// How many matches each process that was searched has, and each store that has some.
    pub fn counts(&self) -> Vec<Count> {
        // A process that sees the same bytes at two addresses has two matches.
        let mut by_process: BTreeMap<Pid, u64> = BTreeMap::new();
        let mut by_object: BTreeMap<SharedObjectId, u64> = BTreeMap::new();
        for found in &self.found.matches {
            found.sightings.iter().for_each(|(pid, _)| *by_process.entry(*pid).or_default() += 1);
            found.objects.iter().for_each(|(id, _)| *by_object.entry(*id).or_default() += 1);
        }
        let of_process = |&(pid, bytes): &(Pid, u64)| {
            Count::Process(pid, (bytes > 0).then(|| by_process.get(&pid).copied().unwrap_or(0)))
        };
        let mut counts: Vec<Count> = self.found.searched.iter().map(of_process).collect();
        counts.extend(by_object.into_iter().map(|(id, count)| Count::Store(Store::of_object(id), count)));
        let by_store = self.found.elsewhere.chunk_by(|a, b| a.store == b.store);
        counts.extend(by_store.map(|all| Count::Store(Store::clone(&all[0].store), all.len() as u64)));
        counts
    }
}
