//! The same processes dumped by four releases of CRIU, against `/proc`.

use super::super::*;
use super::compare::{Comparison, compare};
use super::corpus::{corpus, read, unpack, unpack_one};
use super::live::from_procs;

/// Loads an archive, compares it with its truth, and gives the comparison.
fn load(name: &str) -> Option<(Model, Findings, Comparison)> {
    let folder = corpus()?.join("checkpoints/generations");
    let images = unpack_one(&folder.join(format!("{name}.tar.zst")));
    let (model, findings) = Model::load(&images);
    let live = from_procs(&read(&folder.join(format!("truth/{name}.procs.json"))));
    let comparison = compare(&model, &live);
    Some((model, findings, comparison))
}

/// Archives, and the least number of facts that must have been compared.
const ARCHIVES: [(&str, usize); 25] = [
    ("criu317-mix", 460),
    ("criu411-mix", 470),
    ("criu421-mix", 470),
    ("criu43-mix", 470),
    ("criu421-compat32", 60),
    ("criu43-compat32", 60),
    ("criu421-guard", 60),
    ("criu43-guard", 60),
    ("criu421-hugepage", 60),
    ("criu43-hugepage", 60),
    ("criu421-timens", 60),
    ("criu43-timens", 60),
    ("criu421-cgroup-limits", 60),
    ("criu43-cgroup-limits", 60),
    ("criu317-netns", 130),
    ("criu411-netns", 130),
    ("criu421-netns", 130),
    ("criu43-netns", 130),
    ("criu317-userns", 130),
    ("criu411-userns", 130),
    ("criu421-userns", 130),
    ("criu43-userns", 130),
    ("criu317-podman", 450),
    ("criu411-podman", 450),
    ("criu421-podman", 450),
];

#[test]
fn four_releases_of_criu_tell_what_proc_told() {
    for (name, least) in ARCHIVES {
        let Some((_, findings, comparison)) = load(name) else { return };
        assert!(comparison.differences.is_empty(), "{name}:\n{}", comparison.differences.join("\n"));
        assert!(comparison.compared >= least, "{name}: {} facts compared", comparison.compared);
        assert!(findings.gaps.is_empty(), "{name}: {:#?}", findings.gaps);
        assert!(findings.notes.is_empty(), "{name}: {:#?}", findings.notes);
    }
}

#[test]
fn guard_regions_are_no_mappings() {
    for name in ["criu421-guard", "criu43-guard"] {
        let Some((model, ..)) = load(name) else { return };
        let memory = model.processes.iter().find_map(|process| process.memory.known()).unwrap();
        assert!(!memory.guards.is_empty());
        for guard in &memory.guards {
            assert_eq!((guard.kind, guard.protection.0), (MappingKind::Guard, 0));
            assert!(memory.mapping_at(guard.start).is_some(), "a guard region lies in a mapping");
        }
    }
}

#[test]
fn a_32_bit_task_is_one_and_its_auxiliary_vector_is_unpacked() {
    for name in ["criu421-compat32", "criu43-compat32"] {
        let Some((model, ..)) = load(name) else { return };
        let process = model.processes.iter().next().unwrap();
        let Some(Registers::X86(x86)) = process.leader().unwrap().registers.known() else { panic!("{name}") };
        assert_eq!(x86.mode, X86Mode::Compat);
        assert!(
            x86.general[..10]
                .iter()
                .enumerate()
                .all(|(i, r)| ![0, 1, 2, 3, 6, 7, 8, 9].contains(&i) || *r == 0)
        );
        let memory = process.memory.known().unwrap();
        assert_eq!(memory.auxv.page_size(), Some(4096));
        assert!(memory.auxv.complete);
        // AT_ENTRY lies in the executable.
        let entry = crate::ids::VirtualAddress(memory.auxv.get(9).unwrap());
        let mapping = memory.mapping_at(entry).unwrap();
        assert_eq!(mapping.file, Some(memory.executable));
    }
}

#[test]
fn pre_dumps_and_chains_are_told_apart() {
    let Some(folder) = corpus().map(|folder| folder.join("checkpoints/generations")) else { return };
    for release in ["criu317", "criu411", "criu421", "criu43"] {
        let directories = unpack(&folder.join(format!("{release}-chain.tar.zst")));
        for (directory, images) in &directories {
            let (model, findings) = Model::load(images);
            let expected = ["pre/1", "pre-read/1"].contains(&directory.as_str());
            assert_eq!(model.is_pre_dump, expected, "{release} {directory}");
            assert_eq!(model.processes.is_empty(), expected, "{release} {directory}");
            assert!(findings.gaps.is_empty(), "{release} {directory}: {:#?}", findings.gaps);
            let inventory = model.inventory.known().unwrap();
            assert_eq!(inventory.pre_dump_mode.known().is_some(), expected, "{release} {directory}");
        }
        assert!(directories.len() >= 12, "{release}: {:?}", directories.keys());
    }
}
