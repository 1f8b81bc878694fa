//! A process's memory in the order of its addresses, whatever order its bytes come in.
//!
//! Bytes that lie at an offset are read when it is their turn. From a packed archive they come in the order of its page images, and a process's memory is in
//! several of them where it shows shared objects or has a parent: what comes early is kept, in memory up to a bound, beyond it in a file without a
//! name if the caller names a directory for that.
//!
//! # Example: what is at an address, and the bytes around it
//!
//! ```no_run
//! use checkpoint_forensics::in_order::{self, Keep, Part, Source};
//! use container_checkpoint::case::{Case, DumpId};
//! use container_checkpoint::context::Context;
//! use container_checkpoint::evidence::Nobody;
//! use container_checkpoint::ids::{Pid, VirtualAddress};
//! use container_checkpoint::memory::Memory;
//! use container_checkpoint::naming::Locator;
//!
//! let context = Context::default();
//! let mut case = Case::default();
//! case.add(Locator::parse("kitchen.tar.zst".as_ref()), &context, &mut Nobody);
//! let id = DumpId { evidence: 0, dump: 0 };
//! let memory = Memory::of(&case, id);
//! let space = memory.space(Pid(8)).ok_or("no such process")?;
//!
//! let address = 0x7f58_aebd_2000;
//! let mapping = space.mapping_at(VirtualAddress(address)).ok_or("nothing is mapped there")?;
//! println!("{} {}, from {:#x} of its file", mapping.permissions(), mapping.kind.name(), mapping.offset);
//! // What is behind each part of it, from metadata alone: stored, zero, in a file, not captured.
//! for piece in space.locate(mapping.start.0..mapping.end.0) {
//!     println!("{} {} {:?}", piece.start, piece.len, piece.backing);
//! }
//! // The bytes: lent from the mapped archive, or as they go by. What is not known is said to be absent, and why.
//! let source = Source { case: &case, id, memory: &memory, space };
//! let findings = in_order::read(source, &[address..address + 64], &context, Keep::default(), &mut |at, part: Part<'_>| {
//!     match part {
//!         Part::Bytes(bytes) => println!("{at:#x}: {bytes:02x?}"),
//!         Part::Zeros(len) | Part::Reserved(len) => println!("{at:#x}: {len} zeros"),
//!         Part::Absent(len, why) => println!("{at:#x}: {len} bytes: {}", why.why()),
//!     }
//!     Ok(())
//! })?;
//! assert!(findings.gaps.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod early;
mod pieces;

use std::io;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::evidence::{Bytes, passed};
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::FileId;
use container_checkpoint::memory::{
    self, AddressSpace, Answered, Memory, Missing, ObjectId, PlainPages, PlainPart, Question, Want,
};

use early::{Early, Span};
use pieces::{Piece, What};

/// How much is handed over at once of what lies at hand, in bytes: what was looked at is given back meanwhile.
const PIECE: usize = 1 << 20;

/// Takes a process's memory in the order of its addresses.
pub trait Sink {
    /// What is at an address. Parts come ascending and don't overlap.
    ///
    /// # Errors
    /// What writing says; nothing more comes then.
    fn part(&mut self, address: u64, part: Part<'_>) -> io::Result<()>;
}

impl<F: FnMut(u64, Part<'_>) -> io::Result<()>> Sink for F {
    fn part(&mut self, address: u64, part: Part<'_>) -> io::Result<()> {
        self(address, part)
    }
}

/// A part of a process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Bytes as they are stored.
    Bytes(&'a [u8]),
    /// So many bytes that were never written, which read as zeros.
    Zeros(u64),
    /// As [`Zeros`](Self::Zeros), in a mapping that nobody may access.
    Reserved(u64),
    /// So many bytes that can't be had, and why.
    Absent(u64, Absence),
}

/// Why bytes can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// In the mapped file alone, at this offset.
    File(FileId, u64),
    /// Mapped, and never dumped by CRIU; or a guard region.
    NotCaptured,
    /// Stored, or said to be, and not in the evidence: a gap.
    Missing(Missing),
    /// The page image ends early: a gap.
    CutShort,
    /// What the images would hold can't be known: a gap.
    Unknown,
    /// Nothing is mapped there.
    Unmapped,
}

