//! System calls that CRIU interrupted. The kernel leaves `-ERESTART…` in the register of results, and debuggers of the living process show it so; CRIU sets the
//! thread back before the call, or lets it end in `-EINTR`. That is told, and can be taken back as far as it can be guessed.

use container_checkpoint::ids::Pid;
use container_checkpoint::model::{Registers, X86Registers};

/// How a machine's interrupted calls show.
#[derive(Debug)]
pub(in super::super) struct Calls {
    /// Places of registers in [`X86Registers::general`].
    pub(super) ax: usize,
    pub(super) orig_ax: usize,
    pub(super) ip: usize,
    /// The instructions that make a call: two bytes each.
    pub(super) instructions: &'static [Instruction],
    /// Calls that are restarted only where no handler ran: `-ERESTARTNOHAND`.
    pub(super) no_handler: &'static [u64],
    /// Calls that go on where they were: `-ERESTART_RESTARTBLOCK`.
    pub(super) restart_block: &'static [u64],
    /// The highest number of a call.
    pub(super) highest: u64,
}

/// An instruction that makes a system call.
#[derive(Debug)]
pub(super) struct Instruction {
    pub(super) bytes: [u8; 2],
    /// Where it leaves the address behind it, where it leaves the flags, and where the flags are: they speak for it when the code itself is not known.
    pub(super) marks: Option<[usize; 3]>,
}

const LEN: u64 = 2;
const EINTR: u64 = -4_i64 as u64;
const ERESTARTSYS: i64 = -512;
const ERESTARTNOHAND: i64 = -514;
const ERESTART_RESTARTBLOCK: i64 = -516;

/// A thread that was in a system call, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// The thread.
    pub tid: Pid,
    /// The number of the call.
    pub call: u64,
    /// What shows it.
    pub sign: Sign,
    /// Whether CRIU set the program counter back to the instruction; else it put `-EINTR` in the place of the result.
    pub was_set_back: bool,
    /// What the kernel most likely returned: `-ERESTARTSYS` and its kin.
    pub result: i64,
}

/// What shows that a thread was in a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The instruction stands in the code.
    Instruction,
    /// The code is not in the evidence; the registers that the instruction sets have its values.
    Registers,
    /// The code is not in the evidence, and the machine's instruction sets no registers: the number of the call and the result alone show it.
    Result,
}

impl Restart {
    /// The name of what the kernel most likely returned.
    pub fn result_name(&self) -> &'static str {
        match self.result {
            ERESTARTNOHAND => "ERESTARTNOHAND",
            ERESTART_RESTARTBLOCK => "ERESTART_RESTARTBLOCK",
            _ => "ERESTARTSYS",
        }
    }
}

impl Sign {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Instruction => "instruction",
            Self::Registers => "registers",
            Self::Result => "result",
        }
    }
}

impl Calls {
    /// Addresses whose code decides: the program counter, and the instruction before it.
    pub(in super::super) fn places(&self, registers: &Registers) -> Option<[u64; 2]> {
        let Registers::X86(x86) = registers else { return None };
        let ip = x86.general[self.ip];
        Some([ip, ip.wrapping_sub(LEN)])
    }

    /// What CRIU did to a thread. `code` gives two bytes of code, where they are known.
    pub(in super::super) fn interrupted(
        &self,
        tid: Pid,
        registers: &Registers,
        code: impl Fn(u64) -> Option<[u8; 2]>,
    ) -> Option<Restart> {
        let Registers::X86(x86) = registers else { return None };
        let [ax, call, ip] = [self.ax, self.orig_ax, self.ip].map(|place| x86.general[place]);
        if call > self.highest {
            return None;
        }
        let sign = |at: u64| self.sign(x86, at, code(at));
        if ax == call {
            let result = if self.no_handler.contains(&call) { ERESTARTNOHAND } else { ERESTARTSYS };
            let sign = sign(ip)?;
            return Some(Restart { tid, call, sign, was_set_back: true, result });
        }
        // A 32-bit task's registers have 32 bits.
        let is_interrupted = ax == EINTR || ax == EINTR & 0xffff_ffff;
        if is_interrupted && self.restart_block.contains(&call) {
            let (sign, result) = (sign(ip.wrapping_sub(LEN))?, ERESTART_RESTARTBLOCK);
            return Some(Restart { tid, call, sign, was_set_back: false, result });
        }
        None
    }

