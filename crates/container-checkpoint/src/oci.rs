//! Image layouts: which blob is what.
//!
//! Two shapes hold checkpoints: an ordinary image, one layer of which is the archive that an engine writes (annotations stand on
//! its manifest), and containerd's own index, whose descriptors are the parts of the checkpoint.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::Value;

use crate::evidence::{Index, LayerId};

/// The media type that containerd gives to the images of a dump.
pub const CRIU_TAR: &str = "application/vnd.containerd.container.criu.checkpoint.criu.tar";
/// The media type that containerd gives to the runtime specification of the container.
pub const CONFIG_PROTO: &str = "application/vnd.containerd.container.checkpoint.config.v1+proto";
/// The media type of runtime options: the path of the runtime's binary stands in them.
pub const RUNTIME_OPTIONS_PROTO: &str = "application/vnd.containerd.container.checkpoint.runtime.options+proto";

/// The most manifests and indexes that one layout is followed through.
const DOCUMENTS_MAX: usize = 1000;

/// One manifest or index: what it says of itself, and what it lists.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// Its own annotations, and those of the descriptors that lead to it, innermost last.
    pub annotations: Vec<(String, String)>,
    /// Media type and digest of each descriptor, in its order.
    pub descriptors: Vec<(String, String)>,
}

impl Manifest {
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
pub fn manifests(index: &Index) -> Vec<Manifest> {
    let mut found = Vec::new();
    let Some(start) = index.find(LayerId::TOP, b"index.json").and_then(|id| index.contents(id)) else { return found };
    let Ok(start) = serde_json::from_slice::<Value>(&start) else { return found };
    let mut pending = VecDeque::from([(start, Vec::new())]);
    let mut seen = HashSet::new();
    while let Some((document, inherited)) = pending.pop_front() {
        let mut annotations = inherited;
        annotations.extend(annotations_of(&document));
        let mut descriptors = Vec::new();
        for key in ["manifests", "layers"] {
            for descriptor in document.get(key).and_then(Value::as_array).into_iter().flatten() {
                let text = |key: &str| descriptor.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                let (media_type, digest) = (text("mediaType"), text("digest"));
                let is_document = media_type.ends_with("+json") || media_type.ends_with(".list.v2+json");
                if is_document && found.len() + pending.len() < DOCUMENTS_MAX && seen.insert(digest.clone()) {
                    let inner = blob_path(&digest)
                        .and_then(|path| index.find(LayerId::TOP, &path))
                        .and_then(|id| index.contents(id))
                        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
                    if let Some(inner) = inner {
                        let mut led_by = annotations.clone();
                        led_by.extend(annotations_of(descriptor));
                        pending.push_back((inner, led_by));
                    }
                }
                descriptors.push((media_type, digest));
            }
        }
        found.push(Manifest { annotations, descriptors });
    }
    found
}

/// Which layer of the index a digest's blob became, for all that became one.
pub fn layers_by_digest(index: &Index) -> HashMap<String, LayerId> {
    let digest = |origin: &[u8]| Some(std::str::from_utf8(origin).ok()?.strip_prefix("blobs/")?.replacen('/', ":", 1));
    index.layers().filter_map(|(id, layer)| Some((digest(&layer.origin)?, id))).collect()
}

fn annotations_of(document: &Value) -> Vec<(String, String)> {
    let annotations = document.get("annotations").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    annotations.into_iter().flatten().filter_map(text).collect()
}
