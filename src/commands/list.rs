//! `coldcase list`: the checkpoints that lie in directories.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use container_checkpoint::case::{Case, Choice, DumpId};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::error::Error;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::naming::Locator;
use serde_json::Value;

use super::format::Format;
use super::summary::{self, checkpointed_text};
use crate::present::cell::Cell;
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::session::{Outcome, Session, document};

/// Where the kubelet keeps checkpoints.
const KUBELET_DIRECTORY: &str = "/var/lib/kubelet/checkpoints";

/// List the checkpoints in directories
///
/// Files and directories are recognised by their content, whatever their names are. What is no checkpoint is passed over.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Where to look
    #[arg(value_name = "DIR", default_value = KUBELET_DIRECTORY, value_hint = ValueHint::DirPath)]
    directories: Vec<PathBuf>,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(session: &Session<'_>, args: &ListArgs) -> Outcome {
    let mut found = Found { documents: Vec::new(), table: table() };
    for directory in &args.directories {
        match entries(directory) {
            Ok(paths) => paths.iter().for_each(|path| found.look_at(session, path)),
            Err(error) => {
                let text = Text::own("cannot list ").and_evidence(directory.as_os_str().as_bytes());
                session.ui.error(text.and(format_args!(": {error}")));
            }
        }
    }
    match args.format {
        Format::Json => Ok(session.ui.json(&found.documents)?),
        Format::Table if found.documents.is_empty() => {
            let names: Vec<&[u8]> = args.directories.iter().map(|path| path.as_os_str().as_bytes()).collect();
            Ok(session.ui.line(Text::own("No checkpoints found in ").and_evidence(names.join(&b", "[..])))?)
        }
        Format::Table => Ok(session.ui.table(&found.table)?),
    }
}

/// What was found so far. Evidence is closed again as soon as its rows are made: a node may hold hundreds.
struct Found {
    documents: Vec<Value>,
    table: Table<6>,
}

impl Found {
    fn look_at(&mut self, session: &Session<'_>, path: &Path) {
        let mut case = Case::default();
        case.add(Locator::whole(path), &session.context, &mut Nobody);
        for (_, error) in &case.failures {
            // That something else lies there is no failure; that something can't be looked at is.
            if !matches!(error, Error::NotEvidence { .. }) {
                session.ui.error(Text::own(error));
            }
        }
        for (evidence, opened) in case.evidences.iter().enumerate() {
            for dump in opened.chosen(Choice::All).unwrap_or_default() {
                self.add(session, &Checkpoint::new(&case, DumpId { evidence, dump }));
            }
        }
    }

    fn add(&mut self, session: &Session<'_>, checkpoint: &Checkpoint<'_>) {
        let (info, mut findings) = checkpoint.container();
        findings.extend(checkpoint.evidence_findings().clone());
        findings.settle();
        session.tell(checkpoint, &findings);
        self.documents.push(document(
            checkpoint,
            summary::summary(checkpoint, &info, checkpoint.sizes()),
            &findings,
        ));
        let text = |field: Option<&String>| Cell::from(field.map(Text::evidence));
        self.table.row([
            text(info.pod.namespace.known()),
            text(info.pod.name.known()),
            text(info.name.known()),
            Cell::own(info.engine.name()),
            Cell::own(checkpointed_text(session.ui.clock(), &info)),
            Cell::evidence(checkpoint.full_name()),
        ]);
    }
}

fn table() -> Table<6> {
    Table::new([
        Column::wrapped("NAMESPACE"),
        Column::wrapped("POD"),
        Column::wrapped("CONTAINER"),
        Column::whole("ENGINE"),
        Column::wrapped("TIME CHECKPOINTED"),
        Column::wrapped("CHECKPOINT NAME"),
    ])
}

/// What lies in a directory, by name.
fn entries(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| {
        fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() || metadata.is_dir())
    });
    paths.sort();
    Ok(paths)
}
