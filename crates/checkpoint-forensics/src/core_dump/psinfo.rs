//! `NT_PRPSINFO`: what a process was called and who ran it. Debuggers say from it what generated the core.

use container_checkpoint::model::{Process, TaskState};

use super::arch::Machine;

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
pub(super) fn bytes(machine: &Machine, process: &Process, arguments: &[u8]) -> Vec<u8> {
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

    let mut body = vec![state, STATES[usize::from(state)], 0, nice.cast_unsigned()];
    body.resize(machine.class.word(), 0);
    machine.class.push(&mut body, flags);
    for number in [uid, gid] {
        body.extend_from_slice(&number.to_le_bytes()[..machine.user_len]);
    }
    for number in [process.pid.0, id(&process.ppid), id(&process.pgid), id(&process.sid)] {
        body.extend_from_slice(&number.to_le_bytes());
    }
    let command = process.command.known().map_or(&[][..], |command| command);
    let name_end = body.len() + NAME;
    body.extend_from_slice(&command[..command.len().min(NAME - 1)]);
    body.resize(name_end, 0);
    let shown = &arguments[..arguments.len().min(ARGUMENTS - 1)];
    body.extend(shown.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }));
    body.resize(name_end + ARGUMENTS, 0);
    body
}

#[cfg(test)]
mod tests {
    use container_checkpoint::gap::Field;
    use container_checkpoint::ids::Pid;

    use super::super::arch::{I386, X86_64};
    use super::*;

    fn process() -> Process {
        Process {
            pid: Pid(55),
            ppid: Field::Known(Pid(48)),
            pgid: Field::Known(Pid(47)),
            sid: Field::Known(Pid(46)),
            state: Field::Known(TaskState::Alive),
            exit_status: Field::NotApplicable,
            command: Field::Known(b"del \xc3\xa9) R 1".to_vec()),
            task: Field::NotCaptured,
            threads: Vec::new(),
            ids: Field::NotCaptured,
            directories: Field::NotCaptured,
            memory: Field::NotCaptured,
            open_files: Field::NotCaptured,
        }
    }

    #[test]
    fn every_field_is_where_the_kernel_has_it() {
        let body = bytes(&X86_64, &process(), b"/bin/x\0a b\0");
        assert_eq!(body.len(), 136);
        assert_eq!(body[..8], *b"\0R\0\0\0\0\0\0");
        let u32_at = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
        assert_eq!([16, 20].map(u32_at), [u32::MAX; 2], "nobody says who ran it");
        assert_eq!([24, 28, 32, 36].map(u32_at), [55, 48, 47, 46]);
        assert_eq!(body[40..56], *b"del \xc3\xa9) R 1\0\0\0\0\0");
        assert_eq!(body[56..68], *b"/bin/x a b \0", "the blank at the end is the kernel's too");
    }

    #[test]
    fn texts_end_in_a_nul() {
        let long = Process { command: Field::Known(vec![b'c'; 40]), ..process() };
        let body = bytes(&X86_64, &long, &[b'a'; 100]);
        assert_eq!(body[40..56], *b"ccccccccccccccc\0");
        assert_eq!((body[134], body[135]), (b'a', 0));
    }

    #[test]
    fn a_stopped_process_says_so() {
        let stopped = Process { state: Field::Known(TaskState::Stopped { signal: Some(19) }), ..process() };
        assert_eq!(bytes(&X86_64, &stopped, b"")[..3], *b"\x03T\0");
    }

    #[test]
    fn a_32_bit_task_has_short_users_and_words() {
        let body = bytes(&I386, &process(), b"/bin/x");
        assert_eq!(body.len(), 124);
        assert_eq!(body[8..12], [0xff; 4]);
        assert_eq!((body[12], &body[28..31], &body[44..51]), (55, &b"del"[..], &b"/bin/x\0"[..]));
    }
}
