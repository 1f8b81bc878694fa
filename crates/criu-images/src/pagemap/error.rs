//! What can be wrong with a pagemap as a plan of its pages file, and with a pages file.

/// Something wrong at one entry of a pagemap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {entry} of the pagemap, byte {offset} of the pages file: {fault}")]
pub struct PagesError {
    /// Number of the entry in the pagemap image, from 0; the head is entry 0. Behind the last entry, their number.
    pub entry: u64,
    /// Offset in the pages file, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub fault: PagesFault,
}

/// What is wrong at an entry of a pagemap, or in the pages that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PagesFault {
    /// A page size that no machine has: not a power of two, or not from 512 bytes to 4 MiB.
    #[error("there is no page size of {0} bytes")]
    PageSize(u64),
    /// More pages than an address space has, or an address or a position in the file beyond 2^64.
    #[error("{pages} pages at {vaddr:#x} are more than any address space has")]
    TooMany {
        /// The entry's address.
        vaddr: u64,
        /// The entry's count.
        pages: u64,
    },
    /// Blocks, or the mark of aligned bytes, on an entry whose bytes are not in the pages file.
    #[error("blocks of pages that are not in the pages file")]
    NotPresent,
    /// Blocks of no page, or of more than 4 MiB.
    #[error("blocks of {0} pages are impossible")]
    PagesPerBlock(u32),
    /// Another number of blocks than the pages take.
    #[error("{found} blocks where {needed} are needed")]
    BlockCount {
        /// How many there are.
        found: u64,
        /// How many the pages take.
        needed: u64,
    },
    /// A block that takes more bytes packed than plain.
    #[error("block {block}: {stored} bytes for {plain}, which is more than it holds")]
    BlockSize {
        /// Number of the block in the entry, from 0.
        block: u64,
        /// Its bytes in the file.
        stored: u32,
        /// Its bytes in memory.
        plain: u64,
    },
    /// A sum of sizes that is not what the entry says.
    #[error("the blocks take {sum} bytes, but the entry says {said}")]
    TotalSize {
        /// Sum of all sizes.
        sum: u64,
        /// `total_payload_size`.
        said: u64,
    },
    /// The pages file ends too early.
    #[error("{length} bytes, of which {present} are there (damaged or cut)")]
    Cut {
        /// Bytes that should be there.
        length: u64,
        /// Bytes that are.
        present: u64,
    },
    /// The pages file goes on behind all that the pagemap names.
    #[error("the pages file goes on behind the last page that the pagemap names")]
    Trailing,
    /// The bytes of a block are not LZ4.
    #[error("no LZ4 block: {0}")]
    Lz4(String),
    /// A block that unpacks to fewer bytes than its pages have.
    #[error("an LZ4 block of {found} bytes where {plain} are needed")]
    PlainSize {
        /// Bytes that came out.
        found: u64,
        /// Bytes of the block's pages.
        plain: u64,
    },
}
