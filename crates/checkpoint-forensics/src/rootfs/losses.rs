//! What each way of recording changes is known to leave out: part of every answer, since an absence proves nothing where it may be a loss.

use super::deletions::Deletions;

/// Podman 2.0 to 5.8 and CRI-O make the archive by the same function of the containers/storage libraries.
const LISTED: &[&str] = &[
    "A changed file is left out when the host had no file of that path: the engine looks the path up on the host. Not being listed is no proof of being unchanged.",
    "A path of the image that was replaced by something of another type (a directory by a symbolic link) may be missing altogether.",
    "Changes to the mode, owner or time of a directory are not recorded, and a directory that existed before is not listed.",
    "Added and modified files are not told apart; a file whose mode alone changed is listed in full.",
    "Sockets are left out.",
    "Paths of the engine are left out even when they were changed. Podman: /dev, /proc, /sys, /run, /run/secrets, /etc/hosts, /etc/hostname, /etc/resolv.conf, /etc/mtab. CRI-O: /dev, /dev/shm, /proc, /run, /run/.containerenv, /run/secrets, /sys, and what was bind-mounted.",
    "In the list of deleted files, bytes that are not UTF-8 were replaced by U+FFFD: such a name is not the real one.",
    "A deleted directory is one path: what was in it is not listed.",
    "Times have whole seconds.",
    "What lies on bind mounts of the host is not in the checkpoint.",
];

const WHITEOUTS: &[&str] = &[
    "Added and modified files are not told apart, and directories on the way to a change are listed whether or not they were changed themselves.",
    "Sockets are left out.",
    "A deleted directory is one path: what was in it is not listed.",
    "Times have whole seconds.",
    "/dev/shm, volumes and bind mounts are not in the checkpoint.",
];

const NOT_RECORDED: &[&str] = &[
    "The writer of this checkpoint records no changes of the file system. Docker keeps them on the host, in the upper directory of its storage driver; a dump by CRIU or a runtime alone has only tmpfs mounts and deleted files that were open.",
];

/// What is known to be missing from such a checkpoint's record of changes, as plain statements.
pub fn known_losses(deletions: Deletions) -> &'static [&'static str] {
    match deletions {
        Deletions::Listed => LISTED,
        Deletions::Whiteouts => WHITEOUTS,
        Deletions::NotRecorded => NOT_RECORDED,
    }
}
