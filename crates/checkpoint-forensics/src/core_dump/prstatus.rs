//! `NT_PRSTATUS`: a thread's ids, signals and general registers.

use super::arch::Class;

/// The kernel's `elf_prstatus`, as far as images can fill it. They hold no times, and no signal stopped the thread: those fields are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ThreadStatus {
    /// Its own id.
    pub(super) tid: u32,
    /// Its process's parent; 0 when that lies outside of the dump.
    pub(super) ppid: u32,
    /// The process group.
    pub(super) pgid: u32,
    /// The session.
    pub(super) sid: u32,
    /// Signals queued for the thread: bit n - 1 is signal n.
    pub(super) pending: u64,
    /// Signals that it blocks.
    pub(super) blocked: u64,
    /// As the machine's `pr_reg` has them.
    pub(super) registers: Vec<u8>,
    /// Whether an `NT_FPREGSET` follows.
    pub(super) has_floating: bool,
}

/// `pr_utime`, `pr_stime`, `pr_cutime`, `pr_cstime`, of two words each.
const TIMES: usize = 8;

impl ThreadStatus {
    /// The note's body.
    pub(super) fn bytes(&self, class: Class) -> Vec<u8> {
        let mut body = vec![0; 16]; // pr_info, pr_cursig
        class.push(&mut body, self.pending);
        class.push(&mut body, self.blocked);
        for id in [self.tid, self.ppid, self.pgid, self.sid] {
            body.extend_from_slice(&id.to_le_bytes());
        }
        body.resize(body.len() + TIMES * class.word(), 0);
        body.extend_from_slice(&self.registers);
        body.extend_from_slice(&u32::from(self.has_floating).to_le_bytes());
        body.resize(body.len().next_multiple_of(class.word()), 0);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(registers: usize) -> ThreadStatus {
        ThreadStatus {
            tid: 56,
            ppid: 1,
            pgid: 48,
            sid: 47,
            pending: 0x10_0000_0800,
            blocked: 0x10_0000_4a00,
            registers: (0..registers).map(|at| at as u8).collect(),
            has_floating: true,
        }
    }

    #[test]
    fn every_field_is_where_the_kernel_has_it() {
        // Registers in bytes; then the note's length, where registers begin, where they end.
        for (registers, len, at) in [(27 * 8, 336, 112), (34 * 8, 392, 112)] {
            let body = status(registers).bytes(Class::Elf64);
            let u32_at = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
            let u64_at = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().unwrap());
            assert_eq!(body.len(), len);
            assert_eq!([16, 24].map(u64_at), [0x10_0000_0800, 0x10_0000_4a00]);
            assert_eq!([32, 36, 40, 44].map(u32_at), [56, 1, 48, 47]);
            assert_eq!(body[at..at + registers], status(registers).registers);
            assert_eq!(u32_at(at + registers), 1);
            assert!(body[..16].iter().chain(&body[48..112]).chain(&body[len - 4..]).all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_word_of_32_bits_makes_it_shorter() {
        let body = status(17 * 4).bytes(Class::Elf32);
        assert_eq!(body.len(), 144);
        assert_eq!((body[16..24].to_vec(), body[24]), (vec![0, 8, 0, 0, 0, 0x4a, 0, 0], 56));
        assert_eq!((body[72..140].to_vec(), body[140]), (status(68).registers, 1));
    }
}
