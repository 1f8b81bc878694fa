//! A pages file read from front to back: the pages of its pagemap, plain.

use std::io::{self, Read};

use super::{Form, Pagemap, PagesError, PagesFault, Piece, Pieces};

/// How many bytes of plain pages are read at once.
const CHUNK: u64 = 1 << 20;

/// Why pages could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The pagemap or the pages file is damaged, or they don't belong together.
    #[error(transparent)]
    Pages(#[from] PagesError),
    /// The pages file could not be read.
    #[error("byte {offset} of the pages file: {source}")]
    Read {
        /// Offset in the pages file, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

/// Some pages, plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Which run of the pagemap they belong to, from 0.
    pub run: usize,
    /// Address of the first byte.
    pub vaddr: u64,
    /// The bytes: whole pages, 4 MiB at most.
    pub bytes: &'a [u8],
}

/// Reads a pages file from front to back, compressed or not. Memory use is that of the largest block.
///
/// ```
/// use criu_images::pagemap::{Pagemap, Unpacker};
///
/// # let bytes = b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x01\x09\0\0\0\x08\x80\x20\x10\0\x20\x04\x28\x04";
/// let pagemap = Pagemap::parse(bytes)?;
/// let pages = [7u8; 4 * 4096];
/// let mut unpacker = Unpacker::new(&pagemap, 4096, &pages[..]);
/// while let Some(chunk) = unpacker.next_chunk()? {
///     assert_eq!((chunk.vaddr, chunk.bytes.len()), (0x1000, 4 * 4096));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Unpacker<'p, R> {
    pieces: Pieces<'p>,
    pages: R,
    /// What was read of the pages file, in bytes.
    position: u64,
    /// A plain piece that is read in several chunks: its rest.
    plain: Option<Piece>,
    stored: Vec<u8>,
    unpacked: Vec<u8>,
    done: bool,
}

impl<'p, R: Read> Unpacker<'p, R> {
    /// Makes an unpacker of a pages file, which `pages` yields from its first byte on.
    pub fn new(pagemap: &'p Pagemap, page_size: u64, pages: R) -> Self {
        Self {
            pieces: pagemap.pieces(page_size),
            pages,
            position: 0,
            plain: None,
            stored: Vec::new(),
            unpacked: Vec::new(),
            done: false,
        }
    }

    /// Returns how many bytes of the pages file were read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns the next pages, in the order of the pagemap; `None` behind the last ones. After an error too.
    ///
    /// # Errors
    ///
    /// [`UnpackError::Pages`] says at which entry and byte the two files don't fit, [`PagesFault::Trailing`] among
    /// them; [`UnpackError::Read`] if the pages file can't be read.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, UnpackError> {
        if self.done {
            return Ok(None);
        }
        // Whatever goes wrong from here on is the end.
        self.done = true;
        let next = match self.plain.take() {
            Some(rest) => Some(rest),
            None => self.pieces.next().transpose()?,
        };
        let Some(piece) = next else {
            self.expect_end()?;
            return Ok(None);
        };
        let now = match piece.form {
            Form::Plain => self.split(piece),
            _ => piece,
        };
        self.skip_to(&now)?;
        self.fill(&now)?;
        self.unpacked.clear();
        let bytes = if now.form == Form::Plain {
            &self.stored
        } else {
            now.unpack(&self.stored, &mut self.unpacked)?;
            &self.unpacked
        };
        self.done = false;
        Ok(Some(Chunk { run: now.run, vaddr: now.vaddr, bytes }))
    }

    /// Returns what is read now of a plain piece; its rest comes next.
    fn split(&mut self, piece: Piece) -> Piece {
        let now = piece.length.min(CHUNK);
        let left = piece.length - now;
        self.plain = (left > 0).then_some(Piece {
            vaddr: piece.vaddr + now,
            length: left,
            offset: piece.offset + now,
            stored: left,
            ..piece
        });
        Piece { length: now, stored: now, ..piece }
    }

    /// Passes the zeros ahead of an aligned run.
    fn skip_to(&mut self, piece: &Piece) -> Result<(), UnpackError> {
        let gap = piece.offset.saturating_sub(self.position);
        self.stored.clear();
        self.take(gap)?;
        if (self.stored.len() as u64) < gap {
            let fault = PagesFault::Cut { length: piece.stored, present: 0 };
            return Err(piece.error(fault).into());
        }
        Ok(())
    }

    /// Reads the stored bytes of a piece.
    fn fill(&mut self, piece: &Piece) -> Result<(), UnpackError> {
        self.stored.clear();
        self.take(piece.stored)?;
        let present = self.stored.len() as u64;
        if present < piece.stored {
            return Err(piece.error(PagesFault::Cut { length: piece.stored, present }).into());
        }
        Ok(())
    }

    /// Reads up to so many bytes, fewer only at the end of the file.
    fn take(&mut self, length: u64) -> Result<(), UnpackError> {
        let offset = self.position;
        let read = (&mut self.pages).take(length).read_to_end(&mut self.stored);
        self.position += read.map_err(|source| UnpackError::Read { offset, source })? as u64;
        Ok(())
    }

    fn expect_end(&mut self) -> Result<(), UnpackError> {
        self.stored.clear();
        self.take(1)?;
        if self.stored.is_empty() {
            return Ok(());
        }
        let (entry, offset) = (self.pieces.entry(), self.pieces.offset());
        Err(PagesError { entry, offset, fault: PagesFault::Trailing }.into())
    }
}
