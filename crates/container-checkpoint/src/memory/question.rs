//! Asking a question of a dump's pages, in as few passes as its evidence allows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::ops::ControlFlow;

use super::extent::{Lost, Missing, ObjectId};
use super::packing::PlainPart;
use super::visit::{Schedule, Want};
use super::{Memory, Ride};
use crate::case::{Case, DumpId};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::evidence::{Index, Member, MemberId, Passenger};
use crate::gap::Findings;

/// A question to the pages of one dump.
pub trait Question {
    /// Which ranges it wants to see. Called once.
    fn wants(&mut self, memory: &Memory) -> Vec<Want>;

    /// Bytes of a want: its number in the list, how far into it they begin. Parts of one want come in order; wants come in any order, and mixed.
    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()>;

    /// So many bytes of a want, from so far into it on, are in a block of a packed image that can't be unpacked. What is behind them comes; nothing may be joined over them.
    fn lost(&mut self, want: usize, at: u64, len: u64);

    /// Takes the next part of a want.
    fn part(&mut self, want: usize, at: u64, part: PlainPart<'_>) -> ControlFlow<()> {
        match part {
            PlainPart::Bytes(bytes) => self.bytes(want, at, bytes),
            PlainPart::Broken(len) => {
                self.lost(want, at, len);
                ControlFlow::Continue(())
            }
        }
    }

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
    pub(super) schedules: Vec<Scheduled>,
}

/// What is wanted of a source of bytes, and the page image that it is if that is packed.
pub(super) type Scheduled = (Option<ObjectId>, Schedule);

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
    answer_beside(case, id, context, ride, make, None)
}

/// The answer that a [`Ride`] has: `None` when it was asked too early. Nothing is read. For who would ask in another way when all is known.
pub fn ridden<Q: Question>(case: &Case, id: DumpId, ride: &mut Ride<'_, Q>) -> Option<Answered<Q>> {
    let memory = Memory::of(case, id);
    let findings = memory.findings.clone();
    let shown = ride.take(case, id, &memory)?;
    Some(shown.answered(memory, findings))
}

/// A passenger that has an errand of its own in the pass that a question needs: two questions to one stream cost one pass.
pub struct Beside<'a> {
    /// The evidence that it wants to see once more, by its number in the case.
    pub evidence: usize,
    /// The passenger. It is not shown the pages.
    pub passenger: &'a mut dyn Passenger,
}

impl std::fmt::Debug for Beside<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beside").field("evidence", &self.evidence).finish_non_exhaustive()
    }
}

/// As [`answer`], with somebody beside who is shown the other members of one evidence in the same pass. That pass is made even if the question needs none.
///
/// # Errors
/// As [`answer`].
pub fn answer_beside<Q: Question>(
    case: &Case,
    id: DumpId,
    context: &Context,
    ride: Option<&mut Ride<'_, Q>>,
    make: impl FnOnce() -> Q,
    beside: Option<Beside<'_>>,
) -> Result<Answered<Q>> {
    let memory = Memory::of(case, id);
    let mut findings = memory.findings.clone();
    // The evidence went by once when it was opened; with what is read here it may go by once more, never a third time.
    let shown = match ride.and_then(|ride| ride.take(case, id, &memory)) {
        Some(shown) => {
            if let Some(Beside { evidence, passenger }) = beside {
                let opened = &case.evidences[evidence].evidence;
                match opened.pass_again(context, passenger) {
                    Err(changed @ Error::Changed { .. }) => findings.gap("contents", opened.name(), changed),
                    result => result?,
                }
            }
            shown
        }
        None => {
            let reading = Reading { case, memory: &memory, context };
            reading.show(make(), beside, &mut findings)?
        }
    };
    Ok(shown.answered(memory, findings))
}

/// Where bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    /// The evidence's number in the case.
    evidence: usize,
    member: MemberId,
    /// The page image, if it is packed: a hard link may give one file to two images, and each says how to unpack it.
    packed: Option<ObjectId>,
}

struct Reading<'a> {
    case: &'a Case,
    memory: &'a Memory,
    context: &'a Context,
}

