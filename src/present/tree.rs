//! Trees with branches drawn in front of each line, four columns a level, as checkpointctl shows them.

use std::io::{self, Write};

use super::style::Palette;
use super::text::Text;

/// Branches are drawn for so many levels. Below, a node says its level in words: a hostile chain of 100,000 parents
/// would else need 20 GB of blanks.
const DEEPEST_DRAWN: usize = 64;

/// A node of one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId(usize);

/// A tree of safe texts.
///
/// The nodes stand in one list and know each other by number, so that neither building, nor showing, nor dropping a tree
/// needs a stack as deep as the tree.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    text: Text,
    first_child: Option<usize>,
    last_child: Option<usize>,
    next_sibling: Option<usize>,
}

impl Node {
    fn new(text: Text) -> Self {
        Self { text, first_child: None, last_child: None, next_sibling: None }
    }
}

impl Tree {
    /// A tree that has only its root.
    #[must_use]
    pub fn new(root: impl Into<Text>) -> Self {
        Self { nodes: vec![Node::new(root.into())] }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// Adds a node as the last child of `parent`.
    ///
    /// # Panics
    /// If `parent` is a node of another, larger tree.
    pub fn add(&mut self, parent: NodeId, text: impl Into<Text>) -> NodeId {
        let id = self.nodes.len();
        let node = &mut self.nodes[parent.0];
        node.first_child.get_or_insert(id);
        if let Some(brother) = node.last_child.replace(id) {
            self.nodes[brother].next_sibling = Some(id);
        }
        self.nodes.push(Node::new(text.into()));
        NodeId(id)
    }

    /// Writes the tree, one line a node.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut dyn Write, palette: &Palette) -> io::Result<()> {
        let root = &self.nodes[0];
        writeln!(out, "{}{}{:#}", palette.heading, root.text, palette.heading)?;
        let mut branches = String::new();
        // One entry a level: the node to write next on it.
        let mut path = vec![root.first_child];
        while let Some(level) = path.last_mut() {
            let Some(node) = level.map(|id| &self.nodes[id]) else {
                path.pop();
                if path.len() <= DEEPEST_DRAWN {
                    // Takes four columns off: four characters, each of one to three bytes.
                    let end = branches.char_indices().rev().nth(3).map_or(0, |(start, _)| start);
                    branches.truncate(end);
                }
                continue;
            };
            *level = node.next_sibling;
            let last = node.next_sibling.is_none();
            let depth = path.len();
            let branch = if last { "└── " } else { "├── " };
            if depth <= DEEPEST_DRAWN {
                writeln!(out, "{branches}{branch}{}", node.text)?;
                branches.push_str(if last { "    " } else { "│   " });
            } else {
                writeln!(out, "{branches}{branch}(level {depth}) {}", node.text)?;
            }
            path.push(node.first_child);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tree: &Tree) -> String {
        let mut out = Vec::new();
        tree.write_to(&mut out, &Palette::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn looks_as_checkpointctl_shows_it() {
        let mut tree = Tree::new(Text::evidence("tiny"));
        let size = tree.add(tree.root(), "Checkpoint size: 122.2 KiB");
        tree.add(size, "Memory pages size: 104.0 KiB");
        let processes = tree.add(tree.root(), "Process tree");
        let init = tree.add(processes, Text::own("[1]  ").and_evidence("/tiny --tag"));
        let environment = tree.add(init, "Environment variables");
        tree.add(environment, Text::evidence("container=podman"));
        tree.add(environment, Text::evidence("HOME="));
        let files = tree.add(init, "Open files");
        tree.add(files, Text::own("[REG 0]  ").and_evidence("/dev/null"));
        let mounts = tree.add(tree.root(), "Overview of mounts");
        let mount = tree.add(mounts, "Destination: /proc");
        tree.add(mount, "Type: proc");
        let expected = "\
tiny
├── Checkpoint size: 122.2 KiB
│   └── Memory pages size: 104.0 KiB
├── Process tree
│   └── [1]  /tiny --tag
│       ├── Environment variables
│       │   ├── container=podman
│       │   └── HOME=
│       └── Open files
│           └── [REG 0]  /dev/null
└── Overview of mounts
    └── Destination: /proc
        └── Type: proc
";
        assert_eq!(shown(&tree), expected);
    }

    #[test]
    fn children_may_be_added_in_any_order() {
        let mut tree = Tree::new("root");
        let first = tree.add(tree.root(), "first");
        tree.add(tree.root(), "second");
        tree.add(first, "late");
        assert_eq!(shown(&tree), "root\n├── first\n│   └── late\n└── second\n");
    }

    #[test]
    fn evidence_stays_on_its_line() {
        let mut tree = Tree::new(Text::evidence(b"a\nb"));
        tree.add(tree.root(), Text::evidence(b"\x1b[1A\xe2\x80\xae"));
        assert_eq!(shown(&tree), "a\\nb\n└── \\x1b[1A\\u{202e}\n");
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_needs_no_stack_and_little_room() {
        let mut tree = Tree::new("root");
        let mut parent = tree.root();
        for _ in 0..100_000 {
            parent = tree.add(parent, "x");
        }
        let text = shown(&tree.clone());
        assert_eq!(text.lines().count(), 100_001);
        assert!(text.len() < 50_000_000);
        assert!(text.ends_with("└── (level 100000) x\n"));
        drop(tree);
    }

    #[test]
    fn branches_are_right_after_a_visit_below_the_drawn_levels() {
        for depth in [DEEPEST_DRAWN - 1, DEEPEST_DRAWN, DEEPEST_DRAWN + 1, DEEPEST_DRAWN + 9] {
            let mut tree = Tree::new("root");
            let top = tree.add(tree.root(), "top");
            let mut parent = top;
            for _ in 1..depth {
                parent = tree.add(parent, "x");
            }
            tree.add(top, "sibling");
            tree.add(tree.root(), "last");
            let text = shown(&tree);
            assert!(text.ends_with("\n│   └── sibling\n└── last\n"), "{depth}: {text}");
        }
    }
}
