//! `coldcase crit decode`: an image as JSON.

use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueHint};
use criu_images::Image;
use criu_images::json::{self, Options};
use tempfile::NamedTempFile;

use super::input::{self, Input};
use crate::session::{Outcome, Session};

/// Convert an image to JSON
#[derive(Args, Debug)]
pub struct DecodeArgs {
    /// The image, or `EVIDENCE//MEMBER`; standard input without it
    #[arg(long, short, value_name = "FILE")]
    r#in: Option<OsString>,

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
        Some(file) => input::named(session, file, args.member.as_deref())?,
        None => input::standard_input()?,
    };
    let options = Options { pretty: args.pretty, ..Options::default() };
    match &args.out {
        // As crit: a line feed at the end on standard output, none in a file.
        None => {
            let mut out = session.ui.stdout();
            decode(&input, &options, &mut out)?;
            Ok(out.write_all(b"\n")?)
        }
        Some(path) => write_whole(path, &mut |out| decode(&input, &options, out)),
    }
}

/// The image that the bytes are; its file name decides where the magic is not enough.
pub fn image(input: &Input) -> Result<Image<'_>> {
    Ok(match &input.name {
        Some(name) => Image::parse_named(name, &input.bytes)?,
        None => Image::parse(&input.bytes)?,
    })
}

/// Writes an image as JSON.
pub fn decode(input: &Input, options: &Options, out: &mut dyn Write) -> Result<()> {
    let mut out = out;
    Ok(json::decode(&image(input)?, options, &mut out)?)
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, write: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = || format!("cannot write {}", path.display());
    let mut out = BufWriter::new(NamedTempFile::new_in(directory).with_context(cannot)?);
    write(&mut out)?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}
