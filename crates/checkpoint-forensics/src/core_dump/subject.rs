//! Who gets a core: a live, 64-bit x86 process whose mappings and registers are known.

use container_checkpoint::gap::Field;
use container_checkpoint::ids::Pid;
use container_checkpoint::model::{
    AddressMap, Architecture, Process, Registers, Thread, X86Mode, X86Registers,
};

/// Why a process gets no core.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The dump has no such process.
    #[error("the dump has no such process")]
    NoSuchProcess,
    /// It was dead: nothing is left of it but its exit status.
    #[error("it was a zombie: no memory and no registers are left of it")]
    Zombie,
    /// It ran on another machine than x86-64.
    #[error("cores of {0} processes can't be written yet")]
    Architecture(&'static str),
    /// It was a 32-bit task.
    #[error("cores of 32-bit x86 processes can't be written yet")]
    Compat,
    /// The registers of none of its threads can be had.
    #[error("the registers of none of its threads are known{}", because(.0))]
    NoRegisters(String),
    /// Its mappings can't be had.
    #[error("its mappings are not known{}", because(.0))]
    NoMappings(String),
    /// Its memory is larger than a file can be.
    #[error("its memory is larger than a file can be")]
    TooLarge,
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

/// What a core is made of, beside memory.
#[derive(Clone, Debug)]
pub(super) struct Subject<'m> {
    pub(super) process: &'m Process,
    pub(super) map: &'m AddressMap,
    /// The threads whose registers are known, the leader first, the others ascending.
    pub(super) threads: Vec<(&'m Thread, &'m X86Registers)>,
    /// The other threads.
    pub(super) without_registers: Vec<Pid>,
}

impl<'m> Subject<'m> {
    /// Takes a process that can have a core.
    pub(super) fn of(process: &'m Process) -> Result<Self, Refusal> {
        if process.is_zombie() {
            return Err(Refusal::Zombie);
        }
        let mut ordered: Vec<&Thread> = process.threads.iter().collect();
        ordered.sort_by_key(|thread| (thread.tid != process.pid, thread.tid));
        // The leader tells what the process is; where its image is missing, any other thread.
        let architecture = ordered.iter().find_map(|thread| thread.architecture.known());
        if let Some(other) = architecture.filter(|known| **known != Architecture::X86_64) {
            return Err(Refusal::Architecture(other.name()));
        }
        let (mut threads, mut without_registers) = (Vec::new(), Vec::new());
        for thread in &ordered {
            match thread.registers.known() {
                Some(Registers::X86(registers)) if registers.mode == X86Mode::Native => {
                    threads.push((*thread, &**registers));
                }
                Some(Registers::X86(registers))
                    if registers.mode == X86Mode::Compat && threads.is_empty() =>
                {
                    return Err(Refusal::Compat);
                }
                _ => without_registers.push(thread.tid),
            }
        }
        if threads.is_empty() {
            let leader = ordered.first().map(|thread| &thread.registers);
            return Err(Refusal::NoRegisters(leader.map(why).unwrap_or_default()));
        }
        let map = process.memory.known().ok_or_else(|| Refusal::NoMappings(why(&process.memory)))?;
        Ok(Self { process, map, threads, without_registers })
    }
}

/// The reason that a field has for its absence, if it has words for it.
fn why<T>(field: &Field<T>) -> String {
    match field {
        Field::Unreadable(why) | Field::Unparsable(why) => why.clone(),
        Field::Known(_) | Field::NotCaptured | Field::NotApplicable => String::new(),
    }
}
