//! Shared objects as stores: a question to the pages.

use std::ops::ControlFlow;

use container_checkpoint::gap::Findings;
use container_checkpoint::memory::{Extent, Memory, Place, Question, SharedPages, Want};
use container_checkpoint::model::SharedObjectId;

use super::facts::Facts;
use super::feed::Part;
use super::rider::Make;
use super::store::{Chunk, Contents, Sink, Store};

/// Shows the shared objects of a dump, each to a sink of its own. Where pages of one object are in several images, since some are in a parent, its bytes come in
/// the order of the images.
pub struct SharedBytes<'m, S> {
    make: Make<'m, S>,
    objects: Vec<Object<S>>,
    /// Page images by number: name, and how many dumps back.
    images: Vec<(String, usize)>,
}

impl<S> std::fmt::Debug for SharedBytes<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedBytes").field("objects", &self.objects.len()).finish_non_exhaustive()
    }
}

/// One shared object.
struct Object<S> {
    id: SharedObjectId,
    store: Store,
    sink: S,
    flow: ControlFlow<()>,
    /// The number of its first want.
    first: usize,
    /// Its stored extents, one a want, and how much of each came or was lost.
    stored: Vec<(Extent, u64)>,
}

impl<'m, S: Sink> SharedBytes<'m, S> {
    /// Asks for all shared objects; the sinks say which they want.
    pub fn new(make: Make<'m, S>) -> Self {
        Self { make, objects: Vec::new(), images: Vec::new() }
    }

    /// What was shown; the memory is the one that was asked.
    pub fn into_parts(self, memory: &Memory, facts: &Facts) -> Vec<Part<S>> {
        let of = |object: &Object<S>| memory.shared.iter().find(|shared| shared.id == object.id);
        let parts = self.objects.into_iter().map(|object| {
            let shared = of(&object);
            object.into_part(shared, facts)
        });
        parts.collect()
    }
}

/// The object that a want is of. Several objects without wants may begin at one number: the last of them has it.
fn of_want<S>(objects: &mut [Object<S>], want: usize) -> Option<&mut Object<S>> {
    let number = objects.partition_point(|object| object.first <= want);
    objects.get_mut(number.checked_sub(1)?)
}

impl<S: Sink> Object<S> {
    fn into_part(self, shared: Option<&SharedPages>, facts: &Facts) -> Part<S> {
        let Self { id, store, sink, flow, stored, .. } = self;
        let findings = shared.map_or_else(Findings::default, |shared| shared.findings.clone());
        let mut part = Part::new(sink);
        part.findings = findings;
        let mut contents = Contents::default();
        if let Some(shared) = shared {
            let stored_end = shared.pages.iter().last().map_or(0, Extent::end);
            contents.len = facts.shared_len(id).unwrap_or(stored_end);
            let mut came = stored.iter();
            let mut wanted = came.next();
            let mut at = 0;
            for extent in shared.pages.iter() {
                nothing(&mut contents, shared, at..extent.start);
                match extent.place {
                    Place::Image(..) => {
                        // Since it was asked for, broken blocks may have been cut out of it.
                        while wanted.is_some_and(|(wanted, _)| wanted.end() <= extent.start) {
                            wanted = came.next();
                        }
                        let end = wanted.map_or(0, |(wanted, count)| wanted.start + count);
                        if flow.is_continue() {
                            let why = "the page image ends before them, or is not in the evidence";
                            lack(&mut contents, extent.start.max(end)..extent.end(), why);
                        }
                    }
                    Place::Missing(missing) => lack(&mut contents, extent.start..extent.end(), missing.why()),
                }
                at = extent.end();
            }
            let len = contents.len;
            nothing(&mut contents, shared, at..len);
        }
        part.end(store, contents);
        part
    }
}

/// Where nothing is stored: zeros, if all is known.
fn nothing(contents: &mut Contents, shared: &SharedPages, range: std::ops::Range<u64>) {
    let range = range.start..range.end.min(contents.len);
    if shared.is_whole {
        contents.hole(range);
    } else {
        contents.lack(range, "what the images would hold of it can't be told");
    }
}

/// The last page of an object reaches behind its end.
fn lack(contents: &mut Contents, range: std::ops::Range<u64>, why: &str) {
    let end = range.end.min(contents.len);
    contents.lack(range.start..end, why);
}

impl<S: Sink> Question for SharedBytes<'_, S> {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        self.images = memory.objects.iter().map(|object| (object.image.clone(), object.ancestor)).collect();
        let mut wants = Vec::new();
        for shared in &memory.shared {
            let store = Store::of_object(shared.id);
            let mut sink = (self.make)();
            let flow = sink.begin(&store);
            let first = wants.len();
            let mut stored = Vec::new();
            if flow.is_continue() {
                for extent in shared.pages.iter() {
                    let Place::Image(object, offset) = extent.place else { continue };
                    wants.push(Want { object, offset, len: extent.len });
                    stored.push((*extent, 0));
                }
            }
            self.objects.push(Object { id: shared.id, store, sink, flow, first, stored });
        }
        wants
    }

    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        let Self { objects, images, .. } = self;
        let Some(object) = of_want(objects, want) else { return ControlFlow::Continue(()) };
        let Some((extent, came)) = object.stored.get_mut(want - object.first) else {
            return ControlFlow::Continue(());
        };
        *came = at + bytes.len() as u64;
        let Place::Image(image, offset) = extent.place else { return ControlFlow::Continue(()) };
        let (at, offset) = (extent.start + at, offset + at);
        if object.flow.is_continue() {
            let pages = images.get(image.0 as usize).map(|(image, ancestor)| (image.as_str(), *ancestor));
            let chunk = Chunk { at, offset, pages, bytes };
            object.flow = object.sink.bytes(&object.store, chunk);
        }
        ControlFlow::Continue(())
    }

    /// The sink sees that bytes go on further behind.
    fn lost(&mut self, want: usize, at: u64, len: u64) {
        let Some(object) = of_want(&mut self.objects, want) else { return };
        if let Some((_, came)) = object.stored.get_mut(want - object.first) {
            *came = at + len;
        }
    }
}
