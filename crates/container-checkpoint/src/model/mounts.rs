//! Mounts of the mount namespaces.

use std::borrow::Cow;
use std::collections::BTreeMap;

use criu_images::schema::{Fstype, MntEntry};

use super::device::Device;
use super::images::Images;
use crate::gap::Field;

/// A mount (`mnt_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its number, as in `/proc/PID/mountinfo`.
    pub id: u32,
    /// The number of the mount that it is on.
    pub parent: u32,
    /// Device of the file system.
    pub device: Device,
    /// File system by CRIU's number (`fstype`).
    pub filesystem_number: u32,
    /// File system by name, where the image has one: CRIU keeps it for those that it has no number for.
    pub filesystem_name: Option<Vec<u8>>,
    /// `MS_*` of the mount.
    pub flags: u32,
    /// `MS_*` of the file system (CRIU 1.8 and later).
    pub filesystem_flags: Field<u32>,
    /// Which directory of the file system is mounted, raw bytes.
    pub root: Vec<u8>,
    /// Where, raw bytes.
    pub mountpoint: Vec<u8>,
    /// The device or name that was mounted, raw bytes.
    pub source: Vec<u8>,
    /// Options of the file system.
    pub options: Vec<u8>,
    /// The group that it shares mounts with; 0 for none.
    pub shared_group: Field<u32>,
    /// The group that it receives mounts from; 0 for none.
    pub master_group: Field<u32>,
    /// The name under which something outside restores it: a bind mount of the engine.
    pub external: Field<Vec<u8>>,
    /// Whether what is mounted was deleted.
    pub deleted: bool,
}

/// Names of file systems by CRIU's numbers, where they are not those of the schema in small letters.
const NAMES: [(Fstype, &str); 1] = [(Fstype::Overlayfs, "overlay")];

impl Mount {
    fn from_wire(mount: MntEntry) -> Self {
        // Before CRIU 3.0 external mounts had a flag and their name in `root`.
        let external = match mount.ext_key {
            Some(key) => Field::Known(key),
            None if mount.ext_mount == Some(true) => Field::Known(mount.root.clone()),
            None => Field::NotApplicable,
        };
        Self {
            id: mount.mnt_id,
            parent: mount.parent_mnt_id,
            device: Device::from_kernel(mount.root_dev),
            filesystem_number: mount.fstype,
            filesystem_name: mount.fsname,
            flags: mount.flags,
            filesystem_flags: mount.sb_flags.into(),
            root: mount.root,
            mountpoint: mount.mountpoint,
            source: mount.source,
            options: mount.options,
            shared_group: mount.shared_id.into(),
            master_group: mount.master_id.into(),
            external,
            deleted: mount.deleted == Some(true),
        }
    }

    /// The name of the file system as `/proc/PID/mountinfo` has it; `unknown` where CRIU didn't support it.
    pub fn filesystem(&self) -> Cow<'_, [u8]> {
        if let Some(name) = &self.filesystem_name {
            return Cow::Borrowed(name);
        }
        let number = i32::try_from(self.filesystem_number).ok();
        match number.and_then(|number| Fstype::try_from(number).ok()) {
            Some(Fstype::Unsupported) | None => Cow::Borrowed(b"unknown"),
            Some(known) => match NAMES.iter().find(|(fstype, _)| *fstype == known) {
                Some((_, name)) => Cow::Borrowed(name.as_bytes()),
                None => Cow::Owned(known.as_str_name().to_ascii_lowercase().into_bytes()),
            },
        }
    }
}

/// Reads the mounts of all mount namespaces, by the namespace's number.
pub(super) fn load(images: &mut Images<'_>) -> BTreeMap<u32, Vec<Mount>> {
    let mut mounts = BTreeMap::new();
    for id in images.numbered("mountpoints") {
        let mut of_namespace = Vec::new();
        images.each::<MntEntry>(&format!("mountpoints-{id}.img"), "mounts", |mount, _, _| {
            of_namespace.push(Mount::from_wire(mount));
        });
        mounts.insert(id, of_namespace);
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_named_as_the_kernel_names_them() {
        let name = |fstype, fsname: Option<&[u8]>| {
            let mount = MntEntry { fstype, fsname: fsname.map(<[u8]>::to_vec), ..Default::default() };
            String::from_utf8(Mount::from_wire(mount).filesystem().into_owned()).unwrap()
        };
        assert_eq!(name(1, None), "proc");
        assert_eq!(name(17, None), "overlay");
        assert_eq!(name(23, None), "cgroup2");
        assert_eq!(name(16, Some(b"xfs")), "xfs");
        assert_eq!(name(0, None), "unknown");
        assert_eq!(name(u32::MAX, None), "unknown");
    }
}
