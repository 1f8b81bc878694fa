//! Asking a question of a dump's pages, in as few passes as its evidence allows.
//!
//! CRIU's images are written in the order of their names, so that what says where pages belong (`core`, `files`, `memfd`, `mm`, `pagemap`) stands before
//! `pages-*`, and a stream can be asked while it goes by for the first time: the question rides along. When the order is another one, or pages are in a parent, it is
//! asked anew once all metadata is known.

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::ControlFlow;

use super::extent::ObjectId;
use super::visit::{Schedule, Want};
use super::{Ancestor, Memory};
use crate::case::{Case, DumpId};
use crate::context::Context;
use crate::dump::DirectoryFiles;
use crate::error::Result;
use crate::evidence::{Body, Index, LayerId, Member, MemberId, Passenger, is_pages, split_path};
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

/// The name of an image that is needed to say where pages belong.
fn places_pages(name: &[u8]) -> bool {
    const NEEDED: &[&str] = &["core-", "files.img", "ids-", "inventory.img", "memfd.img", "mm-", "pagemap-", "reg-files.img", "vmas-"];
    NEEDED.iter().any(|start| name.starts_with(start.as_bytes()))
}

/// Lets questions ride along with the first pass over a stream.
pub struct Ride<'m, Q> {
    make: Box<dyn FnMut() -> Q + 'm>,
    riders: HashMap<(LayerId, Vec<u8>), Rider<Q>>,
}

/// A question that is being asked while its dump goes by.
struct Rider<Q> {
    question: Q,
    memory: Memory,
    wants: Vec<Want>,
    served: HashMap<ObjectId, Schedule>,
    /// How many members were known when the wants were worked out.
    members_known: u32,
    /// Pages are in a parent, or their size is unknown yet: it has to be asked when all is known.
    too_early: bool,
}

impl<'m, Q> std::fmt::Debug for Ride<'m, Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ride").field("riders", &self.riders.len()).finish_non_exhaustive()
    }
}

impl<'m, Q: Question> Ride<'m, Q> {
    /// A ride for one evidence: `make` gives the question for each dump in it.
    pub fn new(make: impl FnMut() -> Q + 'm) -> Self {
        Self { make: Box::new(make), riders: HashMap::new() }
    }

    fn rider(&mut self, so_far: &Index, layer: LayerId, directory: &[u8]) -> &mut Rider<Q> {
        self.riders.entry((layer, directory.to_vec())).or_insert_with(|| {
            let files = DirectoryFiles { index: so_far, layers: &[layer], directory: Some(directory) };
            let memory = Memory::assemble(&[Ancestor { files: &files }]);
            let mut question = (self.make)();
            let too_early = memory.names_parent || memory.spaces.iter().any(|space| space.page_size.is_none());
            let wants = if too_early { Vec::new() } else { question.wants(&memory) };
            let members_known = so_far.len() as u32;
            Rider { question, memory, wants, served: HashMap::new(), members_known, too_early }
        })
    }

    /// The question of a dump, if the ride gave it all that it wants.
    fn take(&mut self, case: &Case, id: DumpId) -> Option<Rider<Q>> {
        let dump = case.dump(id);
        let [layer] = dump.layers.as_slice() else { return None };
        let rider = self.riders.remove(&(*layer, dump.images.clone()?))?;
        let index = case.evidence(id).index();
        let late = dump.image_files(index).members().into_iter().any(|member| {
            member.0 >= rider.members_known && places_pages(index.member(member).base_name())
        });
        (!rider.too_early && !late).then_some(rider)
    }
}

impl<Q: Question> Passenger for Ride<'_, Q> {
    fn wants(&mut self, so_far: &Index, id: MemberId, member: &Member) -> bool {
        if !is_pages(&member.path) || !matches!(member.body, Body::Passing) {
            return false;
        }
        let (directory, base) = split_path(&member.path);
        let rider = self.rider(so_far, so_far.layer_of(id), directory);
        let Some(object) = own_object(&rider.memory, base) else { return false };
        rider.served.insert(object, Schedule::new(&rider.wants, object));
        !rider.served[&object].is_empty()
    }

    fn contents(&mut self, so_far: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        let member = so_far.member(id);
        let (directory, base) = split_path(&member.path);
        let Some(rider) = self.riders.get_mut(&(so_far.layer_of(id), directory.to_vec())) else { return Ok(()) };
        let Some(object) = own_object(&rider.memory, base) else { return Ok(()) };
        let Some(schedule) = rider.served.get_mut(&object) else { return Ok(()) };
        schedule.serve_passing(contents, &mut |want, at, bytes| rider.question.bytes(want, at, bytes))
    }
}

