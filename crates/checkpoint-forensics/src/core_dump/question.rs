//! The pass over the pages: each byte goes straight to its place in the core of each process that sees it, in whatever order bytes come.

use std::collections::HashSet;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use container_checkpoint::context::Context;
use container_checkpoint::error::Error::Cancelled;
use container_checkpoint::evidence::{Bytes, passed};
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{Memory, Question, Want};
use container_checkpoint::model::Model;

use super::frame::Frame;
use super::layout::Layout;
use super::notes::Facts;
use super::peeked::Peeked;
use super::programs::{Beside, Programs};
use super::received::Received;
use super::subject::{Refusal, Subject};
use super::{Error, Options, Skipped, Written, debugger, notes, record};
use crate::mapped_files::MappedFiles;
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
    programs: Programs,
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
    received: Received,
}

/// A process that may get a core, or the reason why it gets none.
pub(super) type Candidate<'m> = (Pid, Result<Subject<'m>, Refusal>);

impl CoreDump {
    /// Prepares cores of the processes that the options choose.
    pub fn new(options: Options, context: &Context) -> Self {
        let cancel = context.cancel.clone();
        let (cores, programs, outputs) = Default::default();
        Self { options, cancel, cores, programs, outputs, failure: None }
    }

    /// Adds headers and notes, and gives the files their names: all cores are whole before the first gets it.
    pub(super) fn finish(
        mut self,
        model: &Model,
        candidates: Vec<Candidate<'_>>,
        files: &MappedFiles,
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
                    core.layout.leave_to_files(files);
                    if core.layout.fit(subject.machine.class, &core.received).is_err() {
                        skip(Refusal::TooLarge);
                        continue;
                    }
                    core.fill(&mut self.outputs, files, &self.cancel)?;
                    let (outputs, options) = (&mut self.outputs, &self.options);
                    let beside =
                        self.programs.write(&subject, model, files, options, outputs, &self.cancel)?;
                    keep.extend(&beside.outputs);
                    written.push(core.complete(outputs, options, &subject, model, files, beside)?);
                    keep.insert(core.output);
                    keep.extend(&core.beside);
                }
            }
        }
        self.outputs.persist(self.options.overwrite, |output| keep.contains(&output))?;
        Ok((written, skipped))
    }

    /// The core that a want is of, and the number of its part.
    fn core_of(&self, want: usize) -> (usize, usize) {
        let number = self.cores.partition_point(|core| core.first_want <= want) - 1;
        (number, want - self.cores[number].first_want)
    }

    fn take(&mut self, want: usize, at: u64, bytes: &[u8]) -> Result<(), Error> {
        if let Some(taken) = self.programs.take(want, at, bytes, &mut self.outputs, &self.cancel) {
            return taken;
        }
        let (core, part) = self.core_of(want);
        let core = &mut self.cores[core];
        let start = core.layout.parts[part].at + at;
        write_bytes(&mut self.outputs, core.output, start, bytes, &self.cancel)?;
        core.received.reached[part] = at + bytes.len() as u64;
        Ok(())
    }
}

