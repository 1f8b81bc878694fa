//! Pagemaps of all generations: which pages of an address space are in the image, as one list of runs.
//!
//! CRIU counted pages in field 2 of `pagemap_entry` up to 4.1 and counts them in field 5 since 4.2; it said "the page
//! is in the parent" by `in_parent` up to 3.4 and by `flags` since 3.5. All of that is one [`Run`] here.

use crate::error::{Error, Result};
use crate::framing::{Image, RawEntry};
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
        for entry in entries {
            match entry.and_then(|entry| run(&entry)) {
                Ok(run) => pagemap.runs.push(run),
                Err(error) => {
                    pagemap.damage = Some(error);
                    break;
                }
            }
        }
        Ok(pagemap)
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

/// Reads one entry by hand: pagemaps are the only images with hundreds of thousands of them.
fn run(entry: &RawEntry<'_>) -> Result<Run> {
    let (mut vaddr, mut compat_pages, mut in_parent, mut flags, mut pages) = (None, None, false, None, None);
    let mut rest = entry.message;
    while let [key, after @ ..] = rest {
        // Keys of the fields 1 to 5 as varints; anything else takes the slow way.
        if !matches!(key, 0x08 | 0x10 | 0x18 | 0x20 | 0x28) {
            return run_with_blocks(entry);
        }
        let Ok((value, length)) = varint(after) else { return run_with_blocks(entry) };
        match key {
            0x08 => vaddr = Some(value),
            0x10 => compat_pages = Some(value as u32),
            0x18 => in_parent = value != 0,
            0x20 => flags = Some(value as u32),
            _ => pages = Some(value),
        }
        rest = &after[length..];
    }
    let missing = |field| Error::MissingField { place: entry.place(), message: "pagemap_entry", field };
    let vaddr = vaddr.ok_or_else(|| missing("vaddr"))?;
    let compat_pages = compat_pages.ok_or_else(|| missing("compat_nr_pages"))?;
    Ok(Run {
        vaddr,
        pages: pages.unwrap_or(u64::from(compat_pages)),
        flags: flags_of(flags, in_parent),
        blocks: None,
    })
}

/// Brings the two ways of saying where a page is into one, as CRIU's own reader does.
fn flags_of(flags: Option<u32>, in_parent: bool) -> u32 {
    match (in_parent, flags) {
        (true, flags) => flags.unwrap_or(0) | PE_PARENT,
        (false, Some(flags)) => flags,
        (false, None) => PE_PRESENT,
    }
}

/// Reads an entry that holds more than numbers, or damage.
fn run_with_blocks(entry: &RawEntry<'_>) -> Result<Run> {
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
