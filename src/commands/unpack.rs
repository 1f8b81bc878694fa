//! `coldcase unpack`: a packed archive as the plain one inside it.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use checkpoint_forensics::unpack::{Portion, Unpacked, unpack};
use clap::{Args, ValueHint};
use container_checkpoint::context::Context;

use crate::present::bytes::size_text;
use crate::present::hint::WithHint as _;
use crate::present::text::Text;
use crate::present::whole_file::{WholeFile, refuse_evidence};
use crate::session::{Outcome, Session};

/// Write the plain archive that is inside a compressed one
///
/// The same members and bytes, uncompressed: of a plain archive any question reads only what it needs, while a compressed one is unpacked anew by each command. Prints the SHA-256 of both,
/// as sha256sum does. The archive holds the memory of the victim: it is readable to you alone, and written whole or not at all, unless --partial allows less.
#[derive(Args, Debug)]
pub struct UnpackArgs {
    /// A compressed archive, or `-` for standard input
    #[arg(value_name = "EVIDENCE", value_hint = ValueHint::FilePath)]
    evidence: OsString,

    /// Where the plain archive goes; `-` is standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,

    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,

    /// Of a damaged archive, write what stands before the damage
    ///
    /// Exactly the bytes that can be unpacked, nothing padded or repaired: the plain archive ends where the damage is, maybe within a member. Which one is told, with exit status 3. The checksum
    /// of what was written stands behind the damage in most formats, so that nothing vouches for the last bytes.
    #[arg(long)]
    partial: bool,
}

pub fn run(session: &Session<'_>, args: &UnpackArgs) -> Outcome {
    let evidence = Path::new(&args.evidence);
    if args.output == Path::new("-") {
        if session.ui.stdout_is_terminal() {
            bail!("the archive is not written to a terminal");
        }
        let mut out = session.ui.stdout();
        let unpacked = unpack_showing_progress(session, args, &mut out, true)?;
        out.flush()?;
        for (name, hash) in
            [(evidence, unpacked.packed.sha256_text()), (Path::new("-"), unpacked.plain.sha256_text())]
        {
            session.ui.note(Text::own(format_args!("SHA-256 {hash}  ")).and(Text::name(name)));
        }
        tell(session, evidence, &unpacked);
        return Ok(());
    }
    refuse_evidence(&args.output, [&args.evidence].into_iter())?;
    session.end_cleanly_on_signals()?;
    let mut out = WholeFile::begin(&args.output, args.force)?;
    let unpacked = unpack_showing_progress(session, args, &mut out, false)?;
    out.finish()?;
    session.ui.line(Text::own(unpacked.packed.sha256_text()).and("  ").and(Text::name(evidence)))?;
    session.ui.line(Text::own(unpacked.plain.sha256_text()).and("  ").and(Text::name(&args.output)))?;
    tell(session, evidence, &unpacked);
    Ok(())
}

/// `is_stream` says that what was written can't be taken back.
fn unpack_showing_progress(
    session: &Session<'_>,
    args: &UnpackArgs,
    out: &mut dyn Write,
    is_stream: bool,
) -> Result<Unpacked> {
    let evidence = Path::new(&args.evidence);
    let portion = if args.partial { Portion::BeforeDamage } else { Portion::Whole };
    let progress = session.ui.progress(Text::name(evidence));
    let context = Context { progress: Arc::new(progress.callback()), ..session.context.clone() };
    let unpacked = unpack(evidence, portion, &context, out);
    drop(progress);
    match unpacked {
        Err(error @ container_checkpoint::error::Error::NotPacked { .. }) => {
            Err(error).hint("give it to the other commands as it is")
        }
        Err(error @ container_checkpoint::error::Error::Read { .. }) => Err(error)
            .context(if is_stream {
                "what was written is not whole"
            } else {
                "nothing is written, since it would not be whole"
            })
            .hint(
                "--partial writes what stands before the damage; the other commands answer from it as it is",
            ),
        unpacked => Ok(unpacked?),
    }
}

fn tell(session: &Session<'_>, evidence: &Path, unpacked: &Unpacked) {
    let how = unpacked.compression.map_or("it was not compressed", |compression| compression.name());
    let sizes =
        format!(": {how}, {} became {}", size_text(unpacked.packed.bytes), size_text(unpacked.plain.bytes));
    session.ui.note(Text::name(evidence).and(sizes));
    for gap in &unpacked.findings.gaps {
        session.ui.gap(Text::evidence(&gap.what), Text::evidence(&gap.place), Text::evidence(&gap.why));
    }
    if unpacked.has_more_behind {
        let what = ": more bytes stand behind the compressed data, which no unpacking reads: another archive, or hidden data";
        session.ui.warning(Text::name(evidence).and(what));
    }
}
