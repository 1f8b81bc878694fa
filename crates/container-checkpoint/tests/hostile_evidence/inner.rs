//! Archives inside the archive, and what stands behind an archive's end.

use container_checkpoint::case::{Case, Choice};
use container_checkpoint::evidence::Nobody;
use container_checkpoint::gap::Findings;

use crate::made::*;

fn findings(case: &Case) -> &Findings {
    &case.evidences[0].evidence.index().findings
}

fn dump() -> Vec<u8> {
    [dump_before_pages(1), END.to_vec()].concat()
}

#[test]
fn an_inner_archive_that_can_t_be_unpacked_is_a_gap() {
    let mut broken = zstd(&dump());
    broken[6..].fill(0xff);
    for name in ["inner.tar.zst", "blobs/sha256/aa", "containers/a.tar"] {
        let tar = [dump_before_pages(1), file(name, &broken), END.to_vec()].concat();
        for bytes in [tar.clone(), zstd(&tar)] {
            let case = open(bytes, &mut Nobody);
            let gaps = &findings(&case).gaps;
            let told = gaps.iter().any(|gap| gap.place.contains(name) && gap.what.contains("archive"));
            assert!(told, "{name}: {gaps:?}");
        }
    }
    // When that was all there is, the message says so.
    let case = open([file("blobs/sha256/aa", &broken), END.to_vec()].concat(), &mut Nobody);
    let message = case.evidences[0].chosen(Choice::One).unwrap_err().to_string();
    assert!(message.contains("blobs/sha256/aa") && message.contains("zstd"), "{message}");
}

#[test]
fn what_a_manifest_lists_and_the_layout_lacks_is_a_gap() {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let index = format!(
        r#"{{"manifests":[{{"mediaType":"{MANIFEST}","digest":"sha256:aa"}},{{"mediaType":"{MANIFEST}","digest":"sha256:ee"}}]}}"#
    );
    let manifest =
        r#"{"layers":[{"mediaType":"x","digest":"sha256:bb"},{"mediaType":"x","digest":"sha256:cc"}]}"#;
    let layout = [
        file("index.json", index.as_bytes()),
        file("blobs/sha256/aa", manifest.as_bytes()),
        file("blobs/sha256/bb", &dump()),
        END.to_vec(),
    ];
    let case = open(layout.concat(), &mut Nobody);
    // A manifest of another platform is often left out; a layer never is.
    let places: Vec<_> = findings(&case).gaps.iter().map(|gap| gap.place.as_str()).collect();
    assert_eq!(places, ["sha256:cc"]);
    let case = open([file("index.json", b"{\"manifests\":["), dump()].concat(), &mut Nobody);
    assert!(findings(&case).gaps.iter().any(|gap| gap.place == "index.json"));
}

#[test]
fn checksums_behind_the_end_mark_are_read() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &dump()).unwrap();
    let whole = encoder.finish().unwrap();
    assert!(findings(&open(whole.clone(), &mut Nobody)).gaps.is_empty());
    let mut wrong = whole;
    let checksum = wrong.len() - 8;
    wrong[checksum] ^= 1;
    let case = open(wrong, &mut Nobody);
    assert_eq!(case.evidences[0].dumps.len(), 1);
    assert!(
        findings(&case).gaps.iter().any(|gap| gap.place.contains("behind the end mark")),
        "{:?}",
        findings(&case)
    );
}

#[test]
fn bytes_behind_the_end_mark_are_noted() {
    let padded = [dump(), vec![0; 10240]].concat();
    assert!(findings(&open(zstd(&padded), &mut Nobody)).notes.is_empty());
    let hidden = [padded, file("hidden", b"x")].concat();
    assert!(
        findings(&open(zstd(&hidden), &mut Nobody)).notes.iter().any(|note| note.place.contains("end mark"))
    );
}
