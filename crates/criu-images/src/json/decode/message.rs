//! One message as JSON: the walk's events become text.

use std::io::{self, Write};

use super::DecodeError;
use super::text::Text;
use crate::flat::Flat;
use crate::json::{pretty, quoted};
use crate::schema::tables::{Field, Label};
use crate::walk::{Scalar, Sink, names_of};

/// Writes the fields of messages.
pub(crate) struct MessageText<'t, 'w, W: Write> {
    pub text: &'t mut Text<'w, W>,
    pub pretty: bool,
    pub big_endian: bool,
    /// For each open message: whether `(criu).hex` holds for all integers in it.
    hex: Vec<bool>,
    /// The words of the address field that is open.
    address: Option<Vec<u32>>,
}

impl<'t, 'w, W: Write> MessageText<'t, 'w, W> {
    pub fn new(text: &'t mut Text<'w, W>, pretty: bool, big_endian: bool) -> Self {
        Self { text, pretty, big_endian, hex: Vec::new(), address: None }
    }

    /// Writes a message of single numbers.
    pub fn flat(&mut self, flat: &Flat) -> Result<(), DecodeError> {
        for (field, value) in flat.scalars() {
            match value {
                Scalar::Unsigned(number) if !self.pretty => self.text.unsigned_member(field.name, number)?,
                value => {
                    self.begin_field(field)?;
                    self.scalar(field, value)?;
                    self.end_field(field)?;
                }
            }
        }
        Ok(())
    }

    fn integer(&mut self, field: &Field, number: i128) -> io::Result<()> {
        let hex = self.hex.last().is_some_and(|hex| *hex);
        match pretty::integer(field, number, hex).filter(|_| self.pretty) {
            Some(text) => self.text.string(text.as_bytes()),
            None => match u64::try_from(number) {
                Ok(number) => self.text.unsigned(number),
                Err(_) => self.text.signed(number as i64),
            },
        }
    }
}

impl<W: Write> Sink for MessageText<'_, '_, W> {
    type Error = DecodeError;

    fn begin_field(&mut self, field: &'static Field) -> Result<(), DecodeError> {
        self.text.key(field.name)?;
        if field.label == Label::Repeated {
            self.text.begin(b'[')?;
            self.address = (self.pretty && field.options.ipadd).then(Vec::new);
        }
        Ok(())
    }

    fn scalar(&mut self, field: &'static Field, value: Scalar<'_>) -> Result<(), DecodeError> {
        if let (Some(words), Scalar::Unsigned(word)) = (&mut self.address, value) {
            words.push(word as u32);
            return Ok(());
        }
        match value {
            Scalar::Unsigned(number) => self.integer(field, number.into())?,
            Scalar::Signed(number) => self.integer(field, number.into())?,
            Scalar::Bool(value) => self.text.boolean(value)?,
            Scalar::Enum(number) => match names_of(field).and_then(|names| names.name_of(number)) {
                Some(name) => self.text.string(name.as_bytes())?,
                None => self.text.signed(number.into())?,
            },
            Scalar::Bytes(bytes) if field.options.text => self.text.string(bytes)?,
            Scalar::Bytes(bytes) if field.options.conv.is_some() => {
                self.text.string(&quoted::encode(bytes))?
            }
            Scalar::Bytes(bytes) => self.text.base64_lines(&[bytes])?,
        }
        Ok(())
    }

    fn begin_message(&mut self, field: &'static Field) -> Result<(), DecodeError> {
        let outer = self.hex.last().is_some_and(|hex| *hex);
        self.hex.push(outer || field.options.hex);
        Ok(self.text.begin(b'{')?)
    }

    fn end_message(&mut self, _: &'static Field) -> Result<(), DecodeError> {
        self.hex.pop();
        Ok(self.text.end(b'}')?)
    }

    fn end_field(&mut self, field: &'static Field) -> Result<(), DecodeError> {
        if let Some(words) = self.address.take() {
            match pretty::address(&words, self.big_endian) {
                Some(address) => self.text.string(address.as_bytes())?,
                None => {
                    for word in words {
                        self.integer(field, word.into())?;
                    }
                }
            }
        }
        if field.label == Label::Repeated {
            self.text.end(b']')?;
        }
        Ok(())
    }
}
