//! Each engine by small files written by hand, and what happens when one of them is missing, cut, of wrong
//! types or forged.

use super::test_files::Files;
use super::*;
use crate::container::{Engine, Mount};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn read(bundle: &Files) -> (ContainerInfo, Findings) {
    identify(bundle, &Files::default(), None, &FileTimes::default())
}

fn files(files: &[(&str, &str)]) -> Files {
    files.iter().fold(Files::default(), |set, (name, text)| set.with(name, text.replace("@ID@", ID)))
}

fn known(text: &str) -> Field<String> {
    Field::Known(text.replace("@ID@", ID))
}

fn podman() -> Files {
    files(&[
        (
            "config.dump",
            r#"{"spec":{"annotations":{"user":"yes"}},"id":"@ID@","name":"web","lockID":0,"staticDir":"/s",
            "CreateCommand":["podman","run","web"],"RawImageName":"web","rootfsImageID":"abc","rootfsImageName":"localhost/web:1",
            "newPortMappings":[{"host_ip":"127.0.0.1","container_port":80,"host_port":8080,"range":2,"protocol":"tcp"}],
            "exposedPorts":{"80":["tcp"],"53":["udp"]},"newNetworks":{"podman":{}},"labels":{"a":"<&>"},
            "namedVolumes":[{"volumeName":"v","dest":"/v"}],"privileged":true,
            "createdTime":"2026-11-22T04:04:32.622076594Z","runtime":"crun","logPath":"/log"}"#,
        ),
        (
            "spec.dump",
            r#"{"process":{"args":["a","b"],"env":["X=1"]},"hostname":"h","mounts":[{"destination":"/proc"}],
            "annotations":{"io.container.manager":"libpod","io.kubernetes.cri-o.SandboxID":"pod","io.kubernetes.cri-o.TTY":"true"},
            "linux":{"cgroupsPath":"/libpod_parent/libpod-@ID@"}}"#,
        ),
        (
            "network.status",
            r#"{"podman":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.88.0.2/16"}],"mac_address":"f2:da:00:bc:c7:57"}}}}"#,
        ),
    ])
}

