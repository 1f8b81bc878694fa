//! Signals: names, sets, what is queued, what is done about them.

use criu_images::schema::{SaEntry, SiginfoEntry};

use super::architecture::Architecture;
use crate::ids::{Pid, VirtualAddress};

/// Names of the signals 1 to 31 on all architectures of CRIU but MIPS, without `SIG`.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Names of the signals 1 to 31 on MIPS.
const NAMES_MIPS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "EMT", "FPE", "KILL", "BUS", "SEGV", "SYS", "PIPE", "ALRM",
    "TERM", "USR1", "USR2", "CHLD", "PWR", "WINCH", "URG", "IO", "STOP", "TSTP", "CONT", "TTIN", "TTOU",
    "VTALRM", "PROF", "XCPU", "XFSZ",
];

/// The first real-time signal of the kernel. (The C library keeps the first two or three for itself.)
const FIRST_REALTIME: u32 = 32;

/// Names a signal as `kill -l` would: `SIGTERM`, `SIGRTMIN+3` (counted from the kernel's 32); a number if there is none.
pub fn signal_name(signal: u32, architecture: Architecture) -> String {
    let names = if architecture == Architecture::Mips { &NAMES_MIPS } else { &NAMES };
    let last = if architecture == Architecture::Mips { 127 } else { 64 };
    let index = signal.checked_sub(1).and_then(|index| usize::try_from(index).ok());
    match index.and_then(|index| names.get(index)) {
        Some(name) => format!("SIG{name}"),
        None if signal == FIRST_REALTIME => "SIGRTMIN".to_owned(),
        None if (FIRST_REALTIME..=last).contains(&signal) => format!("SIGRTMIN+{}", signal - FIRST_REALTIME),
        None => signal.to_string(),
    }
}

/// A set of the signals 1 to 128: bit n - 1 is signal n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet {
    /// Signals 1 to 64.
    pub low: u64,
    /// Signals 65 to 128, which only MIPS has.
    pub high: u64,
}

impl SignalSet {
    pub(super) fn new(low: u64, high: Option<u64>) -> Self {
        Self { low, high: high.unwrap_or(0) }
    }

    /// Whether the signal is in the set.
    pub fn contains(self, signal: u32) -> bool {
        match signal {
            1..=64 => self.low >> (signal - 1) & 1 == 1,
            65..=128 => self.high >> (signal - 65) & 1 == 1,
            _ => false,
        }
    }

    /// The signals of the set, ascending.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (1..=128).filter(move |signal| self.contains(*signal))
    }

    /// Whether no signal is in the set.
    pub fn is_empty(self) -> bool {
        self.low == 0 && self.high == 0
    }
}

/// A queued signal (`siginfo_entry`): the kernel's `siginfo_t`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingSignal {
    /// The signal's number.
    pub signal: u32,
    /// `si_code`: 0 is kill(2), -1 sigqueue(3), -6 tgkill(2), 0x80 the kernel.
    pub code: i32,
    /// `si_errno`.
    pub errno: i32,
    /// Who sent it, and as which user, for signals that a process sent.
    pub sender: Option<(Pid, u32)>,
    /// All bytes of the `siginfo_t`, in the byte order of the machine (128 of them).
    pub raw: Vec<u8>,
}

/// `si_code` of kill(2), sigqueue(3), tgkill(2): the codes with a sender.
const SENT_BY_A_PROCESS: [i32; 3] = [0, -1, -6];

impl PendingSignal {
    /// `Err` with a reason when the bytes are too few for a `siginfo_t`.
    pub(super) fn from_wire(
        entry: &SiginfoEntry,
        architecture: Architecture,
        big_endian: bool,
    ) -> Result<Self, String> {
        let raw = &entry.siginfo;
        let word = |offset: usize| {
            let bytes = raw.get(offset..).and_then(|rest| rest.first_chunk::<4>());
            bytes
                .map(|bytes| if big_endian { i32::from_be_bytes(*bytes) } else { i32::from_le_bytes(*bytes) })
        };
        // MIPS has si_code before si_errno; 32-bit machines have no padding before the union.
        let (code_at, errno_at) = if architecture == Architecture::Mips { (4, 8) } else { (8, 4) };
        let union_at = if architecture == Architecture::Arm { 12 } else { 16 };
        let short = || format!("a siginfo of {} bytes", raw.len());
        let signal = word(0).ok_or_else(short)?;
        let code = word(code_at).ok_or_else(short)?;
        let errno = word(errno_at).ok_or_else(short)?;
        let sender = match (word(union_at), word(union_at + 4)) {
            (Some(pid), Some(uid)) if SENT_BY_A_PROCESS.contains(&code) => {
                Some((Pid(pid.cast_unsigned()), uid.cast_unsigned()))
            }
            _ => None,
        };
        let signal = u32::try_from(signal).map_err(|_| format!("signal number {signal}"))?;
        Ok(Self { signal, code, errno, sender, raw: raw.clone() })
    }
}

