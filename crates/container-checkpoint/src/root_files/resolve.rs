//! Paths in a root, links followed as the kernel would after chroot(2).

/// The most symbolic links that are followed for one path, as in Linux (`MAXSYMLINKS`).
const SYMLINKS_MAX: usize = 40;
/// The longest path that is looked at, in bytes (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    Symlink(Vec<u8>),
    File,
    Other,
}

/// The path of the regular file that a path leads to, relative to the root and without links. `look` says what stands at such a path, whose directories
/// are none but real ones. `None` when there is no such file.
pub(super) fn resolve(path: &[u8], mut look: impl FnMut(&[u8]) -> Option<Node>) -> Option<Vec<u8>> {
    if path.len() >= PATH_MAX {
        return None;
    }
    let parts = |path: &[u8]| path.split(|&byte| byte == b'/').map(<[u8]>::to_vec).rev().collect::<Vec<_>>();
    // What is still to go, the next part last; what was gone is `at`.
    let mut pending = parts(path);
    let mut at: Vec<u8> = Vec::new();
    let mut links = 0;
    while let Some(part) = pending.pop() {
        match part.as_slice() {
            b"" | b"." => continue,
            b".." => {
                // Above the root is the root.
                at.truncate(at.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                continue;
            }
            part => {
                let before = at.len();
                if !at.is_empty() {
                    at.push(b'/');
                }
                at.extend_from_slice(part);
                match look(&at)? {
                    Node::Directory => {}
                    Node::Symlink(target) => {
                        links += 1;
                        if links > SYMLINKS_MAX || target.len() >= PATH_MAX {
                            return None;
                        }
                        at.truncate(if target.starts_with(b"/") { 0 } else { before });
                        pending.extend(parts(&target));
                    }
                    Node::File if pending.iter().all(|part| part.is_empty()) => return Some(at),
                    Node::File | Node::Other => return None,
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(path: &[u8]) -> Option<Node> {
        let link = |target: &str| Some(Node::Symlink(target.into()));
        match std::str::from_utf8(path).unwrap() {
            "usr" | "usr/lib" | "etc" | "a" | "a/b" => Some(Node::Directory),
            "lib" => link("usr/lib"),
            "lib64" => link("/lib"),
            "usr/lib/libc.so" => link("libc.so.6"),
            "usr/lib/libc.so.6" | "etc/passwd" => Some(Node::File),
            "a/b/up" => link("../../../../etc/passwd"),
            "loop" => link("loop"),
            "usr/null" => Some(Node::Other),
            _ => None,
        }
    }

    #[test]
    fn links_are_followed_within_the_root() {
        for (path, found) in [
            ("/usr/lib/libc.so.6", Some("usr/lib/libc.so.6")),
            ("/lib64/libc.so", Some("usr/lib/libc.so.6")),
            ("//lib/./../lib/libc.so.6", Some("usr/lib/libc.so.6")),
            ("/a/b/up", Some("etc/passwd")),
            ("/../../etc/passwd", Some("etc/passwd")),
            ("/etc/passwd/x", None),
            ("/etc", None),
            ("/loop", None),
            ("/usr/null", None),
            ("/nothing", None),
            ("", None),
        ] {
            assert_eq!(resolve(path.as_bytes(), look).as_deref(), found.map(str::as_bytes), "{path}");
        }
    }
}
