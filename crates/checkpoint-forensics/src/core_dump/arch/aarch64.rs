//! 64-bit Arm: what a thread's notes are. CRIU keeps no more of SVE and SME than the V registers show, so their notes are not made.

use container_checkpoint::model::{Aarch64Registers, AddressMap, AuxiliaryVector, Registers};
use object::elf::{NT_ARM_TLS, NT_FPREGSET, NoteType};

use super::{CORE, LINUX, RegisterNote, words};

const NT_ARM_PAC_MASK: NoteType = NoteType(0x406);
const NT_ARM_PACA_KEYS: NoteType = NoteType(0x407);
const NT_ARM_PACG_KEYS: NoteType = NoteType(0x408);
const NT_ARM_PAC_ENABLED_KEYS: NoteType = NoteType(0x40a);
const NT_ARM_GCS: NoteType = NoteType(0x410);

/// `AT_HWCAP`.
const AT_HWCAP: u64 = 16;
/// `HWCAP_PACA`: the machine signs addresses.
const HWCAP_PACA: u64 = 1 << 30;
/// Bit 55 says which half of the address space an address is of; signatures end below it.
const SIGNATURE_END: u32 = 55;

/// `user_pt_regs`.
pub(super) fn general(registers: &Registers) -> Option<Vec<u8>> {
    let Registers::Aarch64(arm) = registers else { return None };
    let mut body = words(&arm.regs, u64::to_le_bytes);
    body.extend(words(&[arm.sp, arm.pc, arm.pstate], u64::to_le_bytes));
    Some(body)
}

/// The vector registers, the thread pointer, what unsigns addresses, the shadow stack.
pub(super) fn sets(registers: &Registers, map: &AddressMap) -> Vec<RegisterNote> {
    let Registers::Aarch64(arm) = registers else { return Vec::new() };
    let mut fpsimd = words(&arm.vregs, u64::to_le_bytes);
    fpsimd.extend(words(&[arm.fpsr, arm.fpcr, 0, 0], u32::to_le_bytes));
    let mut notes = vec![
        RegisterNote::new(CORE, NT_FPREGSET, fpsimd),
        // Newer kernels add TPIDR2_EL0, which images lack: the note has its older length.
        RegisterNote::new(LINUX, NT_ARM_TLS, arm.tls.to_le_bytes().to_vec()),
    ];
    if let Some(mask) = signature_mask(arm, map) {
        notes.push(RegisterNote::new(LINUX, NT_ARM_PAC_MASK, words(&[mask, mask], u64::to_le_bytes)));
    }
    if let Some(keys) = arm.pac.and_then(|pac| pac.address) {
        let enabled = keys.enabled.to_le_bytes().to_vec();
        notes.push(RegisterNote::new(LINUX, NT_ARM_PAC_ENABLED_KEYS, enabled));
        let address = [keys.apia, keys.apib, keys.apda, keys.apdb].map(|(low, high)| [low, high]);
        notes.push(RegisterNote::new(LINUX, NT_ARM_PACA_KEYS, words(&address.concat(), u64::to_le_bytes)));
    }
    if let Some((low, high)) = arm.pac.and_then(|pac| pac.generic) {
        notes.push(RegisterNote::new(LINUX, NT_ARM_PACG_KEYS, words(&[low, high], u64::to_le_bytes)));
    }
    if let Some(stack) = arm.guarded_stack {
        // Which features are locked is not in the images; no bit says that any is.
        let body = words(&[stack.features_enabled, 0, stack.pointer], u64::to_le_bytes);
        notes.push(RegisterNote::new(LINUX, NT_ARM_GCS, body));
    }
    notes
}

/// The bits of an address that a signature may take, without which no debugger gets past a signed frame. The kernel's mask depends on the machine's
/// size of addresses, which images don't say. This one covers it (no machine's addresses are shorter than the highest one mapped) and no bit of an address that was mapped.
fn signature_mask(arm: &Aarch64Registers, map: &AddressMap) -> Option<u64> {
    let signs = match arm.pac {
        Some(pac) => pac.address.is_some(),
        // CRIU before 4.1 kept no keys.
        None => hwcap(&map.auxv) & HWCAP_PACA != 0,
    };
    let highest = map.mappings.last()?.end.0 - 1;
    let bits = u64::BITS - highest.leading_zeros();
    (signs && bits < SIGNATURE_END).then(|| (1 << SIGNATURE_END) - (1 << bits))
}

fn hwcap(auxv: &AuxiliaryVector) -> u64 {
    auxv.entries.iter().find(|(kind, _)| *kind == AT_HWCAP).map_or(0, |(_, value)| *value)
}
