//! The places in a checkpoint that hold files of the container.

use container_checkpoint::dump::Dump;
use container_checkpoint::evidence::{Compression, Index, LayerId, MemberId, MemberKind, split_path};

use super::places::Places;

/// Which files of the container a store holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// Changes of the root file system against the image.
    Rootfs,
    /// All of `/dev/shm`.
    DevShm,
    /// All of a named volume.
    Volume(Vec<u8>),
    /// All of a tmpfs mount, by its device in the kernel's form, major << 20 | minor (`tmpfs-dev-N.tar.gz.img`).
    TmpfsDevice(u32),
    /// All of a tmpfs mount, by its mount id (`tmpfs-N.tar.gz.img`, CRIU before 1.3).
    TmpfsMount(u32),
}

/// A store of one dump.
#[derive(Clone, Debug)]
pub struct Store {
    /// What it holds.
    pub kind: StoreKind,
    /// Where in the container its top is, one path for each mount of it; none when that is not known.
    pub mount_points: Vec<Vec<u8>>,
    /// The path of the archive in the evidence, for gaps and notes.
    pub member: Vec<u8>,
    /// How the archive is packed, whatever its name says.
    pub compression: Option<Compression>,
    /// How many entries it has, deletions included.
    pub entries: usize,
    /// Where its entries come from.
    pub(crate) origin: Origin,
}

/// Where the entries of a store come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A member that is an archive.
    Archive(MemberId),
    /// A layer that the index has listed: the changes in containerd's own layout.
    Layer(LayerId),
    /// Nowhere: only a list of deletions is there.
    Nothing,
}

impl StoreKind {
    /// The name by which a store is chosen: `rootfs`, `devshm`, `volumes/NAME`, `tmpfs-dev-N`. Bytes: a volume's name comes from the evidence.
    pub fn name(&self) -> Vec<u8> {
        match self {
            Self::Rootfs => b"rootfs".to_vec(),
            Self::DevShm => b"devshm".to_vec(),
            Self::Volume(name) => [b"volumes/", name.as_slice()].concat(),
            Self::TmpfsDevice(device) => format!("tmpfs-dev-{device}").into_bytes(),
            Self::TmpfsMount(mount) => format!("tmpfs-{mount}").into_bytes(),
        }
    }
}

impl Store {
    /// The name by which it is chosen: `rootfs`, `devshm`, `volumes/NAME`, `tmpfs-dev-N`. Bytes: a volume's name comes from the evidence.
    pub fn name(&self) -> Vec<u8> {
        self.kind.name()
    }

    /// Whether a user's word means it: its name, the volume's name, the archive's path or base name, or a mount point.
    pub fn is_called(&self, word: &[u8]) -> bool {
        let is_volume = matches!(&self.kind, StoreKind::Volume(name) if name == word);
        let is_member = self.member == word || split_path(&self.member).1 == word;
        self.name() == word || is_volume || is_member || self.mount_points.iter().any(|place| place == word)
    }

    /// The path in the container of something in it; relative to its top when that place is not known.
    pub(super) fn absolute(&self, stored: &[u8]) -> Vec<u8> {
        let Some(place) = self.mount_points.first() else { return stored.to_vec() };
        let place = place.strip_suffix(b"/").unwrap_or(place);
        if stored.is_empty() {
            return if place.is_empty() { b"/".to_vec() } else { place.to_vec() };
        }
        [place, b"/", stored].concat()
    }
}

/// What a member's path says of the store that it is, if it is one.
pub(crate) fn kind_of(path: &[u8]) -> Option<StoreKind> {
    let (directory, base) = split_path(path);
    match base {
        b"rootfs-diff.tar" => return Some(StoreKind::Rootfs),
        b"devshm-checkpoint.tar" => return Some(StoreKind::DevShm),
        _ => {}
    }
    if split_path(directory).1 == b"volumes" {
        return base.strip_suffix(b".tar").map(|name| StoreKind::Volume(name.to_vec()));
    }
    let number = |digits: &[u8]| {
        std::str::from_utf8(digits)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?
            .parse()
            .ok()
    };
    let tmpfs = base.strip_prefix(b"tmpfs-")?.strip_suffix(b".tar.gz.img")?;
    match tmpfs.strip_prefix(b"dev-") {
        Some(device) => number(device).map(StoreKind::TmpfsDevice),
        None => number(tmpfs).map(StoreKind::TmpfsMount),
    }
}

