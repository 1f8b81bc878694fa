//! Which members of an evidence hold stores.

use container_checkpoint::dump::Dump;
use container_checkpoint::evidence::{Index, LayerId, MemberId, MemberKind, split_path};
use container_checkpoint::payloads;

use super::class::{Class, Classes};
use super::feed::Source;
use super::store::{Kind, class_of};
use crate::rootfs::store::{Origin, find, kind_of};
use crate::rootfs::{Places, StoreKind};

/// Logs that don't end in `.log`: CRI-O keeps the container's output under the name of its annotation.
const LOGS: &[&str] = &["io.kubernetes.cri-o.LogPath"];

/// Engines' metadata with text in it, by base name.
const METADATA: &[&str] = &[
    "bind.mounts",
    "checkpoint-manifest.json",
    "config.dump",
    "config.v2.json",
    "deleted.files",
    "descriptors.json",
    "hostconfig.json",
    "hostname",
    "hosts",
    "index.json",
    "manifest.json",
    "network.status",
    "oci-layout",
    "pod-config.json",
    "pod.dump",
    "pod.options",
    "resolv.conf",
    "spec.dump",
    "status",
    "status.dump",
];

/// What a member's path says of the stores in it.
pub(super) fn source_of(path: &[u8]) -> Option<Source> {
    let base = split_path(path).1;
    let is = |names: &[&str]| names.iter().any(|name| base == name.as_bytes());
    if payloads::holds_payloads(base) {
        Some(Source::Payloads)
    } else if let Some(kind) = kind_of(path) {
        Some(Source::Archive(kind))
    } else if base.ends_with(b".log") || is(LOGS) {
        Some(Source::Whole(Kind::Log))
    } else if is(METADATA) {
        Some(Source::Whole(Kind::Metadata))
    } else {
        None
    }
}

/// The class of the stores in a member.
pub(super) fn class(source: &Source, path: &[u8]) -> Class {
    match source {
        Source::Payloads if split_path(path).1.starts_with(b"ghost-file-") => Class::Files,
        Source::Payloads => Class::Queues,
        Source::Archive(kind) => class_of(kind),
        Source::Whole(Kind::Log) => Class::Logs,
        Source::Whole(Kind::Metadata) => Class::Metadata,
        Source::Whole(_) => Class::Rootfs,
    }
}

/// A member that holds stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The member that has the contents.
    pub(super) id: MemberId,
    /// The name that says what it is: its own, or that of a hard link to it.
    pub(super) path: Vec<u8>,
    pub(super) source: Source,
}

/// The members of a dump that hold stores of these classes, by class and then in stored order.
pub(super) fn places(index: &Index, dump: &Dump, classes: Classes) -> Vec<Place> {
    let mut found: Vec<(MemberId, Source)> = Vec::new();
    let files = [dump.image_files(index).members(), dump.bundle_files(index).members()];
    for id in files.into_iter().flatten() {
        let named = source_of(&index.member(id).path).filter(|source| !matches!(source, Source::Archive(_)));
        found.extend(named.map(|source| (id, source)));
    }
    for store in find(index, dump, &Places::default()) {
        match store.origin {
            Origin::Archive(id) => found.push((id, Source::Archive(store.kind))),
            Origin::Layer(layer) => found.extend(loose(index, layer)),
            Origin::Nothing => {}
        }
    }
    if dump.manifest.is_some() {
        found.extend(of_layout(index));
    }
    found.retain(|(id, source)| classes.has(class(source, &index.member(*id).path)));
    found.sort_by_key(|(id, source)| (class(source, &index.member(*id).path), *id));
    found.dedup_by_key(|(id, _)| *id);
    let place = |(id, source)| Place { id: index.resolved(id), path: index.member(id).path.clone(), source };
    found.into_iter().map(place).collect()
}

/// The files of a layer: changes of the root file system in containerd's layout.
fn loose(index: &Index, layer: LayerId) -> impl Iterator<Item = (MemberId, Source)> + '_ {
    let files =
        index.members().filter(move |(_, of, member)| *of == layer && member.kind == MemberKind::File);
    files.map(|(id, ..)| (id, Source::Whole(Kind::Archived(StoreKind::Rootfs))))
}

/// The documents of an image layout.
fn of_layout(index: &Index) -> impl Iterator<Item = (MemberId, Source)> + '_ {
    let is_document = |id: MemberId, path: &[u8]| {
        let is_blob = split_path(split_path(path).0).0 == b"blobs";
        let is_named = matches!(path, b"index.json" | b"oci-layout" | b"manifest.json");
        is_named || (is_blob && index.layer_inside(id).is_none() && index.contents(id).is_some())
    };
    let members = index.members().filter(move |(id, layer, member)| {
        *layer == LayerId::TOP && member.kind == MemberKind::File && is_document(*id, &member.path)
    });
    members.map(|(id, ..)| (id, Source::Whole(Kind::Metadata)))
}
