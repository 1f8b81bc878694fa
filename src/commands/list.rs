//! `coldcase list`: the checkpoints that lie in directories.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use container_checkpoint::case::{Case, Choice, DumpId};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::container::ContainerInfo;
use container_checkpoint::error::Error;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::gap::Findings;
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
    let mut case = Case::default();
    for directory in &args.directories {
        match entries(directory) {
            Ok(paths) => paths.iter().for_each(|path| case.add(Locator::whole(path), &session.context, &mut Nobody)),
            Err(error) => session.ui.error(Text::own("cannot list ").and_evidence(directory.as_os_str().as_encoded_bytes()).and(format_args!(": {error}"))),
        }
    }
    for (_, error) in &case.failures {
        // That something else lies there is no failure; that something can't be looked at is.
        if !matches!(error, Error::NotEvidence { .. }) {
            session.ui.error(Text::own(error));
        }
    }
    let found = case.evidences.iter().enumerate().flat_map(|(evidence, opened)| {
        let dumps = opened.chosen(Choice::All).unwrap_or_default();
        dumps.into_iter().map(move |dump| DumpId { evidence, dump })
    });
    let rows: Vec<_> = found.map(|id| Checkpoint::new(&case, id)).map(|checkpoint| (checkpoint, checkpoint.container())).collect();
    for (checkpoint, _) in &rows {
        session.tell(checkpoint, checkpoint.evidence_findings());
    }
    if args.format == Format::Json {
        let row = |(checkpoint, (info, findings)): &(Checkpoint<'_>, (ContainerInfo, Findings))| {
            document(checkpoint, summary::summary(checkpoint, info, checkpoint.sizes()), findings)
        };
        return Ok(session.ui.json(&rows.iter().map(row).collect::<Vec<Value>>())?);
    }
    print_table(session, args, &rows)
}

fn print_table(session: &Session<'_>, args: &ListArgs, rows: &[(Checkpoint<'_>, (ContainerInfo, Findings))]) -> Outcome {
    let names: Vec<String> = args.directories.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    if rows.is_empty() {
        return Ok(session.ui.line(Text::own("No checkpoints found in ").and_evidence(names.join(", ")))?);
    }
    let mut table = Table::new([
        Column::wrapped("NAMESPACE"),
        Column::wrapped("POD"),
        Column::wrapped("CONTAINER"),
        Column::whole("ENGINE"),
        Column::wrapped("TIME CHECKPOINTED"),
        Column::wrapped("CHECKPOINT NAME"),
    ]);
    for (checkpoint, (info, _)) in rows {
        let text = |field: Option<&String>| Cell::from(field.map(Text::evidence));
        table.row([
            text(info.pod.namespace.known()),
            text(info.pod.name.known()),
            text(info.name.known()),
            Cell::own(info.engine.name()),
            Cell::own(checkpointed_text(session.ui.clock(), info)),
            Cell::evidence(checkpoint.full_name()),
        ]);
    }
    Ok(session.ui.table(&table)?)
}

/// What lies in a directory, by name.
fn entries(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() || metadata.is_dir()));
    paths.sort();
    Ok(paths)
}
