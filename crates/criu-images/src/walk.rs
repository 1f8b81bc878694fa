//! A walk over a message as the schema sees it: fields in number order, repeated ones gathered, pieces merged.
//!
//! What the schema does not know is passed over. The walk keeps its own stack, so that no image steers recursion.

use crate::required::fits;
use crate::schema::tables::{Enum, Field, Label, Message, Type};
use crate::wire::{Fault, Fields, Value, varint};

/// What a walk tells, in order. A field that is present is begun, gets its values, and is ended.
pub(crate) trait Sink {
    type Error: From<Fault>;

    fn begin_field(&mut self, field: &'static Field) -> Result<(), Self::Error>;
    fn scalar(&mut self, field: &'static Field, value: Scalar<'_>) -> Result<(), Self::Error>;
    fn begin_message(&mut self, field: &'static Field) -> Result<(), Self::Error>;
    fn end_message(&mut self, field: &'static Field) -> Result<(), Self::Error>;
    fn end_field(&mut self, field: &'static Field) -> Result<(), Self::Error>;
}

/// A value that is no message, cut to the width of its type as every protobuf reader does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    Unsigned(u64),
    Signed(i64),
    Bool(bool),
    Enum(i32),
    Bytes(&'a [u8]),
}

/// The number behind an enum-typed or integer field as the wire has it, or the bytes of a bytes field.
pub(crate) fn scalar<'a>(ty: Type, value: Value<'a>) -> Scalar<'a> {
    let number = match value {
        Value::Bytes(bytes) => return Scalar::Bytes(bytes),
        Value::Varint(number) | Value::Fixed64(number) => number,
        Value::Fixed32(number) => u64::from(number),
        Value::Group => 0, // no type of the schema fits a group
    };
    match ty {
        Type::Int32 => Scalar::Signed(i64::from(number as i32)),
        Type::Int64 => Scalar::Signed(number as i64),
        Type::Uint32 | Type::Fixed32 => Scalar::Unsigned(u64::from(number as u32)),
        Type::Uint64 | Type::Fixed64 => Scalar::Unsigned(number),
        Type::Sint32 => Scalar::Signed(i64::from(zigzag(u64::from(number as u32)) as i32)),
        Type::Sint64 => Scalar::Signed(zigzag(number)),
        Type::Bool => Scalar::Bool(number != 0),
        Type::Enum(_) => Scalar::Enum(number as i32),
        Type::Bytes | Type::Message(_) => Scalar::Unsigned(number),
    }
}

fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Calls `each` with the values of a packed field.
pub(crate) fn unpack<'a, E: From<Fault>>(
    ty: Type,
    mut bytes: &'a [u8],
    mut each: impl FnMut(Scalar<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let cut = Fault { what: crate::error::WireFault::Cut, at: 0 };
    while !bytes.is_empty() {
        let (value, length) = match ty {
            Type::Fixed32 => {
                let word = bytes.first_chunk().ok_or(cut)?;
                (Value::Fixed32(u32::from_le_bytes(*word)), 4)
            }
            Type::Fixed64 => {
                let word = bytes.first_chunk().ok_or(cut)?;
                (Value::Fixed64(u64::from_le_bytes(*word)), 8)
            }
            _ => {
                let (number, length) = varint(bytes).map_err(|what| Fault { what, at: 0 })?;
                (Value::Varint(number), length)
            }
        };
        each(scalar(ty, value))?;
        bytes = &bytes[length..];
    }
    Ok(())
}

/// Returns the table of names if values of the field have any.
pub(crate) fn names_of(field: &Field) -> Option<&'static Enum> {
    match field.ty {
        Type::Enum(names) => Some(names),
        _ => None,
    }
}

/// The buffers of a walk, kept from one message to the next.
#[derive(Debug, Default)]
pub(crate) struct Walker<'a> {
    /// The fields of all messages that are open, each message's sorted by place in the schema.
    occurrences: Vec<Occurrence<'a>>,
    frames: Vec<Frame>,
}

