//! What crit calls a file that a process maps, runs from or is in.

use std::borrow::Cow;

use container_checkpoint::ids::FileId;
use container_checkpoint::model::{File, Files, Mapping};

/// crit's words for a file that has no path.
const UNKNOWN_PATH: &[u8] = b"unknown path";

/// The path of a file, without ` (deleted)`; of a memory file what `/proc` shows (`/memfd:NAME (deleted)`, or
/// `/dev/zero (deleted)` for shared memory without a name, which CRIU since 3.14 dumps as a memory file).
pub(super) fn path(files: &Files, id: FileId) -> Cow<'_, [u8]> {
    if let Some(file) = files.with_path(id).and_then(File::regular) {
        return Cow::Borrowed(&file.path);
    }
    let memory_file = files.get(id).and_then(File::memfd).and_then(|memfd| memfd.inode.known());
    memory_file.map_or(Cow::Borrowed(UNKNOWN_PATH), |inode| Cow::Owned(inode.shown_path()))
}

/// The path of the file behind a mapping; see [`path`].
pub(super) fn of_mapping<'m>(files: &'m Files, mapping: &Mapping) -> Cow<'m, [u8]> {
    mapping.file.map_or(Cow::Borrowed(UNKNOWN_PATH), |id| path(files, id))
}
