//! Writing strictly below one directory.
//!
//! Names from evidence are never joined to a path that the kernel then walks. Each step goes from an open directory by one name without a
//! slash, that is neither `.` nor `..`, and with `O_NOFOLLOW`: there is no way out, nor through a link that someone puts there meanwhile.
//! (`openat2` with `RESOLVE_BENEATH` promises the same in one call, but is missing before Linux 5.6 and behind many sandboxes.)

use std::fs::{self, DirBuilder, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use container_checkpoint::evidence::{ModificationTime, split_path};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::error::{Error, Result};

/// How files are made before they are complete.
const NEW_FILE: OFlags =
    OFlags::RDWR.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open directory, and where below it we are.
pub(super) struct Beneath {
    top: OwnedFd,
    /// The directory used last, by its path from the top: files of one directory mostly come one after another.
    at: Option<(Vec<u8>, OwnedFd)>,
    /// The name in the top directory that a file has until it is complete.
    temporary: Vec<u8>,
}

impl Beneath {
    /// Makes the directory, readable for its owner alone, or opens it if it is there and empty. `is_taken` says which names in it will be
    /// needed.
    ///
    /// # Errors
    /// When it holds something already, or can't be made or opened.
    pub(super) fn open(path: &Path, is_taken: &dyn Fn(&[u8]) -> bool) -> Result<Self> {
        let failed = |source| Error::Directory { path: path.to_owned(), source };
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_dir(path).map_err(failed)?.next().is_some() {
                    return Err(Error::NotEmpty(path.to_owned()));
                }
            }
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let mut temporary = b".incomplete".to_vec();
        while is_taken(&temporary) {
            temporary.push(b'_');
        }
        Ok(Self { top, at: None, temporary })
    }

    /// Makes a directory with all above it. Those that are there stay as they are.
    ///
    /// # Errors
    /// What the system says: something else of that name is there, a name is too long, no room.
    pub(super) fn make_directory(&mut self, path: &[u8], mode: u32) -> io::Result<()> {
        let (above, name) = checked(path)?;
        let parent = self.enter(above)?;
        match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode & 0o777 | 0o700)) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Ok(rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()).map(drop)?),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a file: whole under its name or not at all. `fill` writes it. Never takes the place of anything.
    ///
    /// # Errors
    /// What `fill` or the system says.
    pub(super) fn make_file(
        &mut self,
        path: &[u8],
        mode: u32,
        modified: ModificationTime,
        fill: &mut dyn FnMut(&mut File) -> io::Result<()>,
    ) -> io::Result<File> {
        let (above, name) = checked(path)?;
        let mut file: File = rustix::fs::openat(
            &self.top,
            self.temporary.as_slice(),
            NEW_FILE,
            Mode::from_raw_mode(mode & 0o777 | 0o600),
        )?
        .into();
        let result = fill(&mut file).and_then(|()| self.finish(&file, above, name, modified));
        if result.is_err() {
            // What is left of it has no name that anyone would take for evidence; a second failure would say no more.
            let _ = rustix::fs::unlinkat(&self.top, self.temporary.as_slice(), AtFlags::empty());
        }
        result.map(|()| file)
    }

    /// Sets the time of a directory that was made; what is done in it later would change it again.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn set_directory_time(&mut self, path: &[u8], modified: ModificationTime) -> io::Result<()> {
        checked(path)?;
        let directory = self.enter(path)?;
        Ok(rustix::fs::futimens(directory, &timestamps(modified))?)
    }

    fn finish(
        &mut self,
        file: &File,
        above: &[u8],
        name: &[u8],
        modified: ModificationTime,
    ) -> io::Result<()> {
        // Times beyond what the file system can hold are cut to its range by the kernel; nanoseconds that are none are refused by it.
        rustix::fs::futimens(file, &timestamps(modified))?;
        let temporary = self.temporary.clone();
        self.enter(above)?;
        let directory = self.at.as_ref().map_or(&self.top, |(_, directory)| directory);
        let from = temporary.as_slice();
        match rustix::fs::renameat_with(&self.top, from, directory, name, RenameFlags::NOREPLACE) {
            // Some file systems lack this flag: a link does not replace either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(&self.top, from, directory, name, AtFlags::empty())?;
                rustix::fs::unlinkat(&self.top, from, AtFlags::empty())?;
            }
            result => result?,
        }
        Ok(())
    }

    /// Goes to a directory below the top, making what is missing on the way.
    fn enter(&mut self, path: &[u8]) -> io::Result<&OwnedFd> {
        if path.is_empty() {
            self.at = None;
            return Ok(&self.top);
        }
        if self.at.as_ref().is_none_or(|(at, _)| at != path) {
            let mut current: Option<OwnedFd> = None;
            for name in path.split(|&byte| byte == b'/') {
                let directory = current.as_ref().unwrap_or(&self.top);
                match rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                current = Some(rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())?);
            }
            self.at = current.map(|directory| (path.to_vec(), directory));
        }
        Ok(self.at.as_ref().map_or(&self.top, |(_, directory)| directory))
    }
}

