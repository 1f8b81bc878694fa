//! Real images of every engine and of four CRIU releases against crit's own text. Needs `COLDCASE_CORPUS`.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{corpus, images};
use criu_images::framing::Image;
use criu_images::json::{self, Options};

/// Checkpoints with crit's text of their images, by the names of the two files.
const CHECKPOINTS: [(&str, &str); 14] = [
    ("compromised.tar.zst", "compromised/crit/crit.tar.zst"),
    ("counter-containerd.tar.zst", "counter-containerd/crit/crit.tar.zst"),
    ("counter-crio.tar.zst", "counter-crio/crit/crit.tar.zst"),
    ("counter-docker-dir.tar.zst", "counter-docker/crit/crit.tar.zst"),
    ("counter-later.tar.zst", "counter-later/crit/crit.tar.zst"),
    ("counter-runc.tar.zst", "counter-runc/crit/crit.tar.zst"),
    ("counter.tar.zst", "counter/crit/crit.tar.zst"),
    ("criu-features.tar.zst", "criu-features/crit/crit.tar.zst"),
    ("hostile.tar.zst", "hostile/crit/crit.tar.zst"),
    ("kitchen.tar.zst", "kitchen/crit/crit.tar.zst"),
    ("pre-final.tar.zst", "pre-final/crit/crit.tar.zst"),
    ("redis.tar.zst", "redis/crit/crit.tar.zst"),
    ("tiny-criu.tar", "tiny-criu/crit/crit.tar.zst"),
    ("tiny.tar", "tiny/crit/crit.tar.zst"),
];

#[test]
fn checkpoints_of_every_engine_read_as_crit_reads_them() {
    let Some(root) = corpus() else { return };
    let root = root.join("checkpoints");
    for (archive, golden) in CHECKPOINTS {
        let compared = compare(archive, &root.join(archive), &root.join("golden").join(golden), true);
        assert!(compared > 10, "{archive}: only {compared} images were compared");
    }
}

#[test]
fn dumps_of_four_releases_read_as_their_own_crit_reads_them() {
    let Some(root) = corpus() else { return };
    let root = root.join("checkpoints/generations");
    let mut compared = 0;
    for entry in std::fs::read_dir(root.join("golden")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let golden = root.join("golden").join(&name).join("crit.tar.zst");
        compared += compare(&name, &root.join(format!("{name}.tar.zst")), &golden, false);
    }
    println!("{compared}");
    assert!(compared > 500, "only {compared} images were compared");
}

/// Compares all images of an archive that have a golden text; returns how many.
fn compare(name: &str, archive: &Path, golden: &Path, pretty: bool) -> usize {
    let golden = images(golden);
    let images = images(archive);
    let mut compared = 0;
    for (path, text) in &golden {
        let Some(stem) = path.strip_suffix(".json") else { continue };
        let (stem, pretty) = stem.strip_suffix(".pretty").map_or((stem, pretty), |stem| (stem, true));
        if stem.ends_with("not-decoded") {
            continue;
        }
        let bytes = find(&images, stem).unwrap_or_else(|| panic!("{name}: no image for {path}"));
        let mut options = Options::default();
        options.pretty = pretty;
        let mut written = Vec::new();
        let file_name = stem.rsplit('/').next().unwrap();
        let image = Image::parse_named(file_name.as_bytes(), bytes)
            .unwrap_or_else(|error| panic!("{name}: {path}: {error}"));
        if let Err(e) = json::decode(&image, &options, &mut written) {
            println!("{name} {path} {e}");
            continue;
        }
        let written = String::from_utf8(written).unwrap();
        let text = String::from_utf8_lossy(text);
        let text = text.trim_end();
        if written != text {
            let (a, b) = written.lines().zip(text.lines()).find(|(a, b)| a != b).unwrap_or_default();
            let at = a.bytes().zip(b.bytes()).position(|(a, b)| a != b).unwrap_or(0).saturating_sub(60);
            println!(
                "{name} {path}\n got {}\n want {}",
                a.get(at..).unwrap_or("").chars().take(150).collect::<String>(),
                b.get(at..).unwrap_or("").chars().take(150).collect::<String>()
            );
        }
        compared += 1;
    }
    compared
}

/// Finds the image of a golden text: the one with the longest common end of its path.
fn find<'a>(images: &'a BTreeMap<String, Vec<u8>>, stem: &str) -> Option<&'a Vec<u8>> {
    let mut wanted = vec![stem.to_owned(), format!("{stem}.img")];
    let base = stem.rsplit('/').next()?;
    wanted.extend([base.to_owned(), format!("{base}.img")]);
    wanted.iter().find_map(|wanted| {
        let found = images.iter().find(|(path, _)| {
            path.strip_suffix(wanted.as_str())
                .is_some_and(|before| before.is_empty() || before.ends_with('/'))
        });
        found.map(|(_, bytes)| bytes)
    })
}
