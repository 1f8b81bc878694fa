//! All generations of pagemaps, and damaged ones, through the fast reader and through a naive one.

#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use criu_images::error::Error;
use criu_images::framing::Image;
use criu_images::pagemap::{Pagemap, Run};
use criu_images::schema::PagemapEntry;

const HEAD: &[u8] = b"\x19\x43\x56\x54\x25\x40\x08\x56";

/// A pagemap with `pages_id` 7 and these messages as its entries.
fn pagemap(messages: &[&[u8]]) -> Vec<u8> {
    let mut bytes = HEAD.to_vec();
    for message in [&[0x08, 7][..]].iter().chain(messages) {
        bytes.extend((message.len() as u32).to_le_bytes());
        bytes.extend_from_slice(message);
    }
    bytes
}

/// The naive twin: prost's structures, and CRIU's rules word for word.
fn naive(image: &Image<'_>) -> (Vec<Run>, Option<Error>) {
    let mut runs = Vec::new();
    for entry in image.entries::<PagemapEntry>() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return (runs, Some(error)),
        };
        let mut flags = entry.flags.unwrap_or(if entry.in_parent == Some(true) { 0 } else { 4 });
        if entry.in_parent == Some(true) {
            flags |= 1;
        }
        let pages = entry.nr_pages.unwrap_or(entry.compat_nr_pages.into());
        let mut run = Run { vaddr: entry.vaddr, pages, flags, blocks: None };
        run.blocks = entry.blocks.map(|blocks| {
            Box::new(criu_images::pagemap::Blocks {
                sizes: blocks.block_sizes,
                total_payload_size: blocks.total_payload_size,
                pages_per_block: blocks.pages_per_block,
            })
        });
        runs.push(run);
    }
    (runs, None)
}

#[test]
fn every_pagemap_reads_as_the_naive_reader_has_it() {
    let mut compared = 0;
    for cases in common::in_repository() {
        for (name, bytes) in cases.images.iter().filter(|(name, _)| name.contains("pagemap")) {
            for cut in (0..bytes.len()).rev().step_by(7).chain([bytes.len()]) {
                let Ok(pagemap) = Pagemap::parse(&bytes[..cut]) else { continue };
                let (runs, damage) = naive(&Image::parse(&bytes[..cut]).unwrap());
                assert_eq!(pagemap.runs, runs, "{name} cut to {cut}");
                assert_eq!(pagemap.damage, damage, "{name} cut to {cut}");
                compared += 1;
            }
        }
    }
    assert!(compared > 200, "only {compared} pagemaps were compared");
}

#[test]
fn each_generation_says_where_pages_are() {
    let cases = [
        // Up to 3.4: a count in field 2, and a page is here unless it is in the parent.
        (&[0x08, 0x80, 0x20, 0x10, 3][..], (3, true, false, false)),
        (&[0x08, 0x80, 0x20, 0x10, 3, 0x18, 1], (3, false, true, false)),
        (&[0x08, 0x80, 0x20, 0x10, 3, 0x18, 0], (3, true, false, false)),
        // Since 3.5: flags. None set means that no bytes are here.
        (&[0x08, 0x80, 0x20, 0x10, 3, 0x20, 6], (3, true, false, true)),
        (&[0x08, 0x80, 0x20, 0x10, 3, 0x20, 2], (3, false, false, true)),
        (&[0x08, 0x80, 0x20, 0x10, 3, 0x20, 0], (3, false, false, false)),
        // Since 4.2: the count in field 5 wins, whatever field 2 says.
        (&[0x08, 0x80, 0x20, 0x10, 0, 0x20, 4, 0x28, 9], (9, true, false, false)),
    ];
    for (message, (pages, present, parent, lazy)) in cases {
        let pagemap = Pagemap::parse(&pagemap(&[message])).unwrap();
        assert_eq!((pagemap.pages_id, pagemap.damage), (7, None));
        let run = &pagemap.runs[0];
        assert_eq!((run.vaddr, run.pages), (0x1000, pages), "{message:02x?}");
        assert_eq!(
            (run.is_present(), run.in_parent(), run.is_lazy()),
            (present, parent, lazy),
            "{message:02x?}"
        );
    }
}

#[test]
fn runs_ahead_of_damage_are_kept() {
    let good: &[u8] = &[0x08, 0x80, 0x20, 0x10, 3];
    let mut bytes = pagemap(&[good, good, good]);
    bytes.truncate(bytes.len() - 2);
    let pagemap = Pagemap::parse(&bytes).unwrap();
    assert_eq!(pagemap.runs.len(), 2);
    assert_eq!(
        pagemap.damage.unwrap().to_string(),
        "entry 3 of PAGEMAP, byte 36: a message of 5 bytes, of which 3 are there (damaged or cut)"
    );

    let without_count: &[u8] = &[0x08, 0x80, 0x20];
    let pagemap = Pagemap::parse(&self::pagemap(&[good, without_count, good])).unwrap();
    assert_eq!(pagemap.runs.len(), 1);
    assert!(matches!(pagemap.damage, Some(Error::MissingField { field: "compat_nr_pages", .. })));
}

#[test]
fn an_entry_is_not_taken_for_the_head() {
    let mut bytes = HEAD.to_vec();
    bytes.extend([5, 0, 0, 0, 0x08, 0x80, 0x20, 0x10, 3]);
    assert!(matches!(Pagemap::parse(&bytes), Err(Error::OtherMessage { message: "pagemap_entry", .. })));
    assert!(matches!(Pagemap::parse(HEAD), Err(Error::NoEntry { kind: "PAGEMAP", .. })));
}

#[test]
fn blocks_of_compressed_pages_are_listed() {
    let blocks = [0x0a, 3, 0, 5, 7, 0x10, 12, 0x18, 4];
    let message = [&[0x08, 0x80, 0x20, 0x10, 9, 0x20, 12, 0x32, blocks.len() as u8][..], &blocks].concat();
    let pagemap = Pagemap::parse(&pagemap(&[&message])).unwrap();
    let run = &pagemap.runs[0];
    assert!(run.is_aligned() && run.is_present());
    let blocks = run.blocks.as_ref().unwrap();
    assert_eq!(
        (blocks.sizes.as_slice(), blocks.total_payload_size, blocks.pages_per_block),
        (&[0, 5, 7][..], 12, 4)
    );
}
