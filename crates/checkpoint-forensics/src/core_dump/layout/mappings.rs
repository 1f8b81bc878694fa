//! What a core has of a mapping, by what the mapping is.

use container_checkpoint::memory::{Backing, Piece};
use container_checkpoint::model::{Mapping, MappingKind};

/// The longest mapping without a touched page that is written as zeros, in bytes. Programs reserve terabytes that they never use.
pub(super) const UNTOUCHED_MAX: u64 = 1 << 30;

/// `MADV_DONTDUMP`.
pub(super) const DONTDUMP: u32 = 16;

/// `PROT_EXEC`.
const EXECUTE: u32 = 4;

/// Whether untouched pages of a mapping are written as zeros. The kernel's and gdb's cores have none of mappings that can't be read and were never touched,
/// nor of those that the program asked to leave out; their stored pages are evidence all the same.
pub(super) fn writes_zeros(mapping: &Mapping, pieces: &[Piece]) -> bool {
    let untouched = pieces.iter().all(|piece| piece.backing == Backing::Zero);
    let is_reserve = untouched && (mapping.protection.0 & 7 == 0 || mapping.len() > UNTOUCHED_MAX);
    !is_reserve && !mapping.was_advised(DONTDUMP)
}

/// Whether the program asked to leave a mapping out of cores. The kernel marks its own mappings so, too.
pub(in crate::core_dump) fn is_private_to_program(mapping: &Mapping) -> bool {
    let is_ring = matches!(mapping.kind, MappingKind::PacketRing | MappingKind::AioRing);
    mapping.was_advised(DONTDUMP) && !is_kernels(mapping) && !is_ring
}

/// Whether the kernel shows the mapping to all processes alike.
pub(super) fn is_kernels(mapping: &Mapping) -> bool {
    matches!(mapping.kind, MappingKind::Vvar | MappingKind::Vsyscall | MappingKind::Uprobes)
}

/// Whether what CRIU leaves out of a mapping can be read by nobody: guards, beneath which the kernel keeps nothing, and the system-call page, which
/// can only be jumped to. The kernel and gdb write zeros for both.
pub(super) fn is_unreadable(mapping: &Mapping) -> bool {
    use MappingKind as Kind;
    match mapping.kind {
        Kind::Heap | Kind::Stack | Kind::AnonymousPrivate | Kind::AnonymousShared | Kind::ShadowStack => true,
        Kind::Vsyscall => mapping.protection.0 & 7 == EXECUTE,
        _ => false,
    }
}

/// Whether a mapping shows a shared object, beside which it may have pages of its own.
pub(super) fn shows_object(mapping: &Mapping) -> bool {
    matches!(mapping.kind, MappingKind::AnonymousShared | MappingKind::Memfd | MappingKind::SysV)
}
