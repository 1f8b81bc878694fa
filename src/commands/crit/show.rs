//! `coldcase crit show`: an image as text for people.

use std::ffi::OsString;
use std::io::Write;

use clap::Args;
use criu_images::json::Options;

use super::input::Input;
use super::subject::Subject;
use crate::session::{Outcome, Session};

/// Show an image as indented JSON, numbers in the form that suits them
///
/// Of a damaged image the whole entries are shown, and the damage is told (exit status 3).
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The image, or `EVIDENCE//MEMBER`
    #[arg(value_name = "FILE")]
    file: OsString,

    /// The member of FILE that is the image
    #[arg(long, value_name = "NAME")]
    member: Option<String>,

    /// Don't show payloads, only how large they are
    // `--no` and `--n` would be of `--no-progress` too, which crit does not have.
    #[arg(long, aliases = ["no", "n"])]
    nopl: bool,
}

pub fn run(session: &Session<'_>, args: &ShowArgs) -> Outcome {
    let input = Input::named(session, &args.file, args.member.as_deref())?;
    let subject = Subject::of(session, &input)?;
    let mut out = session.ui.stdout();
    subject.write(session, &Options { pretty: true, nopl: args.nopl, salvage: true }, &mut out)?;
    Ok(out.write_all(b"\n")?)
}
