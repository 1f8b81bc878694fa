//! What comes before it is its turn: kept in memory up to a bound, beyond it in a file without a name, if there may be one.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{Error, Keep};

/// How much is read back at a time, in bytes.
const CHUNK: u64 = 256 << 10;

/// Bytes that came early, by piece.
#[derive(Debug, Default)]
pub(super) struct Early {
    kept: HashMap<usize, Kept>,
    /// What the pieces in memory take.
    in_memory: u64,
    keep: Keep,
    file: Option<File>,
    file_len: u64,
}

/// What came of one piece.
#[derive(Debug)]
pub(super) enum Kept {
    /// In memory.
    Memory(Vec<u8>),
    /// A range of the file.
    File {
        /// The first byte that was not read back.
        from: u64,
        /// The byte behind the last one that came.
        to: u64,
    },
}

impl Early {
    pub(super) fn new(keep: Keep) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Keeps the next bytes of a piece of `len` bytes.
    pub(super) fn put(&mut self, piece: usize, len: u64, bytes: &[u8]) -> Result<(), Error> {
        if !self.kept.contains_key(&piece) {
            let kept = self.begin(len)?;
            self.kept.insert(piece, kept);
        }
        match self.kept.get_mut(&piece) {
            Some(Kept::Memory(kept)) => kept.extend_from_slice(bytes),
            Some(Kept::File { to, .. }) => {
                let at = *to;
                *to += bytes.len() as u64;
                if let Some(file) = &self.file {
                    file.write_all_at(bytes, at).map_err(|source| self.failed(source))?;
                }
            }
            None => {}
        }
        Ok(())
    }

    fn begin(&mut self, len: u64) -> Result<Kept, Error> {
        if self.in_memory.saturating_add(len) <= self.keep.in_memory {
            self.in_memory += len;
            return Ok(Kept::Memory(Vec::with_capacity(usize::try_from(len).unwrap_or_default())));
        }
        let Some(directory) = &self.keep.directory else {
            return Err(Error::OutOfOrder(self.keep.in_memory));
        };
        if self.file.is_none() {
            let file = tempfile::tempfile_in(directory);
            self.file = Some(file.map_err(|source| self.failed(source))?);
        }
        let from = self.file_len;
        self.file_len += len;
        Ok(Kept::File { from, to: from })
    }

    /// What came of a piece, if anything did.
    pub(super) fn take(&mut self, piece: usize) -> Option<Kept> {
        self.kept.remove(&piece)
    }

    /// The next bytes of it.
    pub(super) fn read(&mut self, kept: &mut Kept) -> Result<Option<Vec<u8>>, Error> {
        match kept {
            Kept::Memory(bytes) if bytes.capacity() == 0 => Ok(None),
            Kept::Memory(bytes) => {
                let bytes = std::mem::take(bytes);
                self.in_memory = self.in_memory.saturating_sub(bytes.capacity() as u64);
                Ok(Some(bytes))
            }
            Kept::File { from, to } if *from < *to => {
                let mut bytes = vec![0; usize::try_from((*to - *from).min(CHUNK)).unwrap_or_default()];
                if let Some(file) = &self.file {
                    file.read_exact_at(&mut bytes, *from).map_err(|source| self.failed(source))?;
                }
                *from += bytes.len() as u64;
                Ok(Some(bytes))
            }
            Kept::File { .. } => Ok(None),
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Keep { directory: self.keep.directory.clone().unwrap_or_default(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(early: &mut Early, piece: usize) -> Vec<u8> {
        let mut kept = early.take(piece).unwrap();
        let mut all = Vec::new();
        while let Some(bytes) = early.read(&mut kept).unwrap() {
            all.extend(bytes);
        }
        all
    }

    #[test]
    fn bytes_come_back_from_memory_and_from_the_file() {
        let mut early = Early::new(Keep { in_memory: 100, directory: Some(std::env::temp_dir()) });
        let bytes: Vec<u8> = (0..=255).cycle().take(600_000).collect();
        early.put(7, 60, &bytes[..30]).unwrap();
        early.put(8, 600_000, &bytes[..400_000]).unwrap();
        early.put(9, 10, &bytes[1..11]).unwrap();
        early.put(8, 600_000, &bytes[400_000..]).unwrap();
        early.put(7, 60, &bytes[30..50]).unwrap();
        assert!(read_all(&mut early, 8) == bytes);
        assert_eq!(read_all(&mut early, 7), bytes[..50]);
        assert_eq!(read_all(&mut early, 9), bytes[1..11]);
        assert_eq!(early.in_memory, 0);
        assert!(early.take(8).is_none());
    }

    #[test]
    fn nothing_is_written_to_a_disk_unasked() {
        let mut early = Early::new(Keep { in_memory: 100, directory: None });
        early.put(1, 100, b"x").unwrap();
        assert!(matches!(early.put(2, 1, b"y"), Err(Error::OutOfOrder(100))));
    }
}
