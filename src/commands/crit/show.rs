//! `coldcase crit show`: an image as text for people.

use std::ffi::OsString;
use std::io::Write;

use clap::Args;
use criu_images::json::Options;

use super::decode::decode;
use super::input;
use crate::session::{Outcome, Session};

/// Show an image as indented JSON, numbers in the form that suits them
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The image, or `EVIDENCE//MEMBER`
    #[arg(value_name = "FILE")]
    file: OsString,

    /// The member of FILE that is the image
    #[arg(long, value_name = "NAME")]
    member: Option<String>,

    /// Don't show payloads, only how large they are
    #[arg(long)]
    nopl: bool,
}

pub fn run(session: &Session<'_>, args: &ShowArgs) -> Outcome {
    let input = input::named(session, &args.file, args.member.as_deref())?;
    let mut out = session.ui.stdout();
    decode(&input, &Options { pretty: true, nopl: args.nopl, ..Options::default() }, &mut out)?;
    Ok(out.write_all(b"\n")?)
}
