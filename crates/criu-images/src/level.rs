//! One message looked at by itself, without the messages inside it: what occurs, how often, in which order.

use crate::error::WireFault;
use crate::schema::tables::{Field, Label, Message, Type};
use crate::walk::unpack;
use crate::wire::{Fault, Fields, Value};

/// How many fields a message may have that does not have them in the order of their numbers. CRIU writes all in order;
/// those out of order cost memory for each field.
const MOST_OUT_OF_ORDER: usize = 1 << 20;

/// A part of an entry's message: all of it, or one of the messages inside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub bytes: &'a [u8],
    /// Where it starts, from the start of the entry's message.
    pub offset: usize,
}

/// A message: one piece. Or several, since protobuf merges the occurrences of a message that can occur once.
#[derive(Debug, Clone)]
pub(crate) enum Pieces<'a> {
    One(Piece<'a>),
    Many(Vec<Piece<'a>>),
}

impl<'a> Pieces<'a> {
    pub fn as_slice(&self) -> &[Piece<'a>] {
        match self {
            Self::One(piece) => std::slice::from_ref(piece),
            Self::Many(pieces) => pieces,
        }
    }

    /// Returns all that occurs of one field, as the pieces of a message.
    pub fn of_field(&self, number: u32) -> Result<Self, Fault> {
        let mut found = Vec::new();
        for piece in self.as_slice() {
            for field in Fields::new(piece.bytes) {
                let field = field?;
                if let (true, Value::Bytes(bytes)) = (field.number == number, field.value) {
                    found.push(Piece { bytes, offset: piece.offset + field.value_start });
                }
            }
        }
        Ok(Self::Many(found))
    }
}

/// What occurs in a message.
#[derive(Debug)]
pub(crate) struct Level {
    /// Bit `n` stands for the n-th field of the schema.
    pub seen: u64,
    /// How often each field of the schema occurs.
    pub counts: [u32; u64::BITS as usize],
    /// The fields ascend by number, and singular ones occur once.
    pub in_order: bool,
}

impl Level {
    /// Looks at a message, and checks that each of its fields can be read as its type: the right wire type, and whole
    /// numbers in packed lists.
    pub fn survey(schema: &'static Message, pieces: &[Piece<'_>]) -> Result<Self, Fault> {
        let mut level = Self { seen: 0, counts: [0; u64::BITS as usize], in_order: true };
        let (mut fields, mut last) = (0, 0);
        for piece in pieces {
            let fault = |fault: Fault| Fault { at: piece.offset + fault.at, ..fault };
            for field in Fields::new(piece.bytes) {
                let field = field.map_err(fault)?;
                fields += 1;
                let Some(index) = schema.position(field.number) else { continue };
                let known = &schema.fields[index];
                if !fits(known, &field.value) {
                    return Err(fault(Fault { what: WireFault::WrongWireType, at: field.start }));
                }
                if let Value::Bytes(list) = field.value
                    && !matches!(known.ty, Type::Bytes | Type::Message(_))
                {
                    let at = field.value_start;
                    unpack(known.ty, list, |_| Ok(())).map_err(|it: Fault| fault(Fault { at, ..it }))?;
                }
                let again = level.seen & 1 << index != 0;
                level.in_order &= index >= last && !(again && known.label != Label::Repeated);
                last = index;
                level.seen |= 1 << index;
                level.counts[index] = level.counts[index].saturating_add(1);
            }
        }
        if !level.in_order && fields > MOST_OUT_OF_ORDER {
            let at = pieces.first().map_or(0, |piece| piece.offset);
            return Err(Fault { what: WireFault::OutOfOrder, at });
        }
        Ok(level)
    }

    /// True if a message that can occur once comes in several pieces, which protobuf merges.
    pub fn in_pieces(&self, schema: &Message, index: usize) -> bool {
        let singular = schema.fields.get(index).is_some_and(|field| field.label != Label::Repeated);
        singular && self.counts.get(index).is_some_and(|count| *count > 1)
    }
}

/// True if a field of this type can be written this way. Repeated numbers may be packed, whatever the schema says.
pub(crate) fn fits(field: &Field, value: &Value<'_>) -> bool {
    match (field.ty, value) {
        (Type::Message(_) | Type::Bytes, value) => matches!(value, Value::Bytes(_)),
        (_, Value::Bytes(_)) => field.label == Label::Repeated,
        (Type::Fixed32, value) => matches!(value, Value::Fixed32(_)),
        (Type::Fixed64, value) => matches!(value, Value::Fixed64(_)),
        (_, value) => matches!(value, Value::Varint(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::messages;

    #[test]
    fn disorder_is_seen_and_limited() {
        let survey = |bytes: &[u8]| Level::survey(&messages::PSTREE_ENTRY, &[Piece { bytes, offset: 0 }]);
        assert!(survey(&[0x08, 1, 0x10, 1, 0x28, 1, 0x28, 2]).unwrap().in_order);
        assert!(!survey(&[0x10, 1, 0x08, 1]).unwrap().in_order);
        let twice = survey(&[0x08, 1, 0x08, 1]).unwrap();
        assert!(!twice.in_order && twice.in_pieces(&messages::PSTREE_ENTRY, 0));

        let threads = [0x28, 1].repeat(MOST_OUT_OF_ORDER);
        assert!(survey(&threads).is_ok());
        assert_eq!(survey(&[&threads[..], &[0x08, 1]].concat()).unwrap_err().what, WireFault::OutOfOrder);
    }

    #[test]
    fn packed_lists_hold_whole_numbers() {
        for bytes in [&[0x2a, 2, 1, 0x80][..], &[0x0a, 1, 1]] {
            let piece = Piece { bytes, offset: 10 };
            assert!(Level::survey(&messages::PSTREE_ENTRY, &[piece]).unwrap_err().at >= 10);
        }
    }
}
