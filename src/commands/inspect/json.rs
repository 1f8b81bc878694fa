//! A container as a JSON document with checkpointctl's names.

use container_checkpoint::container::ContainerInfo;
use container_checkpoint::gap::Field;
use serde_json::{Map, Value, json};

use super::{Inspection, files, processes, sockets};
use crate::commands::summary;
use crate::present::json::text_fields;
use crate::session;

/// Processes deeper than this stand in `deeper_processes`, flat: readers of JSON have limits of their own.
const DEEPEST: usize = 60;

pub fn document(inspection: &Inspection<'_>) -> Value {
    let info = &inspection.info;
    let parts = inspection.parts;
    let mut map = summary::summary(&inspection.checkpoint, info, inspection.sizes);
    if let Some(networks) = networks(info) {
        map.insert("networks".into(), networks);
    }
    if parts.stats
        && let Some(statistics) = summary::statistics(info)
    {
        map.insert("statistics".into(), statistics);
    }
    if parts.metadata {
        map.insert("metadata".into(), metadata(info));
    }
    if parts.ps_tree {
        trees(inspection, &mut map);
    }
    if let Some(model) = &inspection.model {
        let shown = inspection.processes();
        if parts.files {
            let list = shown.iter().filter_map(|(_, process)| {
                let open = files::of_process(model, process).ok()?;
                let open: Vec<Value> = open.iter().map(files::Shown::object).collect();
                (!open.is_empty()).then(|| json!({ "pid": process.pid.0, "open_files": open }))
            });
            map.insert("file_descriptors".into(), list.collect());
        }
        if parts.sockets {
            let list = shown.iter().filter_map(|(_, process)| {
                let open: Vec<Value> = sockets::of_process(model, process)
                    .iter()
                    .map(|(fds, socket)| sockets::object(fds, socket))
                    .collect();
                (!open.is_empty()).then(|| json!({ "pid": process.pid.0, "open_sockets": open }))
            });
            map.insert("sockets".into(), list.collect());
        }
    }
    if parts.mounts {
        mounts(inspection, &mut map);
    }
    session::document(&inspection.checkpoint, map, &inspection.findings)
}

fn networks(info: &ContainerInfo) -> Option<Value> {
    let networks = info.networks.known()?;
    let list = networks.iter().map(|network| {
        let mut map = Map::new();
        if let Some(name) = &network.name {
            map.insert("name".into(), name.as_str().into());
        }
        let interfaces = network.interfaces.iter().map(|interface| {
            let mut facts = Map::new();
            let with_prefix =
                |address: &container_checkpoint::container::InterfaceAddress| match address.prefix {
                    Some(prefix) => format!("{}/{prefix}", address.address),
                    None => address.address.to_string(),
                };
            if let Some(first) = interface.addresses.first() {
                facts.insert("ip".into(), with_prefix(first).into());
            }
            if interface.addresses.len() > 1 {
                facts.insert("addresses".into(), interface.addresses.iter().map(with_prefix).collect());
            }
            if let Some(mac) = &interface.mac {
                facts.insert("mac".into(), mac.as_str().into());
            }
            if let Some(gateway) = interface.addresses.iter().find_map(|address| address.gateway) {
                facts.insert("gateway".into(), gateway.to_string().into());
            }
            (interface.name.clone().unwrap_or_default(), Value::Object(facts))
        });
        map.insert("interfaces".into(), Value::Object(interfaces.collect()));
        Value::Object(map)
    });
    Some(list.collect())
}

fn metadata(info: &ContainerInfo) -> Value {
    let mut map = Map::new();
    let mut text = |key: &str, field: &Field<String>| {
        if let Field::Known(value) = field {
            text_fields(&mut map, key, value.as_bytes());
        }
    };
    text("pod_name", &info.pod.name);
    text("kubernetes_namespace", &info.pod.namespace);
    text("pod_uid", &info.pod.uid);
    text("sandbox_id", &info.pod.sandbox_id);
    text("cgroup_path", &info.cgroup_path);
    text("cgroup_path_at_dump", &info.cgroup_path_at_dump);
    text("log_path", &info.log_path);
    for (key, field) in [("annotations", &info.annotations), ("labels", &info.labels)] {
        if let Field::Known(pairs) = field {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
            map.insert(key.into(), Value::Object(pairs.collect()));
        }
    }
    if let Field::Known(command) = &info.command {
        map.insert("command".into(), command.iter().map(String::as_str).collect());
    }
    if let Field::Known(environment) = &info.environment {
        map.insert("environment".into(), environment.iter().map(String::as_str).collect());
    }
    Value::Object(map)
}

/// `process_tree`, and `other_process_trees` where the dump has several roots.
fn trees(inspection: &Inspection<'_>, map: &mut Map<String, Value>) {
    let mut roots: Vec<Value> = Vec::new();
    let mut deeper: Vec<Value> = Vec::new();
    // The path from the current root down: each takes its children when the walk comes back up.
    let mut path: Vec<Map<String, Value>> = Vec::new();
    for (depth, process) in inspection.processes() {
        let object = processes::object(inspection, process);
        if depth > DEEPEST {
            deeper.push(object.into());
            continue;
        }
        while path.len() > depth {
            close_last(&mut path, &mut roots);
        }
        path.push(object);
    }
    while !path.is_empty() {
        close_last(&mut path, &mut roots);
    }
    let mut roots = roots.into_iter();
    if let Some(first) = roots.next() {
        map.insert("process_tree".into(), first);
    }
    let others: Vec<Value> = roots.collect();
    if !others.is_empty() {
        map.insert("other_process_trees".into(), others.into());
    }
    if !deeper.is_empty() {
        map.insert("deeper_processes".into(), deeper.into());
    }
}

fn close_last(path: &mut Vec<Map<String, Value>>, roots: &mut Vec<Value>) {
    let Some(done) = path.pop() else { return };
    match path.last_mut() {
        None => roots.push(done.into()),
        Some(parent) => match parent.entry("children").or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(children) => children.push(done.into()),
            _ => roots.push(done.into()),
        },
    }
}

fn mounts(inspection: &Inspection<'_>, map: &mut Map<String, Value>) {
    if let Field::Known(mounts) = &inspection.info.mounts {
        let list = mounts.iter().map(|mount| {
            let mut facts = Map::new();
            facts.insert("destination".into(), mount.destination.as_str().into());
            if let Some(kind) = &mount.kind {
                facts.insert("type".into(), kind.as_str().into());
            }
            if let Some(source) = &mount.source {
                facts.insert("source".into(), source.as_str().into());
            }
            facts.insert("options".into(), mount.options.iter().map(String::as_str).collect());
            Value::Object(facts)
        });
        map.insert("mounts".into(), list.collect());
    }
    let at_dump = inspection.model.iter().flat_map(|model| &model.mounts).flat_map(|(namespace, mounts)| {
        mounts.iter().map(move |mount| {
            let mut facts = Map::new();
            facts.insert("namespace".into(), (*namespace).into());
            text_fields(&mut facts, "destination", &mount.mountpoint);
            text_fields(&mut facts, "type", &mount.filesystem());
            text_fields(&mut facts, "source", &mount.source);
            text_fields(&mut facts, "root", &mount.root);
            Value::Object(facts)
        })
    });
    map.insert("mounts_at_dump".into(), at_dump.collect());
}
