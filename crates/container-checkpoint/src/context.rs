//! What every reader is given: limits, progress, a way to stop.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Told how far a reader is: bytes read from the evidence, and how many there are if that is known.
pub type Progress = dyn Fn(u64, Option<u64>) + Send + Sync;

/// What every reader is given: limits, progress, a way to stop.
#[derive(Clone)]
pub struct Context {
    /// Bounds for what is kept in memory.
    pub limits: Limits,
    /// Told how far the reading is.
    pub progress: Arc<Progress>,
    /// Set from elsewhere to make readers stop soon.
    pub cancel: Arc<AtomicBool>,
    /// How long the longest packed archive is, in bytes, that had to be unpacked another time; 0 when none had to.
    pub repeated: Arc<AtomicU64>,
    /// How many threads a question may use; at least 1.
    pub threads: usize,
    /// Where a source that can be read only once may be copied to (an unlinked file) when it is needed twice.
    pub spool: Option<PathBuf>,
}

impl Context {
    /// Whether the caller asked to stop.
    pub fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

impl Default for Context {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            progress: Arc::new(|_, _| {}),
            cancel: Arc::default(),
            repeated: Arc::default(),
            threads: 1,
            spool: None,
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("limits", &self.limits)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Bounds for what is kept in memory. What streams through is never limited.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of all metadata members (images, JSON files) of one evidence together.
    pub metadata: u64,
    /// How many members one evidence may have.
    pub members: usize,
}

impl Default for Limits {
    /// 1 GiB of metadata, a million members.
    fn default() -> Self {
        Self { metadata: 1 << 30, members: 1_000_000 }
    }
}
