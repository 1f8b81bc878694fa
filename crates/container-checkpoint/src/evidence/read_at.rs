//! Bytes at an offset.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::mapping::Mapping;

/// Bytes at an offset: a mapped file, memory, or a reader that counts what is asked of it.
///
/// Two faces, so that whoever can lend memory does, and whoever can't still works: [`as_slice`](ReadAt::as_slice)
/// costs no copy, [`read_at`](ReadAt::read_at) is always there.
pub trait ReadAt: Debug + Send + Sync {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Reads up to `buffer.len()` bytes at `offset`; 0 at or behind the end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// All bytes, where they lie in memory already.
    fn as_slice(&self) -> Option<&[u8]> {
        None
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(copy_at(self, offset, buffer))
    }

    fn as_slice(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl ReadAt for Arc<[u8]> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(copy_at(self, offset, buffer))
    }

    fn as_slice(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl ReadAt for Mapping {
    fn size(&self) -> u64 {
        self.bytes().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(copy_at(self.bytes(), offset, buffer))
    }

    fn as_slice(&self) -> Option<&[u8]> {
        Some(self.bytes())
    }
}

impl ReadAt for File {
    fn size(&self) -> u64 {
        self.metadata().map_or(0, |metadata| metadata.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

/// A file of a directory, opened and mapped when its bytes are first asked for.
#[derive(Debug)]
pub(crate) struct LazyFile {
    path: PathBuf,
    size: u64,
    mapping: OnceLock<io::Result<Mapping>>,
}

impl LazyFile {
    pub(crate) fn new(path: PathBuf, size: u64) -> Self {
        Self { path, size, mapping: OnceLock::new() }
    }

    fn mapping(&self) -> &io::Result<Mapping> {
        self.mapping.get_or_init(|| super::mapping::map_regular_file(&self.path))
    }
}

impl ReadAt for LazyFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self.mapping() {
            Ok(mapping) => mapping.read_at(offset, buffer),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))),
        }
    }

    fn as_slice(&self) -> Option<&[u8]> {
        // The file may have become shorter since it was listed: then the careful face is the only one.
        self.mapping().as_ref().ok().map(Mapping::bytes).filter(|bytes| bytes.len() as u64 >= self.size)
    }
}

fn copy_at(bytes: &[u8], offset: u64, buffer: &mut [u8]) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
    let count = rest.len().min(buffer.len());
    buffer[..count].copy_from_slice(&rest[..count]);
    count
}
