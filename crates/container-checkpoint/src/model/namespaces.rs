//! Namespaces: which ones a process is in, and what the images say of them.

use std::collections::BTreeMap;

use criu_images::schema::{
    NetDeviceEntry, NetnsEntry, TaskKobjIdsEntry, TimensEntry, Timespec, UidGidExtent, UsernsEntry,
    UtsnsEntry,
};

use super::images::Images;
use crate::gap::Field;

/// Numbers of what a process has and may share with others (`task_kobj_ids_entry`). They are given out by the dump;
/// processes with the same number share the thing. The numbers of namespaces are not those of `/proc/PID/ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelIds {
    /// Address space.
    pub memory: u32,
    /// Table of descriptors: fdinfo-N.img.
    pub files: u32,
    /// Working directory, root and umask.
    pub filesystem: u32,
    /// Signal actions.
    pub signal_actions: u32,
    /// Pid namespace.
    pub pid_namespace: Option<u32>,
    /// Network namespace: netdev-N.img and others.
    pub network_namespace: Option<u32>,
    /// IPC namespace: ipcns-*-N.img.
    pub ipc_namespace: Option<u32>,
    /// UTS namespace: utsns-N.img.
    pub uts_namespace: Option<u32>,
    /// Mount namespace: mountpoints-N.img.
    pub mount_namespace: Option<u32>,
    /// User namespace: userns-N.img (CRIU 1.4 and later).
    pub user_namespace: Option<u32>,
    /// Cgroup namespace (CRIU 2.0 and later).
    pub cgroup_namespace: Option<u32>,
    /// Time namespace: timens-N.img (CRIU 3.14 and later).
    pub time_namespace: Option<u32>,
}

impl KernelIds {
    pub(super) fn from_wire(ids: &TaskKobjIdsEntry) -> Self {
        Self {
            memory: ids.vm_id,
            files: ids.files_id,
            filesystem: ids.fs_id,
            signal_actions: ids.sighand_id,
            pid_namespace: ids.pid_ns_id,
            network_namespace: ids.net_ns_id,
            ipc_namespace: ids.ipc_ns_id,
            uts_namespace: ids.uts_ns_id,
            mount_namespace: ids.mnt_ns_id,
            user_namespace: ids.user_ns_id,
            cgroup_namespace: ids.cgroup_ns_id,
            time_namespace: ids.time_ns_id,
        }
    }
}

/// Host and domain name (`utsns_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNames {
    /// Host name, raw bytes.
    pub node: Vec<u8>,
    /// NIS domain name, raw bytes; `(none)` where none is set.
    pub domain: Vec<u8>,
}

/// Readings of two clocks at the dump (`timens_entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// `CLOCK_MONOTONIC`: seconds and nanoseconds.
    pub monotonic: (u64, u64),
    /// `CLOCK_BOOTTIME`: seconds and nanoseconds.
    pub boot: (u64, u64),
}

/// Id mappings of a user namespace (`userns_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMaps {
    /// Users.
    pub users: Vec<IdRange>,
    /// Groups.
    pub groups: Vec<IdRange>,
}

impl IdMaps {
    /// The user that an id of the namespace is in the parent namespace.
    pub fn outside_user(&self, id: u32) -> Option<u32> {
        outside(&self.users, id)
    }

    /// The group that an id of the namespace is in the parent namespace.
    pub fn outside_group(&self, id: u32) -> Option<u32> {
        outside(&self.groups, id)
    }
}

fn outside(ranges: &[IdRange], id: u32) -> Option<u32> {
    let within = |range: &IdRange| id.checked_sub(range.inside).filter(|offset| *offset < range.count);
    ranges.iter().find_map(|range| range.outside.checked_add(within(range)?))
}

/// A range of mapped ids (`uid_gid_extent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First id inside.
    pub inside: u32,
    /// First id in the parent namespace.
    pub outside: u32,
    /// How many ids.
    pub count: u32,
}

/// A network device (`net_device_entry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkDevice {
    /// Name, raw bytes.
    pub name: Vec<u8>,
    /// Index.
    pub index: u32,
    /// Kind by CRIU's number (`nd_type`): 1 loopback, 2 veth, 3 tun, 6 bridge ...
    pub kind: i32,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// `IFF_*`.
    pub flags: u32,
    /// Hardware address.
    pub address: Field<Vec<u8>>,
    /// Index of the other end, of a veth.
    pub peer_index: Field<u32>,
    /// Index of the bridge that it belongs to; 0 for none.
    pub master: Field<u32>,
}

/// A network namespace, as far as the images are CRIU's own. (Addresses, routes and filters are in raw images.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkNamespace {
    /// Its devices; none when an engine owns the namespace.
    pub devices: Vec<NetworkDevice>,
    /// The name under which something outside restores it.
    pub external: Field<Vec<u8>>,
}

/// What the images say of namespaces, by the number in [`KernelIds`].
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    /// Host names.
    pub uts: BTreeMap<u32, HostNames>,
    /// Clocks; number 0 stands for the namespace of CRIU itself.
    pub time: BTreeMap<u32, Clocks>,
    /// Id mappings.
    pub user: BTreeMap<u32, IdMaps>,
    /// Network devices.
    pub network: BTreeMap<u32, NetworkNamespace>,
}

impl Namespaces {
    pub(super) fn load(images: &mut Images<'_>) -> Self {
        let mut namespaces = Self::default();
        for id in images.numbered("utsns") {
            let names = images.first::<UtsnsEntry>(&format!("utsns-{id}.img"), "host name");
            if let Field::Known(names) = names {
                namespaces.uts.insert(id, HostNames { node: names.nodename, domain: names.domainname });
            }
        }
        for id in images.numbered("timens") {
            let clocks = images.first::<TimensEntry>(&format!("timens-{id}.img"), "clocks");
            if let Field::Known(clocks) = clocks {
                let reading = |time: &Timespec| (time.tv_sec, time.tv_nsec);
                let clocks =
                    Clocks { monotonic: reading(&clocks.monotonic), boot: reading(&clocks.boottime) };
                namespaces.time.insert(id, clocks);
            }
        }
        for id in images.numbered("userns") {
            let maps = images.first::<UsernsEntry>(&format!("userns-{id}.img"), "id mappings");
            if let Field::Known(maps) = maps {
                let maps = IdMaps { users: ranges(&maps.uid_map), groups: ranges(&maps.gid_map) };
                namespaces.user.insert(id, maps);
            }
        }
        namespaces.load_network(images);
        namespaces
    }

    fn load_network(&mut self, images: &mut Images<'_>) {
        for id in images.numbered("netdev") {
            let (devices, _) = images.all::<NetDeviceEntry>(&format!("netdev-{id}.img"), "network devices");
            self.network.entry(id).or_default().devices = devices.into_iter().map(device).collect();
        }
        for id in images.numbered("netns") {
            let settings = images.first::<NetnsEntry>(&format!("netns-{id}.img"), "network namespace");
            if let Field::Known(settings) = settings {
                self.network.entry(id).or_default().external = settings.ext_key.into();
            }
        }
    }
}

fn device(device: NetDeviceEntry) -> NetworkDevice {
    NetworkDevice {
        name: device.name,
        index: device.ifindex,
        kind: device.r#type,
        mtu: device.mtu,
        flags: device.flags,
        address: device.address.into(),
        peer_index: device.peer_ifindex.into(),
        master: device.master.into(),
    }
}

fn ranges(extents: &[UidGidExtent]) -> Vec<IdRange> {
    let range = |e: &UidGidExtent| IdRange { inside: e.first, outside: e.lower_first, count: e.count };
    extents.iter().map(range).collect()
}
