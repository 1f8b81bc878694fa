//! Tests on archives that are built byte by byte, in every way in which evidence can be had; and on real checkpoints with truth.

mod attacks;
mod corpus;
mod damage;
mod listing;
mod reading;
mod tar;

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use container_checkpoint::context::Context;
use container_checkpoint::dump::{self, Dump};
use container_checkpoint::evidence::Evidence;

use super::*;
use tar::Tar;

/// Evidence that was opened, with its only dump and the rider of the first pass.
struct Opened {
    shape: &'static str,
    evidence: Evidence,
    dump: Dump,
    rider: Rider,
}

impl Opened {
    fn new(shape: &'static str, evidence: Evidence, rider: Rider) -> Self {
        let mut dumps = dump::find(evidence.index());
        assert_eq!(dumps.len(), 1, "{shape}");
        Self { shape, dump: dumps.remove(0), evidence, rider }
    }

    fn changes<'a>(&'a self, deletions: Deletions, places: &'a Places, hash: bool) -> Changes<'a> {
        let subject = Subject { evidence: &self.evidence, dump: &self.dump, deletions, places };
        Changes::gather(subject, hash, &self.rider, &Context::default()).unwrap()
    }
}

/// An archive of a checkpoint by Podman with these members, as `(path, contents)`.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Tar::default();
    tar.file("config.dump", b"{}");
    tar.file("spec.dump", b"{}");
    tar.file("checkpoint/inventory.img", b"");
    for (path, contents) in members {
        tar.file(path, contents);
    }
    tar.end()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The same members as a mapped tar, a compressed one, a stream that can be read once, a directory.
fn in_every_shape(members: &[(&str, &[u8])], home: &Path, hash: bool, keep: &Keep) -> Vec<Opened> {
    let context = Context::default();
    let plain = archive(members);
    let packed = gzip(&plain);
    let rider = || Rider::new(hash, keep.clone(), &context);
    let mut all = Vec::new();
    for (shape, bytes) in [("mapped", plain), ("compressed", packed.clone())] {
        let mut rider = rider();
        let evidence = Evidence::from_source(shape.into(), Arc::new(bytes), &context, &mut rider).unwrap();
        all.push(Opened::new(shape, evidence, rider));
    }
    let mut once = rider();
    let evidence =
        Evidence::from_stream("stream".into(), Box::new(Cursor::new(packed)), &context, &mut once).unwrap();
    all.push(Opened::new("stream", evidence, once));

    let directory = home.join("evidence");
    let skeleton: [(&str, &[u8]); 3] =
        [("config.dump", b"{}"), ("spec.dump", b"{}"), ("checkpoint/inventory.img", b"")];
    for (path, contents) in skeleton.iter().chain(members) {
        let path: PathBuf = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    let mut rider = rider();
    let evidence = Evidence::open(&directory, &context, &mut rider).unwrap();
    all.push(Opened::new("directory", evidence, rider));
    all
}

/// An archive of a checkpoint with this `rootfs-diff.tar`, mapped.
fn with_rootfs(diff: &[u8]) -> Opened {
    let context = Context::default();
    let mut rider = Rider::new(false, Keep::Nothing, &context);
    let bytes = archive(&[("rootfs-diff.tar", diff)]);
    let evidence = Evidence::from_source("test".into(), Arc::new(bytes), &context, &mut rider).unwrap();
    Opened::new("mapped", evidence, rider)
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
