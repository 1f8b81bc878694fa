//! `coldcase crit info`: which kind of image it is, and how many entries it has.

use std::ffi::OsString;
use std::io::Write;

use clap::Args;

use super::decode::image;
use super::input;
use crate::session::{Outcome, Session};

/// Show an image's magic and how many entries it has
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
    let input = input::named(session, &args.file, args.member.as_deref())?;
    let mut out = session.ui.stdout();
    criu_images::json::info(&image(&input)?, &mut out)?;
    Ok(out.write_all(b"\n")?)
}
