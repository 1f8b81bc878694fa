//! Strings over the seams between stretches.

use super::coding::{Coding, Step};
use super::run::{Edges, Run};

/// A run at its place in a process, and in the images.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) run: Run,
    pub(super) address: u64,
    /// The segment that its first byte is in, and where in it.
    pub(super) place: (usize, u64),
}

/// What is open at the end of a stretch that a process sees.
#[derive(Debug, Default)]
struct Open {
    /// The first address behind the stretch.
    end: u64,
    run: Option<Placed>,
    tail: Vec<u8>,
    /// Where the tail begins.
    tail_at: (usize, u64),
}

/// Joins what is at the ends of the stretches of one process, in order of their addresses.
#[derive(Debug)]
pub(super) struct Joining {
    coding: Coding,
    most: usize,
    open: Open,
}

impl Joining {
    pub(super) fn new(coding: Coding, most: usize) -> Self {
        Self { coding, most, open: Open::default() }
    }

    /// The next stretch: its number, address and length, and its ends.
    pub(super) fn next(
        &mut self,
        (segment, address, len): (usize, u64, u64),
        edges: &Edges,
        flush: &mut dyn FnMut(Placed),
    ) {
        let open = std::mem::take(&mut self.open);
        let placed = |run: &Run| Placed {
            run: run.clone(),
            address: address + run.start,
            place: (segment, run.start),
        };
        let first = if edges.is_whole { edges.back.as_ref() } else { edges.front.as_ref() };
        let goes_on = open.end == address && open.end > 0;
        let joined =
            if goes_on { self.across(open, address, edges, first, flush) } else { leave(open, flush) };
        let front = joined.or_else(|| first.map(placed));
        self.open = Open {
            end: address.saturating_add(len),
            run: None,
            tail: edges.tail.clone(),
            tail_at: (segment, len - edges.tail.len() as u64),
        };
        if edges.is_whole {
            self.open.run = front;
            return;
        }
        front.into_iter().for_each(&mut *flush);
        self.open.run = edges.back.as_ref().map(placed);
    }

    /// The run that goes over the seam, if any; what ends there is flushed.
    fn across(
        &self,
        open: Open,
        address: u64,
        edges: &Edges,
        first: Option<&Run>,
        flush: &mut dyn FnMut(Placed),
    ) -> Option<Placed> {
        let split = [open.tail.as_slice(), &edges.head].concat();
        if split.is_empty() {
            let (Some(mut run), Some(next)) = (open.run.clone(), first) else { return leave(open, flush) };
            run.run.join(next, self.most);
            return Some(run);
        }
        let Step::Char(c, size) = self.coding.step(&split) else { return leave(open, flush) };
        if size != split.len() || open.tail.is_empty() || edges.head.is_empty() {
            return leave(open, flush);
        }
        let mut run = open.run.unwrap_or_else(|| Placed {
            run: Run::default(),
            address: address - open.tail.len() as u64,
            place: open.tail_at,
        });
        run.run.push(c, size, self.most);
        if let Some(next) = first {
            run.run.join(next, self.most);
        }
        Some(run)
    }

    /// No more stretches come.
    pub(super) fn end(self, flush: &mut dyn FnMut(Placed)) {
        leave(self.open, flush);
    }
}

/// What was open ends.
fn leave(open: Open, flush: &mut dyn FnMut(Placed)) -> Option<Placed> {
    open.run.into_iter().for_each(flush);
    None
}
