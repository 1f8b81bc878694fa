//! What a container was: one answer, whatever engine wrote the checkpoint.

use std::net::IpAddr;

use crate::gap::Field;

pub use crate::engine::log::{DumpLog, Kernel};
pub use crate::engine::statistics::DumpStatistics;
pub use crate::engine::timestamp::Timestamp;

/// Who wrote a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Podman: `podman container checkpoint --export` and its kin.
    Podman,
    /// CRI-O, through the kubelet or crictl.
    CriO,
    /// containerd's CRI service, through the kubelet or crictl.
    Containerd,
    /// containerd by its own client, `ctr containers checkpoint`: an OCI index whose descriptors are the
    /// parts.
    ContainerdClient,
    /// Docker: `docker checkpoint create`.
    Docker,
    /// An OCI runtime (runc, crun) without an engine around it, or only the image directory of a checkpoint.
    Runtime,
    /// `criu dump` by hand, or a copied subset of images.
    PlainCriu,
    /// Metadata of the CRI's form, with no sign of whose.
    Unknown,
}

impl Engine {
    /// The name for people; the first three and Docker as checkpointctl and the engines spell them.
    pub fn name(self) -> &'static str {
        match self {
            Self::Podman => "Podman",
            Self::CriO => "CRI-O",
            Self::Containerd => "containerd",
            Self::ContainerdClient => "containerd (ctr)",
            Self::Docker => "Docker",
            Self::Runtime => "OCI runtime",
            Self::PlainCriu => "CRIU",
            Self::Unknown => "unknown",
        }
    }
}

/// What the metadata of one checkpoint says about its container, field by field.
///
/// A list or map that is known and empty means that the engine records such things and there were none. Texts
/// are as the engine wrote them: Go's JSON encoder has already turned bytes that were not UTF-8 into U+FFFD;
/// control characters are still in.
#[derive(Clone, Debug)]
pub struct ContainerInfo {
    /// Who wrote the checkpoint.
    pub engine: Engine,
    /// The sign by which the engine was told.
    pub engine_sign: &'static str,
    /// The container's id, in full.
    pub id: Field<String>,
    /// The name people know: without Docker's `/`, for Kubernetes the name in the pod's description.
    pub name: Field<String>,
    /// The engine's own name for it: `k8s_CTR_POD_NS_UID_ATTEMPT` (CRI-O), without `k8s_` (containerd),
    /// `/NAME` (Docker), `NAMESPACE/ID` (ctr).
    pub full_name: Field<String>,
    /// How often it had been restarted (Kubernetes: the attempt; Docker: restarts by its policy).
    pub attempt: Field<u32>,
    /// The pod around it.
    pub pod: Pod,
    /// The image it was made from.
    pub image: Image,
    /// The runtime as the engine names it: a binary's name or path (Podman, Docker), a handler (CRI-O), a
    /// shim (containerd).
    pub runtime: Field<String>,
    /// Path of the runtime's binary, where it is recorded apart from the name.
    pub runtime_binary: Field<String>,
    /// `crun` or `runc`, told by the way `descriptors.json` is written. containerd rewrites the file, but
    /// keeps its text.
    pub runtime_family: Field<&'static str>,
    /// When the container was created. Podman sets it anew when it restores from an archive.
    pub created: Field<Timestamp>,
    /// CRI-O's annotation `io.kubernetes.cri-o.Created` as it stands: a little earlier than `created`, and
    /// what checkpointctl shows.
    pub created_annotation: Field<String>,
    /// When its first process was started.
    pub started: Field<Timestamp>,
    /// When it was checkpointed; CRI-O takes the time between pause and dump, containerd before both.
    pub checkpointed: Field<Timestamp>,
    /// For engines that record no such time: what else tells it.
    pub checkpointed_estimate: Option<CheckpointedEstimate>,
    /// Whether it had itself been restored from a checkpoint.
    pub restored: Field<bool>,
    /// Its state in the engine's words.
    pub state: Field<String>,
    /// The host name it was given; where the engine records none, that of its UTS namespace at the dump.
    pub host_name: Field<String>,
    /// Node name of its UTS namespace at the dump (`utsns_entry.nodename`), bytes as they were.
    pub uts_node_name: Field<Vec<u8>>,
    /// NIS domain name of its UTS namespace at the dump (`utsns_entry.domainname`); `(none)` is the kernel's
    /// word for unset.
    pub uts_domain_name: Field<Vec<u8>>,
    /// Its networks as the engine set them up.
    pub networks: Field<Vec<Network>>,
    /// Ports that are published or declared.
    pub ports: Field<Vec<Port>>,
    /// Labels, in the order of the file.
    pub labels: Field<Vec<(String, String)>>,
    /// Annotations of the runtime spec, the engine's own among them, in the order of the file.
    pub annotations: Field<Vec<(String, String)>>,
    /// The annotations that Kubernetes gave (CRI-O, containerd).
    pub kubernetes_annotations: Field<Vec<(String, String)>>,
    /// The command it was started with: program and arguments.
    pub command: Field<Vec<String>>,
    /// The command line of `podman run` that made it; can hold secrets.
    pub create_command: Field<Vec<String>>,
    /// The environment it was started with, `NAME=VALUE` in order. For Docker without what it adds at start
    /// (PATH, HOSTNAME).
    pub environment: Field<Vec<String>>,
    /// Its working directory.
    pub working_directory: Field<String>,
    /// Mounts, in the order of the runtime spec.
    pub mounts: Field<Vec<Mount>>,
    /// Named volumes.
    pub volumes: Field<Vec<Volume>>,
    /// Files that CRI-O had bind-mounted, with what it needs to make them again.
    pub bind_mounts: Field<Vec<BindMount>>,
    /// What deleted.files lists. Not applicable where the rootfs diff itself has whiteouts (containerd).
    pub deleted_files: Field<Vec<DeletedFile>>,
    /// Limits it was given.
    pub resources: Field<Resources>,
    /// What held it apart from its host.
    pub security: Security,
    /// Its control group as the engine asked for it.
    pub cgroup_path: Field<String>,
    /// Its control group at the dump (cgroup.img).
    pub cgroup_path_at_dump: Field<String>,
    /// Where its output was logged, on the host.
    pub log_path: Field<String>,
    /// Pid of its first process on the host.
    pub init_host_pid: Field<u32>,
    /// What its file descriptors 0, 1, 2 were when it started (descriptors.json).
    pub initial_descriptors: Field<Vec<String>>,
    /// The dump itself: which CRIU, on which host, how it went.
    pub dump: DumpLog,
    /// How long the dump took and how much it wrote.
    pub statistics: Field<DumpStatistics>,
}

