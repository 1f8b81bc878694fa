//! A compressed pages file made a plain one.

use std::io::{Read, Write};

use super::edit::{fault, last_number, occurrences, push_entry, with_varint, without};
use super::{BLOCKS, CompressError, FLAGS, Rewritten};
use crate::framing::Image;
use crate::pagemap::{PE_PAYLOAD_ALIGNED, Pagemap, Unpacker};

/// Gives back the plain pages of a pages file, compressed or not, by whomever: reads all of `pages`, writes all of
/// `out`. The pagemap that comes back has no blocks and no marks of aligned bytes.
///
/// # Errors
///
/// [`CompressError::Image`], [`CompressError::Pages`], [`CompressError::File`]. What was written until then is worth
/// nothing.
pub fn decompress<R: Read, W: Write>(
    pagemap: &[u8],
    page_size: u64,
    pages: R,
    out: &mut W,
) -> Result<Rewritten, CompressError> {
    let image = Image::parse(pagemap)?;
    let plan = Pagemap::from_image(&image)?;
    if let Some(damage) = plan.damage {
        return Err(damage.into());
    }
    let mut rewritten = Rewritten { pagemap: Vec::new(), pages: 0, plain: 0, stored: 0 };
    let mut unpacker = Unpacker::new(&plan, page_size, pages);
    while let Some(chunk) = unpacker.next_chunk()? {
        out.write_all(chunk.bytes)?;
        rewritten.plain += chunk.bytes.len() as u64;
    }
    rewritten.pages = rewritten.plain / page_size;
    rewritten.stored = unpacker.position();
    rewritten.pagemap = without_blocks(&image)?;
    Ok(rewritten)
}

fn without_blocks(image: &Image<'_>) -> Result<Vec<u8>, CompressError> {
    let mut entries = image.raw_entries();
    let body = entries.offset() as usize;
    let mut out = image.bytes()[..body].to_vec();
    if let Some(head) = entries.next() {
        push_entry(image, head?.message, &mut out);
    }
    for entry in entries {
        let entry = entry?;
        let mut message = entry.message.to_vec();
        // From the last to the first, so that what stands ahead stays where it is.
        for field in
            occurrences(entry.message, BLOCKS).map_err(|it| fault(&entry, entry.schema, it))?.iter().rev()
        {
            message = without(&message, field);
        }
        let before = message;
        let flags = occurrences(&before, FLAGS).map_err(|it| fault(&entry, entry.schema, it))?;
        let aligned = u64::from(PE_PAYLOAD_ALIGNED);
        let message = match (flags.last(), last_number(&flags)) {
            (Some(field), Some(bits)) if bits & aligned != 0 => with_varint(&before, field, bits & !aligned),
            _ => before.clone(),
        };
        push_entry(image, &message, &mut out);
    }
    Ok(out)
}
