//! What comes before it is its turn: kept in memory up to a bound, beyond it in a file without a name, if there may be one.

use std::collections::{HashMap, VecDeque};
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
pub(super) struct Kept {
    place: Place,
    /// What of [`Early::in_memory`] it has.
    held: u64,
    /// How many bytes were read back.
    read: u64,
    /// What is lost: behind how many kept bytes, and how many.
    lost: VecDeque<(u64, u64)>,
}

/// Where bytes are kept.
#[derive(Debug)]
enum Place {
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

/// A part of what came of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Span {
    Bytes(Vec<u8>),
    /// So many that can't be had.
    Lost(u64),
}

impl Early {
    pub(super) fn new(keep: Keep) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Keeps the next bytes of a piece of `len` bytes.
    pub(super) fn put(&mut self, piece: usize, len: u64, bytes: &[u8]) -> Result<(), Error> {
        self.begin(piece, len)?;
        match self.kept.get_mut(&piece).map(|kept| &mut kept.place) {
            Some(Place::Memory(kept)) => kept.extend_from_slice(bytes),
            Some(Place::File { to, .. }) => {
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

    /// Keeps that the next bytes of a piece of `len` bytes can't be had.
    pub(super) fn lose(&mut self, piece: usize, len: u64, lost: u64) -> Result<(), Error> {
        self.begin(piece, len)?;
        let Some(kept) = self.kept.get_mut(&piece) else { return Ok(()) };
        let came = match &kept.place {
            Place::Memory(bytes) => bytes.len() as u64,
            Place::File { from, to } => to - from,
        };
        match kept.lost.back_mut() {
            Some((at, len)) if *at == came => *len += lost,
            _ => kept.lost.push_back((came, lost)),
        }
        Ok(())
    }

    /// Makes room for a piece, unless it has some.
    fn begin(&mut self, piece: usize, len: u64) -> Result<(), Error> {
        if self.kept.contains_key(&piece) {
            return Ok(());
        }
        let (place, held) = if self.in_memory.saturating_add(len) <= self.keep.in_memory {
            self.in_memory += len;
            (Place::Memory(Vec::with_capacity(usize::try_from(len).unwrap_or_default())), len)
        } else {
            let Some(directory) = &self.keep.directory else {
                return Err(Error::OutOfOrder(self.keep.in_memory));
            };
            if self.file.is_none() {
                let file = tempfile::tempfile_in(directory);
                self.file = Some(file.map_err(|source| self.failed(source))?);
            }
            let from = self.file_len;
            self.file_len += len;
            (Place::File { from, to: from }, 0)
        };
        self.kept.insert(piece, Kept { place, held, read: 0, lost: VecDeque::new() });
        Ok(())
    }

    /// What came of a piece, if anything did. From now on it is the caller's.
    pub(super) fn take(&mut self, piece: usize) -> Option<Kept> {
        let kept = self.kept.remove(&piece)?;
        self.in_memory -= kept.held;
        Some(kept)
    }

    /// The next part of it.
    pub(super) fn read(&mut self, kept: &mut Kept) -> Result<Option<Span>, Error> {
        let until = match kept.lost.front() {
            Some(&(at, len)) if at == kept.read => {
                kept.lost.pop_front();
                return Ok(Some(Span::Lost(len)));
            }
            next => next.map_or(u64::MAX, |(at, _)| *at) - kept.read,
        };
        let bytes = match &mut kept.place {
            Place::Memory(bytes) => {
                let rest = bytes.split_off(bytes.len().min(usize::try_from(until).unwrap_or(usize::MAX)));
                std::mem::replace(bytes, rest)
            }
            Place::File { from, to } => {
                let len = (*to - *from).min(CHUNK).min(until);
                let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
                if let Some(file) = &self.file {
                    file.read_exact_at(&mut bytes, *from).map_err(|source| self.failed(source))?;
                }
                *from += len;
                bytes
            }
        };
        kept.read += bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(Span::Bytes(bytes)))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Keep { directory: self.keep.directory.clone().unwrap_or_default(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands for a byte that is lost.
    const LOST: u8 = 0xee;

    fn read_all(early: &mut Early, piece: usize) -> Vec<u8> {
        let mut kept = early.take(piece).unwrap();
        let mut all = Vec::new();
        while let Some(span) = early.read(&mut kept).unwrap() {
            match span {
                Span::Bytes(bytes) => all.extend(bytes),
                Span::Lost(len) => all.resize(all.len() + len as usize, LOST),
            }
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
    fn what_is_lost_keeps_its_place() {
        let mut early = Early::new(Keep { in_memory: 100, directory: Some(std::env::temp_dir()) });
        for piece in [1, 2] {
            let len = if piece == 1 { 60 } else { 1000 };
            early.lose(piece, len, 2).unwrap();
            early.put(piece, len, b"abc").unwrap();
            early.lose(piece, len, 1).unwrap();
            early.lose(piece, len, 1).unwrap();
            early.put(piece, len, b"d").unwrap();
            early.put(piece, len, b"e").unwrap();
            early.lose(piece, len, 3).unwrap();
            let expected = [&[LOST; 2][..], b"abc", &[LOST; 2], b"de", &[LOST; 3]].concat();
            assert_eq!(read_all(&mut early, piece), expected, "piece {piece}");
        }
        early.lose(3, 10, 4).unwrap();
        assert_eq!(read_all(&mut early, 3), [LOST; 4]);
        assert_eq!(early.in_memory, 0);
    }

    #[test]
    fn nothing_is_written_to_a_disk_unasked() {
        let mut early = Early::new(Keep { in_memory: 100, directory: None });
        early.put(1, 100, b"x").unwrap();
        assert!(matches!(early.put(2, 1, b"y"), Err(Error::OutOfOrder(100))));
    }
}
