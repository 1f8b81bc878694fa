//! Which dump is taken for the parent of another.

use container_checkpoint::case::DumpId;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::memory::Memory;

use crate::asked::{Seen, ask};
use crate::made::*;

/// A dump whose one page is in `pre-checkpoint`.
fn child(config: &str) -> Vec<u8> {
    let images = [
        file("config.dump", config.as_bytes()),
        file("checkpoint/inventory.img", &inventory()),
        symlink("checkpoint/parent", "../pre-checkpoint"),
        file("checkpoint/mm-1.img", &plain_mm(1)),
        file("checkpoint/pagemap-1.img", &pagemap(1, &[(START, 1, PARENT)])),
        file("checkpoint/pstree.img", &pstree()),
    ];
    [images.concat(), END.to_vec()].concat()
}

fn parent(config: &str, text: &str) -> Vec<u8> {
    let images = [
        file("config.dump", config.as_bytes()),
        file("pre-checkpoint/inventory.img", &inventory()),
        file("pre-checkpoint/pagemap-1.img", &pagemap(1, &[(START, 1, PRESENT)])),
        file("pre-checkpoint/pages-1.img", &page(text)),
    ];
    [images.concat(), END.to_vec()].concat()
}

fn ask_child(all: Vec<Vec<u8>>) -> (Seen, Memory) {
    let case = open_all(all, &mut Nobody);
    let id = DumpId { evidence: 0, dump: 0 };
    (ask(&case, id, None), Memory::of(&case, id))
}

const OWN: &str = r#"{"id":"aaaa"}"#;
const OTHER: &str = r#"{"id":"bbbb"}"#;

#[test]
fn another_container_s_pages_are_never_taken() {
    let (seen, memory) = ask_child(vec![child(OWN), parent(OTHER, "SECRET")]);
    assert!(seen.bytes.is_empty() && seen.gaps.iter().any(|gap| gap.what == "the parent dump"), "{seen:?}");
    assert!(memory.findings.notes.iter().any(|note| note.what == "not the parent dump"));
    // The own one is found beside it, whatever the order.
    for all in [
        vec![child(OWN), parent(OTHER, "SECRET"), parent(OWN, "OWN")],
        vec![child(OWN), parent(OWN, "OWN"), parent(OTHER, "SECRET")],
    ] {
        let (seen, _) = ask_child(all);
        assert_eq!((seen.pages(), seen.gaps.len()), (vec!["OWN".to_owned()], 0));
    }
}

#[test]
fn a_parent_by_its_name_alone_is_noted() {
    let (seen, memory) = ask_child(vec![child("{}"), parent(OTHER, "MAYBE")]);
    assert_eq!(seen.pages(), ["MAYBE"]);
    assert!(memory.findings.notes.iter().any(|note| note.why.contains("by the name of its directory alone")));
    let (seen, memory) = ask_child(vec![child(OWN), parent(OWN, "OWN")]);
    assert_eq!(seen.pages(), ["OWN"]);
    assert!(memory.findings.notes.is_empty(), "{:?}", memory.findings);
}

#[test]
fn a_chain_that_is_too_long_is_a_gap_and_one_that_bites_its_tail_a_note() {
    let dump = |number: usize, parent: usize| {
        let flags = if number == parent { PRESENT } else { PARENT };
        let images = [
            file(&format!("{number:05}/inventory.img"), &inventory()),
            file(&format!("{number:05}/pagemap-1.img"), &pagemap(1, &[(START, 1, flags)])),
            symlink(&format!("{number:05}/parent"), &format!("../{parent:05}")),
        ];
        images.concat()
    };
    let chain: Vec<u8> = (0..1200).flat_map(|number| dump(number, number + 1)).chain(END).collect();
    let case = open(chain, &mut Nobody);
    let memory = Memory::of(&case, DumpId { evidence: 0, dump: 0 });
    assert_eq!(memory.ancestry.len(), 1000);
    assert!(memory.findings.gaps.iter().any(|gap| gap.why.contains("more than 1000 parents")));
    let circle = [dump(0, 1), dump(1, 0), END.to_vec()].concat();
    let memory = Memory::of(&open(circle, &mut Nobody), DumpId { evidence: 0, dump: 0 });
    assert_eq!(memory.ancestry.len(), 2);
    assert!(memory.findings.notes.iter().any(|note| note.what.contains("loop")));
}
