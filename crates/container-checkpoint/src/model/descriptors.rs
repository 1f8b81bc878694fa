//! Tables of file descriptors.

use std::collections::HashMap;
use std::sync::Arc;

use criu_images::schema::FdinfoEntry;

use super::file_type::FileType;
use super::images::{Images, Reading};
use crate::gap::Field;
use crate::ids::FileId;

/// An open descriptor (`fdinfo_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// Its number.
    pub fd: u32,
    /// The file in the table of files.
    pub file: FileId,
    /// The file's type.
    pub file_type: FileType,
    /// Whether execve(2) closes it.
    pub close_on_exec: bool,
    /// SELinux context of the file (CRIU 3.13 and later, where there is one).
    pub selinux: Field<Vec<u8>>,
}

/// `FD_CLOEXEC`.
const FD_CLOEXEC: u32 = 1;

/// The descriptors of a process, in the order of the image; processes made with `CLONE_FILES` share them.
pub type DescriptorTable = Arc<[OpenFile]>;

/// Reads tables of descriptors, each of them once.
#[derive(Default)]
pub(super) struct DescriptorTables {
    read: HashMap<u32, Field<DescriptorTable>>,
}

impl DescriptorTables {
    /// The table `fdinfo-NUMBER.img`; the number is `files_id` of the process's ids, or its pid in images before CRIU 0.4.
    pub fn table(&mut self, images: &mut Images<'_>, number: u32) -> Field<DescriptorTable> {
        self.read.entry(number).or_insert_with(|| load(images, number)).clone()
    }
}

fn load(images: &mut Images<'_>, number: u32) -> Field<DescriptorTable> {
    let name = format!("fdinfo-{number}.img");
    let what = format!("file descriptors of table {number}");
    let mut open = Vec::new();
    let reading = images.each::<FdinfoEntry>(&name, &what, |entry, _, _| {
        open.push(OpenFile {
            fd: entry.fd,
            file: FileId(entry.id),
            file_type: FileType(entry.r#type),
            close_on_exec: entry.flags & FD_CLOEXEC != 0,
            selinux: entry.xattr_security_selinux.into(),
        });
    });
    match reading {
        Reading::Complete => Field::Known(open.into()),
        // What could be read is worth more than a complete list; the gap says that some are missing.
        Reading::Damaged(_) if !open.is_empty() => Field::Known(open.into()),
        Reading::Damaged(why) => Field::Unreadable(why),
        Reading::Absent => {
            images.findings.gap(&what, &name, "the dump has no such image");
            Field::Unreadable(format!("{name} is missing"))
        }
    }
}
