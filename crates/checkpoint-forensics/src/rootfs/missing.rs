//! What it means when a checkpoint has no record of the root file system.

use std::ops::ControlFlow;

use container_checkpoint::context::Context;
use container_checkpoint::dump::Dump;
use container_checkpoint::evidence::{Body, Index, LayerId, nested};
use container_checkpoint::gap::Findings;
use container_checkpoint::oci;

use super::deletions::Deletions;

/// Gaps of the index that say that members behind may be lost.
const CUTS: &[&str] = &["the end of the archive", "the rest of the archive", "members"];
/// An empty tar packed by gzip has 29 bytes; one with a single header has more than this.
const EMPTY_LAYER_MAX: u64 = 64;

/// Explains the absence of a store for the root file system.
pub(super) fn explain(index: &Index, dump: &Dump, deletions: Deletions, context: &Context) -> Findings {
    let is_client_layout =
        dump.manifest.as_ref().is_some_and(|manifest| manifest.digest_of(oci::CRIU_TAR).is_some());
    if is_client_layout {
        return explain_layout(index, dump, context);
    }
    let mut findings = Findings::default();
    let what = "changes of the file system";
    let may_be_lost = index.findings.gaps.iter().any(|gap| CUTS.contains(&gap.what.as_str()));
    match deletions {
        Deletions::NotRecorded => {}
        _ if may_be_lost => findings.gap(what, "rootfs-diff.tar", "not in what is left of the archive"),
        Deletions::Listed => {
            findings.note(
                what,
                "rootfs-diff.tar",
                "absent: nothing was changed, or the checkpoint was made without them (--ignore-rootfs)",
            );
        }
        Deletions::Whiteouts => {
            findings.gap(what, "rootfs-diff.tar", "absent, although containerd always writes it")
        }
    }
    findings
}

/// In containerd's own layout the changes are a layer. One without members did not become a layer of the index.
fn explain_layout(index: &Index, dump: &Dump, context: &Context) -> Findings {
    let mut findings = Findings::default();
    let what = "changes of the file system";
    let descriptors =
        dump.manifest.as_ref().map(|manifest| manifest.descriptors.as_slice()).unwrap_or_default();
    let layer = descriptors
        .iter()
        .find(|(media_type, _)| media_type.contains("image.layer") || media_type.contains("rootfs.diff"));
    let Some((_, digest)) = layer else {
        findings.note(
            what,
            "the image's index",
            "absent: the checkpoint was made without the container's own layer (--rw)",
        );
        return findings;
    };
    let Some(id) = oci::blob_path(digest).and_then(|path| index.find(LayerId::TOP, &path)) else {
        findings.gap(what, digest.as_str(), "the blob is not in the layout");
        return findings;
    };
    let empty = "the container's own layer is empty: nothing was changed";
    match &index.member(id).body {
        Body::At(bytes) => {
            let walked = nested::walk_at(digest, bytes, context, &mut |_, _| Ok(ControlFlow::Continue(())));
            if walked.findings.gaps.is_empty() {
                findings.note(what, digest.as_str(), empty);
            }
            findings.extend(walked.findings);
        }
        _ if index.member(id).size <= EMPTY_LAYER_MAX => findings.note(what, digest.as_str(), empty),
        _ => findings.gap(what, digest.as_str(), "the layer can't be unpacked, or is no tar"),
    }
    findings
}
