//! One checkpoint of a case: what it says of its container, what ran in it, how large it is.

use std::os::unix::ffi::OsStrExt;

use crate::case::{Case, DumpId};
use crate::container::ContainerInfo;
use crate::engine::{self, FileTimes, OciFacts};
use crate::evidence::LayerId;
use crate::files::FileSet;
use crate::gap::Findings;
use crate::model::Model;
use crate::oci;

/// One checkpoint of a case. What it knows is worked out when it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'c> {
    case: &'c Case,
    id: DumpId,
}

/// Sizes in bytes, as checkpointctl counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// All regular files among the images, uncompressed.
    pub images: u64,
    /// The page images alone.
    pub pages: u64,
    /// Pages of AMD GPUs.
    pub amd_gpu_pages: u64,
    /// The archive of file system changes as it is stored; `None` when there is none.
    pub rootfs_diff: Option<u64>,
}

impl<'c> Checkpoint<'c> {
    /// A dump of a case.
    pub fn new(case: &'c Case, id: DumpId) -> Self {
        Self { case, id }
    }

    /// Which dump of the case it is.
    pub fn id(&self) -> DumpId {
        self.id
    }

    /// The dump's name within its evidence.
    pub fn name(&self) -> &'c str {
        &self.case.dump(self.id).name
    }

    /// Whether its evidence holds others beside it.
    pub fn is_one_of_several(&self) -> bool {
        self.case.evidences[self.id.evidence].dumps.len() > 1
    }

    /// How a user would name it: the evidence, and which of its dumps where it has several.
    pub fn full_name(&self) -> Vec<u8> {
        if self.is_one_of_several() {
            [self.evidence_name(), b"//", self.name().as_bytes()].concat()
        } else {
            self.evidence_name().to_vec()
        }
    }

    /// The evidence that holds it, as the user named it: bytes of a path.
    pub fn evidence_name(&self) -> &'c [u8] {
        self.case.evidences[self.id.evidence].locator.path.as_os_str().as_bytes()
    }

    /// What was noticed when the evidence was opened: cuts, damage, names that occur twice.
    pub fn evidence_findings(&self) -> &'c Findings {
        &self.case.evidence(self.id).index().findings
    }

    /// What the engine's metadata says of the container.
    pub fn container(&self) -> (ContainerInfo, Findings) {
        let index = self.case.evidence(self.id).index();
        let dump = self.case.dump(self.id);
        let (bundle, images) = (dump.bundle_files(index), dump.image_files(index));
        engine::identify(&bundle, &images, self.oci_facts().as_ref(), &self.file_times())
    }

    /// Processes, files, sockets, mounts, namespaces.
    pub fn model(&self) -> (Model, Findings) {
        let index = self.case.evidence(self.id).index();
        Model::load(&self.case.dump(self.id).image_files(index))
    }

    /// Whether the dump has images at all: of a cut archive only the metadata may be left.
    pub fn has_images(&self) -> bool {
        self.case.dump(self.id).images.is_some()
    }

    /// The sizes that checkpointctl shows.
    pub fn sizes(&self) -> Sizes {
        let index = self.case.evidence(self.id).index();
        let dump = self.case.dump(self.id);
        let mut sizes = Sizes::default();
        let images = dump.image_files(index);
        for id in images.members() {
            let member = index.member(id);
            let size = member.size;
            sizes.images = sizes.images.saturating_add(size);
            let starts = |start: &str| member.base_name().starts_with(start.as_bytes());
            if starts("pages-") {
                sizes.pages = sizes.pages.saturating_add(size);
            } else if starts("amdgpu-pages-") {
                sizes.amd_gpu_pages = sizes.amd_gpu_pages.saturating_add(size);
            }
        }
        sizes.rootfs_diff = match dump.rootfs_layer {
            Some(layer) => self.size_of_layer(layer),
            None => dump.bundle_files(index).size("rootfs-diff.tar"),
        };
        sizes
    }

    fn size_of_layer(&self, layer: LayerId) -> Option<u64> {
        let index = self.case.evidence(self.id).index();
        Some(index.member(index.layer(layer).member?).size)
    }

    fn oci_facts(&self) -> Option<OciFacts> {
        let manifest = self.case.dump(self.id).manifest.as_ref()?;
        let index = self.case.evidence(self.id).index();
        let blob = |media_type: &str| {
            let path = oci::blob_path(manifest.digest_of(media_type)?)?;
            Some(index.contents(index.find(LayerId::TOP, &path)?)?.into_owned())
        };
        Some(OciFacts {
            annotations: manifest.annotations().cloned().collect(),
            descriptors: manifest.descriptors.clone(),
            runtime_spec: blob(oci::CONFIG_PROTO),
            runtime_options: blob(oci::RUNTIME_OPTIONS_PROTO),
        })
    }

    fn file_times(&self) -> FileTimes {
        let index = self.case.evidence(self.id).index();
        let dump = self.case.dump(self.id);
        let seconds = |id| u64::try_from(index.member(id).modified.seconds).ok();
        let images = dump.image_files(index).members().into_iter();
        FileTimes {
            config_dump: dump.bundle_files(index).member(b"config.dump").and_then(seconds),
            newest_image: images.map(|id| index.resolved(id)).filter_map(seconds).max(),
        }
    }
}
