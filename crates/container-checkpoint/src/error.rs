//! Why a question could not be answered at all. What is merely missing beside an answer is a [`Gap`](crate::gap::Gap).

use std::io;
use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file or directory can't be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// What was asked for.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The bytes can't be read.
    #[error("cannot read {what}: {source}")]
    Read {
        /// Evidence, member and offset, as far as they are known.
        what: String,
        /// The system's or decoder's reason.
        source: io::Error,
    },
    /// What was given is no archive, directory or image layout that holds a checkpoint.
    #[error("{name} is not a checkpoint: {why}")]
    NotEvidence {
        /// The evidence as it was named.
        name: String,
        /// What it looks like instead.
        why: String,
    },
    /// No dump of that name in the evidence.
    #[error("{evidence} holds no dump named '{name}'; it holds: {known}")]
    NoSuchDump {
        /// The evidence as it was named.
        evidence: String,
        /// The name asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// Several dumps, and the question needs one.
    #[error("{evidence} holds {count} dumps: {known}; choose one with {evidence}//NAME, or take --all-dumps")]
    SeveralDumps {
        /// The evidence as it was named.
        evidence: String,
        /// How many there are.
        count: usize,
        /// Their names, separated by commas.
        known: String,
    },
    /// No member of that name in the evidence.
    #[error("{evidence} has no member '{name}'")]
    NoSuchMember {
        /// The evidence as it was named.
        evidence: String,
        /// The name asked for.
        name: String,
    },
    /// A second pass is needed over something that can be read only once.
    #[error(
        "{0} can be read only once and this question needs a second pass; give a file, or --spool DIR to keep a copy there while it is read"
    )]
    ReadOnce(String),
    /// A second pass met something else than the first one: the evidence changed meanwhile.
    #[error("{name} changed while it was read: {place}; what comes there is not taken for what was listed")]
    Changed {
        /// The evidence as it was named.
        name: String,
        /// Where, and what was met.
        place: String,
    },
    /// What was named has no contents: a directory, a link to nothing, a device.
    #[error("{0} is no file")]
    NotAFile(String),
    /// Something is larger than the limit for what is kept in memory.
    #[error("{what} has {size} bytes, more than the limit of {limit}; raise it with {option}")]
    Limit {
        /// The member or list.
        what: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
        /// The option that sets the limit.
        option: &'static str,
    },
    /// There is nothing to unpack: the evidence is not packed.
    #[error("nothing to unpack in {name}: {why}")]
    NotPacked {
        /// The evidence as it was named.
        name: String,
        /// What it is instead.
        why: String,
    },
    /// What was read can't be written to where it should go.
    #[error("cannot write: {0}")]
    Write(#[source] io::Error),
    /// The caller asked to stop.
    #[error("stopped")]
    Cancelled,
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
