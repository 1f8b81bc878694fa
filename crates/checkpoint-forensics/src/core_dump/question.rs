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

use super::elf::Headers;
use super::layout::Layout;
use super::looks::Looks;
use super::notes::Facts;
use super::output::Outputs;
use super::source::Source;
use super::subject::{Refusal, Subject};
use super::{Error, Options, Skipped, Written, debugger, layout, notes, record};

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
    /// The numbers of the record and the script beside it, when all is complete.
    beside: Vec<usize>,
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
                    if core.layout.fit(subject.machine.class, &core.came).is_err() {
                        skip(Refusal::TooLarge);
                        continue;
                    }
                    written.push(core.complete(&mut self.outputs, &self.options, &subject, model)?);
                    keep.insert(core.output);
                    keep.extend(&core.beside);
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
            let rules = self.options.rules();
            let Ok(layout) = Layout::new(space, &memory.objects, rules) else { continue };
            let output = match self.outputs.add(self.options.path(space.pid), layout.memory_end) {
                Ok(output) => output,
                Err(Error::Write { source, .. }) if source.kind() == io::ErrorKind::FileTooLarge => continue,
                Err(error) => {
                    self.failure = Some(error);
                    return Vec::new();
                }
            };
            let (first_want, came) = (wants.len(), vec![0; layout.parts.len()]);
            wants.extend(layout.parts.iter().map(|part| part.want));
            let beside = Vec::new();
            self.cores.push(Core { pid: space.pid, layout, output, beside, first_want, came });
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
        let mut looks = Looks::of(subject);
        for (range, bytes) in looks.ranges() {
            for (at, len) in layout.held(range) {
                let from = bytes.len();
                bytes.resize(from + len as usize, 0);
                outputs.read(output, at, &mut bytes[from..])?;
            }
        }
        let restarts = looks.interrupted(subject);
        let taken_back = if options.undo_restart { restarts.as_slice() } else { &[] };
        let (page, arguments) = (layout.page, looks.arguments());
        let facts = Facts { subject, model, page, arguments, taken_back };

        let notes_at = layout.memory_end.next_multiple_of(4);
        let (unnamed_mappings, notes_end) =
            outputs.write(output, notes_at, |out| notes::write(out, facts))?;
        // Memory that did not come splits segments, and there may be more program headers than was thought.
        let class = subject.machine.class;
        let headers_len = class.headers_len(layout.segments.len());
        let has_room = headers_len <= layout.memory_at;
        let behind = notes_end.next_multiple_of(8);
        let mut headers = Headers {
            machine: subject.machine,
            page,
            segments: &layout.segments,
            physical: options.physical,
            notes: (notes_at, notes_end - notes_at),
            programs_at: if has_room { class.programs_at() } else { behind },
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

        let advised = subject.map.mappings.iter().filter(|mapping| layout::is_private_to_program(mapping));
        let mut written = Written {
            pid: self.pid,
            path: options.path(self.pid),
            bytes,
            machine: subject.machine.name,
            script: Some(options.script(self.pid)),
            threads: subject.threads.len(),
            threads_without_registers: subject.without_registers.clone(),
            absent: layout.absent.clone(),
            left_to_files: layout.left_out(Source::File),
            not_captured: layout.left_out(Source::NotCaptured),
            auxv_was_cut: !subject.map.auxv.complete,
            unnamed_mappings,
            restarts_taken_back: options.undo_restart && !restarts.is_empty(),
            restarts: Vec::new(),
            dontdump_left_out: options.honour_dontdump,
            dontdump: advised.fold(0, |sum, mapping| sum.saturating_add(mapping.len())),
        };
        written.restarts = restarts;
        self.beside = [options.record(self.pid), options.script(self.pid)]
            .into_iter()
            .map(|path| outputs.add(path, 0))
            .collect::<Result<_, _>>()?;
        outputs.write(self.beside[0], 0, |out| record::write(out, subject, model, layout, &written))?;
        outputs.write(self.beside[1], 0, |out| debugger::write(out, subject, model, options, &written))?;
        Ok(written)
    }
}
