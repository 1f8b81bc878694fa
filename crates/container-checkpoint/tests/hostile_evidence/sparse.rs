//! Sparse members whose maps lie, or whose stored bytes are not there.

use container_checkpoint::evidence::{Index, Nobody};

use crate::asked::ask_all_ways;
use crate::made::*;

type Write = fn(&str, u64, &[(u64, u64)], &[u8]) -> Vec<u8>;
const FORMS: [Write; 2] = [gnu_sparse, pax_sparse];

const NAME: &str = "checkpoint/pages-1.img";

fn two_pages() -> Vec<u8> {
    [page("FIRST"), page("SECOND")].concat()
}

#[test]
fn holes_are_zeros_and_parts_are_in_their_places() {
    for write in FORMS {
        let sparse = write(NAME, 3 * 4096, &[(0, 4096), (8192, 4096)], &two_pages());
        let seen = ask_all_ways(&[dump_before_pages(3), sparse, END.to_vec()].concat());
        assert_eq!(
            (seen.pages(), seen.gaps.len()),
            (vec!["FIRST".into(), String::new(), "SECOND".into()], 0)
        );
    }
}

#[test]
fn the_oldest_pax_form_has_a_record_for_each_number() {
    let numbers = [
        ("size", 12288),
        ("numblocks", 2),
        ("offset", 4096),
        ("numbytes", 4096),
        ("offset", 8192),
        ("numbytes", 4096),
    ];
    let records = numbers.map(|(key, value)| pax(&format!("GNU.sparse.{key}"), &value.to_string()));
    let sparse = [record(b'x', &records.concat()), file(NAME, &two_pages())].concat();
    let seen = ask_all_ways(&[dump_before_pages(3), sparse, END.to_vec()].concat());
    assert_eq!((seen.pages(), seen.gaps.len()), (vec![String::new(), "FIRST".into(), "SECOND".into()], 0));
}

#[test]
fn what_a_cut_takes_away_is_no_hole() {
    for write in FORMS {
        let sparse = write(NAME, 3 * 4096, &[(0, 4096), (4096, 4096)], &two_pages());
        let cut = sparse.len() - 4096;
        let seen = ask_all_ways(&[dump_before_pages(3), sparse[..cut].to_vec()].concat());
        assert_eq!(seen.bytes, [(START, page("FIRST"))]);
        assert!(seen.gaps[0].why.contains("8192 bytes"), "{:?}", seen.gaps);
    }
}

#[test]
fn contents_under_a_map_that_makes_no_sense_are_unknown() {
    let maps: [&[(u64, u64)]; 5] = [
        &[(4096, 4096), (0, 4096)],
        &[(0, 4096)],
        &[(0, 12288)],
        &[(0, 4096), (8192, 8192)],
        &[(0, 8191), (8190, 1)],
    ];
    for write in FORMS {
        for map in maps {
            let sparse = write(NAME, 3 * 4096, map, &two_pages());
            let tar = [dump_before_pages(3), sparse, file("behind", b"here"), END.to_vec()].concat();
            let seen = ask_all_ways(&tar);
            assert!(seen.bytes.is_empty() && seen.gaps[0].why.contains("12288 bytes"), "{map:?}: {seen:?}");
            for bytes in [tar.clone(), zstd(&tar)] {
                let case = open(bytes, &mut Nobody);
                let index = case.evidences[0].evidence.index();
                assert!(
                    says(index, "sparse member")
                        && index.members().any(|(.., member)| member.path == b"behind")
                );
            }
        }
    }
}

/// An empty file where the archive says that there are bytes would be read as one that says nothing.
#[test]
fn metadata_of_which_nothing_is_known_is_not_read_as_empty() {
    let status = gnu_sparse("checkpoint/mm-1.img", 3000, &[(0, 10)], b"no");
    let tar = [file("checkpoint/inventory.img", &inventory()), status, END.to_vec()].concat();
    for bytes in [tar.clone(), zstd(&tar)] {
        let case = open(bytes, &mut Nobody);
        let index = case.evidences[0].evidence.index();
        let (id, ..) = index.members().find(|(.., member)| member.base_name() == b"mm-1.img").unwrap();
        assert!(index.contents(id).is_none() && says(index, "sparse member"));
    }
}

fn says(index: &Index, what: &str) -> bool {
    index.findings.gaps.iter().any(|gap| gap.what.contains(what))
}
