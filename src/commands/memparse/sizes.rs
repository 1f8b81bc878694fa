//! How much memory each process has in the dump.

use std::collections::BTreeSet;

use container_checkpoint::memory::{AddressSpace, Memory};
use container_checkpoint::model::Model;

use super::MemparseArgs;
use crate::present::cell::Cell;
use crate::present::table::{Column, Table};
use crate::present::text::Text;
use crate::session::{Outcome, Session};

pub fn run(session: &Session<'_>, args: &MemparseArgs) -> Outcome {
    let case = session.open(&args.evidence);
    for checkpoint in session.chosen(&case, &args.evidence) {
        let memory = Memory::of(&case, checkpoint.id());
        let (model, mut findings) = checkpoint.model();
        findings.extend(memory.findings.clone());
        for space in &memory.spaces {
            for (why, bytes) in memory.short_of(space) {
                let why = format!("{bytes} bytes are {}", why.why());
                findings.gap("stored pages", format!("pid {}", space.pid), why);
            }
        }
        findings.extend(checkpoint.evidence_findings().clone());
        findings.settle();
        session.tell(&checkpoint, &findings);
        session.ui.line("")?;
        session.ui.line(
            Text::own("Displaying processes memory sizes from ").and_evidence(checkpoint.full_name()),
        )?;
        session.ui.line("")?;
        session.ui.table(&table(&model, &memory))?;
    }
    Ok(())
}

fn table(model: &Model, memory: &Memory) -> Table<4> {
    let mut table = Table::new([
        Column::whole("PID"),
        Column::wrapped("PROCESS NAME").always(),
        Column::whole("MEMORY SIZE"),
        Column::whole("SHARED MEMORY SIZE"),
    ]);
    let mut shown = BTreeSet::new();
    // As checkpointctl: in the order of the tree. A zombie has a row, and no memory.
    for (_, process) in model.processes.depth_first() {
        shown.insert(process.pid);
        let space = memory.space(process.pid);
        let (own, shared) = space.map(sizes).unzip();
        let size = |bytes: Option<u64>| bytes.map_or_else(Cell::empty, Cell::size);
        let name = process.command.known().map_or_else(Cell::empty, Cell::evidence);
        table.row([Cell::own(process.pid), name, size(own), size(shared)]);
    }
    // A pre-dump lists no processes, and a damaged list not all.
    let may_be_more = model.is_pre_dump || !model.processes.is_whole();
    for space in memory.spaces.iter().filter(|space| may_be_more && !shown.contains(&space.pid)) {
        let (own, shared) = sizes(space);
        table.row([Cell::own(space.pid), Cell::empty(), Cell::size(own), Cell::size(shared)]);
    }
    table
}

/// Bytes of the process's own pages that the dump stores or names, and of the shared objects that it maps.
fn sizes(space: &AddressSpace) -> (u64, u64) {
    let own = space.stored.own_within(0..u64::MAX).map(|extent| extent.len).sum();
    let all: u64 = space.stored.iter().map(|extent| extent.len).fold(0, u64::saturating_add);
    (own, all.saturating_sub(own))
}
