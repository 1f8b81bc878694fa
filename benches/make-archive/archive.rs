//! A generated checkpoint archive, with the members that Podman writes, in its order.

use std::io::{self, Read, Write};

use criu_images::schema::{
    DumpStatsEntry, FdTypes, FileEntry, FownEntry, InventoryEntry, RegFileEntry, StatsEntry,
    TaskKobjIdsEntry, UtsnsEntry,
};
use serde_json::json;

use super::contents::Planted;
use super::image::Image;
use super::process::{PAGE, Process};

/// Seconds since 1970-01-01 that all members bear: 2026-01-01 00:00:00 UTC.
const MODIFIED: u64 = 1_767_225_600;
const ID: &str = "5f0c6c5b7f6b4f0e9a41a0b8f3d2c1e05f0c6c5b7f6b4f0e9a41a0b8f3d2c1e0";
const IMAGE: &str = "localhost/worker:latest";

/// What to generate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Bytes of memory that are stored beside what every process has; rounded down to pages.
    pub memory: u64,
    /// How many needles are planted in it, in even distances.
    pub needles: u64,
    /// Whether only every second page of the large mapping was written to: each page is an entry of the pagemap then.
    pub scattered: bool,
    /// Whether the page images stand before all other images, as no engine writes them.
    pub pages_first: bool,
}

/// A needle: the process that has it, and its address there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    /// The process.
    pub pid: u32,
    /// The address of its first byte.
    pub address: u64,
    /// Its text.
    pub text: String,
}

/// A generated checkpoint.
#[derive(Clone, Debug)]
pub struct Archive {
    options: Options,
    processes: Vec<Process>,
}

impl Archive {
    /// A container of two processes: one that starts the other and waits, and one that fills memory.
    pub fn new(options: Options) -> Self {
        let environment = vec![
            "PATH=/usr/local/bin:/usr/bin:/bin".to_owned(),
            "HOSTNAME=worker".to_owned(),
            "container=podman".to_owned(),
        ];
        let arguments = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        let anonymous = options.memory / PAGE * PAGE;
        let small = Process {
            pid: 1,
            parent: 0,
            name: "supervise",
            arguments: arguments(&["/usr/bin/supervise", "--restart", "/usr/bin/worker"]),
            environment,
            anonymous: 0,
            scattered: false,
            planted: Vec::new(),
        };
        let large = Process {
            pid: 2,
            parent: 1,
            name: "worker",
            arguments: arguments(&["/usr/bin/worker", "--cache", "large"]),
            anonymous,
            scattered: options.scattered,
            planted: needles(options, anonymous),
            ..small.clone()
        };
        Self { options, processes: vec![small, large] }
    }

    /// The needles in its memory.
    pub fn needles(&self) -> Vec<Needle> {
        let of = |process: &Process, planted: &Planted| Needle {
            pid: process.pid,
            address: process.address(planted.at),
            text: String::from_utf8_lossy(&planted.text).into_owned(),
        };
        self.processes
            .iter()
            .flat_map(|process| process.planted.iter().map(move |planted| of(process, planted)))
            .collect()
    }

    /// Writes it as a plain tar.
    ///
    /// # Errors
    /// What writing says.
    pub fn write<W: Write>(&self, out: W) -> io::Result<W> {
        let mut tar = tar::Builder::new(out);
        for (name, bytes) in self.bundle() {
            append(&mut tar, name, bytes.len() as u64, bytes.as_slice())?;
        }
        let mut directory = header(0, 0o700);
        directory.set_entry_type(tar::EntryType::Directory);
        tar.append_data(&mut directory, "checkpoint/", io::empty())?;
        if self.options.pages_first {
            self.append_pages(&mut tar)?;
        }
        let mut images = self.images();
        images.sort_by(|a, b| a.name.cmp(&b.name));
        // CRIU's images stand in the order of their names.
        let behind = images.partition_point(|image| image.name.as_str() < "pages-");
        for (number, image) in images.iter().enumerate() {
            if number == behind && !self.options.pages_first {
                self.append_pages(&mut tar)?;
            }
            append(
                &mut tar,
                &format!("checkpoint/{}", image.name),
                image.bytes.len() as u64,
                image.bytes.as_slice(),
            )?;
        }
        let changes = changed_files()?;
        append(&mut tar, "rootfs-diff.tar", changes.len() as u64, changes.as_slice())?;
        tar.into_inner()
    }

