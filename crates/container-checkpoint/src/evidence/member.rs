//! One member of an archive or file of a directory, as its header describes it.

use std::ops::Range;
use std::sync::Arc;

use super::bytes::Bytes;

/// One member of an archive or file of a directory.
#[derive(Clone, Debug)]
pub struct Member {
    /// The name as it is stored, without a leading `./` and without a trailing `/`. Bytes, never used as a path of this machine.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// The length of its contents in bytes, as its header says (holes included).
    pub size: u64,
    /// How many of these bytes are holes that a sparse archive does not store.
    pub holes: u64,
    /// Where they are, if a sparse archive says so; see [`Member::hole_ranges`].
    pub hole_map: Option<Arc<[Range<u64>]>>,
    /// Permission bits, set-uid, set-gid and sticky bit.
    pub mode: u32,
    /// The owner's number.
    pub uid: u64,
    /// The group's number.
    pub gid: u64,
    /// When its contents were last changed.
    pub modified: ModificationTime,
    /// The target of a symbolic or hard link, as stored.
    pub link: Option<Vec<u8>>,
    /// Extended attributes (`SCHILY.xattr.*` records of pax headers), in stored order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where its contents are.
    pub body: Body,
}

/// How many bytes of holes are read of one member at most: nobody has the time for more, and a header of 512 bytes can claim them.
const HOLES_READ_MAX: u64 = 256 << 30;

impl Member {
    /// Whether its contents can be read to their end in a time that somebody may wait for: what is not stored is no limit to a header's claims.
    pub fn can_be_read(&self) -> bool {
        self.holes <= HOLES_READ_MAX
    }

    /// Where its contents are holes, ascending: in a sparse archive, or a sparse file of a directory as far as the file system tells.
    pub fn hole_ranges(&self) -> Vec<Range<u64>> {
        match &self.hole_map {
            Some(map) => map.to_vec(),
            None if self.holes == 0 => Vec::new(),
            None => self.body.at_hand().map(|bytes| bytes.holes()).unwrap_or_default(),
        }
    }

    /// The last component of its path.
    pub fn base_name(&self) -> &[u8] {
        split_path(&self.path).1
    }

    /// The path without its last component; empty at the top.
    pub fn directory(&self) -> &[u8] {
        split_path(&self.path).0
    }
}

/// Splits a path at its last slash: directory and base name.
pub fn split_path(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

/// Takes a leading `./` (any number of them) and trailing slashes off a stored name. `..` and a leading `/` stay: they are evidence.
pub fn plain_path(stored: &[u8]) -> &[u8] {
    let mut path = stored;
    while let Some(rest) = path.strip_prefix(b"./") {
        path = rest;
        while let Some(rest) = path.strip_prefix(b"/") {
            path = rest;
        }
    }
    while path.len() > 1 && path.ends_with(b"/") {
        path = &path[..path.len() - 1];
    }
    if path == b"." { b"" } else { path }
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name for a member that came before.
    HardLink,
    /// A character device: major, minor.
    CharDevice(u32, u32),
    /// A block device: major, minor.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket (only in directories: tar can't hold one).
    Socket,
    /// A type byte that we don't know.
    Other(u8),
}

/// A time of last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModificationTime {
    /// Seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// Nanoseconds after that.
    pub nanoseconds: u32,
}

/// Where a member's contents are.
#[derive(Clone, Debug)]
pub enum Body {
    /// At an offset: they can be had at any time. Fewer bytes than the member's size: the archive is cut there.
    At(Bytes),
    /// Kept while the stream went by.
    Held(Arc<[u8]>),
    /// They only go by: a pass over the stream is needed.
    Passing,
}

impl Body {
    /// The contents, if they can be had without a pass.
    pub fn at_hand(&self) -> Option<Bytes> {
        match self {
            Self::At(bytes) => Some(bytes.clone()),
            Self::Held(bytes) => Some(Bytes::new(Arc::new(bytes.clone()))),
            Self::Passing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_lose_only_what_means_nothing() {
        for (stored, plain) in [
            ("./checkpoint/", "checkpoint"),
            ("././a", "a"),
            (".//a", "a"),
            ("../a", "../a"),
            ("/a", "/a"),
            ("./", ""),
            ("/", "/"),
            ("a/./b", "a/./b"),
        ] {
            assert_eq!(plain_path(stored.as_bytes()), plain.as_bytes(), "{stored}");
        }
    }
}
