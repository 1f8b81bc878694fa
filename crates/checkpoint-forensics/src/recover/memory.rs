//! Ranges of memory, and files as processes have them mapped: a question to the pages.

use std::ops::{ControlFlow, Range};

use container_checkpoint::ids::{FileId, Pid};
use container_checkpoint::memory::{Backing, Memory, Missing, ObjectId, Place, Question, Want};
use container_checkpoint::model::MappingKind;

use super::Origin;
use super::target::Target;
use super::work::{Output, Work};
use crate::LookedAt;
use crate::stores::{Holder, Lack};

/// Writes memory to files as it comes.
pub(super) struct Pages<'w, 'a> {
    work: &'w std::cell::RefCell<Work<'a>>,
    targets: Vec<Target>,
    /// For each want: the output, the place in it, how much came.
    parts: Vec<(usize, u64, u64)>,
    wants: Vec<Want>,
}

impl<'w, 'a> Pages<'w, 'a> {
    pub(super) fn new(work: &'w std::cell::RefCell<Work<'a>>, targets: &[Target]) -> Self {
        let is_memory = |target: &&Target| matches!(target, Target::Memory(..) | Target::Mapped { .. });
        let targets = targets.iter().filter(is_memory).cloned().collect();
        Self { work, targets, parts: Vec::new(), wants: Vec::new() }
    }

    /// A file of a range of memory, or of mapped pages: where its bytes go, and what is not there.
    fn begin(&mut self, looked_at: LookedAt<'_>, memory: &Memory, target: &Target) {
        let (pid, len, pieces) = match target {
            Target::Memory(pid, range) => (*pid, range.end - range.start, range_of(memory, *pid, range)),
            Target::Mapped { pid, file, .. } => {
                let (len, pieces) = mapped(looked_at, memory, *pid, *file);
                (*pid, len, pieces)
            }
            _ => return,
        };
        let (origin, id, title) = match target {
            Target::Memory(pid, range) => {
                (Origin::Memory, format!("{pid}-{:x}-{:x}.mem", range.start, range.end), None)
            }
            Target::Mapped { pid, path, .. } => {
                (Origin::MappedPages, format!("pages-of-{pid}"), Some(path.clone()))
            }
            _ => return,
        };
        let has_bytes = pieces.iter().any(|piece| matches!(piece.what, What::Bytes(..) | What::Zero));
        if !has_bytes {
            let what = title.unwrap_or_else(|| format!("memory of process {pid}").into_bytes());
            let why = pieces.first().map_or("the dump has no such memory", |piece| match &piece.what {
                What::Lack(why, _) => why,
                _ => "",
            });
            let mut work = self.work.borrow_mut();
            let gap = pieces.iter().find_map(|piece| match piece.what {
                What::Lack(why, true) => Some(why),
                _ => None,
            });
            // A file that is mapped may be had elsewhere.
            if let (Some(gap), Target::Memory(..)) = (gap, target) {
                work.findings.gap("stored pages", format!("pid {pid}"), gap);
            }
            work.not_there(target, what, why.to_owned());
            return;
        }
        let mut output = Output::new(origin, id, title);
        output.member = format!("pagemap-{pid}.img").into_bytes();
        output.contents.len = len;
        output.target = Some(target.clone());
        if origin == Origin::MappedPages {
            output.holders = vec![Holder::Executable(pid)];
        }
        let mut at = 0;
        let mut parts = Vec::new();
        for Piece { from, len, what } in pieces {
            output.contents.lack(at..from, "no process has it mapped");
            at = from.saturating_add(len);
            match what {
                What::Bytes(want) => {
                    let object = memory.object(want.object);
                    match &object.contents {
                        Some(contents) => drop(output.files.insert(contents.file)),
                        None => drop(output.pages.insert((object.ancestor, object.image.clone()))),
                    }
                    parts.push((from, want));
                }
                What::Zero => {}
                What::Lack(why, _) => output.contents.lack(from..at, why),
            }
        }
        output.contents.lack(at..len, "no process has it mapped");
        let Some(number) = self.work.borrow_mut().begin(output) else { return };
        for (from, want) in parts {
            self.parts.push((number, from, 0));
            self.wants.push(want);
        }
    }

