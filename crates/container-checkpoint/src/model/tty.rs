//! Terminals.

use criu_images::schema::{TtyFileEntry, TtyInfoEntry, TtyType};

use super::device::Device;
use crate::gap::Field;
use crate::ids::{FileId, Pid};

/// A descriptor of a terminal (`tty_file_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TtyFile {
    /// `O_*`.
    pub flags: u32,
    /// The terminal's number in tty-info.img.
    pub terminal_id: u32,
    /// The terminal.
    pub terminal: Field<Terminal>,
    /// The entry that has the path, such as `/dev/pts/0`.
    pub path: FileId,
}

/// A terminal (`tty_info_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// What it is.
    pub kind: TerminalKind,
    /// The session that it controls; 0 for none.
    pub session: Pid,
    /// Its foreground group; 0 for none.
    pub foreground: Pid,
    /// Device number, as in `st_rdev`.
    pub device: Device,
    /// The number of a pseudo terminal, `/dev/pts/N`.
    pub pty: Option<u32>,
    /// Rows and columns.
    pub size: Option<(u32, u32)>,
    /// Owner (CRIU 2.6 and later).
    pub uid: Field<u32>,
    /// Group (CRIU 2.6 and later).
    pub gid: Field<u32>,
}

/// Kinds of terminals (`TtyType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalKind {
    /// A pseudo terminal.
    Pty,
    /// `/dev/console`.
    Console,
    /// A virtual console.
    VirtualConsole,
    /// `/dev/tty`.
    Controlling,
    /// One that lies outside of the dumped tree.
    External,
    /// A serial line.
    Serial,
    /// Another number.
    Unknown(i32),
}

impl TtyFile {
    pub(super) fn from_wire(file: &TtyFileEntry, terminal: Field<Terminal>) -> Self {
        Self {
            flags: file.flags,
            terminal_id: file.tty_info_id,
            terminal,
            // Before CRIU 3.6 the path was in a REG entry with the same id.
            path: FileId(file.regf_id.unwrap_or(file.id)),
        }
    }
}

impl Terminal {
    pub(super) fn from_wire(info: &TtyInfoEntry) -> Self {
        Self {
            kind: TerminalKind::from_wire(info.r#type),
            session: Pid(info.sid),
            foreground: Pid(info.pgrp),
            device: Device::from_user(info.rdev),
            pty: info.pty.as_ref().map(|pty| pty.index),
            size: info.winsize.as_ref().map(|size| (size.ws_row, size.ws_col)),
            uid: info.uid.into(),
            gid: info.gid.into(),
        }
    }
}

impl TerminalKind {
    fn from_wire(kind: i32) -> Self {
        match TtyType::try_from(kind) {
            Ok(TtyType::Pty) => Self::Pty,
            Ok(TtyType::Console) => Self::Console,
            Ok(TtyType::Vt) => Self::VirtualConsole,
            Ok(TtyType::Ctty) => Self::Controlling,
            Ok(TtyType::ExtTty) => Self::External,
            Ok(TtyType::Serial) => Self::Serial,
            Ok(TtyType::Unknown) | Err(_) => Self::Unknown(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_entry_has_its_path_under_the_same_id() {
        let file = TtyFileEntry { id: 7, ..Default::default() };
        assert_eq!(TtyFile::from_wire(&file, Field::NotCaptured).path, FileId(7));
        let file = TtyFileEntry { id: 7, regf_id: Some(9), ..Default::default() };
        assert_eq!(TtyFile::from_wire(&file, Field::NotCaptured).path, FileId(9));
    }
}
