//! A plain pages file made a compressed one.

use std::io::{Read, Write};

use super::edit::{append_bytes, append_varint, push_entry};
use super::{BLOCKS, CompressError, Rewritten};
use crate::framing::Image;
use crate::pagemap::{Pagemap, Unpacker};
use crate::wire::write_varint;

/// The longest list of blocks in bytes: far below the 2 GiB that protobuf allows a message.
const MOST_BLOCKS: usize = 1 << 30;

/// Compresses a pages file, one page a block: reads all of `pages`, writes all of `out`.
///
/// `raw` says of an address whether its page has to stay as it is: pages of hugetlb mappings and of plugins. A page of
/// zeros takes nothing; one that does not go below 7/8 of its size is stored as it is. An entry of which no page
/// becomes smaller gets no blocks.
///
/// # Errors
///
/// Every variant but [`CompressError::Version`]. What was written until then is worth nothing.
pub fn compress<R: Read, W: Write>(
    pagemap: &[u8],
    page_size: u64,
    raw: &dyn Fn(u64) -> bool,
    pages: R,
    out: &mut W,
) -> Result<Rewritten, CompressError> {
    let image = Image::parse(pagemap)?;
    let plan = Pagemap::from_image(&image)?;
    if let Some(damage) = plan.damage {
        return Err(damage.into());
    }
    if let Some(run) = plan.runs.iter().position(|run| run.blocks.is_some() || run.is_aligned()) {
        return Err(CompressError::Compressed { entry: run as u64 + 1 });
    }
    let mut lists = vec![Sizes::default(); plan.runs.len()];
    let mut rewritten = Rewritten { pagemap: Vec::new(), pages: 0, plain: 0, stored: 0 };
    let mut packed = Vec::new();
    let mut unpacker = Unpacker::new(&plan, page_size, pages);
    while let Some(chunk) = unpacker.next_chunk()? {
        // The unpacker accepts only page sizes that a slice can have.
        for (page, vaddr) in
            chunk.bytes.chunks(page_size as usize).zip((chunk.vaddr..).step_by(page_size as usize))
        {
            let stored = if raw(vaddr) { page } else { pack(page, &mut packed) };
            lists[chunk.run].push(stored.len(), page.len());
            if lists[chunk.run].bytes.len() > MOST_BLOCKS {
                return Err(CompressError::TooLarge { entry: chunk.run as u64 + 1 });
            }
            out.write_all(stored)?;
            rewritten.pages += 1;
            rewritten.plain += page.len() as u64;
            rewritten.stored += stored.len() as u64;
        }
    }
    rewritten.pagemap = with_blocks(&image, &lists)?;
    Ok(rewritten)
}

/// Returns what is stored of a page.
fn pack<'a>(page: &'a [u8], packed: &'a mut Vec<u8>) -> &'a [u8] {
    if page.iter().all(|byte| *byte == 0) {
        return &[];
    }
    packed.resize(lz4_flex::block::get_maximum_output_size(page.len()), 0);
    match lz4_flex::block::compress_into(page, packed) {
        Ok(length) if length * 8 < page.len() * 7 => &packed[..length],
        // The buffer is large enough for any page; if it were not, the page itself is right too.
        _ => page,
    }
}

/// The list of blocks of one entry, as it grows.
#[derive(Debug, Clone, Default)]
struct Sizes {
    /// The sizes as varints: a packed list.
    bytes: Vec<u8>,
    total: u64,
    /// Some page became smaller.
    any: bool,
}

impl Sizes {
    fn push(&mut self, stored: usize, plain: usize) {
        write_varint(&mut self.bytes, stored as u64);
        self.total += stored as u64;
        self.any |= stored < plain;
    }

    /// Returns a `pagemap_blocks` with one page a block.
    fn message(&self) -> Vec<u8> {
        let mut message = Vec::new();
        append_bytes(&mut message, 1, &self.bytes);
        append_varint(&mut message, 2, self.total);
        append_varint(&mut message, 3, 1);
        message
    }
}

/// Returns the pagemap with blocks at the end of each entry that has some.
fn with_blocks(image: &Image<'_>, lists: &[Sizes]) -> Result<Vec<u8>, CompressError> {
    let mut entries = image.raw_entries();
    let body = entries.offset() as usize;
    let mut out = image.bytes()[..body].to_vec();
    let head = std::iter::once(None);
    for list in head.chain(lists.iter().map(Some)) {
        let Some(entry) = entries.next() else { break };
        let mut message = entry?.message.to_vec();
        if let Some(list) = list.filter(|list| list.any) {
            append_bytes(&mut message, BLOCKS, &list.message());
        }
        push_entry(image, &message, &mut out);
    }
    Ok(out)
}
