//! One pass over an evidence: lists the members, keeps the metadata, lets a passenger look at what goes by.

use std::io::{self, Read};
use std::sync::Arc;

use super::bytes::Bytes;
use super::compression::{Compression, Peeked};
use super::index::{HOLES_MAX, Index, Layer, LayerId, MemberId};
use super::keep;
use super::member::{Body, Member, MemberKind};
use super::tar::{self, Ending, Feed, Seekable, Streamed, Walk};
use crate::context::Context;
use crate::gap::Findings;

/// How deep archives may lie in archives: compression x OCI layout x layer.
const NESTING_MAX: usize = 3;
/// The largest blob of an image layout that is kept although it is neither JSON nor an archive.
const SMALL_BLOB: u64 = 64 << 10;

/// Rides along while members go by, and may look at contents that are not kept.
pub trait Passenger {
    /// Whether the contents of this member are wanted. Metadata and what can be had at any time is in `so_far` already.
    fn wants(&mut self, so_far: &Index, id: MemberId, member: &Member) -> bool;

    /// The contents of a member that was wanted. What is left unread is skipped.
    ///
    /// # Errors
    /// What reading said: the pass ends there with a gap.
    fn contents(&mut self, so_far: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()>;
}

/// A passenger that wants nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Passenger for Nobody {
    fn wants(&mut self, _: &Index, _: MemberId, _: &Member) -> bool {
        false
    }

    fn contents(&mut self, _: &Index, _: MemberId, _: &mut dyn Read) -> io::Result<()> {
        Ok(())
    }
}

/// A pass under way.
pub(super) struct Pass<'a> {
    pub(super) index: Index,
    /// The index of the first pass, in a second one: then nothing is kept again.
    known: Option<&'a Index>,
    passenger: &'a mut dyn Passenger,
    context: &'a Context,
    /// Bytes kept so far.
    held: u64,
    depth: usize,
    /// The evidence itself is a directory.
    pub(super) in_directory: bool,
}

impl<'a> Pass<'a> {
    pub(super) fn new(context: &'a Context, known: Option<&'a Index>, passenger: &'a mut dyn Passenger) -> Self {
        let index = Index::bounded(context.limits.metadata);
        Self { index, known, passenger, context, held: 0, depth: 0, in_directory: false }
    }

    /// Lists a plain tar that can be read at any offset. Touches its headers only.
    pub(super) fn plain_tar(&mut self, layer: LayerId, bytes: &Bytes) {
        let mut walk = Walk::new(Seekable::new(bytes));
        let ending = loop {
            let entry = match walk.advance() {
                Ok(entry) => entry,
                Err(ending) => break ending,
            };
            let body = tar::body_of(bytes, walk.feed.position(), &entry);
            let mut member = entry.member;
            if entry.sparse.is_none() && body.len() < member.size {
                self.cut_member(&member, body.len());
            }
            member.body = Body::At(body);
            if !self.has_room(&member) {
                break Ending::Complete;
            }
            self.add(layer, member);
        };
        let damage = walk.damage.iter().map(|damage| (damage.from, damage.to)).collect::<Vec<_>>();
        self.ended(layer, ending, &damage);
        self.index.complete = self.depth == 0;
    }

    /// Adds a member whose contents can be had at any time; goes into it if it is an archive itself.
    pub(super) fn add(&mut self, layer: LayerId, member: Member) {
        let inner = match &member.body {
            Body::At(bytes) if member.kind == MemberKind::File && keep::may_be_layer(&member.path, self.in_directory && self.depth == 0) => Some(bytes.clone()),
            _ => None,
        };
        let origin = member.path.clone();
        if member.kind == MemberKind::File && keep::is_metadata(&member.path) {
            self.refuse_large(&member, 0);
        }
        self.index.add(layer, member);
        if let Some(bytes) = inner
            && self.depth < NESTING_MAX
        {
            let mut head = [0; 512];
            let got = bytes.read_at(0, &mut head).unwrap_or_default();
            if let Some(compression) = Compression::sniff(&head[..got]) {
                self.packed_layer(layer, origin, &bytes, compression);
            } else if tar::looks_like_tar(&head[..got]) {
                let inner = self.index.add_layer(Layer { origin, outer: Some(layer), compression: None });
                self.depth += 1;
                self.plain_tar(inner, &bytes);
                self.depth -= 1;
            }
        }
    }

