//! The side key: what crit's JSON cannot carry, so that the text becomes the same image again.
//!
//! An entry stands here if its canonical form (see [`super::super::canonical`]) is not the entry. Its record lists
//! the fields in the order of the bytes. `docs/CRIT.md` describes the form with examples:
//!
//! - `"name"`: the next value of the field, as JSON has it;
//! - `{"name": "base64"}`: the same, in these bytes (key and value);
//! - `{"name": [...]}`: a message, listed in the same way;
//! - `[number, "varint", 7]`: a field that JSON does not have: unknown to the schema, or overruled by a later value.

use std::io::{self, Write};

use super::DecodeError;
use super::text::Text;
use crate::error::Error;
use crate::framing::{Image, RawEntry};
use crate::json::canonical;
use crate::json::writer::{MessageWriter, is_packed};
use crate::kinds::Head;
use crate::level::fits;
use crate::payload::{Payload, QueuedMessage};
use crate::schema::messages;
use crate::schema::tables::{Label, Message, Type};
use crate::walk::Walker;
use crate::wire::{Fault, Fields, Value, WireField};

/// The last key at top level. crit's encode ignores it.
pub(crate) const KEY: &str = "coldcase";

/// The buffers that finding and writing records takes.
#[derive(Default)]
pub(crate) struct Scratch<'a> {
    walker: Walker<'a>,
    canonical: MessageWriter,
}

impl<'a> Scratch<'a> {
    /// True if JSON carries all of the entry.
    pub fn is_plain(&mut self, entry: &RawEntry<'a>) -> Result<bool, Fault> {
        if !self.is_canonical(entry.schema, entry.message)? || !is_zero(padding(&entry.payload)) {
            return Ok(false);
        }
        let Payload::Messages(queue) = &entry.payload else { return Ok(true) };
        for message in queue.iter() {
            if !self.is_plain_message(&message)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_plain_message(&mut self, message: &QueuedMessage<'a>) -> Result<bool, Fault> {
        Ok(is_zero(message.padding) && self.is_canonical(&messages::IPC_MSG, message.message)?)
    }

    fn is_canonical(&mut self, schema: &'static Message, bytes: &'a [u8]) -> Result<bool, Fault> {
        canonical::write(schema, bytes, &mut self.walker, &mut self.canonical)?;
        Ok(self.canonical.bytes == bytes)
    }
}

/// True if the frame itself is not what encoding makes of the kind.
pub(crate) fn odd_frame(image: &Image<'_>) -> bool {
    image.head() != image.kind().head || image.is_big_endian()
}

/// Writes the side key. `damage` is the error that ended the entries, and where the rest of the file starts.
pub(crate) fn write<'a, W: Write>(
    image: &Image<'a>,
    damage: Option<(&Error, u64)>,
    scratch: &mut Scratch<'a>,
    text: &mut Text<'_, W>,
) -> Result<(), DecodeError> {
    text.key(KEY)?;
    text.begin(b'{')?;
    if image.head() != image.kind().head {
        text.key("head")?;
        text.string(match image.head() {
            Head::None => b"none",
            Head::Common => b"common",
            Head::Service => b"service",
        })?;
    }
    if image.is_big_endian() {
        text.key("byte_order")?;
        text.string(b"big")?;
    }
    let mut begun = false;
    for entry in image.raw_entries() {
        // Damage was found before, and is told below.
        let Ok(entry) = entry else { break };
        if damage.is_some_and(|(_, end)| entry.offset >= end) {
            break;
        }
        if scratch.is_plain(&entry)? {
            continue;
        }
        if !std::mem::replace(&mut begun, true) {
            text.key("entries")?;
            text.begin(b'[')?;
        }
        write_entry(&entry, scratch, text)?;
    }
    if begun {
        text.end(b']')?;
    }
    if let Some((error, end)) = damage {
        let rest = image.bytes().get(end as usize..).unwrap_or_default();
        write_damage_members(error, Some(rest), text)?;
    }
    Ok(text.end(b'}')?)
}

/// Writes a side key that holds nothing but damage; `rest` is the file from there on.
pub(crate) fn write_damage<W: Write>(
    error: &Error,
    rest: Option<&[u8]>,
    text: &mut Text<'_, W>,
) -> io::Result<()> {
    text.key(KEY)?;
    text.begin(b'{')?;
    write_damage_members(error, rest, text)?;
    text.end(b'}')
}

fn write_damage_members<W: Write>(
    error: &Error,
    rest: Option<&[u8]>,
    text: &mut Text<'_, W>,
) -> io::Result<()> {
    text.key("damage")?;
    text.string(error.to_string().as_bytes())?;
    if let Some(rest) = rest {
        text.key("rest")?;
        text.base64(rest)?;
    }
    Ok(())
}

fn write_entry<'a, W: Write>(
    entry: &RawEntry<'a>,
    scratch: &mut Scratch<'a>,
    text: &mut Text<'_, W>,
) -> Result<(), DecodeError> {
    text.begin(b'{')?;
    text.key("entry")?;
    text.unsigned(entry.index)?;
    if !scratch.is_canonical(entry.schema, entry.message)? {
        write_fields(entry.schema, entry.message, scratch, text)?;
    }
    write_padding(padding(&entry.payload), text)?;
    if let Payload::Messages(queue) = &entry.payload {
        let mut begun = false;
        for (index, message) in (0u64..).zip(queue.iter()) {
            if scratch.is_plain_message(&message)? {
                continue;
            }
            if !std::mem::replace(&mut begun, true) {
                text.key("messages")?;
                text.begin(b'[')?;
            }
            text.begin(b'{')?;
            text.key("message")?;
            text.unsigned(index)?;
            if !scratch.is_canonical(&messages::IPC_MSG, message.message)? {
                write_fields(&messages::IPC_MSG, message.message, scratch, text)?;
            }
            write_padding(message.padding, text)?;
            text.end(b'}')?;
        }
        if begun {
            text.end(b']')?;
        }
    }
    Ok(text.end(b'}')?)
}

