//! A directory as evidence: an unpacked archive, a Docker container directory, bare images, an OCI layout.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bytes::Bytes;
use super::index::LayerId;
use super::member::{Body, Member, MemberKind, ModificationTime};
use super::pass::Pass;
use super::read_at::LazyFile;

impl Pass<'_> {
    /// Lists a directory with all below it, sorted by name. Follows no link; opens no file.
    pub(super) fn directory(&mut self, layer: LayerId, top: &Path) {
        self.in_directory = true;
        let mut pending: Vec<(Vec<u8>, PathBuf)> = vec![(Vec::new(), top.to_owned())];
        while let Some((prefix, directory)) = pending.pop() {
            let entries = fs::read_dir(&directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let mut entries = match entries {
                Ok(entries) => entries,
                Err(error) => {
                    self.index.findings.gap("a directory", String::from_utf8_lossy(&prefix), error);
                    continue;
                }
            };
            entries.sort_by_key(fs::DirEntry::file_name);
            let mut deeper = Vec::new();
            for entry in entries {
                let mut path = prefix.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(entry.file_name().as_bytes());
                match self.describe(path.clone(), &entry.path()) {
                    Ok(member) => {
                        if member.kind == MemberKind::Directory {
                            deeper.push((path, entry.path()));
                        }
                        if !self.has_room(&member) {
                            return;
                        }
                        self.add(layer, member);
                    }
                    Err(error) => self.index.findings.gap("a file", String::from_utf8_lossy(&path), error),
                }
            }
            pending.extend(deeper.into_iter().rev());
        }
        self.index.close();
    }

    fn describe(&self, path: Vec<u8>, real: &Path) -> std::io::Result<Member> {
        let metadata = fs::symlink_metadata(real)?;
        let file_type = metadata.file_type();
        let device = || (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
        let kind = match file_type {
            kind if kind.is_dir() => MemberKind::Directory,
            kind if kind.is_symlink() => MemberKind::Symlink,
            kind if kind.is_file() => MemberKind::File,
            kind if kind.is_fifo() => MemberKind::Fifo,
            kind if kind.is_socket() => MemberKind::Socket,
            kind if kind.is_char_device() => MemberKind::CharDevice(device().0, device().1),
            _ => MemberKind::BlockDevice(device().0, device().1),
        };
        let size = if kind == MemberKind::File { metadata.len() } else { 0 };
        let link = match kind {
            MemberKind::Symlink => Some(AsRef::<OsStr>::as_ref(&fs::read_link(real)?).as_bytes().to_vec()),
            _ => None,
        };
        let body = match kind {
            MemberKind::File => Bytes::new(Arc::new(LazyFile::new(real.to_owned(), size))),
            _ => Bytes::default(),
        };
        Ok(Member {
            path,
            kind,
            size,
            // What a sparse file does not store: it is mapped, but whoever reads it whole reads zeros.
            holes: size.saturating_sub(metadata.blocks().saturating_mul(512)),
            hole_map: None,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid().into(),
            gid: metadata.gid().into(),
            modified: ModificationTime {
                seconds: metadata.mtime(),
                nanoseconds: metadata.mtime_nsec() as u32,
            },
            link,
            xattrs: Vec::new(),
            body: Body::At(body),
        })
    }
}
