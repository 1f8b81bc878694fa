//! What `show` and `inspect` both say of a container: names as in checkpointctl's JSON.

use container_checkpoint::checkpoint::{Checkpoint, Sizes};
use container_checkpoint::container::{ContainerInfo, Timestamp};
use container_checkpoint::gap::Field;
use serde_json::{Map, Value, json};

use crate::present::json::text_fields;
use crate::present::time::{Clock, utc_text};

/// A time to the second, in the user's zone.
pub fn time_text(clock: &Clock, time: &Timestamp) -> String {
    let instant = time.instant();
    clock.text(jiff::Timestamp::from_second(instant.as_second()).unwrap_or(instant))
}

/// When the checkpoint was made: what the engine records, else what else tells it, said so.
pub fn checkpointed_text(clock: &Clock, info: &ContainerInfo) -> String {
    if let Field::Known(time) = &info.checkpointed {
        return time_text(clock, time);
    }
    match &info.checkpointed_estimate {
        Some(estimate) => {
            let bound = if estimate.lower_bound { "not before" } else { "about" };
            format!("not recorded; {bound} {} ({})", time_text(clock, &estimate.time), estimate.source)
        }
        None => "not recorded".into(),
    }
}

/// The keys of checkpointctl's `inspect --format json` that need no image to be read, and ours behind them. What is not known has no key.
pub fn summary(checkpoint: &Checkpoint<'_>, info: &ContainerInfo, sizes: Sizes) -> Map<String, Value> {
    let mut map = Map::new();
    let mut text = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            text_fields(&mut map, key, value.as_bytes());
        }
    };
    text("container_name", info.name.known().cloned());
    text("image", info.image.name.known().cloned());
    text("id", info.id.known().cloned());
    text("runtime", info.runtime.known().cloned());
    text("created", info.peer_created());
    text("checkpointed", info.peer_checkpointed());
    text("engine", Some(info.engine.name().to_owned()));
    text("ip", info.ip_addresses().first().map(ToString::to_string));
    text("mac", info.mac_addresses().first().map(|mac| (*mac).to_owned()));
    if checkpoint.has_images() {
        map.insert("checkpoint_size".into(), sizes_json(sizes));
    }
    let mut ours = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.into(), value);
        }
    };
    let known = |field: &Field<String>| field.known().map(|text| Value::from(text.as_str()));
    ours("engine_sign", Some(info.engine_sign.into()));
    ours("full_name", known(&info.full_name));
    ours("attempt", info.attempt.known().map(|&attempt| attempt.into()));
    ours("pod_name", known(&info.pod.name));
    ours("pod_uid", known(&info.pod.uid));
    ours("kubernetes_namespace", known(&info.pod.namespace));
    ours("sandbox_id", known(&info.pod.sandbox_id));
    ours("image_requested", known(&info.image.requested));
    ours("image_id", known(&info.image.id));
    let exact = |field: &Field<Timestamp>| field.known().map(|time| Value::from(utc_text(time.instant())));
    ours("created_exact", exact(&info.created));
    ours("started", exact(&info.started));
    ours("checkpointed_exact", exact(&info.checkpointed));
    ours(
        "checkpointed_estimate",
        info.checkpointed_estimate.as_ref().map(|estimate| {
            json!({
                "time": utc_text(estimate.time.instant()),
                "source": estimate.source,
                "lower_bound": estimate.lower_bound,
            })
        }),
    );
    ours("host_name", known(&info.host_name));
    ours("criu_version", known(&info.dump.criu_version));
    ours("node_name", known(&info.dump.node_name));
    ours("kernel_release", info.dump.kernel.known().map(|kernel| kernel.release.as_str().into()));
    map
}

fn sizes_json(sizes: Sizes) -> Value {
    let mut map = Map::new();
    map.insert("total_size".into(), sizes.images.into());
    map.insert("memory_pages_size".into(), sizes.pages.into());
    if sizes.amd_gpu_pages > 0 {
        map.insert("amd_gpu_memory_pages_size".into(), sizes.amd_gpu_pages.into());
    }
    if let Some(size) = sizes.rootfs_diff {
        map.insert("root_fs_diff_size".into(), size.into());
    }
    Value::Object(map)
}

/// CRIU's statistics of the dump; times in microseconds.
pub fn statistics(info: &ContainerInfo) -> Option<Value> {
    let stats = info.statistics.known()?;
    let mut map = Map::new();
    let mut put = |key: &str, value: Option<u64>| {
        if let Some(value) = value {
            map.insert(key.into(), value.into());
        }
    };
    put("freezing_time", Some(stats.freezing_time.into()));
    put("frozen_time", Some(stats.frozen_time.into()));
    put("memdump_time", Some(stats.memdump_time.into()));
    put("memwrite_time", Some(stats.memwrite_time.into()));
    put("pages_scanned", Some(stats.pages_scanned));
    put("pages_written", Some(stats.pages_written));
    put("pages_skipped_parent", Some(stats.pages_skipped_parent));
    put("pages_lazy", Some(stats.pages_lazy));
    put("irmap_resolve", stats.irmap_resolve.map(u64::from));
    put("page_pipes", stats.page_pipes);
    put("page_pipe_bufs", stats.page_pipe_bufs);
    put("shpages_scanned", stats.shpages_scanned);
    put("shpages_skipped_parent", stats.shpages_skipped_parent);
    put("shpages_written", stats.shpages_written);
    Some(Value::Object(map))
}
