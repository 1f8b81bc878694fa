//! One pass over an evidence: lists the members, keeps the metadata, lets a passenger look at what goes by.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use super::bytes::Bytes;
use super::compression::{Compression, Peeked};
use super::feed::{Feed, Seekable, Streamed};
use super::index::{HOLES_MAX, Index, LAYERS_MAX, Layer, LayerId, MemberId, shown};
use super::keep;
use super::member::{Body, Member, MemberKind};
use super::tar::{self, Contents, Damage, Ending, Entry, Walk};
use super::tar_header::looks_like_tar;
use crate::context::Context;
use crate::gap::Findings;

/// How deep archives may lie in archives: compression x OCI layout x layer.
const NESTING_MAX: usize = 3;
/// The largest blob of an image layout that is kept although it is neither JSON nor an archive.
const SMALL_BLOB: u64 = 64 << 10;
/// How many bytes behind the end mark of a packed archive are looked at: writers fill up to 10 KiB.
const BEHIND_MAX: u64 = 64 << 20;

/// Rides along while members go by, and may look at contents that are not kept.
pub trait Passenger {
    /// Whether the contents of this member are wanted. Metadata and what can be had at any time is in `so_far` already.
    fn wants(&mut self, so_far: &Index, id: MemberId, member: &Member) -> bool;

    /// The contents of a member that was wanted. What is left unread is skipped.
    ///
    /// # Errors
    /// What reading said: the pass ends there with a gap.
    fn contents(&mut self, so_far: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()>;

    /// Whether it has seen all that it wants: a pass that is made for it alone ends then.
    fn has_enough(&self) -> bool {
        false
    }
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

/// The first pass over an evidence, under way.
pub(super) struct Pass<'a> {
    pub(super) index: Index,
    passenger: &'a mut dyn Passenger,
    context: &'a Context,
    /// Bytes kept so far.
    held: u64,
    depth: usize,
    /// The evidence itself is a directory.
    pub(super) in_directory: bool,
    /// A gap says that there are too many layers.
    told_of_layers: bool,
}

impl<'a> Pass<'a> {
    pub(super) fn new(context: &'a Context, passenger: &'a mut dyn Passenger) -> Self {
        let index = Index::bounded(context.limits.metadata);
        Self { index, passenger, context, held: 0, depth: 0, in_directory: false, told_of_layers: false }
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
            self.report_unknown(&entry);
            let is_known = !matches!(entry.contents, Contents::Unknown(_));
            let mut member = entry.member;
            if is_known && body.len() < member.size {
                self.cut_member(&member, body.len());
            }
            member.body = Body::At(body);
            if !self.has_room(&member) {
                break Ending::Complete;
            }
            self.add(layer, member);
        };
        self.ended(layer, ending, &walk.damage);
    }

    /// Adds a member whose contents can be had at any time; goes into it if it is an archive itself.
    pub(super) fn add(&mut self, layer: LayerId, member: Member) {
        let inner = match &member.body {
            Body::At(bytes)
                if member.kind == MemberKind::File
                    && keep::may_be_layer(&member.path, self.in_directory && self.depth == 0) =>
            {
                Some(bytes.clone())
            }
            _ => None,
        };
        let origin = member.path.clone();
        if member.kind == MemberKind::File && keep::is_metadata(&member.path) {
            self.refuse_large(&member, 0);
        }
        let id = self.index.add(layer, member);
        if let Some(bytes) = inner {
            let mut head = [0; 512];
            let got = bytes.read_at(0, &mut head).unwrap_or_default();
            let (compression, is_tar) = (Compression::sniff(&head[..got]), looks_like_tar(&head[..got]));
            if (compression.is_none() && !is_tar) || !self.may_go_into(&origin) {
                return;
            }
            let inner = Layer { origin, member: Some(id), outer: Some(layer), compression };
            self.depth += 1;
            match compression {
                Some(compression) => {
                    let packed = io::BufReader::with_capacity(64 << 10, bytes.reader());
                    self.unpacked(inner, compression, packed);
                }
                None => {
                    let inner = self.index.add_layer(inner);
                    self.plain_tar(inner, &bytes);
                }
            }
            self.depth -= 1;
        }
    }

