//! Mapped files of real dumps.

use std::path::{Path, PathBuf};

use container_checkpoint::case::Choice;
use container_checkpoint::checkpoint::Checkpoint;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::naming::Locator;

use super::*;

fn gather(archive: &str, roots: &[PathBuf]) -> (Model, MappedFiles, Findings) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(archive);
    let context = Context::default();
    let mut case = Case::default();
    case.add(Locator::parse(path.as_os_str()), &context, &mut Nobody);
    let id = DumpId { evidence: 0, dump: case.evidences[0].chosen(Choice::One).unwrap()[0] };
    let (model, _) = Checkpoint::new(&case, id).model();
    let roots: Vec<Root> = roots.iter().map(|root| Root::open(root, &context).unwrap()).collect();
    let looked_at = LookedAt { case: &case, id, model: &model, context: &context };
    let (files, findings) = MappedFiles::gather(looked_at, &[], &roots).unwrap();
    (model, files, findings)
}

fn found<'f>(model: &Model, files: &'f MappedFiles, path: &str) -> Option<&'f MappedFile> {
    let is_it = |id: &FileId| {
        model
            .files
            .with_path(*id)
            .and_then(|file| file.regular())
            .is_some_and(|file| file.path == path.as_bytes())
    };
    files.iter().find(|(id, _)| is_it(id)).map(|(_, file)| file)
}

#[test]
fn deleted_executables_are_found_in_their_ghost_files_and_checked() {
    let (model, files, findings) = gather("kitchen.tar.zst", &[]);
    assert!(findings.gaps.is_empty() && files.refused.is_empty(), "{findings:?} {:?}", files.refused);
    let file = found(&model, &files, "/tmp/ghost-exe").unwrap();
    assert!(matches!(file.from, Origin::Ghost(_)));
    assert_eq!(&file.bytes.to_cow().unwrap()[..4], b"\x7fELF");
    let recorded = mapped(&model, &[])
        .into_values()
        .find(|file| file.regular.path == b"/tmp/ghost-exe")
        .unwrap()
        .regular;
    assert_eq!(recorded.build_id.known().is_some(), file.verified == Verified::BuildId);
    assert!(found(&model, &files, "/kitchen").is_none(), "the image's own file is not in the evidence");
}

/// What did not fit into the room of a first pass is read again, and is no gap.
#[test]
fn what_could_not_be_kept_of_a_first_pass_is_known_not_to_be() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/kitchen.tar.zst");
    let context = Context::default();
    for (bytes, is_enough) in [(64 << 20, true), (100_000, false)] {
        let room = Room::new(bytes);
        let keep = || Keeper::any_elf(&room);
        let classes = [Class::Files, Class::Rootfs].into_iter().collect();
        let mut rider = Rider::new(classes, &context, &keep);
        let mut case = Case::default();
        case.add(Locator::parse(path.as_os_str()), &context, &mut rider);
        assert!(case.failures.is_empty());
        assert_eq!(room.was_enough(), is_enough);
    }
}

#[test]
fn a_file_of_another_build_is_refused_by_name() {
    let (model, _, _) = gather("counter.tar.zst", &[]);
    let tee =
        mapped(&model, &[]).into_values().find(|file| file.regular.path == b"/usr/bin/tee").unwrap().regular;
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    let size = *tee.size.known().unwrap() as usize;
    // As long as it should be, and something else.
    std::fs::write(root.path().join("usr/bin/tee"), vec![b'x'; size]).unwrap();
    std::fs::write(root.path().join("usr/bin/bash"), b"#!").unwrap();
    let (model, files, _) = gather("counter.tar.zst", &[root.path().to_owned()]);
    assert!(found(&model, &files, "/usr/bin/tee").is_none());
    let why = |path: &[u8]| &files.refused.iter().find(|refused| refused.path == path).unwrap().why;
    assert!(
        why(b"/usr/bin/tee").starts_with("it has no build id, and the mapped file had "),
        "{:?}",
        files.refused
    );
    assert!(
        why(b"/usr/bin/bash").starts_with("it has 2 bytes, and the mapped file had "),
        "{:?}",
        files.refused
    );
}
