//! Many of everything: layers, dumps, pagemaps, doubled names. Times are bounds that work which grows with the square misses by far.

use std::fs;

use container_checkpoint::case::{Choice, DumpId};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::context::Context;
use container_checkpoint::evidence::{LayerId, Nobody};
use container_checkpoint::files::FileSet;
use container_checkpoint::memory::{self, Memory, Ride};

use crate::asked::Everything;
use crate::made::*;

/// Checks that this test, which has a thread of its own, took no more of a processor than a slow machine needs without optimisation.
fn assert_soon() {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    // Behind the name in brackets; a tick is 10 ms on all Linux machines.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    assert!(ticks < 2000, "{ticks} ticks of processor time");
}

#[test]
fn layers_are_told_apart_or_not_gone_into() {
    let layer =
        |number: usize| file(&format!("blobs/x/{number}"), &[file("in", b"x"), END.to_vec()].concat());
    let last = [file("checkpoint/pstree.img", &pstree()), END.to_vec()].concat();
    let tar: Vec<u8> = (0..1100).flat_map(layer).chain(file("blobs/x/last", &last)).chain(END).collect();
    for bytes in [tar.clone(), zstd(&tar)] {
        let case = open(bytes, &mut Nobody);
        let index = case.evidences[0].evidence.index();
        assert_eq!(index.layers().count(), 1000);
        assert_eq!(index.layer(LayerId::TOP).origin, b"");
        assert!(case.evidences[0].dumps.is_empty());
        let gaps: Vec<_> =
            index.findings.gaps.iter().filter(|gap| gap.what == "archives in the archive").collect();
        assert_eq!((gaps.len(), &*gaps[0].place), (1, "blobs/x/999"));
    }
}

#[test]
fn directories_of_metadata_and_of_images_are_matched_soon() {
    let bundles = (0..30_000).flat_map(|number| file(&format!("b{number}/c/config.dump"), b"{}"));
    let dumps = (0..30_000).flat_map(|number| file(&format!("i{number}/pstree.img"), &pstree()));
    let case = open(zstd(&bundles.chain(dumps).chain(END).collect::<Vec<_>>()), &mut Nobody);
    assert_eq!(case.evidences[0].dumps.len(), 10_000);
    let gaps = &case.evidences[0].evidence.index().findings.gaps;
    assert!(gaps.iter().any(|gap| gap.what == "dumps" && gap.why.contains("10000")), "{gaps:?}");
    let message = case.evidences[0].chosen(Choice::One).unwrap_err().to_string();
    assert!(message.contains("i19 and 9980 more") && message.len() < 500, "{message}");
    assert_soon();
}

#[test]
fn many_dumps_are_each_looked_at_alone() {
    let dump = |number: usize| {
        let images =
            [("pstree.img", pstree()), ("pagemap-1.img", pagemap(1, &[])), ("pages-1.img", b"x".to_vec())];
        images.iter().flat_map(|(name, bytes)| file(&format!("i{number}/{name}"), bytes)).collect::<Vec<_>>()
    };
    let tar: Vec<u8> = (0..9_000).flat_map(dump).chain(END).collect();
    let mut ride = Ride::new(Everything::default);
    let case = open(zstd(&tar), &mut ride);
    for dump in 0..9_000 {
        let checkpoint = Checkpoint::new(&case, DumpId { evidence: 0, dump });
        assert_eq!(checkpoint.sizes().pages, 1);
        assert_eq!(
            case.dump(checkpoint.id()).image_files(case.evidence(checkpoint.id()).index()).names().len(),
            3
        );
    }
    assert_soon();
}

#[test]
fn many_pagemaps_of_many_page_images_are_read_soon() {
    let pagemaps = (2..30_000).flat_map(|pid| {
        file(&format!("checkpoint/pagemap-{pid}.img"), &pagemap(pid, &[(START, 1, PRESENT)]))
    });
    let pages = (2..30_000).flat_map(|number| file(&format!("checkpoint/pages-{number}.img"), b"x"));
    let tar: Vec<u8> = dump_before_pages(1).into_iter().chain(pagemaps).chain(pages).chain(END).collect();
    let mut ride = Ride::new(Everything::default);
    let case = open(zstd(&tar), &mut ride);
    let id = DumpId { evidence: 0, dump: 0 };
    assert_eq!(Memory::of(&case, id).objects.len(), 29_999);
    let answered =
        memory::answer(&case, id, &Context::default(), Some(&mut ride), Everything::default).unwrap();
    let short = answered.findings.gaps.iter().filter(|gap| gap.why.contains("ends early"));
    assert_eq!(short.count(), 29_998);
    assert_soon();
}

#[test]
fn doubled_names_do_not_flood_the_notes() {
    let tar: Vec<u8> = (0..2)
        .flat_map(|_| (0..5_000).flat_map(|number| file(&format!("m{number}"), b"")))
        .chain(END)
        .collect();
    let case = open(zstd(&tar), &mut Nobody);
    let notes = &case.evidences[0].evidence.index().findings.notes;
    assert_eq!(notes.len(), 101);
    assert!(notes[100].why.starts_with("5000 members"));
}
