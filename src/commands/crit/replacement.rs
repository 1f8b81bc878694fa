//! Files that take the place of others all at once, with their owners, modes, times and extended attributes.

use std::ffi::OsString;
use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs as attributes;
use tempfile::NamedTempFile;

/// New contents for some files of one directory, which stay as they are until [`Replacements::apply`].
pub struct Replacements {
    directory: PathBuf,
    /// Whether the old files are kept as `NAME.bak`.
    backup: bool,
    files: Vec<(String, NamedTempFile)>,
}

impl Replacements {
    /// Makes a set of replacements in a directory. With `backup`, old files are kept as `NAME.bak`.
    pub fn new(directory: &Path, backup: bool) -> Self {
        Self { directory: directory.to_owned(), backup, files: Vec::new() }
    }

    /// The path of a file of the directory, which has to be a regular one: what a link points to is none of ours.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        let metadata =
            fs::symlink_metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if !metadata.is_file() {
            bail!("{} is no regular file", path.display());
        }
        if self.files.iter().any(|(taken, _)| taken == name) {
            bail!("{} belongs to two images", path.display());
        }
        let kept = self.backup_of(name);
        if self.backup && kept.symlink_metadata().is_ok() {
            bail!("{} exists and is not overwritten", kept.display());
        }
        Ok(path)
    }

    /// A file for new contents, beside the old one.
    pub fn draft(&self) -> Result<NamedTempFile> {
        NamedTempFile::new_in(&self.directory)
            .with_context(|| format!("cannot write to {}", self.directory.display()))
    }

    /// Takes the new contents of a file, and gives them what the old file has beside its contents.
    pub fn add(&mut self, name: &str, draft: NamedTempFile) -> Result<()> {
        let path = self.path(name)?;
        let old = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        copy_attributes(&old, draft.as_file())
            .with_context(|| format!("cannot make a file like {}", path.display()))?;
        self.files.push((name.to_owned(), draft));
        Ok(())
    }

    /// As [`Replacements::add`], of contents in memory.
    pub fn add_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut draft = self.draft()?;
        draft.write_all(bytes).with_context(|| format!("cannot write to {}", self.directory.display()))?;
        self.add(name, draft)
    }

    /// Puts all new files in place, in the order in which they were added. If that fails, old files come back where
    /// they were kept.
    pub fn apply(mut self) -> Result<()> {
        let mut done: Vec<String> = Vec::new();
        for (name, draft) in std::mem::take(&mut self.files) {
            if let Err(error) = self.replace(&name, draft) {
                for name in done.iter().rev().filter(|_| self.backup) {
                    // Nothing more can be done about a second failure; the backups are still there.
                    let _ = fs::rename(self.backup_of(name), self.directory.join(name));
                }
                return Err(error);
            }
            done.push(name);
        }
        Ok(())
    }

    fn replace(&self, name: &str, draft: NamedTempFile) -> Result<()> {
        let path = self.directory.join(name);
        let kept = self.backup_of(name);
        let cannot = || format!("cannot replace {}", path.display());
        draft.as_file().sync_all().with_context(cannot)?;
        if !self.backup {
            draft.persist(&path).with_context(cannot)?;
            return Ok(());
        }
        // A link fails if the name is taken, which a rename does not.
        fs::hard_link(&path, &kept).with_context(cannot)?;
        if let Err(error) = draft.persist(&path) {
            let _ = fs::remove_file(&kept);
            return Err(error).with_context(cannot);
        }
        Ok(())
    }

    fn backup_of(&self, name: &str) -> PathBuf {
        let mut kept = OsString::from(name);
        kept.push(".bak");
        self.directory.join(kept)
    }
}

/// Gives a file the owner, mode, extended attributes and times of another.
fn copy_attributes(from: &File, to: &File) -> std::io::Result<()> {
    copy_owner_and_mode(from, to)?;
    for name in attribute_names(from)? {
        let mut value = vec![0; attributes::fgetxattr(from, &*name, &mut [0u8; 0])?];
        let length = attributes::fgetxattr(from, &*name, &mut value)?;
        attributes::fsetxattr(to, &*name, &value[..length], attributes::XattrFlags::empty())?;
    }
    let metadata = from.metadata()?;
    to.set_times(FileTimes::new().set_accessed(metadata.accessed()?).set_modified(metadata.modified()?))
}

/// Gives a file the owner and mode of another.
pub fn copy_owner_and_mode(from: &File, to: &File) -> std::io::Result<()> {
    let (metadata, now) = (from.metadata()?, to.metadata()?);
    if (now.uid(), now.gid()) != (metadata.uid(), metadata.gid()) {
        fchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    }
    to.set_permissions(metadata.permissions())
}

/// The names of a file's extended attributes; none where the file system has no such thing.
fn attribute_names(file: &File) -> std::io::Result<Vec<Vec<u8>>> {
    let mut list = match attributes::flistxattr(file, &mut [0u8; 0]) {
        Ok(length) => vec![0; length],
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let length = attributes::flistxattr(file, &mut list)?;
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(<[u8]>::to_vec).collect())
}
