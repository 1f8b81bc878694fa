//! One search over everything that holds bytes in a dump: memory, shared objects, and all other stores.

use std::rc::Rc;
use std::sync::Arc;

use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::error::{Error, Result};
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{self, Beside, Memory, Ride};
use container_checkpoint::model::Model;

use super::elsewhere::{Common, Found, StoreSearch};
use super::scan::{Hit, Scanner};
use super::{Encoding, Kept, Match, Options, Search};
use crate::stores::{Both, Class, Classes, Facts, Make, Reading, Rider, Store};

/// A search over the memory of processes and some classes of stores.
///
/// Shared objects, and the memory files among them, are searched with the memory: a place that processes and an object have is one [`Match`].
#[derive(Debug)]
pub struct Everywhere {
    options: Options,
    classes: Classes,
    common: Rc<Common>,
}

/// Who rides along with the first pass over an evidence.
pub type Riders<'m> = Both<Ride<'m, Search>, Rider<'m, StoreSearch>>;

/// Which dump is searched.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// All that is given.
    pub case: &'a Case,
    /// The dump.
    pub id: DumpId,
    /// What its images say.
    pub model: &'a Model,
    /// The readers' context.
    pub context: &'a Context,
}

/// A match in a store that is no memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreMatch {
    /// The store.
    pub store: Arc<Store>,
    /// Where it begins in the store, in bytes.
    pub at: u64,
    /// Where it begins in the store's member, or in the file of an archive, in bytes: not always the same, as a deleted file may have holes. Of a register 0.
    pub offset: u64,
    /// The number of the pattern, in the list that was compiled.
    pub pattern: usize,
    /// The encoding that matched; `None` for bytes in hexadecimal.
    pub encoding: Option<Encoding>,
    /// The bytes that matched.
    pub text: Vec<u8>,
    /// Whether the match may go on, and is told only as far as matches may be long.
    pub is_cut: bool,
    /// Bytes of the store right before them.
    pub before: Vec<u8>,
    /// Bytes of the store right behind them.
    pub after: Vec<u8>,
}

/// What was found in a dump.
#[derive(Debug)]
pub struct FoundEverywhere {
    /// Its memory; empty when neither memory nor shared objects were searched.
    pub memory: Memory,
    /// Who holds the stores, and what they are called.
    pub facts: Facts,
    /// Matches in memory by process and address, then those that only shared objects have.
    pub matches: Vec<Match>,
    /// For each process that was searched, how many of its bytes were.
    pub searched: Vec<(Pid, u64)>,
    /// Matches in other stores, by class, by stored order, by place.
    pub elsewhere: Vec<StoreMatch>,
    /// Whether there were more than there was room for.
    pub is_truncated: bool,
    /// What could not be searched.
    pub findings: Findings,
    /// Keeps the room taken.
    kept: Vec<Kept>,
}

impl Everywhere {
    /// Prepares a search of the memory, if the options say so, and of stores of these classes.
    pub fn new(mut options: Options, classes: Classes) -> Self {
        options.scope.objects = classes.has(Class::Shared) || classes.has(Class::Files);
        let scanner = Scanner::new(options.patterns.clone(), options.context, options.threads);
        let common = Common::new(scanner, options.room.clone());
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
        subject: Subject<'_>,
        riders: Option<&mut Riders<'m>>,
        make: Make<'m, StoreSearch>,
    ) -> Result<FoundEverywhere> {
        let Subject { case, id, model, context } = subject;
        let (ride, rider) =
            riders.map_or((None, None), |both| (Some(&mut both.first), Some(&mut both.second)));
        let mut found = FoundEverywhere {
            memory: Memory::default(),
            facts: Facts::of(model),
            matches: Vec::new(),
            searched: Vec::new(),
            elsewhere: Vec::new(),
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
        let FoundEverywhere { memory, facts, matches, searched, findings, .. } = found;
        let selection = &self.options.selection;
        let is_asked_for = |pid| selection.has_process(pid) && model.has_lived(pid);
        *matches = search.matches(memory, &|pid| model.has_lived(pid));
        for one in matches.iter_mut() {
            one.objects.retain(|&(id, _)| {
                let store = Store::of_object(id);
                store.is_in(self.classes, facts.is_memory_file(id)) && self.is_held(&store, facts)
            });
        }
        matches.retain(|one| !(one.sightings.is_empty() && one.objects.is_empty()));
        if self.options.scope.processes {
            let pids = memory.spaces.iter().map(|space| space.pid).zip(search.searched(memory));
            *searched = pids.filter(|&(pid, _)| is_asked_for(pid)).collect();
        }
        if self.options.scope.objects {
            // Those of objects that processes map are told with their memory.
            memory.shared.iter().for_each(|shared| findings.extend(shared.findings.clone()));
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
        found.is_truncated |= search.is_truncated();
        found.kept.push(search.found.kept);
    }

    fn add_stores(&self, sink: StoreSearch, found: &mut FoundEverywhere) {
        let StoreSearch { stores, found: hits, kept, .. } = sink;
        found.is_truncated |= kept.is_full();
        let stores: Vec<Option<Arc<Store>>> = stores
            .into_iter()
            .map(|store| self.is_held(&store, &found.facts).then(|| Arc::new(store)))
            .collect();
        let first = found.elsewhere.len();
        for Found { store: number, at, offset, hit } in hits {
            let Some(store) = stores[number].clone() else { continue };
            let Hit { pattern, encoding, text, is_cut, before, after, .. } = hit;
            let one = StoreMatch { store, at, offset, pattern, encoding, text, is_cut, before, after };
            found.elsewhere.push(one);
        }
        // Stores are in order; in each, matches of several patterns are mixed as blocks came.
        let key = |one: &StoreMatch| (one.at, one.text.len(), one.pattern, one.encoding);
        found.elsewhere[first..]
            .chunk_by_mut(|a, b| Arc::ptr_eq(&a.store, &b.store))
            .for_each(|of_store| of_store.sort_by_key(key));
        found.kept.push(kept);
    }

    /// Whether a process that was chosen holds a store.
    fn is_held(&self, store: &Store, facts: &Facts) -> bool {
        let selection = &self.options.selection;
        selection.pids.is_empty()
            || facts.holders(store).iter().any(|holder| selection.has_process(holder.pid()))
    }
}