    fn packed_layer(&mut self, outer: LayerId, origin: Vec<u8>, bytes: &Bytes, compression: Compression) {
        let packed = io::BufReader::with_capacity(64 << 10, bytes.reader());
        let Ok(mut stream) = compression.decoder(packed) else { return };
        self.depth += 1;
        self.unpacked(outer, origin, Some(compression), &mut stream);
        self.depth -= 1;
    }

    /// A decompressed stream: a tar becomes a layer, anything else is let be.
    fn unpacked(&mut self, outer: LayerId, origin: Vec<u8>, compression: Option<Compression>, stream: &mut (dyn Read + Send)) {
        let Ok(peeked) = Peeked::new(stream) else { return };
        if tar::looks_like_tar(peeked.head()) {
            let layer = self.index.add_layer(Layer { origin, outer: Some(outer), compression });
            self.streamed_tar(layer, &mut peeked.into_reader());
        }
    }

    /// Lists a tar that goes by.
    pub(super) fn streamed_tar(&mut self, layer: LayerId, stream: &mut (dyn Read + Send)) {
        let mut walk = Walk::new(Streamed::new(stream));
        let ending = loop {
            let entry = match walk.advance() {
                Ok(entry) => entry,
                Err(ending) => break ending,
            };
            if self.context.cancelled() {
                break Ending::Failed { at: walk.feed.position(), error: io::Error::other("stopped") };
            }
            if !self.has_room(&entry.member) {
                break Ending::Complete;
            }
            let before = walk.feed.position();
            let mut contents = walk.contents(&entry);
            let result = self.passing(layer, entry.member.clone(), &mut contents);
            drop(contents);
            if let Err(error) = result {
                break Ending::Failed { at: walk.feed.position().max(before), error };
            }
        };
        let damage = walk.damage.iter().map(|damage| (damage.from, damage.to)).collect::<Vec<_>>();
        self.ended(layer, ending, &damage);
        self.index.complete = self.depth == 0;
    }

    /// One member of a stream: kept, gone into, shown to the passenger, or let by.
    fn passing(&mut self, layer: LayerId, mut member: Member, contents: &mut (dyn Read + Send)) -> io::Result<()> {
        let is_file = member.kind == MemberKind::File;
        if is_file && keep::is_metadata(&member.path) && self.known.is_none() {
            self.keep(&mut member, contents)?;
        }
        let may_be_layer = is_file && self.depth < NESTING_MAX && keep::may_be_layer(&member.path, self.in_directory && self.depth == 0);
        if may_be_layer && matches!(member.body, Body::Passing) {
            return self.maybe_layer(layer, member, contents);
        }
        let kept = !matches!(member.body, Body::Passing);
        let id = self.index.add(layer, member);
        if kept { Ok(()) } else { self.show(id, contents) }
    }

    fn show(&mut self, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        let seen = self.known.unwrap_or(&self.index);
        if seen.len() <= id.0 as usize || !self.passenger.wants(seen, id, seen.member(id)) {
            return Ok(());
        }
        self.passenger.contents(seen, id, contents)
    }

    fn maybe_layer(&mut self, outer: LayerId, mut member: Member, contents: &mut (dyn Read + Send)) -> io::Result<()> {
        let origin = member.path.clone();
        let peeked = Peeked::new(contents)?;
        let head = peeked.head();
        let compression = Compression::sniff(head);
        let is_tar = tar::looks_like_tar(head);
        let small = member.size <= SMALL_BLOB || head.starts_with(b"{");
        let mut contents = peeked.into_reader();
        if compression.is_none() && !is_tar {
            if small && self.known.is_none() {
                self.keep(&mut member, &mut contents)?;
            }
            let kept = !matches!(member.body, Body::Passing);
            let id = self.index.add(outer, member);
            return if kept { Ok(()) } else { self.show(id, &mut contents) };
        }
        let id = self.index.add(outer, member);
        let wanted_itself = {
            let seen = self.known.unwrap_or(&self.index);
            seen.len() > id.0 as usize && self.passenger.wants(seen, id, seen.member(id))
        };
        if wanted_itself {
            self.passenger.contents(self.known.unwrap_or(&self.index), id, &mut contents)?;
            self.skip_known_layers(outer);
            return Ok(());
        }
        self.depth += 1;
        match compression {
            Some(compression) => self.unpacked(outer, origin, Some(compression), &mut compression.decoder(contents)?),
            None => self.unpacked(outer, origin, None, &mut contents),
        }
        self.depth -= 1;
        Ok(())
    }

