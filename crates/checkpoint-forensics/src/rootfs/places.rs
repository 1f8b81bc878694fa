//! Where in the container the stores belong: what the engine's metadata and the mount images know, and the stores themselves don't.

/// Where in the container the stores belong. Empty when nothing is known: then stores go by their own names.
///
/// All paths are absolute paths in the container, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Named volumes: name and destination. Podman has them in `namedVolumes` of config.dump, and in the mounts of spec.dump.
    pub volumes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Mounts of tmpfs, from `mountpoints-*.img`: those of a whole file system (`mnt_entry.root` is `/`). A bind mount of a part of one would
    /// put the top of the store where only that part was.
    pub tmpfs: Vec<TmpfsMount>,
    /// Destinations of all mounts: a file or directory there may have been made to mount something on.
    pub mount_points: Vec<Vec<u8>>,
}

/// A mount of a tmpfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TmpfsMount {
    /// `mnt_entry.mnt_id`.
    pub mount_id: u32,
    /// `mnt_entry.root_dev`: the file system's device in the kernel's form, major << 20 | minor.
    pub device: u32,
    /// `mnt_entry.mountpoint`.
    pub mount_point: Vec<u8>,
}

impl Places {
    /// The destination of a named volume.
    pub(super) fn of_volume(&self, name: &[u8]) -> Vec<Vec<u8>> {
        self.volumes
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, destination)| destination.clone())
            .collect()
    }

    /// Where a tmpfs is mounted, found by device; each place once, in the order given.
    pub(super) fn of_device(&self, device: u32) -> Vec<Vec<u8>> {
        self.of_tmpfs(|mount| mount.device == device)
    }

    /// Where a tmpfs is mounted, found by mount.
    pub(super) fn of_mount(&self, mount_id: u32) -> Vec<Vec<u8>> {
        self.of_tmpfs(|mount| mount.mount_id == mount_id)
    }

    fn of_tmpfs(&self, is: impl Fn(&TmpfsMount) -> bool) -> Vec<Vec<u8>> {
        let mut places: Vec<Vec<u8>> = Vec::new();
        for mount in self.tmpfs.iter().filter(|mount| is(mount)) {
            if !places.contains(&mount.mount_point) {
                places.push(mount.mount_point.clone());
            }
        }
        places
    }
}
