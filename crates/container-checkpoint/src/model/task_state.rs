//! Whether a process was alive at the dump, and how a dead one ended.

use crate::gap::Field;

/// State of a process (`task_core_entry.task_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Running or sleeping: the images don't tell these apart.
    Alive,
    /// Dead and not waited for by its parent, that is a zombie: this is what CRIU writes for one.
    Dead,
    /// Stopped by a signal; which one is known in images by CRIU 3.18 and later.
    Stopped {
        /// The signal's number.
        signal: Option<u32>,
    },
    /// The number of a zombie that CRIU reserves and is not known to write.
    Zombie,
    /// Another number.
    Unknown(u32),
}

impl TaskState {
    pub(super) fn from_wire(state: u32, stop_signal: Option<u32>) -> Self {
        match state {
            1 => Self::Alive,
            2 => Self::Dead,
            3 => Self::Stopped { signal: stop_signal },
            6 => Self::Zombie,
            other => Self::Unknown(other),
        }
    }

    /// Whether nothing is left of the process but its exit status.
    pub fn is_zombie(self) -> bool {
        matches!(self, Self::Dead | Self::Zombie)
    }

    /// The state's name as crit 4.3 and checkpointctl print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alive => "Alive",
            Self::Dead => "Dead",
            Self::Stopped { .. } => "Stopped",
            Self::Zombie => "Zombie",
            Self::Unknown(_) => "Unknown",
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It called exit(2) with this code (0 to 255).
    Exited(u8),
    /// A signal ended it.
    Killed {
        /// The signal's number.
        signal: u32,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
}

impl ExitStatus {
    /// Takes a wait status apart (`task_core_entry.exit_code`, as wait(2) gives it).
    pub(super) fn from_wait_status(status: u32) -> Field<Self> {
        let signal = status & 0x7f;
        match (signal, (status >> 8).to_le_bytes()) {
            // Only a stopped or continued task has this one, and it hasn't ended.
            (0x7f, _) => {
                Field::Unparsable(format!("wait status {status:#x} is not one of a process that ended"))
            }
            (0, [code, 0, 0, 0]) => Field::Known(Self::Exited(code)),
            (_, [_, 0, 0, 0]) => Field::Known(Self::Killed { signal, core_dumped: status & 0x80 != 0 }),
            _ => Field::Unparsable(format!("wait status {status:#x} has more than 16 bits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_tells_code_or_signal() {
        assert_eq!(ExitStatus::from_wait_status(0x2a00), Field::Known(ExitStatus::Exited(42)));
        assert_eq!(ExitStatus::from_wait_status(0), Field::Known(ExitStatus::Exited(0)));
        let killed = |signal, core_dumped| Field::Known(ExitStatus::Killed { signal, core_dumped });
        assert_eq!(ExitStatus::from_wait_status(9), killed(9, false));
        assert_eq!(ExitStatus::from_wait_status(0x86), killed(6, true));
        assert!(ExitStatus::from_wait_status(0x137f).known().is_none(), "stopped, not ended");
        assert!(ExitStatus::from_wait_status(0x0100_0000).known().is_none());
    }

    #[test]
    fn two_is_what_criu_writes_for_zombies() {
        assert!(TaskState::from_wire(2, None).is_zombie());
        assert!(TaskState::from_wire(6, None).is_zombie());
        assert_eq!(TaskState::from_wire(3, Some(19)), TaskState::Stopped { signal: Some(19) });
        assert_eq!(TaskState::from_wire(5, None), TaskState::Unknown(5));
    }
}
