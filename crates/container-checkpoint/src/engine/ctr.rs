//! containerd's own client, `ctr containers checkpoint`: an OCI index with a blob for the runtime spec, and
//! no metadata beyond.

use super::facts::then;
use super::oci::{OciFacts, any, field};
use super::sources::Sources;
use super::spec;
use crate::container::ContainerInfo;
use crate::gap::Field;

/// Reads what the index and its blobs say. Name, times, labels and addresses are not recorded.
pub(super) fn fill(info: &mut ContainerInfo, sources: &Sources<'_>) {
    spec::fill(info, &sources.spec);
    let Some(oci) = sources.oci else { return };
    let annotation = |key: &str| Field::from(oci.annotation(key).map(str::to_owned));

    // `/NAMESPACE/ID` is the only place that has the id. With --cgroup-parent or a path of the user's it has
    // another form.
    if let Some((namespace, id)) = info.cgroup_path.known().and_then(|path| namespace_and_id(path)) {
        info.full_name = Field::Known(format!("{namespace}/{id}"));
        info.id = Field::Known(id.to_owned());
    }
    info.image.requested = annotation("org.opencontainers.image.ref.name");
    info.image.name = info.image.requested.clone();
    info.image.manifest_digest = manifest(oci).into();
    info.runtime = annotation("io.containerd.checkpoint.runtime");
    info.runtime_binary = runtime_binary(oci, sources);
    info.deleted_files = Field::NotApplicable;
}

fn namespace_and_id(path: &str) -> Option<(&str, &str)> {
    let (namespace, id) = path.strip_prefix('/')?.split_once('/')?;
    (!namespace.is_empty() && !id.is_empty() && !id.contains('/')).then_some((namespace, id))
}

/// With --image the container's own image is among the parts: its manifest, or its index.
fn manifest(oci: &OciFacts) -> Option<String> {
    const TYPES: [&str; 4] = [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ];
    let mut digests = oci.descriptors.iter().filter(|(media_type, _)| TYPES.contains(&media_type.as_str()));
    digests.next().map(|(_, digest)| digest.clone()).filter(|digest| !digest.is_empty())
}

/// `containerd.runc.v1.Options.binary_name`, field 6.
fn runtime_binary(oci: &OciFacts, sources: &Sources<'_>) -> Field<String> {
    const TYPE: &str = "containerd.runc.v1.Options";
    let Some(blob) = oci.runtime_options.as_deref() else { return Field::NotCaptured };
    let unparsable = |why: &str| {
        sources.findings.borrow_mut().gap("container metadata", "runtime options blob", why);
        Field::Unparsable(why.to_owned())
    };
    let Some((url, options)) = any(blob) else { return unparsable("no protobuf Any") };
    if url.rsplit('/').next() != Some(TYPE) {
        return Field::NotCaptured; // another runtime's options
    }
    let binary = match field(options, 6) {
        Some(binary) => Field::from(binary),
        None => return unparsable("the options are no protobuf message"),
    };
    then(binary, |binary| match std::str::from_utf8(binary) {
        Ok("") => Field::NotCaptured,
        Ok(binary) => Field::Known(binary.to_owned()),
        Err(_) => unparsable("the binary's name is not UTF-8"),
    })
}
