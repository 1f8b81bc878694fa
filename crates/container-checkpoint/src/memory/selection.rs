//! Which part of the memory a question is about: processes, mappings, addresses.

use std::ops::Range;

use super::{AddressSpace, Memory};
use crate::ids::Pid;
use crate::model::{Files, Mapping, MappingKind, Permissions};

/// A part of the memory of a dump. The default is all of it.
///
/// What is named of one sort is taken together (heap or stack), and what is named of several sorts has to hold at once (the heap, and of process 7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// These processes; all when empty.
    pub pids: Vec<Pid>,
    /// These addresses; all when empty.
    pub ranges: Vec<Range<u64>>,
    /// Mappings of these kinds; of any when empty.
    pub kinds: Vec<MappingKind>,
    /// Mappings with these permissions; with any when empty.
    pub permissions: Vec<Permissions>,
    /// Mappings with these names; with any when empty. See [`Selection::add_mapping`].
    pub names: Vec<Vec<u8>>,
}

impl Selection {
    /// Adds mappings as a user names them: by kind (`heap`, `shared-file`), by permissions (`rwx`, `r-xp`, with `.` for either), or else by name: all of what
    /// `/proc/PID/maps` shows, without ` (deleted)` if need be, or its last component.
    pub fn add_mapping(&mut self, text: &[u8]) {
        let kind =
            std::str::from_utf8(text).ok().and_then(|text| MappingKind::named(&text.replace('-', " ")));
        if let Some(kind) = kind {
            self.kinds.push(kind);
        } else if let Some(permissions) = Permissions::parse(text) {
            self.permissions.push(permissions);
        } else {
            self.names.push(text.to_vec());
        }
    }

    /// Whether a process is among those chosen.
    pub fn has_process(&self, pid: Pid) -> bool {
        self.pids.is_empty() || self.pids.contains(&pid)
    }

    /// Whether mappings are chosen by what they are. A pre-dump, which does not say what is mapped, has none of these.
    pub fn is_by_mapping(&self) -> bool {
        !(self.kinds.is_empty() && self.permissions.is_empty() && self.names.is_empty())
    }

    /// Whether a mapping is among those chosen; its addresses aside.
    pub fn has_mapping(&self, mapping: &Mapping, files: &Files) -> bool {
        let by_kind = self.kinds.is_empty() || self.kinds.contains(&mapping.kind);
        let allows = |permissions: &Permissions| permissions.allow(mapping);
        let by_permissions = self.permissions.is_empty() || self.permissions.iter().any(allows);
        by_kind && by_permissions && (self.names.is_empty() || self.has_name(&files.mapping_name(mapping)))
    }

    /// Whether a mapping is among those chosen, or for addresses touches a range of them.
    pub fn touches(&self, mapping: &Mapping, files: &Files) -> bool {
        let is_within = |range: &Range<u64>| mapping.start.0 < range.end && range.start < mapping.end.0;
        (self.ranges.is_empty() || self.ranges.iter().any(is_within)) && self.has_mapping(mapping, files)
    }

    fn has_name(&self, name: &[u8]) -> bool {
        let bare = name.strip_suffix(b" (deleted)").unwrap_or(name);
        let last = bare.rsplit(|&byte| byte == b'/').next().unwrap_or(bare);
        let last = last.strip_prefix(b"memfd:").unwrap_or(last);
        self.names.iter().any(|wanted| !wanted.is_empty() && [name, bare, last].contains(&wanted.as_slice()))
    }

    /// The chosen addresses of a process, ascending, disjoint, and joined where they touch; none of a process that is not chosen.
    pub fn of(&self, memory: &Memory, space: &AddressSpace) -> Vec<Range<u64>> {
        if !self.has_process(space.pid) {
            return Vec::new();
        }
        if !self.is_by_mapping() {
            let everywhere = self.ranges.is_empty().then_some(0..u64::MAX);
            return joined(everywhere.into_iter().chain(self.ranges.iter().cloned()).collect());
        }
        let mappings = space.map.iter().flat_map(|map| &map.mappings);
        let chosen = mappings.filter(|mapping| self.has_mapping(mapping, &memory.files));
        let addresses = joined(chosen.map(|mapping| mapping.start.0..mapping.end.0).collect());
        if self.ranges.is_empty() {
            return addresses;
        }
        let ranges = joined(self.ranges.clone());
        let within = |part: &Range<u64>| {
            let part = part.clone();
            let first = ranges.partition_point(|range| range.end <= part.start);
            let touching = ranges[first..].iter().take_while(move |range| range.start < part.end);
            touching
                .map(move |range| range.start.max(part.start)..range.end.min(part.end))
                .collect::<Vec<_>>()
        };
        addresses.iter().flat_map(within).collect()
    }
}

/// Ranges in ascending order, joined where they touch; empty ones go.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| range.start < range.end);
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let goes_on = next.start <= last.end;
        if goes_on {
            last.end = last.end.max(next.end);
        }
        goes_on
    });
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(texts: &[&str]) -> Selection {
        let mut selection = Selection::default();
        texts.iter().for_each(|text| selection.add_mapping(text.as_bytes()));
        selection
    }

    #[test]
    fn a_mapping_is_named_by_kind_permissions_or_file() {
        let chosen = selection(&["heap", "shared-file", "rwx", "r-.p", "/usr/bin/rwx", "r-", "libc.so.6"]);
        assert_eq!(chosen.kinds, [MappingKind::Heap, MappingKind::FileShared]);
        assert_eq!(chosen.permissions.len(), 2);
        assert_eq!(chosen.names, [&b"/usr/bin/rwx"[..], b"r-", b"libc.so.6"]);
    }

    #[test]
    fn a_name_is_the_whole_of_it_or_its_last_component() {
        let name = b"/usr/lib/libc.so.6 (deleted)";
        for wanted in ["/usr/lib/libc.so.6 (deleted)", "/usr/lib/libc.so.6", "libc.so.6"] {
            assert!(selection(&[wanted]).has_name(name), "{wanted}");
        }
        for wanted in ["libc", "lib/libc.so.6", "(deleted)", ""] {
            assert!(!selection(&[wanted]).has_name(name), "{wanted}");
        }
        assert!(selection(&["cache"]).has_name(b"/memfd:cache (deleted)"));
        assert!(!selection(&["x"]).has_name(b""));
    }

    #[test]
    fn ranges_are_sorted_and_joined() {
        let ranges = [8..9, 5..5, 1..3, 2..4, 4..6, 20..u64::MAX];
        assert_eq!(joined(ranges.to_vec()), [1..6, 8..9, 20..u64::MAX]);
    }
}
