//! Shared objects as objects: anonymous shared memory, memory files, SysV segments, whoever maps them.

use std::sync::Arc;

use super::extent::Extents;
use crate::gap::Findings;
use crate::model::SharedObjectId;

/// The stored pages of a shared object (`pagemap-shmem-ID.img`), through any depth of parents.
#[derive(Clone, Debug)]
pub struct SharedPages {
    /// Its number.
    pub id: SharedObjectId,
    /// Where its bytes are, by offset in the object.
    pub pages: Arc<Extents>,
    /// Whether all of its pagemaps could be read: then what is not stored was never written, and reads as zeros.
    pub is_whole: bool,
    /// What can't be had of it, if no process maps it; else that is told with the processes' memory.
    pub findings: Findings,
}
