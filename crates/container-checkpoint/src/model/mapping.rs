//! One mapping of an address space: range, protection, and what is behind it.

use std::fmt;

use criu_images::schema::VmaEntry;

use super::layout::MemoryLayout;
use crate::ids::{FileId, VirtualAddress};

/// Bits of `vma_entry.status`, CRIU's `VMA_*`.
pub mod status {
    /// The content is dumped and restored.
    pub const REGULAR: u32 = 1;
    /// The main stack, in old images.
    pub const STACK: u32 = 1 << 1;
    /// `[vsyscall]`.
    pub const VSYSCALL: u32 = 1 << 2;
    /// `[vdso]`.
    pub const VDSO: u32 = 1 << 3;
    /// The heap of brk(2).
    pub const HEAP: u32 = 1 << 5;
    /// A file, private.
    pub const FILE_PRIVATE: u32 = 1 << 6;
    /// A file, shared.
    pub const FILE_SHARED: u32 = 1 << 7;
    /// Shared memory without a file.
    pub const ANON_SHARED: u32 = 1 << 8;
    /// Private memory without a file.
    pub const ANON_PRIVATE: u32 = 1 << 9;
    /// A segment of shmget(2).
    pub const SYSVIPC: u32 = 1 << 10;
    /// The ring of a packet socket.
    pub const SOCKET: u32 = 1 << 11;
    /// `[vvar]`.
    pub const VVAR: u32 = 1 << 12;
    /// The ring of io_setup(2).
    pub const AIORING: u32 = 1 << 13;
    /// A memory file.
    pub const MEMFD: u32 = 1 << 14;
    /// A shadow stack.
    pub const SHSTK: u32 = 1 << 15;
    /// A guard region inside another mapping (CRIU 4.2 and later).
    pub const GUARD: u32 = 1 << 16;
    /// `[uprobes]` (CRIU 4.2 and later).
    pub const UPROBES: u32 = 1 << 17;
    /// A plugin's mapping.
    pub const EXT_PLUGIN: u32 = 1 << 27;
}

/// `PROT_*` of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection(pub u32);

impl Protection {
    /// Whether it can be read.
    pub fn is_readable(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether it can be written.
    pub fn is_writable(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether it can be executed.
    pub fn is_executable(self) -> bool {
        self.0 & 4 != 0
    }
}

impl fmt::Display for Protection {
    /// Three characters: `rw-`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |set, letter| if set { letter } else { "-" };
        f.write_str(mark(self.is_readable(), "r"))?;
        f.write_str(mark(self.is_writable(), "w"))?;
        f.write_str(mark(self.is_executable(), "x"))
    }
}

/// What is behind a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingKind {
    /// The heap of brk(2); older kernels (6.1 among them) call the bss area so too.
    Heap,
    /// The stack of the main thread.
    Stack,
    /// The kernel's code for user space.
    Vdso,
    /// The kernel's data for user space; its content is never dumped.
    Vvar,
    /// The old system-call page; its content is never dumped.
    Vsyscall,
    /// The kernel's trampolines for probes.
    Uprobes,
    /// Private memory without a file.
    AnonymousPrivate,
    /// Shared memory without a file and without a name. CRIU since 3.14 dumps it as a memory file called `/dev/zero`.
    AnonymousShared,
    /// A file, private: written pages are in the dump, the others in the file.
    FilePrivate,
    /// A file, shared: its content is in the file alone.
    FileShared,
    /// A file of memfd_create(2), shared or private.
    Memfd,
    /// A segment of shmget(2).
    SysV,
    /// The ring of a packet socket.
    PacketRing,
    /// The ring of io_setup(2).
    AioRing,
    /// A shadow stack (x86, or the guarded control stack of Arm).
    ShadowStack,
    /// A guard region (`MADV_GUARD_INSTALL`) inside another mapping.
    Guard,
    /// Restored by a plugin of CRIU, such as GPU memory.
    Plugin,
    /// None of CRIU's bits that say what it is.
    Unknown,
}

