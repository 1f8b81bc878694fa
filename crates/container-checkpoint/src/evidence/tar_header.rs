//! One header block of a tar: whether it is one, and what it says of a member's kind.

use std::io;

use super::member::MemberKind;
use super::tar::BLOCK;

/// Whether these first bytes of a stream are a tar header.
pub(crate) fn looks_like_tar(head: &[u8]) -> bool {
    head.len() >= BLOCK as usize
        && checked_size(tar::Header::from_byte_slice(&head[..BLOCK as usize])).is_some()
}

/// The size field of a header whose checksum is right.
pub(super) fn checked_size(header: &tar::Header) -> Option<u64> {
    let bytes = header.as_bytes();
    // The sum over all bytes, the checksum's own eight taken as blanks.
    let sum: u32 = bytes
        .iter()
        .enumerate()
        .map(|(at, &byte)| u32::from(if (148..156).contains(&at) { b' ' } else { byte }))
        .sum();
    (header.cksum().ok()? == sum).then(|| header.entry_size().ok()).flatten()
}

pub(super) fn member_kind(header: &tar::Header, stored: &[u8]) -> MemberKind {
    let device = || {
        let number = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or_default();
        (number(header.device_major()), number(header.device_minor()))
    };
    match header.entry_type().as_byte() {
        // Before POSIX a directory was a file whose name ends in a slash.
        0 | b'0' | b'7' if stored.ends_with(b"/") => MemberKind::Directory,
        0 | b'0' | b'7' | b'S' => MemberKind::File,
        b'1' => MemberKind::HardLink,
        b'2' => MemberKind::Symlink,
        b'3' => MemberKind::CharDevice(device().0, device().1),
        b'4' => MemberKind::BlockDevice(device().0, device().1),
        b'5' => MemberKind::Directory,
        b'6' => MemberKind::Fifo,
        other => MemberKind::Other(other),
    }
}
