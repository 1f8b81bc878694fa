//! Pages of files that a process did not write to: which of them a core has, and where their bytes are from.
//!
//! The kernel writes the first page of each mapped ELF file, which has its build id, and all of a private mapping of which a page was written to, and of a shared
//! mapping of a deleted file. Images hold only the pages that were written to; the others come from files that were found and checked ([`MappedFiles`]).

use std::ops::Range;

use container_checkpoint::error::Result;
use container_checkpoint::evidence::Bytes;
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::{FileId, Pid};
use container_checkpoint::memory::{Backing, Beside, Piece, Place};
use container_checkpoint::model::{File, Files, Mapping, MappingKind};
use container_checkpoint::root_files::Root;

use crate::LookedAt;
use crate::mapped_files::{Keeper, MappedFiles};
use crate::stores::Rider;

/// Which pages that are in files alone are put into a core, as far as the files are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fill {
    /// None.
    None,
    /// The first page of each ELF file.
    #[default]
    Headers,
    /// All that the kernel's core has.
    All,
}

impl Fill {
    /// Makes a pass with the files looked for beside it, if any are wanted.
    pub(super) fn gather<T>(
        self,
        looked_at: LookedAt<'_>,
        pids: &[Pid],
        roots: &[Root],
        kept: Option<&mut Rider<'_, Keeper>>,
        pass: impl FnOnce(Option<Beside<'_>>) -> Result<T>,
    ) -> Result<(T, MappedFiles, Findings)> {
        if self == Self::None {
            return Ok((pass(None)?, MappedFiles::default(), Findings::default()));
        }
        // What was kept of the first pass are ELF files; their headers are all that is wanted of them, or they are not all that is wanted.
        let kept = kept.filter(|_| self == Self::Headers);
        MappedFiles::gather_beside(looked_at, pids, roots, kept, pass)
    }
}

/// What an ELF file begins with.
const ELF: [u8; 4] = *b"\x7fELF";

/// Bytes of a file that belong into a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filling {
    pub(super) file: FileId,
    /// The offset of the first one in the file.
    pub(super) offset: u64,
    /// How many.
    pub(super) len: u64,
    /// The address at which the process sees the first one.
    pub(super) address: u64,
    /// The offset of the first one in the core.
    pub(super) at: u64,
    /// It is the first page of a file, of which a core has no other: only that of an ELF file is of use.
    is_header: bool,
}

impl Filling {
    pub(super) fn range(&self) -> Range<u64> {
        self.address..self.address + self.len
    }

    /// The bytes, if the file was found. Behind its end there are zeros.
    pub(super) fn bytes<'f>(&self, files: &'f MappedFiles) -> Option<&'f Bytes> {
        let bytes = &files.get(self.file)?.bytes;
        let mut head = [0; ELF.len()];
        let read = bytes.read_at(0, &mut head);
        let is_elf = read.is_ok_and(|read| read == head.len()) && head == ELF;
        (!self.is_header || is_elf).then_some(bytes)
    }
}

/// Which part of one mapping's clean pages a core has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice {
    /// All of them.
    whole: bool,
    /// The first page of the mapping.
    header: Option<u64>,
}

impl Choice {
    pub(super) fn of(fill: Fill, mapping: &Mapping, pieces: &[Piece], files: &Files, page: u64) -> Self {
        let is_written =
            || pieces.iter().any(|piece| matches!(piece.backing, Backing::Stored(Place::Image(..))));
        let is_deleted = || {
            let file = files.of_mapping(mapping).and_then(File::regular);
            file.is_some_and(|file| file.deleted.is_some())
        };
        let whole = fill == Fill::All
            && match mapping.kind {
                MappingKind::FilePrivate => is_written(),
                MappingKind::FileShared => is_deleted(),
                _ => false,
            };
        let begins_file = mapping.offset == 0 && mapping.protection.is_readable();
        let header = (fill != Fill::None && begins_file).then(|| mapping.start.0 + page.min(mapping.len()));
        Self { whole, header }
    }

    /// How many bytes of a clean piece, from its first one on, are wanted.
    pub(super) fn of_piece(&self, piece: &Piece) -> u64 {
        match self.header {
            _ if self.whole => piece.len,
            Some(end) => end.saturating_sub(piece.start.0).min(piece.len),
            None => 0,
        }
    }

    pub(super) fn filling(&self, file: FileId, offset: u64, len: u64, address: u64, at: u64) -> Filling {
        Filling { file, offset, len, address, at, is_header: !self.whole }
    }
}
