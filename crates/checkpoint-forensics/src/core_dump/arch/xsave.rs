//! The floating-point and extended state of x86 threads, as the bodies of notes.

use container_checkpoint::model::{Registers, X86FloatingPoint, XSave};
use object::elf::NoteType;

use super::{LINUX, RegisterNote, words};

/// `NT_X86_XSAVE_LAYOUT`: where the components stand in `NT_X86_XSTATE`; kernels since 6.12 write it.
const NT_X86_XSAVE_LAYOUT: NoteType = NoteType(0x205);

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
static GROUPS: [&[Component]; 4] = [
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
    for (component, bytes) in held(xsave) {
        xcr0 |= 1 << component.number;
        area.resize(area.len().max(component.at + component.len), 0);
        area[component.at..component.at + component.len].copy_from_slice(&bytes);
    }
    area[XCR0_AT..XCR0_AT + 8].copy_from_slice(&xcr0.to_le_bytes());
    area[FXSAVE..FXSAVE + 8].copy_from_slice(&(xsave.xstate_bv & xcr0).to_le_bytes());
    Some(area)
}

/// The layout of [`xstate`]; `None` when a thread has none, or nothing but x87 and SSE.
pub(super) fn layout_note(registers: &Registers) -> Option<RegisterNote> {
    let Registers::X86(x86) = registers else { return None };
    let held = held(x86.floating.xsave.as_ref()?);
    // The last word of an entry has CPUID's flags of the component: none for those that the images hold.
    let entry = |(component, _): &(&Component, _)| {
        words(&[component.number, component.len as u32, component.at as u32, 0], u32::to_le_bytes)
    };
    let body: Vec<u8> = held.iter().flat_map(entry).collect();
    (!body.is_empty()).then(|| RegisterNote::new(LINUX, NT_X86_XSAVE_LAYOUT, body))
}

/// The components that an image holds whole, with their bytes.
fn held(xsave: &XSave) -> Vec<(&'static Component, Vec<u8>)> {
    let group = |group: &'static [Component]| {
        let held: Vec<_> = group.iter().map(|component| (component, (component.bytes)(xsave))).collect();
        let is_whole = held.iter().all(|(component, bytes)| bytes.len() == component.len);
        if is_whole { held } else { Vec::new() }
    };
    GROUPS.iter().flat_map(|components| group(components)).collect()
}

fn words32(values: &[u32]) -> Vec<u8> {
    words(values, u32::to_le_bytes)
}

fn words64(values: &[u64]) -> Vec<u8> {
    words(values, u64::to_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fxsave_has_every_field_in_its_place() {
        let area = fxsave(&floating(None)).unwrap();
        assert_eq!(area.len(), 512);
        let start = [
            0x7f, 3, 0x11, 0x22, 0xff, 0, 0x33, 4, // cwd, swd, twd, fop
            8, 7, 6, 5, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, // rip, rdp
            0x80, 0x1f, 0, 0, 0xff, 0xff, 0, 0, // mxcsr, mxcsr_mask
        ];
        assert_eq!(area[..32], start);
        assert_eq!((area[32], area[48], area[160], area[176]), (0x40, 0x44, 0x80, 0x84));
        assert_eq!((area[415], &area[412..415]), (0, &[0xbf, 0, 0][..]));
        assert!(area[416..].iter().all(|byte| *byte == 0));
    }

    /// Sizes and masks with which gdb shows all registers and no garbage.
    #[test]
    fn size_and_mask_fit_each_other() {
        let none = XSave { xstate_bv: 0x6_02ff, ..empty() };
        let avx = XSave { ymmh_space: vec![0x0201; 64], ..none.clone() };
        let mpx = XSave { bndreg_state: vec![1; 8], bndcsr_state: vec![1; 8], ..avx.clone() };
        let avx512 =
            XSave { opmask_reg: vec![5; 8], zmm_upper: vec![6; 64], hi16_zmm: vec![7; 128], ..avx.clone() };
        let pkru = XSave { pkru: vec![9; 2], ..avx512.clone() };
        let half_avx512 = XSave { hi16_zmm: vec![7; 127], ..avx512.clone() };
        let no_avx512 = XSave { pkru: vec![9; 2], ..avx.clone() };
        let cases: [(XSave, usize, u64); 7] = [
            (none, 576, 3),
            (avx, 832, 7),
            (mpx, 1088, 0x1f),
            (avx512, 2688, 0xe7),
            (pkru, 2696, 0x2e7),
            (half_avx512, 832, 7),
            (no_avx512, 2696, 0x207),
        ];
        for (xsave, len, xcr0) in cases {
            let area = xstate(&floating(Some(xsave))).unwrap();
            assert_eq!((area.len(), u64_at(&area, 464)), (len, xcr0));
            assert_eq!(u64_at(&area, 512), 0x6_02ff & xcr0, "AMX has no bytes in an image");
            assert!(area[520..576].iter().all(|byte| *byte == 0));
        }
        let full = XSave {
            pkru: vec![9; 2],
            opmask_reg: vec![5; 8],
            zmm_upper: vec![6; 64],
            hi16_zmm: vec![7; 128],
            ymmh_space: vec![0x0201; 64],
            ..empty()
        };
        let area = xstate(&floating(Some(full))).unwrap();
        assert_eq!([576, 1088, 1152, 1664, 2688].map(|at| area[at]), [1, 5, 6, 7, 9]);
    }

    #[test]
    fn what_the_image_lacks_is_not_made_up() {
        assert_eq!(xstate(&floating(None)), None, "a machine without XSAVE");
        let short = X86FloatingPoint { xmm_space: vec![0; 63], ..floating(Some(empty())) };
        assert_eq!((fxsave(&short), xstate(&short)), (None, None));
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    fn empty() -> XSave {
        XSave {
            xstate_bv: 0,
            ymmh_space: vec![],
            bndreg_state: vec![],
            bndcsr_state: vec![],
            opmask_reg: vec![],
            zmm_upper: vec![],
            hi16_zmm: vec![],
            pkru: vec![],
            shadow_stack: None,
        }
    }

    fn floating(xsave: Option<XSave>) -> X86FloatingPoint {
        X86FloatingPoint {
            cwd: 0x37f,
            swd: 0x2211,
            twd: 0xff,
            fop: 0x433,
            rip: 0x0102_0304_0506_0708,
            rdp: 0x1112_1314_1516_1718,
            mxcsr: 0x1f80,
            mxcsr_mask: 0xffff,
            st_space: (0x40..0x60).collect(),
            xmm_space: (0x80..0xc0).collect(),
            padding: vec![],
            xsave,
        }
    }
}
