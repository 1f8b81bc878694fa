//! Registers of a 64-bit x86 thread as the bodies of notes: `NT_FPREGSET` and `NT_X86_XSTATE`.

use container_checkpoint::model::{X86FloatingPoint, XSave};

/// Length of the FXSAVE area (`user_i387_struct`) in bytes.
pub(super) const FXSAVE: usize = 512;
/// Where FXSAVE's own fields end; behind them is room for software.
const FXSAVE_FIELDS: usize = 416;
/// Where Linux writes XCR0 in the room for software (`xstate_fx_sw_bytes.xfeatures`).
const XCR0_AT: usize = 464;
/// The XSAVE header: `xstate_bv`, `xcomp_bv`, reserved.
const XSAVE_HEADER: usize = 64;
/// x87 and SSE: the components that every image has.
const X87_SSE: u64 = 3;

/// Components that a CPU has together or not at all, in the standard format of XSAVE on Intel's CPUs. AMD's has AVX-512 and PKRU at other offsets; the
/// images hold values without offsets, and debuggers go by XCR0 and the size, which fit these.
const GROUPS: [&[Component]; 4] = [
    &[Component { number: 2, at: 576, len: 256, bytes: |x| words32(&x.ymmh_space) }],
    &[
        Component { number: 3, at: 960, len: 64, bytes: |x| words64(&x.bndreg_state) },
        Component { number: 4, at: 1024, len: 64, bytes: |x| words64(&x.bndcsr_state) },
    ],
    &[
        Component { number: 5, at: 1088, len: 64, bytes: |x| words64(&x.opmask_reg) },
        Component { number: 6, at: 1152, len: 512, bytes: |x| words64(&x.zmm_upper) },
        Component { number: 7, at: 1664, len: 1024, bytes: |x| words64(&x.hi16_zmm) },
    ],
    &[Component { number: 9, at: 2688, len: 8, bytes: |x| words32(&x.pkru) }],
];

/// A component of the extended state.
struct Component {
    /// Its bit in XCR0 and `xstate_bv`.
    number: u32,
    /// Where it begins, in bytes.
    at: usize,
    /// Its length in bytes.
    len: usize,
    /// Its bytes in an image: empty when the CPU lacked it.
    bytes: fn(&XSave) -> Vec<u8>,
}

/// The x87 and SSE registers as FXSAVE lays them out, the room for software zero. `None` when the image doesn't hold all of them.
pub(super) fn fxsave(fp: &X86FloatingPoint) -> Option<Vec<u8>> {
    if fp.st_space.len() != 32 || fp.xmm_space.len() != 64 {
        return None;
    }
    let mut area = Vec::with_capacity(FXSAVE);
    for half in [fp.cwd, fp.swd, fp.twd, fp.fop] {
        area.extend_from_slice(&half.to_le_bytes()[..2]);
    }
    area.extend_from_slice(&fp.rip.to_le_bytes());
    area.extend_from_slice(&fp.rdp.to_le_bytes());
    area.extend_from_slice(&fp.mxcsr.to_le_bytes());
    area.extend_from_slice(&fp.mxcsr_mask.to_le_bytes());
    area.extend(words32(&fp.st_space));
    area.extend(words32(&fp.xmm_space));
    debug_assert_eq!(area.len(), FXSAVE_FIELDS);
    area.resize(FXSAVE, 0);
    Some(area)
}

/// The extended state with everything that the image holds, and no more: AMX tiles are never in it. Size and XCR0 fit each other, else gdb shows garbage.
/// `None` for a machine without XSAVE.
pub(super) fn xstate(fp: &X86FloatingPoint) -> Option<Vec<u8>> {
    let xsave = fp.xsave.as_ref()?;
    let mut area = fxsave(fp)?;
    area.resize(FXSAVE + XSAVE_HEADER, 0);
    let mut xcr0 = X87_SSE;
    for group in GROUPS {
        let held: Vec<(&Component, Vec<u8>)> =
            group.iter().map(|component| (component, (component.bytes)(xsave))).collect();
        if held.iter().any(|(component, bytes)| bytes.len() != component.len) {
            continue;
        }
        for (component, bytes) in held {
            xcr0 |= 1 << component.number;
            area.resize(area.len().max(component.at + component.len), 0);
            area[component.at..component.at + component.len].copy_from_slice(&bytes);
        }
    }
    area[XCR0_AT..XCR0_AT + 8].copy_from_slice(&xcr0.to_le_bytes());
    area[FXSAVE..FXSAVE + 8].copy_from_slice(&(xsave.xstate_bv & xcr0).to_le_bytes());
    Some(area)
}

fn words32(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn words64(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