    /// In a second pass: takes over what the first one found in the layer that was not gone into now, so that numbers stay the same.
    fn skip_known_layers(&mut self, outer: LayerId) {
        let Some(known) = self.known else { return };
        let from = self.index.len();
        let inner = known.members().skip(from).take_while(|(_, layer, _)| *layer > outer);
        for (_, layer, member) in inner {
            while self.index.layers().count() <= usize::from(layer.0) {
                let number = self.index.layers().count();
                let Some((_, next)) = known.layers().nth(number) else { return };
                self.index.add_layer(next.clone());
            }
            self.index.add(layer, member.clone());
        }
    }

    fn keep(&mut self, member: &mut Member, contents: &mut dyn Read) -> io::Result<()> {
        if self.refuse_large(member, self.held) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let result = contents.take(member.size).read_to_end(&mut bytes);
        self.held += bytes.len() as u64;
        if (bytes.len() as u64) < member.size {
            self.cut_member(member, bytes.len() as u64);
        }
        member.body = Body::Held(Arc::from(bytes));
        result.map(|_| ())
    }

    /// Whether a metadata member is too large to be read whole; a gap says so.
    fn refuse_large(&mut self, member: &Member, held: u64) -> bool {
        let limit = self.context.limits.metadata;
        let why = if member.holes > HOLES_MAX {
            format!("{} of its {} bytes are holes", member.holes, member.size)
        } else if held.saturating_add(member.size) > limit {
            format!("with it, the metadata is larger than --max-metadata allows ({limit} bytes)")
        } else {
            return false;
        };
        if self.known.is_none() {
            self.index.findings.gap("a metadata member", String::from_utf8_lossy(&member.path), why);
        }
        true
    }

    fn cut_member(&mut self, member: &Member, present: u64) {
        let path = String::from_utf8_lossy(&member.path);
        let why = format!("the archive holds {present} of its {} bytes", member.size);
        self.index.findings.gap("the end of a member", path, why);
    }

    /// Whether another member may be listed; a gap says so when not.
    pub(super) fn has_room(&mut self, next: &Member) -> bool {
        let limits = &self.context.limits;
        // A name is kept twice, in the member and in the table of paths.
        let attributes: usize = next.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.held += (2 * next.path.len() + next.link.as_ref().map_or(0, Vec::len) + attributes) as u64;
        let why = if self.index.len() >= limits.members {
            format!("more than {} members; the rest is not looked at", limits.members)
        } else if self.held > limits.metadata {
            format!("names and metadata are larger than --max-metadata allows ({} bytes); the rest is not looked at", limits.metadata)
        } else {
            return true;
        };
        if self.known.is_none() {
            self.index.findings.gap("members", "the archive", why);
        }
        false
    }

    fn ended(&mut self, layer: LayerId, ending: Ending, damage: &[(u64, u64)]) {
        let layer_name = self.index.layers().nth(layer.0.into()).map(|(_, layer)| layer.origin.clone()).unwrap_or_default();
        let place = |text: String| {
            if layer_name.is_empty() { text } else { format!("{}: {text}", String::from_utf8_lossy(&layer_name)) }
        };
        let mut found = Findings::default();
        for (from, to) in damage {
            found.gap("members", place(format!("bytes {from} to {to} of the archive")), "no tar header with a right checksum");
        }
        match ending {
            Ending::Complete => {}
            Ending::Cut { at, what } => {
                found.gap("the end of the archive", place(format!("byte {at}, in {what}")), "the archive is cut short");
            }
            Ending::Failed { at, error } => {
                found.gap("the rest of the archive", place(format!("byte {at} of the unpacked archive")), error);
            }
        }
        self.index.findings.extend(found);
    }
}
