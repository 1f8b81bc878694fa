//! Zeros are said to be somewhere only where that is known.

use container_checkpoint::case::DumpId;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::{Backing, Memory};

use crate::asked::ask_all_ways;
use crate::made::*;

/// `VMA_AREA_MEMFD | VMA_AREA_REGULAR` and a file behind it.
const MEMFD: u64 = 0x4081;
/// `VMA_ANON_SHARED | VMA_AREA_REGULAR`.
const SHARED: u64 = 0x101;
/// `VMA_AREA_GUARD`.
const GUARD: u64 = 0x10000;

fn memory_of(mm: &[u8], more: &[Vec<u8>]) -> Memory {
    let images = [
        file("checkpoint/inventory.img", &inventory()),
        file("checkpoint/mm-1.img", mm),
        file("checkpoint/pagemap-1.img", &pagemap(1, &[])),
        file("checkpoint/pstree.img", &pstree()),
        more.concat(),
    ];
    Memory::of(&open([images.concat(), END.to_vec()].concat(), &mut Nobody), DumpId { evidence: 0, dump: 0 })
}

/// What is behind each stretch of the first three pages, with its length in pages.
fn backings(memory: &Memory) -> Vec<(u64, Backing)> {
    let pieces = memory.space(Pid(1)).unwrap().locate(START..START + 3 * 4096);
    pieces.iter().map(|piece| (piece.len / 4096, piece.backing)).collect()
}

fn mapping(start: u64, pages: u64, status: u64, object: u64) -> Vma {
    Vma { start, len: pages * 4096, status, object }
}

#[test]
fn memory_behind_an_unknown_object_is_unknown() {
    let mm = mm(&[mapping(START, 1, MEMFD, 25), mapping(START + 4096, 2, ANONYMOUS, 0)], 9);
    let memory = memory_of(&mm, &[]);
    assert_eq!(backings(&memory), [(1, Backing::Unknown), (2, Backing::Zero)]);
    assert!(
        memory.findings.gaps.iter().any(|gap| gap.why.contains("which shared object")),
        "{:?}",
        memory.findings
    );
}

#[test]
fn behind_the_damage_of_a_shared_object_nothing_is_known_to_be_zero() {
    let mm = mm(&[mapping(START, 1, ANONYMOUS, 0), mapping(START + 4096, 2, SHARED, 7)], 9);
    let whole = pagemap(2, &[]);
    let damaged = [&whole[..], b"\xff\xff\0\0cut"].concat();
    for (image, expected) in [(whole, Backing::Zero), (damaged, Backing::Unknown)] {
        let memory = memory_of(&mm, &[file("checkpoint/pagemap-shmem-7.img", &image)]);
        let backings = backings(&memory);
        let shared: Vec<_> = backings.iter().filter(|(_, backing)| *backing == expected).collect();
        assert_eq!(backings[0].1, Backing::Zero);
        assert!(!shared.is_empty() && backings[backings.len() - 1].1 == expected, "{backings:?}");
    }
}

#[test]
fn nobody_reads_zeros_from_a_guard_region() {
    let mm = mm(&[mapping(START, 3, ANONYMOUS, 0), mapping(START + 4096, 1, GUARD, 0)], 9);
    let expected = [(1, Backing::Zero), (1, Backing::NotCaptured), (1, Backing::Zero)];
    assert_eq!(backings(&memory_of(&mm, &[])), expected);
}

#[test]
fn where_a_mapping_was_refused_something_is_mapped() {
    let mm = mm(&[mapping(START, 2, ANONYMOUS, 0), mapping(START + 4096, 2, ANONYMOUS, 0)], 9);
    assert_eq!(backings(&memory_of(&mm, &[])), [(2, Backing::Zero), (1, Backing::Unknown)]);
}

/// A header of half a KiB may claim more zeros than anyone can look at.
#[test]
fn a_page_image_of_nothing_but_holes_is_not_read() {
    let images = [
        file("checkpoint/inventory.img", &inventory()),
        file("checkpoint/mm-1.img", &mm(&[mapping(START, 1 << 34, ANONYMOUS, 0)], 9)),
        file("checkpoint/pagemap-1.img", &pagemap(1, &[(START, 1 << 34, PRESENT)])),
        gnu_sparse("checkpoint/pages-1.img", 1 << 46, &[], b""),
        END.to_vec(),
    ];
    let seen = ask_all_ways(&images.concat());
    assert!(seen.bytes.is_empty() && seen.gaps[0].why.contains("holes"), "{seen:?}");
}
