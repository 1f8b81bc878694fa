//! From text to images.

mod extra;
mod message;
mod parse;
mod record;
mod side;
mod value;

use std::io::{self, BufWriter, Write};

use crate::error::{Error, Place};
use crate::framing::RawEntry;
use crate::json::decode::check;
use crate::json::decode::extra::EXTRA;
use crate::json::decode::side::KEY;
use crate::json::writer::MessageWriter;
use crate::kinds::{self, Entries, Head, Kind};
use crate::payload::{self, Reader};
use message::{Builder, Misfit};
use parse::{Json, Object, Parser};
use side::Side;

/// How much is written to the sink at once, in bytes.
const BUFFER: usize = 64 << 10;

/// Why a text could not become an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The text is not JSON.
    #[error("no JSON: line {line}, byte {offset}: {what}")]
    Json {
        /// Line of the text, from 1.
        line: u64,
        /// Offset in the text, in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// The JSON is not an image's.
    #[error("no image: {what}")]
    Document {
        /// What is missing or odd.
        what: String,
    },
    /// The magic is no name of a kind with entries.
    #[error("there is no kind of image with the magic {name:?}")]
    UnknownMagic {
        /// The name in the text.
        name: String,
    },
    /// A value does not fit its field.
    #[error("{path}: {why}")]
    Value {
        /// Where in the text, such as `entries[3].tc.comm`.
        path: String,
        /// What was expected.
        why: String,
    },
    /// An entry that would be no good image: it lacks a required field, or its payload has another size than it says.
    /// The byte is that of the image to be written.
    #[error(transparent)]
    Entry(#[from] Error),
    /// The image could not be written.
    #[error("cannot write the image: {0}")]
    Write(#[from] io::Error),
}

impl From<Misfit> for EncodeError {
    fn from(Misfit { path, why }: Misfit) -> Self {
        Self::Value { path, why }
    }
}

/// What [`encode`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoded {
    /// How many entries were written.
    pub entries: u64,
    /// How many bytes were written.
    pub bytes: u64,
    /// Keys of entries that the schema does not have, by their paths (the first twenty). As in crit, what stands
    /// there is not in the image.
    pub ignored: Vec<String>,
}

/// Writes the image of a text that [`super::decode`] or crit made: the exact inverse of [`super::decode`].
///
/// Accepts both forms, plain and pretty, also mixed. Beside the text, memory holds one entry and the side key. If an
/// entry is refused, those before it are written already.
///
/// ```
/// use criu_images::framing::Image;
/// use criu_images::json::{self, Options};
///
/// let image = b"\x19\x43\x56\x54\x30\x30\x27\x50\x0a\x00\x00\x00\x08\x01\x10\x00\x18\x01\x20\x01\x28\x01";
/// let mut text = Vec::new();
/// json::decode(&Image::parse(image)?, &Options::default(), &mut text)?;
/// let mut again = Vec::new();
/// json::encode(&text, &mut again)?;
/// assert_eq!(again, image);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Every variant of [`EncodeError`] says where in the text, or in the image to be written, the fault is.
pub fn encode<W: Write>(text: &[u8], out: &mut W) -> Result<Encoded, EncodeError> {
    let document = Document::read(text)?;
    let Document { kind, .. } = document;
    let side = Side::new(document.side.as_ref());
    let mut out = BufWriter::with_capacity(BUFFER, out);
    let mut writer = ImageWriter {
        kind,
        chunked: false,
        builder: Builder { big_endian: side.is_big_endian(), ignored: Vec::new() },
        message: MessageWriter::default(),
        offset: 0,
        entries: 0,
        out: &mut out,
    };
    writer.magic(&side)?;

    let mut parser = document.entries;
    parser.expect(b'[')?;
    if !parser.take(b']') {
        loop {
            match parser.tree()? {
                Json::Object(entry) => writer.entry(&entry, &side)?,
                _ => return Err(Misfit::new(&writer.path(), "expected an object").into()),
            }
            if !parser.take(b',') {
                break;
            }
        }
    }
    if let Some(rest) = side.rest() {
        let rest = value::base64(rest).map_err(|why| Misfit::new(&format!("{KEY}.rest"), why))?;
        writer.put(&rest)?;
    }
    writer.out.flush()?;
    Ok(Encoded { entries: writer.entries, bytes: writer.offset, ignored: writer.builder.ignored })
}

/// The top level of a text.
struct Document<'j> {
    kind: &'static Kind,
    /// Stands at the list of entries, which is known to be JSON.
    entries: Parser<'j>,
    side: Option<Json<'j>>,
}

