//! Questions to a container checkpoint, each a function from a [`Case`](container_checkpoint::case::Case) to findings or bytes.
//!
//! | to know | ask |
//! | --- | --- |
//! | what is at an address, and the bytes of a range | [`in_order`] |
//! | where every byte of a mapping is, or why it is nowhere | [`accounting`] |
//! | where a text or a pattern stands | [`search`] |
//! | what can be read as text | [`strings`] |
//! | what else holds bytes, and who holds it | [`stores`] |
//! | a deleted executable, a memory file, a range of memory as files | [`recover`] |
//! | a process for a debugger | [`core_dump`] |
//! | which executables and libraries were loaded, by build id | [`modules`] |
//! | the files behind mappings, checked | [`mapped_files`] |
//! | what changed in the file system | [`rootfs`] |
//! | what crit's `x` says | [`crit_x`] |
//! | the plain archive in a packed one | [`unpack`](mod@unpack) |

pub mod accounting;
pub mod core_dump;
pub mod crit_x;
pub mod in_order;
mod looked_at;
pub mod mapped_files;
pub mod modules;
mod outputs;
pub mod recover;
pub mod rootfs;
pub mod search;
pub mod stores;
pub mod strings;
pub mod unpack;

pub use looked_at::LookedAt;
