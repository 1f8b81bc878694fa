//! 32-bit tasks of x86 kernels: what a thread's notes are.

use container_checkpoint::model::{AddressMap, Registers, X86FloatingPoint, X86Registers};
use object::elf::{NT_386_TLS, NT_FPREGSET, NT_PRXFPREG, NT_X86_XSTATE};

use super::restart::{Calls, Instruction};
use super::{CORE, LINUX, RegisterNote, words, xsave};

/// `pr_reg` of a 32-bit task, as places in the 64-bit order that images keep.
const ORDER: [usize; 17] = [5, 11, 12, 13, 14, 4, 10, 23, 24, 25, 26, 15, 16, 17, 18, 19, 20];
/// Places of `cs` and `ds`.
const CS: usize = 17;
const DS: usize = 23;

/// As for 64 bits, with the numbers of i386. The kernel returns from `sysenter` and `syscall` behind the `int $0x80` of the vDSO.
pub(super) static CALLS: Calls = Calls {
    ax: 10,
    orig_ax: 15,
    ip: 16,
    instructions: &[Instruction { bytes: [0xcd, 0x80], marks: None }],
    no_handler: &[29, 72, 142, 179, 308, 309, 413, 414],
    restart_block: &[0, 162, 168, 240, 267, 407, 422],
    highest: 1023,
};

pub(super) fn general(registers: &Registers) -> Option<Vec<u8>> {
    let Registers::X86(x86) = registers else { return None };
    Some(words(&ORDER.map(|place| x86.general[place] as u32), u32::to_le_bytes))
}

/// x87, FXSAVE area, extended state, thread areas.
pub(super) fn sets(registers: &Registers, _: &AddressMap) -> Vec<RegisterNote> {
    let Registers::X86(x86) = registers else { return Vec::new() };
    let floating = &x86.floating;
    let mut notes = Vec::new();
    if let (Some(x87), Some(area)) = (fsave(x86), xsave::fxsave(floating)) {
        notes.push(RegisterNote::new(CORE, NT_FPREGSET, x87));
        notes.push(RegisterNote::new(LINUX, NT_PRXFPREG, area));
    }
    notes.extend(xsave::xstate(floating).map(|area| RegisterNote::new(LINUX, NT_X86_XSTATE, area)));
    if !x86.tls.is_empty() {
        let areas = x86.tls.iter().map(|area| [area.entry_number, area.base, area.limit, area.flags]);
        let body = areas.flat_map(|area| words(&area, u32::to_le_bytes)).collect();
        notes.push(RegisterNote::new(LINUX, NT_386_TLS, body));
    }
    notes
}

/// The x87 registers as `fsave` lays them out, by the kernel's conversion: a 64-bit kernel doesn't know the selectors of the last instruction
/// and operand, and shows those of the task.
fn fsave(x86: &X86Registers) -> Option<Vec<u8>> {
    let fp = &x86.floating;
    if fp.st_space.len() != 32 {
        return None;
    }
    const UPPER: u32 = 0xffff_0000;
    let control = [
        fp.cwd & 0xffff | UPPER,
        fp.swd & 0xffff | UPPER,
        tags(fp) | UPPER,
        fp.rip as u32,
        x86.general[CS] as u32,
        fp.rdp as u32,
        x86.general[DS] as u32 & 0xffff | UPPER,
    ];
    let mut body = words(&control, u32::to_le_bytes);
    // A register has 10 bytes here, and 16 in FXSAVE.
    for register in fp.st_space.chunks_exact(4) {
        body.extend(&words(register, u32::to_le_bytes)[..10]);
    }
    Some(body)
}

/// The tag word with two bits a register, which FXSAVE abridges to one: empty or not.
fn tags(fp: &X86FloatingPoint) -> u32 {
    const VALID: u32 = 0;
    const ZERO: u32 = 1;
    const SPECIAL: u32 = 2;
    const EMPTY: u32 = 3;
    let top = fp.swd >> 11 & 7;
    let tag = |number: u32| {
        if fp.twd >> number & 1 == 0 {
            return EMPTY;
        }
        // Registers are stored from the top of the stack on, tags by number.
        let at = (number.wrapping_sub(top) & 7) as usize * 4;
        let [low, high, exponent] = [fp.st_space[at], fp.st_space[at + 1], fp.st_space[at + 2] & 0x7fff];
        match exponent {
            0 if low | high == 0 => ZERO,
            0 | 0x7fff => SPECIAL,
            _ if high >> 31 == 1 => VALID,
            _ => SPECIAL,
        }
    };
    (0..8).map(|number| tag(number) << (2 * number)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_spelled_out() {
        let mut fp = X86FloatingPoint {
            cwd: 0x37f,
            swd: 6 << 11,
            twd: 0b1111_0000,
            fop: 0,
            rip: 0,
            rdp: 0,
            mxcsr: 0,
            mxcsr_mask: 0,
            st_space: vec![0; 32],
            xmm_space: vec![0; 64],
            padding: Vec::new(),
            xsave: None,
        };
        // Number 6 is the top: stored first. It is 1.0; 7 is zero; 4 is infinite, 5 a denormal.
        fp.st_space[1] = 1 << 31;
        fp.st_space[2] = 0x3fff;
        fp.st_space[6 * 4 + 2] = 0x7fff;
        fp.st_space[7 * 4] = 1;
        assert_eq!(tags(&fp), 0b01_00_10_10_11_11_11_11);
    }
}
