//! Mappings: what CRIU's mm images say of a stretch of addresses.

use crate::object::{ObjectKind, SharedObject};
use crate::pages::Pages;
use crate::wire::Message;

// mman.h: protections and flags of mappings.
const READ: u64 = 1;
const WRITE: u64 = 2;
const EXECUTE: u64 = 4;
const SHARED: u64 = 1;
const PRIVATE: u64 = 2;
const ANONYMOUS: u64 = 0x20;
const GROWS_DOWN: u64 = 0x100;
// CRIU: what kind of mapping it is (`vma_entry.status`).
const REGULAR: u64 = 1 << 0;
const VDSO: u64 = 1 << 3;
const HEAP: u64 = 1 << 5;
const FILE_PRIVATE: u64 = 1 << 6;
const FILE_SHARED: u64 = 1 << 7;
const ANON_SHARED: u64 = 1 << 8;
const ANON_PRIVATE: u64 = 1 << 9;
const SYSVIPC: u64 = 1 << 10;
const VVAR: u64 = 1 << 12;
const MEMFD: u64 = 1 << 14;

/// What is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Anonymous,
    Heap,
    Stack,
    Vdso,
    Vvar,
    /// The process's own executable, from an offset in bytes.
    File(u64),
    /// A shared object, from an offset in bytes.
    Shared(u32, u64),
    /// The same, and what is written stays private.
    PrivateOf(u32, u64),
}

/// A mapping of a process.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub(crate) kind: Kind,
    pub(crate) start: u64,
    pub(crate) len: u64,
    protection: u64,
    /// Private pages.
    pub(crate) pages: Pages,
}

impl Mapping {
    fn new(kind: Kind, start: u64, len: u64, protection: u64) -> Self {
        Self { kind, start, len, protection, pages: Pages::default() }
    }

    /// Private anonymous memory at an address, of a length in bytes.
    pub fn anonymous(start: u64, len: u64) -> Self {
        Self::new(Kind::Anonymous, start, len, READ | WRITE)
    }

    /// The heap.
    pub fn heap(start: u64, len: u64) -> Self {
        Self::new(Kind::Heap, start, len, READ | WRITE)
    }

    /// The stack of the main thread.
    pub fn stack(start: u64, len: u64) -> Self {
        Self::new(Kind::Stack, start, len, READ | WRITE)
    }

    /// Code that the kernel maps.
    pub fn vdso(start: u64, len: u64) -> Self {
        Self::new(Kind::Vdso, start, len, READ | EXECUTE)
    }

    /// Data that the kernel maps, which no dump holds.
    pub fn vvar(start: u64, len: u64) -> Self {
        Self::new(Kind::Vvar, start, len, READ)
    }

    /// A private mapping of the process's executable, from an offset in bytes; `code` and not data.
    pub fn file(start: u64, len: u64, offset: u64, code: bool) -> Self {
        Self::new(Kind::File(offset), start, len, if code { READ | EXECUTE } else { READ | WRITE })
    }

    /// A shared mapping of the object of a number, from an offset in bytes.
    pub fn shared(start: u64, len: u64, object: u32, offset: u64) -> Self {
        Self::new(Kind::Shared(object, offset), start, len, READ | WRITE)
    }

    /// A private mapping of a memory file, from an offset in bytes: pages that were written are the mapping's own.
    pub fn private_of(start: u64, len: u64, object: u32, offset: u64) -> Self {
        Self::new(Kind::PrivateOf(object, offset), start, len, READ | WRITE)
    }

    /// The same with these private pages stored.
    #[must_use]
    pub fn with(mut self, pages: Pages) -> Self {
        self.pages = pages;
        self
    }

    /// The `vma_entry`.
    ///
    /// # Panics
    /// When it maps an object that the checkpoint does not have.
    pub(crate) fn entry(&self, executable: u64, objects: &[SharedObject]) -> Message {
        let object = |id: u32| {
            let object = objects.iter().find(|object| object.id == id);
            object.unwrap_or_else(|| panic!("there is no shared object {id}"))
        };
        let (offset, number, flags, status) = match self.kind {
            Kind::Anonymous => (0, 0, PRIVATE | ANONYMOUS, REGULAR | ANON_PRIVATE),
            Kind::Heap => (0, 0, PRIVATE | ANONYMOUS, REGULAR | ANON_PRIVATE | HEAP),
            Kind::Stack => (0, 0, PRIVATE | ANONYMOUS | GROWS_DOWN, REGULAR | ANON_PRIVATE),
            Kind::Vdso => (0, 0, PRIVATE | ANONYMOUS, REGULAR | VDSO),
            Kind::Vvar => (0, 0, PRIVATE | ANONYMOUS, REGULAR | ANON_PRIVATE | VVAR),
            Kind::File(offset) => (offset, executable, PRIVATE, REGULAR | FILE_PRIVATE),
            Kind::Shared(id, offset) => {
                let object = object(id);
                let (flags, status) = match object.kind {
                    ObjectKind::Memfd(_) => (SHARED, FILE_SHARED | MEMFD),
                    ObjectKind::Anonymous => (SHARED | ANONYMOUS, FILE_SHARED | MEMFD),
                    ObjectKind::AnonymousBefore314 => (SHARED | ANONYMOUS, ANON_SHARED),
                    ObjectKind::SysV => (SHARED, ANON_SHARED | SYSVIPC),
                };
                (offset, object.number_in_mappings(), flags, REGULAR | status)
            }
            Kind::PrivateOf(id, offset) => {
                (offset, object(id).number_in_mappings(), PRIVATE, REGULAR | FILE_PRIVATE | MEMFD)
            }
        };
        Message::new()
            .number(1, self.start)
            .number(2, self.start + self.len)
            .number(3, offset)
            .number(4, number)
            .number(5, self.protection)
            .number(6, flags)
            .number(7, status)
            .signed(8, -1)
            .number(10, 0)
    }
}
