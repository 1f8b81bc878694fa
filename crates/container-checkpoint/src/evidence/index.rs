//! What an evidence holds: its members, and where each one's contents are.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::compression::Compression;
use super::keep;
use super::member::{Body, Member, MemberKind, plain_path};
use crate::gap::Findings;

/// The most holes that a member may have which is read whole, in bytes: memory is bounded by what is stored.
pub(super) const HOLES_MAX: u64 = 16 << 20;

/// The most layers that one evidence is gone into: an image has 127 at most, an archive of images some hundreds.
pub(super) const LAYERS_MAX: usize = 1000;

/// How many doubled names are told one by one.
const DOUBLED_TOLD: u64 = 100;

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
    /// The path of the member of the outer layer that this one is the contents of; empty for the evidence itself.
    pub origin: Vec<u8>,
    /// That member: a path may occur twice.
    pub member: Option<MemberId>,
    /// The outer layer.
    pub outer: Option<LayerId>,
    /// How it is packed.
    pub compression: Option<Compression>,
}

impl Layer {
    /// The evidence itself.
    pub(super) fn top(compression: Option<Compression>) -> Self {
        Self { origin: Vec::new(), member: None, outer: None, compression }
    }
}

/// A layer and the tables of what is in it.
#[derive(Debug)]
struct Shelf {
    layer: Layer,
    by_path: HashMap<Vec<u8>, MemberId>,
    by_directory: HashMap<Vec<u8>, Vec<MemberId>>,
}

/// What an evidence holds.
#[derive(Debug, Default)]
pub struct Index {
    shelves: Vec<Shelf>,
    /// Which layer a member is the contents of.
    inside: HashMap<MemberId, LayerId>,
    members: Vec<(LayerId, Member)>,
    /// The files that hard links are further names of.
    links: HashMap<MemberId, MemberId>,
    /// Members that were kept in a pass of their own, since links made them metadata.
    late: HashSet<MemberId>,
    /// How many members took the place of an earlier one.
    doubled: u64,
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

    /// Adds a layer; the caller has seen that there is [room](Self::has_room_for_layer).
    pub(crate) fn add_layer(&mut self, layer: Layer) -> LayerId {
        let id = LayerId(u16::try_from(self.shelves.len()).unwrap_or(u16::MAX));
        if let Some(member) = layer.member {
            self.inside.insert(member, id);
        }
        self.shelves.push(Shelf { layer, by_path: HashMap::new(), by_directory: HashMap::new() });
        id
    }

    /// Whether another layer may be added.
    pub(super) fn has_room_for_layer(&self) -> bool {
        self.shelves.len() < LAYERS_MAX
    }

