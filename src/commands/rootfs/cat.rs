//! `coldcase rootfs cat`: one file's bytes.

use std::ffi::OsString;
use std::io::Write;

use checkpoint_forensics::rootfs::{Cat, CatOptions, Keep};
use clap::Args;
use container_checkpoint::evidence::split_path;

use super::{OneEvidence, path_bytes, with_changes};
use crate::commands::rootfs::list::kind_text;
use crate::exit::Answer;
use crate::present::escaped_lines::EscapedLines;
use crate::present::text::Text;
use crate::session::{Outcome, Session};

/// Write one changed file's bytes to standard output
///
/// Bytes go out as they are, but for control characters when standard output is a terminal. Exit status 1 when there is no such file among the changes.
#[derive(Args, Debug)]
pub struct CatArgs {
    #[command(flatten)]
    evidence: OneEvidence,

    /// The path in the container
    #[arg(value_name = "PATH")]
    path: OsString,

    /// Look in this store: `rootfs`, `devshm`, `volumes/NAME`, `tmpfs-dev-N`
    #[arg(long, value_name = "NAME")]
    store: Option<OsString>,

    /// When PATH is a symbolic link, go on to what it points to among the changes
    #[arg(long, short = 'L')]
    follow: bool,
}

pub fn run(session: &Session<'_>, args: &CatArgs) -> Outcome {
    let path = path_bytes(&args.path);
    let store = args.store.as_ref().map(path_bytes);
    let keep = Keep::Named(vec![split_path(&path).1.to_vec()]);
    with_changes(session, &args.evidence, keep, &mut |_, changes| {
        let options = CatOptions { store: store.as_deref(), follow: args.follow };
        let ui = session.ui;
        let mut raw = ui.stdout();
        let mut escaped = EscapedLines::new(ui.stdout());
        let out: &mut dyn Write = if ui.stdout_is_terminal() { &mut escaped } else { &mut raw };
        match changes.cat(&path, options, out, &session.context)? {
            Cat::Written { gap, .. } => {
                raw.flush().and(escaped.flush())?;
                ui.answer(Answer::Found);
                if let Some(gap) = gap {
                    // A file that is not whole is no whole answer, found or not.
                    ui.error(Text::evidence(gap.place).and(": ").and(Text::evidence(gap.why)));
                }
            }
            Cat::NotAFile { entry, .. } => {
                ui.error(Text::evidence(&entry.path).and(format_args!(" is {}", kind_text(entry))));
            }
            Cat::Unavailable { gap, .. } => {
                ui.error(Text::evidence(gap.place).and(": ").and(Text::evidence(gap.why)))
            }
            Cat::Deleted(entry) => {
                ui.answer(Answer::NotFound);
                ui.warning(Text::evidence(&entry.path).and(" was deleted"));
            }
            Cat::NotFound { path, .. } => {
                ui.answer(Answer::NotFound);
                ui.warning(
                    Text::evidence(path).and(" is not among the changes; it may be unchanged in the image"),
                );
            }
        }
        Ok(())
    })
}
