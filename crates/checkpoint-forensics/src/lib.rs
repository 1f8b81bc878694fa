//! Questions to a container checkpoint: search, cores, file system changes.

pub mod core_dump;
pub mod search;

pub mod rootfs;
