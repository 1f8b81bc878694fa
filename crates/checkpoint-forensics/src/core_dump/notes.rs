//! The notes of a core: what it has beside memory, in the kernel's order and form.

use std::io::{self, Write};

use container_checkpoint::gap::Field;
use container_checkpoint::ids::Pid;
use container_checkpoint::model::{AuxiliaryVector, Model, Thread};
use object::elf::{
    NT_AUXV, NT_FILE, NT_FPREGSET, NT_PRPSINFO, NT_PRSTATUS, NT_SIGINFO, NoteHeader64, NoteType,
};
use object::pod::bytes_of;
use object::{LittleEndian, U32};

use super::arch::{CORE, Class, Restart};
use super::layout::Layout;
use super::peeked::Peeked;
use super::prstatus::ThreadStatus;
use super::subject::Subject;
use super::{Options, files_note, psinfo};

/// Length of `siginfo_t` in bytes.
const SIGINFO: usize = 128;

/// What notes are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) model: &'a Model,
    /// Bytes in a page.
    pub(super) page: u64,
    /// The bytes at `arg_start`, as many as the core holds.
    pub(super) arguments: &'a [u8],
    /// Interrupted calls that are to be shown as they were before CRIU.
    pub(super) taken_back: &'a [Restart],
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        subject: &'a Subject<'a>,
        model: &'a Model,
        layout: &Layout,
        peeked: &'a Peeked,
        restarts: &'a [Restart],
        options: &Options,
    ) -> Self {
        let taken_back = if options.undo_restart { restarts } else { &[] };
        Self { subject, model, page: layout.page, arguments: peeked.arguments(), taken_back }
    }
}

/// Writes all notes. Returns how many mappings had no room in `NT_FILE`.
pub(super) fn write(out: &mut dyn Write, facts: Facts<'_>) -> io::Result<usize> {
    let Facts { subject, model, page, arguments, taken_back } = facts;
    let (process, machine) = (subject.process, subject.machine);
    let mut files_left_out = 0;
    for (number, (thread, registers)) in subject.threads.iter().enumerate() {
        let sets = (machine.sets)(registers, subject.map);
        let restart = taken_back.iter().find(|restart| restart.tid == thread.tid);
        let before = restart.zip(machine.calls).map(|(restart, calls)| calls.taken_back(registers, restart));
        let general = (machine.general)(before.as_ref().unwrap_or(registers)).unwrap_or_default();
        let has_floating = sets.iter().any(|set| set.kind == NT_FPREGSET);
        let status = status(subject, thread, general, has_floating);
        note(out, CORE, NT_PRSTATUS, &status.bytes(machine.class))?;
        if number == 0 {
            note(out, CORE, NT_PRPSINFO, &psinfo::bytes(machine, process, arguments))?;
            note(out, CORE, NT_SIGINFO, &siginfo())?;
            note(out, CORE, NT_AUXV, &auxv(machine.class, &subject.map.auxv))?;
            let files = files_note::note(machine.class, page, model, &subject.map.mappings);
            note(out, CORE, NT_FILE, &files.bytes)?;
            files_left_out = files.left_out;
        }
        for set in sets {
            note(out, set.owner, set.kind, &set.body)?;
        }
    }
    if let Some(last) = subject.threads.first().and_then(|(_, registers)| (machine.last)(registers)) {
        note(out, last.owner, last.kind, &last.body)?;
    }
    Ok(files_left_out)
}

/// What stopped the process. Images do not hold it; it is what gdb's cores of a process that gdb attached to have, SIGSTOP. Without a signal
/// here, lldb takes the core for a process that runs on, and waits for it for ever. `pr_cursig` is 0, so no debugger says that it ended by it.
fn siginfo() -> [u8; SIGINFO] {
    let mut body = [0; SIGINFO];
    // si_signo: the number is the same on all machines that cores are made for.
    body[..4].copy_from_slice(&19_i32.to_le_bytes());
    body
}

/// One note: header, owner with its NUL, body; the last two padded to four bytes.
fn note(out: &mut dyn Write, owner: &str, kind: NoteType, body: &[u8]) -> io::Result<()> {
    let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "a note longer than 4 GiB");
    let header = NoteHeader64::<LittleEndian> {
        n_namesz: U32::new(LittleEndian, owner.len() as u32 + 1),
        n_descsz: U32::new(LittleEndian, u32::try_from(body.len()).map_err(too_long)?),
        n_type: kind.into(),
    };
    out.write_all(bytes_of(&header))?;
    out.write_all(owner.as_bytes())?;
    let padding = |len: usize| &[0; 4][..len.next_multiple_of(4) - len];
    out.write_all(&[0])?;
    out.write_all(padding(owner.len() + 1))?;
    out.write_all(body)?;
    out.write_all(padding(body.len()))
}

fn status(subject: &Subject<'_>, thread: &Thread, registers: Vec<u8>, has_floating: bool) -> ThreadStatus {
    let process = subject.process;
    let id = |field: &Field<Pid>| field.known().map_or(0, |pid| pid.0);
    let pending = thread.pending.known().map_or(&[][..], |queue| queue);
    let bit = |signal: u32| signal.checked_sub(1).and_then(|bit| 1_u64.checked_shl(bit)).unwrap_or(0);
    ThreadStatus {
        tid: thread.tid.0,
        ppid: id(&process.ppid),
        pgid: id(&process.pgid),
        sid: id(&process.sid),
        pending: pending.iter().fold(0, |set, queued| set | bit(queued.signal)),
        blocked: thread.blocked.known().map_or(0, |set| set.low),
        registers,
        has_floating,
    }
}

/// The auxiliary vector with its closing `AT_NULL`, which CRIU cuts off of long ones.
fn auxv(class: Class, vector: &AuxiliaryVector) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in vector.entries.iter().chain(&[(0, 0)]) {
        class.push(&mut body, *kind);
        class.push(&mut body, *value);
    }
    body
}

#[cfg(test)]
mod tests {
    use object::elf::NT_X86_XSTATE;

    use super::super::arch::LINUX;
    use super::*;

    #[test]
    fn padding_is_not_part_of_a_body() {
        let mut out = Vec::new();
        note(&mut out, CORE, NT_FILE, b"12345").unwrap();
        note(&mut out, LINUX, NT_X86_XSTATE, b"").unwrap();
        let expected = [
            &[5, 0, 0, 0, 5, 0, 0, 0, 0x45, 0x4c, 0x49, 0x46][..],
            b"CORE\0\0\0\0" as &[u8],
            b"12345\0\0\0",
            &[6, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0],
            b"LINUX\0\0\0",
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn a_cut_auxiliary_vector_is_closed() {
        let vector = AuxiliaryVector { entries: vec![(33, 7), (6, 4096)], complete: false };
        let words: Vec<u64> = auxv(Class::Elf64, &vector)
            .chunks(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(words, [33, 7, 6, 4096, 0, 0]);
    }
}
