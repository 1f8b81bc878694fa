//! Runs of printable characters in one stretch of bytes.

use super::coding::{Coding, Step, is_printable};

/// A run of printable characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// Where it begins in the stretch.
    pub(super) start: u64,
    /// How many bytes it has.
    pub(super) len: u64,
    pub(super) chars: u64,
    /// Its first characters, as UTF-8.
    pub(super) text: Vec<u8>,
    /// Whether it has more characters than the text.
    pub(super) is_cut: bool,
}

impl Run {
    fn clear(&mut self, start: u64) {
        self.text.clear();
        (self.start, self.len, self.chars, self.is_cut) = (start, 0, 0, false);
    }

    /// Adds a character of so many bytes.
    pub(super) fn push(&mut self, c: char, size: usize, most: usize) {
        let mut buffer = [0; 4];
        self.add(c.encode_utf8(&mut buffer).as_bytes(), 1, size as u64, most);
    }

    /// Adds another one that goes on where this one ends.
    pub(super) fn join(&mut self, next: &Self, most: usize) {
        self.add(&next.text, next.chars, next.len, most);
        self.is_cut |= next.is_cut;
    }

    fn add(&mut self, text: &[u8], chars: u64, len: u64, most: usize) {
        self.len += len;
        self.chars += chars;
        if !self.is_cut {
            let mut room = most.saturating_sub(self.text.len()).min(text.len());
            while room < text.len() && room > 0 && text[room] & 0xc0 == 0x80 {
                room -= 1; // no character is cut in two
            }
            self.text.extend_from_slice(&text[..room]);
            self.is_cut = room < text.len();
        }
    }
}

/// What is at the ends of a stretch that may go on elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edges {
    /// The rest of a character that began before the stretch.
    pub(super) head: Vec<u8>,
    /// The run right behind it.
    pub(super) front: Option<Run>,
    /// The run that goes up to the tail.
    pub(super) back: Option<Run>,
    /// Whether `back` is also the front.
    pub(super) is_whole: bool,
    /// The first bytes of a character that ends behind the stretch.
    pub(super) tail: Vec<u8>,
}

/// What is the same for all stretches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The fewest characters of a string.
    pub(super) least: u64,
    /// The most bytes of text that are kept of one.
    pub(super) most: usize,
}

/// A stretch that comes in pieces, in order, read in one coding.
#[derive(Debug)]
pub(super) struct Reader {
    coding: Coding,
    phase: usize,
    bounds: Bounds,
    /// Whether a run at the front is kept for whoever joins stretches, and one at the back.
    holds: (bool, bool),
    /// How far characters were read.
    at: u64,
    began: bool,
    pending: Vec<u8>,
    run: Run,
    edges: Edges,
}

/// Takes runs, in order.
pub(super) type Sink<'a> = dyn FnMut(&Run) + 'a;

impl Reader {
    pub(super) fn new(coding: Coding, phase: usize, bounds: Bounds, holds: (bool, bool)) -> Self {
        Self {
            coding,
            phase,
            bounds,
            holds,
            at: 0,
            began: false,
            pending: Vec::new(),
            run: Run::default(),
            edges: Edges::default(),
        }
    }

    /// Takes the next piece, and hands out runs that are long enough and not kept.
    pub(super) fn take(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) {
        if !self.began && !bytes.is_empty() {
            self.began = true;
            // Where units begin at odd places of the stretch, they do so behind an even number of lost bytes too.
            let phase = (self.phase as u64 + self.at) % 2;
            let lead = self.coding.lead(bytes, phase as usize);
            if self.at == 0 {
                self.edges.head = bytes[..lead].to_vec();
            }
            bytes = &bytes[lead..];
            self.at += lead as u64;
        }
        while let (false, Some((first, rest))) = (self.pending.is_empty(), bytes.split_first()) {
            self.pending.push(*first);
            bytes = rest;
            let pending = std::mem::take(&mut self.pending);
            self.pending = self.read(&pending, sink).to_vec();
        }
        let rest = match self.coding {
            Coding::Ascii => self.read_ascii(bytes, sink),
            _ => self.read(bytes, sink),
        };
        if !rest.is_empty() {
            self.pending = rest.to_vec();
        }
    }

    /// The next bytes can't be had: a run ends before them, and what begins behind them is not at the front.
    pub(super) fn skip(&mut self, len: u64, sink: &mut Sink<'_>) {
        self.close(sink);
        self.at += self.pending.len() as u64 + len;
        self.pending.clear();
        self.began = false;
    }

    /// Reads characters; returns the bytes of one that is not whole.
    fn read<'b>(&mut self, mut bytes: &'b [u8], sink: &mut Sink<'_>) -> &'b [u8] {
        while !bytes.is_empty() {
            let size = match self.coding.step(bytes) {
                Step::Char(c, size) => {
                    if self.run.chars == 0 {
                        self.run.clear(self.at);
                    }
                    self.run.push(c, size, self.bounds.most);
                    size
                }
                Step::Other(size) => {
                    self.close(sink);
                    size
                }
                Step::Incomplete => break,
            };
            self.at += size as u64;
            bytes = &bytes[size..];
        }
        bytes
    }

    /// The same for bytes that are characters: run by run.
    fn read_ascii<'b>(&mut self, mut bytes: &'b [u8], sink: &mut Sink<'_>) -> &'b [u8] {
        while !bytes.is_empty() {
            let len = bytes.iter().position(|byte| !is_printable(*byte)).unwrap_or(bytes.len());
            if len > 0 {
                if self.run.chars == 0 {
                    self.run.clear(self.at);
                }
                self.run.add(&bytes[..len], len as u64, len as u64, self.bounds.most);
            }
            if len < bytes.len() {
                self.close(sink);
            }
            let others = bytes[len..].iter().position(|byte| is_printable(*byte));
            let next = others.map_or(bytes.len(), |others| len + others);
            self.at += next as u64;
            bytes = &bytes[next..];
        }
        bytes
    }

    fn is_at_front(&self) -> bool {
        self.run.start == self.edges.head.len() as u64
    }

    fn close(&mut self, sink: &mut Sink<'_>) {
        if self.run.chars == 0 {
            return;
        }
        if self.holds.0 && self.is_at_front() {
            self.edges.front = Some(self.run.clone());
        } else if self.run.chars >= self.bounds.least {
            sink(&self.run);
        }
        self.run.chars = 0;
    }

    /// Nothing more comes. `is_short`: there should have been more, so that nothing goes on behind.
    pub(super) fn end(mut self, is_short: bool, sink: &mut Sink<'_>) -> Edges {
        if !self.holds.1 || is_short {
            self.close(sink);
            return self.edges;
        }
        self.edges.tail = std::mem::take(&mut self.pending);
        if self.run.chars > 0 {
            self.edges.is_whole = self.holds.0 && self.is_at_front();
            self.edges.back = Some(std::mem::take(&mut self.run));
        }
        self.edges
    }
}
