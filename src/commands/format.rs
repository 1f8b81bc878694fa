//! The two ways in which most answers are printed.

use clap::ValueEnum;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    Table,
    /// An array of documents, one a checkpoint
    Json,
}
