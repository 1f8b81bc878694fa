//! All memory of the corpus' processes, with the files behind their mappings, against what gdb read from the frozen ones.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::slice::from_ref;

use checkpoint_forensics::in_order::{self, Absence, Keep, Part, Sink, Source};
use checkpoint_forensics::mapped_files::MappedFiles;
use container_checkpoint::context::Context;
use container_checkpoint::ids::{FileId, Pid};
use container_checkpoint::memory::Memory;
use serde_json::Value;

use super::corpus::range;
use super::evidence::{CASES, Opened, corpus, sysroot};
use super::reader::Core;

/// Where gdb's core has bytes that are not known, and why.
const ABSENT: [(&str, &str, &str); 2] = [
    (
        "03-shm",
        "/opt/cc/run/03-shm/cc-eof.dat",
        "ELF-CORE.md, section 3: behind the end of the file gdb writes zeros, though reading them fails",
    ),
    ("06-redis", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "not in the root file system of the cases"),
];

/// Compares what comes with a core.
struct Compared<'a> {
    theirs: &'a Core,
    /// Where another moment shows other bytes.
    volatile: &'a [Range<u64>],
    /// So many bytes of both are equal.
    equal: u64,
    /// Addresses of pages that differ.
    different: Vec<u64>,
    /// So many bytes of the core are in no dump: guards, and what the kernel shows to all processes.
    not_captured: u64,
    /// Bytes of the core that are not known: file, how many.
    absent: BTreeMap<FileId, u64>,
}

impl Compared<'_> {
    /// How many bytes the core has there.
    fn held(&self, address: u64, len: u64) -> u64 {
        let pages = (address..address + len).step_by(4096);
        pages.filter(|page| !self.theirs.at(*page).is_empty()).count() as u64 * 4096
    }

    fn bytes(&mut self, address: u64, mut ours: &[u8]) {
        let mut at = address;
        while !ours.is_empty() {
            let (page, rest) = ours.split_at(ours.len().min((4096 - at % 4096) as usize));
            let theirs = self.theirs.at(at);
            let len = page.len().min(theirs.len());
            let is_volatile =
                |byte: usize| self.volatile.iter().any(|range| range.contains(&(at + byte as u64)));
            if (0..len).all(|byte| page[byte] == theirs[byte] || is_volatile(byte)) {
                self.equal += len as u64;
            } else {
                self.different.push(at);
            }
            (ours, at) = (rest, at + page.len() as u64);
        }
    }
}

impl Sink for Compared<'_> {
    fn part(&mut self, address: u64, part: Part<'_>) -> io::Result<()> {
        match part {
            Part::Bytes(bytes) => self.bytes(address, bytes),
            Part::Zeros(len) | Part::Reserved(len) => {
                for page in (address..address + len).step_by(4096) {
                    if !self.theirs.at(page).is_empty() {
                        self.bytes(page, &[0; 4096]);
                    }
                }
            }
            Part::Absent(_, Absence::Unmapped) => {}
            Part::Absent(len, Absence::NotCaptured) => self.not_captured += self.held(address, len),
            Part::Absent(len, Absence::File(file, _)) => {
                *self.absent.entry(file).or_default() += self.held(address, len);
            }
            Part::Absent(len, why) => assert_eq!(self.held(address, len), 0, "{address:#x}: {why:?}"),
        }
        Ok(())
    }
}

#[test]
fn memory_with_the_files_behind_it_is_what_gdb_read() {
    let Some(root) = corpus() else { return };
    let (_directory, root) = sysroot(&root.join("cases/core"));
    for (case, pids) in CASES {
        let mut opened = Opened::new(&[&super::evidence::case(case).unwrap()]);
        let id = opened.dump("images");
        let (model, context) = (opened.model(id), Context::default());
        let looked_at = opened.looked_at(id, &model, &context);
        let (files, findings) = MappedFiles::gather(looked_at, &[], from_ref(&root)).unwrap();
        assert_eq!(findings.gaps, [], "{case}");
        files.give_to(&mut opened.case, id);
        let facts: Value = serde_json::from_slice(&opened.member(&format!("{case}/facts.json"))).unwrap();
        let memory = Memory::of(&opened.case, id);
        for pid in pids {
            let end = if pids.len() > 1 { format!(".{pid}") } else { String::new() };
            let theirs = Core::parse(opened.member(&format!("{case}/core.gcore{end}")).to_vec());
            let ranges = facts["processes"][pid.to_string()]["volatile_ranges"].as_array().unwrap();
            let volatile: Vec<_> = ranges.iter().map(range).collect();
            let mut compared = Compared {
                theirs: &theirs,
                volatile: &volatile,
                equal: 0,
                different: Vec::new(),
                not_captured: 0,
                absent: BTreeMap::new(),
            };
            let space = memory.space(Pid(*pid)).unwrap();
            let source = Source { case: &opened.case, id, memory: &memory, space };
            in_order::read(source, from_ref(&(0..u64::MAX)), &context, Keep::default(), &mut compared)
                .unwrap();
            let held: u64 = theirs.held().map(|(_, bytes)| bytes.len() as u64).sum();
            assert_eq!(compared.different, [0; 0], "{case} {pid}: {:x?}", compared.different);
            let absent: Vec<_> = compared.absent.iter().filter(|(_, bytes)| **bytes > 0).collect();
            let path = |file: FileId| {
                let regular = model.files.with_path(file).unwrap().regular().unwrap();
                String::from_utf8(regular.path.clone()).unwrap()
            };
            let named: Vec<String> = absent.iter().map(|(file, _)| path(**file)).collect();
            let allowed: Vec<&str> = ABSENT.iter().filter(|it| it.0 == case).map(|it| it.1).collect();
            assert_eq!(named, allowed, "{case} {pid}");
            let known = compared.equal + compared.not_captured;
            assert_eq!(known + absent.iter().map(|(_, bytes)| *bytes).sum::<u64>(), held, "{case} {pid}");
            assert!(compared.not_captured <= 10 * 4096 && known > held / 100 * 98, "{case} {pid}");
        }
    }
}