    /// Adds a member. A second one of the same path takes the first one's place, as it does when the archive is unpacked.
    pub(crate) fn add(&mut self, layer: LayerId, mut member: Member) -> MemberId {
        let id = MemberId(u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        let target = member.link.as_deref().filter(|_| member.kind == MemberKind::HardLink);
        // A link is a further name of what has the target's path now; what may take that path later is another file.
        if let Some(target) =
            target.and_then(|target| self.find(layer, plain_path(target))).map(|target| self.resolved(target))
        {
            member.size = self.member(target).size;
            self.links.insert(id, target);
        }
        if let Some(shelf) = self.shelves.get_mut(usize::from(layer.0)) {
            let earlier = shelf.by_path.insert(member.path.clone(), id);
            let directory = member.directory();
            match shelf.by_directory.get_mut(directory) {
                Some(here) => here.push(id),
                None => drop(shelf.by_directory.insert(directory.to_vec(), vec![id])),
            }
            if earlier.is_some() && member.kind != MemberKind::Directory {
                self.doubled += 1;
                if self.doubled <= DOUBLED_TOLD {
                    let path = String::from_utf8_lossy(&member.path).into_owned();
                    self.findings.note(
                        "a member's name occurs twice",
                        path,
                        "the later one is used, as unpacking does",
                    );
                }
            }
        }
        self.members.push((layer, member));
        id
    }

    /// All members are in.
    pub(super) fn close(&mut self) {
        self.complete = true;
        if self.doubled > DOUBLED_TOLD {
            let why = format!(
                "{} members took the place of an earlier one; the first {DOUBLED_TOLD} are named",
                self.doubled
            );
            self.findings.note("names of members occur twice", "the archive", why);
        }
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

    /// The members directly in a directory of a layer, in stored order; of doubled names all.
    pub fn in_directory(&self, layer: LayerId, directory: &[u8]) -> &[MemberId] {
        let here = self.shelves.get(usize::from(layer.0)).and_then(|shelf| shelf.by_directory.get(directory));
        here.map_or(&[], Vec::as_slice)
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
        (0..).map(LayerId).zip(self.shelves.iter().map(|shelf| &shelf.layer))
    }

    /// A layer.
    pub fn layer(&self, id: LayerId) -> &Layer {
        &self.shelves[usize::from(id.0)].layer
    }

    /// The layer that a member is the contents of, if it was gone into.
    pub fn layer_inside(&self, id: MemberId) -> Option<LayerId> {
        self.inside.get(&id).copied()
    }

    /// Finds a member by its path within a layer.
    pub fn find(&self, layer: LayerId, path: &[u8]) -> Option<MemberId> {
        self.shelves.get(usize::from(layer.0))?.by_path.get(path).copied()
    }

    /// The member that a hard link is a further name of: a repacked archive has images that were linked. Itself for all else, and for a link
    /// to nothing.
    pub fn resolved(&self, id: MemberId) -> MemberId {
        self.links.get(&id).copied().unwrap_or(id)
    }

    /// The contents of a file that was kept or can be had at any time, through hard links; `None` when they only go by, are larger than what is
    /// read whole of such a member, or nothing of them is there.
    pub fn contents(&self, id: MemberId) -> Option<Cow<'_, [u8]>> {
        let member = self.member(self.resolved(id));
        let is_file = matches!(member.kind, MemberKind::File | MemberKind::Other(_));
        let whole_max = |path: &[u8]| keep::whole_max(path, self.whole_max);
        let most = whole_max(&self.member(id).path).min(whole_max(&member.path));
        if !is_file || member.size > most || member.holes > HOLES_MAX {
            return None;
        }
        let contents = match &member.body {
            Body::At(bytes) => bytes.to_cow().ok()?,
            Body::Held(bytes) => Cow::Borrowed(&**bytes),
            Body::Passing => return None,
        };
        (!contents.is_empty() || member.size == 0).then_some(contents)
    }

    /// Members that went by because of their names, and that a hard link shows to be metadata.
    pub(super) fn linked_metadata(&self) -> HashSet<MemberId> {
        let links = self
            .members()
            .filter(|(.., member)| member.kind == MemberKind::HardLink && keep::is_metadata(&member.path));
        let targets = links.map(|(id, ..)| self.resolved(id));
        targets
            .filter(|id| {
                matches!(self.member(*id), Member { kind: MemberKind::File, body: Body::Passing, .. })
            })
            .collect()
    }

    /// Keeps contents that were read in a pass of their own.
    pub(super) fn hold(&mut self, id: MemberId, bytes: Arc<[u8]>) {
        if let Some((_, member)) = self.members.get_mut(id.0 as usize) {
            member.body = Body::Held(bytes);
            self.late.insert(id);
        }
    }

    /// Whether a rider of the first pass could not know a member's contents: it, or what it is a link to, came in later.
    pub(crate) fn came_after(&self, known: u32, id: MemberId) -> bool {
        let contents = self.resolved(id);
        id.0 >= known || contents.0 >= known || self.late.contains(&contents)
    }
}

/// A path in words, for a finding.
pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::ModificationTime;

    fn member(path: &str, kind: MemberKind, link: Option<&str>) -> Member {
        Member {
            path: path.into(),
            kind,
            size: 0,
            holes: 0,
            hole_map: None,
            mode: 0,
            uid: 0,
            gid: 0,
            modified: ModificationTime { seconds: 0, nanoseconds: 0 },
            link: link.map(Into::into),
            xattrs: Vec::new(),
            body: Body::Held(Arc::from(*b"")),
        }
    }

    #[test]
    fn a_link_is_a_name_of_what_was_there_before_it() {
        let mut index = Index::bounded(100);
        let top = index.add_layer(Layer::top(None));
        let first = index.add(top, member("a", MemberKind::File, None));
        let link = index.add(top, member("b", MemberKind::HardLink, Some("./a")));
        let second = index.add(top, member("a", MemberKind::HardLink, Some("b")));
        let replaced = index.add(top, member("b", MemberKind::File, None));
        let lost = index.add(top, member("lost", MemberKind::HardLink, Some("later")));
        let circle = index.add(top, member("circle", MemberKind::HardLink, Some("circle")));
        index.add(top, member("later", MemberKind::File, None));
        let resolved = [link, second, replaced, lost, circle].map(|id| index.resolved(id));
        assert_eq!(resolved, [first, first, replaced, lost, circle]);
        assert!(index.contents(link).is_some() && index.contents(lost).is_none());
    }

    #[test]
    fn doubled_names_are_counted_when_there_are_many() {
        let mut index = Index::bounded(100);
        let top = index.add_layer(Layer::top(None));
        for _ in 0..1001 {
            index.add(top, member("d/x", MemberKind::File, None));
        }
        index.close();
        assert_eq!(index.findings.notes.len(), 101);
        assert!(index.findings.notes[100].why.starts_with("1000 members"));
        assert_eq!(index.in_directory(top, b"d").len(), 1001);
        assert_eq!(index.find(top, b"d/x"), Some(MemberId(1000)));
    }
}
