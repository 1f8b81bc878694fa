//! Real checkpoints of every engine against the engines' own words, and against checkpointctl's. Needs
//! `COLDCASE_CORPUS`.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use serde_json::Value;

use super::test_files::Files;
use super::*;
use crate::container::Network;
use crate::oci::{CONFIG_PROTO, RUNTIME_OPTIONS_PROTO};

/// Members beyond this size are known by name only: pages, file systems.
const LARGEST: u64 = 4 << 20;

fn corpus(test: &str) -> Option<PathBuf> {
    let root = std::env::var_os("COLDCASE_CORPUS").map(PathBuf::from);
    if root.is_none() {
        println!("skipped: no corpus ({test})");
    }
    root
}

/// All members of a tar, and the latest modification time of those in a directory.
fn unpack(reader: impl Read, images: &str) -> (Files, FileTimes) {
    let (mut files, mut times) = (Files::default(), FileTimes::default());
    for entry in tar::Archive::new(reader).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let mtime = entry.header().mtime().unwrap();
        if name == "config.dump" {
            times.config_dump = Some(mtime);
        } else if name.starts_with(images) {
            times.newest_image = times.newest_image.max(Some(mtime));
        }
        let mut bytes = Vec::new();
        let pages = name.contains("/pages-") || name == "rootfs-diff.tar";
        if entry.size() <= LARGEST && !pages {
            entry.read_to_end(&mut bytes).unwrap();
        }
        files = files.with(&name, bytes);
    }
    (files, times)
}

/// The files below a directory, by their names in it.
fn below(files: &Files, directory: &str) -> Files {
    let inside = files.0.iter().filter_map(|(name, bytes)| Some((name.strip_prefix(directory)?, bytes)));
    Files(inside.map(|(name, bytes)| (name.to_owned(), bytes.clone())).collect())
}

/// An archive of the corpus: name, the bundle's directory, the images' directory.
fn open(root: &std::path::Path, name: &str, images: &str) -> (Files, FileTimes) {
    let file = File::open(root.join("checkpoints").join(name)).unwrap();
    let reader: Box<dyn Read> = match name.rsplit('.').next() {
        Some("zst") => Box::new(zstd::Decoder::new(file).unwrap()),
        Some("gz") => Box::new(flate2::read::GzDecoder::new(file)),
        _ => Box::new(io::BufReader::new(file)),
    };
    unpack(reader, images)
}

fn read(root: &std::path::Path, name: &str) -> (ContainerInfo, Findings) {
    let directory = if name.starts_with("pre-checkpoint") { "pre-checkpoint/" } else { "checkpoint/" };
    let (files, times) = open(root, name, directory);
    identify(&files, &below(&files, directory), None, &times)
}

