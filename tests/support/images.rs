//! CRIU images byte by byte, without the program's own layouts: a frame is `u32 head, u32 magic` and then `u32 length,
//! message` for each entry, all little-endian; a message is protobuf.

use super::tar_bytes::Tar;

/// What stands first in all images but inventory.img since CRIU 1.6.
pub const IMG_COMMON: u32 = 0x5456_4319;
/// pagemap-N.img and pagemap-shmem-N.img.
pub const PAGEMAP: u32 = 0x5608_4025;
/// inventory.img.
pub const INVENTORY: u32 = 0x5831_3116;
/// pstree.img.
pub const PSTREE: u32 = 0x5027_3030;
/// Flags of a pagemap entry: the bytes are in a parent; the page may be fetched later; the bytes are in pages-N.img.
pub const PE_PARENT: u64 = 1;
pub const PE_LAZY: u64 = 2;
pub const PE_PRESENT: u64 = 4;
/// The page size of these images in bytes.
pub const PAGE: usize = 4096;

/// A protobuf message of numbers and byte strings.
#[derive(Clone, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// Adds a field of wire type 0.
    pub fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    /// Adds a field of wire type 2.
    pub fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// An image of entries.
pub fn image(words: &[u32], entries: &[Message]) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    for Message(entry) in entries {
        bytes.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        bytes.extend_from_slice(entry);
    }
    bytes
}

/// inventory.img of a pre-dump by CRIU 4.2: img_version 0, a dump_uptime, a pre_dump_mode.
pub fn inventory() -> Vec<u8> {
    let entry = Message::default().number(1, 0).number(2, 1).number(4, 1).number(8, 1).number(9, 1);
    image(&[INVENTORY], &[entry])
}

/// A pagemap entry as CRIU 4.2 writes it: the count of pages in field 5, field 2 as 0.
pub fn run(address: u64, pages: u64, flags: u64) -> Message {
    Message::default().number(1, address).number(2, 0).number(4, flags).number(5, pages)
}

/// A pagemap entry as CRIU before 4.2 writes it: the count of pages in field 2.
pub fn old_run(address: u64, pages: u64, flags: u64) -> Message {
    Message::default().number(1, address).number(2, pages).number(4, flags)
}

/// pagemap-N.img whose pages are in pages-ID.img.
pub fn pagemap(id: u64, runs: &[Message]) -> Vec<u8> {
    let head = [Message::default().number(1, id)];
    image(&[IMG_COMMON, PAGEMAP], &[&head, runs].concat())
}

/// A page of zero bytes with a text at a place.
pub fn page(at: usize, text: &[u8]) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    page[at..at + text.len()].copy_from_slice(text);
    page
}

/// An archive of a pre-dump of process 1: memory and nothing else.
pub fn pre_dump(runs: &[Message], pages: &[Vec<u8>]) -> Vec<u8> {
    Tar::default()
        .directory("checkpoint/")
        .file("checkpoint/inventory.img", &inventory())
        .file("checkpoint/pagemap-1.img", &pagemap(1, runs))
        .file("checkpoint/pages-1.img", &pages.concat())
        .finish()
}
