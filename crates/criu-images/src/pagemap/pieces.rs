//! Where the pages of a pagemap are in its pages file, and in which form, from the pagemap alone.

use super::{Blocks, PagesError, PagesFault, Run};

/// The largest block that CRIU 4.3 reads, in bytes of memory.
pub const MOST_BLOCK: u64 = 4 << 20;

/// How bytes stand in a pages file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// As they were in memory.
    Plain,
    /// Nothing is stored: all bytes are zero.
    Zero,
    /// One LZ4 block, without frame and without a length.
    Lz4,
}

/// Memory that stands in one place and one form in a pages file: all pages of a run, or one block of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Which run of the pagemap, from 0.
    pub run: usize,
    /// Address of the first byte; in the pagemap of a shared memory object, the offset in the object.
    pub vaddr: u64,
    /// Bytes of memory: a multiple of the page size, at least one page. In other forms than plain, 4 MiB at most.
    pub length: u64,
    /// Where it starts in the pages file, in bytes.
    pub offset: u64,
    /// Bytes that it takes in the pages file.
    pub stored: u64,
    /// How it stands there.
    pub form: Form,
}

impl Piece {
    /// Appends the plain bytes, [`Piece::length`] of them, to `out`. `stored` is what the pages file has at
    /// [`Piece::offset`], [`Piece::stored`] bytes.
    ///
    /// # Errors
    ///
    /// [`PagesFault::Cut`] if `stored` has another length than it should; [`PagesFault::Lz4`] and
    /// [`PagesFault::PlainSize`] for damaged blocks. `out` is then as it was.
    pub fn unpack(&self, stored: &[u8], out: &mut Vec<u8>) -> Result<(), PagesError> {
        if stored.len() as u64 != self.stored {
            return Err(self.error(PagesFault::Cut { length: self.stored, present: stored.len() as u64 }));
        }
        // Only plain pieces can be longer than a block, and then their bytes are here.
        let before = out.len();
        match self.form {
            Form::Plain => out.extend_from_slice(stored),
            Form::Zero => out.resize(before + self.length as usize, 0),
            Form::Lz4 => {
                out.resize(before + self.length as usize, 0);
                let unpacked = lz4_flex::block::decompress_into(stored, &mut out[before..]);
                let found = unpacked.map_err(|error| PagesFault::Lz4(error.to_string()));
                let fault = match found {
                    Ok(found) if found as u64 == self.length => return Ok(()),
                    Ok(found) => PagesFault::PlainSize { found: found as u64, plain: self.length },
                    Err(fault) => fault,
                };
                out.truncate(before);
                return Err(self.error(fault));
            }
        }
        Ok(())
    }

    pub(super) fn error(&self, fault: PagesFault) -> PagesError {
        PagesError { entry: self.run as u64 + 1, offset: self.offset, fault }
    }
}

/// The pieces of a pagemap in the order of the pages file. Made by [`super::Pagemap::pieces`]; ends after an error.
#[derive(Debug, Clone)]
pub struct Pieces<'p> {
    runs: &'p [Run],
    page_size: u64,
    /// The run that is read, and the next block of it.
    run: usize,
    block: usize,
    /// Where the next piece starts in the pages file.
    offset: u64,
    failed: bool,
}

impl<'p> Pieces<'p> {
    pub(super) fn new(runs: &'p [Run], page_size: u64) -> Self {
        Self { runs, page_size, run: 0, block: 0, offset: 0, failed: false }
    }

    /// Returns where the next piece starts; after the last one, how long the pages file is.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the number of the entry that is read, of the pagemap image.
    pub(super) fn entry(&self) -> u64 {
        self.run as u64 + 1
    }

    fn read(&mut self) -> Result<Option<Piece>, PagesFault> {
        if !self.page_size.is_power_of_two() || !(512..=MOST_BLOCK).contains(&self.page_size) {
            return Err(PagesFault::PageSize(self.page_size));
        }
        while let Some(run) = self.runs.get(self.run) {
            if !run.is_present() && (run.blocks.is_some() || run.is_aligned()) {
                return Err(PagesFault::NotPresent);
            }
            if !run.is_present() || run.pages == 0 {
                self.run += 1;
                continue;
            }
            let too_many = PagesFault::TooMany { vaddr: run.vaddr, pages: run.pages };
            let whole = run.pages.checked_mul(self.page_size).ok_or(too_many.clone())?;
            let end = run.vaddr.checked_add(whole).ok_or(too_many.clone())?;
            if self.block == 0 && run.is_aligned() {
                self.offset = self.offset.checked_next_multiple_of(self.page_size).ok_or(too_many.clone())?;
            }
            let Some(blocks) = &run.blocks else {
                let piece = Piece {
                    run: self.run,
                    vaddr: run.vaddr,
                    length: whole,
                    offset: self.offset,
                    stored: whole,
                    form: Form::Plain,
                };
                self.offset = self.offset.checked_add(whole).ok_or(too_many)?;
                self.run += 1;
                return Ok(Some(piece));
            };
            if self.block == 0 {
                self.check(run, blocks)?;
            }
            let most = u64::from(blocks.pages_per_block) * self.page_size;
            // The sum over all blocks was checked not to be more than the run.
            let vaddr = run.vaddr + self.block as u64 * most;
            let length = most.min(end - vaddr);
            let stored = blocks.sizes[self.block];
            let form = match u64::from(stored) {
                0 => Form::Zero,
                stored if stored == length => Form::Plain,
                stored if stored < length => Form::Lz4,
                _ => {
                    return Err(PagesFault::BlockSize { block: self.block as u64, stored, plain: length });
                }
            };
            let piece =
                Piece { run: self.run, vaddr, length, offset: self.offset, stored: stored.into(), form };
            self.offset = self.offset.checked_add(stored.into()).ok_or(too_many)?;
            self.block += 1;
            if self.block == blocks.sizes.len() {
                (self.run, self.block) = (self.run + 1, 0);
            }
            return Ok(Some(piece));
        }
        Ok(None)
    }

    /// Checks that a run's blocks are as many as its pages take, and as long in all as they say.
    fn check(&self, run: &Run, blocks: &Blocks) -> Result<(), PagesFault> {
        let pages_per_block = u64::from(blocks.pages_per_block);
        if pages_per_block == 0 || pages_per_block * self.page_size > MOST_BLOCK {
            return Err(PagesFault::PagesPerBlock(blocks.pages_per_block));
        }
        let (found, needed) = (blocks.sizes.len() as u64, run.pages.div_ceil(pages_per_block));
        if found != needed {
            return Err(PagesFault::BlockCount { found, needed });
        }
        let sum = blocks.sizes.iter().map(|size| u64::from(*size)).sum();
        if sum != blocks.total_payload_size {
            return Err(PagesFault::TotalSize { sum, said: blocks.total_payload_size });
        }
        Ok(())
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece, PagesError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let piece = self.read();
        self.failed = piece.is_err();
        piece.map_err(|fault| PagesError { entry: self.entry(), offset: self.offset, fault }).transpose()
    }
}
