//! Where the bytes of a segment came from, and why others are not there.

/// What stands behind a stretch of a core's memory, or why nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Source {
    /// The process's own pages in the images of the dump.
    Images,
    /// Pages in the images of a parent dump.
    Parent,
    /// Pages of a shared object in the images.
    Shared,
    /// Known to be zero: never written to, or nobody could read there (guards, `[vsyscall]`).
    Zero,
    /// A page of a file that was not written to. The core leaves it to the file.
    File,
    /// Left out by CRIU's rules, so that nothing of it is known: rings, pages for lazy restore.
    NotCaptured,
    /// What the kernel shows to all processes and CRIU never keeps: `[vvar]`, `[vsyscall]`.
    Kernel,
    /// Named by the evidence and not to be had.
    Absent,
    /// Left out on request, since the program asked for that with `MADV_DONTDUMP`.
    DontDump,
}

impl Source {
    /// The word for it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Parent => "parent",
            Self::Shared => "shared",
            Self::Zero => "zero",
            Self::File => "file",
            Self::NotCaptured => "not_captured",
            Self::Kernel => "kernel",
            Self::Absent => "absent",
            Self::DontDump => "dontdump",
        }
    }
}

/// A stretch of addresses of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// First address.
    pub(super) start: u64,
    /// Length in bytes.
    pub(super) len: u64,
    pub(super) source: Source,
    /// Whether the core has its bytes.
    pub(super) held: bool,
}

impl Stretch {
    pub(super) fn end(&self) -> u64 {
        self.start + self.len
    }
}
