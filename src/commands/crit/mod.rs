//! `coldcase crit`: CRIU images as JSON, as crit shows them.

mod decode;
mod info;
mod input;
mod show;
mod x;

use clap::{Args, Subcommand};

use crate::session::{Outcome, Session};

/// Decode CRIU images as crit does
///
/// Every FILE may also be a member of evidence: `counter.tar.zst//checkpoint/pstree.img`.
#[derive(Args, Debug)]
pub struct CritArgs {
    #[command(subcommand)]
    action: Action,
}

/// What to do with an image.
#[derive(Debug, Subcommand)]
enum Action {
    Decode(decode::DecodeArgs),
    Show(show::ShowArgs),
    Info(info::InfoArgs),
    X(x::XArgs),
}

pub fn run(session: &Session<'_>, args: &CritArgs) -> Outcome {
    match &args.action {
        Action::Decode(args) => decode::run(session, args),
        Action::Show(args) => show::run(session, args),
        Action::Info(args) => info::run(session, args),
        Action::X(args) => x::run(session, args),
    }
}