/// The words for the kinds, in messages, in JSON and as users write them.
const NAMES: [(MappingKind, &str); 18] = [
    (MappingKind::Heap, "heap"),
    (MappingKind::Stack, "stack"),
    (MappingKind::Vdso, "vdso"),
    (MappingKind::Vvar, "vvar"),
    (MappingKind::Vsyscall, "vsyscall"),
    (MappingKind::Uprobes, "uprobes"),
    (MappingKind::AnonymousPrivate, "anonymous"),
    (MappingKind::AnonymousShared, "shared"),
    (MappingKind::FilePrivate, "file"),
    (MappingKind::FileShared, "shared file"),
    (MappingKind::Memfd, "memfd"),
    (MappingKind::SysV, "sysv"),
    (MappingKind::PacketRing, "packet ring"),
    (MappingKind::AioRing, "aio ring"),
    (MappingKind::ShadowStack, "shadow stack"),
    (MappingKind::Guard, "guard"),
    (MappingKind::Plugin, "plugin"),
    (MappingKind::Unknown, "unknown"),
];

impl MappingKind {
    /// The word for it: `heap`, `shared file`.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(kind, _)| *kind == self).map_or("unknown", |(_, name)| name)
    }

    /// The kind with this word.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, it)| *it == name).map(|(kind, _)| *kind)
    }

    /// All kinds, in the order of their definition.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(kind, _)| *kind)
    }
}

/// Permissions that a mapping should have: each is asked for, forbidden, or either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions(Vec<u8>);

impl Permissions {
    /// Reads `rwx` or `rwxp` as in `/proc/PID/maps`, with `.` for either. `None` for any other text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        const LETTERS: [&[u8]; 4] = [b"r-.", b"w-.", b"x-.", b"ps."];
        let fits = text.iter().zip(LETTERS).all(|(letter, allowed)| allowed.contains(letter));
        (fits && (3..=4).contains(&text.len())).then(|| Self(text.to_vec()))
    }

    /// Whether a mapping has them.
    pub fn allow(&self, mapping: &Mapping) -> bool {
        let found = mapping.permissions();
        self.0.iter().zip(found.as_bytes()).all(|(wanted, found)| *wanted == b'.' || wanted == found)
    }
}

/// The kinds that one bit of the status decides, the telling bits first.
const KINDS: [(u32, MappingKind); 14] = [
    (status::GUARD, MappingKind::Guard),
    (status::VSYSCALL, MappingKind::Vsyscall),
    (status::VDSO, MappingKind::Vdso),
    (status::VVAR, MappingKind::Vvar),
    (status::UPROBES, MappingKind::Uprobes),
    (status::SHSTK, MappingKind::ShadowStack),
    (status::AIORING, MappingKind::AioRing),
    (status::SOCKET, MappingKind::PacketRing),
    (status::EXT_PLUGIN, MappingKind::Plugin),
    (status::SYSVIPC, MappingKind::SysV),
    (status::MEMFD, MappingKind::Memfd),
    (status::FILE_PRIVATE, MappingKind::FilePrivate),
    (status::FILE_SHARED, MappingKind::FileShared),
    (status::ANON_SHARED, MappingKind::AnonymousShared),
];

/// `MAP_SHARED`; part of `MAP_SHARED_VALIDATE` too.
const MAP_SHARED: u32 = 1;

