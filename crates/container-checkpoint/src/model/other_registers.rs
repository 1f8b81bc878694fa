//! Registers of the architectures that have no module of their own: names and values.

use criu_images::schema::CoreEntry;

use super::architecture::Architecture;

/// Registers by name, in the order of the kernel's `NT_PRSTATUS` as far as the images hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherRegisters {
    /// The architecture.
    pub architecture: Architecture,
    /// General registers; narrower ones are extended with zeros.
    pub general: Vec<(String, u64)>,
    /// Floating-point and vector registers as 64-bit pieces in the image's order, and their control registers.
    pub floating: Vec<(String, u64)>,
    /// Thread pointer where the images have it apart from the general registers.
    pub tls: Option<u64>,
}

impl OtherRegisters {
    /// The program counter.
    pub fn program_counter(&self) -> Option<u64> {
        self.get(match self.architecture {
            Architecture::Ppc64 => "nip",
            Architecture::S390 => "psw_addr",
            Architecture::Mips => "cp0_epc",
            _ => "pc",
        })
    }

    /// The stack pointer by the platform's convention.
    pub fn stack_pointer(&self) -> Option<u64> {
        self.get(match self.architecture {
            Architecture::Ppc64 => "gpr1",
            Architecture::S390 => "gpr15",
            Architecture::Mips => "r29",
            Architecture::LoongArch64 => "r3",
            _ => "sp",
        })
    }

