//! Registers against what debuggers saw of the same threads.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::*;
use super::corpus::{corpus, member, unpack_one};
use crate::ids::Pid;

#[test]
fn registers_of_64_bit_arm_are_those_that_gdb_saw() {
    let Some(folder) = corpus().map(|folder| folder.join("cases/aarch64")) else { return };
    let cases = [
        ("01-looper-4k-max", true, false, 4096),
        ("01-looper-4k-a72", false, false, 4096),
        ("01-looper-16k-max", true, false, 16384),
        ("02-threads-4k-max", true, false, 4096),
        ("02-threads-16k-max", true, false, 16384),
        ("03-threads-gcs-4k-max", true, true, 4096),
        ("07-high-4k-max", true, false, 4096),
    ];
    for (case, signs, has_shadow_stack, page_size) in cases {
        let archive = folder.join(format!("{case}.tar.zst"));
        let (model, findings) = Model::load(&unpack_one(&archive));
        assert!(findings.gaps.is_empty(), "{case}: {:#?}", findings.gaps);
        let facts: Value = serde_json::from_slice(&member(&archive, "/facts.json")).unwrap();
        let process = model.processes.iter().next().unwrap();
        assert_eq!(process.page_size(), Field::Known(page_size), "{case}");
        let live = facts["gdb"]["threads"].as_array().unwrap();
        assert_eq!(process.threads.len(), live.len(), "{case}");
        for live in live {
            let tid = live["tid"].as_u64().unwrap() as u32;
            let thread = process.thread(Pid(tid)).unwrap();
            assert_eq!(
                facts["comm"][tid.to_string()],
                *String::from_utf8_lossy(thread.command.known().unwrap())
            );
            let Some(Registers::Aarch64(arm)) = thread.registers.known() else { panic!("{case} {tid}") };
            compare_arm(&format!("{case} {tid}"), arm, &live["registers"]);
            assert_eq!(arm.pac.unwrap().address.is_some(), signs, "{case}");
            assert_eq!(arm.guarded_stack.is_some(), has_shadow_stack, "{case}");
        }
    }
}

fn compare_arm(which: &str, arm: &Aarch64Registers, live: &Value) {
    for (n, value) in arm.regs.iter().enumerate() {
        let live = hex(&live[format!("x{n}")]);
        // gdb's attaching interrupted a nanosleep, which then goes on as restart_syscall(2).
        let restarted = n == 8 && *value == 128 && live == 115;
        assert!(*value == live || restarted, "{which} x{n}: {value:#x}, {live:#x}");
    }
    assert_eq!(arm.sp, hex(&live["sp"]), "{which}");
    assert_eq!(arm.pc, hex(&live["pc"]), "{which}");
    assert_eq!(arm.pstate, hex(&live["cpsr"]), "{which}");
    for n in 0..32 {
        let live = live[format!("z{n}")].as_str().or_else(|| live[format!("v{n}")].as_str()).unwrap();
        let vector: String = arm.vector(n).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(live.strip_prefix("le:").unwrap().starts_with(&vector), "{which} v{n}: {vector}, {live}");
    }
}

#[test]
fn registers_of_x86_are_those_that_ptrace_saw() {
    let Some(folder) = corpus().map(|folder| folder.join("cases/core")) else { return };
    let mut compared = 0;
    for case in ["01-simple", "01-static", "02-threads", "03-shm", "04-tree", "05-python", "06-redis"] {
        let archive = folder.join(format!("{case}.tar.zst"));
        let mut directories = super::corpus::unpack(&archive);
        let (model, findings) = Model::load(&directories.remove(&format!("{case}/images")).unwrap());
        assert!(findings.gaps.is_empty(), "{case}: {:#?}", findings.gaps);
        let facts: Value = serde_json::from_slice(&member(&archive, "/facts.json")).unwrap();
        for (pid, facts) in facts["processes"].as_object().unwrap() {
            let process = model.processes.get(Pid(pid.parse().unwrap())).unwrap();
            for (tid, live) in facts["registers_ptrace"].as_object().unwrap() {
                let thread = process.thread(Pid(tid.parse().unwrap())).unwrap();
                let Some(Registers::X86(x86)) = thread.registers.known() else { panic!("{case} {tid}") };
                compare_x86(&format!("{case} {tid}"), x86, live);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 28);
}

/// CRIU rewinds a thread that it stopped in a system call: ip goes back by 2 and ax is the call's number again, or -4.
fn compare_x86(which: &str, x86: &X86Registers, live: &Value) {
    let live_names: BTreeMap<&str, &str> = [("rflags", "eflags")].into();
    let gp = live["gp"].as_object().unwrap();
    let value = |name: &str| {
        let names =
            [name.to_owned(), format!("r{name}"), format!("e{name}"), name.replace("orig_", "orig_r")];
        names.iter().find_map(|name| gp.get(*live_names.get(&**name).unwrap_or(&&**name))).map(hex)
    };
    let in_call = value("orig_ax") != Some(u64::MAX);
    for (name, model) in X86Registers::NAMES.iter().zip(x86.general) {
        let live = value(name).unwrap_or_else(|| panic!("{which}: no {name} in {gp:?}"));
        let rewound = in_call && matches!(*name, "ax" | "ip");
        assert!(model == live || rewound, "{which} {name}: {model:#x}, {live:#x}");
    }

    // The extended state, where the layout of an Intel machine has it.
    let state = &live["xstate"];
    let mut area = unhex(state["hex_without_trailing_zeros"].as_str().unwrap());
    area.resize(2696, 0);
    let fp = &x86.floating;
    let xsave = fp.xsave.as_ref().unwrap();
    let words = |values: &[u32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let longs = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let parts = [
        (0, (fp.cwd as u16).to_le_bytes().to_vec()),
        (2, (fp.swd as u16).to_le_bytes().to_vec()),
        (6, (fp.fop as u16).to_le_bytes().to_vec()),
        (8, longs(&[fp.rip, fp.rdp])),
        (24, words(&[fp.mxcsr, fp.mxcsr_mask])),
        (32, words(&fp.st_space)),
        (160, words(&fp.xmm_space)),
        (512, longs(&[xsave.xstate_bv])),
        (576, words(&xsave.ymmh_space)),
        (1088, longs(&xsave.opmask_reg)),
        (1152, longs(&xsave.zmm_upper)),
        (1664, longs(&xsave.hi16_zmm)),
    ];
    for (offset, bytes) in parts {
        assert_eq!(bytes, area[offset..offset + bytes.len()], "{which}, extended state at {offset}");
    }
    assert_eq!((fp.st_space.len(), fp.xmm_space.len(), xsave.hi16_zmm.len()), (32, 64, 128), "{which}");
}

fn hex(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}