/// A mapping (`vma_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First byte.
    pub start: VirtualAddress,
    /// The byte after the last one; always above `start`.
    pub end: VirtualAddress,
    /// Where it starts in its file or shared object, in bytes (`pgoff`, which is no count of pages in images).
    pub offset: u64,
    /// `PROT_*`.
    pub protection: Protection,
    /// `MAP_*`, in the numbering of the dumped architecture.
    pub flags: u32,
    /// CRIU's status bits; [`status`] names them.
    pub status: u32,
    /// What the status says it is: id of a file, of a shared object, of a SysV segment, of a packet socket. 0 can be a valid id.
    pub shmid: u64,
    /// Bit n: `madvise(2)` with advice n was given.
    pub madvise: u64,
    /// How the file was opened, `O_*`, for mappings of files and shared objects (CRIU 1.3 and later).
    pub open_flags: Option<u32>,
    /// What is behind it.
    pub kind: MappingKind,
    /// The file in the table of files: of a mapped file, memory file or packet socket.
    pub file: Option<FileId>,
}

impl Mapping {
    /// Fails with a reason for a range that is none.
    pub(super) fn from_wire(vma: &VmaEntry, layout: Option<&MemoryLayout>) -> Result<Self, String> {
        if vma.start >= vma.end {
            return Err(format!("a mapping from {:#x} to {:#x}", vma.start, vma.end));
        }
        let with_file = status::FILE_PRIVATE | status::FILE_SHARED | status::SOCKET;
        let file = match u32::try_from(vma.shmid) {
            _ if vma.status & with_file == 0 => None,
            Ok(id) => Some(FileId(id)),
            Err(_) => return Err(format!("the mapping at {:#x} names file {}", vma.start, vma.shmid)),
        };
        Ok(Self {
            start: VirtualAddress(vma.start),
            end: VirtualAddress(vma.end),
            offset: vma.pgoff,
            protection: Protection(vma.prot),
            flags: vma.flags,
            status: vma.status,
            shmid: vma.shmid,
            madvise: vma.madv.unwrap_or(0),
            open_flags: vma.fdflags,
            kind: kind(vma, layout),
            file,
        })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Never: a mapping has at least one byte.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: VirtualAddress) -> bool {
        self.start <= address && address < self.end
    }

    /// Whether writes are seen by others (`MAP_SHARED`).
    pub fn is_shared(&self) -> bool {
        self.flags & MAP_SHARED != 0
    }

    /// Whether all bits of a status are set.
    pub fn has_status(&self, bits: u32) -> bool {
        self.status & bits == bits
    }

    /// Whether this advice was given with madvise(2): 16 is `MADV_DONTDUMP`, 18 `MADV_WIPEONFORK`.
    pub fn was_advised(&self, advice: u32) -> bool {
        self.madvise.checked_shr(advice).is_some_and(|bits| bits & 1 == 1)
    }

    /// Four characters as in `/proc/PID/maps`: `rw-p`, `r--s`.
    pub fn permissions(&self) -> String {
        format!("{}{}", self.protection, if self.is_shared() { 's' } else { 'p' })
    }
}

fn kind(vma: &VmaEntry, layout: Option<&MemoryLayout>) -> MappingKind {
    if let Some((_, kind)) = KINDS.iter().find(|(bit, _)| vma.status & bit != 0) {
        return *kind;
    }
    // The kernel calls the mapping [stack] that the first stack pointer lies in, whatever its flags are.
    let holds_stack = layout.is_some_and(|layout| (vma.start..vma.end).contains(&layout.start_stack.0));
    if vma.status & status::HEAP != 0 {
        MappingKind::Heap
    } else if vma.status & status::STACK != 0 || (vma.status & status::ANON_PRIVATE != 0 && holds_stack) {
        MappingKind::Stack
    } else if vma.status & status::ANON_PRIVATE != 0 {
        MappingKind::AnonymousPrivate
    } else {
        MappingKind::Unknown
    }
}

#[cfg(test)]
mod tests {
    use criu_images::schema::MmEntry;

    use super::*;

