//! `NT_FILE`: which file is mapped where. gdb shows it as `info proc mappings`, and finds the files by it.

use container_checkpoint::model::{Mapping, MappingKind, Model};

use super::layout::PAGE;

/// The longest note, in bytes: the most that `kernel.core_file_note_size_limit` can be set to.
const NOTE_MAX: usize = 16 << 20;

/// The note, and how many mappings had no room in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilesNote {
    pub(super) bytes: Vec<u8>,
    pub(super) left_out: usize,
}

/// Lists the mappings of a process that have a file or shared memory behind them, with offsets in pages, as the kernel does. One whose name the images
/// lack is passed over.
pub(super) fn note(model: &Model, mappings: &[Mapping]) -> FilesNote {
    let (mut table, mut names) = (Vec::new(), Vec::new());
    let mut left_out = 0;
    for mapping in mappings.iter().filter(|mapping| has_file(mapping.kind)) {
        if left_out > 0 {
            left_out += 1;
            continue;
        }
        let name = model.mapping_name(mapping);
        if !name.starts_with(b"/") {
            continue;
        }
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if 16 + table.len() + 24 + names.len() + name.len() + 1 > NOTE_MAX {
            left_out += 1;
            continue;
        }
        for word in [mapping.start.0, mapping.end.0, mapping.offset / PAGE] {
            table.extend_from_slice(&word.to_le_bytes());
        }
        names.extend_from_slice(name);
        names.push(0);
    }
    let count = table.len() as u64 / 24;
    let mut bytes = Vec::with_capacity(16 + table.len() + names.len());
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&PAGE.to_le_bytes());
    bytes.append(&mut table);
    bytes.append(&mut names);
    FilesNote { bytes, left_out }
}

/// Whether the kernel has a file behind such a mapping.
fn has_file(kind: MappingKind) -> bool {
    use MappingKind as Kind;
    matches!(
        kind,
        Kind::FilePrivate
            | Kind::FileShared
            | Kind::Memfd
            | Kind::AnonymousShared
            | Kind::SysV
            | Kind::AioRing
    )
}
