//! `crit x DIR ps`: the tree of processes.

use container_checkpoint::model::{Model, Process};

/// A process in the tree.
#[derive(Clone, Copy, Debug)]
pub struct PsRow<'m> {
    /// How many ancestors it has in the dump.
    pub depth: usize,
    /// The process.
    pub process: &'m Process,
}

/// All processes, each before its descendants; several roots in the order of the image.
pub(super) fn rows(model: &Model) -> Vec<PsRow<'_>> {
    model.processes.depth_first().map(|(depth, process)| PsRow { depth, process }).collect()
}
