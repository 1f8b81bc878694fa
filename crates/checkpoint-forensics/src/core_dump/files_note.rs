//! `NT_FILE`: which file is mapped where. gdb shows it as `info proc mappings`, and finds the files by it.

use container_checkpoint::model::{Mapping, MappingKind, Model};

use super::arch::Class;

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
pub(super) fn note(class: Class, page: u64, model: &Model, mappings: &[Mapping]) -> FilesNote {
    let (head, entry) = (2 * class.word(), 3 * class.word());
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
        if head + table.len() + entry + names.len() + name.len() + 1 > NOTE_MAX {
            left_out += 1;
            continue;
        }
        for word in [mapping.start.0, mapping.end.0, mapping.offset / page] {
            class.push(&mut table, word);
        }
        names.extend_from_slice(name);
        names.push(0);
    }
    let count = (table.len() / entry) as u64;
    let mut bytes = Vec::with_capacity(head + table.len() + names.len());
    class.push(&mut bytes, count);
    class.push(&mut bytes, page);
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
