//! A file that is written whole or not at all, for its owner's eyes only: it may hold the memory of the victim.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use container_checkpoint::naming::Locator;
use tempfile::NamedTempFile;

use super::hint::WithHint as _;

/// Large enough that pieces of pages are not copied into it one by one.
const BUFFER: usize = 256 << 10;

/// A file on its way: under another name in the same directory (mode 0600) until it is whole; gone when dropped before.
///
/// What exists and is no regular file, such as a named pipe or `/dev/null`, is written as it comes.
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    replace: bool,
    out: Out,
}

#[derive(Debug)]
enum Out {
    Draft(BufWriter<NamedTempFile>),
    Straight(BufWriter<File>),
}

impl WholeFile {
    /// Begins a file that is to become `path`.
    ///
    /// # Errors
    /// When a file of that name exists and is not to be replaced, or the directory can't be written to.
    pub fn begin(path: &Path, replace: bool) -> Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        let existing = path.metadata().ok();
        if existing.as_ref().is_some_and(Metadata::is_dir) {
            bail!("{} is a directory", path.display());
        }
        if existing.as_ref().is_some_and(|metadata| !metadata.is_file()) {
            let file = File::options().write(true).open(path).with_context(cannot)?;
            let out = Out::Straight(BufWriter::with_capacity(BUFFER, file));
            return Ok(Self { path: path.to_owned(), replace, out });
        }
        if !replace && path.symlink_metadata().is_ok() {
            return exists(path);
        }
        // A symbolic link stays, and what it points to is replaced.
        let path =
            if existing.is_some() { path.canonicalize().with_context(cannot)? } else { path.to_owned() };
        let file = tempfile::Builder::new().prefix(".coldcase-").tempfile_in(directory_of(&path));
        let out = Out::Draft(BufWriter::with_capacity(BUFFER, file.with_context(cannot)?));
        Ok(Self { path, replace, out })
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
        let draft = match out {
            Out::Straight(mut out) => return out.flush().with_context(cannot),
            Out::Draft(draft) => draft,
        };
        let file = draft.into_inner().map_err(io::IntoInnerError::into_error).with_context(cannot)?;
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
        match &mut self.out {
            Out::Draft(out) => out.write(bytes),
            Out::Straight(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Draft(out) => out.flush(),
            Out::Straight(out) => out.flush(),
        }
    }
}

/// Nothing may be written over what it was made from, nor beside it in a directory that is evidence, whatever is asked.
///
/// # Errors
/// When `path` is one of the evidences, by whatever name, or is inside one.
pub fn refuse_evidence<'a>(path: &Path, names: impl Iterator<Item = &'a OsString>) -> Result<()> {
    // What is not there yet is where its directory is.
    let target = path.canonicalize().or_else(|_| {
        let directory = directory_of(path).canonicalize()?;
        Ok::<_, io::Error>(path.file_name().map_or_else(|| directory.clone(), |name| directory.join(name)))
    });
    let Ok(target) = target else { return Ok(()) };
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let existing =
        target.metadata().ok().filter(|metadata| metadata.is_file() || metadata.is_dir()).map(identity);
    for name in names {
        let evidence = Locator::parse(name).path;
        let metadata = if evidence == Path::new("-") {
            io::stdin().as_fd().try_clone_to_owned().and_then(|stdin| File::from(stdin).metadata())
        } else {
            evidence.metadata()
        };
        let Ok(metadata) = metadata else { continue };
        let is_inside = metadata.is_dir()
            && evidence
                .canonicalize()
                .is_ok_and(|evidence| target != evidence && target.starts_with(evidence));
        if is_inside {
            bail!("{} is inside the evidence, to which nothing is written", path.display());
        }
        if existing.is_some_and(|existing| existing == identity(metadata)) {
            bail!("{} is the evidence itself", path.display());
        }
    }
    Ok(())
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
        // A link is followed, and stays one.
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(WholeFile::begin(&link, false).is_err());
        let mut file = WholeFile::begin(&link, true).unwrap();
        file.write_all(b"through").unwrap();
        file.finish().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"through");
    }

    #[test]
    fn a_device_is_written_and_stays() {
        for replace in [false, true] {
            let mut file = WholeFile::begin(Path::new("/dev/null"), replace).unwrap();
            file.write_all(b"gone").unwrap();
            file.finish().unwrap();
            assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
        }
    }
}
