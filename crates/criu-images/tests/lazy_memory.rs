//! Reading is lazy: whoever walks over a large image, or writes it as JSON, needs no memory beyond the image. A process
//! of its own, so that its peak is that of these images alone.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failure fails the test

mod common;

use std::io;

use common::{peak_memory, present_memory};
use criu_images::framing::Image;
use criu_images::json::{self, Options};
use criu_images::schema::{Entry, GhostChunkEntry, GhostFileEntry, PagemapEntry, PagemapHead};
use prost::Message;

/// The size of each image in MiB. Raised by the environment variable `IMAGE_MIB`.
const IMAGE_MIB: usize = 64;

/// What may be taken beyond the image, whatever its size.
const MEMORY: u64 = 1 << 20;

const PAGEMAP: u32 = 0x5608_4025;
const GHOST_FILE: u32 = 0x5258_3605;

// One test: peaks of tests that run beside each other would be one.
#[test]
fn memory_does_not_grow_with_the_image() {
    if peak_memory().is_none() {
        println!("skipped: this system tells no peak of memory");
        return;
    }
    let size = std::env::var("IMAGE_MIB").map_or(IMAGE_MIB, |text| text.parse().unwrap()) << 20;

    let head = PagemapHead { pages_id: 1 }.encode_to_vec();
    let run = PagemapEntry { vaddr: 1 << 40, nr_pages: Some(3), flags: Some(4), ..PagemapEntry::default() };
    let run = run.encode_to_vec();
    // Field 500 is unknown: for each entry the text has a record behind all entries. That is slow, so a smaller
    // image; the first one, since it could not be told from the peak of a larger one.
    let odd = [&run[..], b"\xa0\x1f\x07"].concat();
    assert!(walk::<PagemapEntry>(&image(PAGEMAP, &head, &framed(&odd), size / 8)) > size / 256);
    assert!(walk::<PagemapEntry>(&image(PAGEMAP, &head, &framed(&run), size)) > size / 32);

    let mut ghost = GhostFileEntry { mode: 0o100_644, chunks: Some(true), ..GhostFileEntry::default() };
    let mut chunk = framed(&GhostChunkEntry { len: 1 << 20, off: 0 }.encode_to_vec());
    chunk.resize(chunk.len() + (1 << 20), b'x');
    assert_eq!(
        walk::<GhostChunkEntry>(&image(GHOST_FILE, &ghost.encode_to_vec(), &chunk, size)),
        (size >> 20) - 1
    );
    // All of the file is the payload of the one entry.
    ghost.chunks = None;
    assert_eq!(
        walk::<GhostFileEntry>(&image(GHOST_FILE, &ghost.encode_to_vec(), b"content of the file", size)),
        1
    );
}

/// An image of this size: a first entry, and then the same bytes again and again.
fn image(magic: u32, first: &[u8], rest: &[u8], size: usize) -> Vec<u8> {
    // Of the right capacity, or else the peak of its making would hide all others.
    let mut bytes = Vec::with_capacity(size);
    bytes.extend(0x5456_4319_u32.to_le_bytes());
    bytes.extend(magic.to_le_bytes());
    bytes.extend(framed(first));
    while bytes.len() + rest.len() <= size {
        bytes.extend_from_slice(rest);
    }
    bytes
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_le_bytes(), message].concat()
}

/// Reads an image in each way, and looks at the peak. Returns how many entries of the type there are.
fn walk<T: Entry>(bytes: &[u8]) -> usize {
    let before = present_memory().unwrap();
    assert!(before >= bytes.len() as u64, "the image is not in memory");
    let image = Image::parse(bytes).unwrap();
    let kind = image.kind().name;
    let check = |way: &str| {
        let more = peak_memory().unwrap().saturating_sub(before);
        println!("{kind}, {} MiB, {way}: {} KiB more", bytes.len() >> 20, more >> 10);
        assert!(more < MEMORY, "{kind}, {way}: {more} bytes more");
    };
    assert!(image.raw_entries().all(|entry| entry.is_ok()));
    check("raw entries");
    let typed = image.entries::<T>().map(Result::unwrap).count();
    check("typed entries");
    for pretty in [false, true] {
        json::decode(&image, &Options { pretty, ..Options::default() }, &mut io::sink()).unwrap();
        check(if pretty { "pretty text" } else { "text" });
    }
    typed
}
