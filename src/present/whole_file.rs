//! A file that is written whole or not at all, for its owner's eyes only: it may hold the memory of the victim.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::NamedTempFile;

use super::hint::WithHint as _;

/// Large enough that pieces of pages are not copied into it one by one.
const BUFFER: usize = 256 << 10;

/// A file on its way: under another name in the same directory (mode 0600) until it is whole; gone when dropped before.
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    replace: bool,
    out: BufWriter<NamedTempFile>,
}

impl WholeFile {
    /// Begins a file that is to become `path`.
    ///
    /// # Errors
    /// When something of that name exists and is not to be replaced, or the directory can't be written to.
    pub fn begin(path: &Path, replace: bool) -> Result<Self> {
        if !replace && path.symlink_metadata().is_ok() {
            return exists(path);
        }
        if path.is_dir() {
            bail!("{} is a directory", path.display());
        }
        let file = tempfile::Builder::new().prefix(".coldcase-").tempfile_in(directory_of(path));
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), replace, out: BufWriter::with_capacity(BUFFER, file) })
    }

    /// Where it goes.
    pub fn directory(&self) -> &Path {
        directory_of(&self.path)
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// When writing fails, or something of that name has come meanwhile and is not to be replaced.
    pub fn finish(self) -> Result<()> {
        let Self { path, replace, out } = self;
        let cannot = || format!("cannot write {}", path.display());
        let file = out.into_inner().map_err(io::IntoInnerError::into_error).with_context(cannot)?;
        let done = if replace { file.persist(&path) } else { file.persist_noclobber(&path) };
        match done {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => exists(&path),
            Err(error) => Err(error.error).with_context(cannot),
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn exists<T>(path: &Path) -> Result<T> {
    Err(anyhow::anyhow!("{} exists", path.display())).hint("--force replaces it")
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_whole_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let mut file = WholeFile::begin(&path, false).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        let mut file = WholeFile::begin(&path, false).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists());
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_exists_is_replaced_only_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let mut late = WholeFile::begin(&path, false).unwrap();
        late.write_all(b"late").unwrap();
        fs::write(&path, "old").unwrap();
        assert!(WholeFile::begin(&path, false).unwrap_err().to_string().contains("exists"));
        assert!(late.finish().unwrap_err().to_string().contains("exists"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mut file = WholeFile::begin(&path, true).unwrap();
        file.write_all(b"new").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(WholeFile::begin(directory.path(), true).is_err());
    }
}
