//! Mapping evidence into memory: the only unsafe code of the house.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use memmap2::{Mmap, UncheckedAdvice};

/// How many bytes are given back at once: one call for many pages costs what the end of the process would, and no more.
const GIVEN_BACK: usize = 4 << 20;
/// What may lie between two runs of bytes that are given back together, in bytes.
const BETWEEN: usize = 1 << 20;
/// Bytes here and there are not worth a call.
const GIVEN_BACK_MIN: usize = 64 << 10;

/// A file's bytes, mapped read-only.
#[derive(Debug)]
pub struct Mapping(Option<Arc<Mapped>>);

#[derive(Debug)]
struct Mapped {
    map: Mmap,
    /// Bytes that were passed and not given back yet.
    passed: Mutex<Range<usize>>,
}

/// All that is mapped, by the address of the first byte.
static MAPPED: RwLock<BTreeMap<usize, Weak<Mapped>>> = RwLock::new(BTreeMap::new());

impl Mapping {
    fn new(map: Mmap) -> Self {
        let start = map.as_ptr().addr();
        let mapped = Arc::new(Mapped { map, passed: Mutex::default() });
        MAPPED.write().unwrap_or_else(PoisonError::into_inner).insert(start, Arc::downgrade(&mapped));
        Self(Some(mapped))
    }

    /// The bytes, as long as the file was when it was mapped.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |mapped| &mapped.map)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Some(mapped) = &self.0 {
            let start = mapped.map.as_ptr().addr();
            MAPPED.write().unwrap_or_else(PoisonError::into_inner).remove(&start);
        }
    }
}

/// Says that these bytes have been looked at and will hardly be again soon. If a mapped file lent them, the memory that they take in this process is given back, some MiB at a time;
/// who looks at them all the same reads them from the file anew. Other bytes are left alone.
///
/// Without it, all of a large archive counts as this process's memory when it was read once from the front to the end.
pub fn passed(bytes: &[u8]) {
    let start = bytes.as_ptr().addr();
    let all = MAPPED.read().unwrap_or_else(PoisonError::into_inner);
    let Some((&first, mapped)) = all.range(..=start).next_back() else { return };
    let Some(mapped) = mapped.upgrade() else { return };
    let range = start - first..(start - first).saturating_add(bytes.len());
    if range.end <= mapped.map.len() {
        mapped.pass(range);
    }
}

impl Mapped {
    fn pass(&self, range: Range<usize>) {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.start <= range.start && range.start <= passed.end.saturating_add(BETWEEN) {
            passed.end = passed.end.max(range.end);
        } else {
            let before = std::mem::replace(&mut *passed, range);
            self.give_back(before);
        }
        if passed.len() >= GIVEN_BACK {
            let end = passed.end;
            let all = std::mem::replace(&mut *passed, end..end);
            self.give_back(all);
        }
    }

    #[allow(unsafe_code)]
    fn give_back(&self, range: Range<usize>) {
        if range.len() < GIVEN_BACK_MIN {
            return;
        }
        // SAFETY: MADV_DONTNEED is unsafe for memory whose contents are nowhere else: of private and anonymous memory they would be lost. This mapping is of a file, shared and
        // read-only, so there are no contents but the file's, and nobody can have written through it. What is unmapped is read from the file at the next access, within the same `&[u8]`s:
        // they see the same bytes as before, on the condition under which `map` is sound in the first place, that nobody writes to the file or cuts it short meanwhile.
        // The range is the mapping's: `passed` has checked it, and the mapping lives as long as `self`.
        let given =
            unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        // Whether the kernel did it only shows in how much memory is taken.
        drop(given);
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
    unsafe { Mmap::map(file) }.map(Mapping::new)
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// How much of the mapping of a file is in memory, in KiB.
    fn resident(name: &str) -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let (_, behind) = maps.split_once(name).unwrap();
        let line = behind.lines().find(|line| line.starts_with("Rss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn what_was_passed_takes_no_memory_and_reads_the_same_again() {
        let mut file = tempfile::Builder::new().prefix("passed-").tempfile().unwrap();
        let contents: Vec<u8> = (0..24 << 20).map(|at: usize| (at / 4096 % 251) as u8).collect();
        file.write_all(&contents).unwrap();
        let name = file.path().to_str().unwrap().to_owned();
        let mapping = map(file.as_file()).unwrap();
        assert!(mapping.bytes() == contents);
        assert_eq!(resident(&name), 24 << 10);
        for piece in mapping.bytes().chunks(300_000) {
            passed(piece);
        }
        let left = resident(&name);
        assert!(left <= 4 << 10, "{left} KiB");
        // Far from each other, and too little: not worth a call.
        passed(&mapping.bytes()[..100]);
        assert!(mapping.bytes() == contents, "bytes that were given back are other bytes");
        passed(&mapping.bytes()[10 << 20..][..100]);
        assert_eq!(resident(&name), 24 << 10);
        // Large, and far: what was passed before is given back.
        passed(&mapping.bytes()[2 << 20..4 << 20]);
        passed(&mapping.bytes()[20 << 20..21 << 20]);
        assert_eq!(resident(&name), 22 << 10);
    }

    #[test]
    fn other_bytes_are_left_alone() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'f'; 8 << 20]).unwrap();
        let mapping = map(&file).unwrap();
        let own = vec![b'o'; 8 << 20];
        passed(&own);
        passed(&[]);
        assert!(own.iter().all(|byte| *byte == b'o'));
        drop(mapping);
        passed(&own);
        assert!(own.iter().all(|byte| *byte == b'o'));
    }
}
