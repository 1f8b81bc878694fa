//! The registers of a thread, as far as the images hold them.

use criu_images::schema::CoreEntry;

use super::aarch64::Aarch64Registers;
use super::architecture::Architecture;
use super::other_registers::{self, OtherRegisters};
use super::x86::X86Registers;
use crate::gap::Field;

/// All that a core image holds of a thread's registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registers {
    /// x86, 64-bit and 32-bit tasks.
    X86(Box<X86Registers>),
    /// 64-bit Arm.
    Aarch64(Box<Aarch64Registers>),
    /// All other architectures: names and values.
    Other(Box<OtherRegisters>),
}

impl Registers {
    /// Takes the registers out of a core image: the part that belongs to its `mtype`.
    pub(super) fn from_wire(core: &CoreEntry) -> Field<Self> {
        let architecture = Architecture::from_wire(core.mtype);
        let decoded = match architecture {
            Architecture::X86_64 => {
                core.thread_info.as_ref().map(|info| Ok(Self::X86(Box::new(X86Registers::from_wire(info)))))
            }
            Architecture::Aarch64 => core
                .ti_aarch64
                .as_ref()
                .map(|info| Aarch64Registers::from_wire(info).map(|r| Self::Aarch64(Box::new(r)))),
            Architecture::Unknown(number) => {
                return Field::Unparsable(format!("mtype {number} is no architecture that CRIU knows"));
            }
            _ => other_registers::from_wire(core, architecture).map(|r| Ok(Self::Other(Box::new(r)))),
        };
        match decoded {
            Some(Ok(registers)) => Field::Known(registers),
            Some(Err(why)) => Field::Unparsable(why),
            None => Field::NotCaptured,
        }
    }

    /// The architecture that they belong to.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::X86(_) => Architecture::X86_64,
            Self::Aarch64(_) => Architecture::Aarch64,
            Self::Other(other) => other.architecture,
        }
    }

    /// The general registers with their names in CRIU's spelling, in the order of the kernel's `NT_PRSTATUS`.
    pub fn general(&self) -> Vec<(String, u64)> {
        match self {
            Self::X86(x86) => X86Registers::NAMES
                .iter()
                .zip(x86.general)
                .map(|(name, value)| ((*name).to_owned(), value))
                .collect(),
            Self::Aarch64(arm) => arm.general(),
            Self::Other(other) => other.general.clone(),
        }
    }

    /// The address of the instruction that comes next; `None` for an architecture whose register of that name is unknown.
    pub fn program_counter(&self) -> Option<u64> {
        match self {
            Self::X86(x86) => Some(x86.get("ip")?),
            Self::Aarch64(arm) => Some(arm.pc),
            Self::Other(other) => other.program_counter(),
        }
    }

    /// The stack pointer; `None` for an architecture whose register of that name is unknown.
    pub fn stack_pointer(&self) -> Option<u64> {
        match self {
            Self::X86(x86) => Some(x86.get("sp")?),
            Self::Aarch64(arm) => Some(arm.sp),
            Self::Other(other) => other.stack_pointer(),
        }
    }
}
