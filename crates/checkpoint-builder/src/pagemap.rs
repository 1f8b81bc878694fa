//! Pagemap images of all generations, and the page images that they tell of.

use std::collections::VecDeque;
use std::io::{self, Read};

use crate::checkpoint::Generation;
use crate::contents::Reader;
use crate::pages::{Pages, Place};
use crate::wire::{Image, Message};

// Flags of an entry.
const PARENT: u64 = 1;
const LAZY: u64 = 2;
const PRESENT: u64 = 4;

/// How a dump writes its pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Bytes a page.
    pub(crate) page: u64,
    pub(crate) generation: Generation,
    /// Pages a block, where blocks are packed.
    pub(crate) pages_per_block: Option<u64>,
}

/// Reads a page image, made while it is read.
#[derive(Clone, Debug)]
pub struct PageReader {
    parts: VecDeque<Reader>,
    /// Bytes in the parts, or packed.
    size: u64,
    packing: Option<Blocks>,
}

/// Packs blocks on their way.
#[derive(Clone, Debug)]
struct Blocks {
    /// Bytes of each block, plain.
    lens: VecDeque<usize>,
    packed: VecDeque<u8>,
}

impl PageReader {
    /// Its length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    fn read_plain(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(part) = self.parts.front_mut() {
            match part.read(buffer)? {
                0 if !buffer.is_empty() => drop(self.parts.pop_front()),
                count => return Ok(count),
            }
        }
        Ok(0)
    }

    fn read_block(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut block = vec![0; len];
        let mut done = 0;
        while done < len {
            match self.read_plain(&mut block[done..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(block)
    }
}

impl Read for PageReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(blocks) = &mut self.packing {
            if !blocks.packed.is_empty() {
                return blocks.packed.read(buffer);
            }
            let Some(len) = blocks.lens.pop_front() else { return Ok(0) };
            let packed = pack(&self.read_block(len)?);
            if let Some(blocks) = &mut self.packing {
                blocks.packed = packed.into();
            }
        }
        self.read_plain(buffer)
    }
}

/// A block as CRIU 4.3 stores it: nothing of zeros, as it is when packing saves less than an eighth.
fn pack(block: &[u8]) -> Vec<u8> {
    if block.iter().all(|&byte| byte == 0) {
        return Vec::new();
    }
    let packed = lz4_flex::block::compress(block);
    if packed.len() > block.len() / 8 * 7 { block.to_vec() } else { packed }
}

/// A pagemap and its page image: areas by their first address (in an object: 0).
pub(crate) fn images(name: String, pages_id: u32, areas: &[(u64, &Pages)], style: Style) -> [Image; 2] {
    let parts: VecDeque<Reader> = areas.iter().map(|(_, pages)| pages.reader(style.page)).collect();
    let plain = PageReader { size: parts.iter().map(|part| part.len).sum(), parts, packing: None };
    let runs = areas.iter().flat_map(|(start, pages)| pages.runs.iter().map(move |run| (start, run)));
    let mut pages = plain.clone();
    if style.pages_per_block.is_some() {
        (pages.size, pages.packing) = (0, Some(Blocks { lens: VecDeque::new(), packed: VecDeque::new() }));
    }
    let mut unpacked = plain;
    let mut entries = vec![Message::new().number(1, u64::from(pages_id))];
    for (start, run) in runs {
        let entry = entry(start + run.first * style.page, run.pages, run.place, style.generation);
        entries.push(match (style.pages_per_block, &mut pages.packing, run.place) {
            (Some(per_block), Some(packing), Place::Stored) => {
                let (mut sizes, mut total) = (Message::new(), 0);
                for first in (0..run.pages).step_by(per_block as usize) {
                    let len = (per_block.min(run.pages - first) * style.page) as usize;
                    let block = unpacked.read_block(len).map(|block| pack(&block)).unwrap_or_default();
                    packing.lens.push_back(len);
                    sizes.varint(block.len() as u64);
                    total += block.len() as u64;
                }
                pages.size += total;
                entry.message(6, &Message::new().bytes(1, &sizes.0).number(2, total).number(3, per_block))
            }
            _ => entry,
        });
    }
    [Image::of(name, entries), Image::pages(pages_id, pages)]
}

fn entry(address: u64, pages: u64, place: Place, generation: Generation) -> Message {
    let flags = match place {
        Place::Stored => PRESENT,
        Place::Parent => PARENT,
        Place::Lazy => LAZY,
    };
    let message = Message::new().number(1, address);
    match generation {
        Generation::V1 => {
            let message = message.number(2, pages);
            if place == Place::Parent { message.number(3, 1) } else { message }
        }
        Generation::V35 => message.number(2, pages).number(4, flags),
        Generation::V42 => message.number(2, 0).number(4, flags).number(5, pages),
    }
}
