//! Shows the stores of a dump, in as few passes as its evidence allows.

use std::collections::HashMap;

use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::error::{Error, Result};
use container_checkpoint::evidence::MemberId;
use container_checkpoint::gap::Findings;
use container_checkpoint::memory::{self, Beside, Memory, Ride};
use container_checkpoint::model::Model;

use super::class::{Class, Classes};
use super::facts::Facts;
use super::feed::{From, Part, Source};
use super::rider::{Make, Rider, show};
use super::shared::SharedBytes;
use super::store::Sink;
use super::{plan, registers};

/// The stores of one dump that are not shared objects, while they are being read. [`read`] does all of it; this is for who has a question of his own to the pages,
/// and wants one pass for both.
#[derive(Debug)]
pub struct Reading<'m, S> {
    id: DumpId,
    sources: Vec<(MemberId, Source)>,
    parts: HashMap<MemberId, Part<S>>,
    registers: Option<Part<S>>,
    rider: Rider<'m, S>,
    findings: Findings,
}

impl<'m, S: Sink> Reading<'m, S> {
    /// Shows what is at hand, and takes over what a rider of the first pass was shown.
    pub fn new(
        case: &Case,
        id: DumpId,
        model: &Model,
        classes: Classes,
        context: &Context,
        ridden: Option<&mut Rider<'m, S>>,
        make: Make<'m, S>,
    ) -> Self {
        let (index, dump) = (case.evidence(id).index(), case.dump(id));
        let sources = plan::sources(index, dump, classes);
        let mut parts = HashMap::new();
        let mut findings = Findings::default();
        let mut left = HashMap::new();
        let mut ridden = ridden;
        for (member, source) in &sources {
            if context.cancelled() {
                break;
            }
            if let Some(part) = ridden.as_mut().and_then(|rider| rider.parts.remove(member)) {
                parts.insert(*member, part);
                continue;
            }
            let known = index.member(*member);
            match known.body.at_hand() {
                _ if !known.can_be_read() => {
                    let why = format!("{} of its {} bytes are holes", known.holes, known.size);
                    findings.gap("contents", String::from_utf8_lossy(&known.path), why);
                }
                Some(bytes) => {
                    let part = show(index, *member, source, From::Bytes(&bytes), context, make());
                    parts.insert(*member, part);
                }
                None => drop(left.insert(*member, source.clone())),
            }
        }
        let registers = classes.has(Class::Registers).then(|| {
            let mut part = Part::new(make());
            registers::show(model, dump, &mut part);
            part
        });
        let mut rider = Rider::new(classes, context, make);
        rider.only = Some(left);
        Self { id, sources, parts, registers, rider, findings }
    }

    /// Who has to be in another pass over the evidence, if what is left makes one necessary.
    pub fn beside(&mut self) -> Option<Beside<'_>> {
        let is_needed = self.rider.only.as_ref().is_some_and(|only| !only.is_empty());
        is_needed.then_some(Beside { evidence: self.id.evidence, passenger: &mut self.rider })
    }

    /// What was shown, by class and then in stored order.
    pub fn finish(mut self, case: &Case) -> (Vec<Part<S>>, Findings) {
        self.parts.extend(std::mem::take(&mut self.rider.parts));
        let index = case.evidence(self.id).index();
        let mut parts = Vec::new();
        let mut registers = self.registers;
        for (member, source) in &self.sources {
            let path = &index.member(*member).path;
            if plan::class(source, path) > Class::Registers {
                parts.extend(registers.take());
            }
            match self.parts.remove(member) {
                Some(part) => parts.push(part),
                None if self.rider.only.as_ref().is_some_and(|only| only.contains_key(member)) => {
                    let why = "it did not come by in another pass";
                    self.findings.gap("contents", String::from_utf8_lossy(path), why);
                }
                None => {}
            }
        }
        parts.extend(registers);
        (parts, self.findings)
    }
}

/// What rode along when the evidence was opened: for stores, and for shared objects.
pub type Rides<'r, 'm, S> = (&'r mut Rider<'m, S>, &'r mut Ride<'m, SharedBytes<'m, S>>);

/// The stores of a dump, shown.
#[derive(Debug)]
pub struct Answer<S> {
    /// One for each member of the evidence and each shared object that holds stores, by class and then in stored order.
    pub parts: Vec<Part<S>>,
    /// The address spaces, when shared objects were asked for.
    pub memory: Option<Memory>,
    /// What could not be shown at all; what is missing of a part is told there.
    pub findings: Findings,
}

/// Shows the stores of some classes of a dump. Memory files are shared objects: they are shown for [`Class::Shared`] and for [`Class::Files`].
///
/// # Errors
/// When another pass is needed and the evidence could be read only once, or can't be read any more; when the caller asked to stop.
pub fn read<'m, S: Sink>(
    case: &Case,
    id: DumpId,
    model: &Model,
    classes: Classes,
    context: &Context,
    rides: Option<Rides<'_, 'm, S>>,
    make: Make<'m, S>,
) -> Result<Answer<S>> {
    let (rider, ride) = rides.map_or((None, None), |(rider, ride)| (Some(rider), Some(ride)));
    let facts = Facts::of(model);
    let mut reading = Reading::new(case, id, model, classes, context, rider, make);
    let mut parts = Vec::new();
    let mut findings = Findings::default();
    let mut memory = None;
    let shows_objects = classes.has(Class::Shared) || classes.has(Class::Files);
    if shows_objects {
        let answered =
            memory::answer_beside(case, id, context, ride, || SharedBytes::new(make), reading.beside())?;
        let objects = answered.question.into_parts(&answered.memory, &facts);
        parts.extend(objects.into_iter().filter(|part| {
            part.stores.iter().all(|(store, _)| {
                let super::Kind::Shared(object) = store.kind else { return true };
                store.is_in(classes, facts.is_memory_file(object))
            })
        }));
        memory = Some(answered.memory);
    } else if let Some(Beside { passenger, .. }) = reading.beside() {
        case.evidence(id).pass_again(context, passenger)?;
    }
    if context.cancelled() {
        return Err(Error::Cancelled);
    }
    let (others, missed) = reading.finish(case);
    parts.extend(others);
    findings.extend(missed);
    Ok(Answer { parts, memory, findings })
}
