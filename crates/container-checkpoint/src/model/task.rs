//! What a process has as a whole, beside its threads: signals, limits, timers, settings.

use criu_images::schema::{ItimerEntry, PosixTimerEntry, RlimitEntry, SaEntry, SiginfoEntry, TaskCoreEntry};

use super::architecture::Architecture;
use super::images::Images;
use super::limits::ResourceLimit;
use super::signals::{PendingSignal, SignalAction};
use super::timers::Timers;
use crate::gap::Field;
use crate::ids::Pid;

/// Settings of a process (`task_core_entry` in the core image of its leader, or the images before that).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// `personality(2)`; see [`Task::personality`] for what may be lost of it.
    personality: u32,
    /// The kernel's task flags, `PF_*`.
    pub flags: u32,
    /// Signals queued for the process as a whole.
    pub pending: Field<Vec<PendingSignal>>,
    /// What is done at each signal.
    pub actions: Field<Vec<SignalAction>>,
    /// Resource limits.
    pub limits: Field<Vec<ResourceLimit>>,
    /// Timers.
    pub timers: Field<Timers>,
    /// The user that logged in; 4294967295 when none did.
    pub loginuid: Field<u32>,
    /// `/proc/PID/oom_score_adj`.
    pub oom_score_adj: Field<i32>,
    /// Whether orphans among its descendants become its children (images by CRIU 3.13 and later say so).
    pub child_subreaper: Field<bool>,
    /// `MEMBARRIER_CMD_*` that it registered for (images by CRIU 3.19 and later).
    pub membarrier_registrations: Field<u32>,
}

impl Task {
    /// Reads what the leader's core image says of the process, and from images of their own what CRIU up to 1.2
    /// (signal actions: up to 3.0) kept there.
    pub(super) fn load(
        images: &mut Images<'_>,
        pid: Pid,
        tc: &TaskCoreEntry,
        architecture: Architecture,
    ) -> Self {
        let timers = match &tc.timers {
            Some(timers) => Field::Known(Timers::from_wire(timers)),
            None => old_timers(images, pid),
        };
        let limits = match &tc.rlimits {
            Some(limits) => Field::Known(ResourceLimit::from_wire(&limits.rlimits)),
            None => old::<RlimitEntry, _>(images, "rlimit", pid, "resource limits", ResourceLimit::from_wire),
        };
        let actions = match tc.sigactions.as_slice() {
            [] => old::<SaEntry, _>(images, "sigacts", pid, "signal actions", |entries| {
                SignalAction::from_wire(entries, architecture)
            }),
            entries => Field::Known(SignalAction::from_wire(entries, architecture)),
        };
        let queue = tc.signals_s.as_ref().map(|queue| queue.signals.as_slice());
        Self {
            personality: undo_decimal(tc.personality),
            flags: tc.flags,
            pending: pending_signals(images, queue, "signal-s", pid, architecture),
            actions,
            limits,
            timers,
            loginuid: tc.loginuid.into(),
            oom_score_adj: tc.oom_score_adj.into(),
            child_subreaper: tc.child_subreaper.into(),
            membarrier_registrations: tc.membarrier_registration_mask.into(),
        }
    }
}

impl Task {
    /// `personality(2)`, as far as it can be known. CRIU reads the kernel's hexadecimal text as a decimal number, up to the
    /// first letter: 0x40000 is 40000 in the image, which is undone here, but what follows a digit above 9 is lost, and the
    /// digits before it lose their weight.
    pub fn personality(&self) -> u32 {
        self.personality
    }
}

/// Reads a number's decimal digits as hexadecimal ones.
fn undo_decimal(number: u32) -> u32 {
    // Eight hexadecimal digits at most: a larger number doesn't come from that text.
    u32::from_str_radix(&number.to_string(), 16).unwrap_or(number)
}

/// Decodes a queue of signals; without one, that of an image of its own (CRIU up to 1.2).
pub(super) fn pending_signals(
    images: &mut Images<'_>,
    queue: Option<&[SiginfoEntry]>,
    old_image: &str,
    id: Pid,
    architecture: Architecture,
) -> Field<Vec<PendingSignal>> {
    let old_entries;
    let entries = match queue {
        Some(entries) => entries,
        None => {
            let name = format!("{old_image}-{id}.img");
            if !images.has(&name) {
                return Field::NotCaptured;
            }
            old_entries = images.all::<SiginfoEntry>(&name, &format!("pending signals of {id}")).0;
            &old_entries
        }
    };
    let big_endian = images.big_endian();
    let mut pending = Vec::new();
    for entry in entries {
        match PendingSignal::from_wire(entry, architecture, big_endian) {
            Ok(signal) => pending.push(signal),
            Err(why) => {
                images.findings.gap(format!("a pending signal of {id}"), format!("core-{id}.img"), why)
            }
        }
    }
    Field::Known(pending)
}

fn old<T: criu_images::schema::Entry, U>(
    images: &mut Images<'_>,
    prefix: &str,
    pid: Pid,
    what: &str,
    convert: impl FnOnce(&[T]) -> U,
) -> Field<U> {
    let name = format!("{prefix}-{pid}.img");
    if !images.has(&name) {
        return Field::NotCaptured;
    }
    let (entries, _) = images.all::<T>(&name, &format!("{what} of process {pid}"));
    Field::Known(convert(&entries))
}

fn old_timers(images: &mut Images<'_>, pid: Pid) -> Field<Timers> {
    let (intervals, _) = images.all::<ItimerEntry>(&format!("itimers-{pid}.img"), "interval timers");
    let (posix, _) = images.all::<PosixTimerEntry>(&format!("posix-timers-{pid}.img"), "POSIX timers");
    Timers::from_old_images(&intervals, &posix).into()
}
