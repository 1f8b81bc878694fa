//! Feeds a sink from one member of the evidence.

use std::collections::HashSet;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use container_checkpoint::context::Context;
use container_checkpoint::evidence::{Body, Bytes, MemberKind, nested, split_path};
use container_checkpoint::gap::Findings;
use container_checkpoint::payloads::{self, Input, Owner, Payload, Receiver};

use super::store::{Chunk, Contents, Kind, Sink, Store, kind_of};
use crate::rootfs::StoreKind;

/// How much of a stream is read at a time, in bytes.
const CHUNK: usize = 256 << 10;

/// The most memory that the list of a member's stores takes, in bytes: an image may hold a message in a few bytes.
const LISTED_MAX: usize = 16 << 20;
/// What an entry of that list takes, in bytes.
const STORE_SIZE: usize = size_of::<(Store, Contents)>();

/// What a member is the store, or the stores, of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// An image with payloads.
    Payloads,
    /// An archive of files.
    Archive(StoreKind),
    /// One file: a log, metadata, a file of a layer.
    Whole(Kind),
}

/// A member's bytes.
pub(super) enum From<'a> {
    Bytes(&'a Bytes),
    Stream(&'a mut dyn Read),
}

/// What was shown of one member.
#[derive(Debug)]
pub struct Part<S> {
    /// The stores in it, in stored order, and what they hold; all but [`Part::unlisted`], or none if [the sink](Sink::wants_list) needs no list.
    pub stores: Vec<(Store, Contents)>,
    /// How many stores were shown and are not listed: as many as there is no room for.
    pub unlisted: u64,
    /// The sink that was shown them.
    pub sink: S,
    /// What of it can't be had.
    pub findings: Findings,
    /// Bytes of memory that the list may still take.
    room: usize,
}

impl<S: Sink> Part<S> {
    pub(super) fn new(sink: S) -> Self {
        Self { stores: Vec::new(), unlisted: 0, sink, findings: Findings::default(), room: LISTED_MAX }
    }

    /// A store ended: it is listed if the sink wants that and there is room.
    pub(super) fn end(&mut self, store: Store, contents: Contents) {
        self.sink.end(&store, &contents);
        if !self.sink.wants_list() {
            return;
        }
        let lists = contents.holes.len() * 16 + contents.lacks.len() * 64;
        let size = STORE_SIZE + store.inner.as_ref().map_or(0, |inner| inner.len()) + lists;
        match self.room.checked_sub(size) {
            Some(room) => {
                self.room = room;
                self.stores.push((store, contents));
            }
            None => self.unlisted += 1,
        }
    }

    /// Shows a whole member. `size` is its length by its header; `streams` are the sockets whose packets are one stream.
    pub(super) fn show(
        &mut self,
        source: &Source,
        path: &[u8],
        size: u64,
        from: From<'_>,
        streams: &HashSet<u32>,
        context: &Context,
    ) {
        let member: Arc<[u8]> = Arc::from(path);
        match source {
            Source::Payloads => self.payloads(member, from, streams),
            Source::Archive(kind) => self.archive(kind, member, from, context),
            Source::Whole(kind) => {
                let inner = None;
                let store = Store { kind: kind.clone(), member, inner };
                if let Err(error) = self.whole(store, size, from, context) {
                    self.findings.gap("contents", String::from_utf8_lossy(path), error);
                }
            }
        }
    }

    fn payloads(&mut self, member: Arc<[u8]>, from: From<'_>, streams: &HashSet<u32>) {
        let base = split_path(&member).1.to_vec();
        let place = String::from_utf8_lossy(&member).into_owned();
        let mut feeding = Feeding { part: self, number: number_of(&base), member, streams, open: None };
        let faults = match from {
            From::Stream(stream) => payloads::read(&base, Input::Passing(stream), &mut feeding),
            From::Bytes(bytes) => match bytes.as_slice(0..bytes.len()) {
                Some(lent) => payloads::read(&base, Input::Lent(lent), &mut feeding),
                None => payloads::read(&base, Input::Passing(&mut bytes.reader()), &mut feeding),
            },
        };
        feeding.close();
        for why in faults {
            self.findings.gap("contents", &place, why);
        }
    }

    fn archive(&mut self, kind: &StoreKind, member: Arc<[u8]>, from: From<'_>, context: &Context) {
        let place = String::from_utf8_lossy(&member).into_owned();
        let mut visit = |entry: container_checkpoint::evidence::Member, contents: &mut dyn Read| {
            if context.cancelled() {
                return Ok(ControlFlow::Break(()));
            }
            if entry.kind != MemberKind::File || !entry.can_be_read() {
                return Ok(ControlFlow::Continue(()));
            }
            let store = Store {
                kind: Kind::Archived(kind.clone()),
                member: member.clone(),
                inner: Some(Arc::from(entry.path)),
            };
            let from = match &entry.body {
                Body::At(bytes) => From::Bytes(bytes),
                Body::Held(_) | Body::Passing => From::Stream(contents),
            };
            // What is cut is told by the walk.
            self.whole(store, entry.size, from, context).map(|()| ControlFlow::Continue(()))
        };
        let walked = match from {
            From::Bytes(bytes) => nested::walk_at(&place, bytes, context, &mut visit),
            From::Stream(stream) => nested::walk(&place, stream, context, &mut visit),
        };
        self.findings.extend(walked.findings);
    }

    /// A file of a layer: changes of the root file system in containerd's layout.
    pub(super) fn layer_file(
        &mut self,
        layer: &[u8],
        path: &[u8],
        size: u64,
        from: From<'_>,
        context: &Context,
    ) {
        let store = Store {
            kind: Kind::Archived(StoreKind::Rootfs),
            member: Arc::from(layer),
            inner: Some(Arc::from(path)),
        };
        if let Err(error) = self.whole(store, size, from, context) {
            self.findings.gap("contents", String::from_utf8_lossy(path), error);
        }
    }

    /// One file.
    fn whole(&mut self, store: Store, size: u64, from: From<'_>, context: &Context) -> io::Result<()> {
        let mut wanted = self.sink.begin(&store);
        let mut at = 0;
        let mut give = |bytes: &[u8]| {
            if wanted.is_continue() {
                wanted = self.sink.bytes(&store, Chunk { at, offset: at, pages: None, bytes });
            }
            at += bytes.len() as u64;
            wanted
        };
        let result = match from {
            From::Bytes(bytes) => bytes.visit(0..bytes.len(), &mut give).map(|()| bytes.len()),
            From::Stream(stream) => read_all(stream, context, &mut give),
        };
        let there = *result.as_ref().unwrap_or(&at);
        let mut contents = Contents { len: size.max(there), ..Contents::default() };
        // What a sink that has seen enough left unread is there, as far as is known.
        if wanted.is_continue() || result.is_err() {
            contents.lack(there..size, "the archive ends before them, or they can't be read");
        }
        self.end(store, contents);
        result.map(|_| ())
    }
}

/// Reads to the end, or until no more is wanted; how many bytes came.
fn read_all(
    stream: &mut dyn Read,
    context: &Context,
    give: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut count = 0;
    loop {
        if context.cancelled() {
            return Err(io::Error::other("stopped"));
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(count),
            Ok(got) => {
                count += got as u64;
                if give(&buffer[..got]).is_break() {
                    return Ok(count);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The hexadecimal number in an image's name.
fn number_of(base: &[u8]) -> u32 {
    let stem = base.strip_suffix(b".img").unwrap_or(base);
    let digits = stem.rsplit(|&byte| byte == b'-').next().unwrap_or_default();
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .unwrap_or_default()
}

/// Makes stores of payloads.
struct Feeding<'a, S> {
    part: &'a mut Part<S>,
    number: u32,
    member: Arc<[u8]>,
    streams: &'a HashSet<u32>,
    open: Option<Open>,
}

/// The store that is being read.
struct Open {
    store: Store,
    contents: Contents,
    wanted: ControlFlow<()>,
    /// Where the current payload begins in the store.
    from: u64,
    /// Where the bytes that came end.
    end: u64,
}

impl<S: Sink> Feeding<'_, S> {
    fn close(&mut self) {
        if let Some(Open { store, contents, .. }) = self.open.take() {
            self.part.end(store, contents);
        }
    }

    /// Whether the next payload goes on with the store that is open: packets of a stream are cut anywhere.
    fn goes_on(&self, owner: Owner) -> bool {
        let Some(open) = &self.open else { return false };
        match (&open.store.kind, owner) {
            (Kind::Packets { socket, .. }, Owner::Packet { socket: next, .. }) => {
                *socket == next && self.streams.contains(&next) && open.contents.lacks.is_empty()
            }
            _ => false,
        }
    }
}

impl<S: Sink> Receiver for Feeding<'_, S> {
    fn begin(&mut self, payload: Payload) -> ControlFlow<()> {
        if self.goes_on(payload.owner)
            && let Some(open) = &mut self.open
        {
            (open.from, open.end) = (open.contents.len, open.contents.len);
            return open.wanted;
        }
        self.close();
        let kind = kind_of(payload.owner, self.number);
        let store = Store { kind, member: self.member.clone(), inner: None };
        let wanted = self.part.sink.begin(&store);
        self.open = Some(Open { store, contents: Contents::default(), wanted, from: 0, end: 0 });
        wanted
    }

    fn bytes(&mut self, at: u64, offset: u64, bytes: &[u8]) -> ControlFlow<()> {
        let Some(open) = &mut self.open else { return ControlFlow::Break(()) };
        let at = open.from + at;
        open.contents.hole(open.end..at);
        open.end = at + bytes.len() as u64;
        if open.wanted.is_continue() {
            open.wanted = self.part.sink.bytes(&open.store, Chunk { at, offset, pages: None, bytes });
        }
        open.wanted
    }

    fn end(&mut self, len: u64, missing: u64) {
        let Some(open) = &mut self.open else { return };
        let len = open.from.saturating_add(len);
        let known = len.saturating_sub(missing);
        if open.wanted.is_continue() {
            open.contents.hole(open.end..known);
        }
        open.contents.lack(known..len, "the image ends before them, or can't be read on");
        (open.contents.len, open.end) = (len, len);
    }
}