    /// Whether an archive in the archive is gone into; a gap says so when there are too many.
    fn may_go_into(&mut self, origin: &[u8]) -> bool {
        let has_room = self.index.has_room_for_layer();
        if !has_room && !self.told_of_layers && self.depth < NESTING_MAX {
            self.told_of_layers = true;
            let why = format!("more than {LAYERS_MAX}; this one and those behind it are not gone into");
            self.index.findings.gap("archives in the archive", shown(origin), why);
        }
        has_room && self.depth < NESTING_MAX
    }

    /// A packed member: a tar in it becomes a layer, anything else is let be.
    fn unpacked(&mut self, inner: Layer, compression: Compression, packed: impl BufRead + Send) {
        match compression.decoder(packed).and_then(Peeked::new) {
            Ok(peeked) if looks_like_tar(peeked.head()) => {
                let layer = self.index.add_layer(inner);
                self.streamed_tar(layer, &mut peeked.into_reader());
            }
            Ok(_) => {}
            // What a container keeps at the top of its file system is no part of the evidence's own make.
            Err(error) if inner.outer == Some(LayerId::TOP) || keep::is_blob(&inner.origin) => {
                let why = format!("its {} data can't be unpacked: {error}", compression.name());
                self.index.findings.gap("an archive in the archive", shown(&inner.origin), why);
            }
            Err(_) => {}
        }
    }

    /// Lists a tar that goes by.
    pub(super) fn streamed_tar(&mut self, layer: LayerId, stream: &mut (dyn Read + Send)) {
        let mut walk = Walk::new(Streamed::new(stream));
        let mut is_whole = false;
        let ending = loop {
            let entry = match walk.advance() {
                Ok(entry) => entry,
                Err(ending) => {
                    is_whole = matches!(ending, Ending::Complete);
                    break ending;
                }
            };
            if self.context.cancelled() {
                break Ending::Failed { at: walk.feed.position(), error: io::Error::other("stopped") };
            }
            if !self.has_room(&entry.member) {
                break Ending::Complete;
            }
            self.report_unknown(&entry);
            let before = walk.feed.position();
            let mut contents = walk.contents(&entry);
            let result = self.passing(layer, &entry, &mut contents);
            drop(contents);
            if let Err(error) = result {
                break Ending::Failed { at: walk.feed.position().max(before), error };
            }
        };
        if is_whole {
            self.behind_the_end(layer, &mut walk.feed);
        }
        self.ended(layer, ending, &walk.damage);
    }