fn padding<'a>(payload: &Payload<'a>) -> &'a [u8] {
    match payload {
        Payload::Semaphores(semaphores) => semaphores.padding(),
        Payload::SharedMemory { padding, .. } => padding,
        _ => &[],
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn write_padding<W: Write>(padding: &[u8], text: &mut Text<'_, W>) -> Result<(), DecodeError> {
    if !is_zero(padding) {
        text.key("padding")?;
        text.base64(padding)?;
    }
    Ok(())
}

/// A message whose fields are being listed.
struct Frame<'a> {
    schema: &'static Message,
    bytes: &'a [u8],
    fields: Fields<'a>,
    /// For each field of the schema: how often it occurs, and where it does so last.
    occurrences: [(usize, usize); u64::BITS as usize],
}

impl<'a> Frame<'a> {
    fn new(schema: &'static Message, bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut occurrences = [(0, 0); u64::BITS as usize];
        for field in Fields::new(bytes) {
            let field = field?;
            if let Some(index) = schema.position(field.number) {
                occurrences[index] = (occurrences[index].0 + 1, field.start);
            }
        }
        Ok(Self { schema, bytes, fields: Fields::new(bytes), occurrences })
    }
}

/// Lists the fields of a message in the order of its bytes.
fn write_fields<'a, W: Write>(
    schema: &'static Message,
    bytes: &'a [u8],
    scratch: &mut Scratch<'a>,
    text: &mut Text<'_, W>,
) -> Result<(), DecodeError> {
    text.key("fields")?;
    text.begin(b'[')?;
    let mut frames = vec![Frame::new(schema, bytes)?];
    while let Some(frame) = frames.last_mut() {
        let Some(field) = frame.fields.next() else {
            frames.pop();
            text.end(b']')?;
            if !frames.is_empty() {
                text.end(b'}')?;
            }
            continue;
        };
        let field = field?;
        let slice = &frame.bytes[field.start..field.end];
        let known = frame.schema.position(field.number);
        let known = known.map(|index| (&frame.schema.fields[index], frame.occurrences[index]));
        let Some((known, (count, last))) = known.filter(|(known, _)| fits(known, &field.value)) else {
            write_verbatim(&field, slice, text)?;
            continue;
        };
        let is_message = matches!(known.ty, Type::Message(_));
        if known.label != Label::Repeated && !is_message && field.start != last {
            write_verbatim(&field, slice, text)?;
            continue;
        }
        // Pieces of one message, or of one packed list, stand for one value together.
        let in_pieces = count > 1 && (is_packed(known) || (is_message && known.label != Label::Repeated));
        if !in_pieces && scratch.is_canonical(frame.schema, slice)? {
            text.string(known.name.as_bytes())?;
            continue;
        }
        text.begin(b'{')?;
        text.key(known.name)?;
        match (known.ty, field.value) {
            (Type::Message(inner), Value::Bytes(bytes)) if !in_pieces && has_plain_head(&field, slice) => {
                text.begin(b'[')?;
                frames.push(Frame::new(inner, bytes)?);
            }
            _ => {
                text.base64(slice)?;
                text.end(b'}')?;
            }
        }
    }
    Ok(())
}

/// True if key and length are written in the shortest way.
fn has_plain_head(field: &WireField<'_>, slice: &[u8]) -> bool {
    let mut head = MessageWriter::default();
    head.key(field.number, 2);
    head.varint((field.end - field.value_start) as u64);
    slice.get(..field.value_start - field.start) == Some(head.bytes.as_slice())
}

/// Writes a field that JSON does not have: readable, and in bytes if the number alone would not give them back.
fn write_verbatim<W: Write>(
    field: &WireField<'_>,
    slice: &[u8],
    text: &mut Text<'_, W>,
) -> Result<(), DecodeError> {
    let mut plain = MessageWriter::default();
    let form = match field.value {
        Value::Varint(value) => {
            plain.key(field.number, 0);
            plain.varint(value);
            "varint"
        }
        Value::Fixed64(value) => {
            plain.key(field.number, 1);
            plain.bytes.extend(value.to_le_bytes());
            "fixed64"
        }
        Value::Fixed32(value) => {
            plain.key(field.number, 5);
            plain.bytes.extend(value.to_le_bytes());
            "fixed32"
        }
        Value::Bytes(bytes) => {
            plain.key(field.number, 2);
            plain.delimited(bytes);
            "bytes"
        }
        Value::Group => "raw",
    };
    text.begin(b'[')?;
    text.unsigned(field.number.into())?;
    if plain.bytes != slice {
        text.string(b"raw")?;
        text.base64(slice)?;
        return Ok(text.end(b']')?);
    }
    text.string(form.as_bytes())?;
    match field.value {
        Value::Varint(value) | Value::Fixed64(value) => text.unsigned(value)?,
        Value::Fixed32(value) => text.unsigned(value.into())?,
        Value::Bytes(bytes) => text.base64(bytes)?,
        Value::Group => {}
    }
    Ok(text.end(b']')?)
}
