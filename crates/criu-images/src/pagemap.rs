//! Pagemaps of all generations: which pages of an address space are in the image, as one list of runs.
//!
//! CRIU counted pages in field 2 of `pagemap_entry` up to 4.1 and counts them in field 5 since 4.2; it said "the page
//! is in the parent" by `in_parent` up to 3.4 and by `flags` since 3.5. All of that is one [`Run`] here.
//!
//! Where the bytes of a run are in the pages file follows from all runs before it: [`Pagemap::pieces`]. [`Unpacker`]
//! reads a pages file from front to back, compressed (CRIU 4.3) or not.

mod error;
mod pieces;
mod unpacker;

pub use error::{PagesError, PagesFault};
pub use pieces::{Form, MOST_BLOCK, Piece, Pieces};
pub use unpacker::{Chunk, UnpackError, Unpacker};

use crate::error::{Error, Result};
use crate::framing::{Image, RawEntry};
use crate::payload::word32;
use crate::required;
use crate::schema::{Entry, PagemapBlocks, PagemapEntry, PagemapHead, messages};
use crate::wire::varint;

/// `PE_PARENT`: the page is in the parent image.
pub const PE_PARENT: u32 = 1;
/// `PE_LAZY`: the page may be restored when it is touched first.
pub const PE_LAZY: u32 = 1 << 1;
/// `PE_PRESENT`: the page's bytes are in the pages file of this image.
pub const PE_PRESENT: u32 = 1 << 2;
/// `PE_PAYLOAD_ALIGNED`: the run's bytes start at a multiple of the page size in the pages file (CRIU 4.3).
pub const PE_PAYLOAD_ALIGNED: u32 = 1 << 3;

/// A pagemap, read as far as it is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pagemap {
    /// Number of the pages file: `pages-<pages_id>.img`.
    pub pages_id: u32,
    /// The runs in the order of the file, which is the order of the pages file too.
    pub runs: Vec<Run>,
    /// What ended the list early. All runs before it are good; what follows is unknown.
    pub damage: Option<Error>,
}

/// Pages that follow each other: one `pagemap_entry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Address of the first page in bytes; in the pagemap of a shared memory object, the offset in the object.
    pub vaddr: u64,
    /// How many pages. Their size is in no pagemap: take `AT_PAGESZ` of `mm_entry.mm_saved_auxv`.
    pub pages: u64,
    /// `PE_*` bits, of whatever generation the image is.
    pub flags: u32,
    /// How the run is packed, if CRIU 4.3 compressed it.
    pub blocks: Option<Box<Blocks>>,
}

impl Run {
    /// True if the bytes are in the pages file of this image.
    pub fn is_present(&self) -> bool {
        self.flags & PE_PRESENT != 0
    }

    /// True if the bytes are in the parent image.
    pub fn in_parent(&self) -> bool {
        self.flags & PE_PARENT != 0
    }

    /// True if the pages may be restored lazily. Without [`Run::is_present`], they never came into the image.
    pub fn is_lazy(&self) -> bool {
        self.flags & PE_LAZY != 0
    }

    /// True if the run's bytes start at the next multiple of the page size.
    pub fn is_aligned(&self) -> bool {
        self.flags & PE_PAYLOAD_ALIGNED != 0
    }
}

/// How a run is packed: `pagemap_blocks` of CRIU 4.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    /// Bytes that each block takes in the pages file: 0 for a block of zeros, the unpacked size for one stored as it
    /// is, else the length of an LZ4 block.
    pub sizes: Vec<u32>,
    /// Sum of the sizes, as the image says it.
    pub total_payload_size: u64,
    /// Pages that a block covers; the last one of a run may cover fewer.
    pub pages_per_block: u32,
}