#[test]
fn podman_in_full() {
    let (info, findings) = read(&podman());
    assert_eq!((info.engine, info.engine.name()), (Engine::Podman, "Podman"));
    assert_eq!((info.id.clone(), info.name.clone()), (known("@ID@"), known("web")));
    assert_eq!(info.pod.name, Field::NotApplicable);
    assert_eq!(
        (info.image.requested.clone(), info.image.name.clone()),
        (known("web"), known("localhost/web:1"))
    );
    assert_eq!((info.runtime.clone(), info.log_path.clone()), (known("crun"), known("/log")));
    assert_eq!(info.peer_created().as_deref(), Some("2026-11-22T04:04:32Z"));
    assert_eq!((info.started.clone(), info.checkpointed.clone()), (Field::NotCaptured, Field::NotCaptured));
    assert_eq!((info.restored.clone(), info.init_host_pid.clone()), (Field::NotCaptured, Field::NotCaptured));
    assert_eq!(info.labels.known().unwrap(), &[("a".to_owned(), "<&>".to_owned())]);
    assert_eq!(info.ip_addresses(), ["10.88.0.2".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(info.mac_addresses(), ["f2:da:00:bc:c7:57"]);
    let ports = info.ports.known().unwrap();
    let seen: Vec<_> = ports.iter().map(|p| (p.container_port, p.host_port, p.count, p.published)).collect();
    assert_eq!(seen, [(80, Some(8080), 2, true), (53, None, 1, false)]);
    assert_eq!(info.volumes.known().unwrap()[0].name, "v");
    assert_eq!(info.security.privileged, Field::Known(true));
    assert_eq!(info.mounts.known().unwrap().len(), 1);
    assert_eq!(info.create_command.known().unwrap().len(), 3);
    assert!(findings.gaps.is_empty(), "{:?}", findings.gaps);
    assert!(findings.notes.is_empty(), "{:?}", findings.notes);
}

#[test]
fn a_podman_pod_and_a_container_without_labels_or_ports() {
    let bundle = files(&[
        ("config.dump", r#"{"spec":{},"id":"@ID@","lockID":1,"staticDir":"/s","pod":"PODID"}"#),
        ("spec.dump", "{}"),
        ("network.status", "null"),
    ]);
    let (info, findings) = read(&bundle);
    assert_eq!((info.pod.id, info.pod.name), (known("PODID"), Field::NotCaptured));
    assert_eq!((info.labels, info.ports), (Field::Known(Vec::new()), Field::Known(Vec::new())));
    assert_eq!((info.networks, info.created), (Field::Known(Vec::new()), Field::NotCaptured));
    assert!(findings.gaps.is_empty());
}

#[test]
fn annotations_forged_to_look_like_cri_o_do_not_deceive() {
    let forged = r#"{"annotations":{"io.container.manager":"cri-o","io.kubernetes.cri-o.Metadata":"{\"name\":\"fake\"}",
        "io.kubernetes.cri-o.Created":""}}"#;
    let (info, findings) = read(&podman().with("spec.dump", forged));
    assert_eq!((info.engine, info.name), (Engine::Podman, known("web")));
    let [note] = findings.notes.as_slice() else { panic!("{:?}", findings.notes) };
    assert_eq!(note.what, "annotations of CRI-O in a checkpoint by Podman");
    // `Created` Podman 4 sets itself.
    assert!(note.place.contains("io.container.manager and 1 more"), "{}", note.place);
}

#[test]
fn missing_members_cost_their_own_facts() {
    for (gone, still) in [("config.dump", "h"), ("spec.dump", "web"), ("network.status", "web")] {
        let mut bundle = podman();
        bundle.0.remove(gone);
        let (info, findings) = read(&bundle);
        assert_eq!(info.engine, Engine::Podman, "without {gone}");
        assert_eq!(findings.gaps.len(), 1, "{:?}", findings.gaps);
        assert_eq!(findings.gaps[0].place, gone);
        match gone {
            "config.dump" => {
                assert_eq!(info.host_name, known(still));
                assert!(
                    matches!(info.name, Field::Unreadable(_)) && matches!(info.labels, Field::Unreadable(_))
                );
                assert_eq!(info.mac_addresses().len(), 1);
            }
            "spec.dump" => {
                assert_eq!(info.name, known(still));
                assert!(matches!(info.environment, Field::Unreadable(_)));
            }
            _ => assert!(matches!(info.networks, Field::Unreadable(_))),
        }
    }
}

#[test]
fn every_cut_of_every_file_leaves_an_answer() {
    let whole = podman();
    for name in ["config.dump", "spec.dump", "network.status"] {
        let bytes = whole.0[name].clone();
        for cut in 0..bytes.len() {
            let (info, findings) = read(&whole.clone().with(name, &bytes[..cut]));
            assert_eq!(info.engine, Engine::Podman, "{name} cut at {cut}");
            assert_eq!(findings.gaps.len(), 1, "{name} cut at {cut}: {:?}", findings.gaps);
            assert!(info.host_name.known().is_some() || name == "spec.dump");
        }
    }
}

#[test]
fn wrong_types_everywhere_do_no_harm() {
    let values =
        ["null", "true", "-1", "1e300", "\"\"", "\"x\"", "[]", "[null,{}]", "{}", "{\"\":{\"\":[]}}"];
    let names = [
        "config.dump",
        "spec.dump",
        "status",
        "status.dump",
        "network.status",
        "deleted.files",
        "bind.mounts",
        "config.v2.json",
        "hostconfig.json",
        "config.json",
        "descriptors.json",
    ];
    for value in values {
        for name in names {
            let _answer = read(&files(&[(name, value)]));
            let _answer = read(&podman().with(name, value));
            let keys = [
                "spec",
                "id",
                "name",
                "lockID",
                "staticDir",
                "labels",
                "createdTime",
                "exposedPorts",
                "newPortMappings",
                "namedVolumes",
                "metadata",
                "annotations",
                "process",
                "mounts",
                "linux",
                "image",
                "State",
                "Config",
                "NetworkSettings",
                "MountPoints",
                "PortBindings",
                "Memory",
                "Args",
                "Path",
            ];
            let all: Vec<String> = keys.iter().map(|key| format!("\"{key}\":{value}")).collect();
            let object = format!("{{{}}}", all.join(","));
            for files in [files(&[(name, &object)]), podman().with(name, &object), crio().with(name, &object)]
            {
                let _answer = read(&files);
            }
        }
    }
}

fn crio() -> Files {
    files(&[
        (
            "config.dump",
            r#"{"id":"@ID@","name":"k8s_web_pod_ns_uid-1_2","rootfsImage":"web","rootfsImageRef":"abc","rootfsImageName":"localhost/web:1",
            "runtime":"runc","createdTime":"2026-11-22T04:13:24.922567436Z","checkpointedTime":"2026-11-22T04:13:32.95199831Z",
            "restoredTime":"0001-01-01T00:00:00Z","restored":false}"#,
        ),
        (
            "spec.dump",
            r#"{"hostname":"h","annotations":{"io.container.manager":"cri-o","io.kubernetes.cri-o.ContainerID":"@ID@",
            "io.kubernetes.cri-o.Name":"k8s_web_pod_ns_uid-1_2","io.kubernetes.cri-o.Metadata":"{\"name\":\"web\",\"attempt\":2}",
            "io.kubernetes.container.name":"web","io.kubernetes.pod.name":"pod","io.kubernetes.pod.namespace":"ns",
            "io.kubernetes.pod.uid":"uid-1","io.kubernetes.cri-o.SandboxID":"sandbox",
            "io.kubernetes.cri-o.Created":"2026-11-22T04:13:24.845206677Z","io.kubernetes.cri-o.IP.10":"10.85.0.4",
            "io.kubernetes.cri-o.IP.9":"fd00::3","io.kubernetes.cri-o.IP.0":"10.85.0.3","io.kubernetes.cri-o.IP.x":"no",
            "io.kubernetes.cri-o.Labels":"{\"app\":\"web\"}","io.kubernetes.cri-o.Annotations":"{\"note\":\"\"}",
            "io.kubernetes.cri-o.ImageRepoDigests":"a@sha256:1,b@sha256:2","io.kubernetes.cri-o.LogPath":"/var/log/0.log",
            "io.kubernetes.cri-o.Volumes":"[]"}}"#,
        ),
        ("bind.mounts", "[]"),
    ])
}

