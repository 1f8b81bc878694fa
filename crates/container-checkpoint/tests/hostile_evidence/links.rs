//! Images that are links: hard ones have contents, all others have not.

use container_checkpoint::case::DumpId;
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::evidence::{Nobody, split_path};
use container_checkpoint::files::FileSet;

use crate::asked::{ask, ask_all_ways};
use crate::made::*;

/// All images under made-up names first, then links of the right names to them.
fn all_linked() -> Vec<u8> {
    let images = [
        ("inventory.img", inventory()),
        ("mm-1.img", plain_mm(1)),
        ("pagemap-1.img", pagemap(1, &[(START, 1, PRESENT)])),
        ("pages-1.img", page("LINKED")),
        ("pstree.img", pstree()),
    ];
    let stored =
        images.iter().enumerate().flat_map(|(number, (_, bytes))| file(&format!("store/{number}"), bytes));
    let linked = images.iter().enumerate().flat_map(|(number, (name, _))| {
        hard_link(&format!("checkpoint/{name}"), &format!("./store/{number}"))
    });
    stored.chain(linked).chain(END).collect()
}

#[test]
fn a_dump_of_links_is_a_dump_like_any_other() {
    let tar = all_linked();
    let seen = ask_all_ways(&tar);
    assert_eq!((seen.pages(), seen.gaps.len()), (vec!["LINKED".to_owned()], 0));
    for bytes in [tar.clone(), zstd(&tar)] {
        let case = open(bytes, &mut Nobody);
        let id = DumpId { evidence: 0, dump: 0 };
        let files = case.dump(id).image_files(case.evidence(id).index());
        assert_eq!(files.file("pstree.img").as_deref(), Some(&pstree()[..]));
        let sizes = Checkpoint::new(&case, id).sizes();
        assert_eq!((sizes.pages, sizes.images > 4096), (4096, true));
        assert!(
            case.evidence(id).index().findings.gaps.is_empty(),
            "{:?}",
            case.evidence(id).index().findings
        );
    }
}

#[test]
fn two_dumps_may_share_their_pages_by_a_link() {
    let images = |directory: &str| {
        let images = [
            ("inventory.img", inventory()),
            ("mm-1.img", plain_mm(1)),
            ("pagemap-1.img", pagemap(1, &[(START, 1, PRESENT)])),
        ];
        images
            .iter()
            .flat_map(|(name, bytes)| file(&format!("{directory}/{name}"), bytes))
            .collect::<Vec<_>>()
    };
    let pages = [
        file("a/pages-1.img", &page("SHARED")),
        images("b"),
        hard_link("b/pages-1.img", "a/pages-1.img"),
        END.to_vec(),
    ];
    let tar = [images("a"), pages.concat()].concat();
    for bytes in [tar.clone(), zstd(&tar)] {
        let case = open(bytes, &mut Nobody);
        for dump in 0..2 {
            let seen = ask(&case, DumpId { evidence: 0, dump }, None);
            assert_eq!((seen.pages(), seen.gaps.len()), (vec!["SHARED".to_owned()], 0));
        }
    }
}

#[test]
fn a_link_to_nothing_is_a_gap_and_no_empty_file() {
    let tar = [
        dump_before_pages(1),
        hard_link("checkpoint/core-1.img", "gone"),
        hard_link("checkpoint/pages-1.img", "gone"),
        END.to_vec(),
    ];
    let seen = ask_all_ways(&tar.concat());
    assert!(seen.bytes.is_empty() && seen.gaps.len() == 1);
    let case = open(tar.concat(), &mut Nobody);
    let id = DumpId { evidence: 0, dump: 0 };
    let files = case.dump(id).image_files(case.evidence(id).index());
    assert!(
        files.has("core-1.img") && files.file("core-1.img").is_none() && files.size("core-1.img").is_none()
    );
    let gaps = &case.evidence(id).index().findings.gaps;
    assert_eq!(gaps.iter().filter(|gap| gap.why.contains("a hard link to 'gone'")).count(), 2, "{gaps:?}");
}

#[test]
fn what_is_no_file_is_no_image() {
    for kind in [b'2', b'3', b'5', b'6'] {
        let tar = [
            dump_before_pages(1),
            header("checkpoint/core-1.img", 0, kind, "inventory.img", &[]),
            END.to_vec(),
        ]
        .concat();
        let case = open(tar, &mut Nobody);
        let id = DumpId { evidence: 0, dump: 0 };
        let index = case.evidence(id).index();
        let files = case.dump(id).image_files(index);
        assert!(
            !files.has("core-1.img")
                && files.file("core-1.img").is_none()
                && !files.names().contains(&"core-1.img".into())
        );
        let (link, ..) =
            index.members().find(|(.., member)| split_path(&member.path).1 == b"core-1.img").unwrap();
        assert!(index.contents(link).is_none());
        assert!(
            case.evidences[0].member("checkpoint/core-1.img").unwrap_err().to_string().contains("is no file")
        );
    }
}
