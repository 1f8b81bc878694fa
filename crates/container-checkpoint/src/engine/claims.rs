//! Claims that contradict what is certain: annotations of another engine, an image's annotations, another
//! container's control group.

use super::detect::{MANAGER, Rule};
use super::facts::disagreement;
use super::images::cgroup_name;
use super::json::short;
use super::sources::Sources;
use crate::container::{ContainerInfo, Engine};
use crate::gap::{Field, Findings};

/// An engine's annotations: what its manager annotation says, and what its other keys begin with.
struct Marks {
    engine: Engine,
    manager: Option<&'static str>,
    prefix: &'static str,
    /// Keys of the prefix that other engines write too: Podman gives pods' containers these, for Kata.
    shared: &'static [&'static str],
}

const MARKS: &[Marks] = &[
    Marks { engine: Engine::Podman, manager: Some("libpod"), prefix: "io.podman.annotations.", shared: &[] },
    Marks {
        engine: Engine::CriO,
        manager: Some("cri-o"),
        prefix: "io.kubernetes.cri-o.",
        // Podman 4 sets `Created` itself, and some of the others for containers in pods.
        shared: &["ContainerType", "Created", "SandboxID", "TTY", "Stdin", "StdinOnce"],
    },
    Marks { engine: Engine::Containerd, manager: None, prefix: "io.kubernetes.cri.", shared: &[] },
];

/// Notes what contradicts the engine and the facts that were found.
pub(super) fn check(sources: &Sources<'_>, rule: &Rule, info: &ContainerInfo) {
    let mut findings = sources.findings.borrow_mut();
    if rule.by_annotation {
        findings.note(
            "engine known by an annotation alone",
            format!("{}: annotations → {MANAGER}", sources.spec.name()),
            "annotations can be set by whoever runs the container; config.dump has no engine's mark, or can't be read",
        );
    }
    foreign_annotations(sources, info, &mut findings);
    image_annotations(sources, info, &mut findings);
    control_group(info, &mut findings);
    host_name(sources, info, &mut findings);
    order_of_times(info, &mut findings);
}

/// Annotations of the runtime spec that another engine would have written.
fn foreign_annotations(sources: &Sources<'_>, info: &ContainerInfo, findings: &mut Findings) {
    if !matches!(info.engine, Engine::Podman | Engine::CriO | Engine::Containerd) {
        return;
    }
    for marks in MARKS.iter().filter(|marks| marks.engine != info.engine) {
        let mut keys = Vec::new();
        if marks.manager.is_some() && sources.annotation(MANAGER) == marks.manager {
            keys.push(MANAGER);
        }
        let others = sources.annotation_keys(marks.prefix).into_iter();
        keys.extend(others.filter(|key| !marks.shared.contains(&&key[marks.prefix.len()..])));
        if let Some(first) = keys.first() {
            let more = match keys.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            findings.note(
                format!("annotations of {} in a checkpoint by {}", marks.engine.name(), info.engine.name()),
                format!("{}: annotations → {}{more}", sources.spec.name(), short(first)),
                format!(
                    "{}: that tells {}; annotations can be set by whoever runs the container, to mislead",
                    info.engine_sign,
                    info.engine.name()
                ),
            );
        }
    }
}

/// Annotations of an OCI image around the checkpoint, which anyone can write: key without prefix, what it is,
/// the fact it should equal.
fn image_annotations(sources: &Sources<'_>, info: &ContainerInfo, findings: &mut Findings) {
    let Some(oci) = sources.oci else { return };
    let engine = match info.engine {
        Engine::Unknown | Engine::ContainerdClient | Engine::Runtime | Engine::PlainCriu => {
            Field::NotCaptured
        }
        known => Field::Known(known.name().to_owned()),
    };
    let claims: [(&str, &str, &Field<String>); 11] = [
        ("org.criu.checkpoint.engine.name", "engine", &engine),
        ("org.criu.checkpoint.container.name", "container name", &info.name),
        ("org.criu.checkpoint.pod.name", "pod name", &info.pod.name),
        ("org.criu.checkpoint.pod.namespace", "pod namespace", &info.pod.namespace),
        ("org.criu.checkpoint.pod.uid", "pod uid", &info.pod.uid),
        ("org.criu.checkpoint.rootfsImageName", "image name", &info.image.name),
        ("org.criu.checkpoint.runtime.name", "runtime", &info.runtime),
        ("io.podman.annotations.checkpoint.name", "container name", &info.name),
        ("io.podman.annotations.checkpoint.rootfsImageID", "image id", &info.image.id),
        ("io.podman.annotations.checkpoint.rootfsImageName", "image name", &info.image.name),
        ("io.podman.annotations.checkpoint.rawImageName", "image as asked for", &info.image.requested),
    ];
    for (key, what, fact) in claims {
        if let (Some(claim), Field::Known(fact)) = (oci.annotation(key), fact)
            && claim != fact
        {
            let place = format!("image annotation {key}");
            disagreement(findings, what, ("the checkpoint's own metadata", fact), (&place, &claim));
        }
    }
}

/// The control group at the dump, if it is named after a container, is named after this one.
fn control_group(info: &ContainerInfo, findings: &mut Findings) {
    if let (Some(path), Some(id)) = (info.cgroup_path_at_dump.known(), info.id.known())
        && let Some(name) = cgroup_name(path)
        && name.id != id
    {
        disagreement(findings, "container id", ("the engine's metadata", id), ("cgroup.img", &name.id));
    }
}

/// The host name at the dump is the one that was given at the start, unless someone changed it.
fn host_name(sources: &Sources<'_>, info: &ContainerInfo, findings: &mut Findings) {
    // With ctr the spec gives none and the image has the host's own; then host_name is the image's.
    if let (Some(given), Some(found)) = (info.host_name.known(), info.uts_node_name.known())
        && given.as_bytes() != found.as_slice()
    {
        findings.note(
            "host name changed",
            "utsns-*.img",
            format!(
                "the container was given '{}' ({}), at the dump it was '{}'",
                short(given),
                sources.spec.name(),
                short(&String::from_utf8_lossy(found))
            ),
        );
    }
}

/// A container is created, started and checkpointed in this order. Docker's metadata may be of a later start
/// than the checkpoint.
fn order_of_times(info: &ContainerInfo, findings: &mut Findings) {
    let estimated = info.checkpointed_estimate.as_ref().filter(|estimate| !estimate.lower_bound);
    // File times are whole seconds.
    let (checkpointed, slack) = match (info.checkpointed.known(), estimated) {
        (Some(time), _) => (time, 0),
        (None, Some(estimate)) => (&estimate.time, 1),
        (None, None) => return,
    };
    for (what, time) in [("created", &info.created), ("started", &info.started)] {
        if let Some(time) = time.known()
            && time.instant().as_nanosecond() > checkpointed.instant().as_nanosecond() + slack * 1_000_000_000
        {
            findings.note(
                format!("container {what} after it was checkpointed"),
                "the engine's metadata",
                format!("{what} {time}, checkpointed {checkpointed}: the metadata is of a later start, or was altered"),
            );
        }
    }
}