/// The last guard, whatever was decided before: each part of a path is a step down. Splits off the last one.
fn checked(path: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let is_step = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
    if !path.split(|&byte| byte == b'/').all(is_step) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not the path of something below a directory",
        ));
    }
    Ok(split_path(path))
}

fn timestamps(modified: ModificationTime) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanoseconds.into() },
    }
}

/// Writes to a new file and leaves holes where there are only zeros, so that a large file of nothing costs nothing.
pub(super) struct SparseWriter<'a> {
    file: &'a mut File,
    len: u64,
}

impl<'a> SparseWriter<'a> {
    pub(super) fn new(file: &'a mut File) -> Self {
        Self { file, len: 0 }
    }

    pub(super) fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        if !chunk.iter().all(|&byte| byte == 0) {
            self.file.seek(SeekFrom::Start(self.len))?;
            self.file.write_all(chunk)?;
        }
        self.len += chunk.len() as u64;
        Ok(())
    }

    /// Gives the file its length, which trailing zeros have not, and returns it.
    pub(super) fn finish(self) -> io::Result<u64> {
        self.file.set_len(self.len)?;
        Ok(self.len)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    const NOW: ModificationTime = ModificationTime { seconds: 1_550_000_000, nanoseconds: 5 };

    fn put(beneath: &mut Beneath, path: &str, text: &[u8]) -> io::Result<()> {
        beneath.make_file(path.as_bytes(), 0o6755, NOW, &mut |file| file.write_all(text)).map(drop)
    }

    #[test]
    fn files_arrive_whole_with_their_time_and_without_special_bits() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("out");
        let mut beneath = Beneath::open(&out, &|_| false).unwrap();
        put(&mut beneath, "a/b/file", b"text").unwrap();
        let metadata = fs::metadata(out.join("a/b/file")).unwrap();
        assert_eq!(
            (metadata.mode() & 0o7000, metadata.mtime(), metadata.mtime_nsec()),
            (0, 1_550_000_000, 5)
        );
        assert_eq!(fs::metadata(&out).unwrap().mode() & 0o777, 0o700);
        beneath.make_directory(b"a", 0).unwrap();
        beneath.set_directory_time(b"a", NOW).unwrap();
        assert_eq!(fs::metadata(out.join("a")).unwrap().mtime(), NOW.seconds);
        let failed = beneath.make_file(b"a/part", 0o644, NOW, &mut |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("cut"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "cut");
        let names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a"], "no leftovers");
    }

    #[test]
    fn nothing_is_replaced_and_nothing_followed() {
        let home = tempfile::tempdir().unwrap();
        let (out, outside) = (home.path().join("out"), home.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        let mut beneath = Beneath::open(&out, &|_| false).unwrap();
        put(&mut beneath, "file", b"first").unwrap();
        assert!(put(&mut beneath, "file", b"second").is_err());
        assert_eq!(fs::read(out.join("file")).unwrap(), b"first");
        symlink(&outside, out.join("link")).unwrap();
        assert!(put(&mut beneath, "link/x", b"x").is_err());
        assert!(put(&mut beneath, "link", b"x").is_err());
        assert!(beneath.make_directory(b"link", 0o755).is_err());
        assert!(beneath.make_directory(b"file", 0o755).is_err());
        assert!(beneath.set_directory_time(b"link", NOW).is_err());
        for path in ["../x", "a/../x", "/x", "a//x", "", "a/", ".", "..", "x\0y"] {
            assert!(put(&mut beneath, path, b"x").is_err(), "{path:?}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert!(!home.path().join("x").exists());
    }

    #[test]
    fn only_an_empty_directory_will_do() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(
            Beneath::open(&home.path().join("no/parent"), &|_| false),
            Err(Error::Directory { .. })
        ));
        let empty = home.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let mut beneath = Beneath::open(&empty, &|name| name == b".incomplete").unwrap();
        put(&mut beneath, ".incomplete", b"a file of this name").unwrap();
        assert!(matches!(Beneath::open(&empty, &|_| false), Err(Error::NotEmpty(_))));
        assert!(matches!(
            Beneath::open(&empty.join(".incomplete"), &|_| false),
            Err(Error::Directory { .. })
        ));
    }

    #[test]
    fn zeros_become_holes() {
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = SparseWriter::new(&mut file);
        for chunk in [&[0; 1 << 20][..], b"x", &[0; 1 << 20]] {
            writer.write(chunk).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), (2 << 20) + 1);
        assert_eq!(file.metadata().unwrap().len(), (2 << 20) + 1);
        assert!(file.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
