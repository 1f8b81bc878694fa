//! Files that the engine, the runtime or CRIU made: no evidence of what the workload did.

use container_checkpoint::evidence::MemberKind;

use super::entry::Facts;
use super::places::Places;

/// What CRIU leaves when an open file has no name any more but other links: `link_remap.N` beside it (files-reg.c, `create_link_remap`).
const LINK_REMAP: &[u8] = b"link_remap.";

/// Files on which engines mount their own, by absolute path. Where the image has none, the runtime makes an empty one.
const DEFAULT_FILES: &[&[u8]] =
    &[b"/etc/hostname", b"/etc/hosts", b"/etc/resolv.conf", b"/run/.containerenv"];
/// The modes that crun and runc give to it; a file of the image that was emptied has another.
const DEFAULT_MODES: &[u32] = &[0o700, 0o755];
const MTAB: &[u8] = b"/etc/mtab";
const MTAB_TARGETS: &[&[u8]] = &[b"/proc/mounts", b"/proc/self/mounts"];

const BY_CRIU: &str = "CRIU, when it made the dump";
const BY_ENGINE: &str = "the engine, in every container";
const BY_MOUNTER: &str = "whoever mounted something there: for the engine's mounts, the runtime";

/// Who made a file of the root file system, told by its name and form; `None` for the workload, or whoever it was.
pub(super) fn made_by(path: &[u8], facts: &Facts, places: &Places) -> Option<&'static str> {
    let base = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let number = base.strip_prefix(LINK_REMAP).unwrap_or_default();
    if !number.is_empty()
        && number.iter().all(u8::is_ascii_digit)
        && matches!(facts.kind, MemberKind::File | MemberKind::HardLink)
    {
        return Some(BY_CRIU);
    }
    let to_mounts = || facts.link.as_deref().is_some_and(|target| MTAB_TARGETS.contains(&target));
    if path == MTAB && facts.kind == MemberKind::Symlink && to_mounts() {
        return Some(BY_ENGINE);
    }
    let empty_file = facts.kind == MemberKind::File && facts.size == Some(0);
    if empty_file && DEFAULT_FILES.contains(&path) && DEFAULT_MODES.contains(&facts.mode) {
        return Some(BY_ENGINE);
    }
    let is_mount_point = places.mount_points.iter().any(|place| place == path);
    (is_mount_point && (empty_file || facts.kind == MemberKind::Directory)).then_some(BY_MOUNTER)
}

#[cfg(test)]
mod tests {
    use container_checkpoint::evidence::ModificationTime;

    use super::*;

    fn facts(kind: MemberKind, size: Option<u64>, link: Option<&str>) -> Facts {
        Facts {
            kind,
            mode: 0o700,
            uid: 0,
            gid: 0,
            size,
            modified: ModificationTime { seconds: 0, nanoseconds: 0 },
            link: link.map(|target| target.as_bytes().to_vec()),
            xattrs: Vec::new(),
            sha256: None,
            present: None,
        }
    }

    #[test]
    fn names_alone_prove_nothing() {
        let places = Places {
            mount_points: vec![b"/facts".to_vec(), b"/var/run/docker.sock".to_vec()],
            ..Places::default()
        };
        let (file, directory, link) = (MemberKind::File, MemberKind::Directory, MemberKind::Symlink);
        for (path, facts, maker) in [
            ("/var/tmp/link_remap.49", facts(file, Some(28), None), Some(BY_CRIU)),
            ("/var/tmp/link_remap.", facts(file, Some(28), None), None),
            ("/var/tmp/link_remap.4x", facts(file, Some(28), None), None),
            ("/etc/hosts", facts(file, Some(0), None), Some(BY_ENGINE)),
            ("/etc/hosts", facts(file, Some(20), None), None),
            ("/etc/hosts", Facts { mode: 0o644, ..facts(file, Some(0), None) }, None),
            ("/etc/mtab", facts(link, None, Some("/proc/mounts")), Some(BY_ENGINE)),
            ("/etc/mtab", facts(link, None, Some("/tmp/x")), None),
            ("/facts", facts(directory, None, None), Some(BY_MOUNTER)),
            ("/var/run/docker.sock", facts(file, Some(0), None), Some(BY_MOUNTER)),
            ("/var/run/docker.sock", facts(file, Some(9), None), None),
            ("/home", facts(directory, None, None), None),
        ] {
            assert_eq!(made_by(path.as_bytes(), &facts, &places), maker, "{path} {facts:?}");
        }
    }
}
