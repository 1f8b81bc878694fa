//! The check that prost leaves out: is every required field there?

use crate::error::{Error, Place, Result, WireFault};
use crate::level::{Level, Piece, Pieces};
use crate::schema::tables::{Message, Type};
use crate::wire::{Fault, Fields, Value};

/// How deep messages may nest: prost's own limit.
pub const MOST_LEVELS: usize = 100;

/// Checks the required fields of a message and of all messages inside it, and that each field of the schema can be
/// read as its type: the right wire type, and whole numbers in packed lists.
///
/// `place` is where the message starts; it becomes part of the error.
///
/// # Errors
///
/// [`Error::MissingField`] names the field and the message that lacks it. [`Error::Wire`] says that the bytes are
/// not protobuf, or nest more than [`MOST_LEVELS`] messages.
pub fn check(message: &'static Message, bytes: &[u8], place: Place) -> Result<()> {
    let mut frames = vec![Frame::open(message, Pieces::One(Piece { bytes, offset: 0 }), place)?];
    while let Some(frame) = frames.last_mut() {
        match frame.next_message(place)? {
            None => drop(frames.pop()),
            Some((inner, _)) if frames.len() >= MOST_LEVELS => {
                return Err(Error::Wire {
                    place: inner.place(place),
                    message: message.name,
                    fault: WireFault::TooDeep,
                });
            }
            Some((inner, schema)) => frames.push(Frame::open(schema, inner, place)?),
        }
    }
    Ok(())
}

impl Pieces<'_> {
    fn place(&self, entry: Place) -> Place {
        let offset = self.as_slice().first().map_or(0, |piece| piece.offset);
        Place { offset: entry.offset + offset as u64, ..entry }
    }
}

/// A message whose own fields are good, and whose messages are being checked.
struct Frame<'a> {
    schema: &'static Message,
    pieces: Pieces<'a>,
    level: Level,
    /// The piece that is read, and its fields to come.
    piece: usize,
    fields: Fields<'a>,
    /// The fields whose pieces were put together already.
    merged: u64,
}

impl<'a> Frame<'a> {
    fn open(schema: &'static Message, pieces: Pieces<'a>, entry: Place) -> Result<Self> {
        let level = Level::survey(schema, pieces.as_slice()).map_err(|fault| wire(schema, entry, fault))?;
        let missing = schema.required & !level.seen;
        if missing != 0 {
            let field = schema.fields.get(missing.trailing_zeros() as usize).map_or("?", |field| field.name);
            return Err(Error::MissingField { place: pieces.place(entry), message: schema.name, field });
        }
        let first = pieces.as_slice().first().map_or(&[][..], |piece| piece.bytes);
        Ok(Self { schema, level, piece: 0, fields: Fields::new(first), merged: 0, pieces })
    }

    /// Returns the next message inside this one.
    fn next_message(&mut self, entry: Place) -> Result<Option<(Pieces<'a>, &'static Message)>> {
        loop {
            let Some(field) = self.fields.next() else {
                self.piece += 1;
                let Some(piece) = self.pieces.as_slice().get(self.piece) else { return Ok(None) };
                self.fields = Fields::new(piece.bytes);
                continue;
            };
            let field = field.map_err(|fault| wire(self.schema, entry, fault))?;
            let Some(index) = self.schema.position(field.number) else { continue };
            let (Type::Message(inner), Value::Bytes(bytes)) = (self.schema.fields[index].ty, field.value)
            else {
                continue;
            };
            if !self.level.in_pieces(self.schema, index) {
                let offset = self.pieces.as_slice()[self.piece].offset + field.value_start;
                return Ok(Some((Pieces::One(Piece { bytes, offset }), inner)));
            }
            if self.merged & 1 << index == 0 {
                self.merged |= 1 << index;
                let pieces =
                    self.pieces.of_field(field.number).map_err(|fault| wire(self.schema, entry, fault))?;
                return Ok(Some((pieces, inner)));
            }
        }
    }
}

fn wire(schema: &Message, entry: Place, fault: Fault) -> Error {
    let place = Place { offset: entry.offset + fault.at as u64, ..entry };
    Error::Wire { place, message: schema.name, fault: fault.what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::messages;

    const PLACE: Place = Place { kind: "CORE", entry: 2, offset: 100 };

    #[test]
    fn an_absent_field_is_named_with_its_message_and_place() {
        // core_entry { mtype: 1, tc { task_state: 1 } }
        let bytes = [0x08, 1, 0x1a, 2, 0x08, 1];
        assert_eq!(
            check(&messages::CORE_ENTRY, &bytes, PLACE),
            Err(Error::MissingField {
                place: Place { offset: 104, ..PLACE },
                message: "task_core_entry",
                field: "exit_code"
            })
        );
    }

    #[test]
    fn a_message_in_pieces_is_checked_as_a_whole() {
        let tc = |bytes: &[u8]| [&[0x1a, bytes.len() as u8], bytes].concat();
        let first = tc(&[0x08, 1, 0x10, 0, 0x18, 0]);
        let second = tc(&[0x20, 0, 0x28, 0, 0x32, 1, b'x']);
        let mtype = [0x08, 1].to_vec();
        assert_eq!(
            check(&messages::CORE_ENTRY, &[mtype.clone(), first.clone(), second].concat(), PLACE),
            Ok(())
        );
        assert!(check(&messages::CORE_ENTRY, &[mtype, first].concat(), PLACE).is_err());
    }

    #[test]
    fn two_fields_of_one_type_do_not_complete_each_other() {
        // task_timers_entry: real and virt are both itimer_entry { isec, iusec, vsec, vusec }, each with one half; prof is whole.
        let halves = [0x0a, 4, 0x08, 1, 0x10, 1, 0x12, 4, 0x18, 1, 0x20, 1];
        let whole = [0x1a, 8, 0x08, 1, 0x10, 1, 0x18, 1, 0x20, 1];
        let bytes = [&halves[..], &whole].concat();
        assert!(matches!(
            check(&messages::TASK_TIMERS_ENTRY, &bytes, PLACE),
            Err(Error::MissingField { message: "itimer_entry", .. })
        ));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        // aa_namespace inside aa_namespace (field 3), again and again.
        let mut bytes = vec![0x0a, 0];
        for _ in 0..10_000 {
            let mut outer = vec![0x1a];
            crate::wire::write_varint(&mut outer, bytes.len() as u64);
            outer.extend_from_slice(&bytes);
            outer.extend_from_slice(&[0x0a, 0]);
            bytes = outer;
        }
        let found = check(&messages::AA_NAMESPACE, &bytes, PLACE);
        assert!(matches!(found, Err(Error::Wire { fault: WireFault::TooDeep, .. })), "{found:?}");
    }
}
