//! Memory in the order of addresses, for a pipe. What a process shares lies in other page images than its own pages, so that
//! it comes out of that order: it is kept in memory, up to a bound, while the own pages go by in a second pass.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::ControlFlow;

use container_checkpoint::context::Context;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{Memory, ObjectId, Question, Want};

use super::layout::{Layout, Part, Rules};
use super::peeked::Peeked;
use super::received::Received;
use crate::mapped_files::MappedFiles;

/// How many bytes are kept in memory because they come out of order.
const KEPT_MAX: u64 = 64 << 20;
/// How many zeros are written at once, in bytes.
const ZEROS: usize = 64 << 10;

/// The first pass: which bytes will come, and those that come out of order.
#[derive(Debug)]
pub(super) struct Survey {
    pid: Pid,
    rules: Rules,
    context: Context,
    /// `None` when the process has no address space, or one larger than a file can be.
    pub(super) layout: Option<Layout>,
    /// Of each part: whether it goes by in the second pass.
    pub(super) passes: Vec<bool>,
    pub(super) received: Received,
    /// Bytes of the other parts.
    pub(super) kept: HashMap<usize, Vec<u8>>,
    kept_len: u64,
}

impl Survey {
    pub(super) fn new(pid: Pid, rules: Rules, context: &Context) -> Self {
        let context = context.clone();
        let (passes, received, kept) = (Vec::new(), Received::default(), HashMap::new());
        Self { pid, rules, context, layout: None, passes, received, kept, kept_len: 0 }
    }

    /// Whether more came out of order than is kept.
    pub(super) fn is_too_much(&self) -> bool {
        self.kept_len > KEPT_MAX
    }
}

impl Question for Survey {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        let space = memory.space(self.pid).filter(|space| space.map.is_some());
        self.layout = space.and_then(|space| Layout::new(space, memory, self.rules).ok());
        let parts = self.layout.as_ref().map_or(&[][..], |layout| &layout.parts);
        self.passes = in_order(parts);
        self.received = Received::none(parts.len());
        parts.iter().map(|part| part.want).collect()
    }

    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        self.received.reached[want] = at + bytes.len() as u64;
        if !self.passes[want] {
            self.kept_len = self.kept_len.saturating_add(bytes.len() as u64);
            if self.is_too_much() {
                return ControlFlow::Break(());
            }
            self.kept.entry(want).or_default().extend_from_slice(bytes);
        }
        if self.context.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn lost(&mut self, want: usize, at: u64, len: u64) {
        let Some(part) = self.layout.as_ref().and_then(|layout| layout.parts.get(want)) else { return };
        self.received.lose(want, part, at, len);
        if !self.passes[want] {
            // What is kept stands where it does in the core; no header speaks of these zeros.
            self.kept_len = self.kept_len.saturating_add(len);
            if !self.is_too_much() {
                let kept = self.kept.entry(want).or_default();
                kept.resize(kept.len() + len as usize, 0);
            }
        }
    }
}

/// Which parts, ascending by address, come in that order when the page image with most of them is read from its start.
fn in_order(parts: &[Part]) -> Vec<bool> {
    let mut sums: HashMap<ObjectId, u64> = HashMap::new();
    for part in parts {
        *sums.entry(part.want.object).or_default() += part.want.len;
    }
    let most = sums.into_iter().max_by_key(|(object, sum)| (*sum, std::cmp::Reverse(*object)));
    let mut free_from = 0;
    let passes = |part: &Part| {
        let passes =
            most.is_some_and(|(object, _)| part.want.object == object) && part.want.offset >= free_from;
        if passes {
            free_from = part.want.offset.saturating_add(part.want.len);
        }
        passes
    };
    parts.iter().map(passes).collect()
}

/// The second pass: bytes go out as they come, with what was kept and zeros between them.
pub(super) struct Flow<'a> {
    out: &'a mut dyn Write,
    context: &'a Context,
    layout: &'a Layout,
    survey: &'a Pass,
    /// The parts that go by, by number.
    passing: Vec<usize>,
    /// The next one of all parts that is due.
    next: usize,
    /// How many bytes are out.
    at: u64,
    peeked: Vec<Look>,
    /// The files, and the next filling that is due.
    files: &'a MappedFiles,
    filling: usize,
    pub(super) failure: Option<io::Error>,
}

/// What the first pass found.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) passes: Vec<bool>,
    pub(super) received: Received,
    pub(super) kept: HashMap<usize, Vec<u8>>,
}

/// Bytes of the core that notes are made of.
#[derive(Debug)]
struct Look {
    /// The offset in the core.
    at: u64,
    /// The number of the range, and where in it the bytes go.
    range: usize,
    into: usize,
    bytes: Vec<u8>,
}

