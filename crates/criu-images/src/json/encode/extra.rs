//! The key `extra` as the bytes behind an entry. The other half of `decode::extra`.

use super::message::{Builder, Misfit};
use super::parse::{Json, Object};
use super::record;
use super::side::EntryRecord;
use super::value::{base64, whole_number};
use crate::json::writer::MessageWriter;
use crate::kinds::PayloadRule;
use crate::schema::messages;

/// Appends the payload of an entry. Whether it fits the entry is checked afterwards, by reading it.
pub(crate) fn write(
    rule: PayloadRule,
    extra: Option<&Json<'_>>,
    record: &EntryRecord<'_, '_>,
    path: &str,
    builder: &mut Builder,
    out: &mut Vec<u8>,
) -> Result<(), Misfit> {
    let path = format!("{path}.extra");
    let Some(extra) = extra.filter(|_| rule != PayloadRule::None) else { return Ok(()) };
    let start = out.len();
    match (rule, extra) {
        (PayloadRule::TcpStream, Json::Object(queues)) => {
            for name in ["inq", "outq"] {
                let queue = queues.get(name).ok_or_else(|| Misfit::new(&path, format!("lacks {name}")))?;
                bytes(queue, &format!("{path}.{name}"), out)?;
            }
        }
        (PayloadRule::Semaphores, Json::List(values)) => {
            for value in values {
                let Json::Number(number) = value else { return Err(Misfit::new(&path, "expected numbers")) };
                let value = whole_number(number).and_then(|number| u16::try_from(number).ok());
                let value = value.ok_or_else(|| Misfit::new(&path, format!("{number} is out of range")))?;
                out.extend(if builder.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
            }
            pad(out, start, 8, record.padding(), &path)?;
        }
        (PayloadRule::Messages, Json::List(parts)) => messages(parts, record, &path, builder, out)?,
        (PayloadRule::SharedMemory, extra) => {
            bytes(extra, &path, out)?;
            pad(out, start, 4, record.padding(), &path)?;
        }
        (PayloadRule::TcpStream, Json::Text(text)) => {
            // Sizes in place of the queues, most likely: say so.
            base64(text).map_err(|why| Misfit::new(&path, why))?;
            return Err(Misfit::new(&path, "expected an object with inq and outq"));
        }
        (PayloadRule::Semaphores | PayloadRule::Messages, Json::Text(text)) => {
            base64(text).map_err(|why| Misfit::new(&path, why))?;
            return Err(Misfit::new(&path, "expected a list"));
        }
        (PayloadRule::TcpStream, _) => {
            return Err(Misfit::new(&path, "expected an object with inq and outq"));
        }
        (PayloadRule::Semaphores | PayloadRule::Messages, _) => {
            return Err(Misfit::new(&path, "expected a list"));
        }
        (_, extra) => bytes(extra, &path, out)?,
    }
    Ok(())
}

fn bytes(value: &Json<'_>, path: &str, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let Json::Text(digits) = value else { return Err(Misfit::new(path, "expected base64")) };
    out.extend(base64(digits).map_err(|why| Misfit::new(path, why))?);
    Ok(())
}

/// Appends zeros up to a multiple of `unit`, or what the side key has in place of zeros.
fn pad(
    out: &mut Vec<u8>,
    start: usize,
    unit: usize,
    odd: Option<&Json<'_>>,
    path: &str,
) -> Result<(), Misfit> {
    let length = out.len() - start;
    let missing = length.next_multiple_of(unit) - length;
    let mut padding = Vec::new();
    if let Some(odd) = odd {
        bytes(odd, path, &mut padding)?;
    }
    // Another length than before: the text was edited, and the old padding has no place.
    if padding.len() != missing {
        padding = vec![0; missing];
    }
    out.extend(padding);
    Ok(())
}

/// Writes the messages of a queue: objects and texts in turn.
fn messages(
    parts: &[Json<'_>],
    record: &EntryRecord<'_, '_>,
    path: &str,
    builder: &mut Builder,
    out: &mut Vec<u8>,
) -> Result<(), Misfit> {
    let (pairs, rest) = parts.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Misfit::new(path, "expected objects and their texts in turn"));
    }
    for (number, [head, text]) in pairs.iter().enumerate() {
        let path = format!("{path}[{}]", 2 * number);
        let Json::Object(object) = head else { return Err(Misfit::new(&path, "expected an object")) };
        let record = record.message(number as u64);
        let mut message = MessageWriter::default();
        match record.and_then(Object::fields) {
            Some(items) => record::write(builder, &messages::IPC_MSG, object, items, &path, &mut message)?,
            None => builder.write(&messages::IPC_MSG, object, &path, &mut message)?,
        }
        let length =
            u32::try_from(message.bytes.len()).map_err(|_| Misfit::new(&path, "longer than 4 GiB"))?;
        out.extend(if builder.big_endian { length.to_be_bytes() } else { length.to_le_bytes() });
        out.extend_from_slice(&message.bytes);
        let start = out.len();
        bytes(text, &path, out)?;
        pad(out, start, 8, record.and_then(|record| record.get("padding")), &path)?;
    }
    Ok(())
}
