//! Names of files that are written: made here, of a few letters of the evidence's name at most.

use std::collections::{HashMap, HashSet};

use container_checkpoint::evidence::split_path;

/// The most of the evidence's own name that is taken, in letters.
const TAKEN_MAX: usize = 64;

/// Names that were given in one directory.
#[derive(Debug, Default)]
pub(super) struct Names {
    given: HashSet<String>,
    /// How often a name was asked for: evidence may hold a million files of one name.
    counts: HashMap<String, u64>,
}

impl Names {
    /// A name that was not given yet: what is plain of the last component of `title`, then `id`, which is ours.
    pub(super) fn give(&mut self, title: Option<&[u8]>, id: &str) -> String {
        let base = title.map(plain).unwrap_or_default();
        let name = if base.is_empty() { id.to_owned() } else { format!("{base}.{id}") };
        let count = self.counts.entry(name.clone()).or_default();
        loop {
            *count += 1;
            let unique = if *count == 1 { name.clone() } else { format!("{name}-{count}") };
            if self.given.insert(unique.clone()) {
                return unique;
            }
        }
    }
}

/// Letters, digits, and what is harmless between them; never hidden, never an option.
fn plain(title: &[u8]) -> String {
    let title = title.strip_suffix(b" (deleted)").unwrap_or(title);
    let base = split_path(title).1;
    let base = base.strip_prefix(b"memfd:").unwrap_or(base);
    let letter = |&byte: &u8| {
        let harmless = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+');
        if harmless { char::from(byte) } else { '_' }
    };
    let text: String = base.iter().map(letter).take(TAKEN_MAX).collect();
    text.trim_start_matches(['.', '-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looking for a free name anew each time took minutes.
    #[test]
    fn a_name_may_be_asked_for_often() {
        let mut names = Names::default();
        let last = (0..300_000).map(|_| names.give(Some(b"/x"), "pipe-7")).last();
        assert_eq!(last.as_deref(), Some("x.pipe-7-300000"));
    }

    #[test]
    fn nothing_of_the_evidence_leads_anywhere() {
        let mut names = Names::default();
        for (title, name) in [
            (&b"/tmp/.ICE-unix/.d/nginx (deleted)"[..], "nginx.ghost-2"),
            (b"/etc/../../passwd", "passwd.ghost-2"),
            (b"/x/..", "ghost-2"),
            (b"..", "ghost-2-2"),
            (b"-rf", "rf.ghost-2"),
            (b"/a/\x1b[2J\n\xff", "2J__.ghost-2"),
            (b"/memfd: (deleted)", "ghost-2-3"),
            (b"/memfd:../x", "x.ghost-2"),
            (b"x\0y", "x_y.ghost-2"),
        ] {
            assert_eq!(names.give(Some(title), "ghost-2"), name);
        }
        assert_eq!(names.give(Some(&[b'a'; 500]), "pipe-1").len(), TAKEN_MAX + 7);
        assert_eq!(names.give(None, "pipe-1"), "pipe-1");
        assert_eq!(names.give(None, "pipe-1-2"), "pipe-1-2");
        assert_eq!(names.give(None, "pipe-1"), "pipe-1-3");
    }
}
