//! No engine's metadata: runc, crun or CRIU by hand, or an image directory taken out of a checkpoint.

use super::facts::first;
use super::images::cgroup_name;
use super::sources::Sources;
use super::spec;
use crate::container::ContainerInfo;
use crate::gap::Field;

/// Reads what there may be: a runtime spec, a `config.dump` without an engine's mark.
pub(super) fn fill(info: &mut ContainerInfo, sources: &Sources<'_>) {
    spec::fill(info, &sources.spec);
    let config = &sources.config;
    info.id = config.text(&["id"]);
    info.name = config.text(&["name"]);
    info.full_name = config.text(&["name"]);
    info.image.requested = config.text(&["rootfsImage"]);
    info.image.name = config.text(&["rootfsImageName"]);
    info.image.id = first([config.text(&["rootfsImageRef"]), config.text(&["rootfsImageID"])]);
    info.runtime = config.text(&["runtime"]);
    info.created = config.time(&["createdTime"]);
    info.checkpointed = config.time(&["checkpointedTime"]);
    info.restored = config.flag(&["restored"]);
}

/// The control group may name the container that the images are of, and whose it was.
pub(super) fn name_from_control_group(info: &mut ContainerInfo, sources: &Sources<'_>) {
    let Some(name) = info.cgroup_path_at_dump.known().and_then(|path| cgroup_name(path)) else { return };
    let (id, engine) = (name.id.to_owned(), name.engine);
    if let Some(engine) = engine
        && !sources.config.exists()
        && !sources.docker.exists()
        && !sources.spec.exists()
    {
        sources.findings.borrow_mut().note(
            format!("images of a container of {}", engine.name()),
            "cgroup.img",
            format!(
                "the control group is named as {} names them; its metadata is not in the evidence",
                engine.name()
            ),
        );
    }
    info.id = Field::Known(id);
}
