//! The frame of an image: magic words, then entries, each a length word, a message, and what follows it.

use std::marker::PhantomData;

use crate::error::{Error, Place, Result};
use crate::kinds::{self, Entries, Head, IMG_COMMON, IMG_SERVICE, Kind, by_file_name};
use crate::payload::{self, Payload, Reader, word32};
use crate::required;
use crate::schema::tables::Message;
use crate::schema::{Entry, messages};

/// One image: its kind, and its entries, still as bytes.
///
/// ```
/// use criu_images::framing::Image;
/// use criu_images::schema::PstreeEntry;
///
/// // Head word, magic, and one entry: pid 1, ppid 0, pgid 1, sid 1, threads [1].
/// let bytes = b"\x19\x43\x56\x54\x30\x30\x27\x50\x0a\x00\x00\x00\x08\x01\x10\x00\x18\x01\x20\x01\x28\x01";
/// let image = Image::parse(bytes)?;
/// assert_eq!(image.kind().name, "PSTREE");
/// for process in image.entries::<PstreeEntry>() {
///     assert_eq!(process?.threads, [1]);
/// }
/// # Ok::<(), criu_images::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    kind: &'static Kind,
    head: Head,
    big_endian: bool,
    bytes: &'a [u8],
    /// Where the first entry starts.
    body: usize,
}

impl<'a> Image<'a> {
    /// Reads the magic words and takes the kind from them.
    ///
    /// Versions 1.0 (no head word), 1.1 and 1.2 of the frame are recognised, in both byte orders. Some magics belong
    /// to several kinds; [`Image::parse_named`] tells these apart.
    ///
    /// # Errors
    ///
    /// [`Error::NoMagic`] for less than the words take, [`Error::UnknownMagic`] for other files, and [`Error::Raw`]
    /// for a known file without entries.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let words = Words::read(bytes)?;
        let kind = kinds::by_magic(words.magic)
            .ok_or(Error::UnknownMagic { magic: words.magic, offset: words.offset as u64 })?;
        Self::new(kind, words, bytes)
    }

    /// As [`Image::parse`], with the kind taken from the file's base name if CRIU has such a name.
    ///
    /// # Errors
    ///
    /// Those of [`Image::parse`], and [`Error::WrongMagic`] if the magic is not the one of that name.
    pub fn parse_named(file_name: &[u8], bytes: &'a [u8]) -> Result<Self> {
        let Some((kind, _)) = by_file_name(file_name) else { return Self::parse(bytes) };
        if let (Entries::Raw(holds), None) = (kind.entries, kind.magic) {
            return Err(Error::Raw { kind: kind.name, holds });
        }
        let words = Words::read(bytes)?;
        if kind.magic != Some(words.magic) {
            let (magic, offset) = (words.magic, words.offset as u64);
            return Err(match kinds::by_magic(magic) {
                Some(_) => Error::WrongMagic { named: kind.name, magic, offset },
                None => Error::UnknownMagic { magic, offset },
            });
        }
        Self::new(kind, words, bytes)
    }

    fn new(kind: &'static Kind, words: Words, bytes: &'a [u8]) -> Result<Self> {
        if let Entries::Raw(holds) = kind.entries {
            return Err(Error::Raw { kind: kind.name, holds });
        }
        Ok(Self { kind, head: words.head, big_endian: words.big_endian, bytes, body: words.offset + 4 })
    }

    /// Returns the kind of the image.
    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// Returns the head word that the file has. [`Kind::head`] is the one that it should have since CRIU 1.6.
    pub fn head(&self) -> Head {
        self.head
    }

    /// True if the frame is big-endian: dumped on s390x.
    pub fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    /// Returns the whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the entries as bytes, in order. The iterator ends after the first error.
    ///
    /// Required fields are not checked here, but for those that say how long the payload is.
    pub fn raw_entries(&self) -> RawEntries<'a> {
        self.raw_entries_from(self.body, 0)
    }

    /// Returns the entries from a position on, which must be where the entry with this number starts.
    pub(crate) fn raw_entries_from(&self, position: usize, index: u64) -> RawEntries<'a> {
        RawEntries { image: *self, position, index, chunked: false }
    }

    /// Returns the entries that are messages of type `T`, in order. The iterator ends after the first error.
    ///
    /// An image whose kind has no such message yields one error, [`Error::NotOfKind`].
    pub fn entries<T: Entry>(&self) -> TypedEntries<'a, T> {
        TypedEntries { raw: self.raw_entries(), done: false, entry: PhantomData }
    }

    /// Returns the first entry that is a message of type `T`.
    ///
    /// # Errors
    ///
    /// [`Error::NoEntry`] if there is none, and any error of [`Image::entries`].
    pub fn entry<T: Entry>(&self) -> Result<T> {
        self.entries()
            .next()
            .unwrap_or(Err(Error::NoEntry { kind: self.kind.name, offset: self.bytes.len() as u64 }))
    }
}

/// The words at the start of an image.
struct Words {
    head: Head,
    magic: u32,
    /// Where the magic is.
    offset: usize,
    big_endian: bool,
}

