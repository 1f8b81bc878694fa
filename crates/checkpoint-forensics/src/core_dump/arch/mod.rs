//! The machines whose cores are written: a table of what differs between them. A machine has a file here; nothing else knows one from another.

mod aarch64;
mod i386;
mod restart;
mod x86_64;
mod xsave;

use container_checkpoint::model::{AddressMap, Architecture, Registers, X86Mode};
use object::elf::{EM_386, EM_AARCH64, EM_X86_64, Machine as MachineNumber, NoteType};

pub(super) use restart::Calls;
pub use restart::{Restart, Sign};

/// Notes of all Unix systems.
pub(super) const CORE: &str = "CORE";
/// Notes of Linux alone.
pub(super) const LINUX: &str = "LINUX";

/// The width of a machine's words, which decides the shape of nearly everything in a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `ELFCLASS32`.
    Elf32,
    /// `ELFCLASS64`.
    Elf64,
}

/// A machine whose cores can be written.
#[derive(Debug)]
pub(super) struct Machine {
    /// As `uname -m` names it.
    pub(super) name: &'static str,
    pub(super) class: Class,
    /// `e_machine`.
    pub(super) number: MachineNumber,
    /// Bytes of a user's or group's number in `NT_PRPSINFO`.
    pub(super) user_len: usize,
    /// The general registers as `pr_reg` has them.
    pub(super) general: fn(&Registers) -> Option<Vec<u8>>,
    /// A thread's further notes, in the kernel's order.
    pub(super) sets: fn(&Registers, &AddressMap) -> Vec<RegisterNote>,
    /// What stands behind all threads, made from those of the first.
    pub(super) last: fn(&Registers) -> Option<RegisterNote>,
    /// How a call that CRIU interrupted shows; `None` where CRIU leaves registers as they were.
    pub(super) calls: Option<&'static Calls>,
}

/// A note about a thread's registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RegisterNote {
    pub(super) owner: &'static str,
    pub(super) kind: NoteType,
    pub(super) body: Vec<u8>,
}

pub(super) static X86_64: Machine = Machine {
    name: "x86_64",
    class: Class::Elf64,
    number: EM_X86_64,
    user_len: 4,
    general: x86_64::general,
    sets: x86_64::sets,
    last: xsave::layout_note,
    calls: Some(&x86_64::CALLS),
};

pub(super) static I386: Machine = Machine {
    name: "i386",
    class: Class::Elf32,
    number: EM_386,
    user_len: 2,
    general: i386::general,
    sets: i386::sets,
    last: xsave::layout_note,
    calls: Some(&i386::CALLS),
};

static AARCH64: Machine = Machine {
    name: "aarch64",
    class: Class::Elf64,
    number: EM_AARCH64,
    user_len: 4,
    general: aarch64::general,
    sets: aarch64::sets,
    last: |_| None,
    calls: None,
};

impl Machine {
    /// The machine that a thread with these registers ran on; else the name of the one that it seems to be.
    pub(super) fn of(registers: &Registers) -> Result<&'static Self, &'static str> {
        match registers {
            Registers::X86(x86) => match x86.mode {
                X86Mode::Native => Ok(&X86_64),
                X86Mode::Compat => Ok(&I386),
                X86Mode::Unknown(_) => Err("x86 (of an unknown mode)"),
            },
            Registers::Aarch64(_) => Ok(&AARCH64),
            Registers::Other(other) => Err(other.architecture.name()),
        }
    }

    /// Whether cores of an architecture can be written at all.
    pub(super) fn knows(architecture: Architecture) -> bool {
        matches!(architecture, Architecture::X86_64 | Architecture::Aarch64)
    }
}

impl Class {
    /// Bytes of a word.
    pub(super) fn word(self) -> usize {
        match self {
            Self::Elf32 => 4,
            Self::Elf64 => 8,
        }
    }

    /// Appends a word; its upper half falls away where words have 32 bits.
    pub(super) fn push(self, body: &mut Vec<u8>, value: u64) {
        body.extend_from_slice(&value.to_le_bytes()[..self.word()]);
    }

    /// The highest address, and the highest offset in a core.
    pub(super) fn highest(self) -> u64 {
        match self {
            Self::Elf32 => u64::from(u32::MAX),
            Self::Elf64 => u64::MAX,
        }
    }
}

impl RegisterNote {
    fn new(owner: &'static str, kind: NoteType, body: Vec<u8>) -> Self {
        Self { owner, kind, body }
    }
}

/// The bytes of values, one behind another.
fn words<const N: usize, T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|value| bytes(*value)).collect()
}
