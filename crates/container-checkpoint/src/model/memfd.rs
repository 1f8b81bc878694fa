//! Memory files: descriptors of memfd_create(2), and shared memory that CRIU dumps as such.

use std::sync::Arc;

use criu_images::schema::{MemfdFileEntry, MemfdInodeEntry};

use crate::gap::Field;

/// A descriptor of a memory file (`memfd_file_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemfdFile {
    /// `O_*`; 0 when CRIU made the entry for a mapping.
    pub flags: u32,
    /// Position in bytes.
    pub position: u64,
    /// The number of the inode in memfd.img.
    pub inode_id: u32,
    /// The memory behind it.
    pub inode: Field<Arc<MemfdInode>>,
}

/// A memory file's content and name (`memfd_inode_entry` of memfd.img).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemfdInode {
    /// The name given to memfd_create(2), without the `memfd:` that `/proc` shows before it. Shared memory without a
    /// name is `/dev/zero` or, of huge pages, `/anon_hugepage`.
    pub name: Vec<u8>,
    /// Size in bytes.
    pub size: u64,
    /// The number of the shared object: its pages are in `pagemap-shmem-SHMID.img`.
    pub shmid: u32,
    /// `F_SEAL_*`.
    pub seals: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `MFD_HUGE*` when it is of huge pages.
    pub huge_pages: Option<u32>,
    /// Type and permissions, `st_mode` (CRIU 3.19 and later).
    pub mode: Field<u32>,
}

impl MemfdInode {
    pub(super) fn from_wire(inode: &MemfdInodeEntry) -> Self {
        Self {
            name: inode.name.clone(),
            size: inode.size,
            shmid: inode.shmid,
            seals: inode.seals,
            uid: inode.uid,
            gid: inode.gid,
            huge_pages: inode.hugetlb_flag,
            mode: inode.mode.into(),
        }
    }

    /// Whether it is the memory of a shared mapping without a name. (A file of memfd_create(2) with that very name looks
    /// the same in the images.)
    pub fn is_anonymous(&self) -> bool {
        self.name == b"/dev/zero" || self.name == b"/anon_hugepage"
    }

    /// The path as `/proc` shows it: `/memfd:NAME (deleted)`, or `/dev/zero (deleted)`.
    pub fn shown_path(&self) -> Vec<u8> {
        let prefix: &[u8] = if self.is_anonymous() { b"" } else { b"/memfd:" };
        [prefix, &self.name, b" (deleted)"].concat()
    }
}

impl MemfdFile {
    pub(super) fn from_wire(file: &MemfdFileEntry, inode: Field<Arc<MemfdInode>>) -> Self {
        Self { flags: file.flags, position: file.pos, inode_id: file.inode_id, inode }
    }
}
