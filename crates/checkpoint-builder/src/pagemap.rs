//! Pagemap images of all generations, and the page images that they tell of.

use std::collections::VecDeque;
use std::io::{self, Read};

use crate::blocks::Blocks;
use crate::checkpoint::Generation;
use crate::contents::Reader;
use crate::pages::{Pages, Place, Run};
use crate::wire::{Image, Message};

// Flags of an entry.
const PARENT: u64 = 1;
const LAZY: u64 = 2;
const PRESENT: u64 = 4;
const ALIGNED: u64 = 8;

/// How a dump writes its pages.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// Bytes a page.
    pub(crate) page: u64,
    pub(crate) generation: Generation,
    /// Where pages are packed, how.
    pub(crate) blocks: Option<Blocks>,
}

/// Reads a page image, made while it is read.
#[derive(Clone, Debug)]
pub struct PageReader {
    parts: VecDeque<Reader>,
    /// Bytes in the parts, or packed.
    size: u64,
    packer: Option<Packer>,
}

/// Packs blocks on their way.
#[derive(Clone, Debug)]
struct Packer {
    blocks: Blocks,
    steps: VecDeque<Step>,
    packed: VecDeque<u8>,
}

/// What comes next in a packed page image, in bytes.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A block, plain.
    Block(usize),
    /// Bytes that are not packed.
    Plain(usize),
    /// Zeros in front of a run that begins at a page.
    Padding(usize),
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
        while let Some(packer) = &mut self.packer {
            if !packer.packed.is_empty() {
                return packer.packed.read(buffer);
            }
            let Some(step) = packer.steps.pop_front() else { return Ok(0) };
            let blocks = packer.blocks.clone();
            let bytes = match step {
                Step::Block(len) => blocks.pack(&self.read_block(len)?),
                Step::Plain(len) => self.read_block(len)?,
                Step::Padding(len) => vec![0; len],
            };
            if let Some(packer) = &mut self.packer {
                packer.packed = bytes.into();
            }
        }
        self.read_plain(buffer)
    }
}

/// A pagemap and its page image: areas by their first address (in an object: 0).
pub(crate) fn images(name: String, pages_id: u32, areas: &[(u64, &Pages)], style: &Style) -> [Image; 2] {
    let parts: VecDeque<Reader> = areas.iter().map(|(_, pages)| pages.reader(style.page)).collect();
    let mut pages = PageReader { size: parts.iter().map(|part| part.len).sum(), parts, packer: None };
    let mut entries = vec![Message::new().number(1, u64::from(pages_id))];
    let mut unpacked = pages.clone();
    let runs = areas.iter().flat_map(|(start, pages)| (1..).zip(&pages.runs).map(move |run| (start, run)));
    let mut steps = VecDeque::new();
    let mut size = 0u64;
    for (start, (number, run)) in runs {
        let address = start + run.first * style.page;
        let Some(blocks) = &style.blocks else {
            entries.push(entry(address, run, 0, style.generation));
            continue;
        };
        let is_aligned = blocks.is_aligned(number, run);
        if is_aligned {
            let padding = size.next_multiple_of(style.page) - size;
            steps.push_back(Step::Padding(padding as usize));
            size += padding;
        }
        let entry = entry(address, run, if is_aligned { ALIGNED } else { 0 }, style.generation);
        if !blocks.is_packed(number, run) {
            if run.place == Place::Stored {
                let pages = (0..run.pages).map(|_| unpacked.read_block(style.page as usize));
                let len = pages.map_while(Result::ok).map(|page| page.len()).sum();
                steps.push_back(Step::Plain(len));
                size += len as u64;
            }
            entries.push(entry);
            continue;
        }
        let (mut sizes, mut total) = (Message::new(), 0);
        for first in (0..run.pages).step_by(blocks.pages as usize) {
            let len = (blocks.pages.min(run.pages - first) * style.page) as usize;
            let block = unpacked.read_block(len).map(|block| blocks.pack(&block)).unwrap_or_default();
            steps.push_back(Step::Block(len));
            sizes.varint(block.len() as u64);
            total += block.len() as u64;
        }
        size += total;
        entries.push(
            entry.message(6, &Message::new().bytes(1, &sizes.0).number(2, total).number(3, blocks.pages)),
        );
    }
    if let Some(blocks) = &style.blocks {
        pages.packer = Some(Packer { blocks: blocks.clone(), steps, packed: VecDeque::new() });
        pages.size = size;
    }
    [Image::of(name, entries), Image::pages(pages_id, pages)]
}

/// `more` are flags beside that of the place.
fn entry(address: u64, run: &Run, more: u64, generation: Generation) -> Message {
    let Run { pages, place, .. } = *run;
    let flags = more
        | match place {
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