fn json(path: PathBuf) -> Value {
    serde_json::from_reader(File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .unwrap()
}

fn truth(root: &std::path::Path, name: &str) -> Value {
    json(root.join("checkpoints/truth").join(format!("{name}.json")))["engine_inspect"].take()
}

fn text(field: &Field<String>) -> &str {
    field.known().unwrap_or_else(|| panic!("{field:?}"))
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn same_map(pairs: &Field<Vec<(String, String)>>, truth: &Value) {
    let map: serde_json::Map<_, _> = pairs
        .known()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect();
    assert_eq!(&Value::Object(map), truth);
}

fn quiet(name: &str, findings: &Findings) {
    assert!(findings.gaps.is_empty(), "{name}: {:?}", findings.gaps);
    assert!(findings.notes.is_empty(), "{name}: {:?}", findings.notes);
}

#[test]
fn podman_says_what_podman_inspect_said() {
    let Some(root) = corpus("podman") else { return };
    for (archive, truth_of) in [
        ("counter.tar.zst", "counter"),
        ("counter.tar.gz", "counter-gz"),
        ("counter-later.tar.zst", "counter-later"),
        ("counter-runc.tar.zst", "counter-runc"),
        ("redis.tar.zst", "redis"),
        ("tiny.tar", "tiny"),
        ("tiny.tar.zst", "tiny"),
        ("pre-final.tar.zst", "pre-final"),
        ("pre-whole.tar.zst", "pre-whole"),
        ("pre-checkpoint.tar.zst", "pre-final"),
    ] {
        let (info, findings) = read(&root, archive);
        let truth = truth(&root, truth_of);
        quiet(archive, &findings);
        assert_eq!(info.engine, Engine::Podman, "{archive}");
        for (what, field, path) in [
            ("id", &info.id, "/Id"),
            ("name", &info.name, "/Name"),
            ("image id", &info.image.id, "/Image"),
            ("image name", &info.image.name, "/ImageName"),
            ("image as asked for", &info.image.requested, "/Config/Image"),
            ("runtime", &info.runtime, "/OCIRuntime"),
            ("host name", &info.host_name, "/Config/Hostname"),
            ("working directory", &info.working_directory, "/Config/WorkingDir"),
            ("log", &info.log_path, "/HostConfig/LogConfig/Path"),
            ("cgroup", &info.cgroup_path, "/State/CgroupPath"),
        ] {
            assert_eq!(Some(text(field)), truth.pointer(path).and_then(Value::as_str), "{archive}: {what}");
        }
        if archive != "pre-checkpoint.tar.zst" {
            assert_eq!(info.cgroup_path_at_dump, info.cgroup_path, "{archive}");
            assert_eq!(
                info.runtime_family,
                Field::Known(if archive.contains("runc") { "runc" } else { "crun" })
            );
            assert_eq!(info.uts_node_name, info.host_name.clone().map(String::into_bytes), "{archive}");
        }
        assert_eq!(info.created.known().unwrap().text(), truth["Created"], "{archive}");
        assert_eq!((&info.started, &info.checkpointed), (&Field::NotCaptured, &Field::NotCaptured));
        assert_eq!(*info.environment.known().unwrap(), list(&truth["Config"]["Env"]), "{archive}");
        assert_eq!(
            *info.create_command.known().unwrap(),
            list(&truth["Config"]["CreateCommand"]),
            "{archive}"
        );
        let mut command = list(&truth["Args"]);
        command.insert(0, truth["Path"].as_str().unwrap().to_owned());
        // `podman inspect` puts an entrypoint without arguments into both.
        if truth_of.starts_with("pre-") {
            command.truncate(1);
        }
        assert_eq!(*info.command.known().unwrap(), command, "{archive}");
        same_map(&info.labels, &truth["Config"]["Labels"]);
        same_networks(archive, info.networks.known().unwrap(), &truth["NetworkSettings"]["Networks"]);
        // The dump took some seconds; the files' times are those of its end.
        let estimate = info.checkpointed_estimate.as_ref().unwrap();
        assert_eq!((estimate.source, estimate.lower_bound), ("modification time of the newest image", false));
        let started: jiff::Timestamp = truth["State"]["StartedAt"].as_str().unwrap().parse().unwrap();
        assert!(estimate.time.instant() > started, "{archive}");
    }
}

/// Podman's and Docker's inspect: {NAME: {IPAddress, IPPrefixLen, Gateway, MacAddress}}
fn same_networks(name: &str, networks: &[Network], truth: &Value) {
    // `--network none` is a network of its own in Podman's words.
    let real: Vec<_> = truth.as_object().unwrap().iter().filter(|(name, _)| *name != "none").collect();
    assert_eq!(networks.len(), real.len(), "{name}");
    for (network, (network_name, truth)) in networks.iter().zip(real) {
        assert_eq!(network.name.as_ref(), Some(network_name));
        let [interface] = network.interfaces.as_slice() else { panic!("{network:?}") };
        assert_eq!(interface.mac.as_deref(), truth["MacAddress"].as_str());
        let [address] = interface.addresses.as_slice() else { panic!("{network:?}") };
        assert_eq!(Some(address.address.to_string().as_str()), truth["IPAddress"].as_str());
        assert_eq!(address.prefix.map(u64::from), truth["IPPrefixLen"].as_u64());
        assert_eq!(address.gateway.unwrap().to_string(), truth["Gateway"].as_str().unwrap());
    }
}

#[test]
fn cri_o_says_what_crictl_inspect_said() {
    let Some(root) = corpus("CRI-O") else { return };
    let (info, findings) = read(&root, "counter-crio.tar.zst");
    let truth = truth(&root, "counter-crio");
    quiet("CRI-O", &findings);
    assert_eq!(info.engine, Engine::CriO);
    same_as_cri(&info, &truth);
    assert_eq!(info.created.known().unwrap().text(), truth["status"]["createdAt"]);
    assert_eq!(info.created_annotation, Field::Known("2026-11-22T04:13:24.845206677Z".to_owned()));
    assert_eq!(info.checkpointed.known().unwrap().text(), "2026-11-22T04:13:32.95199831Z");
    assert_eq!((info.started.clone(), info.init_host_pid.clone()), (Field::NotCaptured, Field::NotCaptured));
    assert_eq!(text(&info.image.id), truth["status"]["imageId"]);
    assert_eq!(info.image.repo_digests.known().unwrap(), &[truth["status"]["imageRef"].as_str().unwrap()]);
    assert_eq!(text(&info.full_name), "k8s_counter_counters_default_5f1c0de0-8088-4c0d-9e1a-202311223344_0");
    assert_eq!((text(&info.runtime), info.runtime_family.clone()), ("runc", Field::Known("runc")));
    assert_eq!(info.bind_mounts.known().unwrap().len(), 2);
    assert_eq!(info.ip_addresses(), ["10.85.0.3".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(text(&info.host_name), "counters");
    same_dump_log(&info);
}

#[test]
fn containerd_says_what_crictl_inspect_said() {
    let Some(root) = corpus("containerd") else { return };
    let (info, findings) = read(&root, "counter-containerd.tar.zst");
    let truth = truth(&root, "counter-containerd");
    quiet("containerd", &findings);
    assert_eq!(info.engine, Engine::Containerd);
    same_as_cri(&info, &truth);
    assert_eq!(info.created.known().unwrap().text(), "2026-11-22T04:45:07.26478896Z");
    let started = info.started.known().unwrap();
    assert_eq!(
        (started.text(), started.to_string().as_str()),
        ("1795322707340160556", truth["status"]["startedAt"].as_str().unwrap())
    );
    assert_eq!(info.checkpointed.known().unwrap().text(), "2026-11-22T04:45:13.913512114Z");
    assert_eq!(info.init_host_pid.known().map(|pid| u64::from(*pid)), truth["info"]["pid"].as_u64());
    assert_eq!(text(&info.image.id), truth["status"]["imageRef"]);
    assert_eq!(text(&info.full_name), "counter_counters_default_5f1c0de0-8088-4c0d-9e1a-202311223344_0");
    assert_eq!(
        (text(&info.runtime), info.runtime_family.clone()),
        ("io.containerd.runc.v2", Field::Known("runc"))
    );
    assert_eq!((text(&info.state), info.restored.clone()), ("running", Field::Known(false)));
    assert_eq!((info.networks.clone(), info.bind_mounts.clone()), (Field::NotCaptured, Field::NotCaptured));
    assert_eq!(text(&info.host_name), "counters"); // by the UTS namespace alone
    same_dump_log(&info);
}

fn same_as_cri(info: &ContainerInfo, truth: &Value) {
    let (status, spec) = (&truth["status"], &truth["info"]["runtimeSpec"]);
    assert_eq!(text(&info.id), status["id"]);
    assert_eq!(text(&info.name), status["metadata"]["name"]);
    assert_eq!(info.attempt, Field::Known(0));
    assert_eq!(text(&info.log_path), status["logPath"]);
    assert_eq!(text(&info.image.requested), status["image"]["image"]);
    assert_eq!(text(&info.pod.sandbox_id), truth["info"]["sandboxID"]);
    for (field, label) in
        [(&info.pod.name, "name"), (&info.pod.namespace, "namespace"), (&info.pod.uid, "uid")]
    {
        assert_eq!(text(field), status["labels"][format!("io.kubernetes.pod.{label}")]);
    }
    same_map(&info.labels, &status["labels"]);
    same_map(&info.kubernetes_annotations, &status["annotations"]);
    same_map(&info.annotations, &spec["annotations"]);
    assert_eq!(*info.environment.known().unwrap(), list(&spec["process"]["env"]));
    assert_eq!(*info.command.known().unwrap(), list(&spec["process"]["args"]));
    assert_eq!(text(&info.cgroup_path), spec["linux"]["cgroupsPath"]);
    assert_eq!(info.cgroup_path_at_dump, info.cgroup_path);
    let mounts = info.mounts.known().unwrap();
    assert_eq!(mounts.len(), spec["mounts"].as_array().unwrap().len());
    for (mount, truth) in mounts.iter().zip(spec["mounts"].as_array().unwrap()) {
        assert_eq!(Value::from(mount.destination.as_str()), truth["destination"]);
        assert_eq!(mount.options, list(&truth["options"]));
    }
}

fn same_dump_log(info: &ContainerInfo) {
    let dump = &info.dump;
    assert_eq!((text(&dump.criu_version), text(&dump.node_name)), ("4.2.1", "vm"));
    assert_eq!(dump.kernel.known().unwrap().machine.as_deref(), Some("x86_64"));
    // CRIU logs an error where it may not raise a limit, and goes on.
    assert_eq!((dump.finished.clone(), dump.errors.clone()), (Field::Known(true), Field::Known(1)));
}

#[test]
fn docker_says_what_docker_inspect_said() {
    let Some(root) = corpus("Docker") else { return };
    let (files, _) = open(&root, "counter-docker-dir.tar.zst", "none");
    let directory = format!("{}/", files.names()[0].split('/').next().unwrap());
    let images = format!("{directory}checkpoints/cp1/");
    let (_, times) = open(&root, "counter-docker-dir.tar.zst", &images);
    let bundle = below(&files, &directory);
    let (info, findings) = identify(&bundle, &below(&files, &images), None, &times);
    let truth = truth(&root, "counter-docker");
    quiet("Docker", &findings);
    assert_eq!(info.engine, Engine::Docker);
    for (field, path) in [
        (&info.id, "/Id"),
        (&info.full_name, "/Name"),
        (&info.image.id, "/Image"),
        (&info.image.name, "/Config/Image"),
        (&info.runtime, "/HostConfig/Runtime"),
        (&info.host_name, "/Config/Hostname"),
        (&info.log_path, "/LogPath"),
    ] {
        assert_eq!(Some(text(field)), truth.pointer(path).and_then(Value::as_str), "{path}");
    }
    assert_eq!(text(&info.name), "counter");
    assert_eq!(info.created.known().unwrap().text(), truth["Created"]);
    assert_eq!(info.started.known().unwrap().text(), truth["State"]["StartedAt"]);
    assert_eq!(info.init_host_pid.known().map(|pid| u64::from(*pid)), truth["State"]["Pid"].as_u64());
    assert_eq!(*info.environment.known().unwrap(), list(&truth["Config"]["Env"]));
    same_map(&info.labels, &truth["Config"]["Labels"]);
    same_networks("Docker", info.networks.known().unwrap(), &truth["NetworkSettings"]["Networks"]);
    let ports: Vec<_> =
        info.ports.known().unwrap().iter().map(|port| (port.container_port, port.published)).collect();
    assert_eq!(ports, [(8088, false)]);
    assert_eq!(text(&info.cgroup_path_at_dump), format!("/docker/{}", text(&info.id)));
    assert_eq!(info.checkpointed_estimate.unwrap().time.text(), "2026-11-22T04:45:30Z");
    assert_eq!((info.statistics, info.dump.criu_version), (Field::NotCaptured, Field::NotCaptured));
}

/// A blob of an OCI layout by its digest.
fn blob<'f>(layout: &'f Files, digest: &str) -> &'f [u8] {
    &layout.0[&format!("blobs/{}", digest.replacen(':', "/", 1))]
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let map = value.as_object().into_iter().flatten();
    map.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn descriptors(document: &Value) -> Vec<(String, String)> {
    let list = document["manifests"].as_array().or(document["layers"].as_array()).unwrap();
    let text = |descriptor: &Value, key: &str| descriptor[key].as_str().unwrap().to_owned();
    list.iter().map(|descriptor| (text(descriptor, "mediaType"), text(descriptor, "digest"))).collect()
}

#[test]
fn ctr_says_what_ctr_info_said() {
    let Some(root) = corpus("ctr") else { return };
    let (mut layout, _) = open(&root, "containerd-ctr.oci.tar.zst", "none");
    let index: Value = serde_json::from_slice(&layout.0["index.json"]).unwrap();
    let outer = &index["manifests"][0];
    let inner: Value = serde_json::from_slice(blob(&layout, outer["digest"].as_str().unwrap())).unwrap();
    let descriptors = descriptors(&inner);
    let of = |media_type: &str| {
        let (_, digest) = descriptors.iter().find(|(found, _)| found == media_type).unwrap();
        digest.clone()
    };
    let images = of(crate::oci::CRIU_TAR).replacen(':', "/", 1);
    let mut annotations = pairs(&outer["annotations"]);
    annotations.extend(pairs(&inner["annotations"]));
    let oci = OciFacts {
        annotations,
        runtime_spec: Some(blob(&layout, &of(CONFIG_PROTO)).to_vec()),
        runtime_options: Some(blob(&layout, &of(RUNTIME_OPTIONS_PROTO)).to_vec()),
        descriptors,
    };
    // The tar of images is larger than what `open` keeps.
    let file = File::open(root.join("checkpoints/containerd-ctr.oci.tar.zst")).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(file).unwrap());
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let tar = entries.find(|entry| entry.path_bytes().ends_with(images.as_bytes())).unwrap();
    let (images, times) = unpack(tar, "");
    layout.0.clear();

    let (info, findings) = identify(&layout, &images, Some(&oci), &times);
    let truth = truth(&root, "containerd-ctr");
    quiet("ctr", &findings);
    assert_eq!(info.engine, Engine::ContainerdClient);
    assert_eq!(text(&info.id), truth["ID"]);
    assert_eq!(text(&info.full_name), "default/ctrcounter");
    assert_eq!(text(&info.image.name), truth["Image"]);
    assert_eq!(text(&info.runtime), truth["Runtime"]["Name"]);
    assert_eq!(text(&info.runtime_binary), "/usr/local/bin/runc-nores");
    assert_eq!(*info.command.known().unwrap(), list(&truth["Spec"]["process"]["args"]));
    assert_eq!(*info.environment.known().unwrap(), list(&truth["Spec"]["process"]["env"]));
    assert_eq!(info.resources.known().unwrap().cpu_shares, Some(1024));
    assert_eq!(text(&info.host_name), "vm"); // the host's own
    assert_eq!((info.name, info.created), (Field::NotCaptured, Field::NotCaptured));
    assert_eq!(text(&info.cgroup_path_at_dump), "/default/ctrcounter");
}

#[test]
fn an_image_with_a_checkpoint_as_its_layer() {
    let Some(root) = corpus("OCI image") else { return };
    let (layout, _) = open(&root, "checkpoint-image.oci.tar.zst", "none");
    let index: Value = serde_json::from_slice(&layout.0["index.json"]).unwrap();
    let outer = &index["manifests"][0];
    let manifest: Value = serde_json::from_slice(blob(&layout, outer["digest"].as_str().unwrap())).unwrap();
    let mut annotations = pairs(&outer["annotations"]);
    annotations.extend(pairs(&manifest["annotations"]));
    let oci = OciFacts { annotations, descriptors: descriptors(&manifest), ..OciFacts::default() };
    let layer = blob(&layout, &oci.descriptors[0].1);
    let (files, times) = unpack(flate2::read::GzDecoder::new(layer), "checkpoint/");
    let (info, findings) = identify(&files, &below(&files, "checkpoint/"), Some(&oci), &times);
    quiet("OCI image", &findings);
    let truth = truth(&root, "checkpoint-image");
    assert_eq!((info.engine, text(&info.id)), (Engine::Podman, truth["Id"].as_str().unwrap()));
}

#[test]
fn images_without_an_engine() {
    let Some(root) = corpus("images") else { return };
    for (archive, directory) in
        [("tiny-criu.tar", ""), ("tiny-criu-noshare.tar", ""), ("criu-features.tar.zst", "criu-features/")]
    {
        let (files, times) = open(&root, archive, directory);
        // Hand-made tars have a directory, or `./`, in front.
        let first = files.names().into_iter().find(|name| name.ends_with("inventory.img")).unwrap();
        let images = below(&files, first.trim_end_matches("inventory.img"));
        let (info, findings) = identify(&Files::default(), &images, None, &times);
        quiet(archive, &findings);
        assert_eq!((info.engine, info.id.known()), (Engine::PlainCriu, None), "{archive}");
        assert!(info.checkpointed_estimate.is_some(), "{archive}");
    }
    let (files, times) = open(&root, "counter.tar.zst", "checkpoint/");
    let (info, findings) = identify(&Files::default(), &below(&files, "checkpoint/"), None, &times);
    assert_eq!((info.engine, info.runtime_family), (Engine::Runtime, Field::Known("crun")));
    assert_eq!(text(&info.id), "e6931b4c33d67fc7932e9378e0ff19b3b548ebf987c2a7a00c689089b414355c");
    assert_eq!(findings.notes.len(), 1);
}

#[test]
fn workloads_and_the_hostile_one() {
    let Some(root) = corpus("workloads") else { return };
    for (archive, image, deleted) in [
        ("kitchen.tar.zst", "localhost/kitchen:1", 1),
        ("compromised.tar.zst", "localhost/webshop:2.4", 2),
        ("hostile.tar.zst", "localhost/hostile:1", 6),
    ] {
        let (info, findings) = read(&root, archive);
        assert_eq!((info.engine, text(&info.image.name)), (Engine::Podman, image));
        assert_eq!(info.deleted_files.known().unwrap().len(), deleted, "{archive}");
        assert_eq!(info.networks, Field::Known(Vec::new()), "{archive}");
        assert!(findings.gaps.is_empty(), "{archive}: {:?}", findings.gaps);
        let notes: Vec<&str> = findings.notes.iter().map(|note| note.what.as_str()).collect();
        let expected: &[&str] = if archive.starts_with("hostile") { &["host name changed"] } else { &[] };
        assert_eq!(notes, expected, "{archive}");
        if archive.starts_with("hostile") {
            assert_eq!(info.uts_node_name, Field::Known(b"ho\x1b[31mst\nname".to_vec()));
            assert_eq!(info.uts_domain_name, Field::Known(b"dom\x1b]0;x\x07".to_vec()));
            assert_eq!(info.deleted_files.known().unwrap().iter().filter(|file| file.lossy).count(), 1);
            let annotations = info.annotations.known().unwrap();
            assert_eq!(annotations[0], (String::new(), "emptykey".to_owned()));
            let labels = info.labels.known().unwrap().iter().map(|(_, value)| value.len());
            assert_eq!((labels.len(), labels.sum::<usize>()), (16, 720_076));
        }
        if archive.starts_with("kitchen") {
            assert_eq!(info.volumes.known().unwrap()[0].name, "kitchen-vol");
        }
    }
}

#[test]
fn checkpointctl_shows_the_same() {
    let Some(root) = corpus("checkpointctl") else { return };
    let golden = root.join("checkpoints/golden");
    for name in [
        "counter",
        "counter-later",
        "counter-runc",
        "counter-crio",
        "counter-containerd",
        "redis",
        "tiny",
        "pre-final",
    ] {
        let archive = if name == "tiny" { "tiny.tar".to_owned() } else { format!("{name}.tar.zst") };
        let (info, _) = read(&root, &archive);
        let peer = |what: &str| {
            json(golden.join(name).join(format!("checkpointctl/inspect{what}.json.out")))[0].take()
        };
        let shown = peer("-stats");
        assert_eq!(text(&info.name), shown["container_name"], "{name}");
        assert_eq!(text(&info.image.name), shown["image"], "{name}");
        assert_eq!(text(&info.id), shown["id"], "{name}");
        assert_eq!(text(&info.runtime), shown["runtime"], "{name}");
        assert_eq!(info.engine.name(), shown["engine"], "{name}");
        assert_eq!(info.peer_created().as_deref(), shown["created"].as_str(), "{name}");
        assert_eq!(info.peer_checkpointed().as_deref(), shown["checkpointed"].as_str(), "{name}");
        let statistics = info.statistics.known().unwrap();
        for (ours, theirs) in [
            (u64::from(statistics.freezing_time), "freezing_time"),
            (u64::from(statistics.frozen_time), "frozen_time"),
            (u64::from(statistics.memdump_time), "memdump_time"),
            (u64::from(statistics.memwrite_time), "memwrite_time"),
            (statistics.pages_scanned, "pages_scanned"),
            (statistics.pages_written, "pages_written"),
        ] {
            assert_eq!(ours, shown["statistics"][theirs].as_u64().unwrap_or(0), "{name}: {theirs}");
        }
        let mounts: Vec<Value> = info
            .mounts
            .known()
            .unwrap()
            .iter()
            .map(|m| serde_json::json!({"destination": m.destination, "type": m.kind, "source": m.source}))
            .collect();
        assert_eq!(Value::from(mounts), peer("-mounts")["mounts"], "{name}");
        let head = golden.join(format!("head-inspect/checkpointctl-head/{name}-all.json.out"));
        if head.exists() {
            let head = json(head)[0].take();
            let first = |value: Option<String>| value.map_or(Value::Null, Value::from);
            assert_eq!(first(info.ip_addresses().first().map(ToString::to_string)), head["ip"], "{name}");
            assert_eq!(first(info.mac_addresses().first().map(ToString::to_string)), head["mac"], "{name}");
            same_map(&info.annotations, &head["metadata"]["annotations"]);
        }
    }
}
