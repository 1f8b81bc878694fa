//! Segments of shmget(2), for their keys.

use std::collections::BTreeMap;

use criu_images::schema::IpcShmEntry;

use super::images::Images;

/// A segment of shared memory (`ipc_shm_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedSegment {
    /// The number, which is that of its pagemap-shmem image too.
    pub id: u32,
    /// The key that it was made with; 0 is `IPC_PRIVATE`.
    pub key: u32,
    /// Size in bytes.
    pub size: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions.
    pub mode: u32,
}

/// Reads the segments of all IPC namespaces by number. (CRIU dumps one IPC namespace, so numbers don't clash.)
pub(super) fn load(images: &mut Images<'_>) -> BTreeMap<u32, SharedSegment> {
    let mut segments = BTreeMap::new();
    for namespace in images.numbered("ipcns-shm") {
        let name = format!("ipcns-shm-{namespace}.img");
        images.each::<IpcShmEntry>(&name, "SysV shared memory", |entry, _, _| {
            let desc = &entry.desc;
            segments.entry(desc.id).or_insert(SharedSegment {
                id: desc.id,
                key: desc.key,
                size: entry.size,
                uid: desc.uid,
                gid: desc.gid,
                mode: desc.mode,
            });
        });
    }
    segments
}
