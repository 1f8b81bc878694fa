//! A container as a tree, in checkpointctl's order.

use container_checkpoint::container::ContainerInfo;
use container_checkpoint::gap::Field;
use container_checkpoint::model::Process;

use super::{Inspection, files, processes, sockets};
use crate::commands::summary::{checkpointed_text, time_text};
use crate::present::bytes::{duration_text, size_text};
use crate::present::text::Text;
use crate::present::tree::{NodeId, Tree};
use crate::session::Outcome;
use crate::ui::Ui;

pub fn print(ui: &Ui, inspection: &Inspection<'_>) -> Outcome {
    let info = &inspection.info;
    ui.line("")?;
    ui.line(
        Text::own("Displaying container checkpoint tree view from ")
            .and_evidence(inspection.checkpoint.full_name()),
    )?;
    ui.line("")?;
    let mut tree = Tree::new(info.name.known().map_or_else(|| Text::own("Container"), Text::evidence));
    let root = tree.root();
    identity(ui, inspection, &mut tree, root);
    sizes(inspection, &mut tree, root);
    let parts = inspection.parts;
    if parts.stats {
        statistics(info, &mut tree, root);
    }
    if parts.metadata {
        metadata(info, &mut tree, root);
    }
    if parts.ps_tree {
        process_tree(inspection, &mut tree, root);
    }
    if parts.mounts {
        mounts(inspection, &mut tree, root);
    }
    Ok(ui.tree(&tree)?)
}

fn identity(ui: &Ui, inspection: &Inspection<'_>, tree: &mut Tree, root: NodeId) {
    let info = &inspection.info;
    let mut fact = |name: &str, value: Option<&String>| {
        if let Some(value) = value {
            tree.add(root, Text::own(format_args!("{name}: ")).and_evidence(value));
        }
    };
    fact("Image", info.image.name.known());
    fact("ID", info.id.known());
    fact("Runtime", info.runtime.known());
    let created = info.created.known().map(|time| time_text(ui.clock(), time));
    tree.add(root, Text::own("Created: ").and(created.as_deref().unwrap_or("not recorded")));
    tree.add(root, Text::own("Checkpointed: ").and(checkpointed_text(ui.clock(), info)));
    tree.add(root, Text::own(format_args!("Engine: {}", info.engine.name())));
    let mut fact = |name: &str, value: Option<&String>| {
        if let Some(value) = value {
            tree.add(root, Text::own(format_args!("{name}: ")).and_evidence(value));
        }
    };
    fact("Pod", info.pod.name.known());
    fact("Namespace", info.pod.namespace.known());
    fact("Host name", info.host_name.known());
    fact("CRIU", info.dump.criu_version.known());
    fact("Node", info.dump.node_name.known());
    fact("Kernel", info.dump.kernel.known().map(|kernel| &kernel.release));
    networks(info, tree, root);
}

fn networks(info: &ContainerInfo, tree: &mut Tree, root: NodeId) {
    let Some(networks) = info.networks.known().filter(|networks| !networks.is_empty()) else { return };
    let node = tree.add(root, "Network interfaces");
    for network in networks {
        for interface in &network.interfaces {
            let name = match (&network.name, &interface.name) {
                (Some(network), Some(interface)) => {
                    Text::evidence(network).and(" (").and_evidence(interface).and(")")
                }
                (Some(one), None) | (None, Some(one)) => Text::evidence(one),
                (None, None) => Text::own("interface"),
            };
            let node = tree.add(node, name);
            for address in &interface.addresses {
                let prefix = address.prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
                tree.add(node, Text::own(format_args!("IP: {}{prefix}", address.address)));
                if let Some(gateway) = address.gateway {
                    tree.add(node, Text::own(format_args!("Gateway: {gateway}")));
                }
            }
            if let Some(mac) = &interface.mac {
                tree.add(node, Text::own("MAC: ").and_evidence(mac));
            }
        }
    }
}

fn sizes(inspection: &Inspection<'_>, tree: &mut Tree, root: NodeId) {
    let sizes = inspection.sizes;
    if inspection.checkpoint.has_images() {
        let node = tree.add(root, Text::own(format_args!("Checkpoint size: {}", size_text(sizes.images))));
        tree.add(node, Text::own(format_args!("Memory pages size: {}", size_text(sizes.pages))));
        if sizes.amd_gpu_pages > 0 {
            tree.add(
                node,
                Text::own(format_args!("AMD GPU memory pages size: {}", size_text(sizes.amd_gpu_pages))),
            );
        }
    } else {
        tree.add(root, "Checkpoint size: no images in the evidence");
    }
    if let Some(size) = sizes.rootfs_diff {
        tree.add(root, Text::own(format_args!("Root FS diff size: {}", size_text(size))));
    }
}

