//! Mapping evidence into memory: the only unsafe code of the house.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file's bytes, mapped read-only.
#[derive(Debug)]
pub struct Mapping(Option<memmap2::Mmap>);

impl Mapping {
    /// The bytes, as long as the file was when it was mapped.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// Maps a whole file.
///
/// # Errors
/// What the system says; a file of 0 bytes is no error.
#[allow(unsafe_code)]
pub fn map(file: &File) -> io::Result<Mapping> {
    if file.metadata()?.len() == 0 {
        return Ok(Mapping(None)); // the kernel refuses to map nothing
    }
    // SAFETY: a `&[u8]` promises that its bytes neither change nor vanish. We map read-only and never
    // write, so nothing in this process breaks that. Another process could: writing to the file changes bytes that we
    // have read (every length and offset is checked on the value that was read, and no invariant of ours rests on two
    // reads being equal, so the worst is a wrong answer about evidence that was changed while it was examined), and
    // truncating it makes later accesses end in SIGBUS (the process dies; no memory is corrupted). Evidence has to be
    // still while it is examined; the user's guide says so.
    unsafe { memmap2::Mmap::map(file) }.map(|mapping| Mapping(Some(mapping)))
}

/// Opens a regular file without following a link in its last component.
///
/// # Errors
/// What the system says, and when the path is no regular file any more.
pub(crate) fn open_regular_file(path: &Path) -> io::Result<File> {
    // fcntl.h: O_NOFOLLOW differs between architectures. O_NONBLOCK: a FIFO put in the file's place must not hang us.
    const O_NOFOLLOW: i32 =
        if cfg!(any(target_arch = "aarch64", target_arch = "arm")) { 0o100000 } else { 0o400000 };
    const O_NONBLOCK: i32 = 0o4000;
    let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file any more"));
    }
    Ok(file)
}
