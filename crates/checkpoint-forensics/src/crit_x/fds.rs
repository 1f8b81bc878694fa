//! `crit x DIR fds`: what each process has open, and where it is.

use std::borrow::Cow;

use container_checkpoint::gap::Field;
use container_checkpoint::ids::Pid;
use container_checkpoint::model::{DescriptorTable, FileKind, Files, Model, OpenFile, Process, SocketFamily};

use super::names;
use super::quoted::quoted;

/// The files of one process. Nothing of it applies to a zombie.
#[derive(Clone, Debug)]
pub struct Fds<'m> {
    /// Whose they are.
    pub pid: Pid,
    /// Its descriptors, in the order of the image.
    pub open: Field<DescriptorTable>,
    /// Path of its working directory; `unknown path` when the table of files lacks it.
    pub working_directory: Field<Cow<'m, [u8]>>,
    /// Path of its root directory; `unknown path` when the table of files lacks it.
    pub root_directory: Field<Cow<'m, [u8]>>,
    files: &'m Files,
}

impl Fds<'_> {
    /// What crit calls the file of a descriptor: its path, `pipe[ID]`, `unix[INODE (PEER) NAME]` with the name
    /// quoted-printable, `TYPE.ID` for all others, `unknown path` for a file with a path that the images don't name.
    pub fn text(&self, open: &OpenFile) -> Vec<u8> {
        let file = self.files.of_descriptor(open);
        if let Some(FileKind::Socket(socket)) = file.map(|file| &file.kind)
            && let (SocketFamily::Unix(unix), Some(inode)) = (&socket.family, socket.inode.known())
        {
            let blank = if unix.raw_name.is_empty() { "" } else { " " };
            let ends = format!("unix[{inode} ({}){blank}", unix.peer).into_bytes();
            return [ends, quoted(&unix.raw_name), b"]".to_vec()].concat();
        }
        self.files.text(open)
    }
}

/// The files of all processes, in the order of the image.
pub(super) fn tables(model: &Model) -> Vec<Fds<'_>> {
    let files = &model.files;
    let table = |process: &Process| Fds {
        pid: process.pid,
        open: process.open_files.clone(),
        working_directory: process.working_directory().map(|id| names::path(files, id)),
        root_directory: process.root_directory().map(|id| names::path(files, id)),
        files,
    };
    model.processes.iter().map(table).collect()
}
