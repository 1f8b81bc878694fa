//! What the OCI runtime spec says: `spec.dump`, Podman's `config.json`, or ctr's configuration blob.

use serde_json::Value;

use super::document::Document;
use super::facts::{or_empty, then};
use crate::container::{ContainerInfo, Mount, Resources, Security, SpecNamespace};
use crate::gap::Field;

/// Takes over all facts that a runtime spec holds, whatever engine made it.
pub(super) fn fill(info: &mut ContainerInfo, spec: &Document<'_>) {
    info.host_name = spec.text(&["hostname"]);
    info.command = spec.texts(&["process", "args"]);
    info.environment = or_empty(spec.texts(&["process", "env"]));
    info.working_directory = spec.text(&["process", "cwd"]);
    info.annotations = or_empty(spec.pairs(&["annotations"]));
    info.mounts = mounts(spec);
    info.cgroup_path = spec.text(&["linux", "cgroupsPath"]);
    info.resources = resources(spec);
    info.security = security(spec);
    if !spec.exists() && matches!(spec.nothing::<()>(), Field::NotCaptured) {
        // No spec is expected here, so nothing is known of these lists either.
        info.environment = Field::NotCaptured;
        info.annotations = Field::NotCaptured;
    }
}

fn mounts(spec: &Document<'_>) -> Field<Vec<Mount>> {
    let list = match spec.get(&["mounts"]) {
        Some(Value::Array(list)) => list,
        Some(other) => return spec.wrong(&["mounts"], "a list", other),
        None => return spec.nothing(),
    };
    let mut mounts = Vec::with_capacity(list.len());
    for entry in list {
        let text = |key| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let Some(destination) = text("destination") else {
            let _gap: Field<()> = spec.unparsable(&["mounts"], "a mount without a destination".to_owned());
            continue;
        };
        let options = entry.get("options").and_then(Value::as_array).into_iter().flatten();
        let options = options.filter_map(Value::as_str).map(str::to_owned).collect();
        mounts.push(Mount { destination, kind: text("type"), source: text("source"), options });
    }
    Field::Known(mounts)
}

fn resources(spec: &Document<'_>) -> Resources {
    fn number<T: TryFrom<i128>>(spec: &Document<'_>, group: &str, key: &str) -> Option<T> {
        spec.number(&["linux", "resources", group, key]).known_into()
    }
    let text = |key| spec.text(&["linux", "resources", "cpu", key]).known_into();
    Resources {
        memory_limit: number(spec, "memory", "limit"),
        memory_reservation: number(spec, "memory", "reservation"),
        memory_swap: number(spec, "memory", "swap"),
        cpu_shares: number(spec, "cpu", "shares"),
        cpu_quota: number(spec, "cpu", "quota"),
        cpu_period: number(spec, "cpu", "period"),
        cpus: text("cpus"),
        memory_nodes: text("mems"),
        pids_limit: number(spec, "pids", "limit"),
    }
}