impl<'a> Flow<'a> {
    /// Goes on behind the headers, of which `at` bytes are out.
    pub(super) fn new(
        out: &'a mut dyn Write,
        context: &'a Context,
        layout: &'a Layout,
        survey: &'a Pass,
        at: u64,
        peeked: &mut Peeked,
        files: &'a MappedFiles,
    ) -> Self {
        let mut found = Vec::new();
        for (number, (range, bytes)) in peeked.ranges().enumerate() {
            for (at, len) in layout.held(range) {
                found.push(Look { at, range: number, into: bytes.len(), bytes: vec![0; len as usize] });
                bytes.resize(bytes.len() + len as usize, 0);
            }
        }
        found.sort_by_key(|look| look.at);
        let passing = (0..survey.passes.len()).filter(|part| survey.passes[*part]).collect();
        let (next, filling, failure) = (0, 0, None);
        Self { out, context, layout, survey, passing, next, at, peeked: found, files, filling, failure }
    }

    /// Writes what is left of memory, and gives what was looked at.
    pub(super) fn end(mut self, peeked: &mut Peeked) -> io::Result<u64> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.up_to(self.layout.parts.len())?;
        self.fill_to(self.layout.memory_end)?;
        for (number, (_, bytes)) in peeked.ranges().enumerate() {
            for look in self.peeked.iter().filter(|look| look.range == number) {
                bytes[look.into..look.into + look.bytes.len()].copy_from_slice(&look.bytes);
            }
        }
        Ok(self.at)
    }

    /// Writes the kept parts before one.
    fn up_to(&mut self, part: usize) -> io::Result<()> {
        while self.next < part {
            if let Some(bytes) = self.survey.kept.get(&self.next) {
                self.put(self.layout.parts[self.next].at, bytes)?;
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Writes what stands before an offset and is in no part: bytes of files, and zeros.
    fn fill_to(&mut self, at: u64) -> io::Result<()> {
        while let Some(&filling) = self.layout.fillings.get(self.filling).filter(|filling| filling.at < at) {
            self.filling += 1;
            self.zeros_to(filling.at)?;
            let Some(bytes) = filling.bytes(self.files) else { continue };
            let range = filling.offset..filling.offset.saturating_add(filling.len);
            let mut failure = Ok(());
            bytes.visit(range, &mut |bytes| {
                failure = self.out.write_all(bytes);
                self.at += bytes.len() as u64;
                if failure.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            failure?;
        }
        self.zeros_to(at)
    }

    fn zeros_to(&mut self, at: u64) -> io::Result<()> {
        while self.at < at {
            if self.context.cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let len = (at - self.at).min(ZEROS as u64);
            self.out.write_all(&[0; ZEROS][..len as usize])?;
            self.at += len;
        }
        Ok(())
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if at < self.at {
            return Err(io::Error::other("pages came in another order than before"));
        }
        self.fill_to(at)?;
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        let first = self.peeked.partition_point(|look| look.at + look.bytes.len() as u64 <= at);
        for look in self.peeked[first..].iter_mut().take_while(|look| look.at < self.at) {
            let end = look.at + look.bytes.len() as u64;
            let (from, to) = (look.at.max(at), end.min(self.at));
            let seen = &bytes[(from - at) as usize..(to - at) as usize];
            look.bytes[(from - look.at) as usize..(to - look.at) as usize].copy_from_slice(seen);
        }
        Ok(())
    }

    fn take(&mut self, want: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let number = self.passing[want];
        let part = self.layout.parts[number];
        // What came short in the first pass is not in the headers.
        let left = self.survey.received.reached[number].saturating_sub(at).min(bytes.len() as u64);
        self.up_to(number)?;
        self.next = self.next.max(number + 1);
        self.put(part.at + at, &bytes[..left as usize])
    }
}

impl Question for Flow<'_> {
    fn wants(&mut self, _: &Memory) -> Vec<Want> {
        self.passing.iter().map(|part| self.layout.parts[*part].want).collect()
    }

    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        if self.failure.is_some() || self.context.cancelled() {
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

    /// Zeros stand in for it, as for all that no header speaks of.
    fn lost(&mut self, _: usize, _: u64, _: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_in_the_order_of_addresses_passes() {
        let part = |object, offset, address| Part {
            want: Want { object: ObjectId(object), offset, len: 0x1000 },
            address,
            at: address,
        };
        let parts = [
            part(1, 0, 0x1000),
            part(0, 0x5000, 0x2000),
            part(1, 0x4000, 0x3000),
            part(1, 0x2000, 0x4000),
            part(1, 0x5000, 0x5000),
        ];
        assert_eq!(in_order(&parts), [true, false, true, false, true]);
        assert_eq!(in_order(&[]), [false; 0]);
    }
}
