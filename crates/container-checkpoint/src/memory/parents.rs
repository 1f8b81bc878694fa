//! Incremental dumps: which dump among the given evidence is the parent of which.

use std::collections::HashSet;

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
    let mut known = HashSet::from([id]);
    while let Some(parent) = parent_of(case, chain[chain.len() - 1], findings) {
        let name = || case.dump(parent).name.clone();
        if !known.insert(parent) {
            findings.note("a loop of parent links", name(), "the chain is followed once");
            break;
        }
        if chain.len() == DEPTH_MAX {
            let why = format!("more than {DEPTH_MAX} parents in a chain; this one is not looked at");
            findings.gap("the parent dump", name(), why);
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
    let link =
        dump.layers.iter().find_map(|&layer| index.find(layer, &path)).map(|member| index.member(member))?;
    let target = link.link.as_ref().filter(|_| link.kind == MemberKind::Symlink)?;
    Some(String::from_utf8_lossy(target).into_owned())
}

/// The link is resolved within what the user gave: in the same evidence by its path, else in another one by its last component. Every container's
/// parent may have that name, so that the dumps must not be of two containers.
pub(super) fn parent_of(case: &Case, id: DumpId, findings: &mut Findings) -> Option<DumpId> {
    let link = parent_link(case, id)?;
    let link = link.trim_end_matches('/').as_bytes();
    let here = case.dump(id);
    if let Some(target) = normalised(&join(here.images.as_deref()?, link)) {
        let opened = &case.evidences[id.evidence];
        let same = opened
            .dumps_at(&target)
            .find(|&dump| dump != id.dump && opened.dumps[dump].layers == here.layers);
        if let Some(dump) = same {
            return Some(DumpId { dump, ..id });
        }
    }
    let last = split_path(link).1;
    let could_be = |other: &DumpId| other.evidence != id.evidence && shares_a_pagemap(case, id, *other);
    let is_named = |other: &DumpId| directory_name(case, *other) == last;
    let mut candidates: Vec<DumpId> = case.all_dumps().filter(|it| is_named(it) && could_be(it)).collect();
    if candidates.is_empty() {
        // What is given as a parent may have been renamed or unpacked elsewhere since.
        let is_given = |other: &DumpId| {
            let opened = &case.evidences[other.evidence];
            let chosen =
                opened.locator.selector.as_ref().is_none_or(|word| case.dump(*other).is_called(word));
            opened.is_parent && chosen
        };
        candidates = case.all_dumps().filter(|it| is_given(it) && could_be(it)).collect();
    }
    let container = container_id(case, id);
    let of_another = |other: &DumpId| matches!((&container, container_id(case, *other)), (Some(own), Some(other)) if *own != other);
    let place = || String::from_utf8_lossy(link).into_owned();
    for other in candidates.extract_if(.., |other| of_another(other)) {
        let name = case.evidence(other).name();
        findings.note(
            "not the parent dump",
            name,
            format!("it has the name '{}', and is another container's", place()),
        );
    }
    if candidates.len() > 1 {
        candidates.retain(|other| container.is_some() && container_id(case, *other) == container);
    }
    match candidates.as_slice() {
        [] => None,
        &[parent] => {
            if container.is_none() || container_id(case, parent).is_none() {
                let why = match is_named(&parent) {
                    true => {
                        "taken as the parent by the name of its directory alone: nothing says of which container it is"
                    }
                    false => {
                        "taken as the parent because it was given as one: nothing says of which container it is"
                    }
                };
                findings.note("the parent dump", case.evidence(parent).name(), why);
            }
            Some(parent)
        }
        _ => {
            let why = "several dumps that were given could be the parent; give only one of them";
            findings.gap("the parent dump", place(), why);
            None
        }
    }
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

/// The container's id in the engine's metadata: Podman's and CRI-O's, or Docker's.
fn container_id(case: &Case, id: DumpId) -> Option<String> {
    let files = case.dump(id).bundle_files(case.evidence(id).index());
    [("config.dump", "id"), ("config.v2.json", "ID")].iter().find_map(|(name, key)| {
        let config: Value = serde_json::from_slice(&files.file(name)?).ok()?;
        Some(config.get(key)?.as_str()?.to_owned())
    })
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
