//! What is true of each address: worked out page by page from what was asked for, never from what was written.

use std::collections::BTreeMap;
use std::io::Read;

use crate::checkpoint::Checkpoint;
use crate::mapping::Kind;
use crate::pagemap::Style;
use crate::pages::{Pages, Place};

/// What a page of a process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// These bytes.
    Known(Vec<u8>),
    /// Zeros: it was never written to.
    Zero,
    /// What the process's executable holds from this offset on.
    OfFile(u64),
    /// Something that nobody can tell: pages of a parent that has none, lazy pages, memory of the kernel.
    Unknown,
}

/// One byte of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Byte {
    /// It is this one.
    Known(u8),
    /// Nobody can tell, or it is a file's.
    Unknown,
    /// Nothing is mapped there.
    Unmapped,
}

/// The pages that a dump's images hold of something, by page number.
type Held = BTreeMap<u64, Option<Vec<u8>>>;

fn held(pages: &Pages, style: &Style) -> Held {
    let page = style.page;
    let mut reader = pages.reader(page);
    let mut held = Held::new();
    for (count, run) in (1..).zip(&pages.runs) {
        let mut of_run = Vec::new();
        for _ in 0..run.pages {
            of_run.push((run.place == Place::Stored).then(|| {
                let mut bytes = vec![0; page as usize];
                // A page that can't be made is a mistake of the test's, and shows as zeros.
                let _ = reader.read_exact(&mut bytes);
                bytes
            }));
        }
        if let Some(blocks) = style.blocks.as_ref().filter(|blocks| blocks.is_packed(count, run)) {
            for block in of_run.chunks_mut(blocks.pages as usize) {
                let bytes: Vec<u8> = block.iter().flatten().flatten().copied().collect();
                if blocks.is_broken(&bytes) {
                    block.fill(None);
                }
            }
        }
        held.extend((run.first..).zip(of_run));
    }
    held
}

/// Pages that touch, as one stretch.
fn joined(pages: impl Iterator<Item = (u64, Vec<u8>)>) -> Vec<(u64, Vec<u8>)> {
    let mut joined: Vec<(u64, Vec<u8>)> = Vec::new();
    for (at, bytes) in pages {
        match joined.last_mut() {
            Some((start, all)) if *start + all.len() as u64 == at => all.extend(bytes),
            _ => joined.push((at, bytes)),
        }
    }
    joined
}

/// Whether a page is said to be in the parent.
fn in_parent(pages: &Pages, number: u64) -> bool {
    let run = pages.runs.iter().find(|run| (run.first..run.first + run.pages).contains(&number));
    run.is_some_and(|run| run.place == Place::Parent)
}

/// What is looked up through the dumps of a chain.
#[derive(Clone, Copy)]
enum Whose {
    Process(u32),
    Object(u32),
}

impl Checkpoint {
    /// Each mapped page of a process by its address. Takes as much memory as the process has: for tests of small ones.
    pub fn truth(&self, pid: u32) -> BTreeMap<u64, Truth> {
        let page = self.style.page;
        let private = self.all_held(Whose::Process(pid));
        let mut truth = BTreeMap::new();
        let process = self.processes.iter().find(|process| process.pid == pid);
        for mapping in process.into_iter().flat_map(|process| &process.mappings) {
            let object = match mapping.kind {
                Kind::Shared(id, _) | Kind::PrivateOf(id, _) => self.all_held(Whose::Object(id)),
                _ => Held::new(),
            };
            for address in (mapping.start..mapping.start + mapping.len).step_by(page as usize) {
                let inside = address - mapping.start;
                let own = if matches!(mapping.kind, Kind::Shared(..)) {
                    None
                } else {
                    private.get(&(address / page))
                };
                let beneath = || match mapping.kind {
                    Kind::Anonymous | Kind::Heap | Kind::Stack => Truth::Zero,
                    Kind::Vdso | Kind::Vvar => Truth::Unknown,
                    Kind::File(offset) => Truth::OfFile(offset + inside),
                    Kind::Shared(_, offset) | Kind::PrivateOf(_, offset) => {
                        object.get(&((offset + inside) / page)).map_or(Truth::Zero, of_held)
                    }
                };
                truth.insert(address, own.map_or_else(beneath, of_held));
            }
        }
        truth
    }

    /// The stretches of a process's addresses whose bytes the images hold: first address, bytes. Zeros that nobody wrote are not among them.
    pub fn known(&self, pid: u32) -> Vec<(u64, Vec<u8>)> {
        let known = |(address, truth)| match truth {
            Truth::Known(bytes) => Some((address, bytes)),
            _ => None,
        };
        joined(self.truth(pid).into_iter().filter_map(known))
    }

