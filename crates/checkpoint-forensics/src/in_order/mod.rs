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

mod at_hand;
mod early;
mod pieces;
mod reader;

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::gap::Findings;
use container_checkpoint::ids::FileId;
use container_checkpoint::memory::{self, AddressSpace, Answered, Memory, Missing, Question as _};

use at_hand::AtHand;
use early::Early;
use reader::Reader;

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
    let at_hand = (0..memory.objects.len()).map(|object| AtHand::of(source, object)).collect();
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