#[test]
fn cri_o_in_full() {
    let (info, findings) = read(&crio());
    assert_eq!(
        (info.engine, info.name.clone(), info.attempt.clone()),
        (Engine::CriO, known("web"), Field::Known(2))
    );
    assert_eq!((info.pod.name.clone(), info.pod.namespace.clone()), (known("pod"), known("ns")));
    assert_eq!((info.pod.uid.clone(), info.pod.sandbox_id.clone()), (known("uid-1"), known("sandbox")));
    let addresses: Vec<String> = info.ip_addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.85.0.3", "fd00::3", "10.85.0.4"]);
    assert_eq!(info.peer_created().as_deref(), Some("2026-11-22T04:13:24.845206677Z"));
    assert_eq!(info.created.known().unwrap().text(), "2026-11-22T04:13:24.922567436Z");
    assert_eq!(info.peer_checkpointed().as_deref(), Some("2026-11-22T04:13:32Z"));
    assert_eq!((info.restored.clone(), info.started.clone()), (Field::Known(false), Field::NotCaptured));
    assert_eq!(info.labels.known().unwrap()[0].1, "web");
    assert_eq!(info.kubernetes_annotations.known().unwrap()[0], ("note".to_owned(), String::new()));
    assert_eq!(info.image.repo_digests.known().unwrap(), &["a@sha256:1", "b@sha256:2"]);
    assert!(findings.gaps.is_empty() && findings.notes.is_empty(), "{findings:?}");
}

