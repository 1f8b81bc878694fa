//! How large a page of a dump is: no pagemap says it.

use criu_images::Image;
use criu_images::pagemap::Pagemap;
use criu_images::schema::MmEntry;

/// `AT_PAGESZ`: type of the page size in an auxiliary vector.
const AT_PAGESZ: u64 = 6;

/// The page size in bytes that the auxiliary vector in an `mm` image says, if it can be true.
pub fn said_by(mm: &[u8]) -> Option<u64> {
    let mm: MmEntry = Image::parse_named(b"mm-1.img", mm).ok()?.entry().ok()?;
    let pair = mm.mm_saved_auxv.as_chunks::<2>().0.iter().find(|[key, _]| *key == AT_PAGESZ)?;
    Some(pair[1]).filter(|size| size.is_power_of_two() && (4096..=1 << 20).contains(size))
}

/// The page size in bytes with which a pagemap and the size of its pages file agree: pre-dumps hold no `mm` image.
pub fn fitting(pagemap: &Pagemap, size_of_pages: u64) -> Option<u64> {
    [4096, 16384, 65536].into_iter().find(|page_size| {
        let mut pieces = pagemap.pieces(*page_size);
        pieces.by_ref().all(|piece| piece.is_ok()) && pieces.offset() == size_of_pages
    })
}
