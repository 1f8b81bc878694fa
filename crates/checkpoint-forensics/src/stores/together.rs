//! Two at once, so that one pass is enough: two questions to the pages, two passengers on a stream.

use std::io::{self, Read};
use std::ops::ControlFlow;

use container_checkpoint::evidence::{Index, Member, MemberId, Passenger};
use container_checkpoint::memory::{Memory, Question, Want};

/// Two questions to the pages of one dump, asked at once.
#[derive(Clone, Debug)]
pub struct Together<A, B> {
    /// The one.
    pub first: A,
    /// The other.
    pub second: B,
    /// How many wants the first has.
    split: usize,
    /// Whether each has seen enough.
    enough: [bool; 2],
}

impl<A, B> Together<A, B> {
    /// Asks both.
    pub fn new(first: A, second: B) -> Self {
        Self { first, second, split: 0, enough: [false; 2] }
    }
}

impl<A: Question, B: Question> Question for Together<A, B> {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        let mut wants = self.first.wants(memory);
        self.split = wants.len();
        let others = self.second.wants(memory);
        self.enough = [wants.is_empty(), others.is_empty()];
        wants.extend(others);
        wants
    }

    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        let (which, flow) = match want.checked_sub(self.split) {
            None if self.enough[0] => return ControlFlow::Continue(()),
            None => (0, self.first.bytes(want, at, bytes)),
            Some(_) if self.enough[1] => return ControlFlow::Continue(()),
            Some(want) => (1, self.second.bytes(want, at, bytes)),
        };
        self.enough[which] |= flow.is_break();
        if self.enough == [true; 2] { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn lost(&mut self, want: usize, at: u64, len: u64) {
        match want.checked_sub(self.split) {
            None if self.enough[0] => {}
            None => self.first.lost(want, at, len),
            Some(_) if self.enough[1] => {}
            Some(want) => self.second.lost(want, at, len),
        }
    }

    fn finish(&mut self) {
        self.first.finish();
        self.second.finish();
    }
}

/// Two passengers on one stream. What the first one wants the second one is not shown.
#[derive(Clone, Debug)]
pub struct Both<A, B> {
    /// The one.
    pub first: A,
    /// The other.
    pub second: B,
    /// Who wanted the member that is to come.
    is_first: bool,
}

impl<A, B> Both<A, B> {
    /// Lets both ride.
    pub fn new(first: A, second: B) -> Self {
        Self { first, second, is_first: false }
    }
}

impl<A: Passenger, B: Passenger> Passenger for Both<A, B> {
    fn wants(&mut self, so_far: &Index, id: MemberId, member: &Member) -> bool {
        self.is_first = self.first.wants(so_far, id, member);
        self.is_first || self.second.wants(so_far, id, member)
    }

    fn contents(&mut self, so_far: &Index, id: MemberId, contents: &mut dyn Read) -> io::Result<()> {
        if self.is_first {
            self.first.contents(so_far, id, contents)
        } else {
            self.second.contents(so_far, id, contents)
        }
    }
}
