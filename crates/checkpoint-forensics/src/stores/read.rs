//! Shows the stores of a dump, in as few passes as its evidence allows.

use std::collections::HashMap;

use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::error::{Error, Result};
use container_checkpoint::gap::Findings;
use container_checkpoint::memory::{self, Beside, Memory, Ride};
use container_checkpoint::model::Model;

use super::class::{Class, Classes};
use super::facts::Facts;
use super::feed::{From, Part};
use super::plan::Place;
use super::rider::{Make, Rider, show};
use super::shared::SharedBytes;
use super::store::Sink;
use super::{plan, registers};

/// The stores of one dump that are not shared objects, while they are being read. [`read`] does all of it; this is for who has a question of his own to the pages,
/// and wants one pass for both.
#[derive(Debug)]
pub struct Reading<'m, S> {
    id: DumpId,
    places: Vec<Place>,
    /// What was shown of each place.
    parts: Vec<Option<Part<S>>>,
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
        ridden: Option<&mut Rider<'_, S>>,
        make: Make<'m, S>,
    ) -> Self {
        let (index, dump) = (case.evidence(id).index(), case.dump(id));
        let places = plan::places(index, dump, classes);
        let mut parts = Vec::new();
        let mut findings = Findings::default();
        let mut left = HashMap::new();
        let mut ridden = ridden;
        for place in &places {
            let known = index.member(place.id);
            let shown = ridden.as_mut().filter(|_| known.path == place.path);
            let mut part = shown.and_then(|rider| rider.parts.remove(&place.id));
            if part.is_none() && !context.cancelled() {
                match known.body.at_hand() {
                    _ if !known.can_be_read() => {
                        let why = format!("{} of its {} bytes are holes", known.holes, known.size);
                        findings.gap("contents", String::from_utf8_lossy(&place.path), why);
                    }
                    Some(bytes) => part = Some(show(index, place, From::Bytes(&bytes), context, make())),
                    // Of several names of one member the first is shown what goes by.
                    None => drop(left.entry(place.id).or_insert_with(|| place.clone())),
                }
            }
            parts.push(part);
        }
        let registers = classes.has(Class::Registers).then(|| {
            let mut part = Part::new(make());
            registers::show(model, dump, &mut part);
            part
        });
        let mut rider = Rider::new(classes, context, make);
        rider.only = Some(left);
        Self { id, places, parts, registers, rider, findings }
    }

    /// Who has to be in another pass over the evidence, if what is left makes one necessary.
    pub fn beside(&mut self) -> Option<Beside<'_>> {
        let is_needed = self.rider.only.as_ref().is_some_and(|only| !only.is_empty());
        is_needed.then_some(Beside { evidence: self.id.evidence, passenger: &mut self.rider })
    }

    /// What was shown, by class and then in stored order.
    pub fn finish(mut self, case: &Case) -> (Vec<Part<S>>, Findings) {
        let mut parts = Vec::new();
        let mut registers = self.registers;
        let index = case.evidence(self.id).index();
        for (place, part) in self.places.iter().zip(self.parts) {
            if plan::class(&place.source, &place.path) > Class::Registers {
                parts.extend(registers.take());
            }
            let is_left = self.rider.only.as_ref().and_then(|only| only.get(&place.id)) == Some(place);
            match part.or_else(|| is_left.then(|| self.rider.parts.remove(&place.id)).flatten()) {
                Some(part) => parts.push(part),
                None if index.member(place.id).can_be_read() => {
                    let why = if is_left {
                        "it did not come by in another pass"
                    } else {
                        "a further name of a member that goes by once; it was read under the other name"
                    };
                    self.findings.gap("contents", String::from_utf8_lossy(&place.path), why);
                }
                None => {} // told before
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
        match case.evidence(id).pass_again(context, passenger) {
            // What came before the change was shown; what did not is told below.
            Err(changed @ Error::Changed { .. }) => {
                findings.gap("contents", case.evidence(id).name(), changed);
            }
            result => result?,
        }
    }
    if context.cancelled() {
        return Err(Error::Cancelled);
    }
    let (others, missed) = reading.finish(case);
    parts.extend(others);
    findings.extend(missed);
    Ok(Answer { parts, memory, findings })
}
