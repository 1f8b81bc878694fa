//! Questions to a container checkpoint: search, cores, file system changes.

pub mod core_dump;
pub mod crit_x;
mod outputs;
pub mod recover;
pub mod search;
pub mod stores;
pub mod strings;

pub mod rootfs;
