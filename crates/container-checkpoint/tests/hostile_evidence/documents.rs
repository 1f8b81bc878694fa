//! JSON documents: trees of them take a multiple of their bytes.

use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::evidence::Nobody;

use crate::made::*;

fn gap(case: &Case, what: &str) -> bool {
    case.evidences[0].evidence.index().findings.gaps.iter().any(|gap| gap.what == what)
}

#[test]
fn a_document_larger_than_any_engine_writes_is_a_gap() {
    let large = [b"{\"id\":\"a\",\"x\":[".to_vec(), b"0,".repeat(3 << 20), b"0]}".to_vec()].concat();
    for name in ["config.dump", "index.json", "blobs/sha256/aa"] {
        let tar = [dump_before_pages(1), file(name, &large), END.to_vec()].concat();
        for bytes in [tar.clone(), zstd(&tar)] {
            let case = open(bytes, &mut Nobody);
            let index = case.evidences[0].evidence.index();
            let (id, ..) = index.members().find(|(.., member)| member.path == name.as_bytes()).unwrap();
            assert!(index.contents(id).is_none(), "{name}");
            assert!(gap(&case, "a metadata member") || name.starts_with("blobs"), "{name}");
        }
    }
    // Nor under another name that a link makes one.
    let tar =
        [file("store/c", &large), hard_link("config.dump", "store/c"), dump_before_pages(1), END.to_vec()]
            .concat();
    let case = open(tar, &mut Nobody);
    let (_, findings) = Checkpoint::new(&case, DumpId { evidence: 0, dump: 0 }).container();
    assert!(findings.gaps.iter().any(|gap| gap.place.contains("config.dump")), "{findings:?}");
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layout whose index leads to so many manifests, each of which lists the layer so often.
fn layout(manifests: usize, annotation: &str, listed: usize) -> Vec<u8> {
    let name = |number: usize| format!("{number:064x}");
    let descriptors: Vec<_> = (0..manifests)
        .map(|number| format!(r#"{{"mediaType":"{MANIFEST}","digest":"sha256:{}"}}"#, name(number)))
        .collect();
    let index =
        format!(r#"{{"annotations":{{"who":"{annotation}"}},"manifests":[{}]}}"#, descriptors.join(","));
    let layers = vec![r#"{"mediaType":"x","digest":"sha256:ff"}"#; listed].join(",");
    let manifest = format!(r#"{{"annotations":{{"of":"manifest"}},"layers":[{layers}]}}"#);
    let blobs = (0..manifests)
        .flat_map(|number| file(&format!("blobs/sha256/{}", name(number)), manifest.as_bytes()));
    let layer = [dump_before_pages(1), END.to_vec()].concat();
    let all =
        file("index.json", index.as_bytes()).into_iter().chain(blobs).chain(file("blobs/sha256/ff", &layer));
    all.chain(END).collect()
}

#[test]
fn annotations_are_inherited_and_layers_listed_twice_count_once() {
    let case = open(layout(2, "index", 1000), &mut Nobody);
    let dump = case.dump(DumpId { evidence: 0, dump: 0 });
    assert_eq!(dump.layers.len(), 1);
    let annotations: Vec<_> =
        dump.manifest.as_ref().unwrap().annotations().map(|(_, value)| value.as_str()).collect();
    assert_eq!(annotations, ["index", "manifest"]);
    assert!(case.evidences[0].evidence.index().findings.gaps.is_empty());
}

#[test]
fn all_manifests_together_have_a_bound() {
    let case = open(layout(8, &"A".repeat(3 << 20), 1 << 16), &mut Nobody);
    assert_eq!(case.evidences[0].dumps.len(), 1);
    assert!(gap(&case, "manifests"));
}
