//! Which engine wrote a checkpoint, and what its metadata files say.
//!
//! [`identify`] turns the files around the images into one [`ContainerInfo`]. Nothing else in this crate asks
//! which engine it was.

mod claims;
mod containerd;
mod crio;
mod ctr;
mod detect;
mod docker;
mod document;
mod estimate;
mod facts;
mod images;
mod json;
mod kubernetes_name;
pub mod log;
mod members;
mod network;
pub mod oci;
mod plain;
mod podman;
mod sources;
mod spec;
pub mod statistics;
pub mod timestamp;

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod test_files;

use std::cell::RefCell;

use crate::container::{ContainerInfo, Engine};
use crate::files::FileSet;
use crate::gap::{Field, Findings};

pub use estimate::FileTimes;
pub use oci::OciFacts;

/// Reads the metadata of one checkpoint.
///
/// `bundle` holds the engine's files by their names in the archive (`config.dump`, `spec.dump`, `dump.log`,
/// …; for Docker those beside `checkpoints/`); `images` the files of the image directory. Either may be
/// empty, and any file missing, cut or of wrong content: that costs the facts it held, which are then gaps,
/// and no others.
pub fn identify(
    bundle: &dyn FileSet,
    images: &dyn FileSet,
    oci: Option<&OciFacts>,
    times: &FileTimes,
) -> (ContainerInfo, Findings) {
    let findings = RefCell::new(Findings::default());
    let info = read(bundle, images, oci, times, &findings);
    let mut findings = findings.into_inner();
    findings.settle();
    (info, findings)
}

fn read(
    bundle: &dyn FileSet,
    image_files: &dyn FileSet,
    oci: Option<&OciFacts>,
    times: &FileTimes,
    findings: &RefCell<Findings>,
) -> ContainerInfo {
    let sources = sources::Sources::load(bundle, image_files, oci, findings);
    let rule = detect::detect(&sources);
    let mut info = ContainerInfo::blank(rule.engine, rule.sign);
    match rule.engine {
        Engine::Podman => podman::fill(&mut info, &sources),
        Engine::CriO => crio::fill(&mut info, &sources),
        Engine::Containerd => containerd::fill(&mut info, &sources),
        Engine::ContainerdClient => ctr::fill(&mut info, &sources),
        Engine::Docker => docker::fill(&mut info, &sources),
        Engine::Runtime | Engine::PlainCriu | Engine::Unknown => plain::fill(&mut info, &sources),
    }
    images::fill(&mut info, image_files, findings);
    if info.id.known().is_none() {
        plain::name_from_control_group(&mut info, &sources);
    }
    info.dump = log::DumpLog::read(bundle, image_files, findings);
    info.statistics = statistics::DumpStatistics::read(bundle, image_files, findings);
    if let Some(oci) = oci {
        oci.complete(&mut info.dump);
    }
    if info.checkpointed.known().is_none() {
        info.checkpointed_estimate = estimate::estimate(&info, &sources, times);
    }
    claims::check(&sources, rule, &info);
    if info.host_name == Field::NotCaptured
        && let Field::Known(name) = &info.uts_node_name
    {
        info.host_name = Field::Known(String::from_utf8_lossy(name).into_owned());
    }
    info
}
