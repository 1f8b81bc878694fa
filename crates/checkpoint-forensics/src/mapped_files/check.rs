//! Whether a file is the one that was mapped.

use std::fmt::Write as _;

use container_checkpoint::evidence::Bytes;
use container_checkpoint::model::RegularFile;
use object::elf::DT_SONAME;
use object::read::elf::{ElfFile, FileHeader};
use object::{Object as _, ReadCache, ReadRef};

/// What shows that a file is the one that was mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verified {
    /// It has the build id that CRIU recorded.
    BuildId,
    /// It has the size that CRIU recorded, and CRIU recorded no build id.
    Size,
    /// Nothing but its path: CRIU recorded neither.
    Nothing,
}

impl Verified {
    /// The word for it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::BuildId => "build id",
            Self::Size => "size",
            Self::Nothing => "nothing",
        }
    }

    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::BuildId => "by build id",
            Self::Size => "by size alone",
            Self::Nothing => "by path alone",
        }
    }
}

/// The build id of an ELF file; `None` when it has none, or is no such file.
pub fn build_id(bytes: &Bytes) -> Option<Vec<u8>> {
    // Reads what it looks at, whatever the length.
    let read = ReadCache::new(bytes.reader());
    let file = object::File::parse(&read).ok()?;
    file.build_id().ok()?.map(<[u8]>::to_vec)
}

/// What an ELF library calls itself (`DT_SONAME`), which is what others look for; `None` when it says nothing, or is no such file.
pub fn soname(bytes: &Bytes) -> Option<Vec<u8>> {
    let read = ReadCache::new(bytes.reader());
    match object::File::parse(&read).ok()? {
        object::File::Elf32(file) => soname_of(&file),
        object::File::Elf64(file) => soname_of(&file),
        _ => None,
    }
}

fn soname_of<'d, Elf: FileHeader, R: ReadRef<'d>>(file: &ElfFile<'d, Elf, R>) -> Option<Vec<u8>> {
    let table = file.elf_dynamic_table().ok()?;
    let entry = table.iter().find(|entry| entry.tag == DT_SONAME)?;
    Some(table.string(entry).ok()?.to_vec())
}

/// What a file shows, against what CRIU recorded of the one that was mapped; why it is not that one.
pub(super) fn check(recorded: &RegularFile, bytes: &Bytes) -> Result<Verified, String> {
    if let Some(size) = recorded.size.known().filter(|size| **size != bytes.len()) {
        return Err(format!("it has {} bytes, and the mapped file had {size}", bytes.len()));
    }
    match recorded.build_id.known() {
        Some(wanted) => match build_id(bytes) {
            Some(found) if found == *wanted => Ok(Verified::BuildId),
            Some(found) => {
                Err(format!("its build id is {}, and that of the mapped file {}", hex(&found), hex(wanted)))
            }
            None => Err(format!("it has no build id, and the mapped file had {}", hex(wanted))),
        },
        None if recorded.size.known().is_some() => Ok(Verified::Size),
        None => Ok(Verified::Nothing),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
