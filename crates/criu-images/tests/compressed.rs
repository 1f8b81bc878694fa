//! Compressed pages: reading those of crit 4.3 and of hand-made images, and the way there and back of our own.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use std::collections::BTreeMap;

use criu_images::compress::{self, CompressError, inventory};
use criu_images::framing::Image;
use criu_images::pagemap::{Form, Pagemap, PagesFault, UnpackError, Unpacker};
use sha2::{Digest, Sha256};

const PAGE: u64 = 4096;

type Files = BTreeMap<String, Vec<u8>>;

fn dump(name: &str) -> Files {
    common::in_archive(name).images
}

/// The pagemaps of a dump with the pages file of each.
fn pairs(files: &Files) -> impl Iterator<Item = (&str, &[u8], String)> {
    files.iter().filter(|(name, _)| name.starts_with("pagemap-")).map(|(name, bytes)| {
        let pages = format!("pages-{}.img", Pagemap::parse(bytes).unwrap().pages_id);
        (name.as_str(), bytes.as_slice(), pages)
    })
}

fn unpack(pagemap: &[u8], pages: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let pagemap = Pagemap::parse(pagemap).unwrap();
    let mut unpacker = Unpacker::new(&pagemap, PAGE, pages);
    let mut plain = Vec::new();
    while let Some(chunk) = unpacker.next_chunk()? {
        assert!(
            pagemap.runs[chunk.run].vaddr <= chunk.vaddr && (chunk.bytes.len() as u64).is_multiple_of(PAGE)
        );
        plain.extend_from_slice(chunk.bytes);
    }
    Ok(plain)
}

/// What crit 4.3 unpacks the pages files of a dump to, as SHA-256 in hexadecimal by name.
fn truth(name: &str) -> BTreeMap<String, String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/images");
    let text = std::fs::read_to_string(root.join(format!("{name}.sha256"))).unwrap();
    let pair =
        |line: &str| line.split_once("  ").map(|(hash, name)| (name.to_owned(), hash.to_owned())).unwrap();
    text.lines().map(pair).collect()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn compressed_dumps_hold_the_pages_that_crit_finds() {
    for name in ["compressed-page", "compressed-region"] {
        let (files, truth) = (dump(name), truth(name));
        let mut compared = 0;
        for (pagemap, bytes, pages) in pairs(&files) {
            assert_eq!(hash(&unpack(bytes, &files[&pages]).unwrap()), truth[&pages], "{name}/{pagemap}");
            compared += 1;
        }
        assert_eq!(compared, truth.len(), "{name}");
    }
}

#[test]
fn pieces_say_where_each_page_is() {
    let (files, truth) = (dump("compressed-region"), truth("compressed-region"));
    let mut forms = BTreeMap::new();
    for (name, bytes, pages) in pairs(&files) {
        let (pagemap, stored) = (Pagemap::parse(bytes).unwrap(), &files[&pages]);
        let mut out = Vec::new();
        let mut pieces = pagemap.pieces(PAGE);
        for piece in pieces.by_ref() {
            let piece = piece.unwrap();
            let range = piece.offset as usize..(piece.offset + piece.stored) as usize;
            piece.unpack(&stored[range], &mut out).unwrap();
            *forms.entry(format!("{:?}", piece.form)).or_insert(0) += 1;
        }
        assert_eq!(pieces.offset(), stored.len() as u64, "{name}");
        assert_eq!(hash(&out), truth[&pages], "{name}");
    }
    assert!(forms.len() == 3 && forms.values().all(|count| *count > 0), "{forms:?}");
}