impl Question for CoreDump {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        let mut wants = Vec::new();
        let chosen = |pid: Pid| self.options.pids.is_empty() || self.options.pids.contains(&pid);
        for space in memory.spaces.iter().filter(|space| space.map.is_some() && chosen(space.pid)) {
            let rules = self.options.rules();
            let Ok(layout) = Layout::new(space, memory, rules) else { continue };
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
            let (first_want, received) = (wants.len(), Received::none(layout.parts.len()));
            wants.extend(layout.parts.iter().map(|part| part.want));
            let beside = Vec::new();
            self.cores.push(Core { pid: space.pid, layout, output, beside, first_want, received });
        }
        let pids = self.cores.iter().map(|core| core.pid);
        let wanted = self.programs.want(memory, pids, &self.options, &mut self.outputs, &mut wants);
        if let Err(error) = wanted {
            self.failure = Some(error);
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

    fn lost(&mut self, want: usize, at: u64, len: u64) {
        // Of a program it stays lacking.
        if self.programs.has(want) {
            return;
        }
        let (core, number) = self.core_of(want);
        let Core { layout, received, .. } = &mut self.cores[core];
        received.lose(number, &layout.parts[number], at, len);
    }
}

/// Writes bytes to an offset of an output, until the caller asks to stop.
pub(super) fn write_bytes(
    outputs: &mut Outputs,
    output: usize,
    at: u64,
    bytes: &[u8],
    cancel: &AtomicBool,
) -> Result<(), Error> {
    for (step, piece) in (0_u64..).zip(bytes.chunks(STEP)) {
        if cancel.load(Ordering::Relaxed) {
            return Err(Cancelled.into());
        }
        outputs.write_sparse(output, at + step * STEP as u64, piece)?;
        // What lent all of it in one piece does so only when it has it back.
        if piece.len() < bytes.len() {
            passed(piece);
        }
    }
    Ok(())
}

/// Writes a range of a file to an offset of an output where nothing was written yet; `from` says which file it is, for messages.
pub(super) fn write_file(
    outputs: &mut Outputs,
    output: usize,
    at: u64,
    (file, range): (&Bytes, Range<u64>),
    cancel: &AtomicBool,
    from: impl Fn() -> String,
) -> Result<(), Error> {
    let start = range.start;
    // A hole may be larger than anybody would wait for.
    for part in file.stored_within(range) {
        let mut at = at + (part.start - start);
        let mut result = Ok(());
        let read = file.visit(part, &mut |bytes| {
            result = write_bytes(outputs, output, at, bytes, cancel);
            at += bytes.len() as u64;
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        result?;
        read.map_err(|source| Error::File { from: from(), source })?;
    }
    Ok(())
}

impl Core {
    /// Adds the pages that are in files alone.
    fn fill(&self, outputs: &mut Outputs, files: &MappedFiles, cancel: &AtomicBool) -> Result<(), Error> {
        for filling in &self.layout.fillings {
            let Some(bytes) = filling.bytes(files) else { continue };
            let range = filling.offset..filling.offset.saturating_add(filling.len);
            let from = || files.origin_of(filling.file);
            write_file(outputs, self.output, filling.at, (bytes, range), cancel, from)?;
        }
        Ok(())
    }

    /// Adds everything but memory.
    fn complete(
        &mut self,
        outputs: &mut Outputs,
        options: &Options,
        subject: &Subject<'_>,
        model: &Model,
        files: &MappedFiles,
        programs: Beside,
    ) -> Result<Written, Error> {
        let (output, layout) = (self.output, &mut self.layout);
        let mut peeked = Peeked::of(subject);
        for (range, bytes) in peeked.ranges() {
            for (at, len) in layout.held(range) {
                let from = bytes.len();
                bytes.resize(from + len as usize, 0);
                outputs.read(output, at, &mut bytes[from..])?;
            }
        }
        let frame = Frame::new(subject, model, layout, options).map_err(|source| {
            let path = options.path(self.pid);
            Error::Write { path, source }
        })?;
        let restarts = peeked.interrupted(subject);
        outputs.write(output, 0, |out| frame.write_head(out, layout))?;
        outputs.write(output, frame.notes.0, |out| {
            notes::write(out, Facts::new(subject, model, layout, &peeked, &restarts, options))
        })?;
        outputs.write(output, frame.behind_notes(), |out| frame.write_tail(out, layout))?;

        let mut written = frame.written(subject, layout, restarts, options);
        written.script = Some(options.script(self.pid));
        (written.executable, written.libraries) = (programs.executable, programs.libraries);
        self.beside = [options.record(self.pid), options.script(self.pid)]
            .into_iter()
            .map(|path| outputs.add(path, 0))
            .collect::<Result<_, _>>()?;
        outputs
            .write(self.beside[0], 0, |out| record::write(out, subject, model, layout, &written, files))?;
        let lack = debugger::Lack::of(model, files, subject.map.executable);
        outputs
            .write(self.beside[1], 0, |out| debugger::write(out, subject, model, options, &written, lack))?;
        Ok(written)
    }
}
