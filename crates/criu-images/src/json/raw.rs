//! Raw images as JSON: the form of crit's JSON, for files that crit refuses. `docs/CRIT.md` describes it.

use std::io::{self, Write};

use super::decode::side;
use super::decode::text::Text;
use super::decode::{DecodeError, Options};
use crate::raw::{RawImage, Value};

/// Writes a raw image as JSON, without a newline at the end. Such a text cannot become an image again.
///
/// # Errors
///
/// As [`super::decode`]: of a damaged image nothing is written, unless [`Options::salvage`] asks for what is whole.
pub fn raw<W: Write>(image: &RawImage<'_>, options: &Options, out: &mut W) -> Result<(), DecodeError> {
    if let (Some((error, _)), false) = (&image.damage, options.salvage) {
        return Err(error.clone().into());
    }
    let mut text = Text::new(out, options.pretty);
    begin(image, &mut text)?;
    write_members(&image.facts, options, &mut text)?;
    text.key("entries")?;
    text.begin(b'[')?;
    for entry in &image.entries {
        write(entry, options, &mut text)?;
    }
    text.end(b']')?;
    end(image, &mut text)?;
    text.finish()?;
    image.damage.as_ref().map_or(Ok(()), |(error, _)| Err(error.clone().into()))
}

/// Writes which raw image it is and how many entries it has, as [`super::info`].
///
/// # Errors
///
/// As [`raw`].
pub fn raw_info<W: Write>(image: &RawImage<'_>, options: &Options, out: &mut W) -> Result<(), DecodeError> {
    if let (Some((error, _)), false) = (&image.damage, options.salvage) {
        return Err(error.clone().into());
    }
    let mut text = Text::new(out, true);
    begin(image, &mut text)?;
    text.key("count")?;
    text.unsigned(image.entries.len() as u64)?;
    if let Some((error, _)) = &image.damage {
        side::write_damage(error, None, &mut text)?;
    }
    text.end(b'}')?;
    text.finish()?;
    image.damage.as_ref().map_or(Ok(()), |(error, _)| Err(error.clone().into()))
}

fn begin<W: Write>(image: &RawImage<'_>, text: &mut Text<'_, W>) -> io::Result<()> {
    text.begin(b'{')?;
    text.key("magic")?;
    text.null()?;
    text.key("raw")?;
    text.string(image.kind.as_bytes())
}

fn end<W: Write>(image: &RawImage<'_>, text: &mut Text<'_, W>) -> io::Result<()> {
    if let Some((error, rest)) = &image.damage {
        side::write_damage(error, Some(rest), text)?;
    }
    text.end(b'}')
}

/// Writes a value. How deep values are nested is decided by the code that makes them, not by an image.
fn write<W: Write>(value: &Value, options: &Options, text: &mut Text<'_, W>) -> io::Result<()> {
    match value {
        Value::Number(number) => text.unsigned(*number),
        Value::Signed(number) => text.signed(*number),
        Value::Hex(number) if options.pretty => text.string(format!("{number:#x}").as_bytes()),
        Value::Hex(number) => text.unsigned(*number),
        Value::Bool(value) => text.boolean(*value),
        Value::Text(bytes) => text.string(bytes),
        Value::Bytes(bytes) => text.base64_lines(&[bytes]),
        Value::List(values) => {
            text.begin(b'[')?;
            for value in values {
                write(value, options, text)?;
            }
            text.end(b']')
        }
        Value::Object(members) => {
            text.begin(b'{')?;
            write_members(members, options, text)?;
            text.end(b'}')
        }
    }
}

fn write_members<W: Write>(
    members: &[(&'static str, Value)],
    options: &Options,
    text: &mut Text<'_, W>,
) -> io::Result<()> {
    for (key, value) in members {
        text.key(key)?;
        write(value, options, text)?;
        if let Value::Text(bytes) = value
            && std::str::from_utf8(bytes).is_err()
        {
            text.key(&format!("{key}_bytes"))?;
            text.base64_lines(&[bytes])?;
        }
    }
    Ok(())
}