/// The page image of a name in the dump itself.
fn own_object(memory: &Memory, base: &[u8]) -> Option<ObjectId> {
    let is = |object: &super::Object| object.ancestor == 0 && object.image.as_bytes() == base;
    memory.objects.iter().position(is).map(|number| ObjectId(number as u32))
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
    let rider = ride.and_then(|ride| ride.take(case, id)).filter(|rider| rider.memory.stores_the_same(&memory));
    let (mut question, wants, served) = match rider {
        Some(rider) => (rider.question, rider.wants, rider.served),
        None => {
            let mut question = make();
            let wants = question.wants(&memory);
            let mut reading = Reading { case, memory: &memory, context, question, wants: &wants, served: HashMap::new() };
            reading.read_all()?;
            let served = reading.served;
            question = reading.question;
            (question, wants, served)
        }
    };
    question.finish();
    let mut findings = memory.findings.clone();
    report_unserved(&memory, &wants, &served, &mut findings);
    Ok(Answered { question, memory, findings })
}

struct Reading<'a, Q> {
    case: &'a Case,
    memory: &'a Memory,
    context: &'a Context,
    question: Q,
    wants: &'a [Want],
    served: HashMap<ObjectId, Schedule>,
}

impl<Q: Question> Reading<'_, Q> {
    /// Reads what lies at an offset at once, and makes one pass over each evidence in which the rest goes by.
    fn read_all(&mut self) -> Result<()> {
        let mut passing: HashMap<usize, HashMap<MemberId, ObjectId>> = HashMap::new();
        for (number, object) in self.memory.objects.iter().enumerate() {
            let object_id = ObjectId(number as u32);
            let Some(&owner) = self.memory.ancestry.get(object.ancestor) else { continue };
            let index = self.case.evidence(owner).index();
            let Some(member) = self.case.dump(owner).image_files(index).member(object.image.as_bytes()) else { continue };
            let mut schedule = Schedule::new(self.wants, object_id);
            if schedule.is_empty() {
                continue;
            }
            let Some(bytes) = index.member(member).body.at_hand() else {
                passing.entry(owner.evidence).or_default().insert(member, object_id);
                continue;
            };
            let question = &mut self.question;
            // A source that fails in the middle leaves the rest unserved, and that is reported.
            let _ = schedule.serve_from(&bytes, &mut |want, at, bytes| question.bytes(want, at, bytes));
            let stopped = schedule.stopped;
            self.served.insert(object_id, schedule);
            if stopped || self.context.cancelled() {
                return Ok(());
            }
        }
        let mut evidences: Vec<_> = passing.into_iter().collect();
        evidences.sort_by_key(|(evidence, _)| *evidence);
        for (evidence, members) in evidences {
            let opened = &self.case.evidences[evidence].evidence;
            let (context, wants) = (self.context, self.wants);
            let mut passenger = Selected { question: &mut self.question, wants, members: &members, served: &mut self.served };
            opened.pass_again(context, &mut passenger)?;
        }
        Ok(())
    }
}

/// Serves page images in a second pass.
struct Selected<'a, Q> {
    question: &'a mut Q,
    wants: &'a [Want],
    members: &'a HashMap<MemberId, ObjectId>,
    served: &'a mut HashMap<ObjectId, Schedule>,
}

impl<Q: Question> Passenger for Selected<'_, Q> {
    fn wants(&mut self, _: &Index, id: MemberId, _: &Member) -> bool {
        self.members.contains_key(&id)
    }

    fn contents(&mut self, _: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        let Some(&object) = self.members.get(&id) else { return Ok(()) };
        let schedule = self.served.entry(object).or_insert_with(|| Schedule::new(self.wants, object));
        schedule.serve_passing(contents, &mut |want, at, bytes| self.question.bytes(want, at, bytes))
    }
}

/// What was wanted and did not come, a gap for each page image.
fn report_unserved(memory: &Memory, wants: &[Want], served: &HashMap<ObjectId, Schedule>, findings: &mut Findings) {
    // A question that has seen enough misses nothing.
    if served.values().any(|schedule| schedule.stopped) {
        return;
    }
    for (number, object) in memory.objects.iter().enumerate() {
        let object_id = ObjectId(number as u32);
        let of_object = || wants.iter().filter(|want| want.object == object_id);
        let (missing, why) = match served.get(&object_id) {
            Some(schedule) => {
                let short = |(number, served): (usize, u64)| wants[number].len - served;
                (schedule.unserved().map(short).sum::<u64>(), "the page image ends early")
            }
            None => (of_object().map(|want| want.len).sum(), "the page image is not in the evidence"),
        };
        if missing > 0 {
            findings.gap("stored pages", &object.image, format!("{why}: {missing} bytes that were asked for can't be had"));
        }
    }
}
