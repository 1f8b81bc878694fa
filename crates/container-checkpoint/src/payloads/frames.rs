//! The frame of an image, entry by entry, without the whole of it in memory.

use std::io;

use criu_images::error::Place;
use criu_images::kinds::{IMG_COMMON, IMG_SERVICE, Kind};
use criu_images::required;
use criu_images::schema::Entry;

use super::input::Cursor;

/// The longest message in front of a payload, in bytes; a terminal's contents are in the message itself. The longest that CRIU writes is a page of a terminal's
/// line with some KiB around it.
const MESSAGE_MAX: u32 = 16 << 20;

/// The frame of an image that is read.
pub(super) struct Frames<'a> {
    pub(super) cursor: Cursor<'a>,
    kind: &'static Kind,
    big_endian: bool,
    /// The number of the next entry.
    entry: u64,
}

/// A message, and where its bytes begin in the image.
pub(super) struct Message<T> {
    pub(super) value: T,
    pub(super) bytes: Vec<u8>,
    pub(super) offset: u64,
}

impl<'a> Frames<'a> {
    /// Reads the magic words of an image of a kind.
    ///
    /// # Errors
    /// In words: they are not there, or another kind's.
    pub(super) fn open(mut cursor: Cursor<'a>, kind: &'static Kind) -> Result<Self, String> {
        let mut big_endian = false;
        let mut word = next_word(&mut cursor)?.ok_or("it is empty")?;
        let heads = [IMG_COMMON, IMG_SERVICE];
        if heads.iter().any(|&head| number(word, false) == head || number(word, true) == head) {
            big_endian = !heads.contains(&number(word, false));
            word = next_word(&mut cursor)?.ok_or("it ends behind its first word")?;
        } else if kind.magic != Some(number(word, false)) {
            big_endian = kind.magic == Some(number(word, true));
        }
        let magic = number(word, big_endian);
        if kind.magic != Some(magic) {
            return Err(format!("its magic number {magic:#010x} is not that of {}", kind.name));
        }
        Ok(Self { cursor, kind, big_endian, entry: 0 })
    }

    /// A number of four bytes in the byte order of the image.
    ///
    /// # Errors
    /// In words: it is cut.
    pub(super) fn word(&mut self) -> Result<Option<u32>, String> {
        Ok(next_word(&mut self.cursor)?.map(|word| number(word, self.big_endian)))
    }

    /// The next entry; `None` at the end of the image.
    ///
    /// # Errors
    /// In words: it is cut, too long, or no such message.
    pub(super) fn next<T: Entry>(&mut self) -> Result<Option<Message<T>>, String> {
        let Some(length) = self.word()? else { return Ok(None) };
        if length > MESSAGE_MAX {
            return Err(format!("entry {}: a message of {length} bytes can't be", self.entry));
        }
        let offset = self.cursor.position();
        let bytes = self.cursor.take(length as usize).map_err(|error| error.to_string())?;
        if bytes.len() < length as usize {
            return Err(format!("entry {}: {} of {length} bytes are there", self.entry, bytes.len()));
        }
        let place = Place { kind: self.kind.name, entry: self.entry, offset };
        self.entry += 1;
        required::check(T::MESSAGE, &bytes, place).map_err(|error| error.to_string())?;
        let value = T::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
        Ok(Some(Message { value, bytes, offset }))
    }
}

fn next_word(cursor: &mut Cursor<'_>) -> Result<Option<[u8; 4]>, String> {
    let at = cursor.position();
    let bytes = cursor.take(4).map_err(|error: io::Error| error.to_string())?;
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(word) => Ok(Some(word)),
        Err(_) if bytes.is_empty() => Ok(None),
        Err(_) => Err(format!("byte {at}: it ends within a word")),
    }
}

fn number(word: [u8; 4], big_endian: bool) -> u32 {
    if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
}