#[derive(Debug, Clone, Copy)]
struct Occurrence<'a> {
    /// Place of the field in [`Message::fields`].
    index: usize,
    value: Value<'a>,
}

#[derive(Debug)]
struct Frame {
    schema: &'static Message,
    /// The field that holds the message; none for the outermost.
    of: Option<&'static Field>,
    /// Its part of the occurrences, and the next one.
    start: usize,
    end: usize,
    next: usize,
    /// The field that is begun.
    open: Option<usize>,
}

impl<'a> Walker<'a> {
    /// Walks one message. The message itself is not begun and ended, only those inside it.
    pub fn walk<S: Sink>(
        &mut self,
        schema: &'static Message,
        pieces: &[&'a [u8]],
        sink: &mut S,
    ) -> Result<(), S::Error> {
        self.occurrences.clear();
        self.frames.clear();
        for piece in pieces {
            self.gather(schema, piece)?;
        }
        self.open(schema, None, 0);
        while let Some(frame) = self.frames.last_mut() {
            let next = self.occurrences.get(frame.next).filter(|_| frame.next < frame.end).copied();
            match (frame.open, next) {
                (Some(open), Some(occurrence)) if occurrence.index == open => {
                    let field = &frame.schema.fields[open];
                    self.value(field, occurrence, sink)?;
                }
                (Some(open), _) => {
                    sink.end_field(&frame.schema.fields[open])?;
                    frame.open = None;
                }
                (None, Some(occurrence)) => {
                    frame.open = Some(occurrence.index);
                    sink.begin_field(&frame.schema.fields[occurrence.index])?;
                }
                (None, None) => {
                    if let Some(field) = frame.of {
                        sink.end_message(field)?;
                    }
                    let start = frame.start;
                    self.frames.pop();
                    self.occurrences.truncate(start);
                }
            }
        }
        Ok(())
    }

    /// Tells the next value of the open field.
    fn value<S: Sink>(
        &mut self,
        field: &'static Field,
        occurrence: Occurrence<'a>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let first = frame.next;
        // Of a singular field the last value counts; of a singular message all pieces together.
        frame.next += match field.label {
            Label::Repeated => 1,
            _ => self.occurrences[first..frame.end]
                .iter()
                .take_while(|it| it.index == occurrence.index)
                .count(),
        };
        let next = frame.next;
        let Type::Message(inner) = field.ty else {
            let value = self.occurrences[next - 1].value;
            return match value {
                Value::Bytes(bytes) if !matches!(field.ty, Type::Bytes) => {
                    unpack(field.ty, bytes, |value| sink.scalar(field, value))
                }
                value => sink.scalar(field, scalar(field.ty, value)),
            };
        };
        let start = self.occurrences.len();
        for index in first..next {
            if let Value::Bytes(bytes) = self.occurrences[index].value {
                self.gather(inner, bytes)?;
            }
        }
        self.open(inner, Some(field), start);
        sink.begin_message(field)
    }

    fn gather(&mut self, schema: &'static Message, piece: &'a [u8]) -> Result<(), Fault> {
        for field in Fields::new(piece) {
            let field = field?;
            if let Some(index) = schema.position(field.number)
                && fits(&schema.fields[index], &field.value)
                && !is_empty_list(&schema.fields[index], &field.value)
            {
                self.occurrences.push(Occurrence { index, value: field.value });
            }
        }
        Ok(())
    }

    fn open(&mut self, schema: &'static Message, of: Option<&'static Field>, start: usize) {
        let own = &mut self.occurrences[start..];
        if !own.is_sorted_by_key(|occurrence| occurrence.index) {
            own.sort_by_key(|occurrence| occurrence.index); // stable: repeated values keep their order
        }
        let end = start + own.len();
        self.frames.push(Frame { schema, of, start, end, next: start, open: None });
    }
}

/// A packed list without values is as good as absent.
fn is_empty_list(field: &Field, value: &Value<'_>) -> bool {
    matches!(value, Value::Bytes([])) && !matches!(field.ty, Type::Bytes | Type::Message(_))
}