impl Words {
    fn read(bytes: &[u8]) -> Result<Self> {
        let word = |offset: usize, big_endian: bool| {
            let word = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>());
            word.map(|word| word32(*word, big_endian)).ok_or(Error::NoMagic { length: bytes.len() as u64 })
        };
        let first = word(0, false)?;
        for (value, head) in [(IMG_COMMON, Head::Common), (IMG_SERVICE, Head::Service)] {
            for big_endian in [false, true] {
                if word(0, big_endian)? == value {
                    return Ok(Self { head, magic: word(4, big_endian)?, offset: 4, big_endian });
                }
            }
        }
        // No head word: an inventory, an image of version 1.0, or something else.
        let swapped = first.swap_bytes();
        let big_endian = kinds::by_magic(first).is_none() && kinds::by_magic(swapped).is_some();
        let magic = if big_endian { swapped } else { first };
        Ok(Self { head: Head::None, magic, offset: 0, big_endian })
    }
}

/// One entry as bytes.
#[derive(Debug, Clone, Copy)]
pub struct RawEntry<'a> {
    /// Number of the entry in its image, from 0.
    pub index: u64,
    /// Where the length word is in the file, in bytes. The message follows it after four bytes.
    pub offset: u64,
    /// The kind of the image.
    pub kind: &'static Kind,
    /// Which message it is.
    pub schema: &'static Message,
    /// The message.
    pub message: &'a [u8],
    /// What follows the message.
    pub payload: Payload<'a>,
}

impl RawEntry<'_> {
    /// Returns where the message starts.
    pub fn place(&self) -> Place {
        Place { kind: self.kind.name, entry: self.index, offset: self.offset + 4 }
    }

    /// Checks that all required fields are there, in messages inside the message and in a queue behind it too.
    ///
    /// # Errors
    ///
    /// [`Error::MissingField`], or [`Error::Wire`] if the bytes are not protobuf.
    pub fn check(&self) -> Result<()> {
        required::check(self.schema, self.message, self.place())?;
        if let Payload::Messages(queued) = &self.payload {
            for message in queued.iter() {
                let place = Place { offset: message.offset, ..self.place() };
                required::check(&messages::IPC_MSG, message.message, place)?;
            }
        }
        Ok(())
    }

    /// Decodes the message, checked first.
    ///
    /// # Errors
    ///
    /// Those of [`RawEntry::check`], and [`Error::OtherMessage`] if the entry is not a `T`.
    pub fn decode<T: Entry>(&self) -> Result<T> {
        if !self.schema.is(T::MESSAGE) {
            let (message, asked) = (self.schema.name, T::MESSAGE.name);
            return Err(Error::OtherMessage { place: self.place(), message, asked });
        }
        self.check()?;
        T::decode(self.message).map_err(|error| Error::Prost {
            place: self.place(),
            message: self.schema.name,
            reason: error.to_string(),
        })
    }
}

/// The entries of an image as bytes. Made by [`Image::raw_entries`].
#[derive(Debug, Clone)]
pub struct RawEntries<'a> {
    image: Image<'a>,
    position: usize,
    index: u64,
    /// The ghost file of this image comes in chunks.
    chunked: bool,
}

impl<'a> RawEntries<'a> {
    /// Returns where the next entry starts in the file, in bytes; after the last one, the length of the file.
    pub fn offset(&self) -> u64 {
        self.position as u64
    }

    fn read(&mut self) -> Result<RawEntry<'a>> {
        let Image { kind, big_endian, bytes, .. } = self.image;
        let offset = self.position;
        let place = |offset: usize| Place { kind: kind.name, entry: self.index, offset: offset as u64 };
        let schema =
            kind.entries.message(self.index).ok_or(Error::NotOfKind { kind: kind.name, asked: "(any)" })?;

        let rest = &bytes[offset..];
        let (word, rest) = rest.split_first_chunk::<4>().ok_or(Error::CutLength { place: place(offset) })?;
        let length = word32(*word, big_endian);
        let (message, rest) = rest.split_at_checked(length as usize).ok_or(Error::CutMessage {
            place: place(offset + 4),
            length,
            present: rest.len() as u64,
        })?;
        let behind = place(offset + 4 + message.len());
        if kind.payload == kinds::PayloadRule::GhostFile && self.index == 0 {
            self.chunked = payload::is_chunked(schema, message, behind)?;
        }
        let reader = Reader { rest, place: behind, big_endian };
        let (payload, taken) = payload::read(kind.payload, schema, message, self.chunked, reader)?;

        let entry = RawEntry { index: self.index, offset: offset as u64, kind, schema, message, payload };
        self.position = offset + 4 + message.len() + taken;
        self.index += 1;
        Ok(entry)
    }
}

impl<'a> Iterator for RawEntries<'a> {
    type Item = Result<RawEntry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.image.bytes.len() {
            return None;
        }
        let entry = self.read();
        if entry.is_err() {
            self.position = self.image.bytes.len();
        }
        Some(entry)
    }
}

/// The entries of an image as values of a generated type. Made by [`Image::entries`].
#[derive(Debug, Clone)]
pub struct TypedEntries<'a, T> {
    raw: RawEntries<'a>,
    done: bool,
    entry: PhantomData<fn() -> T>,
}

impl<T: Entry> TypedEntries<'_, T> {
    fn read(&mut self) -> Option<Result<T>> {
        let kind = self.raw.image.kind;
        if !kind.entries.contains(T::MESSAGE) {
            return Some(Err(Error::NotOfKind { kind: kind.name, asked: T::MESSAGE.name }));
        }
        loop {
            match self.raw.next()? {
                Ok(entry) if !entry.schema.is(T::MESSAGE) => continue,
                Ok(entry) => return Some(entry.decode()),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<T: Entry> Iterator for TypedEntries<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let entry = self.read();
        self.done = !matches!(entry, Some(Ok(_)));
        entry
    }
}
