//! Which members are kept in memory while a stream goes by, and which may be archives themselves.

use super::member::split_path;

/// Metadata files of the engines and of image layouts, by base name.
const METADATA: &[&str] = &[
    "bind.mounts",
    "checkpoint-manifest.json",
    "config.dump",
    "config.v2.json",
    "deleted.files",
    "descriptors.json",
    "dump.log",
    "hostconfig.json",
    "hostname",
    "index.json",
    "manifest.json",
    "network.status",
    "oci-layout",
    "pod-config.json",
    "pod.dump",
    "pod.options",
    "spec.dump",
    "stats-dump",
    "stats-restore",
    "status",
    "status.dump",
];

/// Images that hold contents rather than facts, by the start of their base name: they go by, and are read when they are asked for.
const CONTENTS: &[&str] = &[
    "amdgpu-",
    "bpfmap-data",
    "fifo-data",
    "ghost-file-",
    "ipcns-msg-",
    "pages-",
    "pipes-data",
    "sk-queues",
    "tcp-stream-",
    "tmpfs-",
];

/// Whether a member is kept whole while a stream goes by: images that hold facts, and engines' metadata files.
pub(crate) fn is_metadata(path: &[u8]) -> bool {
    let base = split_path(path).1;
    let is_image =
        base.ends_with(b".img") && !CONTENTS.iter().any(|start| base.starts_with(start.as_bytes()));
    is_image || METADATA.iter().any(|name| base == name.as_bytes())
}

/// The largest JSON document that is read, in bytes: as a tree it takes some forty times its size. Engines write some ten KiB, and Kubernetes
/// takes 256 KiB of annotations.
const DOCUMENT_MAX: u64 = 4 << 20;
/// The largest list of deleted files, in bytes: as long as the container liked.
const DELETIONS_MAX: u64 = 64 << 20;
/// Which part of the limit for all metadata one pagemap may have: its runs take ten times its bytes.
const PAGEMAP_PART: u64 = 8;

/// The largest member of this name that is read whole, in bytes, when all metadata together may have so many: what is read takes a multiple of
/// its size.
pub(crate) fn whole_max(path: &[u8], all: u64) -> u64 {
    let base = split_path(path).1;
    let is_document = is_blob(path) || METADATA.iter().any(|name| base == name.as_bytes());
    let most = match base {
        b"deleted.files" => DELETIONS_MAX,
        b"dump.log" | b"stats-dump" | b"stats-restore" => all,
        _ if base.starts_with(b"pagemap-") => all / PAGEMAP_PART,
        _ if is_document => DOCUMENT_MAX,
        _ => all,
    };
    most.min(all)
}

/// Whether a member is a blob of an image layout.
pub(crate) fn is_blob(path: &[u8]) -> bool {
    split_path(split_path(path).0).0 == b"blobs"
}

/// Whether a member is a page image: what must not pass before the pagemaps do.
pub(crate) fn is_pages(path: &[u8]) -> bool {
    let base = split_path(path).1;
    base.starts_with(b"pages-") && base.ends_with(b".img")
}

/// Archives inside a checkpoint that are contents, not further layers.
const INNER_CONTENTS: &[&str] = &["rootfs-diff.tar", "devshm-checkpoint.tar"];

/// How people name archives; what is in them decides.
const TAR_ENDINGS: &[&str] = &[".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2", ".tar.lz4"];

/// Whether a member may be an archive that holds a checkpoint: a blob of an image layout, a layer of `docker save`, a container of a pod,
/// an archive that was packed once more. Its contents decide.
///
/// In a directory, archives that lie beside each other are evidence of their own.
pub(crate) fn may_be_layer(path: &[u8], in_directory: bool) -> bool {
    let (directory, base) = split_path(path);
    if is_blob(path) {
        return true;
    }
    let names_tar = TAR_ENDINGS.iter().any(|ending| base.ends_with(ending.as_bytes()));
    let place = (directory.is_empty() && !in_directory) || base == b"layer.tar" || directory == b"containers";
    names_tar && place && !INNER_CONTENTS.iter().any(|name| base == name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_kept_and_contents_go_by() {
        for kept in [
            "checkpoint/pagemap-1.img",
            "core-1.img",
            "config.dump",
            "x/checkpoints/cp1/pstree.img",
            "stats-dump",
        ] {
            assert!(is_metadata(kept.as_bytes()), "{kept}");
        }
        for passing in [
            "checkpoint/pages-1.img",
            "ghost-file-1.img",
            "rootfs-diff.tar",
            "tmpfs-dev-83.tar.gz.img",
            "config.dump.bak",
        ] {
            assert!(!is_metadata(passing.as_bytes()), "{passing}");
        }
    }

    #[test]
    fn layers_are_looked_for_where_images_keep_them() {
        for layer in ["blobs/sha256/51951c", "0c1d/layer.tar", "containers/ab.tar", "inner.tar.zst"] {
            assert!(may_be_layer(layer.as_bytes(), false), "{layer}");
        }
        assert!(!may_be_layer(b"inner.tar.zst", true));
        for member in [
            "rootfs-diff.tar",
            "volumes/data.tar",
            "checkpoint/tmpfs-dev-83.tar.gz.img",
            "tmpfs-dev-83.tar.gz.img",
            "config.dump",
        ] {
            assert!(!may_be_layer(member.as_bytes(), false), "{member}");
        }
    }
}
