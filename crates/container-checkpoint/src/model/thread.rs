//! One thread: its name, registers, signals, credentials, scheduling.

use criu_images::schema::{CoreEntry, CredsEntry, SeccompMode, ThreadCoreEntry};

use super::architecture::Architecture;
use super::credentials::Credentials;
use super::images::{Images, absence};
use super::registers::Registers;
use super::signals::{PendingSignal, SignalSet};
use super::task::pending_signals;
use crate::gap::Field;
use crate::ids::{Pid, VirtualAddress};

/// A thread (`core_entry` of its core image).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The thread's id; the leader's is the process's.
    pub tid: Pid,
    /// The machine.
    pub architecture: Field<Architecture>,
    /// Its name, `/proc/PID/task/TID/comm`: raw bytes, possibly cut inside a character. Before CRIU 3.11 only the
    /// leader's is known.
    pub command: Field<Vec<u8>>,
    /// Registers.
    pub registers: Field<Registers>,
    /// Address that the kernel clears and wakes when the thread ends (set_tid_address(2)); 0 when there is none.
    pub clear_child_tid: Field<VirtualAddress>,
    /// List of robust futexes.
    pub robust_list: Field<RobustList>,
    /// Restartable sequences; images by CRIU 3.17 and later.
    pub rseq: Field<Rseq>,
    /// Blocked signals.
    pub blocked: Field<SignalSet>,
    /// Signals queued for this thread.
    pub pending: Field<Vec<PendingSignal>>,
    /// Alternate stack for signal handlers.
    pub signal_stack: Field<SignalStack>,
    /// The signal that it gets when its parent dies; 0 for none.
    pub parent_death_signal: Field<u32>,
    /// Niceness, -20 to 19.
    pub nice: Field<i32>,
    /// Scheduling policy, `SCHED_*`.
    pub scheduling_policy: Field<u32>,
    /// Real-time priority; 0 for policies without one.
    pub scheduling_priority: Field<u32>,
    /// Timer slack in nanoseconds; images by CRIU 4.3 and later.
    pub timer_slack: Field<u64>,
    /// User, groups, capabilities.
    pub credentials: Field<Credentials>,
    /// System-call filter.
    pub seccomp: Field<Seccomp>,
    /// Its set of control groups: `cg_set_entry.id` in cgroup.img.
    pub cgroup_set: Field<u32>,
}

/// A registered list of robust futexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RobustList {
    /// Address of the list's head; 0 when none is registered.
    pub head: VirtualAddress,
    /// Length of the head in bytes.
    pub length: u32,
}

/// Registration of restartable sequences (`rseq_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rseq {
    /// Address of the area that the kernel writes CPU numbers to.
    pub area: VirtualAddress,
    /// Length of the area in bytes; 0 when none is registered.
    pub length: u32,
    /// What stands before an abort handler.
    pub signature: u32,
    /// The critical section that was running.
    pub critical_section: Field<VirtualAddress>,
}

/// Alternate stack for signal handlers (`thread_sas_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalStack {
    /// Lowest address.
    pub start: VirtualAddress,
    /// Length in bytes.
    pub length: u64,
    /// `SS_*`: 2 is disabled.
    pub flags: u32,
}

/// System-call filtering of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seccomp {
    /// What is filtered.
    pub mode: SeccompFiltering,
    /// The filter that was installed last, as an index in seccomp.img; it names the one before it.
    pub filter: Option<u32>,
}

/// Modes of seccomp(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeccompFiltering {
    /// Everything is allowed.
    Disabled,
    /// read, write, exit and sigreturn are allowed.
    Strict,
    /// Filter programs decide.
    Filter,
    /// Another number.
    Unknown(i32),
}

impl Thread {
    /// A thread whose core image could not be had.
    pub(super) fn without_core<T>(tid: Pid, core: &Field<T>) -> Self {
        Self {
            tid,
            architecture: absence(core),
            command: absence(core),
            registers: absence(core),
            clear_child_tid: absence(core),
            robust_list: absence(core),
            rseq: absence(core),
            blocked: absence(core),
            pending: absence(core),
            signal_stack: absence(core),
            parent_death_signal: absence(core),
            nice: absence(core),
            scheduling_policy: absence(core),
            scheduling_priority: absence(core),
            timer_slack: absence(core),
            credentials: absence(core),
            seccomp: absence(core),
            cgroup_set: absence(core),
        }
    }

