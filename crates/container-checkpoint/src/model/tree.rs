//! The process tree.

use std::collections::HashMap;

use super::process::Process;
use super::process_loading::PSTREE;
use super::thread::Thread;
use crate::gap::Findings;
use crate::ids::Pid;

/// All processes of a dump and who descends from whom. There may be several roots.
#[derive(Clone, Debug, Default)]
pub struct ProcessTree {
    processes: Vec<Process>,
    index: HashMap<Pid, usize>,
    /// Children of each process in the order of the image; a tree even when the image isn't one.
    children: Vec<Vec<usize>>,
    roots: Vec<usize>,
    stray_threads: Vec<Thread>,
    is_whole: bool,
}

impl ProcessTree {
    /// Builds the tree. A circle of parents is cut open at its first process, which becomes a root.
    pub(super) fn new(
        processes: Vec<Process>,
        stray_threads: Vec<Thread>,
        is_whole: bool,
        findings: &mut Findings,
    ) -> Self {
        let index: HashMap<Pid, usize> =
            processes.iter().enumerate().map(|(at, process)| (process.pid, at)).collect();
        let parent_of = |process: &Process| process.ppid.known().and_then(|ppid| index.get(ppid)).copied();
        let mut parents: Vec<Option<usize>> = processes.iter().map(parent_of).collect();
        let cut = cut_circles(&mut parents);
        if let Some(process) = cut.first().and_then(|first| processes.get(*first)) {
            let what = format!("{} circles of parents, one with process {}", cut.len(), process.pid);
            findings.note(what, PSTREE, "no process descends from itself: damaged or forged");
        }
        let mut tree = Self {
            processes,
            index,
            children: children(&parents),
            roots: Vec::new(),
            stray_threads,
            is_whole,
        };
        tree.roots = (0..parents.len()).filter(|at| parents.get(*at).is_some_and(Option::is_none)).collect();
        tree
    }

    /// All processes in the order of the image.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Process> {
        self.processes.iter()
    }

    /// How many processes there are.
    pub fn len(&self) -> usize {
        self.processes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// The process of this id.
    pub fn get(&self, pid: Pid) -> Option<&Process> {
        self.index.get(&pid).and_then(|at| self.processes.get(*at))
    }

    /// The processes whose parent is not in the dump, or not known.
    pub fn roots(&self) -> impl Iterator<Item = &Process> {
        self.at(&self.roots)
    }

    /// The children of a process in the order of the image.
    pub fn children(&self, pid: Pid) -> impl Iterator<Item = &Process> {
        let indices = self.index.get(&pid).and_then(|at| self.children.get(*at));
        self.at(indices.map_or(&[], Vec::as_slice))
    }

    /// All processes, each before its descendants, with their depth (0 for a root).
    pub fn depth_first(&self) -> DepthFirst<'_> {
        DepthFirst { tree: self, stack: self.roots.iter().rev().map(|root| (0, *root)).collect() }
    }

    /// Whether pstree.img was read to its end: only then is an image of a pid that is not in the tree left over of another dump.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Threads whose process is unknown, because pstree.img is missing or damaged.
    pub fn stray_threads(&self) -> &[Thread] {
        &self.stray_threads
    }

    fn at<'a>(&'a self, indices: &'a [usize]) -> impl Iterator<Item = &'a Process> {
        indices.iter().filter_map(|at| self.processes.get(*at))
    }
}

/// A walk over the tree. Made by [`ProcessTree::depth_first`].
#[derive(Clone, Debug)]
pub struct DepthFirst<'a> {
    tree: &'a ProcessTree,
    stack: Vec<(usize, usize)>,
}