    /// What did not come of the wants is missing.
    pub(super) fn close(&self) {
        let mut work = self.work.borrow_mut();
        for ((output, from, came), want) in self.parts.iter().zip(&self.wants) {
            let lack = Lack {
                range: from + came..from + want.len,
                why: "the page image ends before them, or is not in the evidence".into(),
            };
            if *came < want.len {
                work.lacks(*output, lack);
            }
        }
    }
}

/// A part of a file: its place, length, and what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    from: u64,
    len: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Bytes(Want),
    Zero,
    /// Why it can't be had, and whether the evidence should have it.
    Lack(&'static str, bool),
}

impl Piece {
    /// The part of it that lies in a range of the file.
    fn part(&self, range: Range<u64>) -> Self {
        let len = range.end - range.start;
        let what = match self.what {
            What::Bytes(want) => {
                What::Bytes(Want { offset: want.offset + (range.start - self.from), len, ..want })
            }
            other => other,
        };
        Self { from: range.start, len, what }
    }
}

fn range_of(memory: &Memory, pid: Pid, range: &Range<u64>) -> Vec<Piece> {
    let Some(space) = memory.space(pid) else { return Vec::new() };
    let mut pieces = Vec::new();
    for located in space.locate(range.clone()) {
        let (from, len) = (located.start.0 - range.start, located.len);
        let what = match located.backing {
            Backing::Stored(Place::Image(object, offset)) => {
                let (there, why) = memory.present(object, offset, len);
                if there > 0 {
                    let what = What::Bytes(Want { object, offset, len: there });
                    pieces.push(Piece { from, len: there, what });
                }
                if there < len {
                    pieces.push(Piece {
                        from: from + there,
                        len: len - there,
                        what: What::Lack(why.why(), true),
                    });
                }
                continue;
            }
            Backing::Stored(Place::Missing(missing)) => What::Lack(missing.why(), missing != Missing::Lazy),
            Backing::Zero => What::Zero,
            Backing::File(..) => {
                What::Lack("pages of a file that nobody wrote to: the dump leaves them to the file", false)
            }
            Backing::NotCaptured => What::Lack("CRIU never dumps them", false),
            Backing::Unknown => What::Lack("what the images would hold of it can't be told", true),
            Backing::Unmapped => What::Lack("nothing is mapped there", false),
        };
        pieces.push(Piece { from, len, what });
    }
    pieces
}

/// A file as a process has it mapped: its length, and its stored pages by their place in the file, each place once.
fn mapped(looked_at: LookedAt<'_>, memory: &Memory, pid: Pid, file: FileId) -> (u64, Vec<Piece>) {
    let size = looked_at.model.files.with_path(file).and_then(|file| file.regular()?.size.known().copied());
    let mut pieces: Vec<Piece> = Vec::new();
    let Some(space) = memory.space(pid) else { return (size.unwrap_or_default(), pieces) };
    let mappings = space.map.iter().flat_map(|map| &map.mappings).filter(|mapping| {
        mapping.file == Some(file)
            && matches!(mapping.kind, MappingKind::FilePrivate | MappingKind::FileShared)
    });
    for mapping in mappings {
        let limit = size.unwrap_or(u64::MAX);
        for piece in range_of(memory, pid, &(mapping.start.0..mapping.end.0)) {
            let from = mapping.offset.saturating_add(piece.from);
            let len = piece.len.min(limit.saturating_sub(from));
            let what = match piece.what {
                What::Bytes(want) => What::Bytes(Want { len, ..want }),
                other => other,
            };
            if len > 0 {
                pieces.push(Piece { from, len, what });
            }
        }
    }
    // Where the file is mapped twice, the pages that the process wrote come first, also those that are lost.
    let mut ranks: [Vec<Piece>; 4] = Default::default();
    for piece in pieces {
        let rank = match &piece.what {
            What::Bytes(want) if memory.object(want.object).contents.is_none() => 0,
            What::Lack(_, true) => 1,
            What::Bytes(_) | What::Zero => 2,
            What::Lack(_, false) => 3,
        };
        ranks[rank].push(piece);
    }
    let mut all = ranks.into_iter().fold(Vec::new(), laid_over);
    let len = size.unwrap_or_else(|| all.last().map_or(0, |piece| piece.from + piece.len));
    if let Some(object) = memory.given(file) {
        all = laid_over(all, of_file(memory, object, len));
    }
    (len, all)
}

