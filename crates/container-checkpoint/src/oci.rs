//! Image layouts: which blob is what.
//!
//! Two shapes hold checkpoints: an ordinary image, one layer of which is the archive that an engine writes (annotations stand on
//! its manifest), and containerd's own index, whose descriptors are the parts of the checkpoint.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::evidence::{Index, LayerId};
use crate::gap::Findings;

/// The media type that containerd gives to the images of a dump.
pub const CRIU_TAR: &str = "application/vnd.containerd.container.criu.checkpoint.criu.tar";
/// The media type that containerd gives to the runtime specification of the container.
pub const CONFIG_PROTO: &str = "application/vnd.containerd.container.checkpoint.config.v1+proto";
/// The media type of runtime options: the path of the runtime's binary stands in them.
pub const RUNTIME_OPTIONS_PROTO: &str =
    "application/vnd.containerd.container.checkpoint.runtime.options+proto";

/// The most manifests and indexes that one layout is followed through.
const DOCUMENTS_MAX: usize = 1000;

/// The most bytes of all these documents together: as trees they take a multiple of it.
const DOCUMENTS_BYTES_MAX: u64 = 16 << 20;

/// How many parts that are not there are told one by one.
const MISSING_TOLD: usize = 20;

/// Annotations that stand in one place.
type Annotations = Vec<(String, String)>;

/// One manifest or index: what it says of itself, and what it lists.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// Its own annotations, and those of the descriptors that lead to it, innermost last. What leads to many is kept once.
    annotations: Vec<Arc<Annotations>>,
    /// Media type and digest of each descriptor, in its order.
    pub descriptors: Vec<(String, String)>,
}

impl Manifest {
    /// Its own annotations, and those of the descriptors that lead to it, innermost last.
    pub fn annotations(&self) -> impl Iterator<Item = &(String, String)> {
        self.annotations.iter().flat_map(|group| group.iter())
    }

    /// The digest of the first descriptor of a media type.
    pub fn digest_of(&self, media_type: &str) -> Option<&str> {
        self.descriptors.iter().find(|(found, _)| found == media_type).map(|(_, digest)| digest.as_str())
    }
}

/// Where a digest's blob lies in the layout: `sha256:HEX` is `blobs/sha256/HEX`.
pub fn blob_path(digest: &str) -> Option<Vec<u8>> {
    let (algorithm, hex) = digest.split_once(':')?;
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (plain(algorithm) && plain(hex)).then(|| format!("blobs/{algorithm}/{hex}").into_bytes())
}

/// All manifests that are reached from the layout's `index.json`, breadth first. Empty when there is no layout.
pub(crate) fn manifests(index: &Index, findings: &mut Findings) -> Vec<Arc<Manifest>> {
    let mut found = Vec::new();
    let mut documents = Documents { index, count: 0, bytes: 0, bad: Vec::new(), is_full: false };
    let mut pending: VecDeque<_> =
        documents.read(b"index.json").map(|start| (start, Vec::new())).into_iter().collect();
    let mut seen = HashSet::new();
    let mut missing = Vec::new();
    while let Some((document, mut annotations)) = pending.pop_front() {
        add_annotations(&document, &mut annotations);
        let mut descriptors = Vec::new();
        for descriptor in
            ["manifests", "layers"].iter().filter_map(|key| document.get(key)?.as_array()).flatten()
        {
            let text = |key: &str| descriptor.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (media_type, digest) = (text("mediaType"), text("digest"));
            let is_document = media_type.ends_with("+json") || media_type.ends_with(".list.v2+json");
            if is_document
                && seen.insert(digest.clone())
                && let Some(inner) = blob_path(&digest).and_then(|path| documents.read(&path))
            {
                let mut led_by = annotations.clone();
                add_annotations(descriptor, &mut led_by);
                pending.push_back((inner, led_by));
            }
            if !is_document && !documents.has(&digest) {
                missing.push(digest.clone());
            }
            if !digest.is_empty() {
                descriptors.push((media_type, digest));
            }
        }
        found.push(Arc::new(Manifest { annotations, descriptors }));
    }
    missing.sort();
    missing.dedup();
    let more = missing.len().saturating_sub(MISSING_TOLD);
    for digest in missing.into_iter().take(MISSING_TOLD) {
        findings.gap("a part of the image", digest, "a manifest lists it, and it is not in the layout");
    }
    if more > 0 {
        findings.gap("parts of the image", "blobs", format!("{more} more are listed and not in the layout"));
    }
    for (path, error) in &documents.bad {
        findings.gap("a manifest", path.as_str(), error);
    }
    if documents.is_full {
        let why = format!(
            "more than {DOCUMENTS_MAX} manifests, or {DOCUMENTS_BYTES_MAX} bytes of them; the rest is not looked at"
        );
        findings.gap("manifests", "index.json", why);
    }
    found
}

/// The documents of a layout, read as far as there is room.
struct Documents<'a> {
    index: &'a Index,
    count: usize,
    bytes: u64,
    /// Those that make no sense, and why.
    bad: Vec<(String, serde_json::Error)>,
    /// Some were left out.
    is_full: bool,
}

impl Documents<'_> {
    fn read(&mut self, path: &[u8]) -> Option<Value> {
        let id = self.index.find(LayerId::TOP, path)?;
        let size = self.index.member(self.index.resolved(id)).size;
        if self.count == DOCUMENTS_MAX || self.bytes.saturating_add(size) > DOCUMENTS_BYTES_MAX {
            self.is_full = true;
            return None;
        }
        let bytes = self.index.contents(id)?;
        self.count += 1;
        self.bytes += size;
        let path = || String::from_utf8_lossy(path).into_owned();
        serde_json::from_slice(&bytes).map_err(|error| self.bad.push((path(), error))).ok()
    }

    /// Whether the layout has a blob.
    fn has(&self, digest: &str) -> bool {
        blob_path(digest).is_some_and(|path| self.index.find(LayerId::TOP, &path).is_some())
    }
}

/// Which layer of the index a digest's blob became, for all that became one.
pub fn layers_by_digest(index: &Index) -> HashMap<String, LayerId> {
    let digest =
        |origin: &[u8]| Some(std::str::from_utf8(origin).ok()?.strip_prefix("blobs/")?.replacen('/', ":", 1));
    index.layers().filter_map(|(id, layer)| Some((digest(&layer.origin)?, id))).collect()
}

fn add_annotations(document: &Value, to: &mut Vec<Arc<Annotations>>) {
    let annotations = document.get("annotations").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    let own: Annotations = annotations.into_iter().flatten().filter_map(text).collect();
    if !own.is_empty() {
        to.push(Arc::new(own));
    }
}
