//! `coldcase crit`: CRIU images as JSON, as crit shows them.

mod archive;
mod compress;
mod decode;
mod encode;
mod info;
mod input;
mod output;
mod page_size;
mod pages;
mod raw_pages;
mod replacement;
mod show;
mod subject;
mod x;

use clap::{Args, Subcommand};

use crate::session::{Outcome, Session};

/// Decode and encode CRIU images as crit does
///
/// Every FILE may also be a member of evidence: `counter.tar.zst//checkpoint/pstree.img`.
// Options as crit takes them: by any beginning that tells them apart; of one that is given twice, the last counts.
#[derive(Args, Debug)]
#[command(infer_long_args = true, args_override_self = true)]
pub struct CritArgs {
    #[command(subcommand)]
    action: Action,
}

/// What to do with an image.
#[derive(Debug, Subcommand)]
enum Action {
    Decode(decode::DecodeArgs),
    Encode(encode::EncodeArgs),
    Compress(compress::CompressArgs),
    Decompress(compress::DecompressArgs),
    Show(show::ShowArgs),
    Info(info::InfoArgs),
    X(x::XArgs),
}

pub fn run(session: &Session<'_>, args: &CritArgs) -> Outcome {
    match &args.action {
        Action::Decode(args) => decode::run(session, args),
        Action::Encode(args) => encode::run(session, args),
        Action::Compress(args) => compress::run(session, args),
        Action::Decompress(args) => compress::run_back(session, args),
        Action::Show(args) => show::run(session, args),
        Action::Info(args) => info::run(session, args),
        Action::X(args) => x::run(session, args),
    }
}
