//! Why a question about the file system could not be answered at all.

use std::io;
use std::path::PathBuf;

/// An error of this module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The evidence can't be read, or not a second time.
    #[error(transparent)]
    Evidence(#[from] container_checkpoint::error::Error),
    /// No store of that name.
    #[error("the checkpoint has no store '{name}'; it has: {known}")]
    NoSuchStore {
        /// The name asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// The place to write to can't be made, opened or looked at.
    #[error("cannot write into {}: {source}", path.display())]
    Directory {
        /// What was asked for.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The directory to write to holds something already.
    #[error("{} is not empty; files of evidence go into a new or empty directory", .0.display())]
    NotEmpty(PathBuf),
    /// The receiver of a file's contents failed.
    #[error("cannot write the file's contents: {0}")]
    Output(#[source] io::Error),
}

/// A result with this module's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
