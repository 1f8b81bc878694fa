//! Compressing the pages of a dump, and giving them back, as crit 4.3 does with its LZ4 blocks.
//!
//! Three files change together: a pages file ([`compress`], [`decompress`]), its pagemap, which these return, and once
//! in a dump the inventory ([`inventory::compressed`], [`inventory::decompressed`]). Only what has to change does:
//! whatever else an entry holds, in whatever encoding, stays as it is, so that decompressing what was compressed gives
//! back every byte.

mod edit;
pub mod inventory;
mod pack;
mod unpack;

use std::io;

pub use pack::compress;
pub use unpack::decompress;

use crate::error::Error;
use crate::pagemap::{PagesError, UnpackError};

/// Field number of `pagemap_entry.flags`.
const FLAGS: u32 = 4;
/// Field number of `pagemap_entry.blocks`.
const BLOCKS: u32 = 6;

/// What [`compress`] and [`decompress`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewritten {
    /// The pagemap image that belongs to the pages written.
    pub pagemap: Vec<u8>,
    /// How many pages the pages file holds.
    pub pages: u64,
    /// Length of the pages file with all pages plain, in bytes.
    pub plain: u64,
    /// Length of the pages file when it is compressed, in bytes.
    pub stored: u64,
}

/// Why pages could not be compressed or given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompressError {
    /// An image is damaged.
    #[error(transparent)]
    Image(#[from] Error),
    /// The pagemap or the pages file is damaged, or they don't belong together.
    #[error(transparent)]
    Pages(#[from] PagesError),
    /// An entry that is compressed already.
    #[error("entry {entry} of the pagemap is compressed already")]
    Compressed {
        /// Number of the entry in the pagemap image, from 0; the head is entry 0.
        entry: u64,
    },
    /// An entry whose blocks take more than an image can say.
    #[error("entry {entry} of the pagemap has too many pages for one list of blocks")]
    TooLarge {
        /// Number of the entry in the pagemap image, from 0; the head is entry 0.
        entry: u64,
    },
    /// An inventory of another version of images than can be compressed.
    #[error("images of version {0} cannot be compressed: their files have no head words (CRIU before 1.6)")]
    Version(u32),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
}

impl From<UnpackError> for CompressError {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Pages(error) => Self::Pages(error),
            UnpackError::Read { source, .. } => Self::File(source),
        }
    }
}
