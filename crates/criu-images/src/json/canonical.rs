//! The canonical form of a message: what is left of it after a way through crit's JSON.
//!
//! A message that equals its canonical form needs nothing but the JSON to come back. All others get a record in the
//! side key: see [`super::decode::side`].

use std::borrow::Cow;

use super::quoted;
use super::writer::{MessageWriter, is_packed};
use crate::schema::tables::{Field, Message};
use crate::walk::{Scalar, Sink, Walker};
use crate::wire::Fault;

/// Writes the canonical form of a message.
pub(crate) fn write<'a>(
    schema: &'static Message,
    bytes: &'a [u8],
    walker: &mut Walker<'a>,
    out: &mut MessageWriter,
) -> Result<(), Fault> {
    out.clear();
    walker.walk(schema, bytes, &mut Canonical { out })
}

/// What JSON keeps of bytes: all of them, but for text that is not UTF-8 and for names with mixed line ends.
pub(crate) fn bytes<'a>(field: &Field, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    if field.options.text {
        return match String::from_utf8_lossy(bytes) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
    }
    if field.options.conv.is_some() && bytes.contains(&b'\n') {
        return Cow::Owned(quoted::decode(&quoted::encode(bytes)));
    }
    Cow::Borrowed(bytes)
}

struct Canonical<'w> {
    out: &'w mut MessageWriter,
}

impl Sink for Canonical<'_> {
    type Error = Fault;

    fn begin_field(&mut self, field: &'static Field) -> Result<(), Fault> {
        if is_packed(field) {
            self.out.begin(field.number);
        }
        Ok(())
    }

    fn scalar(&mut self, field: &'static Field, value: Scalar<'_>) -> Result<(), Fault> {
        match value {
            Scalar::Bytes(value) => self.out.scalar(field, Scalar::Bytes(&bytes(field, value))),
            value => self.out.scalar(field, value),
        }
        Ok(())
    }

    fn begin_message(&mut self, field: &'static Field) -> Result<(), Fault> {
        self.out.begin(field.number);
        Ok(())
    }

    fn end_message(&mut self, _: &'static Field) -> Result<(), Fault> {
        self.out.end();
        Ok(())
    }

    fn end_field(&mut self, field: &'static Field) -> Result<(), Fault> {
        if is_packed(field) {
            self.out.end();
        }
        Ok(())
    }
}
