//! `NT_PRPSINFO`: what a process was called and who ran it. Debuggers say from it what generated the core.

use container_checkpoint::model::{Process, TaskState};

/// Length of `elf_prpsinfo` of a 64-bit task in bytes.
pub(super) const LEN: usize = 136;
/// Length of `pr_fname` with its NUL.
const NAME: usize = 16;
/// Length of `pr_psargs` with its NUL.
const ARGUMENTS: usize = 80;
/// The number that stands for no user or group.
const NOBODY: u32 = u32::MAX;
/// The kernel's states in the order of their numbers, by letter.
const STATES: [u8; 4] = *b"RSDT";
/// The number of the stopped state.
const STOPPED: u8 = 3;

/// How many bytes of the arguments the note can have.
pub(super) const ARGUMENTS_MAX: u64 = ARGUMENTS as u64 - 1;

/// The note's body in the kernel's form. `arguments` are the bytes from `arg_start` on, as many as are known.
///
/// Images don't tell a running from a sleeping task: both are 0, `R`. A user or group that they don't know is 4294967295.
pub(super) fn bytes(process: &Process, arguments: &[u8]) -> Vec<u8> {
    let state = match process.state.known() {
        Some(TaskState::Stopped { .. }) => STOPPED,
        _ => 0,
    };
    let nice = process.nice().known().and_then(|nice| i8::try_from(*nice).ok()).unwrap_or(0);
    let flags = process.task.known().map_or(0, |task| u64::from(task.flags));
    let credentials = process.credentials();
    let (uid, gid) = credentials.known().map_or((NOBODY, NOBODY), |known| (known.uid, known.gid));
    let id = |field: &container_checkpoint::gap::Field<container_checkpoint::ids::Pid>| {
        field.known().map_or(0, |pid| pid.0)
    };

    let mut body = vec![state, STATES[usize::from(state)], 0, nice.cast_unsigned(), 0, 0, 0, 0];
    body.extend_from_slice(&flags.to_le_bytes());
    for number in [uid, gid, process.pid.0, id(&process.ppid), id(&process.pgid), id(&process.sid)] {
        body.extend_from_slice(&number.to_le_bytes());
    }
    let command = process.command.known().map_or(&[][..], |command| command);
    body.extend_from_slice(&command[..command.len().min(NAME - 1)]);
    body.resize(LEN - ARGUMENTS, 0);
    let shown = &arguments[..arguments.len().min(ARGUMENTS - 1)];
    body.extend(shown.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }));
    body.resize(LEN, 0);
    body
}
