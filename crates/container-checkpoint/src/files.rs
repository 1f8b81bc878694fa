//! How the readers of metadata and images see the small files of one dump.

use std::borrow::Cow;

/// The small files that belong together: the images of a dump, or an engine's metadata files around them.
///
/// Names are base names for images (`pstree.img`), and paths relative to the bundle for metadata (`config.dump`).
pub trait FileSet {
    /// The bytes of a file; `None` when the evidence has no such file or its bytes could not be kept (then a gap says so).
    fn file(&self, name: &str) -> Option<Cow<'_, [u8]>>;

    /// Whether the evidence holds a file of this name, readable or not.
    fn has(&self, name: &str) -> bool;

    /// The size of a file in bytes, which may be known although its bytes can't be had.
    fn size(&self, name: &str) -> Option<u64> {
        self.file(name).map(|bytes| bytes.len() as u64)
    }

    /// All names, sorted by bytes.
    fn names(&self) -> Vec<String>;
}
