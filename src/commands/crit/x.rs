//! `coldcase crit x`: processes, files, mappings and dumped pages, as crit shows them.

use std::ffi::OsString;

use checkpoint_forensics::crit_x::{self, Question};
use clap::{Args, ValueEnum, ValueHint};
use container_checkpoint::gap::{Findings, Gap, Note};
use criu_images::kinds::by_file_name;

use crate::present::escape::escape;
use crate::present::text::Text;
use crate::session::{DumpArgs, EvidenceArgs, Outcome, Session};

/// Explore a dump: its processes, their files, mappings and dumped pages
///
/// The text is crit's, with what it leaves out put right: see docs/CRIT.md.
#[derive(Args, Debug)]
pub struct XArgs {
    /// A directory of images, an archive, or other evidence; `EVIDENCE//NAME` chooses a dump
    #[arg(value_name = "DIR", value_hint = ValueHint::AnyPath)]
    evidence: OsString,

    /// What to show
    #[arg(value_enum)]
    what: What,

    /// Take all dumps of evidence that holds several, each below a line with its name
    #[arg(long)]
    all_dumps: bool,
}

/// What to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// The tree of processes
    Ps,
    /// Open descriptors, working and root directory of each process
    Fds,
    /// Executable and mappings of each process
    Mems,
    /// Which pages of each process are dumped, and the mappings that they are in
    Rss,
}

impl What {
    /// Whether the table rests on an image.
    fn rests_on(self, image: &str) -> bool {
        let Some((kind, _)) = by_file_name(image.as_bytes()) else { return true };
        match kind.name {
            "PSTREE" | "CORE" => true,
            "INVENTORY" | "CREDS" | "ITIMERS" | "RLIMIT" | "UTSNS" | "MNTS" => false,
            "IDS" | "FDINFO" | "FS" => self == Self::Fds,
            "MM" => matches!(self, Self::Mems | Self::Rss),
            // Files of all sorts.
            _ => self != Self::Ps,
        }
    }
}

/// Makes notes of those gaps in the model that the table does not show: they are no gaps of the answer.
fn spare(what: What, findings: &mut Findings) {
    let rests_on = |gap: &Gap| gap.place.split(", ").next().is_none_or(|image| what.rests_on(image));
    let (shown, spared) = std::mem::take(&mut findings.gaps).into_iter().partition(rests_on);
    findings.gaps = shown;
    findings.notes.extend(spared.into_iter().map(|Gap { what, place, why }| Note { what, place, why }));
}

impl From<What> for Question {
    fn from(what: What) -> Self {
        match what {
            What::Ps => Self::Ps,
            What::Fds => Self::Fds,
            What::Mems => Self::Mems,
            What::Rss => Self::Rss,
        }
    }
}

pub fn run(session: &Session<'_>, args: &XArgs) -> Outcome {
    let evidence = EvidenceArgs {
        evidence: vec![args.evidence.clone()],
        dumps: DumpArgs { all_dumps: args.all_dumps, ..DumpArgs::default() },
    };
    let case = session.open(&evidence);
    for checkpoint in session.chosen(&case, &evidence) {
        let images = case.dump(checkpoint.id()).image_files(case.evidence(checkpoint.id()).index());
        let (model, mut findings) = checkpoint.model();
        let (answer, found) = crit_x::explore(args.what.into(), &images, &model);
        spare(args.what, &mut findings);
        findings.extend(found);
        findings.extend(checkpoint.evidence_findings().clone());
        findings.settle();
        session.tell(&checkpoint, &findings);
        if args.all_dumps {
            session.ui.line(Text::evidence(checkpoint.full_name()).and(":"))?;
        }
        answer.write_to(&mut session.ui.stdout(), &escape)?;
    }
    Ok(())
}
