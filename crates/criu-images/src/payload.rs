//! What follows an entry: the bytes that CRIU writes behind some messages.

use crate::error::{Error, Place, Result};
use crate::kinds::PayloadRule;
use crate::required;
use crate::schema::messages;
use crate::schema::tables::Message;
use crate::wire::last_varint;

/// The bytes behind one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload<'a> {
    /// Nothing follows entries of this kind, or nothing follows this one.
    None,
    /// What was in a pipe or a socket's queue, or the content of a ghost file or of one of its chunks.
    Bytes(&'a [u8]),
    /// The queues of a TCP connection.
    TcpStream {
        /// Received, not read by the process yet.
        received: &'a [u8],
        /// Sent, not acknowledged by the peer yet.
        sent: &'a [u8],
    },
    /// The content of a BPF map.
    BpfMap {
        /// All keys, back to back.
        keys: &'a [u8],
        /// All values in the order of the keys.
        values: &'a [u8],
    },
    /// The values of a semaphore set.
    Semaphores(Semaphores<'a>),
    /// The messages of a queue.
    Messages(Messages<'a>),
    /// The content of a System V shared memory segment (written up to CRIU 2.12).
    SharedMemory {
        /// The content.
        bytes: &'a [u8],
        /// Zeros up to a multiple of four bytes.
        padding: &'a [u8],
    },
}

/// The values of a semaphore set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Semaphores<'a> {
    values: &'a [u8],
    padding: &'a [u8],
    big_endian: bool,
}

impl<'a> Semaphores<'a> {
    /// Returns the values in the order of the set.
    pub fn values(&self) -> impl Iterator<Item = u16> + use<'a> {
        let big_endian = self.big_endian;
        self.values.as_chunks().0.iter().map(move |pair| word16(*pair, big_endian))
    }

    /// Returns the bytes up to a multiple of eight; zeros, unless something is odd.
    pub fn padding(&self) -> &'a [u8] {
        self.padding
    }
}

/// The messages of a System V queue, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Messages<'a> {
    bytes: &'a [u8],
    count: u64,
    place: Place,
    big_endian: bool,
}

impl<'a> Messages<'a> {
    /// Returns the messages. They were walked through once already, so that none of them is an error.
    pub fn iter(&self) -> impl Iterator<Item = QueuedMessage<'a>> + use<'a> {
        let mut reader = Reader { rest: self.bytes, place: self.place, big_endian: self.big_endian };
        (0..self.count).map_while(move |_| reader.message().ok())
    }

    /// Returns how many messages there are.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// One message of a System V queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuedMessage<'a> {
    /// The `ipc_msg`: type and size.
    pub message: &'a [u8],
    /// Where the `ipc_msg` starts in the file, in bytes.
    pub offset: u64,
    /// What the message says.
    pub text: &'a [u8],
    /// The bytes up to a multiple of eight; zeros, unless something is odd.
    pub padding: &'a [u8],
}

/// Splits off what follows an entry. Returns the payload and how many bytes it takes with its padding.
///
/// The reader stands behind the message. `chunked` says that the ghost file before was announced in chunks.
pub(crate) fn read<'a>(
    rule: PayloadRule,
    schema: &'static Message,
    message: &[u8],
    chunked: bool,
    mut reader: Reader<'a>,
) -> Result<(Payload<'a>, usize)> {
    let before = reader.rest.len();
    let number = |field: &'static str| field_value(schema, message, field, reader.place);
    let payload = match rule {
        PayloadRule::None => Payload::None,
        PayloadRule::Pipe => Payload::Bytes(reader.take("the content of a pipe", number("bytes")?)?),
        PayloadRule::SocketQueue => Payload::Bytes(reader.take("a packet", number("length")?)?),
        PayloadRule::TcpStream => {
            let (received, sent) = (number("inq_len")?, number("outq_len")?);
            let received = reader.take("the receive queue", received)?;
            Payload::TcpStream { received, sent: reader.take("the send queue", sent)? }
        }
        PayloadRule::BpfMap => {
            let (keys, values) = (number("keys_bytes")?, number("values_bytes")?);
            let keys = reader.take("the keys of a BPF map", keys)?;
            Payload::BpfMap { keys, values: reader.take("the values of a BPF map", values)? }
        }
        PayloadRule::Semaphores => {
            let values = reader.take("the values of a semaphore set", number("nsems")?.saturating_mul(2))?;
            let padding = reader.padding(values.len(), 8)?;
            Payload::Semaphores(Semaphores { values, padding, big_endian: reader.big_endian })
        }
        PayloadRule::Messages => {
            let count = number("qnum")?;
            let all =
                Messages { bytes: reader.rest, count, place: reader.place, big_endian: reader.big_endian };
            for _ in 0..count {
                reader.message()?;
            }
            let used = before - reader.rest.len();
            Payload::Messages(Messages { bytes: &all.bytes[..used], ..all })
        }
        PayloadRule::SharedMemory => {
            let size = number("size")?;
            let elsewhere =
                optional_value(schema, message, "in_pagemaps", reader.place)?.is_some_and(|it| it != 0);
            if elsewhere && !reader.content_despite_in_pagemaps(schema, size) {
                Payload::None
            } else {
                let bytes = reader.take("a shared memory segment", size)?;
                Payload::SharedMemory { bytes, padding: reader.padding(bytes.len(), 4)? }
            }
        }
        PayloadRule::GhostFile if schema.is(&messages::GHOST_CHUNK_ENTRY) => {
            Payload::Bytes(reader.take("a chunk of a ghost file", number("len")?)?)
        }
        PayloadRule::GhostFile if chunked => Payload::None,
        PayloadRule::GhostFile => Payload::Bytes(reader.take("a ghost file", before as u64)?),
    };
    Ok((payload, before - reader.rest.len()))
}

