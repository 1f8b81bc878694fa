//! Timers of a task.

use criu_images::schema::{ItimerEntry, PosixTimerEntry, TaskTimersEntry};

use crate::gap::Field;

/// A time span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Whole seconds.
    pub seconds: u64,
    /// Nanoseconds on top.
    pub nanoseconds: u64,
}

/// An interval timer (`itimer_entry`); both spans 0: not armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalTimer {
    /// Time until it fires, counted from the dump.
    pub value: Span,
    /// What it is set to after firing.
    pub interval: Span,
}

/// A timer of timer_create(2) (`posix_timer_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PosixTimer {
    /// The timer's id in the process.
    pub id: u32,
    /// `CLOCK_*`.
    pub clock: u32,
    /// The signal that it sends.
    pub signal: u32,
    /// `SIGEV_*`.
    pub notify: u32,
    /// The value that goes along with the signal.
    pub value_pointer: u64,
    /// Missed expirations.
    pub overrun: u32,
    /// Time until it fires; 0: not armed.
    pub value: Span,
    /// What it is set to after firing.
    pub interval: Span,
    /// The thread that is notified, for `SIGEV_THREAD_ID` (images by CRIU 3.16 and later).
    pub notify_thread: Field<i32>,
}

/// All timers of a task (`task_timers_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers {
    /// `ITIMER_REAL`.
    pub real: IntervalTimer,
    /// `ITIMER_VIRTUAL`.
    pub virtual_time: IntervalTimer,
    /// `ITIMER_PROF`.
    pub profiling: IntervalTimer,
    /// Timers of timer_create(2).
    pub posix: Vec<PosixTimer>,
}

impl Timers {
    pub(super) fn from_wire(timers: &TaskTimersEntry) -> Self {
        Self {
            real: interval(&timers.real),
            virtual_time: interval(&timers.virt),
            profiling: interval(&timers.prof),
            posix: timers.posix.iter().map(posix).collect(),
        }
    }

    /// Puts together what CRIU before 1.3 kept in itimers-*.img (three entries) and posix-timers-*.img.
    pub(super) fn from_old_images(intervals: &[ItimerEntry], timers: &[PosixTimerEntry]) -> Option<Self> {
        let [real, virtual_time, profiling] = intervals else { return None };
        Some(Self {
            real: interval(real),
            virtual_time: interval(virtual_time),
            profiling: interval(profiling),
            posix: timers.iter().map(posix).collect(),
        })
    }
}

fn interval(timer: &ItimerEntry) -> IntervalTimer {
    IntervalTimer { value: micro(timer.vsec, timer.vusec), interval: micro(timer.isec, timer.iusec) }
}

fn posix(timer: &PosixTimerEntry) -> PosixTimer {
    PosixTimer {
        id: timer.it_id,
        clock: timer.clock_id,
        signal: timer.si_signo,
        notify: timer.it_sigev_notify,
        value_pointer: timer.sival_ptr,
        overrun: timer.overrun,
        value: Span { seconds: timer.vsec, nanoseconds: timer.vnsec },
        interval: Span { seconds: timer.isec, nanoseconds: timer.insec },
        notify_thread: timer.notify_thread_id.into(),
    }
}

fn micro(seconds: u64, microseconds: u64) -> Span {
    Span { seconds, nanoseconds: microseconds.saturating_mul(1000) }
}
