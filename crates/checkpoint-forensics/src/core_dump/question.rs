//! The pass over the pages: each byte goes straight to its place in the core of each process that sees it, in whatever order bytes come.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use container_checkpoint::context::Context;
use container_checkpoint::error::Error::Cancelled;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{Memory, Question, Want};
use container_checkpoint::model::Model;

use super::elf::{self, Headers};
use super::layout::Layout;
use super::subject::{Refusal, Subject};
use super::{Error, Options, Skipped, Written, notes, psinfo};
use crate::outputs::{self, Outputs};

/// How much is written at once, in bytes; between two writes is looked at whether to stop. Larger writes cost five times as much where the
/// kernel takes large folios of fresh memory for them.
const STEP: usize = 256 << 10;

/// Cores being written: a [`Question`] to the pages of one dump.
///
/// It needs no more than address spaces to begin with, so that it can ride along with the first pass over a stream. What is in the process tree is asked at the
/// end: left-over images of another dump get no core.
#[derive(Debug)]
pub struct CoreDump {
    options: Options,
    cancel: Arc<AtomicBool>,
    /// Ascending by pid.
    cores: Vec<Core>,
    outputs: Outputs,
    /// What went wrong first; nothing is written any more.
    failure: Option<Error>,
}

/// The core of one process.
#[derive(Debug)]
struct Core {
    pid: Pid,
    layout: Layout,
    /// The number of its file.
    output: usize,
    /// The number of its first want.
    first_want: usize,
    /// How many bytes of each part came.
    came: Vec<u64>,
}

/// A process that may get a core, or the reason why it gets none.
pub(super) type Candidate<'m> = (Pid, Result<Subject<'m>, Refusal>);

impl CoreDump {
    /// Prepares cores of the processes that the options choose.
    pub fn new(options: Options, context: &Context) -> Self {
        let cancel = context.cancel.clone();
        Self { options, cancel, cores: Vec::new(), outputs: Outputs::default(), failure: None }
    }

    /// Adds headers and notes, and gives the files their names: all cores are whole before the first gets it.
    pub(super) fn finish(
        mut self,
        model: &Model,
        candidates: Vec<Candidate<'_>>,
    ) -> Result<(Vec<Written>, Vec<Skipped>), Error> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Cancelled.into());
        }
        let (mut written, mut skipped, mut keep) = (Vec::new(), Vec::new(), HashSet::new());
        for (pid, subject) in candidates {
            let mut skip = |why| skipped.push(Skipped { pid, why });
            match (subject, self.cores.binary_search_by_key(&pid, |core| core.pid)) {
                (Err(why), _) => skip(why),
                (Ok(_), Err(_)) => skip(Refusal::TooLarge),
                (Ok(subject), Ok(number)) => {
                    let core = &mut self.cores[number];
                    written.push(core.complete(&mut self.outputs, &self.options, &subject, model)?);
                    keep.insert(core.output);
                }
            }
        }
        self.outputs.persist(self.options.overwrite, |output| keep.contains(&output))?;
        Ok((written, skipped))
    }

    fn take(&mut self, want: usize, at: u64, bytes: &[u8]) -> Result<(), Error> {
        let number = self.cores.partition_point(|core| core.first_want <= want) - 1;
        let core = &mut self.cores[number];
        let part = want - core.first_want;
        let start = core.layout.parts[part].at + at;
        for (step, piece) in (0_u64..).zip(bytes.chunks(STEP)) {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(Cancelled.into());
            }
            self.outputs.write_sparse(core.output, start + step * STEP as u64, piece)?;
            core.came[part] += piece.len() as u64;
        }
        Ok(())
    }
}

impl Question for CoreDump {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        (self.cores, self.outputs, self.failure) = (Vec::new(), Outputs::default(), None);
        let mut wants = Vec::new();
        let chosen = |pid: Pid| self.options.pids.is_empty() || self.options.pids.contains(&pid);
        for space in memory.spaces.iter().filter(|space| space.map.is_some() && chosen(space.pid)) {
            let Ok(layout) = Layout::new(space) else { continue };
            let output = match self.outputs.add(self.options.path(space.pid), layout.memory_end) {
                Ok(output) => output,
                Err(outputs::Error::Write { source, .. }) if source.kind() == io::ErrorKind::FileTooLarge => {
                    continue;
                }
                Err(error) => {
                    self.failure = Some(error.into());
                    return Vec::new();
                }
            };
            let (first_want, came) = (wants.len(), vec![0; layout.parts.len()]);
            wants.extend(layout.parts.iter().map(|part| part.want));
            self.cores.push(Core { pid: space.pid, layout, output, first_want, came });
        }
        wants
    }

    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        if self.failure.is_some() {
            return ControlFlow::Break(());
        }
        match self.take(want, at, bytes) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

impl Core {
    /// Adds everything but memory.
    fn complete(
        &mut self,
        outputs: &mut Outputs,
        options: &Options,
        subject: &Subject<'_>,
        model: &Model,
    ) -> Result<Written, Error> {
        let (output, layout) = (self.output, &mut self.layout);
        layout.cut(&self.came);
        let mut arguments = Vec::new();
        let marks = &subject.map.layout;
        let end = marks.arg_end.0.min(marks.arg_start.0.saturating_add(psinfo::ARGUMENTS_MAX));
        for (at, len) in layout.held(marks.arg_start.0..end) {
            let from = arguments.len();
            arguments.resize(from + len as usize, 0);
            outputs.read(output, at, &mut arguments[from..])?;
        }

        let notes_at = layout.memory_end.next_multiple_of(4);
        let (unnamed_mappings, notes_end) =
            outputs.write(output, notes_at, |out| notes::write(out, subject, model, &arguments))?;
        // Memory that did not come splits segments, and there may be more program headers than was thought.
        let has_room = elf::headers_len(layout.segments.len()) <= layout.memory_at;
        let behind = notes_end.next_multiple_of(8);
        let mut headers = Headers {
            segments: &layout.segments,
            notes: (notes_at, notes_end - notes_at),
            programs_at: if has_room { elf::PROGRAMS_AT } else { behind },
            section_at: behind,
        };
        let ((), programs_end) =
            outputs.write(output, headers.programs_at, |out| headers.write_programs(out))?;
        let mut bytes = notes_end.max(programs_end);
        if headers.needs_section() {
            headers.section_at = bytes.next_multiple_of(8);
            ((), bytes) = outputs.write(output, headers.section_at, |out| headers.write_section(out))?;
        }
        outputs.write(output, 0, |out| headers.write_file_header(out))?;

        Ok(Written {
            pid: self.pid,
            path: options.path(self.pid),
            bytes,
            threads: subject.threads.len(),
            threads_without_registers: subject.without_registers.clone(),
            absent: std::mem::take(&mut layout.absent),
            left_to_files: layout.left_to_files,
            not_captured: layout.not_captured,
            auxv_was_cut: !subject.map.auxv.complete,
            unnamed_mappings,
        })
    }
}
