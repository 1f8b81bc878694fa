//! `coldcase crit decode`: an image as JSON.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use criu_images::json::Options;

use super::input::Input;
use super::output::write_whole;
use super::subject::Subject;
use crate::session::{Outcome, Session};

/// Convert an image to JSON
///
/// Of a damaged image the whole entries are printed, and the damage is told (exit status 3).
#[derive(Args, Debug)]
pub struct DecodeArgs {
    /// The image, or `EVIDENCE//MEMBER`; standard input without it
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    r#in: Option<PathBuf>,

    /// Where the text goes, whole or not at all; standard output without it
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,

    /// Over several lines, numbers in the form that suits them
    #[arg(long)]
    pretty: bool,

    /// The member of the input that is the image
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
}

pub fn run(session: &Session<'_>, args: &DecodeArgs) -> Outcome {
    let input = match &args.r#in {
        Some(file) => Input::named(session, file.as_os_str(), args.member.as_deref())?,
        None => Input::standard()?,
    };
    let subject = Subject::of(session, &input)?;
    let options = Options { pretty: args.pretty, salvage: true, ..Options::default() };
    match &args.out {
        // As crit: a line feed at the end on standard output, none in a file.
        None => {
            let mut out = session.ui.stdout();
            subject.write(session, &options, &mut out)?;
            Ok(out.write_all(b"\n")?)
        }
        Some(path) => write_whole(session, path, &mut |out| subject.write(session, &options, out)),
    }
}
