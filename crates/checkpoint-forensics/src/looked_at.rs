//! What a question is about.

use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::model::Model;

/// One dump, and how it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct LookedAt<'a> {
    /// All the evidence.
    pub case: &'a Case,
    /// The dump.
    pub id: DumpId,
    /// What its images say.
    pub model: &'a Model,
    /// Limits, progress, a way to stop.
    pub context: &'a Context,
}
