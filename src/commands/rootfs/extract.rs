//! `coldcase rootfs extract`: changed files, written below a directory.

use std::ffi::OsString;
use std::path::PathBuf;

use checkpoint_forensics::rootfs::{Keep, Selection, Stores};
use clap::{Args, ValueHint};

use super::{OneEvidence, path_bytes, with_changes};
use crate::exit::Answer;
use crate::present::bytes::count_text;
use crate::present::text::Text;
use crate::present::whole_file::refuse_evidence;
use crate::session::{Outcome, Session};

/// Write changed files below a directory
///
/// Regular files and directories only, strictly below DIR, which must be new or empty. Nothing is written through a link; links, devices and named pipes are not made;
/// set-uid and set-gid bits are not kept; files belong to you. What was not written is said, with the reason.
#[derive(Args, Debug)]
pub struct ExtractArgs {
    #[command(flatten)]
    evidence: OneEvidence,

    /// The directory to write to: a new or an empty one
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: PathBuf,

    /// Paths in the container, each with all below it; all files without any
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,

    /// Take files from this store: `rootfs`, `devshm`, `volumes/NAME`, `tmpfs-dev-N`, or `all`
    #[arg(long, value_name = "NAME")]
    store: Option<OsString>,
}

pub fn run(session: &Session<'_>, args: &ExtractArgs) -> Outcome {
    refuse_evidence(&args.output, [&args.evidence.evidence].into_iter())?;
    session.end_cleanly_on_signals()?;
    let paths: Vec<Vec<u8>> = args.paths.iter().map(path_bytes).collect();
    let store = args.store.as_ref().map(path_bytes);
    let stores = match store.as_deref() {
        None => Stores::Usual,
        Some(b"all") => Stores::All,
        Some(name) => Stores::Named(name),
    };
    let selection = Selection { paths: (!paths.is_empty()).then_some(paths.as_slice()), stores };
    with_changes(session, &args.evidence, Keep::All, &mut |_, changes| {
        let extracted = changes.extract(selection, &args.output, &session.context)?;
        let ui = session.ui;
        for written in &extracted.written {
            ui.line(Text::name(
                args.output.join(std::ffi::OsStr::new(&*String::from_utf8_lossy(&written.output))),
            ))?;
            if written.cleared != 0 {
                ui.note(
                    Text::evidence(&written.output)
                        .and(format_args!(": mode bits {:04o} were not kept", written.cleared)),
                );
            }
        }
        for refused in &extracted.refused {
            let path = &changes.entries[refused.entry].path;
            ui.warning(
                Text::own("not written: ")
                    .and_evidence(path)
                    .and(": ")
                    .and(Text::evidence(refused.why.to_string())),
            );
        }
        for path in &extracted.not_found {
            ui.answer(Answer::NotFound);
            ui.warning(Text::evidence(path).and(" is not among the changes"));
        }
        for gap in &extracted.gaps {
            ui.gap(Text::evidence(&gap.what), Text::evidence(&gap.place), Text::evidence(&gap.why));
        }
        let (written, refused) = (extracted.written.len() as u64, extracted.refused.len() as u64);
        ui.note(
            Text::own(count_text(written, "entry", "entries")).and(format_args!(" written, {refused} not")),
        );
        Ok(())
    })
}