    #[test]
    fn bits_of_the_status_decide_the_kind() {
        let cases = [
            (0x221, MappingKind::Heap),
            (0x201, MappingKind::AnonymousPrivate),
            (0x41, MappingKind::FilePrivate),
            (0x81, MappingKind::FileShared),
            (0x4081, MappingKind::Memfd),
            (0x4041, MappingKind::Memfd),
            (0x501, MappingKind::SysV),
            (0x101, MappingKind::AnonymousShared),
            (0x1201, MappingKind::Vvar),
            (0x209, MappingKind::Vdso),
            (4, MappingKind::Vsyscall),
            (0x2000, MappingKind::AioRing),
            (0x881, MappingKind::PacketRing),
            (0x8201, MappingKind::ShadowStack),
            (0x10000, MappingKind::Guard),
            (0x203, MappingKind::Stack),
            (0x40041, MappingKind::FilePrivate),
            (1, MappingKind::Unknown),
        ];
        for (status, kind) in cases {
            let mapping = Mapping::from_wire(&vma(status), None).unwrap();
            assert_eq!(mapping.kind, kind, "{status:#x}");
        }
    }

    #[test]
    fn the_stack_is_where_the_first_stack_pointer_lies() {
        let layout = MemoryLayout::from_wire(&MmEntry { mm_start_stack: 0x1800, ..Default::default() });
        assert_eq!(Mapping::from_wire(&vma(0x201), Some(&layout)).unwrap().kind, MappingKind::Stack);
        let layout = MemoryLayout::from_wire(&MmEntry { mm_start_stack: 0x2000, ..Default::default() });
        assert_eq!(
            Mapping::from_wire(&vma(0x201), Some(&layout)).unwrap().kind,
            MappingKind::AnonymousPrivate
        );
    }

    #[test]
    fn a_range_that_is_none_and_a_file_that_cannot_be_are_refused() {
        let empty = VmaEntry { end: 0x1000, ..vma(0x201) };
        assert_eq!(Mapping::from_wire(&empty, None).unwrap_err(), "a mapping from 0x1000 to 0x1000");
        let far = VmaEntry { shmid: 1 << 40, ..vma(0x41) };
        assert!(Mapping::from_wire(&far, None).is_err());
        // The same number is fine where it is no file's.
        assert_eq!(Mapping::from_wire(&VmaEntry { shmid: 1 << 40, ..vma(0x101) }, None).unwrap().file, None);
    }

    #[test]
    fn permissions_read_as_in_proc() {
        let shared = Mapping::from_wire(&VmaEntry { prot: 3, flags: 1, ..vma(0x81) }, None).unwrap();
        assert_eq!(shared.permissions(), "rw-s");
        let private =
            Mapping::from_wire(&VmaEntry { prot: 5, flags: 2, madv: Some(1 << 16), ..vma(0x41) }, None);
        let private = private.unwrap();
        assert_eq!(private.permissions(), "r-xp");
        assert!(private.was_advised(16) && !private.was_advised(15) && !private.was_advised(64));
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        for kind in MappingKind::all() {
            assert_eq!(MappingKind::named(kind.name()), Some(kind));
        }
        let names: std::collections::BTreeSet<_> = MappingKind::all().map(MappingKind::name).collect();
        assert_eq!(names.len(), NAMES.len());
    }

    #[test]
    fn permissions_are_asked_for_letter_by_letter() {
        let mapping = Mapping::from_wire(&VmaEntry { prot: 5, flags: 2, ..vma(0x41) }, None).unwrap();
        for (text, fits) in
            [("r-x", true), ("r-xp", true), ("..x", true), ("r-xs", false), (".w.", false), ("....", true)]
        {
            assert_eq!(Permissions::parse(text.as_bytes()).unwrap().allow(&mapping), fits, "{text}");
        }
        for text in ["", "rw", "rwxpp", "xwr", "rwz"] {
            assert_eq!(Permissions::parse(text.as_bytes()), None, "{text}");
        }
    }

    fn vma(status: u32) -> VmaEntry {
        VmaEntry { start: 0x1000, end: 0x2000, status, flags: 2, fd: -1, ..Default::default() }
    }
}
