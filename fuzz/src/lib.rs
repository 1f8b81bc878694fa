//! What must hold of any bytes. Each function panics where it does not.

use criu_images::compress::{compress, decompress};
use criu_images::framing::Image;
use criu_images::json::{self, Options};
use criu_images::kinds;
use criu_images::pagemap::{Pagemap, Unpacker};
use criu_images::raw;

const SALVAGE: Options = Options { pretty: false, nopl: false, salvage: true };

/// Any bytes are decoded, shown and counted, or refused.
pub fn decode(bytes: &[u8]) {
    let Ok(image) = Image::parse(bytes) else { return };
    let mut text = Vec::new();
    for options in
        [SALVAGE, Options { pretty: true, ..SALVAGE }, Options { nopl: true, pretty: true, ..SALVAGE }]
    {
        text.clear();
        let _ = json::decode(&image, &options, &mut text);
        let _ = json::info(&image, &options, &mut text);
    }
}

/// A text becomes an image, which then is a good one, or it is refused.
pub fn encode(text: &[u8]) {
    let mut bytes = Vec::new();
    // What a salvaged text keeps of damage comes back as damage.
    if json::encode(text, &mut bytes).is_err() || text.windows(6).any(|part| part == b"\"rest\"") {
        return;
    }
    let image = Image::parse(&bytes).expect("an image");
    json::decode(&image, &Options::default(), &mut Vec::new()).expect("a good image");
}

/// Whatever an image holds, its text becomes the same image.
pub fn round_trip(bytes: &[u8]) {
    let Ok(image) = Image::parse(bytes) else { return };
    for pretty in [false, true] {
        let (mut text, mut again) = (Vec::new(), Vec::new());
        let _ = json::decode(&image, &Options { pretty, ..SALVAGE }, &mut text);
        json::encode(&text, &mut again).expect("a text of our own");
        assert_eq!(again, bytes);
    }
}

/// A pagemap is planned, and pages are unpacked, within the bounds that the plan states. The first byte says how large
/// a page is; the rest is the pagemap, and the pages file too.
pub fn pagemap(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let Ok(pagemap) = Pagemap::parse(bytes) else { return };
    let page_size = 1 << (first % 24);
    let mut end = 0;
    // A few bytes can stand for 2^64 pages of zeros: some are enough.
    for piece in pagemap.pieces(page_size).take(1000).map_while(Result::ok) {
        assert!(piece.offset >= end && piece.vaddr.checked_add(piece.length).is_some());
        end = piece.offset + piece.stored;
        let mut out = Vec::new();
        let stored = usize::try_from(piece.offset).ok().zip(usize::try_from(end).ok());
        if let Some(stored) = stored.and_then(|(start, end)| bytes.get(start..end))
            && piece.unpack(stored, &mut out).is_ok()
        {
            assert_eq!(out.len() as u64, piece.length);
        }
    }
    let mut unpacker = Unpacker::new(&pagemap, page_size, bytes);
    for _ in 0..100 {
        match unpacker.next_chunk() {
            Ok(Some(chunk)) => assert!((chunk.bytes.len() as u64).is_multiple_of(page_size)),
            Ok(None) | Err(_) => break,
        }
    }
}

/// Pages that were compressed come back, and their pagemap too. The bytes are a pagemap and, behind its length as the
/// first byte, the pages file, of small pages.
pub fn compression(bytes: &[u8]) {
    let Some((length, bytes)) = bytes.split_first() else { return };
    let Some((pagemap, pages)) = bytes.split_at_checked(usize::from(*length)) else { return };
    let mut packed = Vec::new();
    let Ok(done) = compress(pagemap, 512, &|vaddr| vaddr & 0x400 != 0, pages, &mut packed) else { return };
    let mut plain = Vec::new();
    let back = decompress(&done.pagemap, 512, &packed[..], &mut plain).expect("pages of our own");
    assert_eq!((plain.as_slice(), back.pagemap.as_slice()), (pages, pagemap));
}

/// Raw images of every kind are shown. The first byte chooses the kind.
pub fn raw_image(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let kind = &kinds::ALL[usize::from(*first) % kinds::ALL.len()];
    let Some(image) = raw::read(kind, bytes) else { return };
    for options in [SALVAGE, Options { pretty: true, ..SALVAGE }] {
        let _ = json::raw(&image, &options, &mut Vec::new());
        let _ = json::raw_info(&image, &options, &mut Vec::new());
    }
}
