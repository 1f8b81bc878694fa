//! Archives and images made byte by byte, as nobody's writer makes them.

use std::path::Path;
use std::sync::Arc;

use container_checkpoint::case::Case;
use container_checkpoint::context::Context;
use container_checkpoint::evidence::{Evidence, Passenger};
use container_checkpoint::naming::Locator;

/// Where the memory of process 1 begins.
pub const START: u64 = 0x1000_0000;
/// The end mark of a tar.
pub const END: [u8; 1024] = [0; 1024];

const IMG_COMMON: u32 = 0x5456_4319;
const INVENTORY: u32 = 0x5831_3116;
const PSTREE: u32 = 0x5027_3030;
const MM: u32 = 0x5749_2820;
const PAGEMAP: u32 = 0x5608_4025;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn message(field: u64, contents: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(contents.len() as u64), contents.to_vec()].concat()
}

fn image(magics: &[u32], entries: &[Vec<u8>]) -> Vec<u8> {
    let magics = magics.iter().flat_map(|magic| magic.to_le_bytes());
    let entries = entries.iter().flat_map(|entry| [&(entry.len() as u32).to_le_bytes()[..], entry].concat());
    magics.chain(entries).collect()
}

pub fn inventory() -> Vec<u8> {
    image(&[INVENTORY], &[[number(1, 2), number(2, 1), number(4, 1), number(8, 1), number(9, 1)].concat()])
}

pub fn pstree() -> Vec<u8> {
    image(
        &[IMG_COMMON, PSTREE],
        &[[number(1, 1), number(2, 0), number(3, 1), number(4, 1), number(5, 1)].concat()],
    )
}

/// A run of pages: address, how many, `PE_*` bits.
pub type Run = (u64, u64, u64);
/// `PE_PRESENT`.
pub const PRESENT: u64 = 4;
/// `PE_PARENT`.
pub const PARENT: u64 = 1;

pub fn pagemap(pages_id: u64, runs: &[Run]) -> Vec<u8> {
    let run = |&(address, pages, flags): &Run| {
        [number(1, address), number(2, 0), number(4, flags), number(5, pages)].concat()
    };
    let entries: Vec<_> = [number(1, pages_id)].into_iter().chain(runs.iter().map(run)).collect();
    image(&[IMG_COMMON, PAGEMAP], &entries)
}

/// One mapping: first address, length, status bits, number of the shared object.
pub struct Vma {
    pub start: u64,
    pub len: u64,
    pub status: u64,
    pub object: u64,
}

/// `VMA_AREA_REGULAR | VMA_ANON_PRIVATE`.
pub const ANONYMOUS: u64 = 0x201;

/// An address space of these mappings; the arguments are its first bytes.
pub fn mm(mappings: &[Vma], arguments: u64) -> Vec<u8> {
    let vma = |vma: &Vma| {
        let fields = [
            (1, vma.start),
            (2, vma.start + vma.len),
            (3, 0),
            (4, vma.object),
            (5, 3),
            (6, 0x22),
            (7, vma.status),
            (8, 1),
        ];
        message(14, &fields.map(|(field, value)| number(field, value)).concat())
    };
    let start = mappings[0].start;
    let marks = (1..=7).flat_map(|field| number(field, 0));
    let ranges = [(8, start), (9, start + arguments), (10, 0), (11, 0), (12, 0)]
        .map(|(field, value)| number(field, value));
    let auxv = message(13, &[varint(6), varint(4096), varint(0), varint(0)].concat());
    let entry = marks.chain(ranges.concat()).chain(auxv).chain(mappings.iter().flat_map(vma)).collect();
    image(&[IMG_COMMON, MM], &[entry])
}

/// The address space of process 1 with one mapping of so many pages.
pub fn plain_mm(pages: u64) -> Vec<u8> {
    mm(&[Vma { start: START, len: pages * 4096, status: ANONYMOUS, object: 0 }], 9)
}

