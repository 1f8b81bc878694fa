//! The shape of the static schema tables.

use std::fmt;

/// A message: its fields by number.
pub struct Message {
    /// CRIU's name of the message, such as `task_core_entry`.
    pub name: &'static str,
    /// All fields, ascending by number.
    pub fields: &'static [Field],
    /// Which fields must be present: bit `n` stands for `fields[n]`.
    pub required: u64,
}

impl Message {
    /// Returns the place of the field with this number in [`Message::fields`].
    pub fn position(&self, number: u32) -> Option<usize> {
        // Most messages number their fields 1, 2, 3 without a gap.
        let guess = (number as usize).wrapping_sub(1);
        match self.fields.get(guess) {
            Some(field) if field.number == number => Some(guess),
            _ => self.fields.binary_search_by_key(&number, |field| field.number).ok(),
        }
    }

    /// Returns the field with this number.
    pub fn field(&self, number: u32) -> Option<&'static Field> {
        self.position(number).and_then(|index| self.fields.get(index))
    }

    /// Returns the field with this name.
    pub fn field_named(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// True for two references to the same table.
    pub fn is(&self, other: &Message) -> bool {
        std::ptr::eq(self, other)
    }
}

impl fmt::Debug for Message {
    /// Shows the name alone: messages refer to each other, some to themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", self.name)
    }
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// The field's number on the wire.
    pub number: u32,
    /// CRIU's name of the field.
    pub name: &'static str,
    /// How often it may or must occur.
    pub label: Label,
    /// The type of one value.
    pub ty: Type,
    /// Whether CRIU writes a repeated field in packed form. A reader meets both forms.
    pub packed: bool,
    /// What the schema says about showing the field.
    pub options: Options,
}

/// How often a field may or must occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Exactly once; absence is damage.
    Required,
    /// Once or not at all.
    Optional,
    /// Any number of times, in order.
    Repeated,
}

/// The type of a field's value, in protobuf's terms.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// Signed; a negative number takes ten bytes.
    Int32,
    /// Signed; a negative number takes ten bytes.
    Int64,
    /// Unsigned.
    Uint32,
    /// Unsigned.
    Uint64,
    /// Signed, zigzag-coded.
    Sint32,
    /// Signed, zigzag-coded.
    Sint64,
    /// Four bytes, little-endian.
    Fixed32,
    /// Eight bytes, little-endian.
    Fixed64,
    /// A varint that is zero or not.
    Bool,
    /// Bytes. Those that are text carry [`Options::text`].
    Bytes,
    /// A number with a name.
    Enum(&'static Enum),
    /// A message inside the message.
    Message(&'static Message),
}

impl Type {
    /// True for integers of 64 bits.
    pub fn is_64_bit(&self) -> bool {
        matches!(self, Self::Int64 | Self::Uint64 | Self::Sint64 | Self::Fixed64)
    }
}

/// CRIU's own field options, `(criu).*` of `opts.proto`: how crit's `--pretty` writes the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// As a hexadecimal number; on a message, all integers below it.
    pub hex: bool,
    /// The words of a repeated field as one internet address.
    pub ipadd: bool,
    /// As names of bits, from the table of this name.
    pub flags: Option<&'static str>,
    /// As `major:minor` of a device number.
    pub dev: bool,
    /// With `dev`: the number is a `dev_t` of user space, not the kernel's.
    pub odev: bool,
    /// As a name, from the table of this name.
    pub dict: Option<&'static str>,
    /// Bytes with a form of their own: `unix_name`.
    pub conv: Option<&'static str>,
    /// Bytes that CRIU declares as `string`: text, though not always UTF-8.
    pub text: bool,
}

/// An enum: names for numbers.
#[derive(Debug)]
pub struct Enum {
    /// The full name, such as `core_entry.march`.
    pub name: &'static str,
    /// Number and name of each value in the order of the schema.
    pub values: &'static [(i32, &'static str)],
}

impl Enum {
    /// Returns the name of a value, unless a newer CRIU (or damage) made it.
    pub fn name_of(&self, value: i32) -> Option<&'static str> {
        self.values.iter().find(|(number, _)| *number == value).map(|(_, name)| *name)
    }

    /// Returns the number of a name.
    pub fn number_of(&self, name: &str) -> Option<i32> {
        self.values.iter().find(|(_, candidate)| *candidate == name).map(|(number, _)| *number)
    }
}