#[test]
fn what_was_compressed_comes_back_byte_for_byte() {
    for name in ["tree", "zombie", "criu43"] {
        let files = dump(name);
        for (pagemap, bytes, pages) in pairs(&files) {
            let mut packed = Vec::new();
            let to = compress::compress(bytes, PAGE, &|_| false, &files[&pages][..], &mut packed).unwrap();
            assert_eq!((to.plain, to.stored), (files[&pages].len() as u64, packed.len() as u64));
            assert!(to.stored < to.plain && to.pages * PAGE == to.plain, "{name}/{pagemap}: {to:?}");
            let mut again = Vec::new();
            let back = compress::decompress(&to.pagemap, PAGE, &packed[..], &mut again).unwrap();
            assert_eq!((back.pages, back.plain, back.stored), (to.pages, to.plain, to.stored));
            assert!(again == files[&pages] && back.pagemap == bytes, "{name}/{pagemap}");
        }
        let before = &files["inventory.img"];
        let packed = inventory::compressed(before, 4096).unwrap();
        assert!(inventory::is_compressed(&packed).unwrap() && !inventory::is_compressed(before).unwrap());
        assert_eq!(inventory::decompressed(&packed).unwrap(), *before);
    }
}

#[test]
fn inventories_and_pagemaps_become_those_of_crit() {
    let (plain, crit) = (dump("tree"), dump("compressed-page"));
    assert_eq!(inventory::compressed(&plain["inventory.img"], 4096).unwrap(), crit["inventory.img"]);
    for case in ["compressed-page", "compressed-region"] {
        let files = dump(case);
        assert_eq!(inventory::decompressed(&files["inventory.img"]).unwrap(), plain["inventory.img"]);
        for (name, bytes, pages) in pairs(&files) {
            let back = compress::decompress(bytes, PAGE, &files[&pages][..], &mut Vec::new()).unwrap();
            assert!(back.pagemap == plain[name], "{case}/{name}");
        }
    }
}

#[test]
fn odd_inventories_come_back_too() {
    // Versions 0 and 3 with compression switched off, as pre-dumps and children of compressed parents have it.
    for message in [&[0x08, 0][..], &[0x08, 3, 0x78, 0], &[0x08, 2, 0x78, 0, 0x80, 1, 9], &[0x08, 2, 0x08, 2]]
    {
        let mut before = b"\x16\x31\x31\x58".to_vec();
        before.extend((message.len() as u32).to_le_bytes());
        before.extend_from_slice(message);
        let packed = inventory::compressed(&before, 65536).unwrap();
        let entry: criu_images::schema::InventoryEntry = Image::parse(&packed).unwrap().entry().unwrap();
        assert_eq!((entry.img_version, entry.compress, entry.compress_block_size), (3, Some(1), Some(65536)));
        assert_eq!(inventory::decompressed(&packed).unwrap(), before, "{message:02x?}");
    }
    let v1 = b"\x16\x31\x31\x58\x02\0\0\0\x08\x01";
    assert!(matches!(inventory::compressed(v1, 4096), Err(CompressError::Version(1))));
}

#[test]
fn pages_that_must_stay_plain_stay_so() {
    let files = dump("tree");
    let (_, bytes, pages) = pairs(&files).find(|(name, ..)| *name == "pagemap-57.img").unwrap();
    let mut packed = Vec::new();
    let kept = Pagemap::parse(bytes).unwrap().runs[1].clone();
    let range = kept.vaddr..kept.vaddr + kept.pages * PAGE;
    let raw = |vaddr| range.contains(&vaddr);
    let to = compress::compress(bytes, PAGE, &raw, &files[&pages][..], &mut packed).unwrap();
    let pagemap = Pagemap::parse(&to.pagemap).unwrap();
    assert!(pagemap.runs[1].blocks.is_none() && pagemap.runs[0].blocks.is_some());
    let piece = pagemap.pieces(PAGE).map(|it| it.unwrap()).find(|it| it.run == 1).unwrap();
    assert_eq!(piece.form, Form::Plain);
    // What cannot be made smaller is stored as it is, and its entry has no blocks.
    let noise: Vec<u8> = (0..PAGE * 2)
        .scan(1u64, |state, _| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            Some(*state as u8)
        })
        .collect();
    let two_pages =
        b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x01\x07\0\0\0\x08\x80\x20\x10\x02\x20\x04";
    let mut out = Vec::new();
    let to = compress::compress(two_pages, PAGE, &|_| false, &noise[..], &mut out).unwrap();
    assert!(to.pagemap == two_pages && out == noise);
}

/// What reading says of a pages file that does not fit its pagemap.
fn fault(pagemap: &[u8], pages: &[u8]) -> PagesFault {
    match unpack(pagemap, pages).unwrap_err() {
        UnpackError::Pages(error) => error.fault,
        other => panic!("{other}"),
    }
}

