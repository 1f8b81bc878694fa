//! The fast way through messages that hold nothing but single numbers, as CRIU writes them.
//!
//! A pagemap may have millions of entries, all of them such messages. What is read here needs no other check and no
//! record in the side key: every field is known, fits its type, occurs once, in the order of the numbers, in the shortest
//! form, and none that is required is missing. All other messages go the long way, which finds out what is odd.

use crate::schema::tables::{Field, Label, Message, Type};
use crate::walk::{Scalar, scalar};
use crate::wire::{Value, varint};

/// How many fields such a message may have.
const MOST: usize = 12;

/// A message of single numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flat {
    schema: &'static Message,
    /// Place of the field in the schema, and the number that it has on the wire.
    fields: [(usize, u64); MOST],
    count: usize,
}

impl Flat {
    /// Reads a message, or says that it has to go the long way.
    pub fn read(schema: &'static Message, message: &[u8]) -> Option<Self> {
        let mut flat = Self { schema, fields: [(0, 0); MOST], count: 0 };
        let mut seen = 0u64;
        let mut rest = message;
        while let [key, after @ ..] = rest {
            // A key of one byte and of wire type 0.
            if key & 0x87 != 0 {
                return None;
            }
            let index = schema.position(u32::from(key >> 3))?;
            let (number, length) = varint(after).ok()?;
            // Ten bytes hold 70 bits: of the last one, only the lowest may be set.
            let is_shortest = match length {
                1 => true,
                10 => after[9] == 1,
                _ => after[length - 1] != 0,
            };
            let field = &schema.fields[index];
            // Later fields only: the bits from this one on are all unset.
            if !is_shortest || seen >> index != 0 || field.label == Label::Repeated || !fits(field.ty, number)
            {
                return None;
            }
            seen |= 1 << index;
            *flat.fields.get_mut(flat.count)? = (index, number);
            flat.count += 1;
            rest = &after[length..];
        }
        (schema.required & !seen == 0).then_some(flat)
    }

    /// Returns fields and their values, in order.
    #[inline]
    pub fn scalars(&self) -> impl Iterator<Item = (&'static Field, Scalar<'static>)> + '_ {
        self.fields[..self.count].iter().map(|(index, number)| {
            let field = &self.schema.fields[*index];
            (field, scalar(field.ty, Value::Varint(*number)))
        })
    }
}

/// True if writing the value of the type gives this number again.
fn fits(ty: Type, number: u64) -> bool {
    match ty {
        Type::Uint64 | Type::Int64 | Type::Sint64 => true,
        Type::Uint32 | Type::Sint32 => number <= u64::from(u32::MAX),
        Type::Int32 | Type::Enum(_) => number as i32 as i64 as u64 == number,
        Type::Bool => number <= 1,
        Type::Fixed32 | Type::Fixed64 | Type::Bytes | Type::Message(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::messages::{PAGEMAP_ENTRY, PSTREE_ENTRY, VMA_ENTRY};

    #[test]
    fn only_what_is_in_order_whole_and_shortest_is_taken() {
        let entry = |bytes: &[u8]| Flat::read(&PAGEMAP_ENTRY, bytes).map(|flat| flat.count);
        assert_eq!(entry(&[0x08, 0x80, 0x20, 0x10, 0]), Some(2));
        assert_eq!(entry(&[0x08, 0x80, 0x20, 0x10, 0, 0x18, 1, 0x20, 4, 0x28, 9]), Some(5));
        for odd in [
            &[0x10, 0, 0x08, 1][..],      // order
            &[0x08, 1, 0x08, 1, 0x10, 0], // twice
            &[0x08, 1],                   // a required field is missing
            &[0x08, 0x81, 0, 0x10, 0],    // longer than need be
            &[0x08, 0x81, 0, 0x10, 0, 0x20, 4, 0x28, 0x81, 0x80, 1, 1],
            &[0x88, 0, 1, 0x10, 0],                         // also the key
            &[0x08, 1, 0x10, 0xff, 0xff, 0xff, 0xff, 0x1f], // more than 32 bits
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0x10, 0], // more than 64 bits
            &[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x10, 0],
            &[0x08, 1, 0x10, 0, 0x18, 2], // no truth value
            &[0x08, 1, 0x10, 0, 0x38, 2], // unknown
            &[0x08, 1, 0x10, 0, 0x32, 0], // a message
            &[0x08, 1, 0x10, 0, 0x20],    // cut
        ] {
            assert_eq!(entry(odd), None, "{odd:02x?}");
        }
        // The largest number of ten bytes.
        assert_eq!(entry(&[&[0x08][..], &[0xff; 9], &[1, 0x10, 0]].concat()), Some(2));
        // Lists, and negative numbers in five bytes.
        assert!(Flat::read(&PSTREE_ENTRY, &[0x08, 1, 0x10, 0, 0x18, 1, 0x20, 1, 0x28, 1]).is_none());
        assert!(Flat::read(&VMA_ENTRY, &[0x08, 1]).is_none());
    }
}
