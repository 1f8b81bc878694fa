//! crit's own text of all archives of the corpus that have one.

use std::fs;
use std::path::Path;

use container_checkpoint::context::Context;

use super::evidence::{Images, QUESTIONS, assert_as_crit, opened};

/// The archive that goldens belong to.
fn archive_of(name: &str) -> String {
    match name {
        "checkpoint-image" | "containerd-ctr" => format!("{name}.oci.tar.zst"),
        "counter-docker" => "counter-docker-dir.tar.zst".to_owned(),
        "tiny-criu" => "tiny-criu.tar".to_owned(),
        name => format!("{name}.tar.zst"),
    }
}

#[test]
fn archives_of_every_engine_read_as_crit_prints_them() {
    let Some(root) = std::env::var_os("COLDCASE_CORPUS") else {
        println!("skipped: no corpus");
        return;
    };
    let root = Path::new(&root);
    let mut compared = 0;
    for golden in fs::read_dir(root.join("checkpoints/golden")).unwrap() {
        let golden = golden.unwrap();
        let name = golden.file_name().into_string().unwrap();
        let texts = golden.path().join("crit/crit.tar.zst");
        if !texts.exists() {
            continue;
        }
        let texts = opened(&texts);
        let Some(image_texts) = texts.member("x-ps.txt").ok() else { continue };
        assert!(texts.evidence.index().member(image_texts).size > 0, "{name}");
        let images = Images::read(&opened(&root.join("checkpoints").join(archive_of(&name))), None);
        for (question, word) in QUESTIONS {
            let member = texts.member(&format!("x-{word}.txt")).unwrap();
            let crits = texts.read_member(member, &Context::default()).unwrap();
            let crits = str::from_utf8(&crits).unwrap();
            assert_as_crit(&images.text(question), crits, &format!("{name} {word}"));
            compared += 1;
        }
    }
    assert!(compared >= 40, "{compared} texts");
}

#[test]
fn real_dumps_of_the_smallest_tree_read_as_crit_prints_them() {
    let Some(root) = std::env::var_os("COLDCASE_CORPUS") else {
        println!("skipped: no corpus");
        return;
    };
    for name in ["tree", "zombie", "criu43"] {
        let directory = Path::new(&root).join("cases/crit-x").join(name);
        let images = Images::read(&opened(&directory.join("img.tar.zst")), None);
        for (question, word) in QUESTIONS {
            let crits = fs::read_to_string(directory.join(format!("x-{word}.txt"))).unwrap();
            assert_as_crit(&images.text(question), &crits, &format!("{name} {word}"));
        }
    }
}
