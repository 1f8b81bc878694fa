//! `coldcase show`: which containers these are, in checkpointctl's table.

use clap::Args;
use container_checkpoint::checkpoint::{Checkpoint, Sizes};
use container_checkpoint::container::ContainerInfo;
use container_checkpoint::gap::Findings;
use serde_json::Value;

use super::format::Format;
use super::summary::{self, checkpointed_text, time_text};
use crate::present::bytes::duration_text;
use crate::present::cell::Cell;
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::session::{EvidenceArgs, Outcome, Session, document};
use crate::ui::Ui;

/// Show which containers were checkpointed
///
/// A table as checkpointctl's: container, image, id, runtime, creation, engine, addresses, sizes; below it when, by which CRIU and on which node the
/// checkpoint was made, as far as the evidence tells. Columns that nobody fills are left out. No page of memory is read.
#[derive(Args, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    evidence: EvidenceArgs,

    /// Also show CRIU's statistics of the dump
    #[arg(long)]
    print_stats: bool,

    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// One checkpoint, as far as this command looks.
struct Row<'c> {
    checkpoint: Checkpoint<'c>,
    info: ContainerInfo,
    sizes: Sizes,
    findings: Findings,
}

pub fn run(session: &Session<'_>, args: &ShowArgs) -> Outcome {
    let case = session.open(&args.evidence);
    let mut rows = Vec::new();
    // A row a dump: there is no need to choose one.
    let mut all = args.evidence.clone();
    all.dumps.all_dumps = true;
    for checkpoint in session.chosen(&case, &all) {
        let (info, mut findings) = checkpoint.container();
        findings.extend(checkpoint.evidence_findings().clone());
        findings.settle();
        session.tell(&checkpoint, &findings);
        rows.push(Row { info, sizes: checkpoint.sizes(), findings, checkpoint });
    }
    if args.format == Format::Json {
        let documents: Vec<Value> = rows.iter().map(|row| row_json(row, args.print_stats)).collect();
        session.ui.json(&documents)?;
    } else if !rows.is_empty() {
        print_tables(session.ui, &rows, args.print_stats)?;
    }
    Ok(())
}

fn row_json(row: &Row<'_>, with_statistics: bool) -> Value {
    let mut map = summary::summary(&row.checkpoint, &row.info, row.sizes);
    if with_statistics && let Some(statistics) = summary::statistics(&row.info) {
        map.insert("statistics".into(), statistics);
    }
    document(&row.checkpoint, map, &row.findings)
}

