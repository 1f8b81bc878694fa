//! CRIU images, written: the magic words of their kind, then entries.

use criu_images::kinds::{self, Head, IMG_COMMON, IMG_SERVICE};
use criu_images::schema::Entry;

/// An image that is being written.
#[derive(Debug)]
pub struct Image {
    /// Its name in the directory of images.
    pub name: String,
    /// Its bytes so far.
    pub bytes: Vec<u8>,
}

impl Image {
    /// An image without entries; its name says which kind it is.
    ///
    /// # Panics
    /// When the name is none that CRIU gives.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let Some((kind, _)) = kinds::by_file_name(name.as_bytes()) else {
            panic!("no image is called {name}")
        };
        let head = match kind.head {
            Head::None => None,
            Head::Common => Some(IMG_COMMON),
            Head::Service => Some(IMG_SERVICE),
        };
        let words = head.into_iter().chain(kind.magic);
        Self { name, bytes: words.flat_map(u32::to_le_bytes).collect() }
    }

    /// An image of one entry.
    pub fn of(name: impl Into<String>, entry: &impl Entry) -> Self {
        Self::new(name).and(entry)
    }

    /// The image with another entry: its length in four bytes, lowest first, then the message.
    #[must_use]
    pub fn and(mut self, entry: &impl Entry) -> Self {
        let message = entry.encode_to_vec();
        self.bytes.extend((message.len() as u32).to_le_bytes());
        self.bytes.extend(message);
        self
    }
}
