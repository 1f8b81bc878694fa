//! How an engine writes down what was deleted: a list beside the archive, or marks in it.

use std::borrow::Cow;

use container_checkpoint::evidence::{Member, MemberKind};

/// How the engine that wrote a checkpoint records deletions. It follows from the engine, never from the archive: a file may be named like a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deletions {
    /// Podman, CRI-O: `deleted.files`, a JSON list of paths. A file named `.wh.NAME` in the archive is a file.
    Listed,
    /// containerd, by its CRI service or `ctr`: whiteouts of the OCI image specification in the archive.
    Whiteouts,
    /// Docker, plain CRIU, a bare runtime: no changes of the file system are recorded. Also right for an engine that can't be told: what
    /// looks like a whiteout is then shown as the file that it also is, with a note.
    NotRecorded,
}

/// What begins the name of a whiteout; the deleted name follows (OCI image specification, "Whiteouts").
const PREFIX: &[u8] = b".wh.";
/// The mark by which a directory hides all that lower layers have in it.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What begins the names of AUFS's own bookkeeping, which is neither a file nor a deletion.
const AUFS: &[u8] = b".wh..wh.";

/// What the name and header of an entry say about deletions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing.
    None,
    /// This path is gone.
    Gone(Vec<u8>),
    /// Whatever the image had in this directory is gone.
    GoneBelow(Vec<u8>),
    /// It is named like a mark, but its header is that of an ordinary file.
    NamedLikeOne,
}

/// Reads an entry as a whiteout. containerd writes them with mode 0, size 0 and the time 0; any other file of such a name is one that the
/// container made, which containerd archives under its own name.
pub(super) fn mark_of(member: &Member) -> Mark {
    let base = member.base_name();
    let Some(name) = base.strip_prefix(PREFIX) else { return Mark::None };
    let bare = member.kind == MemberKind::File
        && member.size == 0
        && member.mode == 0
        && (member.modified.seconds, member.modified.nanoseconds) == (0, 0);
    if base == OPAQUE && bare {
        return Mark::GoneBelow(member.directory().to_vec());
    }
    if !bare || name.is_empty() || base.starts_with(AUFS) {
        return Mark::NamedLikeOne;
    }
    let mut path = member.directory().to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    Mark::Gone(path)
}

/// A path of `deleted.files`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// The absolute path in the container, as far as the list has it.
    pub(super) path: Vec<u8>,
    /// Whether it holds U+FFFD: Go's JSON encoder puts it in place of bytes that are no UTF-8, and what they were is lost.
    pub(super) uncertain: bool,
}

/// Reads `deleted.files`: a JSON list of absolute paths.
///
/// # Errors
/// When it is something else; with the place in the text.
pub(super) fn parse_list(json: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    // A list that someone else wrote may hold raw bytes: they become U+FFFD here, as they would have by Go.
    let text: Cow<'_, str> = String::from_utf8_lossy(json);
    let paths: Option<Vec<String>> = serde_json::from_str(&text)?;
    let listed = |path: String| Listed { uncertain: path.contains('\u{fffd}'), path: path.into_bytes() };
    Ok(paths.unwrap_or_default().into_iter().map(listed).collect())
}

#[cfg(test)]
mod tests {
    use container_checkpoint::evidence::{Body, ModificationTime};

    use super::*;

    fn member(path: &str, mode: u32, size: u64, seconds: i64) -> Member {
        Member {
            path: path.into(),
            kind: MemberKind::File,
            size,
            holes: 0,
            hole_map: None,
            mode,
            uid: 0,
            gid: 0,
            modified: ModificationTime { seconds, nanoseconds: 0 },
            link: None,
            xattrs: Vec::new(),
            body: Body::Passing,
        }
    }

    #[test]
    fn only_a_bare_header_makes_a_whiteout() {
        assert_eq!(mark_of(&member("o/.wh.a", 0, 0, 0)), Mark::Gone(b"o/a".to_vec()));
        assert_eq!(mark_of(&member(".wh.top", 0, 0, 0)), Mark::Gone(b"top".to_vec()));
        for (mode, size, seconds) in [(0o644, 0, 0), (0, 2, 0), (0, 0, 1)] {
            assert_eq!(
                mark_of(&member("o/.wh.a", mode, size, seconds)),
                Mark::NamedLikeOne,
                "{mode:o} {size} {seconds}"
            );
        }
        assert_eq!(mark_of(&member("o/.why", 0, 0, 0)), Mark::None);
        assert_eq!(mark_of(&member(".wh.d/file", 0, 0, 0)), Mark::None, "the last component decides");
    }

    #[test]
    fn an_opaque_mark_is_about_its_directory() {
        assert_eq!(mark_of(&member("etc/ssl/.wh..wh..opq", 0, 0, 0)), Mark::GoneBelow(b"etc/ssl".to_vec()));
        assert_eq!(mark_of(&member("etc/.wh..wh.plnk", 0, 0, 0)), Mark::NamedLikeOne);
        assert_eq!(mark_of(&member("etc/.wh.", 0, 0, 0)), Mark::NamedLikeOne);
    }

    #[test]
    fn names_that_go_mangled_are_marked() {
        let list = parse_list("[\"/img/plain\", \"/img/\\u001b[31m\", \"/img/\u{fffd}\u{fffd}\"]".as_bytes())
            .unwrap();
        let told: Vec<_> = list.iter().map(|listed| (listed.path.as_slice(), listed.uncertain)).collect();
        assert_eq!(
            told,
            [
                (&b"/img/plain"[..], false),
                (b"/img/\x1b[31m", false),
                ("/img/\u{fffd}\u{fffd}".as_bytes(), true)
            ]
        );
        assert!(parse_list(b"[\"/img/\xff\"]").unwrap()[0].uncertain);
        assert_eq!(parse_list(b"null").unwrap(), []);
        assert!(parse_list(b"[\"/cut").is_err());
        assert!(parse_list(b"{}").is_err());
    }
}