    fn append_pages<W: Write>(&self, tar: &mut tar::Builder<W>) -> io::Result<()> {
        self.processes.iter().try_for_each(|process| {
            append(
                tar,
                &format!("checkpoint/pages-{}.img", process.pid),
                process.pages_len(),
                process.pages(),
            )
        })
    }

    /// All images but the pages.
    fn images(&self) -> Vec<Image> {
        let files = [(1, "/usr/bin/worker", 0o100_755), (2, "/", 0o040_755)];
        let file = |(id, name, mode): (u32, &str, u32)| FileEntry {
            r#type: FdTypes::Reg.into(),
            id,
            reg: Some(RegFileEntry {
                id,
                fown: FownEntry::default(),
                name: name.into(),
                mode: Some(mode),
                ..Default::default()
            }),
            ..Default::default()
        };
        let inventory = InventoryEntry {
            img_version: 2,
            fdinfo_per_id: Some(true),
            root_ids: Some(TaskKobjIdsEntry {
                vm_id: 1,
                files_id: 1,
                fs_id: 1,
                sighand_id: 1,
                ..Default::default()
            }),
            ns_per_id: Some(true),
            root_cg_set: Some(1),
            ..Default::default()
        };
        let tree = self
            .processes
            .iter()
            .fold(Image::new("pstree.img"), |image, process| image.and(&process.tree_entry()));
        let files = files.into_iter().fold(Image::new("files.img"), |image, entry| image.and(&file(entry)));
        let uts = UtsnsEntry { nodename: b"worker".to_vec(), domainname: b"(none)".to_vec() };
        let mut all =
            vec![Image::of("inventory.img", &inventory), tree, files, Image::of("utsns-4.img", &uts)];
        all.extend(self.processes.iter().flat_map(Process::images));
        all
    }

    /// What the engine writes beside the images.
    fn bundle(&self) -> Vec<(&'static str, Vec<u8>)> {
        let pages = self.processes.iter().map(|process| process.pages_len() / PAGE).sum();
        let statistics = DumpStatsEntry {
            freezing_time: 1_250,
            frozen_time: 400_000,
            memdump_time: 90_000,
            memwrite_time: 310_000,
            pages_scanned: pages,
            pages_written: pages,
            ..Default::default()
        };
        let spec = json!({
            "ociVersion": "1.2.1", "hostname": "worker",
            "process": {"args": self.processes[0].arguments, "env": self.processes[0].environment, "cwd": "/"},
            "root": {"path": "/var/lib/containers/storage/overlay/0/merged"},
            "mounts": [{
                "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"],
            }],
            "annotations": {"io.container.manager": "libpod"},
        });
        let config = json!({
            "id": ID, "name": "worker", "spec": spec, "lockID": 0, "rootfsImageName": IMAGE, "RawImageName": IMAGE,
            "staticDir": format!("/var/lib/containers/storage/overlay-containers/{ID}/userdata"),
            "createdTime": "2026-01-01T00:00:00Z", "networkMode": "bridge",
            "command": self.processes[0].arguments, "runtime": "crun",
        });
        let network = json!({"podman": {"interfaces": {"eth0": {
            "subnets": [{"ipnet": "10.88.0.7/16", "gateway": "10.88.0.1"}], "mac_address": "c2:26:1c:87:a6:57",
        }}}});
        let statistics = StatsEntry { dump: Some(statistics), ..Default::default() };
        vec![
            ("config.dump", config.to_string().into_bytes()),
            ("spec.dump", spec.to_string().into_bytes()),
            ("network.status", network.to_string().into_bytes()),
            ("stats-dump", Image::of("stats-dump", &statistics).bytes),
        ]
    }
}

/// One in ten lies across the border of two pages, where these follow each other.
fn needles(options: Options, stored: u64) -> Vec<Planted> {
    let distance = (stored / options.needles.max(1) / PAGE * PAGE).max(PAGE);
    let planted = |number: u64| {
        let crosses = number % 10 == 1 && !options.scattered;
        let at = number * distance + if crosses { distance - 10 } else { 200 };
        Planted { at, text: format!("NEEDLE_big_{number:04}_SECRET").into_bytes() }
    };
    (0..options.needles).map(planted).filter(|planted| planted.at + PAGE <= stored).collect()
}

/// The archive of file system changes: one file.
fn changed_files() -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, "var/log/worker.log", 8, b"started\n".as_slice())?;
    tar.into_inner()
}

fn append<W: Write>(tar: &mut tar::Builder<W>, name: &str, size: u64, contents: impl Read) -> io::Result<()> {
    tar.append_data(&mut header(size, 0o600), name, contents)
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(MODIFIED);
    header
}
