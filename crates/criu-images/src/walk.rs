//! A walk over a message as the schema sees it: fields in number order, repeated ones gathered, pieces merged.
//!
//! What the schema does not know is passed over. The walk keeps its own stack, so that no image steers recursion.

use crate::level::{Level, Piece, Pieces, fits};
use crate::schema::tables::{Enum, Field, Label, Message, Type};
use crate::wire::{Fault, Fields, Value, WireField, varint};

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

/// A walk, with the buffers that are kept from one message to the next.
#[derive(Debug, Default)]
pub(crate) struct Walker<'a> {
    frames: Vec<Frame<'a>>,
    /// The fields of all open messages that are not in order, each message's sorted by place in the schema.
    sorted: Vec<Occurrence<'a>>,
}

#[derive(Debug, Clone, Copy)]
struct Occurrence<'a> {
    /// Place of the field in [`Message::fields`].
    index: usize,
    value: Value<'a>,
}

#[derive(Debug)]
struct Frame<'a> {
    schema: &'static Message,
    /// The field that holds the message; none for the outermost.
    of: Option<&'static Field>,
    source: Source<'a>,
    /// The occurrence that comes next.
    next: Option<Occurrence<'a>>,
    /// The field that is begun.
    open: Option<usize>,
}

/// Where the fields of a message come from.
#[derive(Debug)]
enum Source<'a> {
    /// From its bytes: they are in order, as CRIU writes them.
    Bytes(Fields<'a>),
    /// From a part of [`Walker::sorted`], whose start is kept to cut it off in the end.
    Sorted { start: usize, next: usize, end: usize },
}

impl<'a> Walker<'a> {
    /// Walks one message. The message itself is not begun and ended, only those inside it.
    pub fn walk<S: Sink>(
        &mut self,
        schema: &'static Message,
        bytes: &'a [u8],
        sink: &mut S,
    ) -> Result<(), S::Error> {
        self.frames.clear();
        self.sorted.clear();
        self.open(schema, None, &Pieces::One(Piece { bytes, offset: 0 }))?;
        while let Some(frame) = self.frames.last_mut() {
            match (frame.open, frame.next) {
                (Some(open), Some(occurrence)) if occurrence.index == open => self.value(occurrence, sink)?,
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
                    if let Source::Sorted { start, .. } = frame.source {
                        self.sorted.truncate(start);
                    }
                    self.frames.pop();
                }
            }
        }
        Ok(())
    }

    /// Tells the next value of the open field.
    fn value<S: Sink>(&mut self, occurrence: Occurrence<'a>, sink: &mut S) -> Result<(), S::Error> {
        let Some(schema) = self.frames.last().map(|frame| frame.schema) else { return Ok(()) };
        let field = &schema.fields[occurrence.index];
        self.advance()?;
        // Of a singular field the last value counts; of a singular message all pieces together.
        let mut last = occurrence;
        let mut pieces = Vec::new();
        while field.label != Label::Repeated
            && let Some(again) = self.frames.last().and_then(|frame| frame.next)
            && again.index == occurrence.index
        {
            if let Value::Bytes(bytes) = last.value {
                pieces.push(Piece { bytes, offset: 0 });
            }
            last = again;
            self.advance()?;
        }
        match (field.ty, last.value) {
            (Type::Message(inner), Value::Bytes(bytes)) => {
                let piece = Piece { bytes, offset: 0 };
                let pieces = if pieces.is_empty() {
                    Pieces::One(piece)
                } else {
                    pieces.push(piece);
                    Pieces::Many(pieces)
                };
                self.open(inner, Some(field), &pieces)?;
                sink.begin_message(field)
            }
            (Type::Bytes, value) => sink.scalar(field, scalar(field.ty, value)),
            (_, Value::Bytes(list)) => unpack(field.ty, list, |value| sink.scalar(field, value)),
            (_, value) => sink.scalar(field, scalar(field.ty, value)),
        }
    }

    fn open(
        &mut self,
        schema: &'static Message,
        of: Option<&'static Field>,
        pieces: &Pieces<'a>,
    ) -> Result<(), Fault> {
        let source = match pieces {
            Pieces::One(piece) if Level::survey(schema, &[*piece])?.in_order => {
                Source::Bytes(Fields::new(piece.bytes))
            }
            _ => self.sort(schema, pieces)?,
        };
        self.frames.push(Frame { schema, of, source, next: None, open: None });
        self.advance()
    }

    fn sort(&mut self, schema: &'static Message, pieces: &Pieces<'a>) -> Result<Source<'a>, Fault> {
        let start = self.sorted.len();
        for piece in pieces.as_slice() {
            for field in Fields::new(piece.bytes) {
                self.sorted.extend(occurrence(schema, &field?));
            }
        }
        // Stable: repeated values keep their order.
        self.sorted[start..].sort_by_key(|occurrence| occurrence.index);
        Ok(Source::Sorted { start, next: start, end: self.sorted.len() })
    }

    /// Moves the innermost message to its next field that the schema knows.
    fn advance(&mut self) -> Result<(), Fault> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        frame.next = None;
        match &mut frame.source {
            Source::Sorted { next, end, .. } => {
                frame.next = self.sorted.get(*next).filter(|_| next < end).copied();
                *next += 1;
            }
            Source::Bytes(fields) => {
                for field in fields {
                    frame.next = occurrence(frame.schema, &field?);
                    if frame.next.is_some() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Returns the field as the schema knows it. A packed list without values is as good as absent.
fn occurrence<'a>(schema: &'static Message, field: &WireField<'a>) -> Option<Occurrence<'a>> {
    let index = schema.position(field.number)?;
    let known = &schema.fields[index];
    let is_empty_list =
        matches!(field.value, Value::Bytes([])) && !matches!(known.ty, Type::Bytes | Type::Message(_));
    (fits(known, &field.value) && !is_empty_list).then_some(Occurrence { index, value: field.value })
}
