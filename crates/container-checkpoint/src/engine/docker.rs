//! Docker: `config.v2.json` and `hostconfig.json` around `checkpoints/NAME/`.
//!
//! They tell the container's last saved state, which may be of another start than the checkpoint. No runtime
//! spec is kept.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::facts::{agree, then, value};
use super::json::short;
use super::network::{address_of, mac_of};
use super::sources::Sources;
use crate::container::{ContainerInfo, Interface, InterfaceAddress, Mount, Network, Port, Resources, Volume};
use crate::gap::Field;

/// Reads what Docker keeps. It does not record when a checkpoint was made.
pub(super) fn fill(info: &mut ContainerInfo, sources: &Sources<'_>) {
    let (docker, host) = (&sources.docker, &sources.host_config);
    docker.expect();
    host.expect();

    info.id = docker.text(&["ID"]);
    info.full_name = docker.text(&["Name"]);
    info.name = info.full_name.clone().map(|name| name.strip_prefix('/').unwrap_or(&name).to_owned());
    info.attempt = docker.number(&["RestartCount"]);
    info.pod.id = Field::NotApplicable;
    info.pod.name = Field::NotApplicable;
    info.pod.namespace = Field::NotApplicable;
    info.pod.uid = Field::NotApplicable;
    info.pod.sandbox_id = Field::NotApplicable;
    info.image.requested = docker.text(&["Config", "Image"]);
    info.image.name = docker.text(&["Config", "Image"]);
    info.image.id = docker.text(&["Image"]);
    info.image.manifest_digest = docker.text(&["ImageManifest", "digest"]);
    info.runtime = host.text(&["Runtime"]);
    info.created = docker.time(&["Created"]);
    info.started = docker.time(&["State", "StartedAt"]);
    info.state = state(sources);
    info.host_name = agree(
        sources.findings,
        "host name",
        vec![
            ("config.v2.json: Config → Hostname", docker.text(&["Config", "Hostname"])),
            ("hostname", host_name_file(sources)),
        ],
    );
    info.networks = networks(sources);
    info.ports = ports(sources);
    info.labels = docker.or_empty(docker.pairs(&["Config", "Labels"]));
    info.annotations = host.or_empty(host.pairs(&["Annotations"]));
    info.command = then(docker.text(&["Path"]), |path| {
        docker.or_empty(docker.texts(&["Args"])).map(|args| std::iter::once(path).chain(args).collect())
    });
    info.environment = docker.or_empty(docker.texts(&["Config", "Env"]));
    info.working_directory = docker.text(&["Config", "WorkingDir"]);
    mounts(info, sources);
    info.resources = resources(sources);
    info.security.privileged = host.flag(&["Privileged"]);
    info.security.no_new_privileges = docker.flag(&["NoNewPrivileges"]);
    info.security.read_only_root = host.flag(&["ReadonlyRootfs"]);
    info.log_path = docker.text(&["LogPath"]);
    info.init_host_pid = match docker.number(&["State", "Pid"]) {
        Field::Known(0) => Field::NotCaptured, // it does not run
        other => other,
    };
}

/// The word that `docker ps` has for the flags in `State`.
fn state(sources: &Sources<'_>) -> Field<String> {
    const FLAGS: [(&str, &str); 4] =
        [("Paused", "paused"), ("Restarting", "restarting"), ("Running", "running"), ("Dead", "dead")];
    let docker = &sources.docker;
    if docker.get(&["State"]).is_none() {
        return docker.nothing();
    }
    let set = FLAGS.iter().find(|(flag, _)| docker.flag(&["State", flag]) == Field::Known(true));
    Field::Known(set.map_or("not running", |(_, word)| word).to_owned())
}

/// The file `hostname`, one line.
fn host_name_file(sources: &Sources<'_>) -> Field<String> {
    let bytes = sources.bundle.file("hostname");
    let name = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim_end);
    name.filter(|name| !name.is_empty()).map(str::to_owned).into()
}

/// `NetworkSettings.Networks` {NAME: {IPAddress, IPPrefixLen, Gateway, GlobalIPv6Address,
/// GlobalIPv6PrefixLen, IPv6Gateway, MacAddress}}
fn networks(sources: &Sources<'_>) -> Field<Vec<Network>> {
    const KEYS: [[&str; 3]; 2] = [
        ["IPAddress", "IPPrefixLen", "Gateway"],
        ["GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway"],
    ];
    let docker = &sources.docker;
    let path = ["NetworkSettings", "Networks"];
    let map = match docker.get(&path) {
        Some(Value::Object(map)) => map,
        Some(other) => return docker.wrong(&path, "a map", other),
        None => return docker.or_empty(docker.nothing()),
    };
    let mut networks = Vec::with_capacity(map.len());
    for (name, network) in map {
        let place = [path[0], path[1], name.as_str()];
        let text = |key: &str| network.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let mut interface =
            Interface { mac: mac_of(docker, &place, text("MacAddress")), ..Interface::default() };
        for [address, prefix, gateway] in KEYS {
            if let Some(address) = address_of(docker, &place, text(address)) {
                let prefix =
                    network.get(prefix).and_then(Value::as_u64).and_then(|bits| u8::try_from(bits).ok());
                let gateway = address_of(docker, &place, text(gateway));
                interface.addresses.push(InterfaceAddress { address, prefix, gateway });
            }
        }
        networks.push(Network { name: Some(name.clone()), interfaces: vec![interface] });
    }
    Field::Known(networks)
}

