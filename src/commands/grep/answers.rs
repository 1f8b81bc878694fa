//! What was found in one dump, and who is told of it.

use checkpoint_forensics::search::{Match, Search};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::gap::{Field, Findings};
use container_checkpoint::ids::{Pid, VirtualAddress};
use container_checkpoint::memory::{self, Answered, Selection};
use container_checkpoint::model::{Mapping, Model};

/// What was found in one dump.
pub struct Answers<'c> {
    pub checkpoint: Checkpoint<'c>,
    pub model: Model,
    pub memory: memory::Memory,
    pub matches: Vec<Match>,
    /// For each process that was to be searched, how many of its bytes were.
    pub searched: Vec<(Pid, u64)>,
    pub findings: Findings,
}

impl<'c> Answers<'c> {
    /// Takes the answer of a search; at most `most` matches of it.
    pub fn new(
        checkpoint: Checkpoint<'c>,
        answered: Answered<Search>,
        selection: &Selection,
        most: Option<usize>,
        kept: usize,
    ) -> Self {
        let Answered { question, memory, mut findings } = answered;
        // Names come from the model; what it lacks beside memory is no gap of a search.
        let (model, _) = checkpoint.model();
        findings.extend(checkpoint.evidence_findings().clone());
        gaps_of_search(&question, kept, &mut findings);
        for &pid in &selection.pids {
            if memory.space(pid).is_none() {
                findings.gap("memory", format!("pid {pid}"), "the dump has no memory of such a process");
            }
        }
        findings.settle();
        let mut matches = question.matches(&memory, &|pid| lived(&model, pid));
        matches.truncate(most.unwrap_or(usize::MAX));
        let pids = memory.spaces.iter().map(|space| space.pid);
        let searched = pids.zip(question.searched(&memory));
        let searched =
            searched.filter(|&(pid, _)| selection.has_process(pid) && lived(&model, pid)).collect();
        Self { checkpoint, model, memory, matches, searched, findings }
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
        self.memory.space(pid)?.mapping_at(at)
    }

    /// How many matches each process that was to be searched has; `None` where nothing of it could be searched.
    pub fn counts(&self) -> Vec<(Pid, Option<u64>)> {
        // A process that sees the same bytes at two addresses has two matches.
        let mut seen: Vec<Pid> =
            self.matches.iter().flat_map(|found| &found.sightings).map(|&(pid, _)| pid).collect();
        seen.sort_unstable();
        let count =
            |pid| seen.partition_point(|other| *other <= pid) - seen.partition_point(|other| *other < pid);
        self.searched.iter().map(|&(pid, bytes)| (pid, (bytes > 0).then(|| count(pid) as u64))).collect()
    }
}

fn gaps_of_search(search: &Search, kept: usize, findings: &mut Findings) {
    if search.is_truncated() {
        findings.gap("matches", "memory", format!("more than {kept}; raise --max-matches"));
    }
    if search.left_out_memory() {
        let why = "stored memory is seen in too many places; choose processes with --pid";
        findings.gap("memory", "memory", why);
    }
    if let Some(longest) = search.longest_across_seams() {
        let why = format!(
            "memory is stored in so many pieces that matches of more than {longest} bytes across two of them may be missed"
        );
        findings.gap("matches", "memory", why);
    }
}

/// Whether a process is one of the dump's, not left over of another. A pre-dump does not list its processes, and a broken list leaves some out.
pub fn lived(model: &Model, pid: Pid) -> bool {
    model.is_pre_dump || !model.processes.is_whole() || model.processes.get(pid).is_some()
}
