//! What images are made of: protobuf messages written field by field, behind the magic words of their kind.

use std::io::{self, Read};

use crate::pagemap::PageReader;

/// What stands first in all images but inventory.img, since CRIU 1.6.
const COMMON: u32 = 0x5456_4319;
/// What stands first in stats-dump.
const SERVICE: u32 = 0x5510_5940;

/// The kinds of images: how their names begin, and the words that they begin with.
const KINDS: &[(&str, &[u32])] = &[
    ("inventory", &[0x5831_3116]),
    ("pstree", &[COMMON, 0x5027_3030]),
    ("core-", &[COMMON, 0x5505_3847]),
    ("ids-", &[COMMON, 0x5443_2030]),
    ("mm-", &[COMMON, 0x5749_2820]),
    ("fs-", &[COMMON, 0x5140_3912]),
    ("fdinfo-", &[COMMON, 0x5621_3732]),
    ("files", &[COMMON, 0x5630_3138]),
    ("pagemap-", &[COMMON, 0x5608_4025]),
    ("memfd", &[COMMON, 0x4845_3499]),
    ("ipcns-shm-", &[COMMON, 0x4628_3044]),
    ("utsns-", &[COMMON, 0x5447_3203]),
    ("stats-dump", &[SERVICE, 0x5709_3306]),
];

/// A protobuf message that is being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A number of any type but the zigzag ones.
    pub(crate) fn number(mut self, field: u32, value: u64) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(value);
        self
    }

    /// The same number in several fields that follow each other.
    pub(crate) fn numbers(self, fields: std::ops::RangeInclusive<u32>, value: u64) -> Self {
        fields.fold(self, |message, field| message.number(field, value))
    }

    /// A list that is not packed, as CRIU writes nearly all of them.
    pub(crate) fn list(self, field: u32, values: impl IntoIterator<Item = u64>) -> Self {
        values.into_iter().fold(self, |message, value| message.number(field, value))
    }

    /// A number of the types `sint32` and `sint64`.
    pub(crate) fn signed(self, field: u32, value: i64) -> Self {
        self.number(field, (value << 1 ^ value >> 63) as u64)
    }

    pub(crate) fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn message(self, field: u32, inner: &Self) -> Self {
        self.bytes(field, &inner.0)
    }

    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// One file of a dump.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name in the directory of images: `pagemap-1.img`.
    pub name: String,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Held(Vec<u8>),
    Pages(PageReader),
}

impl Image {
    /// An image of entries; its name says which kind it is.
    pub(crate) fn of(name: impl Into<String>, entries: impl IntoIterator<Item = Message>) -> Self {
        let name = name.into();
        let kind = KINDS.iter().find(|(start, _)| name.starts_with(start));
        let (_, words) = kind.unwrap_or_else(|| panic!("no image is called {name}"));
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for entry in entries {
            bytes.extend((entry.0.len() as u32).to_le_bytes());
            bytes.extend(entry.0);
        }
        Self { name, body: Body::Held(bytes) }
    }

    pub(crate) fn pages(number: u32, pages: PageReader) -> Self {
        Self { name: format!("pages-{number}.img"), body: Body::Pages(pages) }
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        match &self.body {
            Body::Held(bytes) => bytes.len() as u64,
            Body::Pages(pages) => pages.size(),
        }
    }

    /// Reads it from its start; pages are made while they are read.
    pub fn reader(&self) -> Box<dyn Read + '_> {
        match &self.body {
            Body::Held(bytes) => Box::new(bytes.as_slice()),
            Body::Pages(pages) => Box::new(pages.clone()),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// What reading says.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader().read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the protobuf encoding guide, and a negative zigzag number.
    #[test]
    fn messages_are_as_the_encoding_says() {
        assert_eq!(Message::new().number(1, 150).0, [0x08, 0x96, 0x01]);
        assert_eq!(
            Message::new().bytes(2, b"testing").0,
            [0x12, 7, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]
        );
        assert_eq!(Message::new().message(3, &Message::new().number(1, 150)).0, [0x1a, 3, 0x08, 0x96, 0x01]);
        assert_eq!(Message::new().signed(8, -1).0, [0x40, 1]);
    }
}
