//! 64-bit x86: what a thread's notes are.

use container_checkpoint::model::{AddressMap, Registers};
use object::elf::{NT_FPREGSET, NT_X86_XSTATE, NoteType};

use super::restart::{Calls, Instruction};
use super::{CORE, LINUX, RegisterNote, words, xsave};

/// `NT_X86_SHSTK`: the shadow-stack pointer.
const NT_X86_SHSTK: NoteType = NoteType(0x204);

/// Where CRIU's fix-up shows, and by which numbers the calls go that return something else than `-ERESTARTSYS`.
pub(super) static CALLS: Calls = Calls {
    ax: 10,
    orig_ax: 15,
    ip: 16,
    instructions: &[Instruction { bytes: [0x0f, 0x05], marks: Some([11, 6, 18]) }],
    no_handler: &[23, 34, 130, 270, 271],
    restart_block: &[7, 35, 202, 219, 230],
    highest: 1023,
};

/// `user_regs_struct`.
pub(super) fn general(registers: &Registers) -> Option<Vec<u8>> {
    let Registers::X86(x86) = registers else { return None };
    Some(words(&x86.general, u64::to_le_bytes))
}

/// Floating point, extended state, shadow stack.
pub(super) fn sets(registers: &Registers, _: &AddressMap) -> Vec<RegisterNote> {
    let Registers::X86(x86) = registers else { return Vec::new() };
    let floating = &x86.floating;
    let stack = floating.xsave.as_ref().and_then(|xsave| xsave.shadow_stack);
    let notes = [
        xsave::fxsave(floating).map(|area| RegisterNote::new(CORE, NT_FPREGSET, area)),
        xsave::xstate(floating).map(|area| RegisterNote::new(LINUX, NT_X86_XSTATE, area)),
        stack.map(|stack| RegisterNote::new(LINUX, NT_X86_SHSTK, stack.pointer.to_le_bytes().to_vec())),
    ];
    notes.into_iter().flatten().collect()
}
