//! Incremental dumps: which dump among the given evidence is the parent of which.

use serde_json::Value;

use crate::case::{Case, DumpId};
use crate::evidence::{MemberKind, split_path};
use crate::files::FileSet;
use crate::gap::Findings;

/// The longest chain of parents that is followed.
const DEPTH_MAX: usize = 1000;

/// A dump, its parent, the parent's parent and so on, as far as they are among the evidence of the case.
pub fn ancestry(case: &Case, id: DumpId, findings: &mut Findings) -> Vec<DumpId> {
    let mut chain = vec![id];
    while let Some(parent) = parent_of(case, chain[chain.len() - 1], findings) {
        if chain.contains(&parent) || chain.len() == DEPTH_MAX {
            findings.note("a loop of parent links", case.dump(parent).name.clone(), "the chain is followed once");
            break;
        }
        chain.push(parent);
    }
    chain
}

/// Where a dump's `parent` link points, as stored.
pub(super) fn parent_link(case: &Case, id: DumpId) -> Option<String> {
    let index = case.evidence(id).index();
    let dump = case.dump(id);
    let path = join(dump.images.as_deref()?, b"parent");
    let link = dump.layers.iter().find_map(|&layer| index.find(layer, &path)).map(|member| index.member(member))?;
    let target = link.link.as_ref().filter(|_| link.kind == MemberKind::Symlink)?;
    Some(String::from_utf8_lossy(target).into_owned())
}

/// The link is resolved within what the user gave: in the same evidence by its path, else in another one by its last component.
fn parent_of(case: &Case, id: DumpId, findings: &mut Findings) -> Option<DumpId> {
    let link = parent_link(case, id)?;
    let link = link.trim_end_matches('/').as_bytes();
    let here = case.dump(id);
    let target = normalised(&join(here.images.as_deref()?, link));
    let same = |other: &DumpId| {
        let dump = case.dump(*other);
        other.evidence == id.evidence && dump.layers == here.layers && target.is_some() && dump.images == target
    };
    if let Some(parent) = case.all_dumps().find(|other| *other != id && same(other)) {
        return Some(parent);
    }
    let last = split_path(link).1;
    let mut candidates: Vec<DumpId> = case
        .all_dumps()
        .filter(|other| other.evidence != id.evidence && directory_name(case, *other) == last && shares_a_pagemap(case, id, *other))
        .collect();
    if candidates.len() > 1 {
        let container = container_id(case, id);
        candidates.retain(|other| container.is_some() && container_id(case, *other) == container);
    }
    if candidates.len() > 1 {
        let why = "several dumps that were given could be the parent; give only one of them";
        findings.gap("the parent dump", String::from_utf8_lossy(link), why);
    }
    (candidates.len() == 1).then(|| candidates[0])
}

/// The last component of the directory of a dump's images; for images at the top of a directory, that directory's name.
fn directory_name(case: &Case, id: DumpId) -> &[u8] {
    let images = case.dump(id).images.as_deref().unwrap_or_default();
    if images.is_empty() {
        split_path(case.evidence(id).name().trim_end_matches('/').as_bytes()).1
    } else {
        split_path(images).1
    }
}

fn shares_a_pagemap(case: &Case, id: DumpId, other: DumpId) -> bool {
    let files = |id: DumpId| case.dump(id).image_files(case.evidence(id).index());
    let others = files(other);
    files(id).names().iter().any(|name| name.starts_with("pagemap-") && others.has(name))
}

/// The id in the engine's config.dump.
fn container_id(case: &Case, id: DumpId) -> Option<String> {
    let files = case.dump(id).bundle_files(case.evidence(id).index());
    let config: Value = serde_json::from_slice(&files.file("config.dump")?).ok()?;
    Some(config.get("id")?.as_str()?.to_owned())
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// A path with `.` and `..` worked out; `None` when it leaves the evidence or is absolute.
fn normalised(path: &[u8]) -> Option<Vec<u8>> {
    if path.starts_with(b"/") {
        return None;
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_worked_out_within_the_evidence() {
        assert_eq!(normalised(b"chain/3/../2"), Some(b"chain/2".to_vec()));
        assert_eq!(normalised(b"checkpoint/../pre-checkpoint"), Some(b"pre-checkpoint".to_vec()));
        assert_eq!(normalised(b"a/../../b"), None);
        assert_eq!(normalised(b"/var/x"), None);
    }
}
