//! Page images whose pages are packed in blocks (CRIU 4.3, `--compress`), or have gaps between them.
//!
//! Everywhere else in the house an offset in such an image is that of the plain pages, as if nothing were packed; here it becomes a place in the file.

use std::io::{self, Read};
use std::ops::{ControlFlow, Range};

use criu_images::pagemap::{Form, Pagemap, Piece};

use crate::evidence::Bytes;

/// How much of plain pages is read at a time, in bytes.
const CHUNK: u64 = 256 << 10;

/// How the pages of one image are packed, as its pagemap says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    pagemap: Pagemap,
    page_size: u64,
}

/// How far a packed image can be followed: up to so many bytes of the run with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sound {
    pub(super) run: usize,
    pub(super) bytes: u64,
}

impl Packing {
    /// The packing of a pagemap's image; `None` when its pages stand one behind the other, as they nearly always do.
    pub(super) fn of(pagemap: &Pagemap, page_size: u64) -> Option<Self> {
        let is_packed = pagemap.runs.iter().any(|run| run.blocks.is_some() || run.is_aligned());
        is_packed.then(|| Self { pagemap: pagemap.clone(), page_size })
    }

    /// How far it can be followed, and what is wrong there.
    pub(super) fn sound(&self) -> (Sound, Option<String>) {
        let mut sound = Sound { run: 0, bytes: 0 };
        for piece in self.pagemap.pieces(self.page_size) {
            match piece {
                Ok(piece) => {
                    let start = self.pagemap.runs[piece.run].vaddr;
                    sound = Sound { run: piece.run, bytes: piece.vaddr - start + piece.length };
                }
                Err(error) => return (sound, Some(error.to_string())),
            }
        }
        (Sound { run: self.pagemap.runs.len(), bytes: 0 }, None)
    }

    /// All pieces with the offset of their plain bytes.
    fn pieces(&self) -> impl Iterator<Item = (u64, Piece)> + '_ {
        let sound = self.pagemap.pieces(self.page_size).map_while(Result::ok);
        sound.scan(0u64, |at, piece| {
            let start = *at;
            *at = at.checked_add(piece.length)?;
            Some((start, piece))
        })
    }

    /// Walks over the pages. `wants` is asked of each piece in turn whether its plain bytes are wanted; those are unpacked and given to `take`, the others
    /// not even read. Ends where the image ends early. Pieces that can't be unpacked are returned: a sink is never given bytes that stand in for them.
    pub(super) fn visit(
        &self,
        stored: &mut dyn StoredPages,
        visitor: &mut dyn PlainVisitor,
    ) -> io::Result<Vec<Broken>> {
        let mut broken = Vec::new();
        let (mut raw, mut plain) = (Vec::new(), Vec::new());
        for (start, piece) in self.pieces() {
            match visitor.wants(start..start + piece.length) {
                Wanted::Now => {}
                Wanted::Later => continue,
                Wanted::NoMore => break,
            }
            if piece.form == Form::Plain {
                let mut done = 0;
                while done < piece.length {
                    let len = CHUNK.min(piece.length - done);
                    let is_whole = stored.read(piece.offset + done, len, &mut raw)?;
                    if visitor.take(start + done, &raw).is_break() || !is_whole {
                        return Ok(broken);
                    }
                    done += len;
                }
                continue;
            }
            if !stored.read(piece.offset, piece.stored, &mut raw)? {
                break;
            }
            plain.clear();
            match piece.unpack(&raw, &mut plain) {
                Ok(()) if visitor.take(start, &plain).is_break() => break,
                Ok(()) => {}
                Err(error) => {
                    let range = start..start + piece.length;
                    visitor.lost(range.clone());
                    broken.push(Broken { range, why: error.to_string() });
                }
            }
        }
        Ok(broken)
    }
}

/// A block that can't be unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The offsets of its plain bytes.
    pub(super) range: Range<u64>,
    pub(super) why: String,
}

/// Whether plain bytes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Some of them.
    Now,
    /// None of them, but some behind them.
    Later,
    /// Neither them nor any behind them.
    NoMore,
}

/// Takes plain bytes in ascending order.
pub(super) trait PlainVisitor {
    /// Whether it wants to see any of these.
    fn wants(&mut self, range: Range<u64>) -> Wanted;

    /// Takes bytes that belong at an offset.
    fn take(&mut self, at: u64, bytes: &[u8]) -> ControlFlow<()>;

    /// These can't be had.
    fn lost(&mut self, range: Range<u64>);
}

/// The file with the packed pages.
pub(super) trait StoredPages {
    /// Reads `len` bytes into an emptied buffer; offsets ascend from call to call. False when the file ends before: then the buffer has what is there.
    fn read(&mut self, offset: u64, len: u64, into: &mut Vec<u8>) -> io::Result<bool>;
}

impl StoredPages for &Bytes {
    fn read(&mut self, offset: u64, len: u64, into: &mut Vec<u8>) -> io::Result<bool> {
        into.clear();
        // A piece is at most one chunk or one block, a few MiB; what is not there asks for no memory.
        let there = len.min(self.len().saturating_sub(offset));
        into.resize(there as usize, 0);
        let read = self.read_at(offset, into)?;
        into.truncate(read);
        Ok(read as u64 == len)
    }
}

/// A file that goes by.
pub(super) struct Passing<'r> {
    stream: &'r mut dyn Read,
    at: u64,
}

impl<'r> Passing<'r> {
    pub(super) fn new(stream: &'r mut dyn Read) -> Self {
        Self { stream, at: 0 }
    }
}

impl StoredPages for Passing<'_> {
    fn read(&mut self, offset: u64, len: u64, into: &mut Vec<u8>) -> io::Result<bool> {
        into.clear();
        let skip = offset.saturating_sub(self.at);
        self.at += io::copy(&mut (&mut *self.stream).take(skip), &mut io::sink())?;
        if self.at < offset {
            return Ok(false);
        }
        let read = (&mut *self.stream).take(len).read_to_end(into)? as u64;
        self.at += read;
        Ok(read == len)
    }
}