#[test]
fn cri_o_names_that_differ_are_noted_and_config_dump_wins() {
    let spec = String::from_utf8(crio().0["spec.dump"].clone()).unwrap();
    let spec =
        spec.replace(r#"\"name\":\"web\""#, r#"\"name\":\"kube-proxy\""#).replace(r#""pod""#, r#""other""#);
    let (info, findings) = read(&crio().with("spec.dump", spec));
    assert_eq!((info.name, info.pod.name), (known("web"), known("pod")));
    let notes: Vec<&str> = findings.notes.iter().map(|note| note.what.as_str()).collect();
    assert_eq!(notes, ["container name: two answers", "pod name: two answers"]);
}

#[test]
fn cri_o_json_in_annotations_may_be_anything() {
    let spec = String::from_utf8(crio().0["spec.dump"].clone()).unwrap();
    let spec = spec.replace(r#""{\"app\":\"web\"}""#, r#""{\"app\":""#).replace("10.85.0.3", "10.85.0.300");
    let (info, findings) = read(&crio().with("spec.dump", spec));
    assert_eq!((info.name, info.labels), (known("web"), Field::Known(Vec::new())));
    assert_eq!(findings.gaps.len(), 2, "{:?}", findings.gaps);
}

#[test]
fn old_cri_o_records_less() {
    let bundle =
        crio().with("config.dump", r#"{"id":"x","name":"plain","createdTime":"2026-11-22T04:13:24Z"}"#);
    let (info, _) = read(&bundle);
    assert_eq!((info.checkpointed, info.restored), (Field::NotCaptured, Field::NotCaptured));
}

fn containerd() -> Files {
    files(&[
        (
            "config.dump",
            r#"{"id":"@ID@","name":"web_pod_ns_uid-1_0","rootfsImage":"web","rootfsImageRef":"docker.io/web@sha256:77","runtime":"io.containerd.runc.v2",
            "createdTime":"2026-11-22T04:45:07.26478896+02:00","checkpointedTime":"2026-11-22T04:45:13Z","restored":false}"#,
        ),
        (
            "spec.dump",
            r#"{"annotations":{"io.kubernetes.cri.container-name":"web","io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.sandbox-id":"sandbox","io.kubernetes.cri.sandbox-name":"pod","io.kubernetes.cri.sandbox-namespace":"ns"}}"#,
        ),
        ("status", r#"{"Pid":239,"StartedAt":1795322707340160556,"Restore":true}"#),
        (
            "status.dump",
            r#"{"id":"@ID@","metadata":{"name":"web"},"state":1,"started_at":1795322707340160556,"image":{"image":"docker.io/web:1"},
            "image_ref":"docker.io/web@sha256:77","labels":{"io.kubernetes.pod.uid":"uid-1"},"log_path":"/l"}"#,
        ),
    ])
}

#[test]
fn containerd_in_full() {
    let (info, findings) = read(&containerd());
    assert_eq!(
        (info.engine, info.name.clone(), info.attempt.clone()),
        (Engine::Containerd, known("web"), Field::Known(0))
    );
    assert_eq!(info.started.known().unwrap().text(), "1795322707340160556");
    assert_eq!(info.peer_created().as_deref(), Some("2026-11-22T04:45:07+02:00"));
    assert_eq!(
        (info.image.id.clone(), info.image.manifest_digest.clone()),
        (Field::NotCaptured, known("sha256:77"))
    );
    assert_eq!(info.image.repo_digests.known().unwrap(), &["docker.io/web@sha256:77"]);
    assert_eq!(info.image.name, known("docker.io/web:1"));
    assert_eq!((info.restored.clone(), info.state.clone()), (Field::Known(true), known("running")));
    assert_eq!((info.init_host_pid.clone(), info.networks.clone()), (Field::Known(239), Field::NotCaptured));
    assert_eq!((info.pod.uid.clone(), info.deleted_files.clone()), (known("uid-1"), Field::NotApplicable));
    assert!(findings.gaps.is_empty() && findings.notes.is_empty(), "{findings:?}");
}

#[test]
fn containerd_2_0_has_no_status() {
    let mut bundle = containerd();
    bundle.0.retain(|name, _| !name.starts_with("status"));
    let (info, findings) = read(&bundle);
    assert_eq!(
        (info.engine, info.name, info.started),
        (Engine::Containerd, known("web"), Field::NotCaptured)
    );
    assert_eq!((info.state, info.labels), (Field::NotCaptured, Field::NotCaptured));
    assert!(findings.gaps.is_empty() && findings.notes.is_empty(), "{findings:?}");
}

#[test]
fn containerd_files_of_two_containers_are_noted() {
    let status = r#"{"id":"other","metadata":{"name":"evil","attempt":4},"state":9,"started_at":5}"#;
    let (info, findings) = read(&containerd().with("status.dump", status));
    assert_eq!((info.id, info.name), (known("@ID@"), known("web")));
    assert_eq!((findings.notes.len(), findings.gaps.len()), (4, 1), "{findings:?}");
    assert!(matches!(info.state, Field::Unparsable(_)));
}

fn docker() -> Files {
    files(&[
        (
            "config.v2.json",
            r#"{"ID":"@ID@","Name":"/web","Created":"2026-11-22T04:45:28.036184834Z","Path":"sh","Args":["-c","x"],"RestartCount":3,
            "State":{"Running":true,"Pid":172,"StartedAt":"2026-11-22T04:45:28.048225407Z"},"Image":"sha256:abc","LogPath":"/l",
            "Config":{"Hostname":"h","Image":"web","Env":["A=1"],"Labels":{"a":"b"},"ExposedPorts":{"8088":{},"53/udp":{}}},
            "NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"8088/tcp":null},
            "Networks":{"bridge":{"IPAddress":"172.17.0.2","IPPrefixLen":16,"Gateway":"172.17.0.1","GlobalIPv6Address":"fd00::2",
            "GlobalIPv6PrefixLen":64,"IPv6Gateway":"","MacAddress":"ca:b9:c5:53:e2:f6"}}},
            "MountPoints":{"/data":{"Type":"volume","Name":"v","Source":"/var/v","RW":false,"Propagation":"","Mode":"z"}}}"#,
        ),
        (
            "hostconfig.json",
            r#"{"Runtime":"runc","Memory":1048576,"MemorySwap":-1,"NanoCpus":1500000000,"Privileged":true,"PidsLimit":null}"#,
        ),
        ("hostname", "h\n"),
    ])
}

