//! Registers of a 64-bit Arm thread.

use criu_images::schema::{PacAddressKeys, PacKeys, ThreadInfoAarch64};

/// Registers of a 64-bit Arm thread (`thread_info_aarch64`). Of SVE and SME CRIU keeps only what the V registers show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aarch64Registers {
    /// x0 to x30.
    pub regs: [u64; 31],
    /// Stack pointer.
    pub sp: u64,
    /// Program counter.
    pub pc: u64,
    /// Processor state.
    pub pstate: u64,
    /// Thread pointer, TPIDR_EL0.
    pub tls: u64,
    /// V0 to V31, low half first: `vregs[2 * n]` is the low half of Vn.
    pub vregs: [u64; 64],
    /// Floating-point status.
    pub fpsr: u32,
    /// Floating-point control.
    pub fpcr: u32,
    /// Pointer-authentication keys; `None` in images by CRIU before 4.1.
    pub pac: Option<PointerAuthentication>,
    /// Guarded control stack; `None` when the thread has none (images by CRIU before 4.3 never say).
    pub guarded_stack: Option<GuardedControlStack>,
}

/// Pointer-authentication keys of a process (`pac_keys`): secrets, enough to forge signatures.
/// Both parts are absent on a CPU without pointer authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointerAuthentication {
    /// The four address keys.
    pub address: Option<AddressKeys>,
    /// The generic key: low and high half.
    pub generic: Option<(u64, u64)>,
}

/// Keys that sign addresses; each is low and high half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressKeys {
    /// Instruction key A.
    pub apia: (u64, u64),
    /// Instruction key B.
    pub apib: (u64, u64),
    /// Data key A.
    pub apda: (u64, u64),
    /// Data key B.
    pub apdb: (u64, u64),
    /// Which keys are enabled: bits of `PR_PAC_AP*KEY`.
    pub enabled: u64,
}

/// Guarded control stack, that is the shadow stack (`user_aarch64_gcs_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardedControlStack {
    /// GCSPR_EL0: address of the newest return address.
    pub pointer: u64,
    /// Features that are switched on.
    pub features_enabled: u64,
}

impl Aarch64Registers {
    /// Fails with a reason when the lists haven't the lengths that the architecture has.
    pub(super) fn from_wire(info: &ThreadInfoAarch64) -> Result<Self, String> {
        Ok(Self {
            regs: exactly("regs", &info.gpregs.regs)?,
            sp: info.gpregs.sp,
            pc: info.gpregs.pc,
            pstate: info.gpregs.pstate,
            tls: info.tls,
            vregs: exactly("vregs", &info.fpsimd.vregs)?,
            fpsr: info.fpsimd.fpsr,
            fpcr: info.fpsimd.fpcr,
            pac: info.pac_keys.as_ref().map(PointerAuthentication::from_wire),
            guarded_stack: info.gcs.as_ref().map(|gcs| GuardedControlStack {
                pointer: gcs.gcspr_el0,
                features_enabled: gcs.features_enabled,
            }),
        })
    }

    /// Names and values in the order of the kernel's `user_pt_regs`.
    pub(super) fn general(&self) -> Vec<(String, u64)> {
        let numbered = self.regs.iter().enumerate().map(|(n, value)| (format!("x{n}"), *value));
        let named = [("sp", self.sp), ("pc", self.pc), ("pstate", self.pstate)];
        numbered.chain(named.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    /// The bytes of V`index` (0 to 31).
    pub fn vector(&self, index: usize) -> Option<[u8; 16]> {
        let [low, high] = self.vregs.get(index.checked_mul(2)?..)?.first_chunk::<2>()?;
        Some((u128::from(*high) << 64 | u128::from(*low)).to_le_bytes())
    }
}

impl PointerAuthentication {
    fn from_wire(keys: &PacKeys) -> Self {
        Self {
            address: keys.pac_address_keys.as_ref().map(AddressKeys::from_wire),
            generic: keys.pac_generic_keys.as_ref().map(|k| (k.apgakey_lo, k.apgakey_hi)),
        }
    }
}

impl AddressKeys {
    fn from_wire(k: &PacAddressKeys) -> Self {
        Self {
            apia: (k.apiakey_lo, k.apiakey_hi),
            apib: (k.apibkey_lo, k.apibkey_hi),
            apda: (k.apdakey_lo, k.apdakey_hi),
            apdb: (k.apdbkey_lo, k.apdbkey_hi),
            enabled: k.pac_enabled_key,
        }
    }
}

fn exactly<const N: usize>(name: &str, values: &[u64]) -> Result<[u64; N], String> {
    values
        .try_into()
        .map_err(|_| format!("{} values of {name}, where the architecture has {N}", values.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_the_wrong_length_is_refused_not_padded() {
        let mut info = ThreadInfoAarch64::default();
        info.gpregs.regs = vec![0; 30];
        info.fpsimd.vregs = vec![0; 64];
        let why = Aarch64Registers::from_wire(&info).unwrap_err();
        assert_eq!(why, "30 values of regs, where the architecture has 31");
    }

    #[test]
    fn a_cpu_without_pointer_authentication_has_an_empty_message() {
        let mut info = ThreadInfoAarch64::default();
        info.gpregs.regs = vec![7; 31];
        info.fpsimd.vregs = (0..64).collect();
        info.pac_keys = Some(PacKeys::default());
        let registers = Aarch64Registers::from_wire(&info).unwrap();
        assert_eq!(registers.pac, Some(PointerAuthentication { address: None, generic: None }));
        assert_eq!(registers.vector(31).unwrap()[..9], [62, 0, 0, 0, 0, 0, 0, 0, 63]);
        assert_eq!(registers.vector(32), None);
        assert_eq!(registers.general().len(), 34);
    }
}
