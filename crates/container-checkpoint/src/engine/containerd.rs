//! containerd's CRI service: ten fields in `config.dump`, CRI's own view in `status.dump`, containerd's in
//! `status`.

use super::facts::{agree, first, then};
use super::kubernetes_name::{KubernetesName, part};
use super::sources::Sources;
use super::spec;
use crate::container::{ContainerInfo, Timestamp};
use crate::gap::Field;

/// CRI's container states, by number.
const STATES: [&str; 4] = ["created", "running", "exited", "unknown"];

/// Reads what containerd wrote. It records no address, and before 2.1 neither status file.
pub(super) fn fill(info: &mut ContainerInfo, sources: &Sources<'_>) {
    let Sources { config, status, cri_status: cri, findings, .. } = sources;
    config.expect();
    sources.spec.expect();
    spec::fill(info, &sources.spec);
    let annotation = |key: &str| sources.spec.text(&["annotations", &format!("io.kubernetes.cri.{key}")]);

    info.id = agree(
        findings,
        "container id",
        vec![("config.dump: id", config.text(&["id"])), ("status.dump: id", cri.text(&["id"]))],
    );
    info.full_name = config.text(&["name"]);
    let name = info.full_name.known().and_then(|name| KubernetesName::split(name, ""));
    let name = name.as_ref();
    let by_name = "config.dump: name";
    info.name = agree(
        findings,
        "container name",
        vec![
            (by_name, part(name, |name| name.container.clone())),
            ("status.dump: metadata → name", cri.text(&["metadata", "name"])),
            ("spec.dump: annotation io.kubernetes.cri.container-name", annotation("container-name")),
        ],
    );
    let cri_attempt = match cri.get(&["metadata"]) {
        Some(_) => match cri.number(&["metadata", "attempt"]) {
            Field::NotCaptured => Field::Known(0), // Go leaves a 0 out
            other => other,
        },
        None => cri.nothing(),
    };
    info.attempt = agree(
        findings,
        "attempt",
        vec![(by_name, part(name, |name| name.attempt)), ("status.dump: metadata → attempt", cri_attempt)],
    );
    for (field, what, key, label, of_name) in [
        (&mut info.pod.name, "pod name", "sandbox-name", "name", part(name, |name| name.pod.clone())),
        (
            &mut info.pod.namespace,
            "pod namespace",
            "sandbox-namespace",
            "namespace",
            part(name, |name| name.namespace.clone()),
        ),
        (&mut info.pod.uid, "pod uid", "sandbox-uid", "uid", part(name, |name| name.uid.clone())),
    ] {
        let annotation_place = format!("spec.dump: annotation io.kubernetes.cri.{key}");
        let label_place = format!("status.dump: label io.kubernetes.pod.{label}");
        let labelled = cri.text(&["labels", &format!("io.kubernetes.pod.{label}")]);
        *field = agree(
            findings,
            what,
            vec![(by_name, of_name), (&annotation_place, annotation(key)), (&label_place, labelled)],
        );
    }
    info.pod.id = Field::NotApplicable;
    info.pod.sandbox_id = annotation("sandbox-id");

    info.image.requested =
        first([config.text(&["rootfsImage"]), cri.text(&["image", "user_specified_image"])]);
    info.image.name =
        first([config.text(&["rootfsImageName"]), cri.text(&["image", "image"]), annotation("image-name")]);
    image_reference(info, first([cri.text(&["image_ref"]), config.text(&["rootfsImageRef"])]));
    if let known @ Field::Known(_) = cri.text(&["image_id"]) {
        info.image.id = known;
    }
    info.runtime = config.text(&["runtime"]);

    info.created = first([config.time(&["createdTime"]), cri.nanoseconds(&["created_at"])]);
    info.started =
        agree_on_time(sources, status.nanoseconds(&["StartedAt"]), cri.nanoseconds(&["started_at"]));
    info.checkpointed = config.time(&["checkpointedTime"]);
    info.restored = restored(sources);
    let state = match cri.number::<usize>(&["state"]) {
        Field::NotCaptured if cri.is_whole() => Field::Known(0), // Go leaves a 0 out
        other => other,
    };
    info.state = then(state, |number| match STATES.get(number) {
        Some(state) => Field::Known((*state).to_owned()),
        None => cri.unparsable(&["state"], format!("no state has the number {number}")),
    });
    info.init_host_pid = match status.number(&["Pid"]) {
        Field::Known(0) => Field::NotCaptured,
        other => other,
    };
    info.labels = cri.or_empty(cri.pairs(&["labels"]));
    info.kubernetes_annotations = cri.or_empty(cri.pairs(&["annotations"]));
    info.log_path = cri.text(&["log_path"]);
    // Deletions are whiteouts in rootfs-diff.tar.
    info.deleted_files = Field::NotApplicable;
}

/// `sha256:…` is the image's configuration; `NAME@sha256:…`, of a pulled image, is a manifest.
fn image_reference(info: &mut ContainerInfo, reference: Field<String>) {
    match reference {
        Field::Known(reference) => match reference.split_once('@') {
            Some((_, digest)) => {
                info.image.manifest_digest = Field::Known(digest.to_owned());
                info.image.repo_digests = Field::Known(vec![reference]);
            }
            None => info.image.id = Field::Known(reference),
        },
        other => info.image.id = other,
    }
}

/// Three places say so, in different versions: any of them that says yes is right.
fn restored(sources: &Sources<'_>) -> Field<bool> {
    let label = sources.cri_status.text(&["annotations", "restored"]);
    let places = [
        sources.config.flag(&["restored"]),
        sources.status.flag(&["Restore"]),
        label.map(|text| text == "true"),
    ];
    if places.contains(&Field::Known(true)) { Field::Known(true) } else { first(places) }
}

/// Both files hold the same number.
fn agree_on_time(sources: &Sources<'_>, own: Field<Timestamp>, cri: Field<Timestamp>) -> Field<Timestamp> {
    agree(
        sources.findings,
        "time of start",
        vec![("status: StartedAt", own), ("status.dump: started_at", cri)],
    )
}
