//! Which member's bytes are taken for a page image.

use crate::asked::ask_all_ways;
use crate::made::*;

#[test]
fn of_two_page_images_of_one_name_only_the_later_one_is_shown() {
    let twice = |second: &[u8]| {
        let pages =
            [file("checkpoint/pages-1.img", &page("FORGED")), file("./checkpoint/pages-1.img", second)]
                .concat();
        ask_all_ways(&[dump_before_pages(1), pages, END.to_vec()].concat())
    };
    let seen = twice(&page("GENUINE"));
    assert_eq!((seen.pages(), seen.gaps.len()), (vec!["GENUINE".to_owned()], 0));
    let seen = twice(b"GEN");
    assert_eq!(seen.bytes, [(START, b"GEN".to_vec())]);
    assert!(seen.gaps[0].why.contains("4093 bytes"), "{:?}", seen.gaps);
}

#[test]
fn a_page_image_that_became_a_link_is_not_the_file_that_went_by() {
    let pages = [
        file("other", &page("LINKED")),
        file("checkpoint/pages-1.img", &page("FORGED")),
        hard_link("checkpoint/pages-1.img", "other"),
    ];
    let seen = ask_all_ways(&[dump_before_pages(1), pages.concat(), END.to_vec()].concat());
    assert_eq!((seen.pages(), seen.gaps.len()), (vec!["LINKED".to_owned()], 0));
}

/// In the first pass `blobs/x/status` is metadata that is kept; a second pass that takes it for an archive counts its members too.
#[test]
fn a_second_pass_numbers_members_as_the_first_one_did() {
    let inner = [file("evil/a", b"1"), file("evil/b", b"2"), file("evil/c", b"3"), END.to_vec()].concat();
    let pages = |number: u64, text: &str| file(&format!("checkpoint/pages-{number}.img"), &page(text));
    let tar = [
        file("checkpoint/inventory.img", &inventory()),
        file("blobs/x/status", &inner),
        file("checkpoint/mm-1.img", &plain_mm(1)),
        file("checkpoint/pstree.img", &pstree()),
        [pages(1, "OTHER1"), pages(2, "OTHER2"), pages(3, "OTHER3"), pages(4, "GENUINE")].concat(),
        file("checkpoint/pagemap-1.img", &pagemap(4, &[(START, 1, PRESENT)])),
        END.to_vec(),
    ];
    let seen = ask_all_ways(&tar.concat());
    assert_eq!((seen.pages(), seen.gaps.len()), (vec!["GENUINE".to_owned()], 0));
}

#[test]
fn a_name_record_names_no_member_behind_damage() {
    let mut damaged = header("lost", 0, b'0', "", &[]);
    damaged[0] ^= 1;
    let records =
        [record(b'L', b"checkpoint/pages-1.img\0"), record(b'x', &pax("path", "checkpoint/pages-1.img"))];
    for record in records {
        for between in [damaged.clone(), vec![0; 512]] {
            let tar = [
                dump_before_pages(1),
                record.clone(),
                between,
                file("etc/other", &page("OTHER")),
                END.to_vec(),
            ];
            let seen = ask_all_ways(&tar.concat());
            assert!(seen.bytes.is_empty() && seen.gaps.len() == 1, "{seen:?}");
        }
        let tar = [dump_before_pages(1), record, file("etc/other", &page("GENUINE")), END.to_vec()];
        assert_eq!(ask_all_ways(&tar.concat()).pages(), ["GENUINE"]);
    }
}
