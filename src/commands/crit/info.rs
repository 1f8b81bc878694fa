//! `coldcase crit info`: which kind of image it is, and how many entries it has.

use std::ffi::OsString;
use std::io::Write;

use clap::Args;

use super::input::Input;
use super::subject::Subject;
use crate::session::{Outcome, Session};

/// Show an image's magic and how many entries it has
///
/// Of a damaged image the whole entries are counted, and the damage is told (exit status 3).
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// The image, or `EVIDENCE//MEMBER`
    #[arg(value_name = "FILE")]
    file: OsString,

    /// The member of FILE that is the image
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
}

pub fn run(session: &Session<'_>, args: &InfoArgs) -> Outcome {
    let input = Input::named(session, &args.file, args.member.as_deref())?;
    let subject = Subject::of(session, &input)?;
    let mut out = session.ui.stdout();
    subject.write_info(session, &mut out)?;
    Ok(out.write_all(b"\n")?)
}
