//! The dump as a whole, as inventory.img tells it.

use criu_images::schema::{InventoryEntry, Lsmtype};

use super::images::Images;
use super::namespaces::KernelIds;
use crate::gap::Field;

/// The dump as a whole (`inventory_entry`). Neither CRIU's release nor a date is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Version of the image format: 0 pre-dumps by CRIU 3.17 to 4.2.1, 1 and 2 plain, 3 with compressed pages.
    pub image_version: u32,
    /// Whether tables of descriptors are numbered by `files_id`; before CRIU 0.4 they were by pid.
    pub descriptors_by_id: bool,
    /// The ids of CRIU itself: a process with the same number of a namespace shares CRIU's.
    pub criu_ids: Field<KernelIds>,
    /// Security module (CRIU 1.6 and later).
    pub security_module: Field<SecurityModule>,
    /// Uptime of the machine at the dump in microseconds (CRIU 3.10 and later, with memory tracking).
    pub uptime: Field<u64>,
    /// How a pre-dump read memory: 1 by splicing, 2 by reading.
    pub pre_dump_mode: Field<u32>,
    /// Whether TCP connections were to be closed.
    pub tcp_close: Field<bool>,
    /// How the network was locked: 0 iptables, 1 nftables, 2 not at all.
    pub network_lock: Field<u32>,
    /// Plugins that took part (CRIU 4.1 and later).
    pub plugins: Field<Vec<Vec<u8>>>,
    /// A random id of the run of CRIU (CRIU 4.1 and later).
    pub run_id: Field<Vec<u8>>,
    /// Whether probes were allowed (CRIU 4.2 and later).
    pub allow_uprobes: Field<bool>,
    /// Compression of pages: 0 none, 1 LZ4 (CRIU 4.3 and later).
    pub compression: Field<u32>,
    /// Bytes of a compressed block, as asked for.
    pub compression_block_size: Field<u32>,
}

/// Security modules that CRIU knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityModule {
    /// None.
    None,
    /// SELinux.
    SeLinux,
    /// AppArmor.
    AppArmor,
    /// Another number.
    Unknown(i32),
}

impl Inventory {
    pub(super) fn load(images: &mut Images<'_>) -> Field<Self> {
        const NAME: &str = "inventory.img";
        if !images.has(NAME) {
            images.findings.gap("the dump's inventory", NAME, "the dump has no such image");
            return Field::Unreadable(format!("{NAME} is missing"));
        }
        images.first::<InventoryEntry>(NAME, "the dump's inventory").map(Self::from_wire)
    }

    fn from_wire(inventory: InventoryEntry) -> Self {
        Self {
            image_version: inventory.img_version,
            descriptors_by_id: inventory.fdinfo_per_id == Some(true),
            criu_ids: inventory.root_ids.as_ref().map(KernelIds::from_wire).into(),
            security_module: inventory.lsmtype.map(SecurityModule::from_wire).into(),
            uptime: inventory.dump_uptime.into(),
            pre_dump_mode: inventory.pre_dump_mode.into(),
            tcp_close: inventory.tcp_close.into(),
            network_lock: inventory.network_lock_method.into(),
            plugins: inventory.plugins_entry.map(|entry| entry.plugins).into(),
            run_id: inventory.dump_criu_run_id.into(),
            allow_uprobes: inventory.allow_uprobes.into(),
            compression: inventory.compress.into(),
            compression_block_size: inventory.compress_block_size.into(),
        }
    }
}

impl SecurityModule {
    fn from_wire(number: i32) -> Self {
        match Lsmtype::try_from(number) {
            Ok(Lsmtype::NoLsm) => Self::None,
            Ok(Lsmtype::Selinux) => Self::SeLinux,
            Ok(Lsmtype::Apparmor) => Self::AppArmor,
            Err(_) => Self::Unknown(number),
        }
    }
}
