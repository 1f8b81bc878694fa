//! What an evidence holds: its members, and where each one's contents are.

use std::borrow::Cow;
use std::collections::HashMap;

use super::compression::Compression;
use super::member::{Body, Member, MemberKind, plain_path};
use crate::gap::Findings;

/// The most holes that a member may have which is read whole, in bytes: memory is bounded by what is stored.
pub(super) const HOLES_MAX: u64 = 16 << 20;

/// The longest chain of hard links that is followed.
const LINKS_MAX: usize = 16;

/// A number of a member in its [`Index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub(crate) u32);

/// A number of a layer in its [`Index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId(pub(crate) u16);

impl LayerId {
    /// The evidence itself: the outermost archive or directory.
    pub const TOP: Self = Self(0);
}

/// An archive or directory: the evidence itself, or an archive inside it (a blob of an OCI layout, a container of a pod).
#[derive(Clone, Debug)]
pub struct Layer {
    /// The member of the outer layer that this one is the contents of; empty for the evidence itself.
    pub origin: Vec<u8>,
    /// The outer layer.
    pub outer: Option<LayerId>,
    /// How it is packed.
    pub compression: Option<Compression>,
}

/// What an evidence holds.
#[derive(Debug, Default)]
pub struct Index {
    layers: Vec<Layer>,
    members: Vec<(LayerId, Member)>,
    by_path: HashMap<(LayerId, Vec<u8>), MemberId>,
    /// What was noticed while the members were listed.
    pub findings: Findings,
    /// The largest member that is read whole, in bytes.
    whole_max: u64,
    /// Whether all members are in: a rider of the first pass sees an index that still grows.
    pub complete: bool,
}

impl Index {
    /// An empty index; no member larger than this is read whole.
    pub(crate) fn bounded(whole_max: u64) -> Self {
        Self { whole_max, ..Self::default() }
    }

    pub(crate) fn add_layer(&mut self, layer: Layer) -> LayerId {
        let id = LayerId(u16::try_from(self.layers.len()).unwrap_or(u16::MAX));
        self.layers.push(layer);
        id
    }

    /// Adds a member. A second one of the same path takes the first one's place, as it does when the archive is unpacked.
    pub(crate) fn add(&mut self, layer: LayerId, member: Member) -> MemberId {
        let id = MemberId(u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        let earlier = self.by_path.insert((layer, member.path.clone()), id);
        if earlier.is_some() && member.kind != MemberKind::Directory {
            let path = String::from_utf8_lossy(&member.path).into_owned();
            self.findings.note("a member's name occurs twice", path, "the later one is used, as unpacking does");
        }
        self.members.push((layer, member));
        id
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All members with their layers, in stored order.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, LayerId, &Member)> {
        (0..).map(MemberId).zip(&self.members).map(|(id, (layer, member))| (id, *layer, member))
    }

    /// A member.
    pub fn member(&self, id: MemberId) -> &Member {
        &self.members[id.0 as usize].1
    }

    /// The layer of a member.
    pub fn layer_of(&self, id: MemberId) -> LayerId {
        self.members[id.0 as usize].0
    }

    /// All layers; the first is the evidence itself.
    pub fn layers(&self) -> impl Iterator<Item = (LayerId, &Layer)> {
        (0..).map(LayerId).zip(&self.layers)
    }

    /// Finds a member by its path within a layer.
    pub fn find(&self, layer: LayerId, path: &[u8]) -> Option<MemberId> {
        self.by_path.get(&(layer, path.to_vec())).copied()
    }

    /// The member that a hard link leads to within its layer: a repacked archive has images that were linked. Itself for all else.
    pub fn resolved(&self, id: MemberId) -> MemberId {
        let mut id = id;
        // A link names a member that came before it, so that a chain ends; the bound is for archives that lie.
        for _ in 0..LINKS_MAX {
            let member = self.member(id);
            let target = member.link.as_deref().filter(|_| member.kind == MemberKind::HardLink);
            match target.and_then(|target| self.find(self.layer_of(id), plain_path(target))) {
                Some(next) => id = next,
                None => break,
            }
        }
        id
    }

    /// The contents of a member that was kept or can be had at any time; `None` when it only goes by, or can't be read.
    pub fn contents(&self, id: MemberId) -> Option<Cow<'_, [u8]>> {
        let member = self.member(id);
        if member.size > self.whole_max || member.holes > HOLES_MAX {
            return None;
        }
        match &member.body {
            Body::At(bytes) => bytes.to_cow().ok(),
            Body::Held(bytes) => Some(Cow::Borrowed(bytes)),
            Body::Passing => None,
        }
    }
}
