//! `crit x DIR mems`: what each process runs, and what it has mapped.

use std::borrow::Cow;
use std::collections::HashMap;

use container_checkpoint::gap::Field;
use container_checkpoint::ids::Pid;
use container_checkpoint::model::{Files, Mapping, MappingKind, Model, Process, status};

use super::names;

/// The mappings of one process. Nothing of it applies to a zombie.
#[derive(Clone, Debug)]
pub struct Mems<'m> {
    /// Whose they are.
    pub pid: Pid,
    /// Path of the executable; `unknown path` when the table of files lacks it. Why it isn't known is also why there are
    /// no mappings: both are in one image.
    pub executable: Field<Cow<'m, [u8]>>,
    /// Ascending by address; at the end those that overlap others, and guard regions, which lie in other mappings.
    pub mappings: Vec<ShownMapping<'m>>,
}

/// A mapping and what crit says of it.
#[derive(Clone, Debug)]
pub struct ShownMapping<'m> {
    /// The mapping.
    pub mapping: &'m Mapping,
    /// What is behind it.
    pub behind: Behind<'m>,
}

impl ShownMapping<'_> {
    /// Whether CRIU dumps and restores its content; crit marks others with ` *`.
    pub fn is_regular(&self) -> bool {
        self.mapping.has_status(status::REGULAR)
    }
}

/// What crit calls what is behind a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind<'m> {
    /// Nothing that crit has a word for: private memory, the heap, `[vvar]`, guard regions.
    Nothing,
    /// A segment of shmget(2), by its number in this answer (from 1).
    SysV(usize),
    /// Shared memory without a file as CRIU before 3.14 dumped it, by its number in this answer.
    SharedMemory(usize),
    /// The ring of a packet socket, by its number in this answer.
    PacketRing(usize),
    /// A file or memory file.
    File {
        /// Its path.
        path: Cow<'m, [u8]>,
        /// Where the mapping starts in it, in bytes.
        offset: u64,
        /// Whether writes go to the file.
        shared: bool,
    },
    /// The main stack by CRIU's word, in old images.
    Stack,
    /// `[vsyscall]`.
    Vsyscall,
    /// `[vdso]`.
    Vdso,
    /// Most likely the main stack: it grows downwards, or the process started on it.
    LikelyStack,
}

/// What a status bit makes of a mapping.
#[derive(Clone, Copy)]
enum Word {
    SysV,
    SharedMemory,
    PacketRing,
    File,
    Stack,
    Vsyscall,
    Vdso,
}

/// crit's words by the bits of a status; the first that fits counts.
const WORDS: [(u32, Word); 7] = [
    (status::SYSVIPC, Word::SysV),
    (status::ANON_SHARED, Word::SharedMemory),
    (status::SOCKET, Word::PacketRing),
    (status::FILE_PRIVATE | status::FILE_SHARED, Word::File),
    (status::STACK, Word::Stack),
    (status::VSYSCALL, Word::Vsyscall),
    (status::VDSO, Word::Vdso),
];

/// `MAP_GROWSDOWN`, on all architectures but MIPS.
const MAP_GROWSDOWN: u32 = 0x100;

/// The mappings of all processes, in the order of the image.
pub(super) fn tables(model: &Model) -> Vec<Mems<'_>> {
    let mut numbers = Numbers::default();
    model.processes.iter().map(|process| table(process, &model.files, &mut numbers)).collect()
}

fn table<'m>(process: &'m Process, files: &'m Files, numbers: &mut Numbers) -> Mems<'m> {
    let memory = process.memory.known().into_iter();
    let all =
        memory.flat_map(|memory| memory.mappings.iter().chain(&memory.overlapping).chain(&memory.guards));
    Mems {
        pid: process.pid,
        executable: process.executable().map(|id| names::path(files, id)),
        mappings: all
            .map(|mapping| ShownMapping { mapping, behind: behind(mapping, files, numbers) })
            .collect(),
    }
}

fn behind<'m>(mapping: &Mapping, files: &'m Files, numbers: &mut Numbers) -> Behind<'m> {
    match WORDS.iter().find(|(bits, _)| mapping.status & bits != 0).map(|(_, word)| *word) {
        Some(Word::SysV) => Behind::SysV(numbers.of(mapping.shmid)),
        Some(Word::SharedMemory) => Behind::SharedMemory(numbers.of(mapping.shmid)),
        Some(Word::PacketRing) => Behind::PacketRing(numbers.of(mapping.shmid)),
        Some(Word::File) => Behind::File {
            path: names::of_mapping(files, mapping),
            offset: mapping.offset,
            shared: mapping.has_status(status::FILE_SHARED),
        },
        Some(Word::Stack) => Behind::Stack,
        Some(Word::Vsyscall) => Behind::Vsyscall,
        Some(Word::Vdso) => Behind::Vdso,
        None if mapping.flags & MAP_GROWSDOWN != 0 || mapping.kind == MappingKind::Stack => {
            Behind::LikelyStack
        }
        None => Behind::Nothing,
    }
}

/// Small numbers for ids of shared objects, from 1, in the order in which they are met.
#[derive(Debug, Default)]
struct Numbers(HashMap<u64, usize>);

impl Numbers {
    fn of(&mut self, id: u64) -> usize {
        let next = self.0.len() + 1;
        *self.0.entry(id).or_insert(next)
    }
}
