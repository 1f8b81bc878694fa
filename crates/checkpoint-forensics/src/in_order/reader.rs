//! Pieces of memory handed over in order: what lies at hand at once, the others as they go by.

use std::ops::ControlFlow;

use container_checkpoint::context::Context;
use container_checkpoint::gap::Findings;
use container_checkpoint::memory::{Memory, Missing, ObjectId, PlainPart, Question, Want};

use super::at_hand::AtHand;
use super::early::{Early, Span};
use super::pieces::{Piece, What};
use super::{Absence, Error, Part, Sink};

/// Hands over pieces in order; a question to what only goes by.
pub(super) struct Reader<'a> {
    pieces: Vec<Piece>,
    /// By the number of a want: the piece.
    wanted: Vec<usize>,
    at_hand: Vec<Option<AtHand<'a>>>,
    context: &'a Context,
    /// The piece whose turn it is, and how much of it was handed over.
    next: usize,
    done: u64,
    /// No more bytes will come.
    is_ending: bool,
    early: Early,
    sink: &'a mut dyn Sink,
    pub(super) error: Option<Error>,
    pub(super) findings: Findings,
    /// Bytes that should lie at hand and don't, and the first address of them.
    pub(super) cut: Option<(u64, u64)>,
    /// As many that lie at hand and can't be unpacked.
    pub(super) broken: Option<(u64, u64)>,
    /// Stored bytes in all, and handed over: for the progress of what needs no pass.
    total: u64,
    handed: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        pieces: Vec<Piece>,
        at_hand: Vec<Option<AtHand<'a>>>,
        context: &'a Context,
        early: Early,
        sink: &'a mut dyn Sink,
    ) -> Self {
        let total =
            pieces.iter().filter(|piece| matches!(piece.what, What::Image(..))).map(|piece| piece.len).sum();
        Self {
            pieces,
            wanted: Vec::new(),
            at_hand,
            context,
            next: 0,
            done: 0,
            is_ending: false,
            early,
            sink,
            error: None,
            findings: Findings::default(),
            cut: None,
            broken: None,
            total,
            handed: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.next == self.pieces.len()
    }

    fn passes_by(&self, object: ObjectId) -> bool {
        self.at_hand.get(object.0 as usize).is_none_or(Option::is_none)
    }

    /// Hands over what can be, up to a piece whose bytes did not come yet.
    pub(super) fn advance(&mut self) {
        while let Some(&piece) = self.pieces.get(self.next) {
            if self.error.is_some() || self.context.cancelled() {
                return;
            }
            let result = match piece.what {
                What::Image(object, _) if self.passes_by(object) => self.came_early(piece),
                What::Image(object, offset) => self.read_at_hand(piece, object, offset),
                What::Zeros => self.hand(piece, Part::Zeros(piece.len)),
                What::Reserved => self.hand(piece, Part::Reserved(piece.len)),
                What::Absent(why) => {
                    if why == Absence::CutShort {
                        count(&mut self.cut, piece.at, piece.len);
                    }
                    self.hand(piece, Part::Absent(piece.len, why))
                }
            };
            if let Err(error) = result {
                self.error = Some(error);
                return;
            }
            if self.done < piece.len {
                if !self.is_ending {
                    return;
                }
                self.cut_short(piece);
            }
            self.next += 1;
            self.done = 0;
        }
    }

    /// Hands over a part that begins where the last one ended.
    fn hand(&mut self, piece: Piece, part: Part<'_>) -> Result<(), Error> {
        let len = match part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::Zeros(len) | Part::Reserved(len) | Part::Absent(len, _) => len,
        };
        self.sink.part(piece.at + self.done, part).map_err(Error::Write)?;
        self.done += len;
        Ok(())
    }

    fn read_at_hand(&mut self, piece: Piece, object: ObjectId, offset: u64) -> Result<(), Error> {
        let Some(mut image) = self.at_hand.get_mut(object.0 as usize).and_then(Option::take) else {
            return Ok(());
        };
        let mut result = Ok(());
        image.visit(offset..offset.saturating_add(piece.len), &mut |part| {
            let part = match part {
                PlainPart::Bytes(bytes) => Part::Bytes(bytes),
                PlainPart::Broken(len) => {
                    count(&mut self.broken, piece.at + self.done, len);
                    broken(len)
                }
            };
            result = self.hand(piece, part);
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        self.at_hand[object.0 as usize] = Some(image);
        result?;
        if self.wanted.is_empty() {
            self.handed += piece.len;
            (self.context.progress)(self.handed, Some(self.total));
        }
        if self.done < piece.len {
            self.cut_short(piece);
            let missing = piece.len - self.done;
            count(&mut self.cut, piece.at + self.done, missing);
            self.done = piece.len;
        }
        Ok(())
    }

    /// Hands over what came of a piece before it was its turn.
    fn came_early(&mut self, piece: Piece) -> Result<(), Error> {
        if self.done > 0 {
            return Ok(());
        }
        let Some(mut kept) = self.early.take(self.next) else { return Ok(()) };
        while let Some(span) = self.early.read(&mut kept)? {
            match span {
                Span::Bytes(bytes) => self.hand(piece, Part::Bytes(&bytes))?,
                Span::Lost(len) => self.hand(piece, broken(len))?,
            }
        }
        Ok(())
    }

    fn cut_short(&mut self, piece: Piece) {
        let rest = Part::Absent(piece.len - self.done, Absence::CutShort);
        if let Err(error) = self.sink.part(piece.at + self.done, rest) {
            self.error = Some(Error::Write(error));
        }
    }

    /// Takes the next part of a want, unless something went wrong before.
    fn take_or_fail(&mut self, want: usize, part: Part<'_>) {
        if self.error.is_none()
            && let Err(error) = self.take(want, part)
        {
            self.error = Some(error);
        }
    }

    fn take(&mut self, want: usize, part: Part<'_>) -> Result<(), Error> {
        let number = self.wanted[want];
        let piece = self.pieces[number];
        if number != self.next {
            return match part {
                Part::Bytes(bytes) => self.early.put(number, piece.len, bytes),
                Part::Zeros(len) | Part::Reserved(len) | Part::Absent(len, _) => {
                    self.early.lose(number, piece.len, len)
                }
            };
        }
        self.hand(piece, part)?;
        if self.done == piece.len {
            self.next += 1;
            self.done = 0;
            self.advance();
        }
        Ok(())
    }
}

/// Counts lost bytes, and keeps the first address of them.
fn count(lost: &mut Option<(u64, u64)>, at: u64, len: u64) {
    let (bytes, _) = lost.get_or_insert((0, at));
    *bytes = bytes.saturating_add(len);
}

/// What can't be unpacked.
fn broken<'a>(len: u64) -> Part<'a> {
    Part::Absent(len, Absence::Missing(Missing::BrokenBlock))
}

impl Question for Reader<'_> {
    fn wants(&mut self, _: &Memory) -> Vec<Want> {
        let mut wants = Vec::new();
        for (number, piece) in self.pieces.iter().enumerate().skip(self.next) {
            if let What::Image(object, offset) = piece.what
                && self.passes_by(object)
            {
                wants.push(Want { object, offset, len: piece.len });
                self.wanted.push(number);
            }
        }
        wants
    }

    fn bytes(&mut self, want: usize, _: u64, bytes: &[u8]) -> ControlFlow<()> {
        self.take_or_fail(want, Part::Bytes(bytes));
        if self.error.is_some() || self.is_done() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn lost(&mut self, want: usize, _: u64, len: u64) {
        self.take_or_fail(want, broken(len));
    }

    fn finish(&mut self) {
        self.is_ending = true;
        if self.error.is_none() {
            self.advance();
        }
    }
}
