//! Messages as bytes: the canonical wire form, written front to back.

use crate::schema::tables::{Field, Label, Type};
use crate::walk::Scalar;
use crate::wire::write_varint;

/// Writes fields in the form that protobuf-c and all other writers give them.
#[derive(Debug, Default)]
pub(crate) struct MessageWriter {
    pub bytes: Vec<u8>,
    /// Where the content of each open field starts.
    open: Vec<usize>,
}

impl MessageWriter {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.open.clear();
    }

    /// Begins a field whose length is known at its end: a message, or a packed list.
    pub fn begin(&mut self, number: u32) {
        self.key(number, 2);
        self.open.push(self.bytes.len());
    }

    /// Ends the field begun last: its length goes ahead of it.
    pub fn end(&mut self) {
        let Some(start) = self.open.pop() else { return };
        let mut length = Vec::new();
        write_varint(&mut length, (self.bytes.len() - start) as u64);
        self.bytes.splice(start..start, length);
    }

    /// Writes one value of a field: with its key, or without it as part of a packed list.
    pub fn scalar(&mut self, field: &Field, value: Scalar<'_>) {
        if !is_packed(field) {
            self.key(field.number, wire_type(field.ty));
        }
        match (value, field.ty) {
            (Scalar::Unsigned(number), Type::Fixed32) => self.bytes.extend((number as u32).to_le_bytes()),
            (Scalar::Unsigned(number), Type::Fixed64) => self.bytes.extend(number.to_le_bytes()),
            (Scalar::Unsigned(number), _) => self.varint(number),
            (Scalar::Signed(number), Type::Sint32 | Type::Sint64) => {
                self.varint((number << 1 ^ number >> 63) as u64);
            }
            (Scalar::Signed(number), _) => self.varint(number as u64),
            (Scalar::Bool(value), _) => self.varint(value.into()),
            (Scalar::Enum(number), _) => self.varint(i64::from(number) as u64),
            (Scalar::Bytes(bytes), _) => self.delimited(bytes),
        }
    }

    pub fn key(&mut self, number: u32, wire_type: u8) {
        self.varint(u64::from(number) << 3 | u64::from(wire_type));
    }

    pub fn varint(&mut self, value: u64) {
        write_varint(&mut self.bytes, value);
    }

    pub fn delimited(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }
}

/// True if CRIU writes all values of the field in one piece.
pub(crate) fn is_packed(field: &Field) -> bool {
    field.packed && field.label == Label::Repeated
}

fn wire_type(ty: Type) -> u8 {
    match ty {
        Type::Bytes | Type::Message(_) => 2,
        Type::Fixed32 => 5,
        Type::Fixed64 => 1,
        _ => 0,
    }
}