impl Pagemap {
    /// Reads a pagemap image. Damage behind the head does not fail: see [`Pagemap::damage`].
    ///
    /// ```
    /// use criu_images::pagemap::Pagemap;
    ///
    /// // As CRIU 4.2 writes it: pages_id 1, then four pages at 0x1000, with the old count (field 2) zero.
    /// let bytes = b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x01\x09\0\0\0\x08\x80\x20\x10\0\x20\x04\x28\x04";
    /// let pagemap = Pagemap::parse(bytes)?;
    /// let run = &pagemap.runs[0];
    /// assert_eq!((run.vaddr, run.pages, run.is_present()), (0x1000, 4, true));
    /// assert_eq!(pagemap.damage, None);
    /// # Ok::<(), criu_images::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the file is no pagemap, or if its first entry is not a whole `pagemap_head`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::from_image(&Image::parse(bytes)?)
    }

    /// As [`Pagemap::parse`], of an image whose magic was read already.
    ///
    /// # Errors
    ///
    /// As [`Pagemap::parse`].
    pub fn from_image(image: &Image<'_>) -> Result<Self> {
        if !image.kind().entries.contains(&messages::PAGEMAP_ENTRY) {
            return Err(Error::NotOfKind { kind: image.kind().name, asked: PagemapEntry::MESSAGE.name });
        }
        let mut entries = image.raw_entries();
        let head = entries
            .next()
            .unwrap_or(Err(Error::NoEntry { kind: image.kind().name, offset: image.bytes().len() as u64 }))?;
        check_head(&head)?;
        let mut pagemap =
            Self { pages_id: head.decode::<PagemapHead>()?.pages_id, runs: Vec::new(), damage: None };
        pagemap.damage = pagemap.read_runs(image, entries.offset() as usize).err();
        Ok(pagemap)
    }

    /// Returns where all pages are in the pages file and in which form, in the order of the file. `page_size` is in
    /// bytes; it has to be that of the machine that dumped.
    ///
    /// The iterator says what is wrong with the pagemap as a plan of the file, and ends there; behind it nothing can be
    /// placed.
    ///
    /// ```
    /// use criu_images::pagemap::{Form, Pagemap};
    ///
    /// # let bytes = b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x01\x09\0\0\0\x08\x80\x20\x10\0\x20\x04\x28\x04";
    /// let pagemap = Pagemap::parse(bytes)?;
    /// let pieces = pagemap.pieces(4096).collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!((pieces[0].offset, pieces[0].length, pieces[0].form), (0, 4 * 4096, Form::Plain));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pieces(&self, page_size: u64) -> Pieces<'_> {
        Pieces::new(&self.runs, page_size)
    }

    /// Reads all runs from a position on.
    fn read_runs(&mut self, image: &Image<'_>, mut position: usize) -> Result<()> {
        let bytes = image.bytes();
        // As CRIU writes them, entries take 13 bytes at least.
        self.runs.reserve((bytes.len() - position) / 13);
        loop {
            let rest = bytes.get(position..).unwrap_or_default();
            if let Some((run, length)) = plain_run(rest, image.is_big_endian()) {
                self.runs.push(run);
                position += length;
                continue;
            }
            let index = 1 + self.runs.len() as u64;
            let mut entries = image.raw_entries_from(position, index);
            let Some(entry) = entries.next() else { return Ok(()) };
            self.runs.push(run(&entry?)?);
            position = entries.offset() as usize;
        }
    }
}

/// Refuses a first entry that is a `pagemap_entry`: its address would be taken for the number of a pages file.
pub(crate) fn check_head(head: &RawEntry<'_>) -> Result<()> {
    let is_entry = required::check(&messages::PAGEMAP_ENTRY, head.message, head.place()).is_ok();
    if is_entry {
        let (message, asked) = (PagemapEntry::MESSAGE.name, PagemapHead::MESSAGE.name);
        return Err(Error::OtherMessage { place: head.place(), message, asked });
    }
    Ok(())
}

/// Reads one entry by hand, with its length word, if it holds nothing but numbers: pagemaps are the only images with
/// hundreds of thousands of entries. Returns the run and the length of all of it.
fn plain_run(bytes: &[u8], big_endian: bool) -> Option<(Run, usize)> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    let length = word32(*word, big_endian) as usize;
    let mut rest = rest.get(..length)?;
    let (mut vaddr, mut compat_pages, mut in_parent, mut flags, mut pages) = (None, None, false, None, None);
    while let [key, after @ ..] = rest {
        let (value, taken) = varint(after).ok()?;
        match key >> 3 {
            1 => vaddr = Some(value),
            2 => compat_pages = Some(value as u32),
            3 => in_parent = value != 0,
            4 => flags = Some(value as u32),
            5 => pages = Some(value),
            _ => return None,
        }
        if key & 7 != 0 {
            return None;
        }
        rest = &after[taken..];
    }
    let pages = pages.unwrap_or(u64::from(compat_pages?));
    Some((Run { vaddr: vaddr?, pages, flags: flags_of(flags, in_parent), blocks: None }, 4 + length))
}

/// Brings the two ways of saying where a page is into one, as CRIU's own reader does.
fn flags_of(flags: Option<u32>, in_parent: bool) -> u32 {
    match (in_parent, flags) {
        (true, flags) => flags.unwrap_or(0) | PE_PARENT,
        (false, Some(flags)) => flags,
        (false, None) => PE_PRESENT,
    }
}

/// Reads any entry, or says what is wrong with it.
fn run(entry: &RawEntry<'_>) -> Result<Run> {
    let message: PagemapEntry = entry.decode()?;
    let blocks = message.blocks.map(|blocks: PagemapBlocks| {
        Box::new(Blocks {
            sizes: blocks.block_sizes,
            total_payload_size: blocks.total_payload_size,
            pages_per_block: blocks.pages_per_block,
        })
    });
    Ok(Run {
        vaddr: message.vaddr,
        pages: message.nr_pages.unwrap_or(u64::from(message.compat_nr_pages)),
        flags: flags_of(message.flags, message.in_parent.unwrap_or(false)),
        blocks,
    })
}
