//! Registers of an x86 thread: general, x87, SSE, AVX and what else XSAVE knows.

use criu_images::schema::{
    ThreadInfoX86, UserDescT, UserX86FpregsEntry, UserX86RegsEntry, UserX86RegsMode, UserX86XsaveEntry,
};

/// How the task ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum X86Mode {
    /// A 64-bit task. Images before CRIU 3.0 don't say and can hold no other.
    Native,
    /// A 32-bit task on a 64-bit kernel: r8 to r15, fs_base and gs_base are 0 and mean nothing.
    Compat,
    /// A number without a meaning.
    Unknown(i32),
}

/// Registers of an x86 thread (`thread_info_x86`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X86Registers {
    /// 64-bit or 32-bit.
    pub mode: X86Mode,
    /// The general registers in the order of the kernel's `user_regs_struct`; [`X86Registers::NAMES`] names them.
    /// `ip`, `ax` of a thread in a system call are as CRIU left them: rewound for a restart.
    pub general: [u64; 27],
    /// x87, SSE and the extended state.
    pub floating: X86FloatingPoint,
    /// Segment descriptors 12 to 14 of the thread's GDT, that is the 32-bit thread areas.
    pub tls: Vec<SegmentDescriptor>,
}

/// x87 and SSE state (`user_x86_fpregs_entry`), with the values as they stand in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X86FloatingPoint {
    /// x87 control word; 16 bits.
    pub cwd: u32,
    /// x87 status word; 16 bits.
    pub swd: u32,
    /// x87 tag word in the abridged form of FXSAVE; 8 bits.
    pub twd: u32,
    /// Last x87 opcode; 11 bits.
    pub fop: u32,
    /// Address of the last x87 instruction.
    pub rip: u64,
    /// Address of the last x87 operand.
    pub rdp: u64,
    /// SSE control and status.
    pub mxcsr: u32,
    /// The bits that `mxcsr` may have on the CPU.
    pub mxcsr_mask: u32,
    /// ST0 to ST7, 16 bytes each as four little-endian words (32 words).
    pub st_space: Vec<u32>,
    /// XMM0 to XMM15, 16 bytes each as four little-endian words (64 words).
    pub xmm_space: Vec<u32>,
    /// The rest of the FXSAVE area, when the image has it.
    pub padding: Vec<u32>,
    /// What XSAVE adds; `None` when the dumping machine had no XSAVE.
    pub xsave: Option<XSave>,
}

/// Extended state (`user_x86_xsave_entry`): each list is the memory image of its component, empty when the CPU lacked it.
/// AMX tiles are never kept by CRIU, whatever `xstate_bv` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XSave {
    /// Which components are not in their initial state, one bit each.
    pub xstate_bv: u64,
    /// Upper halves of YMM0 to YMM15 (component 2; 64 words).
    pub ymmh_space: Vec<u32>,
    /// MPX bounds (component 3).
    pub bndreg_state: Vec<u64>,
    /// MPX configuration (component 4).
    pub bndcsr_state: Vec<u64>,
    /// K0 to K7 (component 5).
    pub opmask_reg: Vec<u64>,
    /// Upper 256 bits of ZMM0 to ZMM15 (component 6; 64 values).
    pub zmm_upper: Vec<u64>,
    /// ZMM16 to ZMM31 (component 7; 128 values).
    pub hi16_zmm: Vec<u64>,
    /// Protection keys (component 9).
    pub pkru: Vec<u32>,
    /// Shadow stack; `None` when the thread has none (images of CRIU 4.0 and later).
    pub shadow_stack: Option<ShadowStack>,
}

/// Shadow-stack state (`user_x86_cet_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShadowStack {
    /// `MSR_IA32_U_CET`.
    pub control: u64,
    /// Shadow-stack pointer, an address.
    pub pointer: u64,
}

/// A segment descriptor (the kernel's `user_desc`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentDescriptor {
    /// Index in the GDT.
    pub entry_number: u32,
    /// Base address.
    pub base: u32,
    /// Limit, in bytes or pages.
    pub limit: u32,
    /// The flags as the kernel packs them: seg_32bit 1, contents 2 and 4, read_exec_only 8, limit_in_pages 16,
    /// seg_not_present 32, usable 64.
    pub flags: u32,
}

impl X86Registers {
    /// Names of the general registers in CRIU's spelling (`ax` is rax or eax), in the order of `user_regs_struct`.
    pub const NAMES: [&'static str; 27] = [
        "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di",
        "orig_ax", "ip", "cs", "flags", "sp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
    ];

    pub(super) fn from_wire(info: &ThreadInfoX86) -> Self {
        let mode = match info.gpregs.mode {
            None => X86Mode::Native,
            Some(number) => match UserX86RegsMode::try_from(number) {
                Ok(UserX86RegsMode::Native) => X86Mode::Native,
                Ok(UserX86RegsMode::Compat) => X86Mode::Compat,
                Err(_) => X86Mode::Unknown(number),
            },
        };
        Self {
            mode,
            general: general(&info.gpregs),
            floating: X86FloatingPoint::from_wire(&info.fpregs),
            tls: info.tls.iter().map(SegmentDescriptor::from_wire).collect(),
        }
    }

