//! The modules of a process: files that it runs code from, and what identifies them.
//!
//! CRIU records the build id of each ELF file that is open or mapped, so that a debugger's symbols can be found without the file: a debuginfod server is asked for
//! `/buildid/ID/debuginfo`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use container_checkpoint::ids::{FileId, VirtualAddress};
use container_checkpoint::model::{Deleted, File, MappingKind, Model, Process};

/// A file that a process has mapped, and runs code from or that has a build id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The file in the table of files.
    pub file: FileId,
    /// What `/proc/PID/maps` shows: its path, with ` (deleted)` if it is gone; `/memfd:NAME (deleted)`.
    pub name: Vec<u8>,
    /// Its path, for files that have one.
    pub path: Option<Vec<u8>>,
    /// Where its contents are if its path is gone.
    pub deleted: Option<Deleted>,
    /// The lowest address of its mappings, and the first one behind the highest.
    pub start: VirtualAddress,
    /// See `start`.
    pub end: VirtualAddress,
    /// The build id that CRIU recorded.
    pub build_id: Option<Vec<u8>>,
    /// Its size in bytes, as CRIU recorded it.
    pub size: Option<u64>,
    /// Whether a mapping of it can be executed.
    pub is_executed: bool,
    /// Whether the process was started from it.
    pub is_main: bool,
}

impl Module {
    /// The build id in hexadecimal.
    pub fn build_id_text(&self) -> Option<String> {
        let id = self.build_id.as_ref()?;
        Some(id.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// What a debuginfod server is asked for: `executable` or `debuginfo`.
    pub fn debuginfod(&self, what: &str) -> Option<String> {
        Some(format!("/buildid/{}/{what}", self.build_id_text()?))
    }
}

/// The modules of a process, ascending by address.
pub fn modules(model: &Model, process: &Process) -> Vec<Module> {
    let main = process.executable().known().copied();
    let mut all: BTreeMap<FileId, Module> = BTreeMap::new();
    for mapping in process.mappings() {
        let is_file =
            matches!(mapping.kind, MappingKind::FilePrivate | MappingKind::FileShared | MappingKind::Memfd);
        let Some(id) = mapping.file.filter(|_| is_file) else { continue };
        let module = all.entry(id).or_insert_with(|| {
            let file = model.files.of_mapping(mapping).and_then(File::regular);
            Module {
                file: id,
                name: model.mapping_name(mapping).into_owned(),
                path: file.map(|file| file.path.clone()),
                deleted: file.and_then(|file| file.deleted),
                start: mapping.start,
                end: mapping.end,
                build_id: file.and_then(|file| file.build_id.known().cloned()),
                size: file.and_then(|file| file.size.known().copied()),
                is_executed: false,
                is_main: main == Some(id),
            }
        });
        (module.start, module.end) = (module.start.min(mapping.start), module.end.max(mapping.end));
        module.is_executed |= mapping.protection.is_executable();
    }
    let mut modules: Vec<Module> =
        all.into_values().filter(|module| module.is_executed || module.build_id.is_some()).collect();
    modules.sort_by_key(|module| (module.start, module.file));
    modules
}