/// What a task does at a signal (`sa_entry`, the kernel's `sigaction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalAction {
    /// The signal's number.
    pub signal: u32,
    /// Address of the handler; 0 stands for the default, 1 for ignoring it.
    pub handler: VirtualAddress,
    /// `SA_*`.
    pub flags: u64,
    /// Address of the code that returns from the handler.
    pub restorer: VirtualAddress,
    /// What is blocked while the handler runs.
    pub mask: SignalSet,
    /// Whether a 32-bit task set it.
    pub compat: bool,
}

impl SignalAction {
    /// Takes the actions, which stand in the order of the signals without SIGKILL and SIGSTOP (these can't have one).
    pub(super) fn from_wire(entries: &[SaEntry], architecture: Architecture) -> Vec<Self> {
        let stop = if architecture == Architecture::Mips { 23 } else { 19 };
        let signals = (1..=128).filter(|signal| *signal != 9 && *signal != stop);
        let action = |(signal, sa): (u32, &SaEntry)| Self {
            signal,
            handler: VirtualAddress(sa.sigaction),
            flags: sa.flags,
            restorer: VirtualAddress(sa.restorer),
            mask: SignalSet::new(sa.mask, sa.mask_extended),
            compat: sa.compat_sigaction == Some(true),
        };
        signals.zip(entries).map(action).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_named_by_their_architecture() {
        assert_eq!(signal_name(9, Architecture::X86_64), "SIGKILL");
        assert_eq!(signal_name(31, Architecture::Aarch64), "SIGSYS");
        assert_eq!(signal_name(16, Architecture::Mips), "SIGUSR1");
        assert_eq!(signal_name(32, Architecture::X86_64), "SIGRTMIN");
        assert_eq!(signal_name(64, Architecture::X86_64), "SIGRTMIN+32");
        assert_eq!(signal_name(65, Architecture::X86_64), "65");
        assert_eq!(signal_name(0, Architecture::X86_64), "0");
    }

    #[test]
    fn a_set_counts_from_signal_one() {
        let set = SignalSet::new(1 | 1 << 63, Some(1));
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 64, 65]);
        assert!(!set.contains(0) && !set.contains(129));
    }

    #[test]
    fn a_queued_signal_tells_its_sender() {
        // SIGUSR1 by tgkill(2) of pid 57, as the images have it.
        let mut siginfo = vec![0; 128];
        siginfo[..12].copy_from_slice(b"\x0a\0\0\0\0\0\0\0\xfa\xff\xff\xff");
        siginfo[16] = 57;
        let entry = SiginfoEntry { siginfo: siginfo.clone() };
        let pending = PendingSignal::from_wire(&entry, Architecture::X86_64, false).unwrap();
        assert_eq!((pending.signal, pending.code), (10, -6));
        assert_eq!(pending.sender, Some((Pid(57), 0)));

        // The same bytes of a timer have no sender: what stands there is the timer's id.
        siginfo[8..12].copy_from_slice(&(-2_i32).to_le_bytes());
        let entry = SiginfoEntry { siginfo };
        assert_eq!(PendingSignal::from_wire(&entry, Architecture::X86_64, false).unwrap().sender, None);
        let cut = SiginfoEntry { siginfo: vec![1; 11] };
        assert_eq!(
            PendingSignal::from_wire(&cut, Architecture::X86_64, false),
            Err("a siginfo of 11 bytes".to_owned())
        );
    }

    #[test]
    fn actions_skip_the_signals_that_cannot_have_one() {
        let entries = vec![SaEntry::default(); 62];
        let actions = SignalAction::from_wire(&entries, Architecture::X86_64);
        let signals: Vec<u32> = actions.iter().map(|action| action.signal).collect();
        assert_eq!(signals.len(), 62);
        assert_eq!((signals[7], signals[8], signals[17], signals[61]), (8, 10, 20, 64));
    }
}