    /// Reads what stands behind the end mark: packed data has its checksum there, and somebody may have put more.
    fn behind_the_end(&mut self, layer: LayerId, stream: &mut dyn Read) {
        let place = || {
            format!("{} behind the end mark", shown(&self.index.layer(layer).origin)).trim_start().to_owned()
        };
        let mut stream = stream.take(BEHIND_MAX);
        let mut buffer = vec![0; 64 << 10];
        let mut has_more = false;
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => has_more |= buffer[..got].iter().any(|&byte| byte != 0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let place = place();
                    return self.index.findings.gap("the end of the archive", place, error);
                }
            }
        }
        if has_more {
            let (place, why) =
                (place(), "more bytes, which no unpacking reads: another archive, or hidden data");
            self.index.findings.note("the end of the archive", place, why);
        }
    }

    /// One member of a stream: kept, gone into, shown to the passenger, or let by.
    fn passing(&mut self, layer: LayerId, entry: &Entry, contents: &mut (dyn Read + Send)) -> io::Result<()> {
        let mut member = entry.member.clone();
        let is_file = member.kind == MemberKind::File;
        if is_file && keep::is_metadata(&member.path) {
            self.keep(entry, &mut member, contents)?;
        }
        if is_file
            && matches!(member.body, Body::Passing)
            && keep::may_be_layer(&member.path, self.in_directory && self.depth == 0)
        {
            return self.maybe_layer(layer, entry, member, contents);
        }
        self.add_and_show(layer, member, contents)
    }

    fn add_and_show(&mut self, layer: LayerId, member: Member, contents: &mut dyn Read) -> io::Result<()> {
        let kept = !matches!(member.body, Body::Passing);
        let id = self.index.add(layer, member);
        if kept || !self.passenger.wants(&self.index, id, self.index.member(id)) {
            return Ok(());
        }
        self.passenger.contents(&self.index, id, contents)
    }

    fn maybe_layer(
        &mut self,
        outer: LayerId,
        entry: &Entry,
        mut member: Member,
        contents: &mut (dyn Read + Send),
    ) -> io::Result<()> {
        let origin = member.path.clone();
        let peeked = Peeked::new(contents)?;
        let head = peeked.head();
        let compression = Compression::sniff(head);
        let is_archive = compression.is_some() || looks_like_tar(head);
        let small = member.size <= SMALL_BLOB || head.starts_with(b"{");
        let mut contents = peeked.into_reader();
        if !is_archive && small {
            self.keep(entry, &mut member, &mut contents)?;
        }
        if !is_archive || !self.may_go_into(&origin) {
            return self.add_and_show(outer, member, &mut contents);
        }
        let id = self.index.add(outer, member);
        if self.passenger.wants(&self.index, id, self.index.member(id)) {
            return self.passenger.contents(&self.index, id, &mut contents);
        }
        let inner = Layer { origin, member: Some(id), outer: Some(outer), compression };
        self.depth += 1;
        match compression {
            Some(compression) => self.unpacked(inner, compression, contents),
            None => {
                let layer = self.index.add_layer(inner);
                self.streamed_tar(layer, &mut contents);
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn keep(&mut self, entry: &Entry, member: &mut Member, contents: &mut dyn Read) -> io::Result<()> {
        if self.refuse_large(member, self.held) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let result = contents.take(member.size).read_to_end(&mut bytes);
        self.held += bytes.len() as u64;
        if (bytes.len() as u64) < member.size && !matches!(entry.contents, Contents::Unknown(_)) {
            self.cut_member(member, bytes.len() as u64);
        }
        member.body = Body::Held(Arc::from(bytes));
        result.map(|_| ())
    }

    /// Whether a metadata member is too large to be read whole; a gap says so.
    fn refuse_large(&mut self, member: &Member, held: u64) -> bool {
        let limit = self.context.limits.metadata;
        let own_limit = keep::whole_max(&member.path, limit);
        let why = if member.holes > HOLES_MAX {
            format!("{} of its {} bytes are holes", member.holes, member.size)
        } else if member.size > own_limit {
            format!(
                "it has {} bytes, more than anyone writes; no more than {own_limit} are read",
                member.size
            )
        } else if held.saturating_add(member.size) > limit {
            format!("with it, the metadata is larger than --max-metadata allows ({limit} bytes)")
        } else {
            return false;
        };
        self.index.findings.gap("a metadata member", shown(&member.path), why);
        true
    }

    fn report_unknown(&mut self, entry: &Entry) {
        if let Contents::Unknown(why) = entry.contents {
            self.index.findings.gap("the contents of a sparse member", shown(&entry.member.path), why);
        }
    }

    fn cut_member(&mut self, member: &Member, present: u64) {
        let path = shown(&member.path);
        let why = format!("the archive holds {present} of its {} bytes", member.size);
        self.index.findings.gap("the end of a member", path, why);
    }

    /// Whether another member may be listed; a gap says so when not.
    pub(super) fn has_room(&mut self, next: &Member) -> bool {
        let limits = &self.context.limits;
        // A name is kept in the member and in the tables of paths and directories.
        let attributes: usize = next.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.held += (3 * next.path.len() + next.link.as_ref().map_or(0, Vec::len) + attributes) as u64;
        let why = if self.index.len() >= limits.members {
            format!("more than {} members; the rest is not looked at", limits.members)
        } else if self.held > limits.metadata {
            format!(
                "names and metadata are larger than --max-metadata allows ({} bytes); the rest is not looked at",
                limits.metadata
            )
        } else {
            return true;
        };
        self.index.findings.gap("members", "the archive", why);
        false
    }

    fn ended(&mut self, layer: LayerId, ending: Ending, damage: &[Damage]) {
        let origin = &self.index.layer(layer).origin;
        let place =
            |text: String| if origin.is_empty() { text } else { format!("{}: {text}", shown(origin)) };
        let mut found = Findings::default();
        for Damage { from, to } in damage {
            found.gap(
                "members",
                place(format!("bytes {from} to {to} of the archive")),
                "no tar header with a right checksum",
            );
        }
        match ending {
            Ending::Complete => {}
            Ending::Cut { at, what } => {
                found.gap(
                    "the end of the archive",
                    place(format!("byte {at}, in {what}")),
                    "the archive is cut short",
                );
            }
            Ending::Failed { at, error } => {
                found.gap(
                    "the rest of the archive",
                    place(format!("byte {at} of the unpacked archive")),
                    error,
                );
            }
        }
        self.index.findings.extend(found);
        if self.depth == 0 {
            self.index.close();
        }
    }
}
