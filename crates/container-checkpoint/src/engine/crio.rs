//! CRI-O: ten fields in `config.dump`, the rest in annotations of `spec.dump`, some of them JSON inside a
//! text.

use super::document::Document;
use super::facts::{agree, first};
use super::kubernetes_name::{KubernetesName, part};
use super::network::address_of;
use super::sources::Sources;
use super::{members, spec};
use crate::container::{ContainerInfo, Interface, InterfaceAddress, Network};
use crate::gap::Field;

/// What CRI-O's annotations begin with.
const PREFIX: &str = "io.kubernetes.cri-o.";

/// Reads what CRI-O wrote. It does not record when the container was started.
pub(super) fn fill(info: &mut ContainerInfo, sources: &Sources<'_>) {
    let (config, findings) = (&sources.config, sources.findings);
    config.expect();
    sources.spec.expect();
    spec::fill(info, &sources.spec);

    let annotation = |key: &str| sources.spec.text(&["annotations", key]);
    let own = |key: &str| annotation(&format!("{PREFIX}{key}"));
    let nested = |key: &str| sources.spec.nested(&["annotations", &format!("{PREFIX}{key}")]);
    let metadata = nested("Metadata");

    info.full_name = agree(
        findings,
        "full name",
        vec![
            ("config.dump: name", config.text(&["name"])),
            ("spec.dump: annotation io.kubernetes.cri-o.Name", own("Name")),
        ],
    );
    // The name in config.dump is made by CRI-O alone; a client of the CRI can overwrite annotations.
    let name = info.full_name.known().and_then(|name| KubernetesName::split(name, "k8s_"));
    let name = name.as_ref();
    let by_name = "config.dump: name";
    info.name = agree(
        findings,
        "container name",
        vec![
            (by_name, part(name, |name| name.container.clone())),
            ("spec.dump: annotation io.kubernetes.cri-o.Metadata", metadata.text(&["name"])),
            (
                "spec.dump: annotation io.kubernetes.container.name",
                annotation("io.kubernetes.container.name"),
            ),
        ],
    );
    info.attempt = agree(
        findings,
        "attempt",
        vec![
            (by_name, part(name, |name| name.attempt)),
            ("spec.dump: annotation io.kubernetes.cri-o.Metadata", attempt(&metadata)),
        ],
    );
    for (field, what, key, of_name) in [
        (&mut info.pod.name, "pod name", "name", part(name, |name| name.pod.clone())),
        (&mut info.pod.namespace, "pod namespace", "namespace", part(name, |name| name.namespace.clone())),
        (&mut info.pod.uid, "pod uid", "uid", part(name, |name| name.uid.clone())),
    ] {
        let key = format!("io.kubernetes.pod.{key}");
        let place = format!("spec.dump: annotation {key}");
        *field = agree(findings, what, vec![(by_name, of_name), (&place, annotation(&key))]);
    }
    info.pod.id = Field::NotApplicable;
    info.pod.sandbox_id = own("SandboxID");
    info.id = agree(
        findings,
        "container id",
        vec![
            ("config.dump: id", config.text(&["id"])),
            ("spec.dump: annotation io.kubernetes.cri-o.ContainerID", own("ContainerID")),
        ],
    );
    info.image.requested = first([config.text(&["rootfsImage"]), own("Image")]);
    info.image.name = first([config.text(&["rootfsImageName"]), own("ImageName")]);
    info.image.id = first([config.text(&["rootfsImageRef"]), own("ImageRef")]);
    info.image.repo_digests = own("ImageRepoDigests").map(|digests| {
        digests.split([',', ' ']).filter(|digest| !digest.is_empty()).map(str::to_owned).collect()
    });
    info.runtime = config.text(&["runtime"]);
    info.created = config.time(&["createdTime"]);
    info.created_annotation = own("Created");
    info.checkpointed = config.time(&["checkpointedTime"]);
    info.restored = config.flag(&["restored"]);
    info.networks = networks(sources);
    let labels = nested("Labels");
    info.labels = labels.pairs(&[]);
    let annotations = nested("Annotations");
    info.kubernetes_annotations = annotations.pairs(&[]);
    info.bind_mounts = members::bind_mounts(sources);
    info.deleted_files = members::deleted_files(sources);
    info.log_path = own("LogPath");
}

/// The attempt in `{"name":"counter","attempt":1}`; Go leaves a 0 out.
fn attempt(metadata: &Document<'_>) -> Field<u32> {
    match metadata.number(&["attempt"]) {
        Field::NotCaptured if metadata.is_whole() => Field::Known(0),
        other => other,
    }
}

/// The addresses, in annotations `….IP.0`, `….IP.1` and so on: no network's name, no hardware address.
fn networks(sources: &Sources<'_>) -> Field<Vec<Network>> {
    let prefix = format!("{PREFIX}IP.");
    let keys = sources.annotation_keys(&prefix).into_iter();
    let mut numbered: Vec<(u32, &str)> =
        keys.filter_map(|key| Some((key[prefix.len()..].parse().ok()?, key))).collect();
    numbered.sort_unstable();
    let mut addresses = Vec::new();
    for (_, key) in numbered {
        let place = ["annotations", key];
        if let Some(address) =
            address_of(&sources.spec, &place, sources.spec.text(&place).known().map(String::as_str))
        {
            addresses.push(InterfaceAddress { address, prefix: None, gateway: None });
        }
    }
    if addresses.is_empty() {
        return sources.spec.nothing();
    }
    Field::Known(vec![Network {
        name: None,
        interfaces: vec![Interface { addresses, ..Interface::default() }],
    }])
}
