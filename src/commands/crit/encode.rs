//! `coldcase crit encode`: JSON as an image.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueHint};
use criu_images::Image;
use criu_images::json::{self, Encoded};

use super::input;
use super::output::write_whole;
use crate::present::hint::WithHint as _;
use crate::present::text::Text;
use crate::session::{Outcome, Session};

/// Convert JSON to an image
///
/// Takes the text of `crit decode` and `crit show`, edited or not; see docs/CRIT.md.
#[derive(Args, Debug)]
pub struct EncodeArgs {
    /// The text, or `EVIDENCE//MEMBER`; standard input without it
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    r#in: Option<PathBuf>,

    /// Where the image goes, whole or not at all; standard output without it
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,

    /// The member of the input that is the text
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
}

pub fn run(session: &Session<'_>, args: &EncodeArgs) -> Outcome {
    let (text, shown) = match &args.r#in {
        Some(file) => (input::bytes(session, file.as_os_str(), args.member.as_deref())?, Text::name(file)),
        None => (input::standard_input()?, Text::own("standard input")),
    };
    let mut encoded = None;
    let mut write = |out: &mut dyn Write| -> Result<()> {
        let mut out = out;
        let result = json::encode(&text, &mut out).with_context(|| shown.to_string());
        let is_image = result.is_err() && Image::parse(&text).is_ok();
        encoded = Some(match is_image {
            true => result.hint("this is an image already: `crit decode` makes a text of it")?,
            false => result?,
        });
        Ok(())
    };
    match &args.out {
        None if session.ui.stdout_is_terminal() => {
            Err(anyhow::anyhow!("an image is no text: it does not go to a terminal"))
                .hint("name a file with --out")?;
        }
        None => write(&mut session.ui.stdout())?,
        Some(path) => write_whole(session, path, &mut write)?,
    }
    if let Some(encoded) = encoded {
        tell_ignored(session, &shown, &encoded);
    }
    Ok(())
}

/// Says which keys are not in the image, since no field has their name.
fn tell_ignored(session: &Session<'_>, shown: &Text, encoded: &Encoded) {
    for path in &encoded.ignored {
        let text = shown.clone().and(": ignored ").and_evidence(path).and(", which no field is called");
        session.ui.note(text);
    }
}
