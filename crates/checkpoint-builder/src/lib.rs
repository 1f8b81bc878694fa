//! Builds synthetic checkpoints: CRIU's images and the archives they come in, of any size and shape, and tells what is true of them.
//!
//! Nothing here is shared with the crates that read checkpoints: messages are written field by field, magic words are constants, and what an
//! address space holds ([`Truth`]) follows from what was asked for, not from what was written.
//!
//! ```
//! use checkpoint_builder::{Archive, Checkpoint, Contents, Mapping, Pages, Process};
//!
//! let pages = Pages::whole(16, Contents::Generated { seed: 1 }).plant(0x1ff0, b"a needle over the border of two pages");
//! let checkpoint = Checkpoint::new()
//!     .process(Process::new(1).mapping(Mapping::anonymous(0x7000_0000, 32 * 4096).with(pages)));
//! let tar = Archive::podman(&checkpoint).write(Vec::new())?;
//! assert!(tar.len() > 16 * 4096);
//! assert_eq!(checkpoint.known(1)[0].1.len(), 16 * 4096);
//! # Ok::<(), std::io::Error>(())
//! ```

mod archive;
mod blocks;
mod checkpoint;
mod contents;
mod core_image;
mod engine;
mod mapping;
mod object;
mod packing;
mod pagemap;
mod pages;
mod process;
mod truth;
mod wire;
mod worker;

pub use archive::Archive;
pub use blocks::Blocks;
pub use checkpoint::{Checkpoint, Generation};
pub use contents::Contents;
pub use mapping::Mapping;
pub use object::{ObjectKind, SharedObject};
pub use packing::Packing;
pub use pagemap::PageReader;
pub use pages::{Pages, Place, Run};
pub use process::Process;
pub use truth::{Byte, Truth};
pub use wire::Image;
pub use worker::Worker;

/// Bytes a page, where nothing else is said.
pub const PAGE: u64 = 4096;