impl Absence {
    /// The reason in words.
    pub fn why(self) -> &'static str {
        match self {
            Self::File(..) => "in the mapped file alone",
            Self::NotCaptured => "never dumped by CRIU",
            Self::Missing(why) => why.why(),
            Self::CutShort => "the page image ends early",
            Self::Unknown => "what was there can't be known",
            Self::Unmapped => "nothing is mapped there",
        }
    }

    /// Whether the evidence should have had them.
    pub fn is_gap(self) -> bool {
        match self {
            Self::File(..) | Self::NotCaptured | Self::Unmapped | Self::Missing(Missing::Lazy) => false,
            Self::Missing(_) | Self::CutShort | Self::Unknown => true,
        }
    }
}

/// Why memory could not be read out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The evidence can't be read.
    #[error(transparent)]
    Evidence(#[from] container_checkpoint::error::Error),
    /// What takes the bytes failed.
    #[error("{0}")]
    Write(#[source] io::Error),
    /// The file for bytes that come early can't be made, written or read.
    #[error("cannot keep bytes that come early in {}: {source}", directory.display())]
    Keep {
        /// The directory that was named for it.
        directory: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// More bytes come early than may be kept in memory.
    #[error(
        "the bytes of a compressed archive come in another order than their addresses, and more than {0} bytes of them would have to be kept"
    )]
    OutOfOrder(u64),
}

/// How bytes that come early are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So many in memory, in bytes.
    pub in_memory: u64,
    /// The others in a file without a name in this directory; nowhere when there is none.
    pub directory: Option<PathBuf>,
}

impl Default for Keep {
    /// 32 MiB in memory, nothing on a disk.
    fn default() -> Self {
        Self { in_memory: 32 << 20, directory: None }
    }
}

/// Whose memory is read.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// All the evidence.
    pub case: &'a Case,
    /// The dump.
    pub id: DumpId,
    /// Its memory.
    pub memory: &'a Memory,
    /// The process.
    pub space: &'a AddressSpace,
}

/// Hands the memory at these ranges, which ascend and are disjoint, to a sink; `keep` says what may be kept of bytes that come early. Returns what the evidence did not yield.
///
/// # Errors
/// [`Error`] says when. What was handed over until then was right.
pub fn read(
    source: Source<'_>,
    ranges: &[Range<u64>],
    context: &Context,
    keep: Keep,
    sink: &mut dyn Sink,
) -> Result<Findings, Error> {
    let Source { case, id, memory, space } = source;
    let at_hand = (0..memory.objects.len()).map(|object| at_hand(source, object)).collect();
    let mut reader =
        Reader::new(pieces::pieces(memory, space, ranges), at_hand, context, Early::new(keep), sink);
    reader.advance();
    if reader.error.is_none() && !reader.is_done() {
        let known = &memory.findings;
        let Answered { question, findings, .. } =
            memory::answer(case, id, context, None::<&mut memory::Ride<'_, Reader<'_>>>, || reader)?;
        reader = question;
        // What was known before is told by who made the memory.
        reader.findings.gaps.extend(findings.gaps.into_iter().filter(|gap| !known.gaps.contains(gap)));
    } else {
        reader.finish();
    }
    let lost =
        [(&reader.cut, "the page image ends early"), (&reader.broken, "packed blocks can't be unpacked")];
    for (lost, why) in lost {
        if let Some((bytes, first)) = lost {
            let place = format!("pid {}, from address {first:#x}", space.pid);
            reader.findings.gap("stored pages", place, format!("{why}: {bytes} bytes can't be had"));
        }
    }
    match reader.error {
        Some(error) => Err(error),
        None if context.cancelled() => Err(container_checkpoint::error::Error::Cancelled.into()),
        None => Ok(reader.findings),
    }
}

/// A page image that lies at hand.
enum AtHand<'a> {
    Plain(Bytes),
    Packed(PlainPages<'a>),
}

