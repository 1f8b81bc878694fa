//! Decides, before anything is written, what goes where and what is refused.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use container_checkpoint::evidence::MemberKind;

use super::changes::Changes;
use super::entry::described;

/// The longest path that is written, in bytes: Linux's `PATH_MAX`, the longest by which the container could have opened it.
const PATH_MAX: usize = 4096;

/// Why an entry was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Its name is not one of something below a directory; what is wrong with it.
    Name(&'static str),
    /// It is no file or directory: links, devices, named pipes are not made.
    Kind(MemberKind),
    /// A path above it is something other than a directory in the archive: writing it would have meant going through that.
    Above {
        /// That path.
        path: Vec<u8>,
        /// What it is.
        kind: MemberKind,
    },
    /// The archive has a later entry of that name, which was taken.
    Replaced,
    /// It is a hard link to something that is no file before it in the archive.
    LinkTarget,
    /// The archive does not hold all of its bytes.
    Incomplete {
        /// How many it holds.
        present: u64,
        /// How many there should be.
        size: u64,
    },
    /// Its bytes can't be read; why.
    Unreadable(String),
    /// The system would not take it; why. Also when something of that name is there.
    Output(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(fault) => write!(f, "its name {fault}"),
            Self::Kind(MemberKind::CharDevice(major, minor) | MemberKind::BlockDevice(major, minor)) => {
                write!(f, "it is a device ({major}, {minor})")
            }
            Self::Kind(kind) => write!(f, "it is {}", described(*kind)),
            Self::Above { path, kind } => {
                write!(f, "'{}' above it is {}", String::from_utf8_lossy(path), described(*kind))
            }
            Self::Replaced => f.write_str("a later entry of the same name was taken"),
            Self::LinkTarget => {
                f.write_str("it is a hard link to something that is no file before it in the archive")
            }
            Self::Incomplete { present, size } => {
                write!(f, "the archive holds {present} of its {size} bytes")
            }
            Self::Unreadable(why) => write!(f, "its bytes can't be read: {why}"),
            Self::Output(why) => write!(f, "it can't be written: {why}"),
        }
    }
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Directories to make: entry and path below the output directory.
    pub(super) directories: Vec<(usize, Vec<u8>)>,
    /// Files to write, by the entry that has the contents: the entries that get them (a hard link is written as a copy) and their paths.
    pub(super) files: BTreeMap<usize, Vec<(usize, Vec<u8>)>>,
    /// What is not done.
    pub(super) refused: Vec<(usize, Refusal)>,
}

impl Plan {
    /// Whether something will have this name in the output directory itself.
    pub(super) fn takes(&self, name: &[u8]) -> bool {
        let starts = |(_, path): &(usize, Vec<u8>)| path.split(|&byte| byte == b'/').next() == Some(name);
        self.directories.iter().any(starts) || self.files.values().flatten().any(starts)
    }
}

/// Decides about the chosen entries, given by number in ascending order.
pub(super) fn plan(changes: &Changes<'_>, chosen: &[usize]) -> Plan {
    let mut plan = Plan::default();
    let blocked = blocked(changes);
    for &number in chosen {
        let entry = &changes.entries[number];
        let Some(kind) = entry.kind() else { continue };
        let path = output_path(changes, number);
        if kind == MemberKind::Directory && path.is_empty() {
            continue; // the top of a store, which is the output directory itself
        }
        let refusal = match kind {
            _ if name_fault(&path, &entry.stored_name).is_some() => {
                name_fault(&path, &entry.stored_name).map(Refusal::Name)
            }
            _ if entry.replaced && kind != MemberKind::Directory => Some(Refusal::Replaced),
            MemberKind::File | MemberKind::HardLink | MemberKind::Directory => blocked.get(&number).cloned(),
            other => Some(Refusal::Kind(other)),
        };
        if let Some(refusal) = refusal {
            plan.refused.push((number, refusal));
            continue;
        }
        if kind == MemberKind::Directory {
            plan.directories.push((number, path));
            continue;
        }
        match changes.file_behind(number) {
            Ok(contents) => plan.files.entry(contents).or_default().push((number, path)),
            Err(Some(kind)) => plan.refused.push((number, Refusal::Kind(kind))),
            Err(None) => plan.refused.push((number, Refusal::LinkTarget)),
        }
    }
    plan
}

/// Where an entry goes, relative to the output directory: its path in the container; where that is not known, below its store's name.
pub(super) fn output_path(changes: &Changes<'_>, number: usize) -> Vec<u8> {
    let entry = &changes.entries[number];
    if changes.is_placed(entry.store) {
        return entry.path.strip_prefix(b"/").unwrap_or(&entry.path).to_vec();
    }
    let store = changes.stores[entry.store].name();
    if entry.stored_name.is_empty() { store } else { [store.as_slice(), b"/", &entry.stored_name].concat() }
}

/// What is wrong with a name, if anything.
fn name_fault(path: &[u8], stored_name: &[u8]) -> Option<&'static str> {
    if path.starts_with(b"/") || stored_name.starts_with(b"/") {
        return Some("is absolute");
    }
    if path.len() >= PATH_MAX {
        return Some("is longer than a path can be");
    }
    if path.contains(&0) {
        return Some("holds a zero byte");
    }
    path.split(|&byte| byte == b'/').find_map(|part| match part {
        b".." => Some("goes up ('..')"),
        b"." => Some("has a part '.'"),
        b"" => Some("has an empty part"),
        _ => None,
    })
}

/// The entries below something that is not a directory, and what that is. Within each store, paths are put in an order in which whatever is
/// above a path comes right before it; of several entries of one name the last decides, as it does in unpacking.
fn blocked(changes: &Changes<'_>) -> HashMap<usize, Refusal> {
    let mut numbers: Vec<usize> =
        (0..changes.entries.len()).filter(|&number| !changes.entries[number].is_deletion()).collect();
    let name = |number: usize| changes.entries[number].stored_name.as_slice();
    numbers.sort_by(|&a, &b| {
        let parts = |number| name(number).split(|&byte| byte == b'/');
        (changes.entries[a].store.cmp(&changes.entries[b].store))
            .then_with(|| parts(a).cmp(parts(b)))
            .then(a.cmp(&b))
    });
    let mut blocked = HashMap::new();
    // What the current path lies below: the entry, and the one for whose sake everything below it is refused.
    let mut above: Vec<(usize, Option<usize>)> = Vec::new();
    let mut rest = numbers.as_slice();
    while let Some(&first) = rest.first() {
        let same = |number: usize| {
            changes.entries[number].store == changes.entries[first].store && name(number) == name(first)
        };
        let count = rest.iter().take_while(|&&number| same(number)).count();
        let (group, later) = rest.split_at(count);
        rest = later;
        while above.last().is_some_and(|&(number, _)| {
            changes.entries[number].store != changes.entries[first].store
                || !is_below(name(first), name(number))
        }) {
            above.pop();
        }
        let culprit = above.last().and_then(|(_, culprit)| *culprit);
        if let Some((path, kind)) = culprit
            .and_then(|number| Some((changes.entries[number].path.clone(), changes.entries[number].kind()?)))
        {
            blocked.extend(group.iter().map(|&number| (number, Refusal::Above { path: path.clone(), kind })));
        }
        let last = group[count - 1];
        let is_directory = changes.entries[last].kind() == Some(MemberKind::Directory);
        above.push((last, culprit.or((!is_directory).then_some(last))));
    }
    blocked
}

fn is_below(path: &[u8], above: &[u8]) -> bool {
    above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.starts_with(b"/"))
}
