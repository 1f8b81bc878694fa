//! The inventory of a dump whose pages are compressed: three fields more or other.
//!
//! A dump of today has `img_version` 2 and no word of compression; crit 4.3 makes that 3, and appends `compress` and
//! `compress_block_size`. So does this. An inventory that is otherwise (a pre-dump has version 0, one of CRIU 4.3 has
//! `compress` 0) keeps its fields, and gets the new ones behind them: the last one counts, and what stood before is
//! there to come back.

use super::CompressError;
use super::edit::{append_varint, fault, last_number, occurrences, push_entry, with_varint, without};
use crate::error::Error;
use crate::framing::{Image, RawEntry};
use crate::schema::InventoryEntry;

/// Field number of `inventory_entry.img_version`.
const VERSION: u32 = 1;
/// Field number of `inventory_entry.compress`.
const COMPRESS: u32 = 15;
/// Field number of `inventory_entry.compress_block_size`.
const BLOCK_SIZE: u32 = 16;
/// `CRTOOLS_IMAGES_V1`: no head words (CRIU before 1.6).
const V1: u32 = 1;
/// `CRTOOLS_IMAGES_V1_1`: head words.
const V1_1: u64 = 2;
/// `CRTOOLS_IMAGES_V1_2`: pages may be compressed (CRIU 4.3).
const V1_2: u64 = 3;

/// Tells whether an inventory says that the pages are compressed.
///
/// # Errors
///
/// Those of reading the inventory.
pub fn is_compressed(inventory: &[u8]) -> Result<bool, Error> {
    Ok(entry(inventory)?.1.compress.unwrap_or(0) != 0)
}

/// Returns the inventory of a dump with pages in blocks of so many bytes.
///
/// # Errors
///
/// [`CompressError::Image`], and [`CompressError::Version`] for dumps of CRIU before 1.6.
pub fn compressed(inventory: &[u8], block_size: u32) -> Result<Vec<u8>, CompressError> {
    let (image, typed, raw) = entry(inventory)?;
    if typed.img_version == V1 {
        return Err(CompressError::Version(V1));
    }
    let mut message = raw.message.to_vec();
    let versions = occurrences(raw.message, VERSION).map_err(|it| fault(&raw, raw.schema, it))?;
    match versions.as_slice() {
        [version] if u64::from(typed.img_version) == V1_1 => message = with_varint(&message, version, V1_2),
        _ => append_varint(&mut message, VERSION, V1_2),
    }
    append_varint(&mut message, COMPRESS, 1);
    append_varint(&mut message, BLOCK_SIZE, block_size.into());
    Ok(replaced(&image, &raw, &message))
}

/// Returns the inventory of the same dump with plain pages: the inverse of [`compressed`].
///
/// # Errors
///
/// [`CompressError::Image`].
pub fn decompressed(inventory: &[u8]) -> Result<Vec<u8>, CompressError> {
    let (image, _, raw) = entry(inventory)?;
    let mut message = raw.message.to_vec();
    for number in [BLOCK_SIZE, COMPRESS] {
        let before = message;
        let fields = occurrences(&before, number).map_err(|it| fault(&raw, raw.schema, it))?;
        message = fields.last().map_or_else(|| before.clone(), |field| without(&before, field));
    }
    let before = message;
    let versions = occurrences(&before, VERSION).map_err(|it| fault(&raw, raw.schema, it))?;
    let message = match (versions.as_slice(), last_number(&versions)) {
        ([version], Some(V1_2)) => with_varint(&before, version, V1_1),
        ([_, .., last], Some(V1_2)) => without(&before, last),
        _ => before.clone(),
    };
    Ok(replaced(&image, &raw, &message))
}

/// Reads the only entry of an inventory.
fn entry(inventory: &[u8]) -> Result<(Image<'_>, InventoryEntry, RawEntry<'_>), Error> {
    let image = Image::parse_named(b"inventory.img", inventory)?;
    let none = Error::NoEntry { kind: image.kind().name, offset: inventory.len() as u64 };
    let raw = image.raw_entries().next().unwrap_or(Err(none))?;
    let typed = raw.decode()?;
    Ok((image, typed, raw))
}

/// Returns the image with another message as its first entry.
fn replaced(image: &Image<'_>, entry: &RawEntry<'_>, message: &[u8]) -> Vec<u8> {
    let bytes = image.bytes();
    let start = entry.offset as usize;
    let mut out = bytes[..start].to_vec();
    push_entry(image, message, &mut out);
    out.extend_from_slice(&bytes[start + 4 + entry.message.len()..]);
    out
}