impl AtHand<'_> {
    /// Hands over the plain bytes from an offset on; ends where the image ends early, or can't be read.
    fn visit(&mut self, range: Range<u64>, sink: &mut dyn FnMut(PlainPart<'_>) -> ControlFlow<()>) {
        // A source that fails in the middle is cut short there.
        let _ = match self {
            Self::Plain(bytes) => bytes.visit(range, &mut |bytes| {
                bytes.chunks(PIECE).try_for_each(|piece| {
                    sink(PlainPart::Bytes(piece))?;
                    passed(piece);
                    ControlFlow::Continue(())
                })
            }),
            Self::Packed(pages) => pages.visit(range, sink),
        };
    }
}

/// A page image's bytes, where they can be had at any offset.
fn at_hand(source: Source<'_>, object: usize) -> Option<AtHand<'_>> {
    let object = source.memory.objects.get(object)?;
    if let Some(contents) = &object.contents {
        return Some(AtHand::Plain(contents.bytes.clone()));
    }
    let owner = *source.memory.ancestry.get(object.ancestor)?;
    let index = source.case.evidence(owner).index();
    let files = source.case.dump(owner).image_files(index);
    let bytes = index.member(files.member(object.image.as_bytes())?).body.at_hand()?;
    Some(match &object.packing {
        Some(packing) => AtHand::Packed(PlainPages::new(packing, bytes)),
        None => AtHand::Plain(bytes),
    })
}

/// Hands over pieces in order; a question to what only goes by.
struct Reader<'a> {
    pieces: Vec<Piece>,
    /// By the number of a want: the piece.
    wanted: Vec<usize>,
    at_hand: Vec<Option<AtHand<'a>>>,
    context: &'a Context,
    /// The piece whose turn it is, and how much of it was handed over.
    next: usize,
    done: u64,
    /// No more bytes will come.
    is_ending: bool,
    early: Early,
    sink: &'a mut dyn Sink,
    error: Option<Error>,
    findings: Findings,
    /// Bytes that should lie at hand and don't, and the first address of them.
    cut: Option<(u64, u64)>,
    /// As many that lie at hand and can't be unpacked.
    broken: Option<(u64, u64)>,
    /// Stored bytes in all, and handed over: for the progress of what needs no pass.
    total: u64,
    handed: u64,
}

impl<'a> Reader<'a> {
    fn new(
        pieces: Vec<Piece>,
        at_hand: Vec<Option<AtHand<'a>>>,
        context: &'a Context,
        early: Early,
        sink: &'a mut dyn Sink,
    ) -> Self {
        let total =
            pieces.iter().filter(|piece| matches!(piece.what, What::Image(..))).map(|piece| piece.len).sum();
        Self {
            pieces,
            wanted: Vec::new(),
            at_hand,
            context,
            next: 0,
            done: 0,
            is_ending: false,
            early,
            sink,
            error: None,
            findings: Findings::default(),
            cut: None,
            broken: None,
            total,
            handed: 0,
        }
    }

    fn is_done(&self) -> bool {
        self.next == self.pieces.len()
    }

    fn passes_by(&self, object: ObjectId) -> bool {
        self.at_hand.get(object.0 as usize).is_none_or(Option::is_none)
    }

    /// Hands over what can be, up to a piece whose bytes did not come yet.
    fn advance(&mut self) {
        while let Some(&piece) = self.pieces.get(self.next) {
            if self.error.is_some() || self.context.cancelled() {
                return;
            }
            let result = match piece.what {
                What::Image(object, _) if self.passes_by(object) => self.came_early(piece),
                What::Image(object, offset) => self.read_at_hand(piece, object, offset),
                What::Zeros => self.hand(piece, Part::Zeros(piece.len)),
                What::Reserved => self.hand(piece, Part::Reserved(piece.len)),
                What::Absent(why) => {
                    if why == Absence::CutShort {
                        count(&mut self.cut, piece.at, piece.len);
                    }
                    self.hand(piece, Part::Absent(piece.len, why))
                }
            };
            if let Err(error) = result {
                self.error = Some(error);
                return;
            }
            if self.done < piece.len {
                if !self.is_ending {
                    return;
                }
                self.cut_short(piece);
            }
            self.next += 1;
            self.done = 0;
        }
    }

