//! Bytes at an offset.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{SeekFrom, seek};

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

    /// Where a sparse file stores nothing, ascending; its bytes read as zeros there.
    fn holes(&self) -> Vec<Range<u64>> {
        Vec::new()
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

/// The smallest file that is mapped, in bytes: a directory of images has some dozen small files a process.
const MAPPED_MIN: u64 = 1 << 20;
/// How many files may be mapped at a time. The kernel allows 65,530 mappings (`vm.max_map_count`), and memory is mapped too.
const MAPPED_MAX: usize = 10_000;

/// How many files of directories are mapped.
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// A file of a directory, opened when its bytes are asked for. A large one is mapped then, and stays so.
#[derive(Debug)]
pub(crate) struct LazyFile {
    path: PathBuf,
    size: u64,
    /// `None` in it: the file is not to be mapped.
    mapping: OnceLock<Option<io::Result<Mapping>>>,
}

impl LazyFile {
    pub(crate) fn new(path: PathBuf, size: u64) -> Self {
        Self { path, size, mapping: OnceLock::new() }
    }

    fn mapping(&self) -> Option<&io::Result<Mapping>> {
        let map = || {
            let may_be = self.size >= MAPPED_MIN && MAPPED.fetch_add(1, Ordering::Relaxed) < MAPPED_MAX;
            may_be.then(|| {
                super::mapping::open_regular_file(&self.path).and_then(|file| super::mapping::map(&file))
            })
        };
        self.mapping.get_or_init(map).as_ref()
    }
}

impl ReadAt for LazyFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let place =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        match self.mapping() {
            Some(Ok(mapping)) => mapping.read_at(offset, buffer),
            Some(Err(error)) => {
                Err(io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))
            }
            None => {
                let file = super::mapping::open_regular_file(&self.path).map_err(place)?;
                FileExt::read_at(&file, buffer, offset).map_err(place)
            }
        }
    }

    fn as_slice(&self) -> Option<&[u8]> {
        let mapping = self.mapping()?.as_ref().ok()?;
        // The file may have become shorter since it was listed: then the careful face is the only one.
        Some(mapping.bytes()).filter(|bytes| bytes.len() as u64 >= self.size)
    }

    /// As far as the file system tells.
    fn holes(&self) -> Vec<Range<u64>> {
        super::mapping::open_regular_file(&self.path)
            .map(|file| holes_of(&file, self.size))
            .unwrap_or_default()
    }
}

/// Where a file of so many bytes stores nothing, ascending, as far as the file system tells (`SEEK_HOLE`).
pub(crate) fn holes_of(file: &File, size: u64) -> Vec<Range<u64>> {
    let mut holes = Vec::new();
    let mut at = 0;
    while let Ok(start) = seek(file, SeekFrom::Hole(at)) {
        // Behind the last byte there is always one.
        if start >= size {
            break;
        }
        at = seek(file, SeekFrom::Data(start)).unwrap_or(size);
        holes.push(start..at.min(size));
    }
    holes
}

fn copy_at(bytes: &[u8], offset: u64, buffer: &mut [u8]) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
    let count = rest.len().min(buffer.len());
    buffer[..count].copy_from_slice(&rest[..count]);
    count
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn maps() -> String {
        fs::read_to_string("/proc/self/maps").unwrap()
    }

    /// A host's dump has tens of thousands of images, and a process may have 65,530 mappings.
    #[test]
    fn only_large_files_are_mapped() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, size: usize| {
            let path = directory.path().join(name);
            fs::write(&path, vec![b'x'; size]).unwrap();
            LazyFile::new(path, size as u64)
        };
        let (small, large) = (file("small-one", 100_000), file("large-one", 2 << 20));
        let mut buffer = [0; 8];
        for file in [&small, &large] {
            assert_eq!(file.read_at(99_997, &mut buffer).unwrap().min(3), 3);
            assert_eq!(&buffer[..3], b"xxx");
        }
        assert_eq!((small.as_slice(), large.as_slice().map(<[u8]>::len)), (None, Some(2 << 20)));
        assert!(!maps().contains("small-one") && maps().contains("large-one"));
    }
}
