//! Images of processes that the process tree doesn't name.

use std::collections::HashSet;

use super::images::Images;
use super::process_loading::PSTREE;

/// How many of them are named in a note; the others are counted.
const NAMED: usize = 16;

/// Notes images of processes and threads that belong to none of the dump: left over from another dump into the same
/// directory, or hidden by a changed pstree.img. `pids` are the processes, `tids` processes and threads.
pub(super) fn note(images: &mut Images<'_>, pids: &HashSet<u32>, tids: &HashSet<u32>) {
    let mut names = Vec::new();
    for (prefix, known) in [("core", tids), ("mm", pids), ("pagemap", pids), ("fs", pids), ("ids", pids)] {
        let unknown = images.numbered(prefix).into_iter().filter(|number| !known.contains(number));
        names.extend(unknown.map(|number| format!("{prefix}-{number}.img")));
    }
    if names.is_empty() {
        return;
    }
    let mut listed = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        listed = format!("{listed} and {} more", names.len() - NAMED);
    }
    images.findings.note(
        format!("images of processes that are not in the process tree: {listed}"),
        PSTREE,
        "left over of another dump, or the process tree was changed",
    );
}