impl Reading<'_> {
    /// Reads what lies at an offset at once, and makes one pass over each evidence in which the rest goes by.
    fn show<Q: Question>(
        &self,
        mut question: Q,
        mut beside: Option<Beside<'_>>,
        findings: &mut Findings,
    ) -> Result<Shown<Q>> {
        let wants = question.wants(self.memory);
        let sources: Vec<Option<Source>> = (0..)
            .zip(&self.memory.objects)
            .map(|(number, object)| self.source(ObjectId(number), object))
            .collect();
        let mut schedules =
            Schedule::by_source(&wants, |object| sources.get(object.0 as usize).copied().flatten());
        let is_file = |object: ObjectId| self.memory.objects.get(object.0 as usize)?.contents.as_ref();
        let of_files = Schedule::by_source(&wants, |object| is_file(object).map(|_| object));
        let mut passing: BTreeSet<usize> = beside.iter().map(|beside| beside.evidence).collect();
        let mut has_enough = false;
        for (&source, schedule) in &mut schedules {
            let Some(bytes) =
                self.case.evidences[source.evidence].evidence.index().member(source.member).body.at_hand()
            else {
                passing.insert(source.evidence);
                continue;
            };
            // A source that fails in the middle leaves the rest unserved, and that is reported.
            let packing = self.memory.packing(source.packed);
            let _ = schedule.serve_from(&bytes, packing, &mut self.show_to(&mut question));
            has_enough = schedule.stopped;
            if has_enough || self.context.cancelled() {
                break;
            }
        }
        for evidence in passing {
            let beside = beside.as_mut().filter(|beside| beside.evidence == evidence);
            if (has_enough && beside.is_none()) || self.context.cancelled() {
                break;
            }
            let opened = &self.case.evidences[evidence].evidence;
            let mut passenger = Selected {
                question: &mut question,
                memory: self.memory,
                evidence,
                schedules: &mut schedules,
                has_enough,
                beside,
            };
            let result = opened.pass_again(self.context, &mut passenger);
            has_enough = passenger.has_enough;
            match result {
                Err(changed @ Error::Changed { .. }) => findings.gap("stored pages", opened.name(), changed),
                result => result?,
            }
        }
        let mut schedules: Vec<Scheduled> =
            schedules.into_iter().map(|(source, schedule)| (source.packed, schedule)).collect();
        for (object, mut schedule) in of_files {
            if let Some(file) = is_file(object).filter(|_| !has_enough) {
                let _ = schedule.serve_from(&file.bytes, None, &mut self.show_to(&mut question));
                has_enough = schedule.stopped;
            }
            schedules.push((None, schedule));
        }
        Ok(Shown { question, wants, schedules })
    }

    /// Shows bytes to a question until the caller asks to stop.
    fn show_to<Q: Question>(
        &self,
        question: &mut Q,
    ) -> impl FnMut(usize, u64, PlainPart<'_>) -> ControlFlow<()> {
        |want, at, part| match self.context.cancelled() {
            true => ControlFlow::Break(()),
            false => question.part(want, at, part),
        }
    }

    /// Where an object's bytes are, if its image is there and can be read.
    fn source(&self, id: ObjectId, object: &super::Object) -> Option<Source> {
        let (owner, member) = self.memory.page_image(self.case, object)?;
        let packed = object.packing.is_some().then_some(id);
        let can_be_read = self.case.evidence(owner).index().member(member).can_be_read();
        can_be_read.then_some(Source { evidence: owner.evidence, member, packed })
    }
}

/// Serves page images in a second pass.
struct Selected<'a, 'p, Q> {
    question: &'a mut Q,
    memory: &'a Memory,
    evidence: usize,
    schedules: &'a mut BTreeMap<Source, Schedule>,
    /// The question wants to see no more.
    has_enough: bool,
    /// Who rides along for what the question does not want.
    beside: Option<&'a mut Beside<'p>>,
}

/// What is wanted of a member that goes by.
fn scheduled(
    schedules: &mut BTreeMap<Source, Schedule>,
    evidence: usize,
    member: MemberId,
) -> Option<(Option<ObjectId>, &mut Schedule)> {
    let (source, schedule) = schedules.range_mut(Source { evidence, member, packed: None }..).next()?;
    ((source.evidence, source.member) == (evidence, member)).then_some((source.packed, schedule))
}

impl<Q> Selected<'_, '_, Q> {
    fn is_own(&mut self, id: MemberId) -> bool {
        !self.has_enough && scheduled(self.schedules, self.evidence, id).is_some()
    }
}

impl<Q: Question> Passenger for Selected<'_, '_, Q> {
    fn wants(&mut self, index: &Index, id: MemberId, member: &Member) -> bool {
        self.is_own(id)
            || self.beside.as_mut().is_some_and(|beside| beside.passenger.wants(index, id, member))
    }

    fn contents(&mut self, index: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        if !self.is_own(id) {
            let Some(beside) = &mut self.beside else { return Ok(()) };
            return beside.passenger.contents(index, id, contents);
        }
        let Some((packed, schedule)) = scheduled(self.schedules, self.evidence, id) else { return Ok(()) };
        let result = schedule.serve_passing(contents, self.memory.packing(packed), &mut |want, at, part| {
            self.question.part(want, at, part)
        });
        self.has_enough = schedule.stopped;
        result
    }

    fn has_enough(&self) -> bool {
        self.has_enough
    }
}

impl<Q: Question> Shown<Q> {
    /// No more bytes come.
    fn answered(mut self, mut memory: Memory, mut findings: Findings) -> Answered<Q> {
        self.question.finish();
        self.mark_broken(&mut memory, &mut findings);
        self.report_unserved(&memory, &mut findings);
        Answered { question: self.question, memory, findings }
    }

    /// Marks what could not be unpacked.
    fn mark_broken(&self, memory: &mut Memory, findings: &mut Findings) {
        let mut lost = Lost::new();
        for (packed, schedule) in &self.schedules {
            let (Some(object), Some(first)) = (*packed, &schedule.why_broken) else { continue };
            let bytes: u64 = schedule.broken.iter().map(|range| range.end - range.start).sum();
            let why = format!("{first} ({bytes} bytes of memory can't be unpacked)");
            findings.gap("stored pages", &memory.object(object).image, why);
            lost.insert(object, schedule.broken.clone());
        }
        if !lost.is_empty() {
            memory.mark(&lost, Missing::BrokenBlock);
        }
    }

    /// What was wanted and did not come, a gap for each page image.
    fn report_unserved(&self, memory: &Memory, findings: &mut Findings) {
        // A question that has seen enough misses nothing.
        if self.schedules.iter().any(|(_, schedule)| schedule.stopped) {
            return;
        }
        // Of each object: the bytes that did not come, and whether its image is there.
        let mut objects = vec![(0u64, false); memory.objects.len()];
        for want in &self.wants {
            let (missing, _) = &mut objects[want.object.0 as usize];
            *missing = missing.saturating_add(want.len);
        }
        for (number, reached) in self.schedules.iter().flat_map(|(_, schedule)| schedule.reached()) {
            let (missing, is_there) = &mut objects[self.wants[number].object.0 as usize];
            *missing = missing.saturating_sub(reached);
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
