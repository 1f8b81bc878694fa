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
struct Piece {
    from: u64,
    len: u64,
    what: What,
}

enum What {
    Bytes(Want),
    Zero,
    /// Why it can't be had, and whether the evidence should have it.
    Lack(&'static str, bool),
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
    // Where the file is mapped twice, bytes come first.
    let rank = |piece: &Piece| u8::from(!matches!(piece.what, What::Bytes(_)));
    pieces.sort_by_key(|piece| (piece.from, rank(piece)));
    let mut end = 0;
    pieces.retain_mut(|piece| {
        let cut = end.max(piece.from) - piece.from;
        if cut >= piece.len {
            return false;
        }
        piece.from += cut;
        piece.len -= cut;
        if let What::Bytes(want) = &mut piece.what {
            (want.offset, want.len) = (want.offset + cut, want.len - cut);
        }
        end = piece.from + piece.len;
        true
    });
    let len = size.unwrap_or(end);
    match memory.given(file) {
        Some(object) => (len, filled(pieces, object, len)),
        None => (len, pieces),
    }
}

/// Ascending pieces of a file, and between them what the file itself has.
fn filled(pieces: Vec<Piece>, object: ObjectId, len: u64) -> Vec<Piece> {
    let mut all = Vec::new();
    let mut at = 0;
    let end = Piece { from: len, len: 0, what: What::Zero };
    for piece in pieces.into_iter().chain([end]) {
        if at < piece.from {
            let (from, len) = (at, piece.from - at);
            all.push(Piece { from, len, what: What::Bytes(Want { object, offset: from, len }) });
        }
        at = piece.from + piece.len;
        all.push(piece);
    }
    all
}

impl Question for Pages<'_, '_> {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        (self.parts, self.wants) = (Vec::new(), Vec::new());
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
