//! How evidence is named: `EVIDENCE`, `EVIDENCE//DUMP`, `EVIDENCE//DUMP//MEMBER`, `EVIDENCE//MEMBER`.
//!
//! Two slashes separate, since colons occur in the kubelet's file names. What exists in the file system wins: the longest
//! existing path is the evidence, the rest is a selector.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A name of evidence, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locator {
    /// The file or directory; `-` is standard input.
    pub path: PathBuf,
    /// What stands behind the first `//` that is no part of the path: a dump, a member, or both.
    pub selector: Option<String>,
    /// As the user wrote it.
    pub text: String,
}

impl Locator {
    /// Takes a name apart, asking the file system which part of it exists.
    pub fn parse(name: &OsStr) -> Self {
        Self::parse_with(name, &|path| path.symlink_metadata().is_ok())
    }

    /// A path that is taken as it is, `//` and all.
    pub fn whole(path: &Path) -> Self {
        Self { path: path.to_owned(), selector: None, text: path.to_string_lossy().into_owned() }
    }

    fn parse_with(name: &OsStr, exists: &dyn Fn(&Path) -> bool) -> Self {
        let bytes = name.as_bytes();
        let text = name.to_string_lossy().into_owned();
        let path_of = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let whole = path_of(bytes);
        if exists(&whole) {
            return Self { path: whole, selector: None, text };
        }
        let mut separators: Vec<usize> =
            (0..bytes.len().saturating_sub(1)).filter(|&at| &bytes[at..at + 2] == b"//").collect();
        // In "a///b" the path keeps its own trailing slash out of the selector.
        separators.dedup_by(|later, earlier| *later == *earlier + 1);
        for &at in separators.iter().rev().filter(|&&at| at > 0) {
            let path = path_of(&bytes[..at]);
            if path == Path::new("-") || exists(&path) {
                let selector = String::from_utf8_lossy(&bytes[at..]).trim_start_matches('/').to_owned();
                return Self { path, selector: Some(selector).filter(|selector| !selector.is_empty()), text };
            }
        }
        Self { path: whole, selector: None, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spelled out: to `Path`, "a.tar//" is "a.tar"; to a kernel it is not, unless that is a directory.
    fn parse(name: &str, existing: &[&str]) -> (String, Option<String>) {
        let locator = Locator::parse_with(OsStr::new(name), &|path| {
            existing.iter().any(|known| OsStr::new(known) == path.as_os_str())
        });
        (locator.path.to_string_lossy().into_owned(), locator.selector)
    }

    #[test]
    fn the_longest_existing_path_wins() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            parse("a.tar//checkpoint/pstree.img", &["a.tar"]),
            ("a.tar".into(), some("checkpoint/pstree.img"))
        );
        assert_eq!(
            parse("c.tar//chain/3//pstree.img", &["c.tar"]),
            ("c.tar".into(), some("chain/3//pstree.img"))
        );
        assert_eq!(parse("d//x", &["d", "d//x"]), ("d//x".into(), None));
        assert_eq!(parse("d//x//y", &["d", "d//x"]), ("d//x".into(), some("y")));
        assert_eq!(parse("-//cp1", &[]), ("-".into(), some("cp1")));
        assert_eq!(parse("nothing//here", &[]), ("nothing//here".into(), None));
        assert_eq!(parse("a.tar//", &["a.tar"]), ("a.tar".into(), None));
        assert_eq!(parse("//host//x", &["//host"]), ("//host".into(), some("x")));
    }
}
