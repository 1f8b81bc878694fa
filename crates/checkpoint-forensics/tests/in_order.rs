//! Memory in the order of its addresses, from archives whose bytes come in another order.

#![allow(clippy::unwrap_used)] // a failure fails the test

use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::slice::from_ref;
use std::sync::Arc;

use checkpoint_forensics::in_order::{Error, Keep, Part, Sink, Source, read};
use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::evidence::{Evidence, Nobody};
use container_checkpoint::memory::Memory;
use container_checkpoint::naming::Locator;

const EVERYWHERE: Range<u64> = 0..u64::MAX;
const DUMP: DumpId = DumpId { evidence: 0, dump: 0 };

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

fn packed(name: &str) -> Case {
    let mut case = Case::default();
    case.add(Locator::whole(&testdata(name)), &Context::default(), &mut Nobody);
    case
}

fn plain(name: &str) -> Case {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(testdata(name)).unwrap();
    zstd::Decoder::new(file).unwrap().read_to_end(&mut bytes).unwrap();
    let evidence =
        Evidence::from_source(name.into(), Arc::new(bytes), &Context::default(), &mut Nobody).unwrap();
    let mut case = Case::default();
    case.add_opened(evidence, Locator::whole(&testdata(name)));
    case
}

/// All parts, bytes that go on joined; fails when they don't ascend.
#[derive(Debug, Default, PartialEq, Eq)]
struct Collected {
    bytes: Vec<(u64, Vec<u8>)>,
    others: Vec<(u64, String)>,
    next: u64,
}

impl Sink for Collected {
    fn part(&mut self, address: u64, part: Part<'_>) -> io::Result<()> {
        assert!(address >= self.next, "{address:#x} behind {:#x}", self.next);
        let len = match part {
            Part::Bytes(bytes) => {
                match self.bytes.last_mut() {
                    Some((start, known)) if *start + known.len() as u64 == address => known.extend(bytes),
                    _ => self.bytes.push((address, bytes.to_vec())),
                }
                bytes.len() as u64
            }
            Part::Zeros(len) | Part::Reserved(len) | Part::Absent(len, _) => {
                self.others.push((address, format!("{part:?}")));
                len
            }
        };
        self.next = address + len;
        Ok(())
    }
}

fn collect(case: &Case, keep: &Keep) -> Result<Vec<Collected>, Error> {
    let memory = Memory::of(case, DUMP);
    memory
        .spaces
        .iter()
        .map(|space| {
            let source = Source { case, id: DUMP, memory: &memory, space };
            let mut collected = Collected::default();
            read(source, from_ref(&EVERYWHERE), &Context::default(), keep.clone(), &mut collected)?;
            Ok(collected)
        })
        .collect()
}

/// kitchen: processes with shared objects between their own pages. criu-features: page images before all that places them.
#[test]
fn early_bytes_come_in_their_turn_wherever_they_are_kept() {
    for name in ["kitchen.tar.zst", "criu-features.tar.zst"] {
        let expected = collect(&plain(name), &Keep { in_memory: 0, directory: None }).unwrap();
        assert!(expected.iter().map(|space| space.bytes.len()).sum::<usize>() > 20);
        let case = packed(name);
        let directory = Some(std::env::temp_dir());
        for keep in [
            Keep::default(),
            Keep { in_memory: 8192, directory: directory.clone() },
            Keep { in_memory: 0, directory },
        ] {
            assert!(collect(&case, &keep).unwrap() == expected, "{name} {keep:?}");
        }
    }
}

#[test]
fn more_than_may_be_kept_is_an_error_and_no_other_order() {
    let case = packed("kitchen.tar.zst");
    let error = collect(&case, &Keep { in_memory: 0, directory: None }).unwrap_err();
    assert!(matches!(error, Error::OutOfOrder(0)), "{error}");
}

/// Takes so many parts and fails then.
struct Full(usize);

impl Sink for Full {
    fn part(&mut self, _: u64, _: Part<'_>) -> io::Result<()> {
        self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }
}

#[test]
fn a_sink_that_fails_ends_it_at_once() {
    for case in [plain("kitchen.tar.zst"), packed("kitchen.tar.zst")] {
        let memory = Memory::of(&case, DUMP);
        for parts in 0..30 {
            let space = memory.space(container_checkpoint::ids::Pid(8)).unwrap();
            let source = Source { case: &case, id: DUMP, memory: &memory, space };
            let mut sink = Full(parts);
            let error = read(source, from_ref(&EVERYWHERE), &Context::default(), Keep::default(), &mut sink)
                .unwrap_err();
            assert!(
                matches!(&error, Error::Write(why) if why.kind() == io::ErrorKind::StorageFull),
                "{error}"
            );
        }
    }
}

/// An archive that lies in memory, as a mapped one does, lends its bytes.
#[test]
fn a_range_is_lent_not_copied() {
    let mut bytes = Vec::new();
    zstd::Decoder::new(std::fs::File::open(testdata("kitchen.tar.zst")).unwrap())
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    let archive = Arc::new(bytes);
    let context = Context::default();
    let evidence = Evidence::from_source("x".into(), archive.clone(), &context, &mut Nobody).unwrap();
    let mut case = Case::default();
    case.add_opened(evidence, Locator::parse("x".as_ref()));
    let memory = Memory::of(&case, DUMP);
    let lent = archive.as_ptr_range();
    let mut len = 0;
    for space in &memory.spaces {
        let source = Source { case: &case, id: DUMP, memory: &memory, space };
        read(source, from_ref(&EVERYWHERE), &context, Keep::default(), &mut |_, part: Part<'_>| {
            if let Part::Bytes(bytes) = part {
                let part = bytes.as_ptr_range();
                assert!(lent.start <= part.start && part.end <= lent.end);
                len += bytes.len();
            }
            Ok(())
        })
        .unwrap();
    }
    assert!(len > 1 << 20, "{len}");
}