impl<'a> Iterator for DepthFirst<'a> {
    type Item = (usize, &'a Process);

    fn next(&mut self) -> Option<Self::Item> {
        let (depth, at) = self.stack.pop()?;
        if let Some(children) = self.tree.children.get(at) {
            self.stack.extend(children.iter().rev().map(|child| (depth + 1, *child)));
        }
        self.tree.processes.get(at).map(|process| (depth, process))
    }
}

fn children(parents: &[Option<usize>]) -> Vec<Vec<usize>> {
    let mut children = vec![Vec::new(); parents.len()];
    for (child, parent) in parents.iter().enumerate() {
        if let Some(list) = parent.and_then(|parent| children.get_mut(parent)) {
            list.push(child);
        }
    }
    children
}

/// Takes the parent from one process of each circle; returns those processes.
///
/// Follows parents upwards until it meets a process seen before: seen on the same way up, it is in a circle.
fn cut_circles(parents: &mut [Option<usize>]) -> Vec<usize> {
    let mut seen_on = vec![usize::MAX; parents.len()];
    let mut cut = Vec::new();
    for start in 0..parents.len() {
        let mut at = start;
        loop {
            match seen_on.get(at) {
                Some(&way) if way == usize::MAX => seen_on[at] = start,
                Some(&way) if way == start => {
                    // The first process of the circle in the image's order is cut out.
                    let first = first_of_circle(parents, at);
                    parents[first] = None;
                    cut.push(first);
                    break;
                }
                _ => break,
            }
            match parents.get(at).copied().flatten() {
                Some(parent) => at = parent,
                None => break,
            }
        }
    }
    cut
}

fn first_of_circle(parents: &[Option<usize>], start: usize) -> usize {
    let mut first = start;
    let mut at = start;
    while let Some(parent) = parents.get(at).copied().flatten() {
        if parent == start {
            break;
        }
        first = first.min(parent);
        at = parent;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gap::Field;

    #[test]
    fn a_tree_has_the_order_of_the_image() {
        let (tree, findings) = tree(&[(1, 0), (5, 1), (3, 1), (4, 5), (2, 3)]);
        assert_eq!(walk(&tree), [(0, 1), (1, 5), (2, 4), (1, 3), (2, 2)]);
        assert_eq!(tree.children(Pid(1)).map(|process| process.pid.0).collect::<Vec<_>>(), [5, 3]);
        assert_eq!(tree.children(Pid(9)).count(), 0);
        assert!(findings.notes.is_empty());
    }

    #[test]
    fn several_roots_are_shown_each() {
        let (tree, _) = tree(&[(61, 60), (62, 61), (7, 0), (8, 7)]);
        assert_eq!(tree.roots().map(|process| process.pid.0).collect::<Vec<_>>(), [61, 7]);
        assert_eq!(walk(&tree), [(0, 61), (1, 62), (0, 7), (1, 8)]);
    }

    #[test]
    fn a_circle_of_parents_is_cut_open_and_told() {
        // 2, 3, 4 in a circle, 5 hanging on it; 6 its own parent; 1 an ordinary root.
        let (tree, findings) = tree(&[(1, 0), (5, 3), (2, 4), (3, 2), (4, 3), (6, 6)]);
        assert_eq!(walk(&tree), [(0, 1), (0, 2), (1, 3), (2, 5), (2, 4), (0, 6)]);
        assert_eq!(findings.notes.len(), 1);
        assert_eq!(findings.notes[0].what, "2 circles of parents, one with process 2");
    }

    #[test]
    fn a_long_chain_is_walked_without_recursion() {
        let chain: Vec<(u32, u32)> = (1..=200_000).map(|pid| (pid, pid - 1)).collect();
        let (tree, _) = tree(&chain);
        assert_eq!(
            tree.depth_first().last().map(|(depth, process)| (depth, process.pid.0)),
            Some((199_999, 200_000))
        );
    }

    fn tree(pairs: &[(u32, u32)]) -> (ProcessTree, Findings) {
        let mut findings = Findings::default();
        let processes = pairs.iter().map(|(pid, ppid)| process(*pid, *ppid)).collect();
        (ProcessTree::new(processes, Vec::new(), true, &mut findings), findings)
    }

    fn walk(tree: &ProcessTree) -> Vec<(usize, u32)> {
        tree.depth_first().map(|(depth, process)| (depth, process.pid.0)).collect()
    }

    fn process(pid: u32, ppid: u32) -> Process {
        Process {
            pid: Pid(pid),
            ppid: Field::Known(Pid(ppid)),
            pgid: Field::NotCaptured,
            sid: Field::NotCaptured,
            state: Field::NotCaptured,
            exit_status: Field::NotCaptured,
            command: Field::NotCaptured,
            task: Field::NotCaptured,
            threads: Vec::new(),
            ids: Field::NotCaptured,
            directories: Field::NotCaptured,
            memory: Field::NotCaptured,
            open_files: Field::NotCaptured,
        }
    }
}
