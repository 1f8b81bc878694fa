//! Small lists that stand in files of their own: `deleted.files`, `bind.mounts`.

use serde_json::Value;

use super::document::Document;
use super::sources::Sources;
use crate::container::{BindMount, DeletedFile};
use crate::gap::Field;

/// `deleted.files`, of Podman and CRI-O: written only if something was deleted.
///
/// Without it nothing was, provided that changes were packed at all: then there is a rootfs-diff.tar.
pub(super) fn deleted_files(sources: &Sources<'_>) -> Field<Vec<DeletedFile>> {
    let document = Document::load(sources.bundle, "deleted.files", sources.findings);
    match document.root() {
        _ if !document.exists() && sources.bundle.has("rootfs-diff.tar") => Field::Known(Vec::new()),
        Value::Array(_) => document.texts(&[]).map(|paths| paths.into_iter().map(deleted_file).collect()),
        Value::Null => document.nothing(),
        other => document.wrong(&[], "a list of paths", other),
    }
}

/// Go wrote U+FFFD for every byte that was not UTF-8.
fn deleted_file(path: String) -> DeletedFile {
    DeletedFile { lossy: path.contains('\u{fffd}'), path }
}

/// `bind.mounts`, of CRI-O since 1.26: written only if there are any.
pub(super) fn bind_mounts(sources: &Sources<'_>) -> Field<Vec<BindMount>> {
    let document = Document::load(sources.bundle, "bind.mounts", sources.findings);
    let list = match document.root() {
        Value::Array(list) => list,
        Value::Null => return document.nothing(),
        other => return document.wrong(&[], "a list", other),
    };
    let mut mounts = Vec::with_capacity(list.len());
    for entry in list {
        match bind_mount(entry) {
            Some(mount) => mounts.push(mount),
            None => document.complain(&[], "an entry that is no bind mount"),
        }
    }
    Field::Known(mounts)
}

fn bind_mount(entry: &Value) -> Option<BindMount> {
    let text = |key: &str| entry.get(key)?.as_str().map(str::to_owned);
    Some(BindMount {
        source: text("source")?,
        destination: text("destination")?,
        file_type: text("file_type")?,
        permissions: u32::try_from(entry.get("permissions")?.as_u64()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::test_files::Files;
    use super::*;
    use crate::gap::Findings;

    fn with<T>(bundle: &Files, read: impl FnOnce(&Sources<'_>) -> T) -> (T, usize) {
        let findings = RefCell::new(Findings::default());
        let answer = read(&Sources::load(bundle, &Files::default(), None, &findings));
        (answer, findings.into_inner().gaps.len())
    }

    #[test]
    fn a_path_with_the_replacement_character_may_have_been_another() {
        let bundle =
            Files::default().with("deleted.files", "[\"/img/\u{fffd}\u{fffd}\", \"/img/del\\nete\", 7]");
        let (files, gaps) = with(&bundle, deleted_files);
        let files = files.known().unwrap().clone();
        assert_eq!(files.iter().map(|file| file.lossy).collect::<Vec<_>>(), [true, false]);
        assert_eq!((files[1].path.as_str(), gaps), ("/img/del\nete", 1));
    }

    #[test]
    fn without_the_list_nothing_was_deleted_if_changes_were_packed() {
        assert_eq!(with(&Files::default(), deleted_files), (Field::NotCaptured, 0));
        let packed = Files::default().with("rootfs-diff.tar", "");
        assert_eq!(with(&packed, deleted_files), (Field::Known(Vec::new()), 0));
        let (cut, gaps) = with(&packed.with("deleted.files", r#"["/a","/b"#), deleted_files);
        assert_eq!((cut.known().unwrap().len(), gaps), (1, 1));
    }

    #[test]
    fn bind_mounts_keep_their_mode() {
        let text =
            r#"[{"source":"/s","destination":"/d","file_type":"file","permissions":420},{"source":"/s"}]"#;
        let (mounts, gaps) = with(&Files::default().with("bind.mounts", text), bind_mounts);
        let mounts = mounts.known().unwrap().clone();
        assert_eq!((mounts.len(), mounts[0].permissions, gaps), (1, 0o644, 1));
    }
}