#[test]
fn docker_in_full() {
    let (info, findings) = read(&docker());
    assert_eq!(
        (info.engine, info.name.clone(), info.full_name.clone()),
        (Engine::Docker, known("web"), known("/web"))
    );
    assert_eq!((info.attempt.clone(), info.init_host_pid.clone()), (Field::Known(3), Field::Known(172)));
    assert_eq!(info.command.known().unwrap(), &["sh", "-c", "x"]);
    assert_eq!(info.started.known().unwrap().text(), "2026-11-22T04:45:28.048225407Z");
    assert_eq!((info.checkpointed.clone(), info.host_name.clone()), (Field::NotCaptured, known("h")));
    let addresses: Vec<String> = info.ip_addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["172.17.0.2", "fd00::2"]);
    let ports: Vec<_> =
        info.ports.known().unwrap().iter().map(|p| (p.container_port, p.published, p.host_port)).collect();
    assert_eq!(
        ports,
        [(80, true, Some(8080)), (80, true, Some(8080)), (8088, false, None), (53, false, None)]
    );
    let mount = &info.mounts.known().unwrap()[0];
    assert_eq!(
        mount,
        &Mount {
            destination: "/data".to_owned(),
            kind: Some("volume".to_owned()),
            source: Some("/var/v".to_owned()),
            options: vec!["z".to_owned(), "ro".to_owned()]
        }
    );
    let resources = info.resources.known().unwrap();
    assert_eq!((resources.memory_limit, resources.memory_swap), (Some(1_048_576), Some(-1)));
    assert_eq!(
        (resources.cpu_quota, resources.cpu_period, resources.pids_limit),
        (Some(150_000), Some(100_000), None)
    );
    assert_eq!(
        (info.security.privileged.clone(), info.state.clone()),
        (Field::Known(true), known("running"))
    );
    assert!(findings.gaps.is_empty() && findings.notes.is_empty(), "{findings:?}");
}