    /// A general register by its name in [`X86Registers::NAMES`].
    pub fn get(&self, name: &str) -> Option<u64> {
        let index = Self::NAMES.iter().position(|known| *known == name)?;
        self.general.get(index).copied()
    }
}

impl X86FloatingPoint {
    fn from_wire(fp: &UserX86FpregsEntry) -> Self {
        Self {
            cwd: fp.cwd,
            swd: fp.swd,
            twd: fp.twd,
            fop: fp.fop,
            rip: fp.rip,
            rdp: fp.rdp,
            mxcsr: fp.mxcsr,
            mxcsr_mask: fp.mxcsr_mask,
            st_space: fp.st_space.clone(),
            xmm_space: fp.xmm_space.clone(),
            padding: fp.padding.clone(),
            xsave: fp.xsave.as_ref().map(XSave::from_wire),
        }
    }

    /// The bytes of XMM`index` (0 to 15); `None` when the image holds fewer registers.
    pub fn xmm(&self, index: usize) -> Option<[u8; 16]> {
        let words = self.xmm_space.get(index.checked_mul(4)?..)?.first_chunk::<4>()?;
        let mut bytes = [0; 16];
        for (piece, word) in bytes.chunks_exact_mut(4).zip(words) {
            piece.copy_from_slice(&word.to_le_bytes());
        }
        Some(bytes)
    }
}

impl XSave {
    fn from_wire(xsave: &UserX86XsaveEntry) -> Self {
        Self {
            xstate_bv: xsave.xstate_bv,
            ymmh_space: xsave.ymmh_space.clone(),
            bndreg_state: xsave.bndreg_state.clone(),
            bndcsr_state: xsave.bndcsr_state.clone(),
            opmask_reg: xsave.opmask_reg.clone(),
            zmm_upper: xsave.zmm_upper.clone(),
            hi16_zmm: xsave.hi16_zmm.clone(),
            pkru: xsave.pkru.clone(),
            shadow_stack: xsave.cet.as_ref().map(|cet| ShadowStack { control: cet.cet, pointer: cet.ssp }),
        }
    }
}

impl SegmentDescriptor {
    fn from_wire(wire: &UserDescT) -> Self {
        let flags = [
            wire.seg_32bit,
            wire.contents_l,
            wire.contents_h,
            wire.read_exec_only,
            wire.limit_in_pages,
            wire.seg_not_present,
            wire.usable,
        ];
        Self {
            entry_number: wire.entry_number,
            base: wire.base_addr,
            limit: wire.limit,
            flags: flags.iter().enumerate().map(|(bit, set)| u32::from(*set) << bit).sum(),
        }
    }

    /// Whether the descriptor is in use.
    pub fn is_usable(&self) -> bool {
        self.flags & 0x40 != 0
    }
}

fn general(r: &UserX86RegsEntry) -> [u64; 27] {
    [
        r.r15, r.r14, r.r13, r.r12, r.bp, r.bx, r.r11, r.r10, r.r9, r.r8, r.ax, r.cx, r.dx, r.si, r.di,
        r.orig_ax, r.ip, r.cs, r.flags, r.sp, r.ss, r.fs_base, r.gs_base, r.ds, r.es, r.fs, r.gs,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_packs_its_flags_as_the_kernel_does() {
        // The two values that cores of 32-bit tasks show: a used thread area and an empty one.
        let used = UserDescT { seg_32bit: true, limit_in_pages: true, usable: true, ..empty_descriptor() };
        assert_eq!(SegmentDescriptor::from_wire(&used).flags, 0x51);
        let empty = UserDescT { read_exec_only: true, seg_not_present: true, ..empty_descriptor() };
        assert_eq!(SegmentDescriptor::from_wire(&empty).flags, 0x28);
        assert!(!SegmentDescriptor::from_wire(&empty).is_usable());
    }

    #[test]
    fn xmm_registers_are_cut_out_of_the_words_and_nothing_is_made_up() {
        let fp = UserX86FpregsEntry { xmm_space: vec![1, 0, 0, 0x0403_0201, 5, 6, 7], ..Default::default() };
        let fp = X86FloatingPoint::from_wire(&fp);
        assert_eq!(fp.xmm(0), Some([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]));
        assert_eq!(fp.xmm(1), None, "three of its four words");
        assert_eq!(fp.xmm(usize::MAX), None);
    }

    #[test]
    fn general_registers_are_in_the_order_of_user_regs_struct() {
        let info = ThreadInfoX86 {
            gpregs: UserX86RegsEntry {
                r15: 1,
                orig_ax: 2,
                ip: 3,
                sp: 4,
                gs: 5,
                mode: Some(2),
                ..Default::default()
            },
            ..Default::default()
        };
        let registers = X86Registers::from_wire(&info);
        assert_eq!(registers.mode, X86Mode::Compat);
        assert_eq!([0, 15, 16, 19, 26].map(|i| registers.general[i]), [1, 2, 3, 4, 5]);
        assert_eq!(registers.get("ip"), Some(3));
        assert_eq!(registers.get("rip"), None);
    }

    fn empty_descriptor() -> UserDescT {
        UserDescT {
            entry_number: 12,
            base_addr: 0,
            limit: 0,
            seg_32bit: false,
            contents_h: false,
            contents_l: false,
            read_exec_only: false,
            limit_in_pages: false,
            seg_not_present: false,
            usable: false,
        }
    }
}
