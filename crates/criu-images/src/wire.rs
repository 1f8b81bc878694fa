//! Protobuf's wire format: a walk over the fields of one message, without a schema and without copies.

use crate::error::WireFault;

/// How deep groups may nest. CRIU writes no groups; they can only be unknown fields.
const MOST_GROUPS: usize = 100;

/// One field as it stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireField<'a> {
    /// The field's number, 1 to 2^29 - 1.
    pub number: u32,
    /// What stands behind the key.
    pub value: Value<'a>,
    /// Where the key starts in the message.
    pub start: usize,
    /// Where the value starts: behind the key, and for bytes behind their length.
    pub value_start: usize,
    /// Where the field ends in the message.
    pub end: usize,
}

/// The value of a field, by its wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: bytes, text, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Wire types 3 and 4: the fields between the marks.
    Group,
    /// Wire type 5.
    Fixed32(u32),
}

/// A fault and where it is in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub what: WireFault,
    pub at: usize,
}

/// The fields of a message, in the order of the bytes. Ends after the first fault.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    fn read(&mut self) -> Result<WireField<'a>, Fault> {
        let start = self.position;
        let (number, wire_type) = self.key()?;
        if wire_type == 4 {
            return Err(Fault { what: WireFault::GroupEnd, at: start });
        }
        let mut value_start = self.position;
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let bytes = self.delimited()?;
                value_start = self.position - bytes.len();
                Value::Bytes(bytes)
            }
            3 => self.group(number, start)?,
            _ => Value::Fixed32(u32::from_le_bytes(self.array()?)),
        };
        Ok(WireField { number, value, start, value_start, end: self.position })
    }

    /// Reads a key: field number and wire type (0 to 5).
    fn key(&mut self) -> Result<(u32, u8), Fault> {
        let at = self.position;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).unwrap_or(0);
        if number == 0 || number >= 1 << 29 {
            return Err(Fault { what: WireFault::FieldNumber, at });
        }
        let wire_type = (key & 7) as u8;
        if wire_type > 5 {
            return Err(Fault { what: WireFault::WireType(wire_type), at });
        }
        Ok((number, wire_type))
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let (value, length) = varint(rest).map_err(|what| Fault { what, at: self.position })?;
        self.position += length;
        Ok(value)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let array = rest.first_chunk::<N>().ok_or(Fault { what: WireFault::Cut, at: self.position })?;
        self.position += N;
        Ok(*array)
    }

    fn delimited(&mut self) -> Result<&'a [u8], Fault> {
        let at = self.position;
        let length = self.varint()?;
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let bytes = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length))
            .ok_or(Fault { what: WireFault::Length { length, present: rest.len() as u64 }, at })?;
        self.position += bytes.len();
        Ok(bytes)
    }

    /// Skips a group whose start mark was read, with the groups inside it.
    fn group(&mut self, number: u32, start: usize) -> Result<Value<'a>, Fault> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            if self.position >= self.bytes.len() {
                return Err(Fault { what: WireFault::Cut, at: start });
            }
            let at = self.position;
            let (number, wire_type) = self.key()?;
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.array::<8>()?),
                2 => drop(self.delimited()?),
                3 if open.len() >= MOST_GROUPS => return Err(Fault { what: WireFault::TooDeep, at }),
                3 => open.push(number),
                4 if number == innermost => drop(open.pop()),
                4 => return Err(Fault { what: WireFault::GroupEnd, at }),
                _ => drop(self.array::<4>()?),
            }
        }
        Ok(Value::Group)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<WireField<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.bytes.len() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.position = self.bytes.len();
        }
        Some(field)
    }
}

/// Reads a varint at the start of `bytes`: its value and how many bytes it takes.
///
/// Ten bytes hold 70 bits; as in protobuf-c, what is above 64 bits is dropped.
#[inline]
pub(crate) fn varint(bytes: &[u8]) -> Result<(u64, usize), WireFault> {
    if let [byte @ 0..0x80, ..] = bytes {
        return Ok((u64::from(*byte), 1));
    }
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok((value, index + 1));
        }
    }
    Err(if bytes.len() < 10 { WireFault::Cut } else { WireFault::VarintTooLong })
}

/// Appends a number as the shortest varint.
pub(crate) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Returns the last value of a varint field, as protobuf has it for a field that occurs more than once.
pub(crate) fn last_varint(message: &[u8], number: u32) -> Result<Option<u64>, Fault> {
    let mut found = None;
    for field in Fields::new(message) {
        let field = field?;
        if let (true, Value::Varint(value)) = (field.number == number, field.value) {
            found = Some(value);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length_come_back() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                write_varint(&mut bytes, value);
                assert_eq!(varint(&bytes), Ok((value, bytes.len())));
                assert_eq!(varint(&bytes[..bytes.len() - 1]), Err(WireFault::Cut));
            }
        }
        assert_eq!(varint(&[0xff; 11]), Err(WireFault::VarintTooLong));
    }

    #[test]
    fn a_walk_ends_after_the_first_fault() {
        let message = [0x08, 1, 0x0f, 0, 0x08, 1];
        let mut fields = Fields::new(&message);
        assert!(fields.next().unwrap().is_ok());
        assert_eq!(fields.next(), Some(Err(Fault { what: WireFault::WireType(7), at: 2 })));
        assert_eq!(fields.next(), None);
    }

    #[test]
    fn groups_are_skipped_whole_and_never_too_deep() {
        let nested = |levels: usize| [vec![0x0b; levels], vec![0x0c; levels]].concat();
        let bytes = nested(3);
        let fields: Vec<_> = Fields::new(&bytes).collect();
        assert_eq!(fields.len(), 1);
        assert_eq!(fields[0].map(|field| (field.start, field.end, field.value)), Ok((0, 6, Value::Group)));
        assert!(Fields::new(&nested(100_000)).next().unwrap().is_err());
        assert!(Fields::new(&[0x0b, 0x14]).next().unwrap().is_err());
    }
}
