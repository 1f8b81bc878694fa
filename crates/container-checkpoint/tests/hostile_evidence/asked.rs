//! A question that keeps all it is shown, and how a plain and a packed archive answer it.

use std::fmt;
use std::ops::ControlFlow;

use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::gap::Gap;
use container_checkpoint::memory::{self, Memory, Place, Question, Ride, Want};

use crate::made;

/// Keeps what it is shown, piece by piece, with the address of each.
#[derive(Debug, Default)]
pub struct Everything {
    addresses: Vec<u64>,
    pieces: Vec<(u64, Vec<u8>)>,
    finished: usize,
}

impl Question for Everything {
    fn wants(&mut self, memory: &Memory) -> Vec<Want> {
        *self = Self::default();
        let stored = memory.spaces.iter().flat_map(|space| &space.stored);
        let wants = stored.filter_map(|extent| match extent.place {
            Place::Image(object, offset) => Some((extent.start, Want { object, offset, len: extent.len })),
            Place::Missing(_) => None,
        });
        let (addresses, wants) = wants.unzip();
        self.addresses = addresses;
        wants
    }

    fn bytes(&mut self, want: usize, at: u64, bytes: &[u8]) -> ControlFlow<()> {
        assert_eq!(self.finished, 0);
        self.pieces.push((self.addresses[want] + at, bytes.to_vec()));
        ControlFlow::Continue(())
    }

    fn lost(&mut self, _: usize, _: u64, _: u64) {}

    fn finish(&mut self) {
        self.finished += 1;
    }
}

/// What came: for each stretch of addresses the bytes, joined; and what did not.
#[derive(PartialEq, Eq)]
pub struct Seen {
    pub bytes: Vec<(u64, Vec<u8>)>,
    pub gaps: Vec<Gap>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pages {:?}, gaps {:?}", self.pages(), self.gaps)
    }
}

impl Seen {
    /// The first bytes of each page that came, as text.
    pub fn pages(&self) -> Vec<String> {
        let pages = self.bytes.iter().flat_map(|(_, bytes)| bytes.chunks(4096));
        pages
            .map(|page| page.iter().take_while(|byte| **byte != 0).map(|&byte| byte as char).collect())
            .collect()
    }
}

pub fn ask(case: &Case, id: DumpId, ride: Option<&mut Ride<'_, Everything>>) -> Seen {
    let answered = memory::answer(case, id, &Context::default(), ride, Everything::default).unwrap();
    assert_eq!(answered.question.finished, 1);
    let mut pieces = answered.question.pieces;
    pieces.sort();
    let mut bytes: Vec<(u64, Vec<u8>)> = Vec::new();
    for (address, piece) in pieces {
        match bytes.last_mut() {
            Some((start, last)) if *start + last.len() as u64 == address => last.extend(piece),
            Some((start, last)) => {
                assert!(*start + (last.len() as u64) < address, "bytes at {address:#x} came twice");
                bytes.push((address, piece));
            }
            None => bytes.push((address, piece)),
        }
    }
    Seen { bytes, gaps: answered.findings.gaps }
}

/// Asks the first dump of an archive, plain, packed, and packed with the question riding along: the answers must be the same.
pub fn ask_all_ways(tar: &[u8]) -> Seen {
    let first = DumpId { evidence: 0, dump: 0 };
    let plain = ask(&made::open(tar.to_vec(), &mut container_checkpoint::evidence::Nobody), first, None);
    let packed = made::zstd(tar);
    let asked_after =
        ask(&made::open(packed.clone(), &mut container_checkpoint::evidence::Nobody), first, None);
    let mut ride = Ride::new(Everything::default);
    let case = made::open(packed, &mut ride);
    let ridden = ask(&case, first, Some(&mut ride));
    assert_eq!(plain, asked_after);
    assert_eq!(plain, ridden);
    plain
}
