//! What changed in the container's file system, and the files themselves.
//!
//! A checkpoint keeps files in several *stores*: the changes of the root file system against its image, all of `/dev/shm`, of named volumes,
//! of tmpfs mounts. Each is an archive inside the evidence. [`Changes::gather`] reads their headers into one list; [`Changes::cat`] hands out
//! one file's bytes, [`Changes::extract`] writes files below a directory.
//!
//! How deletions are written down follows from the engine ([`Deletions`]), and each engine is known to lose some changes: what a list does not
//! have is not proven to be unchanged ([`Changes::losses`]).
//!
//! A compressed evidence is read once if a [`Rider`] rode along when it was opened and nothing but its findings is asked for; contents that it
//! did not keep cost a second pass.
//!
//! # Example: write a file of the first dump to standard output
//!
//! ```no_run
//! use checkpoint_forensics::rootfs::{CatOptions, Changes, Deletions, Keep, Places, Rider, Subject};
//! use container_checkpoint::{context::Context, dump, evidence::Evidence};
//!
//! let context = Context::default();
//! let mut rider = Rider::new(false, Keep::Named(vec![b"passwd".to_vec()]), &context);
//! let evidence = Evidence::open("counter.tar.zst".as_ref(), &context, &mut rider)?;
//! let dumps = dump::find(evidence.index());
//! let places = Places::default();
//! let subject = Subject { evidence: &evidence, dump: &dumps[0], deletions: Deletions::Listed, places: &places };
//! let changes = Changes::gather(subject, false, &rider, &context)?;
//! changes.cat(b"/etc/passwd", CatOptions::default(), &mut std::io::stdout(), &context)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod beneath;
mod cat;
mod changes;
mod collect;
mod contents;
mod deletions;
mod entry;
mod error;
mod extract;
mod gather;
mod late_hashes;
mod losses;
mod made_by;
mod missing;
mod places;
mod plan;
mod rider;
mod select;
pub(crate) mod store;

pub use cat::{Cat, CatOptions};
pub use changes::{Changes, Order, Subject};
pub use collect::Keep;
pub use deletions::Deletions;
pub use entry::{Change, Entry, Facts};
pub use error::{Error, Result};
pub use extract::{Extracted, Refused, Selection, Stores, Written};
pub use losses::known_losses;
pub use places::{Places, TmpfsMount};
pub use plan::Refusal;
pub use rider::Rider;
pub use store::{Store, StoreKind};

#[cfg(test)]
mod tests;