#[test]
fn damage_is_told_with_its_place() {
    let files = dump("compressed-page");
    let (_, bytes, pages) = pairs(&files).find(|(name, ..)| *name == "pagemap-57.img").unwrap();
    let pages = &files[&pages];
    assert!(matches!(fault(bytes, &pages[..pages.len() - 1]), PagesFault::Cut { .. }));
    assert_eq!(fault(bytes, &[&pages[..], b"x"].concat()), PagesFault::Trailing);
    let error = unpack(bytes, &[&[0xff; 600][..], &pages[600..]].concat()).unwrap_err().to_string();
    assert!(error.starts_with("entry 1 of the pagemap, byte 0 of the pages file: no LZ4 block"), "{error}");
    // An LZ4 block of one literal byte, where a page is needed.
    let one = blocks_of(&[2], 2, 1);
    assert_eq!(fault(&one, &[0x10, b'x']), PagesFault::PlainSize { found: 1, plain: 4096 });

    assert_eq!(
        fault(&blocks_of(&[5000], 5000, 1), &[0; 5000]),
        PagesFault::BlockSize { block: 0, stored: 5000, plain: 4096 }
    );
    assert_eq!(fault(&blocks_of(&[5], 6, 1), &[0; 5]), PagesFault::TotalSize { sum: 5, said: 6 });
    assert_eq!(fault(&blocks_of(&[5, 5], 10, 1), &[0; 10]), PagesFault::BlockCount { found: 2, needed: 1 });
    assert_eq!(fault(&blocks_of(&[5], 5, 0), &[0; 5]), PagesFault::PagesPerBlock(0));
    assert_eq!(fault(&blocks_of(&[5], 5, 1025), &[0; 5]), PagesFault::PagesPerBlock(1025));
}

/// A pagemap of one page in blocks.
fn blocks_of(sizes: &[u32], total: u64, pages_per_block: u32) -> Vec<u8> {
    let varint = |mut value: u64| {
        let mut bytes = Vec::new();
        while value > 0x7f {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    };
    let list: Vec<u8> = sizes.iter().flat_map(|size| varint((*size).into())).collect();
    let blocks = [
        &[0x0a, list.len() as u8][..],
        &list,
        &[0x10],
        &varint(total),
        &[0x18],
        &varint(pages_per_block.into()),
    ]
    .concat();
    let entry = [&[0x08, 0x80, 0x20, 0x10, 1, 0x20, 4, 0x32, blocks.len() as u8][..], &blocks].concat();
    let mut bytes = b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x01".to_vec();
    bytes.extend((entry.len() as u32).to_le_bytes());
    bytes.extend(entry);
    bytes
}

#[test]
fn impossible_plans_are_refused_not_followed() {
    let pagemap = |entry: &[u8]| {
        let mut bytes = b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x01".to_vec();
        bytes.extend((entry.len() as u32).to_le_bytes());
        bytes.extend(entry);
        bytes
    };
    // 2^63 pages, at an address where one more is too many, blocks of pages in the parent.
    let many =
        pagemap(&[0x08, 0, 0x10, 0, 0x20, 4, 0x28, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]);
    assert!(matches!(fault(&many, b""), PagesFault::TooMany { .. }));
    let parent = pagemap(&[0x08, 0, 0x10, 1, 0x20, 9]);
    assert_eq!(fault(&parent, b""), PagesFault::NotPresent);
    let good = Pagemap::parse(&pagemap(&[0x08, 0, 0x10, 1])).unwrap();
    for size in [0, 1, 100, 4095, 8 << 20] {
        assert_eq!(good.pieces(size).next().unwrap().unwrap_err().fault, PagesFault::PageSize(size));
    }
}

#[test]
fn what_is_compressed_is_not_compressed_again() {
    let files = dump("compressed-page");
    let (_, bytes, pages) = pairs(&files).next().unwrap();
    let again = compress::compress(bytes, PAGE, &|_| false, &files[&pages][..], &mut Vec::new());
    assert!(matches!(again, Err(CompressError::Compressed { entry: 1 })));
}