    /// The stretches of a shared object whose bytes the images hold: first offset, bytes.
    pub fn known_of_object(&self, id: u32) -> Vec<(u64, Vec<u8>)> {
        let page = self.style.page;
        let held = self.all_held(Whose::Object(id)).into_iter();
        joined(held.filter_map(|(number, bytes)| Some((number * page, bytes?))))
    }

    /// What stands at an address of a process.
    pub fn byte(&self, pid: u32, address: u64) -> Byte {
        let page = self.style.page;
        match self.truth(pid).get(&(address / page * page)) {
            Some(Truth::Known(bytes)) => Byte::Known(bytes[(address % page) as usize]),
            Some(Truth::Zero) => Byte::Known(0),
            Some(Truth::OfFile(_) | Truth::Unknown) => Byte::Unknown,
            None => Byte::Unmapped,
        }
    }

    /// All that this dump and those below it hold. Of a process, pages are numbered by address; of an object, from its start.
    fn all_held(&self, whose: Whose) -> Held {
        let page = self.style.page;
        let areas: Vec<(u64, &Pages)> = match whose {
            Whose::Process(pid) => {
                let process = self.processes.iter().find(|process| process.pid == pid);
                let mappings = process.into_iter().flat_map(|process| &process.mappings);
                mappings.map(|mapping| (mapping.start / page, &mapping.pages)).collect()
            }
            Whose::Object(id) => {
                let object = self.objects.iter().find(|object| object.id == id);
                object.into_iter().map(|object| (0, &object.pages)).collect()
            }
        };
        let below = self.parent.as_ref().map(|parent| parent.all_held(whose)).unwrap_or_default();
        let mut all = Held::new();
        for (start, pages) in areas {
            for (number, bytes) in held(pages, &self.style) {
                let bytes = match bytes {
                    None if in_parent(pages, number) => below.get(&(start + number)).cloned().flatten(),
                    bytes => bytes,
                };
                all.insert(start + number, bytes);
            }
        }
        all
    }
}

fn of_held(bytes: &Option<Vec<u8>>) -> Truth {
    bytes.clone().map_or(Truth::Unknown, Truth::Known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Contents, Mapping, ObjectKind, Process, Run, SharedObject};

    const START: u64 = 0x1000_0000;

    fn pages(letters: &[u8], runs: &[(u64, u64, Place)]) -> Pages {
        let bytes: Vec<u8> = letters.iter().flat_map(|&letter| [letter; 4096]).collect();
        let runs = runs.iter().map(|&(first, pages, place)| Run { first, pages, place }).collect();
        Pages::new(runs, Contents::given(bytes))
    }

    fn letters(checkpoint: &Checkpoint) -> String {
        let letter = |truth: &Truth| match truth {
            Truth::Known(bytes) => char::from(bytes[0]),
            Truth::Zero => '0',
            Truth::OfFile(_) => 'f',
            Truth::Unknown => '?',
        };
        checkpoint.truth(1).values().map(letter).collect()
    }

    #[test]
    fn each_page_is_where_it_was_put() {
        let anonymous =
            |pages: Pages| Process::new(1).mapping(Mapping::anonymous(START, 6 * 4096).with(pages));
        let below = Checkpoint::new()
            .process(anonymous(pages(b"ab", &[(0, 1, Place::Stored), (3, 1, Place::Stored)])));
        let above = pages(
            b"C",
            &[(0, 1, Place::Parent), (1, 1, Place::Stored), (3, 2, Place::Parent), (5, 1, Place::Lazy)],
        );
        assert_eq!(letters(&Checkpoint::new().process(anonymous(above.clone()))), "?C0???");
        assert_eq!(letters(&Checkpoint::new().process(anonymous(above)).on_top_of(below)), "aC0b??");
    }

    #[test]
    fn a_private_mapping_hides_its_object_where_it_was_written() {
        let object = SharedObject::new(
            9,
            ObjectKind::Memfd("m".into()),
            4,
            pages(b"xyz", &[(0, 1, Place::Stored), (2, 2, Place::Stored)]),
        );
        let own = pages(b"P", &[(1, 1, Place::Stored)]);
        let private = Process::new(1)
            .mapping(Mapping::private_of(START, 3 * 4096, 9, 4096).with(own))
            .mapping(Mapping::shared(START + 0x10_0000, 2 * 4096, 9, 0))
            .mapping(Mapping::file(START + 0x20_0000, 4096, 0, true));
        assert_eq!(letters(&Checkpoint::new().object(object).process(private)), "0Pzx0f");
    }
}