fn statistics(info: &ContainerInfo, tree: &mut Tree, root: NodeId) {
    let Some(stats) = info.statistics.known() else {
        tree.add(
            root,
            Text::own("CRIU dump statistics: ").and(Text::evidence(processes::absent(&info.statistics))),
        );
        return;
    };
    let node = tree.add(root, "CRIU dump statistics");
    for (name, microseconds) in [
        ("Freezing time", stats.freezing_time),
        ("Frozen time", stats.frozen_time),
        ("Memdump time", stats.memdump_time),
        ("Memwrite time", stats.memwrite_time),
    ] {
        tree.add(node, Text::own(format_args!("{name}: {}", duration_text(microseconds.into()))));
    }
    for (name, count) in [
        ("Pages scanned", Some(stats.pages_scanned)),
        ("Pages written", Some(stats.pages_written)),
        ("Pages skipped (in the parent)", Some(stats.pages_skipped_parent).filter(|&count| count > 0)),
        ("Pages left for lazy restore", Some(stats.pages_lazy).filter(|&count| count > 0)),
        ("Shared pages scanned", stats.shpages_scanned),
        ("Shared pages written", stats.shpages_written),
    ] {
        if let Some(count) = count {
            tree.add(node, Text::own(format_args!("{name}: {count}")));
        }
    }
}

fn metadata(info: &ContainerInfo, tree: &mut Tree, root: NodeId) {
    let node = tree.add(root, "Metadata");
    for (name, field) in [
        ("Pod name", &info.pod.name),
        ("Kubernetes namespace", &info.pod.namespace),
        ("Pod UID", &info.pod.uid),
        ("Sandbox ID", &info.pod.sandbox_id),
        ("Control group", &info.cgroup_path),
        ("Log", &info.log_path),
    ] {
        if let Field::Known(value) = field {
            tree.add(node, Text::own(format_args!("{name}: ")).and_evidence(value));
        }
    }
    for (name, field) in [("Annotations", &info.annotations), ("Labels", &info.labels)] {
        let Some(pairs) = field.known().filter(|pairs| !pairs.is_empty()) else { continue };
        let node = tree.add(node, name);
        for (key, value) in pairs {
            tree.add(node, Text::evidence(key).and(": ").and_evidence(value));
        }
    }
}

fn process_tree(inspection: &Inspection<'_>, tree: &mut Tree, root: NodeId) {
    let Some(model) = &inspection.model else { return };
    if model.is_pre_dump {
        tree.add(root, "Process tree: none, this is a pre-dump: memory only");
        return;
    }
    let node = tree.add(root, "Process tree");
    let shown = inspection.processes();
    if shown.is_empty() {
        tree.add(node, "no process in the evidence");
    }
    let mut path: Vec<NodeId> = vec![node];
    for (depth, process) in shown {
        path.truncate(depth + 1);
        let parent = path.last().copied().unwrap_or(node);
        let own = tree.add(parent, processes::line(inspection, process));
        details(inspection, process, tree, own);
        path.push(own);
    }
}

fn details(inspection: &Inspection<'_>, process: &Process, tree: &mut Tree, node: NodeId) {
    let Some(model) = &inspection.model else { return };
    if inspection.parts.ps_tree_env {
        match inspection.command_lines.get(&process.pid).map(|line| &line.environment) {
            Some(Field::Known(environment)) if !environment.is_empty() => {
                let node = tree.add(node, "Environment variables");
                for variable in environment {
                    tree.add(node, Text::evidence(variable));
                }
            }
            Some(Field::Known(_)) | None => {}
            Some(missing) => {
                tree.add(
                    node,
                    Text::own("Environment variables: ").and(Text::evidence(processes::absent(missing))),
                );
            }
        }
    }
    if inspection.parts.files {
        match files::of_process(model, process) {
            Ok(open) if !open.is_empty() => {
                let node = tree.add(node, "Open files");
                for file in open {
                    tree.add(node, file.line());
                }
            }
            Ok(_) => {}
            Err(why) => {
                tree.add(node, Text::own("Open files: ").and(Text::evidence(why)));
            }
        }
    }
    if inspection.parts.sockets {
        let open = sockets::of_process(model, process);
        if !open.is_empty() {
            let node = tree.add(node, "Open sockets");
            for (descriptors, socket) in open {
                tree.add(node, sockets::line(&descriptors, socket));
            }
        }
    }
}

/// The mounts that the engine asked for; where there is no engine, those of the images.
fn mounts(inspection: &Inspection<'_>, tree: &mut Tree, root: NodeId) {
    let node = tree.add(root, "Overview of mounts");
    let mut add = |destination: &[u8], kind: Option<&[u8]>, source: Option<&[u8]>| {
        let node = tree.add(node, Text::own("Destination: ").and_evidence(destination));
        if let Some(kind) = kind {
            tree.add(node, Text::own("Type: ").and_evidence(kind));
        }
        if let Some(source) = source {
            tree.add(node, Text::own("Source: ").and_evidence(source));
        }
    };
    match (&inspection.info.mounts, &inspection.model) {
        (Field::Known(mounts), _) => {
            for mount in mounts {
                let bytes = |text: &'_ Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
                add(
                    mount.destination.as_bytes(),
                    bytes(&mount.kind).as_deref(),
                    bytes(&mount.source).as_deref(),
                );
            }
        }
        (_, Some(model)) => {
            for mount in model.mounts.values().flatten() {
                add(&mount.mountpoint, Some(&mount.filesystem()), Some(&mount.source));
            }
        }
        _ => {}
    }
}