impl ContainerInfo {
    /// An answer that knows nothing yet.
    pub(crate) fn blank(engine: Engine, engine_sign: &'static str) -> Self {
        Self {
            engine,
            engine_sign,
            id: Field::NotCaptured,
            name: Field::NotCaptured,
            full_name: Field::NotCaptured,
            attempt: Field::NotCaptured,
            pod: Pod::default(),
            image: Image::default(),
            runtime: Field::NotCaptured,
            runtime_binary: Field::NotCaptured,
            runtime_family: Field::NotCaptured,
            created: Field::NotCaptured,
            created_annotation: Field::NotCaptured,
            started: Field::NotCaptured,
            checkpointed: Field::NotCaptured,
            checkpointed_estimate: None,
            restored: Field::NotCaptured,
            state: Field::NotCaptured,
            host_name: Field::NotCaptured,
            uts_node_name: Field::NotCaptured,
            uts_domain_name: Field::NotCaptured,
            networks: Field::NotCaptured,
            ports: Field::NotCaptured,
            labels: Field::NotCaptured,
            annotations: Field::NotCaptured,
            kubernetes_annotations: Field::NotCaptured,
            command: Field::NotCaptured,
            create_command: Field::NotCaptured,
            environment: Field::NotCaptured,
            working_directory: Field::NotCaptured,
            mounts: Field::NotCaptured,
            volumes: Field::NotCaptured,
            bind_mounts: Field::NotCaptured,
            deleted_files: Field::NotCaptured,
            resources: Field::NotCaptured,
            security: Security::default(),
            cgroup_path: Field::NotCaptured,
            cgroup_path_at_dump: Field::NotCaptured,
            log_path: Field::NotCaptured,
            init_host_pid: Field::NotCaptured,
            initial_descriptors: Field::NotCaptured,
            dump: DumpLog::default(),
            statistics: Field::NotCaptured,
        }
    }

    /// All addresses of all networks, in order, each once.
    pub fn ip_addresses(&self) -> Vec<IpAddr> {
        let mut all = Vec::new();
        for address in self.interfaces().flat_map(|interface| &interface.addresses) {
            if !all.contains(&address.address) {
                all.push(address.address);
            }
        }
        all
    }

    /// All hardware addresses of all networks, in order, each once.
    pub fn mac_addresses(&self) -> Vec<&str> {
        let mut all = Vec::new();
        for mac in self.interfaces().filter_map(|interface| interface.mac.as_deref()) {
            if !all.contains(&mac) {
                all.push(mac);
            }
        }
        all
    }

    /// What checkpointctl shows as the time of creation: to the second, but for CRI-O the annotation as it
    /// stands.
    pub fn peer_created(&self) -> Option<String> {
        match self.engine {
            Engine::CriO => self.created_annotation.known().cloned(),
            _ => self.created.known().map(Timestamp::to_seconds_text),
        }
    }

    /// What checkpointctl shows as the time of the checkpoint, to the second.
    pub fn peer_checkpointed(&self) -> Option<String> {
        self.checkpointed.known().map(Timestamp::to_seconds_text)
    }

    fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.networks.known().into_iter().flatten().flat_map(|network| &network.interfaces)
    }
}

/// The pod around a container; not applicable where there was none.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// Podman's id of the pod.
    pub id: Field<String>,
    /// Name in Kubernetes.
    pub name: Field<String>,
    /// Namespace in Kubernetes.
    pub namespace: Field<String>,
    /// UID in Kubernetes.
    pub uid: Field<String>,
    /// Id of the pod's sandbox in the CRI engine.
    pub sandbox_id: Field<String>,
}

