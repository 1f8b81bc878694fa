//! Files that evidence is written to at any offset: whole or not at all, for their owner's eyes only, with holes where bytes are zero.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file of that name is there, and may not be replaced.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// What it was to become.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// How many files are open at a time.
const OPEN_MAX: usize = 128;
/// What is left a hole when it is all zero, in bytes.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

impl Error {
    /// Whether the file would be larger than the file system takes.
    pub(crate) fn is_too_large(&self) -> bool {
        let kind = if let Self::Write { source, .. } = self { Some(source.kind()) } else { None };
        // An offset beyond what the kernel's type for them holds is an invalid one.
        matches!(kind, Some(io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput))
    }
}

/// Files in one directory that are being written.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    outputs: Vec<Output>,
    /// Those that are open, in the order in which they were opened.
    open: VecDeque<usize>,
    /// Directories that were made for them: those that stay empty go with them.
    made: Vec<PathBuf>,
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.outputs.clear();
        for directory in self.made.iter().rev() {
            // One that is not empty stays.
            let _ = fs::remove_dir(directory);
        }
    }
}

#[derive(Debug)]
struct Output {
    /// Where it goes when it is whole.
    path: PathBuf,
    /// Where it is until then. Dropping it removes the file.
    temporary: TempPath,
    file: Option<File>,
}

impl Outputs {
    /// Begins a file (mode 0600) that is to become `path`, of `len` zeros; the directory is made if there is none. Returns its number.
    pub(crate) fn add(&mut self, path: PathBuf, len: u64) -> Result<usize, Error> {
        let number = self.outputs.len();
        let mut make = || {
            let directory =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            // Only the directory that was asked for is made, none above it: a typing error must not leave a trail.
            match fs::create_dir(directory) {
                Ok(()) => self.made.push(directory.to_owned()),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) => {}
            }
            let file = tempfile::Builder::new().prefix(".incomplete-").tempfile_in(directory)?;
            file.as_file().set_len(len)?;
            Ok(file.into_parts())
        };
        let (file, temporary) = make().map_err(|source| Error::Write { path: path.clone(), source })?;
        self.make_room();
        self.outputs.push(Output { path, temporary, file: Some(file) });
        self.open.push_back(number);
        Ok(number)
    }

    /// Writes bytes at an offset; what is zero already stays a hole.
    pub(crate) fn write_sparse(&mut self, number: usize, at: u64, bytes: &[u8]) -> Result<(), Error> {
        self.with(number, |file| write_sparse(file, at, bytes))
    }

    /// Reads as many bytes as the buffer has.
    pub(crate) fn read(&mut self, number: usize, at: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.with(number, |file| file.read_exact_at(buffer, at))
    }

    /// Writes a stretch from an offset on. Returns what `write` returns, and the offset behind the stretch.
    pub(crate) fn write<T>(
        &mut self,
        number: usize,
        at: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    ) -> Result<(T, u64), Error> {
        self.with(number, |file| {
            let mut out = BufWriter::new(Cursor { file, at });
            let answer = write(&mut out)?;
            let end = out.into_inner().map_err(io::IntoInnerError::into_error)?.at;
            Ok((answer, end))
        })
    }

    /// Gives a file its length; what was not written is zero.
    pub(crate) fn set_len(&mut self, number: usize, len: u64) -> Result<(), Error> {
        self.with(number, |file| file.set_len(len))
    }

    /// Where a file goes when it is whole.
    pub(crate) fn path(&self, number: usize) -> &Path {
        &self.outputs[number].path
    }

    /// Gives the files that `keep` chooses their names; the others are removed. Without `replace`, a file of that name is an error.
    pub(crate) fn persist(mut self, replace: bool, keep: impl Fn(usize) -> bool) -> Result<(), Error> {
        let kept =
            std::mem::take(&mut self.outputs).into_iter().enumerate().filter(|(number, _)| keep(*number));
        for (_, Output { path, temporary, .. }) in kept {
            let done = if replace { temporary.persist(&path) } else { temporary.persist_noclobber(&path) };
            done.map_err(|error| match error.error.kind() {
                io::ErrorKind::AlreadyExists => Error::Exists { path: path.clone() },
                _ => Error::Write { path: path.clone(), source: error.error },
            })?;
        }
        Ok(())
    }

    fn with<T>(&mut self, number: usize, act: impl FnOnce(&File) -> io::Result<T>) -> Result<T, Error> {
        if self.outputs[number].file.is_none() {
            self.make_room();
            self.open.push_back(number);
        }
        let Output { path, temporary, file } = &mut self.outputs[number];
        let opened = match file.take() {
            Some(file) => Ok(file),
            None => OpenOptions::new().read(true).write(true).open(temporary as &Path),
        };
        let done = opened.and_then(|opened| act(file.insert(opened)));
        done.map_err(|source| Error::Write { path: path.clone(), source })
    }

    /// Closes the file that was opened first, when enough are open.
    fn make_room(&mut self) {
        if self.open.len() >= OPEN_MAX
            && let Some(oldest) = self.open.pop_front()
        {
            self.outputs[oldest].file = None;
        }
    }
}