    /// Whether a call's instruction stands at an address.
    fn sign(&self, x86: &X86Registers, at: u64, code: Option<[u8; 2]>) -> Option<Sign> {
        self.instructions.iter().find_map(|instruction| match (code, instruction.marks) {
            (Some(code), _) => (code == instruction.bytes).then_some(Sign::Instruction),
            (None, Some(marks)) => {
                let [next, kept, flags] = marks.map(|place| x86.general[place]);
                (next == at.wrapping_add(LEN) && kept == flags).then_some(Sign::Registers)
            }
            (None, None) => Some(Sign::Result),
        })
    }

    /// The registers as a debugger of the living process showed them.
    pub(in super::super) fn taken_back(&self, registers: &Registers, restart: &Restart) -> Registers {
        let Registers::X86(x86) = registers else { return registers.clone() };
        let mut x86 = x86.clone();
        x86.general[self.ax] = restart.result.cast_unsigned();
        if restart.was_set_back {
            x86.general[self.ip] = x86.general[self.ip].wrapping_add(LEN);
        }
        Registers::X86(x86)
    }
}

#[cfg(test)]
mod tests {
    use container_checkpoint::model::{X86FloatingPoint, X86Mode};

    use super::super::x86_64::CALLS;
    use super::*;

    const FUTEX: u64 = 202;
    const PAUSE: u64 = 34;
    const READ: u64 = 0;

    fn thread(ax: u64, call: u64, ip: u64) -> Registers {
        let floating = X86FloatingPoint {
            cwd: 0,
            swd: 0,
            twd: 0,
            fop: 0,
            rip: 0,
            rdp: 0,
            mxcsr: 0,
            mxcsr_mask: 0,
            st_space: Vec::new(),
            xmm_space: Vec::new(),
            padding: Vec::new(),
            xsave: None,
        };
        let mut general = [0; 27];
        (general[10], general[15], general[16], general[18]) = (ax, call, ip, 0x246);
        let tls = Vec::new();
        Registers::X86(Box::new(X86Registers { mode: X86Mode::Native, general, floating, tls }))
    }

    fn marked(registers: Registers, next: u64) -> Registers {
        let Registers::X86(mut x86) = registers else { unreachable!() };
        (x86.general[11], x86.general[6]) = (next, 0x246);
        Registers::X86(x86)
    }

    fn found(registers: &Registers, code: Option<[u8; 2]>) -> Option<(i64, bool, Sign)> {
        let restart = CALLS.interrupted(Pid(1), registers, |_| code)?;
        let after = CALLS.taken_back(registers, &restart);
        let (Registers::X86(before), Registers::X86(after)) = (registers, after) else { unreachable!() };
        let moved = 2 * u64::from(restart.was_set_back);
        assert_eq!(after.general[16], before.general[16] + moved);
        assert_eq!(after.general[10], restart.result.cast_unsigned());
        Some((restart.result, restart.was_set_back, restart.sign))
    }

    #[test]
    fn code_decides_where_it_is_known() {
        let (syscall, other) = (Some([0x0f, 0x05]), Some([0x90, 0x90]));
        let waiting = thread(FUTEX, FUTEX, 0x1000);
        assert_eq!(found(&waiting, syscall), Some((-512, true, Sign::Instruction)));
        assert_eq!(found(&waiting, other), None);
        assert_eq!(found(&marked(waiting.clone(), 0x1002), other), None, "a result that looks like a call");
        assert_eq!(found(&waiting, None), None);
        assert_eq!(found(&marked(waiting, 0x1002), None), Some((-512, true, Sign::Registers)));
        assert_eq!(found(&thread(PAUSE, PAUSE, 0x1000), syscall), Some((-514, true, Sign::Instruction)));
    }

    #[test]
    fn a_call_that_goes_on_where_it_was_shows_as_interrupted() {
        let waiting = thread(EINTR, FUTEX, 0x1002);
        assert_eq!(found(&marked(waiting.clone(), 0x1002), None), Some((-516, false, Sign::Registers)));
        assert_eq!(found(&waiting, Some([0x0f, 0x05])), Some((-516, false, Sign::Instruction)));
        assert_eq!(found(&thread(EINTR, READ, 0x1002), Some([0x0f, 0x05])), None, "a true EINTR");
    }

    #[test]
    fn who_was_in_no_call_is_left_alone() {
        let none = u64::MAX;
        assert_eq!(found(&thread(none, none, 0x1000), Some([0x0f, 0x05])), None);
    }
}
