//! Where crit's output goes: a file that is written whole or not at all, or standard output.

use std::fs::{self, File, Permissions};
use std::io::{BufWriter, IntoInnerError, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Writes a file whole or not at all: under another name in the same directory until all of it is there.
///
/// What is no regular file, such as `/dev/stdout` or a named pipe, is written as it comes. A symbolic link stays, and
/// what it points to is written.
pub fn write_whole(path: &Path, write: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let existing = fs::metadata(path).ok();
    if existing.as_ref().is_some_and(|metadata| !metadata.is_file()) {
        let mut out = BufWriter::new(File::options().write(true).open(path).with_context(cannot)?);
        write(&mut out)?;
        return out.flush().with_context(cannot);
    }
    let target = match existing {
        Some(_) => fs::canonicalize(path).with_context(cannot)?,
        None => path.to_owned(),
    };
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As any new file: the user's mask takes away what it takes away.
    let permissions = Permissions::from_mode(0o666);
    let file =
        tempfile::Builder::new().permissions(permissions).tempfile_in(directory).with_context(cannot)?;
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    let file = out.into_inner().map_err(IntoInnerError::into_error).with_context(cannot)?;
    file.persist(&target).with_context(cannot)?;
    Ok(())
}
