//! `NT_PRSTATUS`: a thread's ids, signals and general registers.

/// The kernel's `elf_prstatus` of a 64-bit x86 task, as far as images can fill it. They hold no times, and no signal stopped the thread: those fields are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// In the order of `user_regs_struct`.
    pub(super) registers: [u64; 27],
    /// Whether an `NT_FPREGSET` follows.
    pub(super) has_floating: bool,
}

/// Length of `elf_prstatus` in bytes.
pub(super) const LEN: usize = 336;

impl ThreadStatus {
    /// The note's body.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut body = vec![0; 16]; // pr_info, pr_cursig
        body.extend_from_slice(&self.pending.to_le_bytes());
        body.extend_from_slice(&self.blocked.to_le_bytes());
        for id in [self.tid, self.ppid, self.pgid, self.sid] {
            body.extend_from_slice(&id.to_le_bytes());
        }
        body.resize(body.len() + 64, 0); // pr_utime, pr_stime, pr_cutime, pr_cstime
        body.extend(self.registers.iter().flat_map(|register| register.to_le_bytes()));
        body.extend_from_slice(&u32::from(self.has_floating).to_le_bytes());
        body.resize(LEN, 0);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_the_kernel_has_it() {
        let status = ThreadStatus {
            tid: 56,
            ppid: 1,
            pgid: 48,
            sid: 47,
            pending: 0x10_0000_0800,
            blocked: 0x10_0000_4a00,
            registers: std::array::from_fn(|number| 0x1000 + number as u64),
            has_floating: true,
        };
        let body = status.bytes();
        let u32_at = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
        let u64_at = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().unwrap());
        assert_eq!(body.len(), 336);
        assert_eq!([16, 24].map(u64_at), [0x10_0000_0800, 0x10_0000_4a00]);
        assert_eq!([32, 36, 40, 44].map(u32_at), [56, 1, 48, 47]);
        assert_eq!([112, 192, 240, 320].map(u64_at), [0x1000, 0x100a, 0x1010, 0x101a]);
        assert_eq!(u32_at(328), 1);
        assert!(body[..16].iter().chain(&body[48..112]).chain(&body[332..]).all(|byte| *byte == 0));
    }
}
