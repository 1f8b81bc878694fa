//! Fields of one message put in, changed and taken out, all others left as they are.

use crate::error::{Error, Place, Result};
use crate::framing::{Image, RawEntry};
use crate::schema::tables::Message;
use crate::wire::{Fault, Fields, Value, WireField, write_varint};

/// Appends a number as a field.
pub(super) fn append_varint(message: &mut Vec<u8>, number: u32, value: u64) {
    write_varint(message, u64::from(number) << 3);
    write_varint(message, value);
}

/// Appends bytes as a field.
pub(super) fn append_bytes(message: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    write_varint(message, u64::from(number) << 3 | 2);
    write_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

/// Returns all that occurs of a field, in order.
pub(super) fn occurrences(message: &[u8], number: u32) -> Result<Vec<WireField<'_>>, Fault> {
    // Faults stay, so that they are not lost.
    let is =
        |field: &Result<WireField<'_>, Fault>| field.is_err() || field.is_ok_and(|it| it.number == number);
    Fields::new(message).filter(is).collect()
}

/// Returns a message without some of its bytes, given as a field of it.
pub(super) fn without(message: &[u8], field: &WireField<'_>) -> Vec<u8> {
    [&message[..field.start], &message[field.end..]].concat()
}

/// Returns a message with another number in one of its varint fields.
pub(super) fn with_varint(message: &[u8], field: &WireField<'_>, value: u64) -> Vec<u8> {
    let mut changed = message[..field.value_start].to_vec();
    write_varint(&mut changed, value);
    changed.extend_from_slice(&message[field.end..]);
    changed
}

/// Returns the last number of a field, if it occurs.
pub(super) fn last_number(fields: &[WireField<'_>]) -> Option<u64> {
    fields.iter().rev().find_map(|field| match field.value {
        Value::Varint(number) => Some(number),
        _ => None,
    })
}

/// Puts a fault where it is in the file.
pub(super) fn fault(entry: &RawEntry<'_>, schema: &Message, fault: Fault) -> Error {
    let place = entry.place();
    Error::Wire {
        place: Place { offset: place.offset + fault.at as u64, ..place },
        message: schema.name,
        fault: fault.what,
    }
}

/// Appends an entry: its length word and its message.
pub(super) fn push_entry(image: &Image<'_>, message: &[u8], out: &mut Vec<u8>) {
    // Messages only grow by a list of blocks, whose length is checked where it is made.
    let length = message.len() as u32;
    out.extend(if image.is_big_endian() { length.to_be_bytes() } else { length.to_le_bytes() });
    out.extend_from_slice(message);
}