/// A page that begins with a text.
pub fn page(text: &str) -> Vec<u8> {
    let mut page = vec![0; 4096];
    page[..text.len()].copy_from_slice(text.as_bytes());
    page
}

/// A header block; numbers that are too large for octal digits stand in base 256.
pub fn header(name: &str, size: u64, kind: u8, link: &str, more: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000600\x000000000\x000000000\0");
    put(124, &size_field(size));
    put(136, b"14735452325\0        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, if kind == b'S' { b"ustar  \0" } else { b"ustar\x0000" });
    for (at, bytes) in more {
        put(*at, bytes);
    }
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn size_field(size: u64) -> Vec<u8> {
    if size < 1 << 33 {
        format!("{size:011o}\0").into_bytes()
    } else {
        [&[0x80, 0, 0, 0][..], &size.to_be_bytes()].concat()
    }
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A file.
pub fn file(name: &str, contents: &[u8]) -> Vec<u8> {
    [header(name, contents.len() as u64, b'0', "", &[]), padded(contents.to_vec())].concat()
}

/// A hard link.
pub fn hard_link(name: &str, target: &str) -> Vec<u8> {
    header(name, 0, b'1', target, &[])
}

/// A record block of pax headers, or a long name.
pub fn record(kind: u8, contents: &[u8]) -> Vec<u8> {
    [header("record", contents.len() as u64, kind, "", &[]), padded(contents.to_vec())].concat()
}

/// One pax record.
pub fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let len = (1..)
        .map(|digits| rest.len() + digits)
        .find(|len| len.to_string().len() + rest.len() == *len)
        .unwrap();
    format!("{len}{rest}").into_bytes()
}

/// A sparse file in GNU's old form.
pub fn gnu_sparse(name: &str, size: u64, parts: &[(u64, u64)], stored: &[u8]) -> Vec<u8> {
    let field = |at: usize, value: u64| (at, size_field(value));
    let parts = parts.iter().enumerate().flat_map(|(number, &(offset, len))| {
        [field(386 + 24 * number, offset), field(398 + 24 * number, len)]
    });
    let more: Vec<_> = parts.chain([field(483, size)]).collect();
    [header(name, stored.len() as u64, b'S', "", &more), padded(stored.to_vec())].concat()
}

/// A sparse file in the pax form 0.1.
pub fn pax_sparse(name: &str, size: u64, parts: &[(u64, u64)], stored: &[u8]) -> Vec<u8> {
    let map: Vec<_> = parts.iter().map(|(offset, len)| format!("{offset},{len}")).collect();
    let records = [pax("GNU.sparse.size", &size.to_string()), pax("GNU.sparse.map", &map.join(","))].concat();
    [record(b'x', &records), file(name, stored)].concat()
}

/// Images of a dump of one process, whose pagemap names `pages-1.img` and that many pages of it.
pub fn dump_before_pages(pages: u64) -> Vec<u8> {
    [
        file("checkpoint/inventory.img", &inventory()),
        file("checkpoint/mm-1.img", &plain_mm(pages)),
        file("checkpoint/pagemap-1.img", &pagemap(1, &[(START, pages, PRESENT)])),
        file("checkpoint/pstree.img", &pstree()),
    ]
    .concat()
}

pub fn symlink(name: &str, target: &str) -> Vec<u8> {
    header(name, 0, b'2', target, &[])
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

pub fn open(bytes: Vec<u8>, passenger: &mut dyn Passenger) -> Case {
    open_all(vec![bytes], passenger)
}

/// Opens several evidences together.
pub fn open_all(all: Vec<Vec<u8>>, passenger: &mut dyn Passenger) -> Case {
    let mut case = Case::default();
    for (number, bytes) in all.into_iter().enumerate() {
        let name = format!("made-{number}");
        let evidence =
            Evidence::from_source(name.clone(), Arc::new(bytes), &Context::default(), passenger).unwrap();
        case.add_opened(evidence, Locator::whole(Path::new(&name)));
    }
    case
}