    /// Reads a thread from its core image. A leader's image has a task part, where older releases kept some of this.
    pub(super) fn from_core(images: &mut Images<'_>, tid: Pid, core: &CoreEntry) -> Self {
        let architecture = Architecture::from_wire(core.mtype);
        let registers = Registers::from_wire(core);
        if let Field::Unparsable(why) = &registers {
            images.findings.gap(format!("registers of thread {tid}"), format!("core-{tid}.img"), why);
        }
        let none = ThreadCoreEntry::default();
        let part = core.thread_core.as_ref();
        let thread = part.unwrap_or(&none);
        let task = core.tc.as_ref();
        let of_task = |f: fn(&criu_images::schema::TaskCoreEntry) -> Option<u32>| task.and_then(f);

        let blocked = match (thread.blk_sigset, task) {
            (Some(low), _) => Field::Known(SignalSet::new(low, thread.blk_sigset_extended)),
            (None, Some(tc)) => Field::Known(SignalSet::new(tc.blk_sigset, tc.blk_sigset_extended)),
            (None, None) => Field::NotCaptured,
        };
        let queue = thread.signals_p.as_ref().map(|queue| queue.signals.as_slice());
        // CRIU leaves out a mode and a signal of 0. A thread name (since 3.11) shows a release that knew both fields.
        let zero = thread.comm.as_ref().map(|_| 0);
        let mode = thread.seccomp_mode.or_else(|| task.and_then(|tc| tc.old_seccomp_mode)).or(zero);
        let filter = thread.seccomp_filter.or_else(|| of_task(|tc| tc.old_seccomp_filter));
        Self {
            tid,
            architecture: Field::Known(architecture),
            command: thread.comm.clone().or_else(|| task.map(|tc| tc.comm.clone())).into(),
            registers,
            clear_child_tid: clear_child_tid(core).map(VirtualAddress).into(),
            robust_list: part
                .map(|t| RobustList { head: VirtualAddress(t.futex_rla), length: t.futex_rla_len })
                .into(),
            rseq: thread.rseq_entry.as_ref().map(Rseq::from_wire).into(),
            blocked,
            pending: pending_signals(images, queue, "signal-p", tid, architecture),
            signal_stack: thread.sas.as_ref().map(SignalStack::from_wire).into(),
            parent_death_signal: thread.pdeath_sig.or(zero.map(i32::cast_unsigned)).into(),
            nice: thread.sched_nice.into(),
            scheduling_policy: thread.sched_policy.into(),
            scheduling_priority: thread.sched_prio.into(),
            timer_slack: thread.timerslack_ns.into(),
            credentials: credentials(images, tid, thread),
            seccomp: mode.map(|mode| Seccomp { mode: SeccompFiltering::from_wire(mode), filter }).into(),
            cgroup_set: thread.cg_set.or_else(|| of_task(|tc| tc.cg_set)).into(),
        }
    }
}

impl Rseq {
    fn from_wire(rseq: &criu_images::schema::RseqEntry) -> Self {
        Self {
            area: VirtualAddress(rseq.rseq_abi_pointer),
            length: rseq.rseq_abi_size,
            signature: rseq.signature,
            critical_section: rseq.rseq_cs_pointer.map(VirtualAddress).into(),
        }
    }
}

impl SignalStack {
    fn from_wire(stack: &criu_images::schema::ThreadSasEntry) -> Self {
        Self { start: VirtualAddress(stack.ss_sp), length: stack.ss_size, flags: stack.ss_flags }
    }
}

impl SeccompFiltering {
    fn from_wire(mode: i32) -> Self {
        match SeccompMode::try_from(mode) {
            Ok(SeccompMode::Disabled) => Self::Disabled,
            Ok(SeccompMode::Strict) => Self::Strict,
            Ok(SeccompMode::Filter) => Self::Filter,
            Err(_) => Self::Unknown(mode),
        }
    }
}

/// Credentials of the thread; CRIU up to 1.8 kept one set a process in creds-PID.img.
fn credentials(images: &mut Images<'_>, tid: Pid, thread: &ThreadCoreEntry) -> Field<Credentials> {
    match &thread.creds {
        Some(creds) => Field::Known(Credentials::from_wire(creds)),
        None => images
            .first::<CredsEntry>(&format!("creds-{tid}.img"), &format!("credentials of {tid}"))
            .map(|creds| Credentials::from_wire(&creds)),
    }
}

fn clear_child_tid(core: &CoreEntry) -> Option<u64> {
    let addresses = [
        core.thread_info.as_ref().map(|info| info.clear_tid_addr),
        core.ti_arm.as_ref().map(|info| info.clear_tid_addr),
        core.ti_aarch64.as_ref().map(|info| info.clear_tid_addr),
        core.ti_ppc64.as_ref().map(|info| info.clear_tid_addr),
        core.ti_s390.as_ref().map(|info| info.clear_tid_addr),
        core.ti_mips.as_ref().map(|info| info.clear_tid_addr),
        core.ti_loongarch64.as_ref().map(|info| info.clear_tid_addr),
        core.ti_riscv64.as_ref().map(|info| info.clear_tid_addr),
    ];
    addresses.into_iter().flatten().next()
}
