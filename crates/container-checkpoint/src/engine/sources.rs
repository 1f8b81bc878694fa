//! All metadata of one checkpoint, each file opened once.

use std::cell::RefCell;

use super::document::Document;
use super::oci::{OciFacts, any};
use crate::files::FileSet;
use crate::gap::Findings;

/// The metadata files, parsed as far as they go. What a file lacks is known only when the engine is.
pub(super) struct Sources<'a> {
    /// The engine's files around the images.
    pub(super) bundle: &'a dyn FileSet,
    /// The image directory.
    pub(super) images: &'a dyn FileSet,
    /// The OCI layout around both.
    pub(super) oci: Option<&'a OciFacts>,
    /// `config.dump`: the engine's configuration of the container.
    pub(super) config: Document<'a>,
    /// The OCI runtime spec.
    pub(super) spec: Document<'a>,
    /// containerd's `status`.
    pub(super) status: Document<'a>,
    /// containerd's `status.dump`.
    pub(super) cri_status: Document<'a>,
    /// Docker's `config.v2.json`.
    pub(super) docker: Document<'a>,
    /// Docker's `hostconfig.json`.
    pub(super) host_config: Document<'a>,
    /// What turns up on the way.
    pub(super) findings: &'a RefCell<Findings>,
}

impl<'a> Sources<'a> {
    /// Opens all files that there are.
    pub(super) fn load(
        bundle: &'a dyn FileSet,
        images: &'a dyn FileSet,
        oci: Option<&'a OciFacts>,
        findings: &'a RefCell<Findings>,
    ) -> Self {
        let load = |name| Document::load(bundle, name, findings);
        // The name is a common one: a file so named means something only among the engine's others.
        let status = if ["config.dump", "spec.dump", "status.dump"].iter().any(|name| bundle.has(name)) {
            load("status")
        } else {
            Document::absent("status", findings)
        };
        Self {
            bundle,
            images,
            oci,
            config: load("config.dump"),
            spec: spec(bundle, oci, findings),
            status,
            cri_status: load("status.dump"),
            docker: load("config.v2.json"),
            host_config: load("hostconfig.json"),
            findings,
        }
    }

    /// Whether the bundle has a file of one of these names.
    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.bundle.has(name))
    }

    /// An annotation of the runtime spec.
    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.spec.get(&["annotations", key])?.as_str()
    }

    /// The keys of the runtime spec's annotations that begin with a prefix.
    pub(super) fn annotation_keys(&self, prefix: &str) -> Vec<&str> {
        let map = self.spec.get(&["annotations"]).and_then(serde_json::Value::as_object);
        map.into_iter()
            .flat_map(|map| map.keys())
            .map(String::as_str)
            .filter(|key| key.starts_with(prefix))
            .collect()
    }
}

/// The runtime spec: `spec.dump`; in Podman's own directory `config.json`, told from other files of that name
/// by `ociVersion`; in containerd's image the configuration blob.
fn spec<'a>(bundle: &dyn FileSet, oci: Option<&OciFacts>, findings: &'a RefCell<Findings>) -> Document<'a> {
    const NAME: &str = "spec.dump";
    if bundle.has(NAME) {
        return Document::load(bundle, NAME, findings);
    }
    if let Some(blob) = oci.and_then(|oci| oci.runtime_spec.as_deref()) {
        let json = any(blob).map_or(blob, |(_, value)| value);
        return Document::parse("configuration blob".to_owned(), json, findings);
    }
    if bundle.has("config.json") {
        let aside = RefCell::default();
        let document = Document::load(bundle, "config.json", &aside);
        if document.get(&["ociVersion"]).is_some() || document.get(&["process"]).is_some() {
            return Document::load(bundle, "config.json", findings);
        }
    }
    Document::absent(NAME, findings)
}
