//! One search over everything that holds bytes in a dump: memory, shared objects, and all other stores.

use std::rc::Rc;

use container_checkpoint::context::Context;
use container_checkpoint::error::{Error, Result};
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{self, Beside, Memory, Ride};
use container_checkpoint::model::Model;

use super::elsewhere::{Common, Elsewhere, StoreSearch};
use super::scan::Scanner;
use super::{Counts, Keep, Kept, Matches, Options, Search, Who};
use crate::LookedAt;
use crate::stores::{Both, Class, Classes, Facts, Make, Reading, Rider, Store};

/// A search over the memory of processes and some classes of stores.
///
/// Shared objects, and the memory files among them, are searched with the memory: a place that processes and an object have is one [`Match`](super::Match).
#[derive(Debug)]
pub struct Everywhere {
    options: Options,
    classes: Classes,
    common: Rc<Common>,
}

/// Who rides along with the first pass over an evidence.
pub type Riders<'m> = Both<Ride<'m, Search>, Rider<'m, StoreSearch>>;

/// What was found in a dump.
#[derive(Debug)]
pub struct FoundEverywhere {
    /// Its memory; empty when neither memory nor shared objects were searched.
    pub memory: Memory,
    /// Who holds the stores, and what they are called.
    pub facts: Facts,
    /// Matches in memory by process and address, then those that only shared objects have. None where they were only counted.
    pub matches: Matches,
    /// For each process that was searched, how many of its bytes were.
    pub searched: Vec<(Pid, u64)>,
    /// Matches in other stores, by class, by stored order, by place. None where they were only counted.
    pub elsewhere: Elsewhere,
    /// The counts of memory, where it was only counted.
    counted: Option<Counts>,
    /// Whether there were more than there was room for.
    pub is_truncated: bool,
    /// What could not be searched.
    pub findings: Findings,
    /// Keeps the room taken.
    kept: Vec<Kept>,
}

impl FoundEverywhere {
    /// How many matches there are, and who has them. Where only presence was asked for: at least one where there are any.
    pub fn counts(&self) -> Counts {
        let mut counts = self.counted.clone().unwrap_or_else(|| Counts::of(&self.matches));
        counts.stores = self.elsewhere.counts();
        counts.places += counts.stores.iter().map(|(_, count)| count).sum::<u64>();
        counts
    }

    /// Drops all but the first matches that were kept: those in memory come first.
    pub fn truncate(&mut self, most: usize) {
        self.matches.truncate(most);
        self.elsewhere.truncate(most - self.matches.len());
    }
}

impl Everywhere {
    /// Prepares a search of the memory, if the options say so, and of stores of these classes.
    pub fn new(mut options: Options, classes: Classes) -> Self {
        options.scope.objects = classes.has(Class::Shared) || classes.has(Class::Files);
        let scanner = Scanner::new(options.patterns.clone(), options.context, options.threads);
        let common = Common::new(scanner, options.room.clone(), options.keep);
        Self { options, classes, common }
    }

    /// Searches one member.
    pub fn sink(&self) -> StoreSearch {
        StoreSearch::new(&self.common)
    }

    /// A passenger for the first pass over an evidence; `make` gives what [`Everywhere::sink`] does.
    pub fn riders<'m>(&'m self, context: &Context, make: Make<'m, StoreSearch>) -> Riders<'m> {
        let question = || Search::new(self.options.clone());
        Both::new(Ride::new(question), Rider::new(self.classes, context, make))
    }

    /// Searches a dump, in as few passes as its evidence allows.
    ///
    /// # Errors
    /// When another pass is needed and the evidence could be read only once, or can't be read any more.
    pub fn answer<'m>(
        &'m self,
        looked_at: LookedAt<'_>,
        riders: Option<&mut Riders<'m>>,
        make: Make<'m, StoreSearch>,
    ) -> Result<FoundEverywhere> {
        let LookedAt { case, id, model, context } = looked_at;
        let (ride, rider) =
            riders.map_or((None, None), |both| (Some(&mut both.first), Some(&mut both.second)));
        let mut found = FoundEverywhere {
            memory: Memory::default(),
            facts: Facts::of(model),
            matches: Matches::default(),
            searched: Vec::new(),
            elsewhere: Elsewhere::new(&self.common.scanner),
            counted: None,
            is_truncated: false,
            findings: Findings::default(),
            kept: Vec::new(),
        };
        let mut reading = Reading::new(case, id, model, self.classes, context, rider, make);
        let scope = self.options.scope;
        if scope.processes || scope.objects {
            let question = || Search::new(self.options.clone());
            let answered = memory::answer_beside(case, id, context, ride, question, reading.beside())?;
            (found.memory, found.findings) = (answered.memory, answered.findings);
            self.add_memory(answered.question, model, &mut found);
        } else if let Some(Beside { passenger, .. }) = reading.beside() {
            match case.evidence(id).pass_again(context, passenger) {
                Err(changed @ Error::Changed { .. }) => {
                    found.findings.gap("contents", case.evidence(id).name(), changed);
                }
                result => result?,
            }
        }
        let (parts, missed) = reading.finish(case);
        found.findings.extend(missed);
        for part in parts {
            found.findings.extend(part.findings);
            self.add_stores(part.sink, &mut found);
        }
        Ok(found)
    }

    fn add_memory(&self, mut search: Search, model: &Model, found: &mut FoundEverywhere) {
        let FoundEverywhere { memory, facts, matches, searched, findings, counted, .. } = found;
        let selection = &self.options.selection;
        let is_asked_for = |pid| selection.has_process(pid) && model.has_lived(pid);
        let tells = |who| match who {
            Who::Process(pid) => model.has_lived(pid),
            Who::Object(id) => {
                let store = Store::of_object(id);
                store.is_in(self.classes, facts.is_memory_file(id)) && self.is_held(&store, facts)
            }
        };
        match self.options.keep {
            Keep::Matches => *matches = search.matches(memory, &tells),
            Keep::Counts | Keep::Presence => *counted = Some(search.counts(memory, &tells)),
        }
        if self.options.scope.processes {
            let pids = memory.spaces.iter().map(|space| space.pid).zip(search.searched(memory));
            *searched = pids.filter(|&(pid, _)| is_asked_for(pid)).collect();
        }
        if self.options.scope.objects {
            // Those of objects that processes map are told with their memory.
            memory.shared.iter().for_each(|shared| findings.extend(shared.findings.clone()));
        }
        findings.extend(search.unsearched());
        found.is_truncated |= search.is_truncated();
        found.kept.push(search.kept);
    }

    fn add_stores(&self, sink: StoreSearch, found: &mut FoundEverywhere) {
        found.is_truncated |= sink.kept.is_full();
        let FoundEverywhere { facts, elsewhere, .. } = found;
        let kept = elsewhere.add(sink, |store| self.is_held(store, facts));
        found.kept.push(kept);
    }

    /// Whether a process that was chosen holds a store.
    fn is_held(&self, store: &Store, facts: &Facts) -> bool {
        let selection = &self.options.selection;
        selection.pids.is_empty()
            || facts.holders(store).iter().any(|holder| selection.has_process(holder.pid()))
    }
}