/// The image a container was made from.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The reference as it was asked for.
    pub requested: Field<String>,
    /// The name it was found by.
    pub name: Field<String>,
    /// Digest of its configuration: bare hex (Podman, CRI-O) or with `sha256:` in front (containerd, Docker).
    pub id: Field<String>,
    /// `NAME@sha256:…`: digests of manifests under which a registry knows it.
    pub repo_digests: Field<Vec<String>>,
    /// Digest of its manifest, where it stands alone.
    pub manifest_digest: Field<String>,
}

/// One network of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name in the engine; CRI-O and CNI results record none.
    pub name: Option<String>,
    /// The container's interfaces on it.
    pub interfaces: Vec<Interface>,
}

/// One interface in a container's network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name, `eth0`; CRI-O and Docker record none.
    pub name: Option<String>,
    /// Its addresses.
    pub addresses: Vec<InterfaceAddress>,
    /// Its hardware address, as written.
    pub mac: Option<String>,
}

/// One address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// Length of the network's prefix, in bits.
    pub prefix: Option<u8>,
    /// The way out.
    pub gateway: Option<IpAddr>,
}

/// A port that is published on the host, or only declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Port in the container.
    pub container_port: u16,
    /// `tcp`, `udp`, `sctp`.
    pub protocol: String,
    /// Port on the host; none if it is only declared, or left to the engine.
    pub host_port: Option<u16>,
    /// Address on the host; none for all of them.
    pub host_ip: Option<IpAddr>,
    /// How many ports in a row this stands for.
    pub count: u16,
    /// Whether it is published on the host (else only declared by the image or the user).
    pub published: bool,
}

impl Port {
    /// A port that an image or a user declared, without publishing it.
    pub(crate) fn declared(container_port: u16, protocol: &str) -> Self {
        let protocol = protocol.to_owned();
        Self { container_port, protocol, host_port: None, host_ip: None, count: 1, published: false }
    }
}

/// A mount of the runtime spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where in the container.
    pub destination: String,
    /// File-system type, or `bind`.
    pub kind: Option<String>,
    /// Path on the host, or the file system's name.
    pub source: Option<String>,
    /// Options as given.
    pub options: Vec<String>,
}

/// A named volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name; Podman packs its contents as `volumes/NAME.tar`.
    pub name: String,
    /// Where in the container.
    pub destination: String,
}

/// An entry of CRI-O's bind.mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindMount {
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub destination: String,
    /// `file` or `directory`.
    pub file_type: String,
    /// Mode bits of the source.
    pub permissions: u32,
}

/// An entry of deleted.files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedFile {
    /// Absolute path in the container.
    pub path: String,
    /// The path holds U+FFFD: its true bytes may have been others, and are lost.
    pub lossy: bool,
}

/// Limits a container was given; `None` where none is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Memory limit in bytes; -1 is unlimited.
    pub memory_limit: Option<i64>,
    /// Soft memory limit in bytes.
    pub memory_reservation: Option<i64>,
    /// Limit of memory and swap together in bytes; -1 is unlimited.
    pub memory_swap: Option<i64>,
    /// Relative CPU weight.
    pub cpu_shares: Option<u64>,
    /// CPU time a period, in microseconds.
    pub cpu_quota: Option<i64>,
    /// Length of a period, in microseconds.
    pub cpu_period: Option<u64>,
    /// CPUs it may use, as a list.
    pub cpus: Option<String>,
    /// Memory nodes it may use, as a list.
    pub memory_nodes: Option<String>,
    /// Most tasks it may have; -1 or 0 is unlimited.
    pub pids_limit: Option<i64>,
}

/// What held a container apart from its host.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// Whether the engine was asked for a privileged container.
    pub privileged: Field<bool>,
    /// User id of its first process.
    pub uid: Field<u32>,
    /// Group id of its first process.
    pub gid: Field<u32>,
    /// The capability bounding set, `CAP_…`.
    pub bounding_capabilities: Field<Vec<String>>,
    /// Whether a seccomp filter was set.
    pub seccomp: Field<bool>,
    /// Whether its processes could not gain privileges.
    pub no_new_privileges: Field<bool>,
    /// Whether its root file system was read-only.
    pub read_only_root: Field<bool>,
    /// Namespaces that were made or joined; one that is not in the list is the host's.
    pub namespaces: Field<Vec<SpecNamespace>>,
}

/// A namespace of the runtime spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecNamespace {
    /// `pid`, `network`, `ipc`, `uts`, `mount`, `user`, `cgroup`, `time`.
    pub kind: String,
    /// Path of the one that was joined; none if it was made for this container.
    pub path: Option<String>,
}

/// What tells the time of a checkpoint where no field does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointedEstimate {
    /// The time.
    pub time: Timestamp,
    /// What it was taken from.
    pub source: &'static str,
    /// The checkpoint was taken at this time or later.
    pub lower_bound: bool,
}
