//! Everything that holds bytes beside the memory of processes, as one list.
//!
//! A [`Store`] is a run of bytes that belongs together: a shared object, a deleted file, what is in a pipe or a queue, a register, a file that the container
//! changed, a log. [`read`] shows the stores of some [`Class`]es to [`Sink`]s, with each byte's place in the store and in the evidence; [`Facts`] says who
//! holds a store, and what it is called.
//!
//! Stores are found while they are read: how many messages a queue had says only its image. One sink sees one member of the evidence, or one shared object,
//! so that a [`Rider`] can show what goes by when an evidence is opened, before it is known to which dump it belongs. A compressed evidence costs one pass so, and
//! a second one where the order of its members is not CRIU's; never a third.
//!
//! # Example: what is in the pipes and queues
//!
//! ```no_run
//! use std::ops::ControlFlow;
//!
//! use checkpoint_forensics::stores::{self, Chunk, Class, Store};
//! use container_checkpoint::case::{Case, Choice, DumpId};
//! use container_checkpoint::checkpoint::Checkpoint;
//! use container_checkpoint::context::Context;
//! use container_checkpoint::evidence::Nobody;
//! use container_checkpoint::naming::Locator;
//!
//! let context = Context::default();
//! let mut case = Case::default();
//! case.add(Locator::parse("kitchen.tar.zst".as_ref()), &context, &mut Nobody);
//! let id = DumpId { evidence: 0, dump: case.evidences[0].chosen(Choice::One)?[0] };
//! let (model, _) = Checkpoint::new(&case, id).model();
//! let make = || {
//!     |store: &Store, chunk: Chunk<'_>| {
//!         println!("{}: {:?}", String::from_utf8_lossy(&store.name()), chunk.bytes);
//!         ControlFlow::Continue(())
//!     }
//! };
//! stores::read(&case, id, &model, [Class::Queues].into_iter().collect(), &context, None, &make)?;
//! # Ok::<(), container_checkpoint::error::Error>(())
//! ```

mod class;
mod facts;
mod feed;
mod plan;
mod read;
mod registers;
mod rider;
mod shared;
mod store;
mod together;

pub use class::{Class, Classes};
pub use facts::{Facts, Holder};
pub use feed::Part;
pub use read::{Answer, Reading, Rides, read};
pub use rider::{Make, Rider};
pub use shared::SharedBytes;
pub use store::{Chunk, Contents, Kind, Lack, Sink, Store};
pub use together::{Both, Together};

#[cfg(test)]
pub(crate) mod tests;
