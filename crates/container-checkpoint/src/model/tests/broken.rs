//! Damaged images: nothing panics, and the same damage gives the same words.

use criu_images::schema::PstreeEntry;

use super::super::*;
use super::corpus::{MemoryFiles, corpus, unpack_one};
use super::made::{dump, image};

#[test]
fn an_image_cut_anywhere_breaks_nothing() {
    let whole = dump();
    for (name, bytes) in &whole.0 {
        for length in 0..bytes.len() {
            let mut images = whole.clone();
            images.0.insert(name.clone(), bytes[..length].to_vec());
            let (model, findings) = Model::load(&images);
            walk(&model);
            // A cut between two entries can't be seen, but for processes whose images are left.
            let list = ["files.img", "pstree.img", "fdinfo-2.img", "memfd.img", "remap-fpath.img"]
                .contains(&&**name);
            assert!(list || !findings.gaps.is_empty(), "{name} cut to {length} bytes");
            let seen = model.processes.len() == 3 || (name == "pstree.img" && !findings.notes.is_empty());
            assert!(seen, "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn any_byte_may_be_any_other() {
    let whole = dump();
    for (name, bytes) in &whole.0 {
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut images = whole.clone();
                let image = images.0.get_mut(name).unwrap();
                image[at] ^= flip;
                walk(&Model::load(&images).0);
            }
        }
    }
}

#[test]
fn real_images_may_be_damaged_in_any_way() {
    let Some(folder) = corpus().map(|folder| folder.join("checkpoints")) else { return };
    let whole = unpack_one(&folder.join("kitchen.tar.zst"));
    let names: Vec<&String> = whole.0.keys().collect();
    let mut random = Random(20_261_126);
    for _ in 0..60 {
        let mut images = whole.clone();
        for _ in 0..random.below(20) {
            let name = names[random.below(names.len())];
            let image = images.0.get_mut(name).unwrap();
            match (random.below(3), image.len()) {
                (_, 0) => {}
                (0, length) => image.truncate(random.below(length)),
                (1, length) => image[random.below(length)] ^= 1 << random.below(8),
                (_, length) => {
                    // A length or number that is far too large.
                    let at = random.below(length);
                    image.splice(at..at, [0xff; 5]);
                }
            }
        }
        let (model, findings) = Model::load(&images);
        walk(&model);
        let (again, findings_again) = Model::load(&images);
        assert_eq!(findings.gaps, findings_again.gaps);
        assert_eq!(model.processes.len(), again.processes.len());
    }
}

/// Asks the model all its questions.
fn walk(model: &Model) {
    let mut walked = 0;
    for (_, process) in model.processes.depth_first() {
        walked += 1;
        assert!(process.page_size().known().is_none_or(|size| size.is_power_of_two()));
        model.mounts_of(process);
        model.host_names_of(process);
        assert!(model.sockets(process).all(|(_, socket)| !socket.protocol_name().is_empty()));
        for thread in &process.threads {
            if let Some(registers) = thread.registers.known() {
                assert!(registers.program_counter().is_some(), "{registers:?}");
                assert!(!registers.general().is_empty());
            }
        }
        let mut end = 0;
        for mapping in process.mappings() {
            assert!(mapping.start.0 >= end && mapping.end > mapping.start);
            end = mapping.end.0;
            model.mapping_name(mapping);
            model.files.shared_object(mapping);
        }
        for open in process.open_files.known().into_iter().flat_map(|table| table.iter()) {
            assert!(!model.files.text(open).is_empty() || model.files.of_descriptor(open).is_some());
            model.files.link(open);
            model.files.path(open.file);
        }
    }
    assert_eq!(walked, model.processes.len());
}

#[test]
fn a_forged_process_tree_costs_no_more_than_a_limit() {
    // A hundred thousand processes in 2 MB, each naming the same thread, and none with an image.
    let entries: Vec<PstreeEntry> = (1..=100_000)
        .map(|pid| PstreeEntry { pid, ppid: pid - 1, threads: vec![pid, 7], ..Default::default() })
        .collect();
    let mut images = MemoryFiles::default();
    images.0.insert("pstree.img".to_owned(), image("pstree.img", &entries, false));
    let (model, findings) = Model::load(&images);
    assert_eq!(model.processes.len(), 65_536);
    assert_eq!(model.processes.depth_first().count(), 65_536);
    let counted = findings.gaps.iter().find(|gap| gap.what.contains("further")).unwrap();
    assert_eq!(counted.what, "34464 further processes and threads");
}

/// A small generator of numbers, the same ones in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}
