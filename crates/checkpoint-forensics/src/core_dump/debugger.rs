//! `core.PID.gdb`: what gdb needs to be told beside a core, in the order in which it needs it.
//!
//! Names in the evidence are its maker's. Whatever could end a line or a word of gdb's is escaped, and files are named to gdb only where their names are plain.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use container_checkpoint::ids::FileId;
use container_checkpoint::model::Model;

use super::subject::Subject;
use super::{Options, Written};
use crate::mapped_files::MappedFiles;

/// Where no file is: gdb would take this machine's files for the container's.
const NO_ROOT: &str = "/nonexistent";

/// Why a core has no executable beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// It was not found.
    NotFound,
    /// What was found at its path is not what ran.
    IsAnother,
    /// It was found, and is larger than a file can be here.
    TooLarge,
    /// It is a memory file of which the evidence lacks something.
    NotWhole,
}

impl Lack {
    pub(super) fn of(model: &Model, files: &MappedFiles, executable: FileId) -> Self {
        match model.files.get(executable).is_some_and(|file| file.memfd().is_some()) {
            true => Self::NotWhole,
            false if files.get(executable).is_some() => Self::TooLarge,
            false if files.has_refused(executable) => Self::IsAnother,
            false => Self::NotFound,
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::NotFound => "is neither in the evidence nor in a given root",
            Self::IsAnother => "that was found is another one",
            Self::TooLarge => "was found and is larger than a file can be here",
            Self::NotWhole => {
                "is a memory file that the evidence does not hold whole, or larger than a file can be here"
            }
        }
    }
}

/// Writes the script for a core. `lack` says why there is no executable, if there is none.
pub(super) fn write(
    out: &mut dyn Write,
    subject: &Subject<'_>,
    model: &Model,
    options: &Options,
    written: &Written,
    lack: Lack,
) -> io::Result<()> {
    let executable = model.files.path(subject.map.executable).unwrap_or_default();
    let command = subject.process.command.known().map_or(&[][..], Vec::as_slice);
    writeln!(out, "# Process {} ({}) of {}.", written.pid, shown(command), written.machine)?;
    writeln!(out, "# Executable: {}", shown(&executable))?;
    for warning in written.warnings() {
        writeln!(out, "# {warning}")?;
    }
    writeln!(out)?;
    // Nothing of the container's may run in the debugger.
    writeln!(out, "set auto-load python-scripts off\nset auto-load gdb-scripts off")?;
    match &options.root {
        Some(root) => writeln!(out, "set sysroot {}", absolute(root).display())?,
        None => {
            writeln!(out, "# Give gdb the container's root file system: set sysroot ROOT")?;
            writeln!(out, "# Without it, this machine's files must not stand in for the container's.")?;
            writeln!(out, "set sysroot {NO_ROOT}")?;
        }
    }
    let libraries: Vec<PathBuf> = written.libraries.iter().map(|directory| absolute(directory)).collect();
    // A colon parts directories, and nothing can keep it from that.
    let (named, others): (Vec<&PathBuf>, Vec<&PathBuf>) = libraries
        .iter()
        .partition(|directory| plain(directory).is_some_and(|directory| !directory.contains(':')));
    let named: Vec<&str> = named.into_iter().filter_map(|directory| plain(directory)).collect();
    if !named.is_empty() {
        writeln!(out, "set solib-search-path {}", named.join(":"))?;
    }
    for other in others {
        let name = shown(other.as_os_str().as_bytes());
        writeln!(out, "# gdb can't be given a directory of libraries of such a name: {name}")?;
    }
    let in_root = || options.in_root(model, subject.map.executable);
    let file = written.executable.clone().or_else(|| in_root().filter(|_| lack != Lack::IsAnother));
    match file.map(|file| absolute(&file)) {
        Some(file) => match plain(&file) {
            Some(file) => writeln!(out, "file {file}")?,
            None => writeln!(
                out,
                "# gdb can't be given a file of such a name: {}",
                shown(file.as_os_str().as_bytes())
            )?,
        },
        None => writeln!(out, "# The executable {}: file PATH", lack.why())?,
    }
    writeln!(out, "core-file {}", absolute(&written.path).display())?;
    // Names of threads have no place in a core.
    for (number, (thread, _)) in (1..).zip(&subject.threads) {
        let Some(name) = thread.command.known().filter(|name| !name.is_empty()) else { continue };
        writeln!(out, "thread apply {number} -q thread name {}", shown(name))?;
    }
    Ok(())
}

/// Bytes of evidence on one line, in printable ASCII. A backslash at the end of a line would join the next one to it.
fn shown(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte != b'\\' && (byte.is_ascii_graphic() || byte == b' ');
    let letter =
        |byte: &u8| if plain(*byte) { char::from(*byte).to_string() } else { format!("\\x{byte:02x}") };
    bytes.iter().map(letter).collect()
}

/// The path as a word that gdb takes as it is.
fn plain(path: &Path) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte);
    path.to_str().filter(|text| text.bytes().all(is_plain))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_line() {
        assert_eq!(shown(b"a\nshell rm\r\x1b[2J\xff'\""), "a\\x0ashell rm\\x0d\\x1b[2J\\xff'\"");
        assert_eq!(shown(b"ends in \\"), "ends in \\x5c");
        assert_eq!(plain(Path::new("/root/bin/a b")), None);
        assert_eq!(plain(Path::new("/root/bin/a$(b)")), None);
        assert_eq!(plain(Path::new("/root/bin/python3.13")), Some("/root/bin/python3.13"));
    }
}
