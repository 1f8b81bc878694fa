//! Where crit's output goes: a file that is written whole or not at all, or standard output.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use container_checkpoint::context::Context;
use rustix::io::Errno;

use super::replacement::copy_owner_and_mode;
use crate::session::Session;

/// So many symbolic links may lead from one to the next, as in the kernel's own lookups.
const LINKS_MAX: usize = 40;

/// Writes a file whole or not at all: under another name in the same directory until all of it is there.
///
/// A file that exists has to be writable, and keeps its owner and mode. What is no regular file, such as `/dev/stdout` or a named pipe, is written as it comes.
/// A symbolic link stays, and what it points to is written.
pub fn write_whole(
    session: &Session<'_>,
    path: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let context = &session.context;
    let cannot = || format!("cannot write {}", path.display());
    let existing = fs::metadata(path).ok();
    if existing.as_ref().is_some_and(|metadata| !metadata.is_file()) {
        let file = File::options().write(true).open(path).with_context(cannot)?;
        let mut out = BufWriter::new(Output { context, path, file });
        write(&mut out)?;
        return Ok(out.flush()?);
    }
    session.end_cleanly_on_signals()?;
    let target = behind_links(path).with_context(cannot)?;
    let old = match existing {
        Some(_) => Some(File::options().write(true).open(&target).with_context(cannot)?),
        None => None,
    };
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As any new file: the user's mask takes away what it takes away.
    let permissions = Permissions::from_mode(0o666);
    let mut draft =
        tempfile::Builder::new().permissions(permissions).tempfile_in(directory).with_context(cannot)?;
    if let Some(old) = old {
        copy_owner_and_mode(&old, draft.as_file()).with_context(cannot)?;
    }
    let mut out = BufWriter::new(Output { context, path, file: draft.as_file_mut() });
    write(&mut out)?;
    out.into_inner().map_err(IntoInnerError::into_error)?;
    draft.persist(&target).with_context(cannot)?;
    Ok(())
}

/// The path of the file itself, which need not exist, where a path is a link.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&target) {
            Ok(next) => target = target.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(Errno::LOOP.into())
}

/// A file that is being written. Its errors name it, and it takes no more once the user ends the program.
pub struct Output<'s, W> {
    pub context: &'s Context,
    pub path: &'s Path,
    pub file: W,
}

impl<W: Write> Write for Output<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self.context.cancelled() {
            true => Err(io::Error::other("ended by a signal")),
            false => self.file.write(bytes),
        };
        written.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("writing to {}: {error}", self.path.display())),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
