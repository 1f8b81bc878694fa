//! Another pass over an evidence whose members are known: each one that goes by is held against the index of the first pass.
//!
//! What the first pass went into is gone into again, and nothing else, so that a number means the same member in both. Where the evidence says something
//! else than it said then, the pass ends: bytes must never be taken for those of another member.

use std::io::{self, BufReader, Read};

use super::compression::Compression;
use super::feed::{Feed, Streamed};
use super::index::{Index, LayerId, MemberId, shown};
use super::member::{Body, Member, MemberKind};
use super::pass::Passenger;
use super::tar::Walk;
use crate::context::Context;

/// A later pass, under way.
pub(super) struct Again<'a> {
    known: &'a Index,
    /// The member that should come next.
    next: u32,
    passenger: &'a mut dyn Passenger,
    context: &'a Context,
}

/// Why a pass ended before its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The caller asked for it.
    Cancelled,
    /// The passenger has seen all that it wants.
    Enough,
    /// The evidence is not what it was; where, and what came.
    Changed(String),
}

impl<'a> Again<'a> {
    pub(super) fn new(known: &'a Index, context: &'a Context, passenger: &'a mut dyn Passenger) -> Self {
        Self { known, next: 0, passenger, context }
    }

    /// The outermost archive goes by.
    pub(super) fn whole(&mut self, stream: &mut (dyn Read + Send)) -> Result<(), Stopped> {
        self.layer(LayerId::TOP, stream)
    }

    /// The compressed archives inside an evidence that can otherwise be read at any offset go by.
    pub(super) fn packed_layers(&mut self) -> Result<(), Stopped> {
        for (id, layer) in self.known.layers() {
            let (Some(outer), Some(compression)) = (layer.member, layer.compression) else { continue };
            let Body::At(bytes) = &self.known.member(outer).body else { continue };
            self.next = outer.0 + 1;
            let packed = BufReader::with_capacity(64 << 10, bytes.reader());
            if let Ok(mut stream) = compression.decoder(packed) {
                self.layer(id, &mut stream)?;
            }
        }
        Ok(())
    }

    /// One archive that goes by. Damage and cuts were findings of the first pass; they end this one at the same place.
    fn layer(&mut self, layer: LayerId, stream: &mut (dyn Read + Send)) -> Result<(), Stopped> {
        let mut walk = Walk::new(Streamed::new(stream));
        // Behind the last member that the first pass listed here, nothing has a number: it had come to its limit.
        while let Some(id) = self.expected(layer) {
            if self.context.cancelled() {
                return Err(Stopped::Cancelled);
            }
            if self.passenger.has_enough() {
                return Err(Stopped::Enough);
            }
            let known = self.known.member(id);
            let Ok(entry) = walk.advance() else {
                return Err(Stopped::Changed(format!("it ends in front of '{}'", shown(&known.path))));
            };
            if !is_same(known, &entry.member) {
                let (at, came, before) =
                    (walk.feed.position(), shown(&entry.member.path), shown(&known.path));
                return Err(Stopped::Changed(format!(
                    "byte {at} of the unpacked archive: '{came}' where '{before}' was"
                )));
            }
            self.next = id.0 + 1;
            let mut contents = walk.contents(&entry);
            // What can't be read on is missed by those who asked for it; the walk meets the same failure at the next member.
            let _ = self.member(id, &mut contents)?;
            self.skip_deeper(layer);
        }
        Ok(())
    }

    /// The member of a layer that comes next, if the layer goes on.
    fn expected(&self, layer: LayerId) -> Option<MemberId> {
        let id = MemberId(self.next);
        ((id.0 as usize) < self.known.len() && self.known.layer_of(id) == layer).then_some(id)
    }

    fn member(&mut self, id: MemberId, contents: &mut (dyn Read + Send)) -> Result<io::Result<()>, Stopped> {
        if self.passenger.wants(self.known, id, self.known.member(id)) {
            return Ok(self.passenger.contents(self.known, id, contents));
        }
        let Some(inner) = self.known.layer_inside(id) else { return Ok(Ok(())) };
        match self.known.layer(inner).compression {
            None => self.layer(inner, contents)?,
            Some(compression) => self.packed(inner, compression, contents)?,
        }
        Ok(Ok(()))
    }

    fn packed(
        &mut self,
        inner: LayerId,
        compression: Compression,
        contents: &mut (dyn Read + Send),
    ) -> Result<(), Stopped> {
        match compression.decoder(BufReader::with_capacity(64 << 10, contents)) {
            Ok(mut stream) => self.layer(inner, &mut stream),
            Err(_) => Ok(()),
        }
    }

    /// Goes on behind the members of archives in the last member, whether they went by or not: the first pass listed them in between.
    fn skip_deeper(&mut self, layer: LayerId) {
        while (self.next as usize) < self.known.len() && self.known.layer_of(MemberId(self.next)) > layer {
            self.next += 1;
        }
    }
}

/// Whether a member is the one that the first pass saw. The size of a link is that of its target, which its header does not say.
fn is_same(known: &Member, came: &Member) -> bool {
    let facts =
        |member: &Member| (member.kind != MemberKind::HardLink).then_some((member.size, member.holes));
    known.path == came.path
        && known.kind == came.kind
        && known.link == came.link
        && facts(known) == facts(came)
}
