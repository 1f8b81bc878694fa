//! What `crit x` tells of a dump: processes, their files, their mappings, which memory the images hold.
//!
//! [`explore`] answers from the model; [`Answer::write_to`] renders an answer as crit does, byte for byte wherever crit
//! is right. Where crit fails or misleads, the text has crit's form and says what is true:
//!
//! - zombies, several roots, parents outside of the dump, images that are missing stop nothing;
//! - memory files have names, pages are counted in the pages of the dumped machine, whatever CRIU's release;
//! - pages whose bytes are not in this dump (in a parent, left for lazy restore) are marked.

mod fds;
mod mems;
mod names;
mod ps;
mod quoted;
mod rss;
mod text;

use container_checkpoint::files::FileSet;
use container_checkpoint::gap::Findings;
use container_checkpoint::model::Model;

pub use container_checkpoint::model::Held;
pub use fds::Fds;
pub use mems::{Behind, Mems, ShownMapping};
pub use ps::PsRow;
pub use rss::{CoveredMapping, Rss, RssEntry};

/// What can be asked, by crit's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// `ps`: the tree of processes.
    Ps,
    /// `fds`: open descriptors, working and root directory of each process.
    Fds,
    /// `mems`: executable and mappings of each process.
    Mems,
    /// `rss`: which pages of each process are dumped, and the mappings that they are in.
    Rss,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug)]
pub enum Answer<'m> {
    /// Each process before its descendants.
    Ps(Vec<PsRow<'m>>),
    /// In the order of pstree.img.
    Fds(Vec<Fds<'m>>),
    /// In the order of pstree.img.
    Mems(Vec<Mems<'m>>),
    /// In the order of pstree.img; of a pre-dump, which has none, ascending by pid.
    Rss(Vec<Rss<'m>>),
}

/// Answers a question about one dump; `images` are its images, `model` was loaded from them.
///
/// The findings are those of the answer alone: what [`Model::load`] found missing, it told.
pub fn explore<'m>(question: Question, images: &dyn FileSet, model: &'m Model) -> (Answer<'m>, Findings) {
    let mut findings = Findings::default();
    if model.is_pre_dump && question != Question::Rss {
        let why = "it holds memory alone: no processes, files and mappings";
        findings.note("a pre-dump", "pstree.img", why);
    }
    let answer = match question {
        Question::Ps => Answer::Ps(ps::rows(model)),
        Question::Fds => Answer::Fds(fds::tables(model)),
        Question::Mems => Answer::Mems(mems::tables(model)),
        Question::Rss => Answer::Rss(rss::tables(images, model, &mut findings)),
    };
    (answer, findings)
}
