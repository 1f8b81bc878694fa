//! Whether a file is the one that was mapped.

use std::cell::Cell;
use std::fmt::Write as _;
use std::ops::Range;

use container_checkpoint::evidence::{Bytes, BytesReader};
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

/// So much is read of a file for its build id, in bytes: headers of segments and sections, and notes.
const READ_MAX: u64 = 16 << 20;

/// The build id of an ELF file; `None` when it has none, or is no such file, or only a file that no linker makes.
pub fn build_id(bytes: &Bytes) -> Option<Vec<u8>> {
    let read = Bounded::new(bytes);
    let file = object::File::parse(&read).ok()?;
    file.build_id().ok()?.map(<[u8]>::to_vec)
}

/// What an ELF library calls itself (`DT_SONAME`), which is what others look for; `None` when it says nothing, or is no such file.
pub fn soname(bytes: &Bytes) -> Option<Vec<u8>> {
    let read = Bounded::new(bytes);
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

/// Reads no more than some bytes: what is read is kept, and headers may ask for all of a file, whose holes take no bytes in the evidence.
struct Bounded<'b> {
    cache: ReadCache<BytesReader<'b>>,
    left: Cell<u64>,
}

impl<'b> Bounded<'b> {
    fn new(bytes: &'b Bytes) -> Self {
        Self { cache: ReadCache::new(bytes.reader()), left: Cell::new(READ_MAX) }
    }
}

impl<'a, 'b: 'a> ReadRef<'a> for &'a Bounded<'b> {
    fn len(self) -> Result<u64, ()> {
        self.cache.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        self.left.set(self.left.get().checked_sub(size).ok_or(())?);
        self.cache.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        self.cache.read_bytes_at_until(range, delimiter)
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A 64-bit ELF file with one segment of notes, which begins behind the headers and has so many bytes.
    fn elf(notes: u64) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        let halves =
            |numbers: &[u16]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
        let longs =
            |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
        bytes.extend(halves(&[2, 62, 1, 0]));
        bytes.extend(longs(&[0x40_0000, 64, 0]));
        bytes.extend(halves(&[0, 0, 64, 56, 1, 0, 0, 0]));
        bytes.extend(halves(&[4, 0, 4, 0]));
        bytes.extend(longs(&[120, 0, 0, notes, notes, 4]));
        bytes
    }

    fn peak_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn build_ids_are_found_in_notes() {
        let mut bytes = elf(24);
        bytes.extend([4u32, 8, 3].iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(b"GNU\0\x01\x02\x03\x04\x05\x06\x07\x08");
        assert_eq!(build_id(&Bytes::new(Arc::new(bytes))), Some((1..=8).collect()));
    }

    #[test]
    fn notes_as_large_as_a_hole_take_no_memory() {
        const HOLE: u64 = 2 << 30;
        let mut bytes = Bytes::new(Arc::new(elf(HOLE)));
        bytes.push_hole(HOLE);
        let before = peak_kib();
        assert_eq!(build_id(&bytes), None);
        let more = peak_kib() - before;
        assert!(more < 256 << 10, "{more} KiB");
    }
}