    /// Hands over a part that begins where the last one ended.
    fn hand(&mut self, piece: Piece, part: Part<'_>) -> Result<(), Error> {
        let len = match part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::Zeros(len) | Part::Reserved(len) | Part::Absent(len, _) => len,
        };
        self.sink.part(piece.at + self.done, part).map_err(Error::Write)?;
        self.done += len;
        Ok(())
    }

    fn read_at_hand(&mut self, piece: Piece, object: ObjectId, offset: u64) -> Result<(), Error> {
        let Some(mut image) = self.at_hand.get_mut(object.0 as usize).and_then(Option::take) else {
            return Ok(());
        };
        let mut result = Ok(());
        image.visit(offset..offset.saturating_add(piece.len), &mut |part| {
            let part = match part {
                PlainPart::Bytes(bytes) => Part::Bytes(bytes),
                PlainPart::Broken(len) => {
                    count(&mut self.broken, piece.at + self.done, len);
                    broken(len)
                }
            };
            result = self.hand(piece, part);
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        self.at_hand[object.0 as usize] = Some(image);
        result?;
        if self.wanted.is_empty() {
            self.handed += piece.len;
            (self.context.progress)(self.handed, Some(self.total));
        }
        if self.done < piece.len {
            self.cut_short(piece);
            let missing = piece.len - self.done;
            count(&mut self.cut, piece.at + self.done, missing);
            self.done = piece.len;
        }
        Ok(())
    }

    /// Hands over what came of a piece before it was its turn.
    fn came_early(&mut self, piece: Piece) -> Result<(), Error> {
        if self.done > 0 {
            return Ok(());
        }
        let Some(mut kept) = self.early.take(self.next) else { return Ok(()) };
        while let Some(span) = self.early.read(&mut kept)? {
            match span {
                Span::Bytes(bytes) => self.hand(piece, Part::Bytes(&bytes))?,
                Span::Lost(len) => self.hand(piece, broken(len))?,
            }
        }
        Ok(())
    }

    fn cut_short(&mut self, piece: Piece) {
        let rest = Part::Absent(piece.len - self.done, Absence::CutShort);
        if let Err(error) = self.sink.part(piece.at + self.done, rest) {
            self.error = Some(Error::Write(error));
        }
    }

    /// Takes the next part of a want, unless something went wrong before.
    fn take_or_fail(&mut self, want: usize, part: Part<'_>) {
        if self.error.is_none()
            && let Err(error) = self.take(want, part)
        {
            self.error = Some(error);
        }
    }

    fn take(&mut self, want: usize, part: Part<'_>) -> Result<(), Error> {
        let number = self.wanted[want];
        let piece = self.pieces[number];
        if number != self.next {
            return match part {
                Part::Bytes(bytes) => self.early.put(number, piece.len, bytes),
                Part::Zeros(len) | Part::Reserved(len) | Part::Absent(len, _) => {
                    self.early.lose(number, piece.len, len)
                }
            };
        }
        self.hand(piece, part)?;
        if self.done == piece.len {
            self.next += 1;
            self.done = 0;
            self.advance();
        }
        Ok(())
    }
}

/// Counts lost bytes, and keeps the first address of them.
fn count(lost: &mut Option<(u64, u64)>, at: u64, len: u64) {
    let (bytes, _) = lost.get_or_insert((0, at));
    *bytes = bytes.saturating_add(len);
}

/// What can't be unpacked.
fn broken<'a>(len: u64) -> Part<'a> {
    Part::Absent(len, Absence::Missing(Missing::BrokenBlock))
}

impl Question for Reader<'_> {
    fn wants(&mut self, _: &Memory) -> Vec<Want> {
        let mut wants = Vec::new();
        for (number, piece) in self.pieces.iter().enumerate().skip(self.next) {
            if let What::Image(object, offset) = piece.what
                && self.passes_by(object)
            {
                wants.push(Want { object, offset, len: piece.len });
                self.wanted.push(number);
            }
        }
        wants
    }

    fn bytes(&mut self, want: usize, _: u64, bytes: &[u8]) -> ControlFlow<()> {
        self.take_or_fail(want, Part::Bytes(bytes));
        if self.error.is_some() || self.is_done() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn lost(&mut self, want: usize, _: u64, len: u64) {
        self.take_or_fail(want, broken(len));
    }

    fn finish(&mut self) {
        self.is_ending = true;
        if self.error.is_none() {
            self.advance();
        }
    }
}
