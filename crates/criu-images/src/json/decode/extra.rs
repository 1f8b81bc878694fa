//! What follows an entry, as the key `extra` of its object.

use std::io::Write;

use super::DecodeError;
use super::message::MessageText;
use crate::framing::RawEntry;
use crate::json::pretty;
use crate::kinds::PayloadRule;
use crate::payload::Payload;
use crate::schema::messages;
use crate::walk::Walker;
use crate::wire::last_varint;

/// The key of a payload.
pub(crate) const EXTRA: &str = "extra";

/// Writes the payload of an entry, if entries of its kind have any.
pub(crate) fn write<'a, W: Write>(
    entry: &RawEntry<'a>,
    no_payload: bool,
    walker: &mut Walker<'a>,
    out: &mut MessageText<'_, '_, W>,
) -> Result<(), DecodeError> {
    let in_pagemaps = entry.kind.payload == PayloadRule::SharedMemory;
    if entry.payload == Payload::None && !in_pagemaps {
        return Ok(());
    }
    if no_payload {
        return size(entry, out);
    }
    out.text.key(EXTRA)?;
    match entry.payload {
        // The content of a shared memory segment is elsewhere; crit says "nothing" where others say nothing.
        Payload::None => out.text.base64_lines(&[])?,
        Payload::Bytes(bytes) | Payload::SharedMemory { bytes, .. } => out.text.base64_lines(&[bytes])?,
        Payload::BpfMap { keys, values } => out.text.base64_lines(&[keys, values])?,
        Payload::TcpStream { received, sent } => {
            out.text.begin(b'{')?;
            out.text.key("inq")?;
            out.text.base64_lines(&[received])?;
            out.text.key("outq")?;
            out.text.base64_lines(&[sent])?;
            out.text.end(b'}')?;
        }
        Payload::Semaphores(semaphores) => {
            out.text.begin(b'[')?;
            for value in semaphores.values() {
                out.text.unsigned(value.into())?;
            }
            out.text.end(b']')?;
        }
        Payload::Messages(queued) => {
            out.text.begin(b'[')?;
            for message in queued.iter() {
                out.text.begin(b'{')?;
                walker.walk(&messages::IPC_MSG, message.message, out)?;
                out.text.end(b'}')?;
                out.text.base64_lines(&[message.text])?;
            }
            out.text.end(b']')?;
        }
    }
    Ok(())
}

/// Writes how much there is instead of what.
fn size<W: Write>(entry: &RawEntry<'_>, out: &mut MessageText<'_, '_, W>) -> Result<(), DecodeError> {
    let bytes = match entry.payload {
        // crit says how large the segment is, wherever its content may be.
        Payload::None => last_varint(entry.message, 2)?.unwrap_or(0),
        Payload::Bytes(bytes) | Payload::SharedMemory { bytes, .. } => bytes.len() as u64,
        Payload::BpfMap { keys, values } => (keys.len() + values.len()) as u64,
        Payload::TcpStream { received, sent } => (received.len() + sent.len()) as u64,
        Payload::Semaphores(semaphores) => 2 * semaphores.values().count() as u64,
        Payload::Messages(messages) => {
            messages.iter().map(|message| (message.message.len() + message.text.len()) as u64).sum()
        }
    };
    out.text.key(EXTRA)?;
    Ok(out.text.string(format!("... <{}>", pretty::size(bytes)).as_bytes())?)
}
