//! What Podman writes beside CRIU's images.

use serde_json::json;

use crate::checkpoint::Checkpoint;
use crate::wire::{Image, Message};

const ID: &str = "5f0c6c5b7f6b4f0e9a41a0b8f3d2c1e05f0c6c5b7f6b4f0e9a41a0b8f3d2c1e0";
const IMAGE: &str = "localhost/worker:latest";

/// The files at the top of the archive: name, bytes.
pub(crate) fn bundle(checkpoint: &Checkpoint) -> Vec<(&'static str, Vec<u8>)> {
    let command =
        checkpoint.processes.first().map_or(String::new(), |first| format!("/usr/bin/{}", first.name));
    let spec = json!({
        "ociVersion": "1.2.1", "hostname": "worker",
        "process": {"args": [command], "env": ["container=podman"], "cwd": "/"},
        "root": {"path": "/var/lib/containers/storage/overlay/0/merged"},
        "mounts": [{
            "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"],
        }],
        "annotations": {"io.container.manager": "libpod"},
    });
    let config = json!({
        "id": ID, "name": "worker", "spec": spec, "lockID": 0, "rootfsImageName": IMAGE, "RawImageName": IMAGE,
        "staticDir": format!("/var/lib/containers/storage/overlay-containers/{ID}/userdata"),
        "createdTime": "2026-01-01T00:00:00Z", "networkMode": "bridge", "command": [command], "runtime": "crun",
    });
    let network = json!({"podman": {"interfaces": {"eth0": {
        "subnets": [{"ipnet": "10.88.0.7/16", "gateway": "10.88.0.1"}], "mac_address": "c2:26:1c:87:a6:57",
    }}}});
    vec![
        ("config.dump", config.to_string().into_bytes()),
        ("spec.dump", spec.to_string().into_bytes()),
        ("network.status", network.to_string().into_bytes()),
        ("stats-dump", statistics(checkpoint.stored_pages())),
    ]
}

fn statistics(pages: u64) -> Vec<u8> {
    let [freezing, frozen, memory_dump, memory_write] = [1_250, 400_000, 90_000, 310_000];
    let dump = Message::new()
        .number(1, freezing)
        .number(2, frozen)
        .number(3, memory_dump)
        .number(4, memory_write)
        .number(5, pages)
        .number(6, 0)
        .number(7, pages)
        .number(9, 0);
    Image::of("stats-dump", [Message::new().message(1, &dump)]).bytes().unwrap_or_default()
}
