//! Memory that several processes map: memory files, shared anonymous memory of both ways in which CRIU dumps it, SysV segments.

use crate::pages::Pages;
use crate::wire::{Image, Message};

/// The file number of the first object that is a memory file, in files.img.
const FIRST_FILE: u64 = 1000;
/// `O_RDWR`.
const READ_WRITE: u64 = 2;

/// What kind of shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A file of memfd_create(2), with its name.
    Memfd(String),
    /// A shared mapping without a name, as CRIU dumps it since 3.14: as a memory file.
    Anonymous,
    /// The same as it was dumped before.
    AnonymousBefore314,
    /// A segment of shmget(2).
    SysV,
}

/// A shared object.
#[derive(Clone, Debug)]
pub struct SharedObject {
    pub(crate) id: u32,
    pub(crate) kind: ObjectKind,
    /// In pages.
    pub(crate) len: u64,
    pub(crate) pages: Pages,
}

impl SharedObject {
    /// An object of so many pages; its number (`shmid`) is that of its pagemap image.
    pub fn new(id: u32, kind: ObjectKind, len: u64, pages: Pages) -> Self {
        Self { id, kind, len, pages }
    }

    /// Whether CRIU dumps it as a file in files.img and memfd.img.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.kind, ObjectKind::Memfd(_) | ObjectKind::Anonymous)
    }

    /// What `vma_entry.shmid` says of a mapping of it.
    pub(crate) fn number_in_mappings(&self) -> u64 {
        if self.is_file() { FIRST_FILE + u64::from(self.id) } else { u64::from(self.id) }
    }

    /// Its entry in files.img.
    pub(crate) fn file(&self) -> Message {
        let owner = Message::new().numbers(1..=5, 0);
        let memfd = Message::new()
            .number(1, self.number_in_mappings())
            .number(2, if self.kind == ObjectKind::Anonymous { 0 } else { READ_WRITE })
            .number(3, 0)
            .message(4, &owner)
            .number(5, u64::from(self.id));
        Message::new().number(1, 18).number(2, self.number_in_mappings()).message(20, &memfd)
    }

    /// Its entry in memfd.img.
    pub(crate) fn inode(&self, page: u64) -> Message {
        let name = if let ObjectKind::Memfd(name) = &self.kind { name } else { "/dev/zero" };
        Message::new()
            .bytes(1, name.as_bytes())
            .numbers(2..=3, 0)
            .number(4, self.len * page)
            .number(5, u64::from(self.id))
            .number(6, u64::from(self.kind == ObjectKind::Anonymous)) // F_SEAL_SEAL
            .number(7, u64::from(self.id))
            .number(9, 0o100_777)
    }
}

/// memfd.img and ipcns-shm-3.img, where there is something to say in them.
pub(crate) fn images(objects: &[SharedObject], page: u64) -> Vec<Image> {
    let inodes: Vec<_> =
        objects.iter().filter(|object| object.is_file()).map(|object| object.inode(page)).collect();
    let segments: Vec<_> = objects
        .iter()
        .filter(|object| object.kind == ObjectKind::SysV)
        .map(|object| {
            let desc = Message::new().numbers(1..=5, 0).number(6, 0o600).number(7, u64::from(object.id));
            Message::new().message(1, &desc).number(2, object.len * page).number(3, 1)
        })
        .collect();
    let image = |name: &str, entries: Vec<Message>| (!entries.is_empty()).then(|| Image::of(name, entries));
    [image("memfd.img", inodes), image("ipcns-shm-3.img", segments)].into_iter().flatten().collect()
}
