//! One answer to "what changed": a file that is there, or one that is gone.

use container_checkpoint::evidence::{Body, MemberKind, ModificationTime};

use super::changes::Changes;

/// A file in a store, or a deletion that the store records.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The number of its store in [`Changes::stores`](super::Changes::stores).
    pub store: usize,
    /// The absolute path in the container; relative to the store's top (no leading slash) when it is not known where that is. Bytes.
    pub path: Vec<u8>,
    /// The name as the archive has it, without a leading `./` and a trailing `/`.
    pub stored_name: Vec<u8>,
    /// What happened to it, as far as the store says.
    pub change: Change,
    /// What the archive says of it; `None` for a deletion, of which only the name is recorded.
    pub facts: Option<Facts>,
    /// The path holds U+FFFD in place of bytes that the engine's JSON could not express: the real name is another.
    pub name_uncertain: bool,
    /// A later entry of the same store has the same name: unpacking would leave that one.
    pub replaced: bool,
    /// Who made it, when it was not the workload: the engine, the runtime or CRIU, told by name and form.
    pub made_by: Option<&'static str>,
    /// Oddities that an analyst should know.
    pub notes: Vec<&'static str>,
    pub(super) source: Option<Source>,
}

/// What happened to a path, as far as a store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It was added or changed since the image; no engine records which. containerd also lists the unchanged directories above.
    AddedOrChanged,
    /// It was there at the checkpoint. The store holds all files, changed or not: `/dev/shm`, volumes, tmpfs mounts.
    Present,
    /// It was deleted. A path that was made again after that has another entry.
    Deleted,
    /// All that the image had in this directory is gone (an opaque whiteout). What is there now has entries of its own.
    ContentsDeleted,
}

/// What an archive says of a file.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What it is; device numbers are major and minor.
    pub kind: MemberKind,
    /// Permission bits, set-uid, set-gid and sticky bit.
    pub mode: u32,
    /// The owner's number.
    pub uid: u64,
    /// The group's number.
    pub gid: u64,
    /// Bytes of contents: of a regular file, or of the file that a hard link names; `None` for what has no contents.
    pub size: Option<u64>,
    /// When the contents were last changed: the container could set it as it liked.
    pub modified: ModificationTime,
    /// The target of a symbolic link, or the stored name that a hard link points to.
    pub link: Option<Vec<u8>>,
    /// Extended attributes, names and values as bytes, in stored order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// SHA-256 of the contents, when it was asked for and all of them could be read.
    pub sha256: Option<[u8; 32]>,
    /// How many bytes of the contents are there, when the archive ends within them.
    pub present: Option<u64>,
}

impl Entry {
    /// Whether it is a deletion.
    pub fn is_deletion(&self) -> bool {
        matches!(self.change, Change::Deleted | Change::ContentsDeleted)
    }

    /// What it is; `None` for a deletion.
    pub fn kind(&self) -> Option<MemberKind> {
        self.facts.as_ref().map(|facts| facts.kind)
    }
}

/// Where an entry came from, and where its contents are.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Its number among the entries that a walk over the store meets, or in its layer.
    pub(super) ordinal: usize,
    pub(super) body: Body,
    /// The entry that it is another name of (number in [`Changes::entries`](super::Changes::entries)): itself, or where a hard link leads;
    /// `None` when that is not in the archive.
    pub(super) same_as: Option<usize>,
}

impl Changes<'_> {
    /// The file whose contents an entry has: itself, or where a hard link leads. Else what the entry is, or what the link leads to, if that
    /// is in the archive.
    pub(super) fn file_behind(&self, number: usize) -> Result<usize, Option<MemberKind>> {
        let entry = self.entries.get(number);
        let same_as = entry.and_then(|entry| entry.source.as_ref()?.same_as).ok_or(None)?;
        match self.entries[same_as].kind() {
            Some(MemberKind::File) => Ok(same_as),
            kind => Err(kind),
        }
    }
}

/// A few words for what an entry is, as messages need them: `a symbolic link`.
pub(super) fn described(kind: MemberKind) -> &'static str {
    match kind {
        MemberKind::File => "a regular file",
        MemberKind::Directory => "a directory",
        MemberKind::Symlink => "a symbolic link",
        MemberKind::HardLink => "a hard link",
        MemberKind::CharDevice(..) => "a character device",
        MemberKind::BlockDevice(..) => "a block device",
        MemberKind::Fifo => "a named pipe",
        MemberKind::Socket => "a socket",
        MemberKind::Other(_) => "an entry of unknown type",
    }
}
