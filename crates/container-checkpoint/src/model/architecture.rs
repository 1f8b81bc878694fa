//! The machine that a task ran on.

use criu_images::schema::core_entry::March;

/// The architecture of a task (`core_entry.mtype`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// x86, 64-bit kernel; the task may still be a 32-bit one.
    X86_64,
    /// 32-bit Arm.
    Arm,
    /// 64-bit Arm.
    Aarch64,
    /// 64-bit PowerPC.
    Ppc64,
    /// s390x, the only big-endian one that CRIU knows.
    S390,
    /// 64-bit MIPS.
    Mips,
    /// 64-bit LoongArch.
    LoongArch64,
    /// 64-bit RISC-V.
    Riscv64,
    /// A number that no release of CRIU up to 4.3 gives a meaning.
    Unknown(i32),
}

impl Architecture {
    pub(super) fn from_wire(mtype: i32) -> Self {
        match March::try_from(mtype) {
            Ok(March::X8664) => Self::X86_64,
            Ok(March::Arm) => Self::Arm,
            Ok(March::Aarch64) => Self::Aarch64,
            Ok(March::Ppc64) => Self::Ppc64,
            Ok(March::S390) => Self::S390,
            Ok(March::Mips) => Self::Mips,
            Ok(March::Loongarch64) => Self::LoongArch64,
            Ok(March::Riscv64) => Self::Riscv64,
            Ok(March::Unknown) | Err(_) => Self::Unknown(mtype),
        }
    }

    /// Its name as `uname -m` prints it; `unknown` when CRIU doesn't say.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm => "armv7l",
            Self::Aarch64 => "aarch64",
            Self::Ppc64 => "ppc64le",
            Self::S390 => "s390x",
            Self::Mips => "mips64",
            Self::LoongArch64 => "loongarch64",
            Self::Riscv64 => "riscv64",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The page size in bytes, on architectures that have only one.
    pub fn fixed_page_size(self) -> Option<u64> {
        match self {
            Self::X86_64 | Self::Arm | Self::S390 | Self::Riscv64 => Some(4096),
            Self::Aarch64 | Self::Ppc64 | Self::Mips | Self::LoongArch64 | Self::Unknown(_) => None,
        }
    }
}