    /// A general register by name.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.general.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// Takes the part of a core image that belongs to the architecture; `None` when it is absent (a zombie).
pub(super) fn from_wire(core: &CoreEntry, architecture: Architecture) -> Option<OtherRegisters> {
    match architecture {
        Architecture::Arm => arm(core),
        Architecture::Ppc64 => ppc64(core),
        Architecture::S390 => s390(core),
        Architecture::Mips => mips(core),
        Architecture::LoongArch64 => loongarch64(core),
        Architecture::Riscv64 => riscv64(core),
        Architecture::X86_64 | Architecture::Aarch64 | Architecture::Unknown(_) => None,
    }
    .map(|(general, floating, tls)| OtherRegisters { architecture, general, floating, tls })
}

type Named = Vec<(String, u64)>;
type Parts = (Named, Named, Option<u64>);

fn arm(core: &CoreEntry) -> Option<Parts> {
    let info = core.ti_arm.as_ref()?;
    let r = &info.gpregs;
    let general = [
        r.r0, r.r1, r.r2, r.r3, r.r4, r.r5, r.r6, r.r7, r.r8, r.r9, r.r10, r.fp, r.ip, r.sp, r.lr, r.pc,
        r.cpsr, r.orig_r0,
    ];
    let names = "r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 fp ip sp lr pc cpsr orig_r0";
    let fp = &info.fpstate;
    let control = [fp.fpscr, fp.fpexc, fp.fpinst, fp.fpinst2].map(u64::from);
    let floating = chain(numbered("d", &fp.vfp_regs), named("fpscr fpexc fpinst fpinst2", &control));
    Some((named(names, &general.map(u64::from)), floating, Some(u64::from(info.tls))))
}

fn ppc64(core: &CoreEntry) -> Option<Parts> {
    let info = core.ti_ppc64.as_ref()?;
    let r = &info.gpregs;
    let special = [r.nip, r.msr, r.orig_gpr3, r.ctr, r.link, r.xer, r.ccr, r.trap];
    let general = chain(numbered("gpr", &r.gpr), named("nip msr orig_gpr3 ctr link xer ccr trap", &special));
    let mut floating = Vec::new();
    if let Some(fp) = &info.fpstate {
        floating.extend(numbered("f", &fp.fpregs));
    }
    if let Some(vr) = &info.vrstate {
        floating.extend(numbered("vr", &vr.vrregs));
        floating.push(("vrsave".to_owned(), u64::from(vr.vrsave)));
    }
    if let Some(vsx) = &info.vsxstate {
        floating.extend(numbered("vsx", &vsx.vsxregs));
    }
    Some((general, floating, None))
}

fn s390(core: &CoreEntry) -> Option<Parts> {
    let info = core.ti_s390.as_ref()?;
    let r = &info.gpregs;
    let acrs: Vec<u64> = r.acrs.iter().map(|value| u64::from(*value)).collect();
    let general = [
        named("psw_mask psw_addr", &[r.psw_mask, r.psw_addr]),
        numbered("gpr", &r.gprs),
        numbered("acr", &acrs),
        named("orig_gpr2 system_call", &[r.orig_gpr2, u64::from(r.system_call)]),
    ]
    .concat();
    let mut floating = chain(named("fpc", &[u64::from(info.fpregs.fpc)]), numbered("fpr", &info.fpregs.fprs));
    if let Some(low) = &info.vxrs_low {
        floating.extend(numbered("vxr_low", &low.regs));
    }
    if let Some(high) = &info.vxrs_high {
        floating.extend(numbered("vxr_high", &high.regs));
    }
    Some((general, floating, None))
}

fn mips(core: &CoreEntry) -> Option<Parts> {
    let info = core.ti_mips.as_ref()?;
    let r = &info.gpregs;
    let general = [
        r.r0, r.r1, r.r2, r.r3, r.r4, r.r5, r.r6, r.r7, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
        r.r16, r.r17, r.r18, r.r19, r.r20, r.r21, r.r22, r.r23, r.r24, r.r25, r.r26, r.r27, r.r28, r.r29,
        r.r30, r.r31,
    ];
    let special = [r.lo, r.hi, r.cp0_epc, r.cp0_badvaddr, r.cp0_status, r.cp0_cause];
    let f = &info.fpregs;
    let floating = [
        f.r0, f.r1, f.r2, f.r3, f.r4, f.r5, f.r6, f.r7, f.r8, f.r9, f.r10, f.r11, f.r12, f.r13, f.r14, f.r15,
        f.r16, f.r17, f.r18, f.r19, f.r20, f.r21, f.r22, f.r23, f.r24, f.r25, f.r26, f.r27, f.r28, f.r29,
        f.r30, f.r31,
    ];
    let control = [f.lo, f.hi, u64::from(f.fpu_fcr31), u64::from(f.fpu_id)];
    Some((
        chain(numbered("r", &general), named("lo hi cp0_epc cp0_badvaddr cp0_status cp0_cause", &special)),
        chain(numbered("f", &floating), named("fp_lo fp_hi fpu_fcr31 fpu_id", &control)),
        Some(info.tls),
    ))
}

fn loongarch64(core: &CoreEntry) -> Option<Parts> {
    let info = core.ti_loongarch64.as_ref()?;
    let general = chain(numbered("r", &info.gpregs.regs), named("pc", &[info.gpregs.pc]));
    let control = [info.fpregs.fcc, u64::from(info.fpregs.fcsr)];
    Some((general, chain(numbered("f", &info.fpregs.regs), named("fcc fcsr", &control)), Some(info.tls)))
}

fn riscv64(core: &CoreEntry) -> Option<Parts> {
    let info = core.ti_riscv64.as_ref()?;
    let r = &info.gpregs;
    let general = [
        r.pc, r.ra, r.sp, r.gp, r.tp, r.t0, r.t1, r.t2, r.s0, r.s1, r.a0, r.a1, r.a2, r.a3, r.a4, r.a5, r.a6,
        r.a7, r.s2, r.s3, r.s4, r.s5, r.s6, r.s7, r.s8, r.s9, r.s10, r.s11, r.t3, r.t4, r.t5, r.t6,
    ];
    let names = "pc ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 \
                 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6";
    let floating = chain(numbered("f", &info.fpsimd.f), named("fcsr", &[u64::from(info.fpsimd.fcsr)]));
    Some((named(names, &general), floating, Some(info.tls)))
}

/// Pairs names that stand in one text with their values.
fn named(names: &str, values: &[u64]) -> Named {
    names.split_whitespace().map(str::to_owned).zip(values.iter().copied()).collect()
}

fn numbered(prefix: &str, values: &[u64]) -> Named {
    values.iter().enumerate().map(|(n, value)| (format!("{prefix}{n}"), *value)).collect()
}

fn chain(mut first: Named, second: Named) -> Named {
    first.extend(second);
    first
}

#[cfg(test)]
mod tests {
    use criu_images::schema::{ThreadInfoRiscv64, ThreadInfoS390, UserS390RegsEntry};

    use super::*;

    #[test]
    fn each_name_has_its_value() {
        let mut info = ThreadInfoRiscv64::default();
        info.gpregs.pc = 1;
        info.gpregs.sp = 2;
        info.gpregs.t6 = 3;
        let core = CoreEntry { ti_riscv64: Some(info), ..Default::default() };
        let registers = from_wire(&core, Architecture::Riscv64).unwrap();
        assert_eq!(registers.general.len(), 32);
        assert_eq!(registers.program_counter(), Some(1));
        assert_eq!(registers.stack_pointer(), Some(2));
        assert_eq!(registers.get("t6"), Some(3));
    }

    #[test]
    fn a_short_list_yields_what_it_has() {
        let gpregs = UserS390RegsEntry { psw_addr: 9, gprs: vec![1, 2], ..Default::default() };
        let core = CoreEntry {
            ti_s390: Some(ThreadInfoS390 { gpregs, ..Default::default() }),
            ..Default::default()
        };
        let registers = from_wire(&core, Architecture::S390).unwrap();
        assert_eq!(registers.program_counter(), Some(9));
        assert_eq!(registers.get("gpr1"), Some(2));
        assert_eq!(registers.stack_pointer(), None, "no gpr15 in the image");
    }
}
