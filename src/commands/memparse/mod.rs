//! `coldcase memparse`: checkpointctl's command of that name. Sizes, a hex dump, a search.

mod dump;
mod search;
mod sizes;

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};

use super::filling::FillArgs;
use super::selection::SelectionArgs;
use crate::session::{EvidenceArgs, Outcome, Session};

/// Show how much memory the processes have, dump it, or search it: checkpointctl's memparse
///
/// Without options a table of sizes. With -p, --range or --mapping a hex dump of what is chosen, in the order of addresses; a line says of each range that is not in the dump why. With -s or -r a table of matches, of all processes
/// unless -p chooses some. `coldcase grep` has more to say about matches.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("pattern").args(["search", "search_regex"]))]
pub struct MemparseArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    fill: FillArgs,

    /// Find this text
    #[arg(long, short, value_name = "TEXT")]
    search: Option<std::ffi::OsString>,

    /// Find what matches this regular expression over bytes (`\xNN` is a byte)
    #[arg(long, short = 'r', value_name = "PATTERN")]
    search_regex: Option<String>,

    /// Show N bytes before and behind each match
    #[arg(long, short, value_name = "N", default_value_t = 0, requires = "pattern")]
    context: usize,

    /// Write the dump to FILE, with every row, whole or not at all; it is readable to you alone
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "pattern")]
    output: Option<PathBuf>,

    /// Replace FILE if it exists
    #[arg(long, requires = "output")]
    force: bool,

    /// Dump the bytes themselves, one chosen range behind the other
    ///
    /// Memory that was never written is zeros. What is not in the dump is left out, and said.
    #[arg(long, conflicts_with = "pattern")]
    raw: bool,
}

pub fn run(session: &Session<'_>, args: &MemparseArgs) -> Outcome {
    let selection = args.selection.selection();
    let is_choice = !selection.pids.is_empty() || !selection.ranges.is_empty() || selection.is_by_mapping();
    if args.search.is_some() || args.search_regex.is_some() {
        search::run(session, args)
    } else if is_choice || args.raw || args.output.is_some() {
        dump::run(session, args, &selection)
    } else {
        sizes::run(session, args)
    }
}
