//! From images to text.

pub(crate) mod extra;
mod message;
pub(crate) mod side;
pub(crate) mod text;

use std::io::{self, Write};

use crate::error::{Error, Place};
use crate::flat::Flat;
use crate::framing::{Image, RawEntry};
use crate::kinds;
use crate::payload::Payload;
use crate::schema::messages;
use crate::walk::Walker;
use crate::wire::Fault;
use message::MessageText;
use side::Scratch;
use text::Text;

/// How [`decode`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Indented by four spaces, with names for flags, states, devices and addresses (`crit decode --pretty`).
    pub pretty: bool,
    /// Sizes in place of payloads (`crit show --nopl`). Such a text cannot be encoded again.
    pub nopl: bool,
    /// Write the whole entries ahead of damage, and end the text as JSON, before the damage is returned as the error.
    /// Otherwise nothing is written of a damaged image.
    pub salvage: bool,
}

/// Why an image could not be written as JSON.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The image is damaged.
    #[error(transparent)]
    Image(#[from] Error),
    /// The text could not be written.
    #[error("cannot write the text: {0}")]
    Write(#[from] io::Error),
}

impl From<Fault> for DecodeError {
    /// Every message is checked before it is written, so that its place was told already.
    fn from(fault: Fault) -> Self {
        let place = Place { kind: "?", entry: 0, offset: fault.at as u64 };
        Self::Image(Error::Wire { place, message: "?", fault: fault.what })
    }
}

/// Writes an image as crit's JSON, without a newline at the end (`crit decode` adds one on standard output only).
///
/// Memory use does not grow with the number of entries or the size of payloads.
///
/// # Errors
///
/// [`DecodeError::Image`] if the image is damaged: see [`Options::salvage`]. [`DecodeError::Write`] if `out` fails.
pub fn decode<W: Write>(image: &Image<'_>, options: &Options, out: &mut W) -> Result<(), DecodeError> {
    if !options.salvage {
        for entry in image.raw_entries() {
            check(&entry?)?;
        }
    }

    let mut text = Text::new(out, options.pretty);
    let (mut walker, mut scratch) = (Walker::default(), Scratch::default());
    text.begin(b'{')?;
    text.key("magic")?;
    text.string(magic_name(image).as_bytes())?;
    text.key("entries")?;
    text.begin(b'[')?;
    // JSON alone carries all of the image.
    let mut plain = !side::odd_frame(image);
    let mut damage = None;
    let mut entries = image.raw_entries();
    loop {
        let offset = entries.offset();
        let Some(entry) = entries.next() else { break };
        let (entry, flat) = match entry.and_then(|entry| Ok((entry, check(&entry)?))) {
            Ok(checked) => checked,
            Err(error) => {
                damage = Some((error, offset));
                plain = false;
                break;
            }
        };
        plain = plain && (flat.is_some() || scratch.is_plain(&entry)?);
        text.begin(b'{')?;
        let mut message = MessageText::new(&mut text, options.pretty, image.is_big_endian());
        match flat {
            Some(flat) => message.flat(&flat)?,
            None => walker.walk(entry.schema, entry.message, &mut message)?,
        }
        extra::write(&entry, options.nopl, &mut walker, &mut message)?;
        text.end(b'}')?;
    }
    text.end(b']')?;
    if !plain {
        side::write(image, damage.as_ref().map(|(error, end)| (error, *end)), &mut scratch, &mut text)?;
    }
    text.end(b'}')?;
    text.finish()?;
    damage.map_or(Ok(()), |(error, _)| Err(error.into()))
}

/// Writes what `crit info` writes: the kind and the number of entries, without a newline at the end.
///
/// As in crit, the head of a pagemap is not counted. Chunks of a ghost file are entries. Of `options` only
/// [`Options::salvage`] matters: then the count is that of the whole entries, and `damage` in the side key says so.
///
/// # Errors
///
/// As [`decode`], but messages are not looked into: only damage of the frame and of payloads is an error.
pub fn info<W: Write>(image: &Image<'_>, options: &Options, out: &mut W) -> Result<(), DecodeError> {
    let mut count = 0u64;
    let mut damage = None;
    for entry in image.raw_entries() {
        match entry {
            Ok(entry) => count += u64::from(!entry.schema.is(&messages::PAGEMAP_HEAD)),
            Err(error) if options.salvage => damage = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    let mut text = Text::new(out, true);
    text.begin(b'{')?;
    text.key("magic")?;
    text.string(magic_name(image).as_bytes())?;
    text.key("count")?;
    text.unsigned(count)?;
    if let Some(error) = &damage {
        side::write_damage(error, None, &mut text)?;
    }
    text.end(b'}')?;
    text.finish()?;
    damage.map_or(Ok(()), |error| Err(error.into()))
}

/// Checks required fields, and that a pagemap begins with its head: crit shows an address as the number of a file.
///
/// Returns the message as one of single numbers if it is: then it is all good, and JSON carries all of it.
pub(crate) fn check(entry: &RawEntry<'_>) -> Result<Option<Flat>, Error> {
    if entry.schema.is(&messages::PAGEMAP_HEAD) {
        crate::pagemap::check_head(entry)?;
    }
    if entry.payload == Payload::None
        && let Some(flat) = Flat::read(entry.schema, entry.message)
    {
        return Ok(Some(flat));
    }
    entry.check()?;
    Ok(None)
}

/// Returns crit's name of the magic. Kinds that share a magic share the name.
fn magic_name(image: &Image<'_>) -> &'static str {
    image.kind().magic.and_then(kinds::by_magic).unwrap_or(image.kind()).name
}