#[test]
fn docker_started_again_after_the_checkpoint_is_noted() {
    let times = FileTimes { newest_image: Some(1_795_322_700), ..FileTimes::default() };
    let bundle = docker();
    let created = String::from_utf8(bundle.0["config.v2.json"].clone())
        .unwrap()
        .replace("04:45:28.036", "03:45:28.036");
    let (info, findings) = identify(&bundle.with("config.v2.json", created), &Files::default(), None, &times);
    assert_eq!(info.checkpointed_estimate.unwrap().time.text(), "2026-11-22T04:45:00Z");
    assert_eq!(findings.notes.len(), 1, "{findings:?}");
    assert_eq!(findings.notes[0].what, "container started after it was checkpointed");
}

#[test]
fn ctr_by_its_index_and_blobs() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let spec = br#"{"process":{"args":["a"]},"linux":{"cgroupsPath":"/default/ctrcounter"}}"#;
    let mut blob = b"\x0a\x01u\x12".to_vec();
    blob.push(u8::try_from(spec.len()).unwrap());
    blob.extend_from_slice(spec);
    let oci = OciFacts {
        annotations: vec![
            pair("org.opencontainers.image.ref.name", "1"),
            pair("io.containerd.checkpoint.runtime", "io.containerd.runc.v2"),
            pair("org.opencontainers.image.ref.name", "localhost/web:1"),
        ],
        descriptors: vec![
            pair(crate::oci::CRIU_TAR, "sha256:1"),
            pair("application/vnd.oci.image.manifest.v1+json", "sha256:2"),
        ],
        runtime_spec: Some(blob),
        runtime_options: Some(b"\x0a\x1acontainerd.runc.v1.Options\x12\x07\x32\x05/r/un".to_vec()),
    };
    let none = Files::default();
    let (info, findings) = identify(&none, &none, Some(&oci), &FileTimes::default());
    assert_eq!(
        (info.engine, info.id.clone(), info.full_name.clone()),
        (Engine::ContainerdClient, known("ctrcounter"), known("default/ctrcounter"))
    );
    assert_eq!(
        (info.image.name.clone(), info.image.manifest_digest.clone()),
        (known("localhost/web:1"), known("sha256:2"))
    );
    assert_eq!(
        (info.runtime.clone(), info.runtime_binary.clone()),
        (known("io.containerd.runc.v2"), known("/r/un"))
    );
    assert_eq!((info.name.clone(), info.created.clone()), (Field::NotCaptured, Field::NotCaptured));
    assert_eq!(info.command.known().unwrap(), &["a"]);
    assert!(findings.gaps.is_empty(), "{findings:?}");

    let broken =
        OciFacts { runtime_spec: Some(b"{".to_vec()), runtime_options: Some(b"\xff".to_vec()), ..oci };
    let (info, findings) = identify(&none, &none, Some(&broken), &FileTimes::default());
    assert!(
        matches!(info.command, Field::Unreadable(_)) && matches!(info.runtime_binary, Field::Unparsable(_))
    );
    assert_eq!((info.image.name, findings.gaps.len()), (known("localhost/web:1"), 2));
}

#[test]
fn an_images_annotations_that_lie_are_noted() {
    let pair = |key: &str, value: &str| (format!("org.criu.checkpoint.{key}"), value.to_owned());
    let oci = OciFacts {
        annotations: vec![
            pair("engine.name", "CRI-O"),
            pair("container.name", "web"),
            pair("rootfsImageID", ""),
            pair("pod.name", "x"),
        ],
        ..OciFacts::default()
    };
    let (info, findings) = identify(&podman(), &Files::default(), Some(&oci), &FileTimes::default());
    assert_eq!((info.engine, info.name), (Engine::Podman, known("web")));
    assert_eq!(findings.notes.len(), 1, "{findings:?}");
    assert_eq!(findings.notes[0].place, "image annotation org.criu.checkpoint.engine.name");
}

