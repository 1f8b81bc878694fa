//! Questions to a container checkpoint: search, cores, file system changes.

pub mod accounting;
pub mod core_dump;
pub mod crit_x;
pub mod in_order;
pub mod search;
pub mod unpack;

pub mod rootfs;