/// What the file itself has: the rest of it is zero.
fn of_file(memory: &Memory, object: ObjectId, len: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut push = |range: Range<u64>, what| {
        if range.start < range.end {
            pieces.push(Piece { from: range.start, len: range.end - range.start, what });
        }
    };
    let mut at = 0;
    let contents = memory.object(object).contents.iter();
    for part in contents.flat_map(|contents| contents.bytes.stored_within(0..len)) {
        push(at..part.start, What::Zero);
        at = part.end;
        let want = Want { object, offset: part.start, len: part.end - part.start };
        push(part, What::Bytes(want));
    }
    push(at..len, What::Zero);
    pieces
}

/// Ascending pieces that don't overlap, and below them others, as far as these are not hidden: by the ones above or by each other.
fn laid_over(above: Vec<Piece>, mut below: Vec<Piece>) -> Vec<Piece> {
    below.sort_by_key(|piece| piece.from);
    let mut all = Vec::with_capacity(above.len() + below.len());
    let mut above = above.into_iter().peekable();
    let mut free_from = 0;
    for piece in below {
        let end = piece.from + piece.len;
        let mut at = piece.from.max(free_from);
        while at < end {
            // Those that end before are done with, those that begin behind wait.
            while let Some(passed) = above.next_if(|next| next.from <= at) {
                at = at.max(passed.from + passed.len);
                all.push(passed);
            }
            let to = above.peek().map_or(end, |next| next.from.min(end));
            if at < to {
                all.push(piece.part(at..to));
                at = to;
            }
        }
        free_from = free_from.max(at);
    }
    all.extend(above);
    all
}

impl Question for Pages<'_, '_> {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        let looked_at = self.work.borrow().looked_at;
        for target in std::mem::take(&mut self.targets) {
            self.begin(looked_at, memory, &target);
        }
        self.wants.clone()
    }

    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        let Some((output, from, came)) = self.parts.get_mut(want) else { return ControlFlow::Continue(()) };
        *came = at + bytes.len() as u64;
        self.work.borrow_mut().write(*output, *from + at, bytes)
    }

    fn lost(&mut self, want: usize, at: u64, len: u64) {
        let Some((output, from, came)) = self.parts.get_mut(want) else { return };
        *came = at + len;
        let range = *from + at..*from + at + len;
        self.work.borrow_mut().lacks(*output, Lack { range, why: Missing::BrokenBlock.why().into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(from: u64, len: u64, object: u32) -> Piece {
        Piece { from, len, what: What::Bytes(Want { object: ObjectId(object), offset: from + 1000, len }) }
    }

    #[test]
    fn what_lies_below_is_seen_where_nothing_is_above() {
        let above = vec![bytes(10, 10, 0), bytes(20, 5, 1), bytes(40, 10, 0)];
        let below = vec![bytes(45, 15, 3), bytes(0, 42, 2), bytes(41, 2, 4), bytes(100, 1, 4)];
        let all = laid_over(above.clone(), below);
        let expected = [
            bytes(0, 10, 2),
            bytes(10, 10, 0),
            bytes(20, 5, 1),
            bytes(25, 15, 2),
            bytes(40, 10, 0),
            bytes(50, 10, 3),
            bytes(100, 1, 4),
        ];
        assert_eq!(all, expected);
        assert_eq!(laid_over(above.clone(), Vec::new()), above);
        assert_eq!(laid_over(Vec::new(), above.clone()), above);
        assert_eq!(laid_over(above.clone(), above.clone()), above);
    }
}