/// Writes to a file from an offset on.
struct Cursor<'a> {
    file: &'a File,
    at: u64,
}

impl Write for Cursor<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write_at(bytes, self.at)?;
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the runs of blocks (by offset in the file) that are not all zero.
fn write_sparse(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut run = 0..0;
    while run.end < bytes.len() {
        let offset = (at + run.end as u64) % BLOCK as u64;
        let end = (run.end + BLOCK - offset as usize).min(bytes.len());
        if bytes[run.end..end] == ZEROS[..end - run.end] {
            file.write_all_at(&bytes[run.clone()], at + run.start as u64)?;
            run = end..end;
        } else {
            run.end = end;
        }
    }
    file.write_all_at(&bytes[run.clone()], at + run.start as u64)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn bytes_come_back_and_zeros_are_holes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/core.1");
        let mut outputs = Outputs::default();
        let len = 64 << 20;
        let number = outputs.add(path.clone(), len).unwrap();
        let mut bytes = vec![0; 1 << 20];
        bytes[100_000..100_003].copy_from_slice(b"abc");
        bytes[(1 << 20) - 1] = b'z';
        outputs.write_sparse(number, (16 << 20) + 123, &bytes).unwrap();
        outputs.persist(false, |_| true).unwrap();

        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (len, 0o600));
        assert!(metadata.blocks() * 512 < 256 << 10, "{} blocks", metadata.blocks());
        let mut back = vec![1; 1 << 20];
        File::open(&path).unwrap().read_exact_at(&mut back, (16 << 20) + 123).unwrap();
        assert!(back == bytes);
    }

    #[test]
    fn more_files_than_may_be_open_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = |number: usize| directory.path().join(number.to_string());
        let mut outputs = Outputs::default();
        let count = OPEN_MAX + 20;
        for number in 0..count {
            assert_eq!(outputs.add(path(number), 10).unwrap(), number);
        }
        for at in 0..3 {
            for number in 0..count {
                outputs.write_sparse(number, at, &[number as u8]).unwrap();
                assert!(outputs.open.len() <= OPEN_MAX);
            }
        }
        outputs.persist(false, |number| number % 2 == 0).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), count / 2, "the others are removed");
        assert_eq!(fs::read(path(2)).unwrap()[..4], [2, 2, 2, 0]);
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("core.1");
        fs::write(&path, "old").unwrap();
        let begun = || {
            let mut outputs = Outputs::default();
            outputs.add(path.clone(), 1).unwrap();
            outputs
        };
        assert!(matches!(begun().persist(false, |_| true), Err(Error::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        begun().persist(true, |_| true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"\0");
        drop(begun());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing half done stays");
    }
}
