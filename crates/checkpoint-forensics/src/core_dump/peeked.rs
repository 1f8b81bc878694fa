//! Memory that notes are made of: a process's arguments, and the code where its threads stand.

use std::collections::BTreeMap;
use std::ops::Range;

use super::arch::Restart;
use super::psinfo;
use super::subject::Subject;

/// Length of the code that is looked at, in bytes.
const CODE: u64 = 2;

/// Ranges of memory, each with its bytes up to the first that the core does not hold.
#[derive(Clone, Debug)]
pub(super) struct Peeked {
    arguments: (Range<u64>, Vec<u8>),
    code: BTreeMap<u64, Vec<u8>>,
}

impl Peeked {
    /// What there is to look at; no bytes of it yet.
    pub(super) fn of(subject: &Subject<'_>) -> Self {
        let marks = &subject.map.layout;
        let start = marks.arg_start.0;
        let end = marks.arg_end.0.min(start.saturating_add(psinfo::ARGUMENTS_MAX));
        let calls = subject.machine.calls.iter();
        let places = calls.flat_map(|calls| {
            subject.threads.iter().flat_map(|(_, registers)| calls.places(registers).into_iter().flatten())
        });
        Self { arguments: (start..end, Vec::new()), code: places.map(|at| (at, Vec::new())).collect() }
    }

    /// All ranges, and where their bytes go.
    pub(super) fn ranges(&mut self) -> impl Iterator<Item = (Range<u64>, &mut Vec<u8>)> {
        let (range, bytes) = &mut self.arguments;
        let code = self.code.iter_mut().map(|(at, bytes)| (*at..at.saturating_add(CODE), bytes));
        std::iter::once((range.clone(), bytes)).chain(code)
    }

    /// The process's arguments.
    pub(super) fn arguments(&self) -> &[u8] {
        &self.arguments.1
    }

    /// Who was in a system call.
    pub(super) fn interrupted(&self, subject: &Subject<'_>) -> Vec<Restart> {
        let Some(calls) = subject.machine.calls else { return Vec::new() };
        let code = |at: u64| self.code.get(&at)?.first_chunk().copied();
        let threads = subject.threads.iter();
        threads.filter_map(|(thread, registers)| calls.interrupted(thread.tid, registers, code)).collect()
    }
}
