//! Metadata behind hard links: an archive that stores an image under another name first, and then a link of the right name to it.
//!
//! What goes by under another name is not kept. Another pass keeps it; nothing of that happens to archives that engines write.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;

use super::Evidence;
use super::index::{HOLES_MAX, Index, MemberId, shown};
use super::member::{Body, Member};
use super::pass::Passenger;
use crate::context::Context;

impl Evidence {
    /// Keeps the metadata that only links show to be such; what can't be had is a gap.
    pub(super) fn with_linked(mut self, context: &Context) -> Self {
        let wanted = self.index.linked_metadata();
        if wanted.is_empty() || context.cancelled() {
            return self;
        }
        let held = self
            .index
            .members()
            .map(|(.., member)| if let Body::Held(bytes) = &member.body { bytes.len() as u64 } else { 0 });
        let room = context.limits.metadata.saturating_sub(held.sum());
        let mut keeper = Keeper { wanted, room, kept: Vec::new() };
        let result = self.pass_again(context, &mut keeper);
        for (id, bytes) in keeper.kept {
            keeper.wanted.remove(&id);
            self.index.hold(id, bytes);
        }
        let mut missed: Vec<_> = keeper.wanted.into_iter().collect();
        missed.sort();
        for id in missed {
            let place = shown(&self.index.member(id).path);
            let what = "a metadata member behind a hard link";
            match &result {
                Err(error) => self.index.findings.gap(what, place, error),
                Ok(()) => self.index.findings.gap(
                    what,
                    place,
                    "it is larger than what is kept, or could not be read to its end",
                ),
            }
        }
        self
    }
}

/// Keeps members as far as there is room.
struct Keeper {
    wanted: HashSet<MemberId>,
    /// Bytes that may still be kept.
    room: u64,
    kept: Vec<(MemberId, Arc<[u8]>)>,
}

impl Passenger for Keeper {
    fn wants(&mut self, _: &Index, id: MemberId, member: &Member) -> bool {
        self.wanted.contains(&id) && member.size <= self.room && member.holes <= HOLES_MAX
    }

    fn contents(&mut self, _: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        let result = contents.take(self.room).read_to_end(&mut bytes);
        self.room -= bytes.len() as u64;
        self.kept.push((id, Arc::from(bytes)));
        result.map(|_| ())
    }
}
