//! Questions that ride along with the first pass over a compressed archive.
//!
//! CRIU's images are written in the order of their names, so that what says where pages belong (`core`, `files`, `memfd`, `mm`, `pagemap`) stands before
//! `pages-*`, and a stream can be asked while it goes by for the first time. When the order is another one, or pages are in a parent, the question is
//! asked anew once all metadata is known.

use std::collections::HashMap;
use std::io::{self, Read};

use super::question::{Question, Scheduled, Shown};
use super::visit::{Schedule, Want};
use super::{Ancestor, Memory};
use crate::case::{Case, DumpId};
use crate::dump::{DUMPS_MAX, DirectoryFiles};
use crate::evidence::{Body, Index, LayerId, Member, MemberId, MemberKind, Passenger, is_pages, split_path};

/// The name of an image that is needed to say where pages belong.
fn places_pages(name: &[u8]) -> bool {
    const NEEDED: &[&str] = &[
        "core-",
        "files.img",
        "ids-",
        "inventory.img",
        "ipcns-shm-", // what mappings of segments are called
        "memfd.img",
        "mm-",
        "pagemap-",
        "reg-files.img",
        "vmas-",
    ];
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
    /// By the name of the page image: what is wanted of those that did not go by yet.
    waiting: HashMap<Vec<u8>, Scheduled>,
    /// What was shown of those that did.
    served: HashMap<Vec<u8>, (MemberId, Scheduled)>,
    /// How many members were known when the wants were worked out.
    members_known: u32,
    /// The question wants to see no more.
    has_enough: bool,
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

    fn rider(&mut self, so_far: &Index, layer: LayerId, directory: &[u8]) -> Option<&mut Rider<Q>> {
        let key = (layer, directory.to_vec());
        if !self.riders.contains_key(&key) {
            if self.riders.len() == DUMPS_MAX {
                return None;
            }
            self.riders.insert(key.clone(), Rider::new((self.make)(), so_far, layer, directory));
        }
        self.riders.get_mut(&key)
    }

    /// The question of a dump, if the ride gave it all that it wants, of the images that the dump has now that all is known.
    pub(super) fn take(&mut self, case: &Case, id: DumpId, memory: &Memory) -> Option<Shown<Q>> {
        let dump = case.dump(id);
        let [layer] = dump.layers.as_slice() else { return None };
        let rider = self.riders.remove(&(*layer, dump.images.clone()?))?;
        let index = case.evidence(id).index();
        let is_valid = !rider.too_early
            && rider.saw_all(index, &dump.image_files(index))
            && rider.memory.stores_the_same(memory);
        is_valid.then(|| {
            let schedules = rider.served.into_values().map(|(_, scheduled)| scheduled).collect();
            Shown { question: rider.question, wants: rider.wants, schedules }
        })
    }
}

impl<Q: Question> Rider<Q> {
    fn new(mut question: Q, so_far: &Index, layer: LayerId, directory: &[u8]) -> Self {
        let files = DirectoryFiles { index: so_far, layers: &[layer], directory: Some(directory) };
        let memory = Memory::assemble(&[Ancestor { files: &files }]);
        let too_early = memory.names_parent || memory.spaces.iter().any(|space| space.page_size.is_none());
        let wants = if too_early { Vec::new() } else { question.wants(&memory) };
        let schedules = Schedule::by_source(&wants, |object| {
            let known = memory.objects.get(object.0 as usize).filter(|object| object.ancestor == 0)?;
            Some((known.image.clone().into_bytes(), known.packing.is_some().then_some(object)))
        });
        let waiting =
            schedules.into_iter().map(|((image, packed), schedule)| (image, (packed, schedule))).collect();
        let members_known = so_far.len() as u32;
        Self {
            question,
            memory,
            wants,
            waiting,
            served: HashMap::new(),
            members_known,
            has_enough: false,
            too_early,
        }
    }

    /// Whether nothing that came later says something else: images that place pages, and page images themselves. An archive may hold two of one
    /// name, or know one by a link; the later one counts, and the earlier one was shown.
    fn saw_all(&self, index: &Index, files: &DirectoryFiles<'_>) -> bool {
        let places = |id: &MemberId| places_pages(index.member(*id).base_name());
        let is_late =
            files.members().into_iter().filter(places).any(|id| index.came_after(self.members_known, id));
        let is_current =
            |(name, (member, _)): (&Vec<u8>, &(MemberId, Scheduled))| files.member(name) == Some(*member);
        let misses_none = || self.has_enough || self.waiting.keys().all(|name| files.member(name).is_none());
        !is_late && self.served.iter().all(is_current) && misses_none()
    }
}

impl<Q: Question> Passenger for Ride<'_, Q> {
    fn wants(&mut self, so_far: &Index, id: MemberId, member: &Member) -> bool {
        let is_passing = member.kind == MemberKind::File && matches!(member.body, Body::Passing);
        if !is_passing || !is_pages(&member.path) || !member.can_be_read() {
            return false;
        }
        let (directory, base) = split_path(&member.path);
        let Some(rider) = self.rider(so_far, so_far.layer_of(id), directory) else { return false };
        rider.waiting.contains_key(base) && !rider.has_enough
    }

    fn contents(&mut self, so_far: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        let (directory, base) = split_path(&so_far.member(id).path);
        let Some(rider) = self.rider(so_far, so_far.layer_of(id), directory) else { return Ok(()) };
        let Some((name, (packed, mut schedule))) = rider.waiting.remove_entry(base) else { return Ok(()) };
        let Rider { question, memory, .. } = rider;
        let result = schedule.serve_passing(contents, memory.packing(packed), &mut |want, at, part| {
            question.part(want, at, part)
        });
        rider.has_enough = schedule.stopped;
        rider.served.insert(name, (id, (packed, schedule)));
        result
    }
}
