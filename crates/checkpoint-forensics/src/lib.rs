//! Questions to a container checkpoint: search, cores, file system changes.

pub mod accounting;
pub mod core_dump;
pub mod crit_x;
pub mod in_order;
pub mod mapped_files;
pub mod modules;
mod outputs;
pub mod recover;
pub mod rootfs;
pub mod search;
pub mod stores;
pub mod strings;
pub mod unpack;