impl<'j> Document<'j> {
    fn read(text: &'j [u8]) -> Result<Self, EncodeError> {
        let (mut magic, mut raw, mut entries, mut side) = (None, None, None, None);
        let mut parser = Parser::new(text);
        parser.expect(b'{')?;
        if !parser.take(b'}') {
            loop {
                match parser.key()?.as_slice() {
                    b"magic" => magic = Some(parser.tree()?),
                    b"raw" => raw = Some(parser.tree()?),
                    b"entries" => {
                        entries = Some(parser.clone());
                        parser.skip()?;
                    }
                    key if key == KEY.as_bytes() => side = Some(parser.tree()?),
                    _ => parser.skip()?,
                }
                if !parser.take(b',') {
                    break;
                }
            }
            parser.expect(b'}')?;
        }
        parser.end()?;

        let missing = |key: &str| EncodeError::Document { what: format!("the key {key:?} is missing") };
        let name = match (magic, raw) {
            (Some(Json::Text(name)), _) => name,
            (_, Some(Json::Text(name))) => {
                let what = format!("the text describes a raw file, {}", String::from_utf8_lossy(&name));
                return Err(EncodeError::Document { what });
            }
            _ => return Err(missing("magic")),
        };
        let name = String::from_utf8_lossy(&name);
        let kind = kinds::by_name(&name)
            .filter(|kind| !matches!(kind.entries, Entries::Raw(_)))
            .ok_or_else(|| EncodeError::UnknownMagic { name: name.into_owned() })?;
        Ok(Self { kind, entries: entries.ok_or_else(|| missing("entries"))?, side })
    }
}

/// An image that is being written.
struct ImageWriter<'w, W> {
    kind: &'static Kind,
    /// The ghost file comes in chunks.
    chunked: bool,
    builder: Builder,
    message: MessageWriter,
    offset: u64,
    entries: u64,
    out: &'w mut W,
}

impl<W: Write> ImageWriter<'_, W> {
    fn magic(&mut self, side: &Side<'_, '_>) -> Result<(), EncodeError> {
        let head = match side.head() {
            None => self.kind.head,
            Some(b"none") => Head::None,
            Some(b"common") => Head::Common,
            Some(b"service") => Head::Service,
            Some(_) => return Err(Misfit::new(&format!("{KEY}.head"), "no such head word").into()),
        };
        for word in [head.word(), self.kind.magic].into_iter().flatten() {
            self.word(word)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Object<'_>, side: &Side<'_, '_>) -> Result<(), EncodeError> {
        let path = self.path();
        let kind = self.kind;
        let Some(schema) = kind.entries.message(self.entries) else { return Ok(()) };
        let record = side.entry(self.entries);
        self.message.clear();
        match record.fields() {
            Some(items) => record::write(&mut self.builder, schema, entry, items, &path, &mut self.message)?,
            None => self.builder.write(schema, entry, &path, &mut self.message)?,
        }
        let message = std::mem::take(&mut self.message.bytes);
        let place = Place { kind: kind.name, entry: self.entries, offset: self.offset + 4 };
        let length =
            u32::try_from(message.len()).map_err(|_| Misfit::new(&path, "a message of more than 4 GiB"))?;

        let mut after = Vec::new();
        extra::write(kind.payload, entry.get(EXTRA), &record, &path, &mut self.builder, &mut after)?;
        let behind = Place { offset: place.offset + message.len() as u64, ..place };
        if self.entries == 0 {
            self.chunked = payload::is_chunked(schema, &message, behind)?;
        }
        let reader = Reader { rest: &after, place: behind, big_endian: self.builder.big_endian };
        let (payload, taken) = payload::read(kind.payload, schema, &message, self.chunked, reader)?;
        if taken != after.len() {
            let why = format!("{} bytes, but the entry says {taken}", after.len());
            return Err(Misfit::new(&format!("{path}.{EXTRA}"), why).into());
        }
        // What was written has to be what decoding takes for good, messages of a queue included.
        let written =
            RawEntry { index: self.entries, offset: self.offset, kind, schema, message: &message, payload };
        check(&written)?;
        self.word(length)?;
        self.put(&message)?;
        self.put(&after)?;
        self.message.bytes = message;
        self.entries += 1;
        Ok(())
    }

    /// Where the next entry stands in the text.
    fn path(&self) -> String {
        format!("entries[{}]", self.entries)
    }

    fn word(&mut self, word: u32) -> io::Result<()> {
        let bytes = if self.builder.big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
        self.put(&bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.offset += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}