/// True if the entry announces the content of a ghost file in chunks. `behind` is where its message ends.
pub(crate) fn is_chunked(schema: &'static Message, message: &[u8], behind: Place) -> Result<bool> {
    if !schema.is(&messages::GHOST_FILE_ENTRY) {
        return Ok(false);
    }
    Ok(optional_value(schema, message, "chunks", behind)?.is_some_and(|value| value != 0))
}

/// Returns a number of a message that must be there. `behind` is where the message ends.
fn field_value(schema: &'static Message, message: &[u8], field: &'static str, behind: Place) -> Result<u64> {
    optional_value(schema, message, field, behind)?.ok_or(Error::MissingField {
        place: start_of(message, behind),
        message: schema.name,
        field,
    })
}

fn start_of(message: &[u8], behind: Place) -> Place {
    Place { offset: behind.offset - message.len() as u64, ..behind }
}

fn optional_value(
    schema: &'static Message,
    message: &[u8],
    name: &'static str,
    behind: Place,
) -> Result<Option<u64>> {
    let place = start_of(message, behind);
    let field = schema.field_named(name).ok_or(Error::NotOfKind { kind: place.kind, asked: name })?;
    let value = last_varint(message, field.number).map_err(|fault| Error::Wire {
        place: Place { offset: place.offset + fault.at as u64, ..place },
        message: schema.name,
        fault: fault.what,
    })?;
    // As every protobuf reader does, a field of 32 bits takes the low half of what is written.
    Ok(value.map(|value| if field.ty.is_64_bit() { value } else { value & u64::from(u32::MAX) }))
}

/// The bytes behind a message, read piece by piece.
pub(crate) struct Reader<'a> {
    pub rest: &'a [u8],
    /// Where `rest` starts.
    pub place: Place,
    pub big_endian: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, what: &'static str, length: u64) -> Result<&'a [u8]> {
        let taken = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (taken, rest) = taken.ok_or(Error::CutPayload {
            place: self.place,
            what,
            length,
            present: self.rest.len() as u64,
        })?;
        self.rest = rest;
        self.place.offset += taken.len() as u64;
        Ok(taken)
    }

    fn padding(&mut self, length: usize, unit: usize) -> Result<&'a [u8]> {
        self.take("padding", (length.next_multiple_of(unit) - length) as u64)
    }

    /// Tells whether a shared memory segment's content follows though its entry says `in_pagemaps`.
    ///
    /// CRIU never writes that (since 3.0 the pages are in pagemap-shmem-*.img), but crit reads and writes such
    /// images. Example: `in_pagemaps: true, size: 5`, then 8 bytes that are no entry. So: an entry there, or the end
    /// of the file, means no content.
    fn content_despite_in_pagemaps(&self, schema: &'static Message, size: u64) -> bool {
        let padded = size.checked_next_multiple_of(4);
        if size == 0 || padded.is_none_or(|padded| padded > self.rest.len() as u64) {
            return false;
        }
        let Some((word, rest)) = self.rest.split_first_chunk::<4>() else { return false };
        let next = rest.get(..word32(*word, self.big_endian) as usize);
        next.is_none_or(|message| required::check(schema, message, self.place).is_err())
    }

    fn message(&mut self) -> Result<QueuedMessage<'a>> {
        let word = self.take("the length word of a message", 4)?;
        let length = word.first_chunk().map_or(0, |word| word32(*word, self.big_endian));
        let offset = self.place.offset;
        let message = self.take("the head of a message", u64::from(length))?;
        let size = field_value(&messages::IPC_MSG, message, "msize", self.place)?;
        let text = self.take("a message", size)?;
        let padding = self.padding(text.len(), 8)?;
        Ok(QueuedMessage { message, offset, text, padding })
    }
}

pub(crate) fn word16(bytes: [u8; 2], big_endian: bool) -> u16 {
    if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
}

pub(crate) fn word32(bytes: [u8; 4], big_endian: bool) -> u32 {
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}
