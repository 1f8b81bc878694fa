//! Asking a question of a dump's pages, in as few passes as its evidence allows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::ops::ControlFlow;

use super::visit::{Schedule, Want};
use super::{Memory, Ride};
use crate::case::{Case, DumpId};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::evidence::{Index, Member, MemberId, Passenger};
use crate::gap::Findings;

/// A question to the pages of one dump.
pub trait Question {
    /// Which ranges it wants to see. Called anew, and everything seen so far forgotten, when a pass has to be made again.
    fn wants(&mut self, memory: &Memory) -> Vec<Want>;

    /// Bytes of a want: its number in the list, how far into it they begin. Pieces of one want come in order; wants come in any order, and mixed.
    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()>;

    /// No more bytes will come: what came short stays short. Called once, at the end of [`answer`].
    fn finish(&mut self) {}
}

/// A question that was answered, and what it was answered from.
#[derive(Debug)]
pub struct Answered<Q> {
    /// The question, with what it has seen.
    pub question: Q,
    /// The address spaces of the dump.
    pub memory: Memory,
    /// What could not be shown to it.
    pub findings: Findings,
}

/// A question that was shown what it wants, as far as that is there.
pub(super) struct Shown<Q> {
    pub(super) question: Q,
    pub(super) wants: Vec<Want>,
    /// One for each source of bytes.
    pub(super) schedules: Vec<Schedule>,
}

/// Asks a question of a dump's pages. What a [`Ride`] has answered already is not read again.
///
/// # Errors
/// When a second pass is needed and the evidence could be read only once, or can't be read any more.
pub fn answer<Q: Question>(
    case: &Case,
    id: DumpId,
    context: &Context,
    ride: Option<&mut Ride<'_, Q>>,
    make: impl FnOnce() -> Q,
) -> Result<Answered<Q>> {
    let memory = Memory::of(case, id);
    let mut findings = memory.findings.clone();
    let mut shown = match ride.and_then(|ride| ride.take(case, id, &memory)) {
        Some(shown) => shown,
        None => Reading { case, memory: &memory, context }.show(make(), &mut findings)?,
    };
    shown.question.finish();
    shown.report_unserved(&memory, &mut findings);
    Ok(Answered { question: shown.question, memory, findings })
}

/// Where bytes are: the evidence's number in the case, and the member.
type Source = (usize, MemberId);

struct Reading<'a> {
    case: &'a Case,
    memory: &'a Memory,
    context: &'a Context,
}

impl Reading<'_> {
    /// Reads what lies at an offset at once, and makes one pass over each evidence in which the rest goes by.
    fn show<Q: Question>(&self, mut question: Q, findings: &mut Findings) -> Result<Shown<Q>> {
        let wants = question.wants(self.memory);
        let sources: Vec<Option<Source>> =
            self.memory.objects.iter().map(|object| self.source(object)).collect();
        let mut schedules =
            Schedule::by_source(&wants, |object| sources.get(object.0 as usize).copied().flatten());
        let mut passing = BTreeSet::new();
        let mut has_enough = false;
        for (&(evidence, member), schedule) in &mut schedules {
            let Some(bytes) = self.case.evidences[evidence].evidence.index().member(member).body.at_hand()
            else {
                passing.insert(evidence);
                continue;
            };
            // A source that fails in the middle leaves the rest unserved, and that is reported.
            let _ = schedule.serve_from(&bytes, &mut |want, at, bytes| match self.context.cancelled() {
                true => ControlFlow::Break(()),
                false => question.bytes(want, at, bytes),
            });
            has_enough = schedule.stopped;
            if has_enough || self.context.cancelled() {
                break;
            }
        }
        for evidence in passing {
            if has_enough || self.context.cancelled() {
                break;
            }
            let opened = &self.case.evidences[evidence].evidence;
            let mut passenger =
                Selected { question: &mut question, evidence, schedules: &mut schedules, has_enough: false };
            let result = opened.pass_again(self.context, &mut passenger);
            has_enough = passenger.has_enough;
            match result {
                Err(changed @ Error::Changed { .. }) => findings.gap("stored pages", opened.name(), changed),
                result => result?,
            }
        }
        Ok(Shown { question, wants, schedules: schedules.into_values().collect() })
    }

    /// Where an object's bytes are, if its image is there and can be read.
    fn source(&self, object: &super::Object) -> Option<Source> {
        let owner = *self.memory.ancestry.get(object.ancestor)?;
        let files = self.case.dump(owner).image_files(self.case.evidence(owner).index());
        let member = files.member(object.image.as_bytes())?;
        self.case.evidence(owner).index().member(member).can_be_read().then_some((owner.evidence, member))
    }
}

/// Serves page images in a second pass.
struct Selected<'a, Q> {
    question: &'a mut Q,
    evidence: usize,
    schedules: &'a mut BTreeMap<Source, Schedule>,
    /// The question wants to see no more.
    has_enough: bool,
}

impl<Q: Question> Passenger for Selected<'_, Q> {
    fn wants(&mut self, _: &Index, id: MemberId, _: &Member) -> bool {
        !self.has_enough && self.schedules.contains_key(&(self.evidence, id))
    }

    fn contents(&mut self, _: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        let Some(schedule) = self.schedules.get_mut(&(self.evidence, id)) else { return Ok(()) };
        let result =
            schedule.serve_passing(contents, &mut |want, at, bytes| self.question.bytes(want, at, bytes));
        self.has_enough = schedule.stopped;
        result
    }

    fn has_enough(&self) -> bool {
        self.has_enough
    }
}

impl<Q> Shown<Q> {
    /// What was wanted and did not come, a gap for each page image.
    fn report_unserved(&self, memory: &Memory, findings: &mut Findings) {
        // A question that has seen enough misses nothing.
        if self.schedules.iter().any(|schedule| schedule.stopped) {
            return;
        }
        // Of each object: the bytes that did not come, and whether its image is there.
        let mut objects = vec![(0u64, false); memory.objects.len()];
        for want in &self.wants {
            let (missing, _) = &mut objects[want.object.0 as usize];
            *missing = missing.saturating_add(want.len);
        }
        for (number, served) in self.schedules.iter().flat_map(Schedule::served) {
            let (missing, is_there) = &mut objects[self.wants[number].object.0 as usize];
            *missing = missing.saturating_sub(served);
            *is_there = true;
        }
        for (object, (missing, is_there)) in memory.objects.iter().zip(objects) {
            if missing > 0 {
                let why = if is_there {
                    "the page image ends early"
                } else {
                    "the page image is not in the evidence, or nearly all holes"
                };
                findings.gap(
                    "stored pages",
                    &object.image,
                    format!("{why}: {missing} bytes that were asked for can't be had"),
                );
            }
        }
    }
}