/// The stores of a dump, in a fixed order: the root file system, `/dev/shm`, volumes and tmpfs mounts in stored order.
pub(crate) fn find(index: &Index, dump: &Dump, places: &Places) -> Vec<Store> {
    let mut stores = Vec::new();
    let bundle = dump.bundle_files(index);
    for name in ["rootfs-diff.tar", "devshm-checkpoint.tar"] {
        stores.extend(bundle.member(name.as_bytes()).and_then(|id| archive(index, id, places)));
    }
    if let Some(layer) = dump.rootfs_layer {
        let origin = index.layers().find(|(id, _)| *id == layer);
        let (member, compression) =
            origin.map(|(_, layer)| (layer.origin.clone(), layer.compression)).unwrap_or_default();
        let mount_points = vec![b"/".to_vec()];
        stores.push(Store {
            kind: StoreKind::Rootfs,
            mount_points,
            member,
            compression,
            entries: 0,
            origin: Origin::Layer(layer),
        });
    }
    if let Some(list) = bundle.member(b"deleted.files")
        && !stores.iter().any(|store| store.kind == StoreKind::Rootfs)
    {
        let member = index.member(list).path.clone();
        let mount_points = vec![b"/".to_vec()];
        stores.insert(
            0,
            Store {
                kind: StoreKind::Rootfs,
                mount_points,
                member,
                compression: None,
                entries: 0,
                origin: Origin::Nothing,
            },
        );
    }
    stores.extend(volumes(index, dump).into_iter().filter_map(|id| archive(index, id, places)));
    let images = dump.image_files(index).members();
    let is_tmpfs = |id: &MemberId| {
        matches!(kind_of(&index.member(*id).path), Some(StoreKind::TmpfsDevice(_) | StoreKind::TmpfsMount(_)))
    };
    stores.extend(images.into_iter().filter(is_tmpfs).filter_map(|id| archive(index, id, places)));
    stores
}

/// The archives in the bundle's directory `volumes`; `index.find` leaves the last of several of one name.
fn volumes(index: &Index, dump: &Dump) -> Vec<MemberId> {
    let mut directory = dump.bundle.clone();
    if !directory.is_empty() {
        directory.push(b'/');
    }
    directory.extend_from_slice(b"volumes");
    let bundle = dump.bundle_files(index);
    let here = index.members().filter(|(_, layer, member)| {
        dump.layers.contains(layer) && member.kind == MemberKind::File && member.directory() == directory
    });
    let is_current =
        |(id, member): &(MemberId, &[u8])| bundle.member(&[b"volumes/", *member].concat()) == Some(*id);
    here.map(|(id, _, member)| (id, member.base_name())).filter(is_current).map(|(id, _)| id).collect()
}

fn archive(index: &Index, id: MemberId, places: &Places) -> Option<Store> {
    let member = index.member(id);
    let kind = kind_of(&member.path).filter(|_| member.kind == MemberKind::File)?;
    let mount_points = match &kind {
        StoreKind::Rootfs => vec![b"/".to_vec()],
        StoreKind::DevShm => vec![b"/dev/shm".to_vec()],
        StoreKind::Volume(name) => places.of_volume(name),
        StoreKind::TmpfsDevice(device) => places.of_device(*device),
        StoreKind::TmpfsMount(mount) => places.of_mount(*mount),
    };
    Some(Store {
        kind,
        mount_points,
        member: member.path.clone(),
        compression: None,
        entries: 0,
        origin: Origin::Archive(id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_told_by_their_whole_names() {
        for (path, kind) in [
            ("rootfs-diff.tar", Some(StoreKind::Rootfs)),
            ("x/rootfs-diff.tar", Some(StoreKind::Rootfs)),
            ("x/my-rootfs-diff.tar", None),
            ("rootfs-diff.tar.bak", None),
            ("devshm-checkpoint.tar", Some(StoreKind::DevShm)),
            ("volumes/data.tar", Some(StoreKind::Volume(b"data".to_vec()))),
            ("top/volumes/.tar", Some(StoreKind::Volume(Vec::new()))),
            ("volumes/a/b.tar", None),
            ("volumes/data", None),
            ("checkpoint/tmpfs-dev-83.tar.gz.img", Some(StoreKind::TmpfsDevice(83))),
            ("checkpoint/tmpfs-83.tar.gz.img", Some(StoreKind::TmpfsMount(83))),
            ("checkpoint/tmpfs-dev-+83.tar.gz.img", None),
            ("checkpoint/tmpfs-dev-99999999999.tar.gz.img", None),
            ("checkpoint/tmpfs-dev-.tar.gz.img", None),
        ] {
            assert_eq!(kind_of(path.as_bytes()), kind, "{path}");
        }
    }

    #[test]
    fn a_path_is_absolute_only_where_the_place_is_known() {
        let at = |places: &[&str]| Store {
            kind: StoreKind::DevShm,
            mount_points: places.iter().map(|place| place.as_bytes().to_vec()).collect(),
            member: Vec::new(),
            compression: None,
            entries: 0,
            origin: Origin::Layer(LayerId::TOP),
        };
        assert_eq!(at(&["/"]).absolute(b"etc/passwd"), b"/etc/passwd");
        assert_eq!(at(&["/"]).absolute(b""), b"/");
        assert_eq!(at(&["/dev/shm", "/other"]).absolute(b"x"), b"/dev/shm/x");
        assert_eq!(at(&["/data/"]).absolute(b""), b"/data");
        assert_eq!(at(&[]).absolute(b"x"), b"x");
        assert_eq!(
            at(&["/"]).absolute(b"/etc/x"),
            b"//etc/x",
            "what is odd about a stored name stays visible"
        );
    }
}
