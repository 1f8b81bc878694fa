//! Rides along while an evidence goes by, and shows its stores.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use container_checkpoint::context::Context;
use container_checkpoint::dump::Dump;
use container_checkpoint::evidence::{
    Body, Index, LayerId, Member, MemberId, MemberKind, Passenger, split_path,
};
use container_checkpoint::model::{SocketType, files_of};

use super::class::{Class, Classes};
use super::feed::{From, Part, Source};
use super::plan::{self, Place};
use super::store::{Kind, Sink};
use crate::rootfs::StoreKind;

/// Makes sinks.
pub type Make<'m, S> = &'m (dyn Fn() -> S + 'm);

/// The passenger that shows stores: each member that goes by and holds some gets a sink of its own.
///
/// What lies in evidence that can be read at any offset, or is kept, is not shown to it and not needed.
pub struct Rider<'m, S> {
    classes: Classes,
    context: Context,
    make: Make<'m, S>,
    /// In a later pass: the members that it is about.
    pub(super) only: Option<HashMap<MemberId, Place>>,
    /// What was shown.
    pub(super) parts: HashMap<MemberId, Part<S>>,
}

impl<S> std::fmt::Debug for Rider<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rider").field("classes", &self.classes).field("parts", &self.parts.len()).finish()
    }
}

impl<'m, S: Sink> Rider<'m, S> {
    /// A rider for the first pass over an evidence.
    pub fn new(classes: Classes, context: &Context, make: Make<'m, S>) -> Self {
        Self { classes, context: context.clone(), make, only: None, parts: HashMap::new() }
    }

    fn place(&self, so_far: &Index, id: MemberId, member: &Member) -> Option<Place> {
        if let Some(only) = &self.only {
            return only.get(&id).cloned();
        }
        let source = self.source(so_far, id, member)?;
        Some(Place { id, path: member.path.clone(), source })
    }

    fn source(&self, so_far: &Index, id: MemberId, member: &Member) -> Option<Source> {
        let named = plan::source_of(&member.path)
            .filter(|source| self.classes.has(plan::class(source, &member.path)));
        named.or_else(|| {
            let is_loose = self.classes.has(Class::Rootfs) && is_loose(so_far, id, member);
            is_loose.then_some(Source::Whole(Kind::Archived(StoreKind::Rootfs)))
        })
    }
}

/// Whether a member may be a changed file in containerd's layout: it is not known yet which layer holds the changes. Images are left out, and what may be a
/// further layer, since then its own members would not be listed.
fn is_loose(so_far: &Index, id: MemberId, member: &Member) -> bool {
    let base = member.base_name();
    let may_be_layer = split_path(member.directory()).0 == b"blobs"
        || base.ends_with(b".tgz")
        || base.windows(4).any(|part| part == b".tar");
    so_far.layer_of(id) != LayerId::TOP && !base.ends_with(b".img") && !may_be_layer
}

impl<S: Sink> Passenger for Rider<'_, S> {
    fn wants(&mut self, so_far: &Index, id: MemberId, member: &Member) -> bool {
        let is_passing = member.kind == MemberKind::File && matches!(member.body, Body::Passing);
        is_passing && member.can_be_read() && self.place(so_far, id, member).is_some()
    }

    fn contents(&mut self, so_far: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        let Some(place) = self.place(so_far, id, so_far.member(id)) else { return Ok(()) };
        let mut watched = Watched { inner: contents, failed: None };
        let part = show(so_far, &place, From::Stream(&mut watched), &self.context, (self.make)());
        self.parts.insert(id, part);
        match watched.failed {
            Some(kind) => Err(io::Error::new(kind, "the stream can't be read on")),
            None => Ok(()),
        }
    }
}

/// Remembers whether reading failed: what ends a member ends the pass.
struct Watched<'a> {
    inner: &'a mut dyn Read,
    failed: Option<io::ErrorKind>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buffer);
        if let Err(error) = &result
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.failed = Some(error.kind());
        }
        result
    }
}

/// Shows one member to a sink.
pub(super) fn show<S: Sink>(
    index: &Index,
    place: &Place,
    from: From<'_>,
    context: &Context,
    sink: S,
) -> Part<S> {
    let Place { id, path, source } = place;
    let size = index.member(*id).size;
    let mut part = Part::new(sink);
    if matches!(source, Source::Whole(Kind::Archived(_))) {
        // A file of a layer: the layer is the archive.
        let origin = &index.layer(index.layer_of(*id)).origin;
        part.layer_file(origin, path, size, from, context);
        return part;
    }
    let (directory, base) = split_path(path);
    let streams = match base {
        b"sk-queues.img" => stream_sockets(index, index.layer_of(*id), directory),
        _ => HashSet::new(),
    };
    part.show(source, path, size, from, &streams, context);
    part
}

/// The sockets of a dump, by file id, whose packets are one stream.
fn stream_sockets(index: &Index, layer: LayerId, directory: &[u8]) -> HashSet<u32> {
    let dump = Dump { layers: vec![layer], images: Some(directory.to_vec()), ..Dump::default() };
    let files = files_of(&dump.image_files(index));
    let is_stream = |file: &&container_checkpoint::model::File| {
        file.socket().is_some_and(|socket| socket.socket_type.known() == Some(&SocketType(1)))
    };
    files.iter().filter(is_stream).map(|file| file.id.0).collect()
}