/// `NetworkSettings.Ports` and `hostconfig.PortBindings` {"8088/tcp": [{HostIp, HostPort}]},
/// `Config.ExposedPorts` {"8088/tcp": {}}.
fn ports(sources: &Sources<'_>) -> Field<Vec<Port>> {
    let (docker, host) = (&sources.docker, &sources.host_config);
    let mut ports: Vec<Port> = Vec::new();
    for (document, path) in [
        (docker, &["NetworkSettings", "Ports"]),
        (host, &["PortBindings", ""]),
        (docker, &["Config", "ExposedPorts"]),
    ] {
        let path: &[&str] = if path[1].is_empty() { &path[..1] } else { &path[..] };
        for (name, bindings) in document.get(path).and_then(Value::as_object).into_iter().flatten() {
            let (number, protocol) = name.split_once('/').unwrap_or((name, "tcp"));
            let Ok(number) = number.parse() else {
                document.complain(path, format!("{} is no port", short(name)));
                continue;
            };
            let mut found: Vec<Port> = Vec::new();
            for binding in bindings.as_array().into_iter().flatten() {
                found.push(binding_of(number, protocol, binding));
            }
            if found.is_empty() {
                found.push(Port::declared(number, protocol));
            }
            let known = |port: &Port| port.container_port == number && port.protocol == protocol;
            if !ports.iter().any(known) {
                ports.append(&mut found);
            }
        }
    }
    if ports.is_empty() && !docker.is_whole() { docker.nothing() } else { Field::Known(ports) }
}

fn binding_of(container_port: u16, protocol: &str, binding: &Value) -> Port {
    let text = |key: &str| binding.get(key).and_then(Value::as_str);
    let host_ip = text("HostIp").and_then(|ip| ip.parse().ok()).filter(|ip: &IpAddr| !ip.is_unspecified());
    let host_port = text("HostPort").and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    Port { host_ip, host_port, published: true, ..Port::declared(container_port, protocol) }
}

/// `MountPoints` {DESTINATION: {Type, Name, Source, Destination, RW, Propagation, Mode}}
fn mounts(info: &mut ContainerInfo, sources: &Sources<'_>) {
    let docker = &sources.docker;
    let path = ["MountPoints"];
    let map = match docker.get(&path) {
        Some(Value::Object(map)) => map,
        Some(other) => {
            info.mounts = docker.wrong(&path, "a map", other);
            return;
        }
        None => &Map::new(),
    };
    let (mut mounts, mut volumes) = (Vec::new(), Vec::new());
    for (destination, mount) in map {
        let text = |key: &str| {
            mount.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let writable =
            mount.get("RW").and_then(Value::as_bool).map(|rw| if rw { "rw" } else { "ro" }.to_owned());
        let options = [text("Mode"), writable, text("Propagation")].into_iter().flatten().collect();
        if let (Some(name), Some("volume")) = (text("Name"), text("Type").as_deref()) {
            volumes.push(Volume { name, destination: destination.clone() });
        }
        mounts.push(Mount {
            destination: destination.clone(),
            kind: text("Type"),
            source: text("Source"),
            options,
        });
    }
    let empty = mounts.is_empty();
    info.mounts = if empty { docker.or_empty(docker.nothing()) } else { Field::Known(mounts) };
    info.volumes = if empty { docker.or_empty(docker.nothing()) } else { Field::Known(volumes) };
}

/// `hostconfig.json` has a 0 or nothing where no limit is set.
fn resources(sources: &Sources<'_>) -> Field<Resources> {
    let host = &sources.host_config;
    if !host.is_whole() {
        return host.nothing();
    }
    let signed = |key: &str| value(host.number::<i64>(&[key])).filter(|number| *number != 0);
    let unsigned = |key: &str| value(host.number::<u64>(&[key])).filter(|number| *number != 0);
    // NanoCpus is a quota in another unit: billionths of a CPU, of a period of 100 ms.
    let nano = signed("NanoCpus");
    Field::Known(Resources {
        memory_limit: signed("Memory"),
        memory_reservation: signed("MemoryReservation"),
        memory_swap: signed("MemorySwap"),
        cpu_shares: unsigned("CpuShares"),
        cpu_quota: signed("CpuQuota").or(nano.map(|nano| nano / 10_000)),
        cpu_period: unsigned("CpuPeriod").or(nano.map(|_| 100_000)),
        cpus: value(host.text(&["CpusetCpus"])),
        memory_nodes: value(host.text(&["CpusetMems"])),
        pids_limit: signed("PidsLimit"),
    })
}
