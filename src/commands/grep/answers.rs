//! What was found in one dump, and who is told of it.

use checkpoint_forensics::search::{Counts, Encoding, FoundEverywhere, Match, Room, StoreMatch};
use checkpoint_forensics::stores::{Holder, Store};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::gap::Field;
use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::memory::Selection;
use container_checkpoint::model::{Mapping, Model};

/// What was found in one dump.
pub struct Answers<'c> {
    pub checkpoint: Checkpoint<'c>,
    pub model: Model,
    pub found: FoundEverywhere,
    pub counts: Counts,
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

impl<'a> From<Match<'a>> for Bytes<'a> {
    fn from(found: Match<'a>) -> Self {
        let Match { pattern, encoding, text, is_cut, before, after, .. } = found;
        Self { pattern, encoding, text, is_cut, before, after }
    }
}

impl<'a> From<StoreMatch<'a>> for Bytes<'a> {
    fn from(found: StoreMatch<'a>) -> Self {
        let StoreMatch { pattern, encoding, text, is_cut, before, after, .. } = found;
        Self { pattern, encoding, text, is_cut, before, after }
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
            findings.gap("matches", "all that was searched", truncated(room));
        }
        for &pid in &selection.pids {
            if found.memory.space(pid).is_none() && model.processes.get(pid).is_none() {
                findings.gap("memory", format!("pid {pid}"), "the dump has no memory of such a process");
            }
        }
        findings.settle();
        found.truncate(most.unwrap_or(usize::MAX));
        let counts = found.counts();
        Self { checkpoint, model, found, counts }
    }

    /// How many places have a match.
    pub fn places(&self) -> u64 {
        self.counts.places
    }

    /// How many matches there are as processes see them and stores have them.
    pub fn sightings(&self) -> u64 {
        let Counts { processes, objects, stores, .. } = &self.counts;
        let of_stores = stores.iter().map(|(_, count)| count);
        processes.values().chain(objects.values()).chain(of_stores).sum()
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

    /// How many matches each process that was searched has, and each store that has some.
    pub fn counts(&self) -> Vec<Count> {
        // A process that sees the same bytes at two addresses has two matches.
        let Counts { processes, objects, stores, .. } = &self.counts;
        let of_process = |&(pid, bytes): &(Pid, u64)| {
            Count::Process(pid, (bytes > 0).then(|| processes.get(&pid).copied().unwrap_or(0)))
        };
        let mut counts: Vec<Count> = self.found.searched.iter().map(of_process).collect();
        counts.extend(objects.iter().map(|(&id, &count)| Count::Store(Store::of_object(id), count)));
        counts.extend(stores.iter().map(|(store, count)| Count::Store(Store::clone(store), *count)));
        counts
    }
}

/// Why matches are missing, and what to do. Which ones are kept follows from the order in which they are stored, which is not that of addresses.
pub fn truncated(room: &Room) -> String {
    format!(
        "there are more than {}: which ones are shown follows from how they are stored, others may stand before and between them; --max-matches keeps more, -c counts all",
        room.text()
    )
}