fn print_tables(ui: &Ui, rows: &[Row<'_>], with_statistics: bool) -> Outcome {
    if let [row] = rows {
        ui.line("")?;
        ui.line(
            Text::own("Displaying container checkpoint data from ").and_evidence(row.checkpoint.full_name()),
        )?;
        ui.line("")?;
    }
    let several = rows.len() > 1;
    let evidence =
        |row: &Row<'_>| if several { Cell::evidence(row.checkpoint.full_name()) } else { Cell::empty() };
    print_containers(ui, rows, &evidence)?;
    ui.line("")?;
    print_dumps(ui, rows, &evidence)?;
    if with_statistics {
        print_statistics(ui, rows, &evidence)?;
    }
    Ok(())
}

fn print_containers(ui: &Ui, rows: &[Row<'_>], evidence: &dyn Fn(&Row<'_>) -> Cell) -> Outcome {
    let mut table = Table::new([
        Column::wrapped("EVIDENCE"),
        Column::wrapped("CONTAINER").always(),
        Column::wrapped("IMAGE"),
        Column::whole("ID"),
        Column::whole("RUNTIME"),
        Column::whole("CREATED"),
        Column::whole("ENGINE"),
        Column::wrapped("IP"),
        Column::wrapped("MAC"),
        Column::whole("CHKPT SIZE"),
        Column::whole("ROOT FS DIFF SIZE"),
    ]);
    for row in rows {
        let Row { info, sizes, checkpoint, .. } = row;
        let text = |field: Option<&String>| Cell::from(field.map(Text::evidence));
        let joined =
            |list: Vec<String>| Cell::from((!list.is_empty()).then(|| Text::evidence(list.join(", "))));
        table.row([
            evidence(row),
            text(info.name.known()),
            text(info.image.name.known()),
            Cell::from(info.id.known().map(|id| Text::evidence(short_id(id)))),
            text(info.runtime.known()),
            Cell::from(info.created.known().map(|time| Text::own(time_text(ui.clock(), time)))),
            Cell::own(info.engine.name()),
            joined(info.ip_addresses().iter().map(ToString::to_string).collect()),
            joined(info.mac_addresses().iter().map(ToString::to_string).collect()),
            if checkpoint.has_images() { Cell::size(sizes.images) } else { Cell::empty() },
            sizes.rootfs_diff.map_or_else(Cell::empty, Cell::size),
        ]);
    }
    Ok(ui.table(&table)?)
}

/// When, with what and where the dumps were made.
fn print_dumps(ui: &Ui, rows: &[Row<'_>], evidence: &dyn Fn(&Row<'_>) -> Cell) -> Outcome {
    let mut table = Table::new([
        Column::wrapped("EVIDENCE"),
        Column::wrapped("POD"),
        Column::wrapped("NAMESPACE"),
        Column::wrapped("CHECKPOINTED"),
        Column::whole("CRIU"),
        Column::wrapped("NODE"),
        Column::wrapped("KERNEL"),
    ]);
    for row in rows {
        let text = |field: Option<&String>| Cell::from(field.map(Text::evidence));
        let info = &row.info;
        table.row([
            evidence(row),
            text(info.pod.name.known()),
            text(info.pod.namespace.known()),
            Cell::own(checkpointed_text(ui.clock(), info)),
            text(info.dump.criu_version.known()),
            text(info.dump.node_name.known()),
            Cell::from(info.dump.kernel.known().map(|kernel| Text::evidence(&kernel.release))),
        ]);
    }
    Ok(ui.table(&table)?)
}

fn print_statistics(ui: &Ui, rows: &[Row<'_>], evidence: &dyn Fn(&Row<'_>) -> Cell) -> Outcome {
    let mut table = Table::new([
        Column::wrapped("EVIDENCE"),
        Column::whole("FREEZING TIME"),
        Column::whole("FROZEN TIME"),
        Column::whole("MEMDUMP TIME"),
        Column::whole("MEMWRITE TIME"),
        Column::whole("PAGES SCANNED"),
        Column::whole("PAGES WRITTEN"),
        Column::whole("SKIPPED (PARENT)"),
        Column::whole("LAZY"),
        Column::whole("SHARED SCANNED"),
        Column::whole("SHARED WRITTEN"),
    ]);
    let count = |value: Option<u64>| value.map_or_else(Cell::empty, Cell::own);
    let time = |microseconds: u32| Cell::own(duration_text(microseconds.into()));
    for row in rows {
        let Some(stats) = row.info.statistics.known() else { continue };
        table.row([
            evidence(row),
            time(stats.freezing_time),
            time(stats.frozen_time),
            time(stats.memdump_time),
            time(stats.memwrite_time),
            count(Some(stats.pages_scanned)),
            count(Some(stats.pages_written)),
            count(Some(stats.pages_skipped_parent)),
            count(Some(stats.pages_lazy)),
            count(stats.shpages_scanned),
            count(stats.shpages_written),
        ]);
    }
    ui.line("")?;
    if table.is_empty() {
        return Ok(ui.line("CRIU dump statistics: not in the evidence")?);
    }
    ui.line("CRIU dump statistics")?;
    ui.line("")?;
    Ok(ui.table(&table)?)
}

/// The first twelve characters, as engines show ids.
fn short_id(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}
