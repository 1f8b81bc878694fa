//! Podman: `config.dump` is libpod's whole `ContainerConfig`, `spec.dump` the runtime spec, `network.status`
//! the networks.

use serde_json::Value;

use super::document::Document;
use super::network::{self, address_of};
use super::sources::Sources;
use super::{members, spec};
use crate::container::{ContainerInfo, Network, Port, Volume};
use crate::gap::Field;

/// Reads what Podman wrote. It records neither when the container was started nor when it was checkpointed.
pub(super) fn fill(info: &mut ContainerInfo, sources: &Sources<'_>) {
    let config = &sources.config;
    config.expect();
    sources.spec.expect();
    // `config.dump` has a spec too, as it was before Podman's own additions; the two differ in every
    // checkpoint.
    spec::fill(info, &sources.spec);

    info.id = config.text(&["id"]);
    info.name = config.text(&["name"]);
    info.full_name = config.text(&["name"]);
    info.pod.id = match config.text(&["pod"]) {
        Field::NotCaptured if config.is_whole() => Field::NotApplicable,
        other => other,
    };
    if info.pod.id == Field::NotApplicable {
        info.pod.name = Field::NotApplicable;
        info.pod.namespace = Field::NotApplicable;
        info.pod.uid = Field::NotApplicable;
        info.pod.sandbox_id = Field::NotApplicable;
    }
    info.image.requested = config.text(&["RawImageName"]);
    info.image.name = config.text(&["rootfsImageName"]);
    info.image.id = config.text(&["rootfsImageID"]);
    info.runtime = config.text(&["runtime"]);
    info.created = config.time(&["createdTime"]);
    info.networks = networks(sources);
    info.ports = ports(config);
    info.labels = config.or_empty(config.pairs(&["labels"]));
    info.create_command = config.texts(&["CreateCommand"]);
    info.volumes = volumes(config);
    info.deleted_files = members::deleted_files(sources);
    info.security.privileged = config.flag(&["privileged"]);
    info.log_path = config.text(&["logPath"]);
}

/// `network.status`. Podman always writes it; it is missed only if the configuration speaks of networks.
fn networks(sources: &Sources<'_>) -> Field<Vec<Network>> {
    let status = Document::load(sources.bundle, "network.status", sources.findings);
    if !status.exists()
        && sources.config.get(&["newNetworks"]).or(sources.config.get(&["networks"])).is_some()
    {
        status.expect();
    }
    network::read(&status)
}

/// Published ports: `newPortMappings` since 4.0, `portMappings` before; declared ones: `exposedPorts`
/// {"8088": ["tcp"]}.
fn ports(config: &Document<'_>) -> Field<Vec<Port>> {
    let mut ports = Vec::new();
    for (key, names) in [
        ("newPortMappings", ["container_port", "host_port", "host_ip"]),
        ("portMappings", ["containerPort", "hostPort", "hostIP"]),
    ] {
        for mapping in config.get(&[key]).and_then(Value::as_array).into_iter().flatten() {
            match published(config, key, mapping, names) {
                Some(port) => ports.push(port),
                None => config.complain(&[key], "a mapping without a port of the container"),
            }
        }
    }
    for (port, protocols) in config.get(&["exposedPorts"]).and_then(Value::as_object).into_iter().flatten() {
        let Ok(container_port) = port.parse() else {
            config.complain(&["exposedPorts", port], "no port");
            continue;
        };
        for protocol in protocols.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let known = |port: &Port| port.container_port == container_port && port.protocol == protocol;
            if !ports.iter().any(known) {
                ports.push(Port::declared(container_port, protocol));
            }
        }
    }
    match config.nothing() {
        // A damaged file may have held others.
        reason if ports.is_empty() && !config.is_whole() => reason,
        _ => Field::Known(ports),
    }
}

fn published(config: &Document<'_>, key: &str, mapping: &Value, names: [&str; 3]) -> Option<Port> {
    let port =
        |name: &str| mapping.get(name).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let text = |name: &str| mapping.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    Some(Port {
        container_port: port(names[0])?,
        protocol: text("protocol").unwrap_or("tcp").to_owned(),
        host_port: port(names[1]).filter(|port| *port != 0),
        host_ip: address_of(config, &[key], text(names[2])),
        count: port("range").filter(|count| *count != 0).unwrap_or(1),
        published: true,
    })
}

/// `namedVolumes` [{volumeName, dest, options}]
fn volumes(config: &Document<'_>) -> Field<Vec<Volume>> {
    let list = match config.get(&["namedVolumes"]) {
        Some(Value::Array(list)) => list,
        Some(other) => return config.wrong(&["namedVolumes"], "a list", other),
        None => return config.or_empty(config.nothing()),
    };
    let text = |volume: &Value, key: &str| volume.get(key).and_then(Value::as_str).map(str::to_owned);
    let volume =
        |volume| Some(Volume { name: text(volume, "volumeName")?, destination: text(volume, "dest")? });
    Field::Known(list.iter().filter_map(volume).collect())
}
