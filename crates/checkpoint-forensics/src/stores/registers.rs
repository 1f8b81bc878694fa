//! Registers as bytes: as they stand in the processor, little-endian, each by itself.

use std::ops::ControlFlow;
use std::sync::Arc;

use container_checkpoint::dump::Dump;
use container_checkpoint::model::{Model, Registers, X86FloatingPoint, X86Registers};

use super::feed::Part;
use super::store::{Chunk, Contents, Kind, Sink, Store};

/// A register's name and its bytes.
type Register = (String, Vec<u8>);

/// Shows the registers of all threads, a store each.
pub(super) fn show<S: Sink>(model: &Model, dump: &Dump, part: &mut Part<S>) {
    for process in model.processes.iter() {
        for thread in &process.threads {
            let Some(registers) = thread.registers.known() else { continue };
            let directory = dump.images.as_deref().unwrap_or_default();
            let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
            let image = format!("core-{}.img", thread.tid);
            let member: Arc<[u8]> = Arc::from([directory, slash, image.as_bytes()].concat());
            for (name, bytes) in bytes_of(registers) {
                let kind = Kind::Register { pid: process.pid, tid: thread.tid, name };
                let store = Store { kind, member: member.clone(), inner: None };
                let contents = Contents { len: bytes.len() as u64, ..Contents::default() };
                if part.sink.begin(&store).is_continue() {
                    let chunk = Chunk { at: 0, offset: 0, pages: None, bytes: &bytes };
                    let (ControlFlow::Continue(()) | ControlFlow::Break(())) = part.sink.bytes(&store, chunk);
                }
                part.end(store, contents);
            }
        }
    }
}

fn bytes_of(registers: &Registers) -> Vec<Register> {
    let mut all: Vec<Register> =
        registers.general().into_iter().map(|(name, value)| (name, value.to_le_bytes().to_vec())).collect();
    match registers {
        Registers::X86(x86) => all.extend(floating(x86)),
        Registers::Aarch64(arm) => {
            all.push(("tls".into(), arm.tls.to_le_bytes().to_vec()));
            let vectors = (0..32).filter_map(|n| Some((format!("v{n}"), arm.vector(n)?.to_vec())));
            all.extend(vectors);
        }
        Registers::Other(other) => {
            all.extend(
                other.floating.iter().map(|(name, value)| (name.clone(), value.to_le_bytes().to_vec())),
            );
            all.extend(other.tls.map(|tls| ("tls".to_owned(), tls.to_le_bytes().to_vec())));
        }
    }
    all
}

fn floating(x86: &X86Registers) -> Vec<Register> {
    let X86FloatingPoint { st_space, xmm_space, xsave, .. } = &x86.floating;
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let numbers =
        |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let mut all: Vec<Register> = Vec::new();
    for (n, value) in st_space.chunks(4).enumerate() {
        // The upper six of the sixteen bytes belong to no register.
        let bytes = words(value);
        all.push((format!("st{n}"), bytes[..bytes.len().min(10)].to_vec()));
    }
    let is_set = |bytes: &[u8]| bytes.iter().any(|&byte| byte != 0);
    for (n, value) in xmm_space.chunks(4).enumerate() {
        let upper = |space: &[u8], len: usize| {
            let part = space.get(n * len..(n + 1) * len).unwrap_or_default();
            is_set(part).then(|| part.to_vec())
        };
        let mut bytes = words(value);
        let mut name = "xmm";
        // A register goes by the name of the part that is in use: upper parts that are zero say nothing.
        if let Some(xsave) = xsave {
            let (ymm, zmm) = (upper(&words(&xsave.ymmh_space), 16), upper(&numbers(&xsave.zmm_upper), 32));
            if ymm.is_some() || zmm.is_some() {
                name = if zmm.is_some() { "zmm" } else { "ymm" };
                bytes.extend(ymm.unwrap_or_else(|| vec![0; 16]));
                bytes.extend(zmm.unwrap_or_default());
            }
        }
        all.push((format!("{name}{n}"), bytes));
    }
    if let Some(xsave) = xsave {
        let opmasks = xsave.opmask_reg.iter().enumerate();
        all.extend(opmasks.map(|(n, value)| (format!("k{n}"), value.to_le_bytes().to_vec())));
        let high = xsave.hi16_zmm.chunks(8).enumerate();
        all.extend(high.map(|(n, value)| (format!("zmm{}", n + 16), numbers(value))));
        let bounds = xsave.bndreg_state.chunks(2).enumerate();
        all.extend(bounds.map(|(n, value)| (format!("bnd{n}"), numbers(value))));
    }
    all
}