#[test]
fn images_alone_still_tell_whose_they_were() {
    let path = format!("/libpod_parent/libpod-{ID}");
    let set = [
        &[
            0x08,
            2,
            0x12,
            u8::try_from(path.len()).unwrap() + 4,
            0x0a,
            0,
            0x12,
            u8::try_from(path.len()).unwrap(),
        ],
        path.as_bytes(),
    ]
    .concat();
    let message = [&[0x0a, u8::try_from(set.len()).unwrap()], set.as_slice()].concat();
    let head = b"\x19\x43\x56\x54\x30\x33\x38\x59";
    let image = [&head[..], &u32::try_from(message.len()).unwrap().to_le_bytes(), &message].concat();
    let images =
        Files::default().with("cgroup.img", image).with("descriptors.json", r#"["/dev/null","/x","/x"]"#);
    let (info, findings) = identify(&Files::default(), &images, None, &FileTimes::default());
    assert_eq!(
        (info.engine, info.id, info.runtime_family),
        (Engine::Runtime, known("@ID@"), Field::Known("runc"))
    );
    assert_eq!(findings.notes[0].what, "images of a container of Podman");

    // The same images under the metadata of another container.
    let other =
        podman().with("config.dump", r#"{"id":"other","name":"web","spec":{},"lockID":0,"staticDir":"/s"}"#);
    let (info, findings) = identify(&other, &images, None, &FileTimes::default());
    assert_eq!((info.id, findings.notes[0].what.as_str()), (known("other"), "container id: two answers"));
}

#[test]
fn nothing_at_all_is_an_answer_too() {
    let (info, findings) = read(&Files::default());
    assert_eq!((info.engine, info.engine_sign), (Engine::Unknown, "neither metadata nor images"));
    assert!(findings.gaps.is_empty() && findings.notes.is_empty());
}

#[test]
fn large_and_strange_values_stay_as_they_are() {
    let big = "L".repeat(700_000);
    let config = format!(
        r#"{{"spec":{{}},"id":"x","lockID":0,"staticDir":"/s","labels":{{"":"empty","big":"{big}","\u001b[2J":"\u202e"}}}}"#
    );
    let (info, findings) = read(&podman().with("config.dump", config));
    let labels = info.labels.known().unwrap();
    assert_eq!((labels[0].0.as_str(), labels[1].1.len(), labels[2].0.as_str()), ("", 700_000, "\u{1b}[2J"));
    assert!(findings.gaps.is_empty(), "{findings:?}");
}

#[test]
fn a_stray_file_named_status_is_no_sign_of_containerd() {
    let images = Files::default().with("inventory.img", "");
    let (info, findings) =
        identify(&files(&[("status", "all is well")]), &images, None, &FileTimes::default());
    assert_eq!(info.engine, Engine::PlainCriu);
    assert!(findings.gaps.is_empty(), "{findings:?}");
}

#[test]
fn bytes_changed_at_random_do_no_harm() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for bundle in [podman(), crio(), containerd(), docker()] {
        for _ in 0..400 {
            let mut changed = bundle.clone();
            for bytes in changed.0.values_mut() {
                for _ in 0..next() % 4 {
                    let at = usize::try_from(next()).unwrap() % bytes.len().max(1);
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = b"\"{}[],:0-\\e\xff\0 "[usize::try_from(next() % 14).unwrap()];
                    }
                }
            }
            let (info, findings) = read(&changed);
            // What is unreadable or makes no sense is always admitted.
            let lost = [&info.id, &info.name, &info.runtime]
                .into_iter()
                .any(|field| matches!(field, Field::Unreadable(_) | Field::Unparsable(_)));
            assert!(!lost || !findings.gaps.is_empty());
        }
    }
}
