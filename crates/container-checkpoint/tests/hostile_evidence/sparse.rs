//! Sparse members whose maps lie, or whose stored bytes are not there.

use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::evidence::{Index, Nobody};
use container_checkpoint::naming::Locator;

use crate::asked::{Seen, ask, ask_all_ways};
use crate::made::*;

type Write = fn(&str, u64, &[(u64, u64)], &[u8]) -> Vec<u8>;
const FORMS: [Write; 2] = [gnu_sparse, pax_sparse];

const NAME: &str = "checkpoint/pages-1.img";

fn two_pages() -> Vec<u8> {
    [page("FIRST"), page("SECOND")].concat()
}

/// Zeros that a copy did not store, or pages punched out for a younger dump: nobody can tell.
fn assert_hole(seen: &Seen, pages: &[&str], hole: &str) {
    assert_eq!(seen.pages(), pages);
    let [gap] = seen.gaps.as_slice() else { panic!("{seen:?}") };
    assert!(gap.place == hole && gap.why.starts_with("4096 bytes of it are holes"), "{gap:?}");
}

#[test]
fn a_page_that_is_a_hole_is_not_known_and_parts_are_in_their_places() {
    for write in FORMS {
        let sparse = write(NAME, 3 * 4096, &[(0, 4096), (8192, 4096)], &two_pages());
        let seen = ask_all_ways(&[dump_before_pages(3), sparse, END.to_vec()].concat());
        assert_hole(&seen, &["FIRST", "SECOND"], "pages-1.img, from byte 4096");
    }
}

/// Pages are punched out whole: a smaller hole is zeros.
#[test]
fn a_hole_in_a_page_is_zeros() {
    for write in FORMS {
        let sparse = write(NAME, 2 * 4096, &[(0, 512), (4608, 3584)], &page("PART"));
        let seen = ask_all_ways(&[dump_before_pages(2), sparse, END.to_vec()].concat());
        assert_eq!((seen.pages(), seen.gaps.len()), (vec!["PART".into(), String::new()], 0));
    }
}

#[test]
fn a_hole_in_a_file_of_a_directory_is_one_in_the_page_image() {
    let directory = tempfile::TempDir::new().unwrap();
    let tar = [dump_before_pages(3), END.to_vec()].concat();
    tar::Archive::new(tar.as_slice()).unpack(directory.path()).unwrap();
    let pages = std::fs::File::create(directory.path().join(NAME)).unwrap();
    pages.set_len(3 * 4096).unwrap();
    for (at, name) in [(0, "FIRST"), (8192, "SECOND")] {
        std::os::unix::fs::FileExt::write_all_at(&pages, &page(name), at).unwrap();
    }
    pages.sync_all().unwrap();
    let mut case = Case::default();
    let locator = Locator::parse(directory.path().as_os_str());
    case.add(locator, &Context::default(), &mut Nobody);
    let seen = ask(&case, DumpId { evidence: 0, dump: 0 }, None);
    assert_hole(&seen, &["FIRST", "SECOND"], "pages-1.img, from byte 4096");
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
    assert_hole(&seen, &["FIRST", "SECOND"], "pages-1.img, from byte 0");
}

#[test]
fn what_a_cut_takes_away_is_no_hole() {
    for write in FORMS {
        let sparse = write(NAME, 3 * 4096, &[(0, 4096), (4096, 4096)], &two_pages());
        let cut = sparse.len() - 4096;
        let seen = ask_all_ways(&[dump_before_pages(3), sparse[..cut].to_vec()].concat());
        assert_eq!(seen.bytes, [(START, page("FIRST"))]);
        // The last page is a hole in any case; the second one was cut off.
        assert!(seen.gaps.iter().any(|gap| gap.why.contains("ends early: 4096 bytes")), "{:?}", seen.gaps);
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
