//! The side key, read: messages in the form that it records. The other half of `decode::side`.
//!
//! JSON wins: a value that was edited is written in canonical form at the place of the old one, a value that was
//! added goes last, one that was deleted is left out.

use super::message::{Builder, Misfit, Values, member_path, write_scalars};
use super::parse::{Json, Object};
use super::value::{base64, whole_number};
use crate::json::canonical;
use crate::json::writer::{MessageWriter, is_packed};
use crate::required::MOST_LEVELS;
use crate::schema::tables::{Field, Label, Message, Type};
use crate::walk::{Walker, unpack};
use crate::wire::{Fault, Fields, Value};

/// A message that is being written after a record.
struct Frame<'t, 'j> {
    schema: &'static Message,
    path: String,
    items: std::slice::Iter<'t, Json<'j>>,
    values: Vec<(usize, Values<'t, 'j>)>,
    /// For each field of the schema: how many of its values are written.
    taken: Vec<usize>,
    /// For each singular message field that came in pieces: are these still what JSON says?
    pieces: Vec<Option<bool>>,
}

/// Appends an object that stands at `path`, with its fields as `items` lists them.
pub(crate) fn write(
    builder: &mut Builder,
    schema: &'static Message,
    object: &Object<'_>,
    items: &[Json<'_>],
    path: &str,
    out: &mut MessageWriter,
) -> Result<(), Misfit> {
    let mut frames = vec![open(builder, schema, object, items, path.to_owned())?];
    while let Some(frame) = frames.last_mut() {
        let Some(item) = frame.items.next() else {
            finish(builder, frame, out)?;
            frames.pop();
            if !frames.is_empty() {
                out.end();
            }
            continue;
        };
        let inner = write_item(builder, frame, item, out)?;
        if let Some((field, object, items, path)) = inner {
            let Type::Message(inner) = field.ty else { continue };
            if frames.len() >= MOST_LEVELS {
                return Err(Misfit {
                    path,
                    why: format!("more than {MOST_LEVELS} messages inside each other"),
                });
            }
            out.begin(field.number);
            frames.push(open(builder, inner, object, items, path)?);
        }
    }
    Ok(())
}

/// A message inside a message that has a list of its own.
type Inner<'t, 'j> = (&'static Field, &'t Object<'j>, &'t [Json<'j>], String);

fn open<'t, 'j>(
    builder: &mut Builder,
    schema: &'static Message,
    object: &'t Object<'j>,
    items: &'t [Json<'j>],
    path: String,
) -> Result<Frame<'t, 'j>, Misfit> {
    let values = builder.values(schema, object, &path)?;
    let count = schema.fields.len();
    Ok(Frame { schema, path, items: items.iter(), values, taken: vec![0; count], pieces: vec![None; count] })
}

fn write_item<'t, 'j>(
    builder: &mut Builder,
    frame: &mut Frame<'t, 'j>,
    item: &'t Json<'j>,
    out: &mut MessageWriter,
) -> Result<Option<Inner<'t, 'j>>, Misfit> {
    match item {
        Json::List(parts) => verbatim(parts, out).ok_or_else(|| odd_item(frame))?,
        Json::Text(name) => {
            let (index, field) = field_named(frame, name)?;
            let count = if is_packed(field) { usize::MAX } else { 1 };
            write_next(builder, frame, index, count, out)?;
        }
        Json::Object(Object(members)) => {
            let [(name, form)] = members.as_slice() else { return Err(odd_item(frame)) };
            let (index, field) = field_named(frame, name)?;
            match form {
                Json::List(items) => {
                    return Ok(next_message(frame, index).map(|(it, path)| (field, it, &items[..], path)));
                }
                Json::Text(digits) => {
                    let bytes = base64(digits).map_err(|why| Misfit::new(&frame.path, why))?;
                    write_raw(builder, frame, index, &bytes, out)?;
                }
                _ => return Err(odd_item(frame)),
            }
        }
        _ => return Err(odd_item(frame)),
    }
    Ok(None)
}

fn odd_item(frame: &Frame<'_, '_>) -> Misfit {
    Misfit::new(&frame.path, "the record in the side key has a form that this version does not know")
}

fn field_named(frame: &Frame<'_, '_>, name: &[u8]) -> Result<(usize, &'static Field), Misfit> {
    let fields = frame.schema.fields.iter().enumerate();
    fields.into_iter().find(|(_, field)| field.name.as_bytes() == name).ok_or_else(|| {
        let name = String::from_utf8_lossy(name);
        Misfit::new(
            &frame.path,
            format!("the side key names a field {name} that {} has not", frame.schema.name),
        )
    })
}

/// Takes the next message of a field.
fn next_message<'t, 'j>(frame: &mut Frame<'t, 'j>, index: usize) -> Option<(&'t Object<'j>, String)> {
    let (_, values) = frame.values.iter().find(|(it, _)| *it == index)?;
    let Values::Messages(objects) = values else { return None };
    let number = frame.taken[index];
    let object = objects.get(number).copied()?;
    frame.taken[index] += 1;
    Some((object, member_path(&frame.path, &frame.schema.fields[index], number)))
}

/// Writes the next values of a field in canonical form, at most `count` of them.
fn write_next(
    builder: &mut Builder,
    frame: &mut Frame<'_, '_>,
    index: usize,
    count: usize,
    out: &mut MessageWriter,
) -> Result<(), Misfit> {
    let field = &frame.schema.fields[index];
    if let Type::Message(inner) = field.ty {
        for _ in 0..count {
            let Some((object, path)) = next_message(frame, index) else { break };
            out.begin(field.number);
            builder.write(inner, object, &path, out)?;
            out.end();
        }
        return Ok(());
    }
    let Some((_, Values::Scalars(values))) = frame.values.iter().find(|(it, _)| *it == index) else {
        return Ok(());
    };
    let rest = values.get(frame.taken[index]..).unwrap_or_default();
    let next = &rest[..count.min(rest.len())];
    frame.taken[index] += next.len();
    write_scalars(field, next, out);
    Ok(())
}

/// Writes recorded bytes if JSON still says what they say, else what JSON says now.
fn write_raw(
    builder: &mut Builder,
    frame: &mut Frame<'_, '_>,
    index: usize,
    bytes: &[u8],
    out: &mut MessageWriter,
) -> Result<(), Misfit> {
    let field = &frame.schema.fields[index];
    let in_pieces = matches!(field.ty, Type::Message(_)) && field.label != Label::Repeated;
    if let (true, Some(unchanged)) = (in_pieces, frame.pieces[index]) {
        // The pieces of a message are judged together, at the first one.
        if unchanged {
            out.bytes.extend_from_slice(bytes);
        }
        return Ok(());
    }
    let mut all = bytes.to_vec();
    if in_pieces {
        all.extend(later_pieces(frame, field));
    }
    let recorded = canonical_form(frame.schema, &all).map_err(|fault| {
        Misfit::new(
            &frame.path,
            format!("the side key has bytes for {} that are no field: {}", field.name, fault.what),
        )
    })?;
    let count = count_values(field, bytes).unwrap_or(0);
    let before = frame.taken[index];
    let mut now = MessageWriter::default();
    write_next(builder, frame, index, count, &mut now)?;
    let unchanged = now.bytes == recorded && frame.taken[index] - before == count;
    frame.pieces[index] = in_pieces.then_some(unchanged);
    out.bytes.extend_from_slice(if unchanged { bytes } else { &now.bytes });
    Ok(())
}

/// The recorded bytes of a field in the items to come, one behind the other.
fn later_pieces(frame: &Frame<'_, '_>, field: &Field) -> Vec<u8> {
    let raw = |item: &Json<'_>| match item {
        Json::Object(Object(members)) => match members.as_slice() {
            [(name, Json::Text(digits))] if name == field.name.as_bytes() => base64(digits).ok(),
            _ => None,
        },
        _ => None,
    };
    frame.items.clone().filter_map(raw).flatten().collect()
}

fn canonical_form(schema: &'static Message, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut out = MessageWriter::default();
    canonical::write(schema, bytes, &mut Walker::default(), &mut out)?;
    Ok(out.bytes)
}

/// How many values the bytes of a field hold: more or less than one if they are a packed list.
fn count_values(field: &Field, bytes: &[u8]) -> Result<usize, Fault> {
    let Some(found) = Fields::new(bytes).next() else { return Ok(0) };
    let Value::Bytes(list) = found?.value else { return Ok(1) };
    if matches!(field.ty, Type::Bytes | Type::Message(_)) {
        return Ok(1);
    }
    let mut count = 0;
    unpack(field.ty, list, |_| {
        count += 1;
        Ok::<(), Fault>(())
    })?;
    Ok(count)
}

/// Writes what JSON has that the record has not: values that were added.
fn finish(builder: &mut Builder, frame: &mut Frame<'_, '_>, out: &mut MessageWriter) -> Result<(), Misfit> {
    for index in 0..frame.schema.fields.len() {
        write_next(builder, frame, index, usize::MAX, out)?;
    }
    Ok(())
}

/// Writes a field that JSON does not have: `[number, form, value]`.
fn verbatim(parts: &[Json<'_>], out: &mut MessageWriter) -> Option<()> {
    let [Json::Number(number), Json::Text(form), value] = parts else { return None };
    let number = u32::try_from(whole_number(number)?).ok().filter(|number| (1..1 << 29).contains(number))?;
    match (form.as_slice(), value) {
        (b"varint", Json::Number(value)) => {
            out.key(number, 0);
            out.varint(u64::try_from(whole_number(value)?).ok()?);
        }
        (b"fixed64", Json::Number(value)) => {
            out.key(number, 1);
            out.bytes.extend(u64::try_from(whole_number(value)?).ok()?.to_le_bytes());
        }
        (b"fixed32", Json::Number(value)) => {
            out.key(number, 5);
            out.bytes.extend(u32::try_from(whole_number(value)?).ok()?.to_le_bytes());
        }
        (b"bytes", Json::Text(digits)) => {
            out.key(number, 2);
            out.delimited(&base64(digits).ok()?);
        }
        (b"raw", Json::Text(digits)) => out.bytes.extend(base64(digits).ok()?),
        _ => return None,
    }
    Some(())
}
