//! Who gets a core: a live process of a known machine whose mappings and registers are known.

use container_checkpoint::gap::Field;
use container_checkpoint::ids::Pid;
use container_checkpoint::model::{AddressMap, Process, Registers, Thread};

use super::arch::Machine;

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
    /// It ran on another machine than x86-64 (with its 32-bit tasks) and aarch64.
    #[error(
        "cores of {0} processes are not written: how that machine's register notes are laid out is missing here"
    )]
    Architecture(&'static str),
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
    pub(super) machine: &'static Machine,
    /// The threads whose registers are known, the leader first, the others ascending.
    pub(super) threads: Vec<(&'m Thread, &'m Registers)>,
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
        let architecture = ordered.iter().find_map(|thread| thread.architecture.known());
        if let Some(other) = architecture.filter(|known| !Machine::knows(**known)) {
            return Err(Refusal::Architecture(other.name()));
        }
        // The leader tells what the process is; where its image is missing, any other thread.
        let Some(first) = ordered.iter().find_map(|thread| thread.registers.known()) else {
            let leader = ordered.first().map(|thread| &thread.registers);
            return Err(Refusal::NoRegisters(leader.map(why).unwrap_or_default()));
        };
        let machine = Machine::of(first).map_err(Refusal::Architecture)?;
        let is_of_it =
            |registers: &&Registers| Machine::of(registers).is_ok_and(|other| other.number == machine.number);
        let (mut threads, mut without_registers) = (Vec::new(), Vec::new());
        for thread in &ordered {
            match thread.registers.known().filter(is_of_it) {
                Some(registers) => threads.push((*thread, registers)),
                None => without_registers.push(thread.tid),
            }
        }
        let map = process.memory.known().ok_or_else(|| Refusal::NoMappings(why(&process.memory)))?;
        Ok(Self { process, map, machine, threads, without_registers })
    }
}

/// The reason that a field has for its absence, if it has words for it.
fn why<T>(field: &Field<T>) -> String {
    match field {
        Field::Unreadable(why) | Field::Unparsable(why) => why.clone(),
        Field::Known(_) | Field::NotCaptured | Field::NotApplicable => String::new(),
    }
}
