//! A reader of cores, by the definitions of the `object` crate.

use object::LittleEndian;
use object::elf::{FileHeader32, FileHeader64, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader as _};

pub const PRSTATUS: u32 = 1;
pub const FPREGSET: u32 = 2;
pub const PRPSINFO: u32 = 3;
pub const AUXV: u32 = 6;
pub const XSTATE: u32 = 0x202;
pub const SIGINFO: u32 = 0x5349_4749;
pub const XSAVE_LAYOUT: u32 = 0x205;
pub const FILE: u32 = 0x4649_4c45;

/// A core in memory.
pub struct Core {
    pub bytes: Vec<u8>,
    /// Bytes of a word: 8, of a 32-bit process 4.
    pub word: usize,
    pub segments: Vec<Segment>,
    pub notes: Vec<Note>,
}

/// A `PT_LOAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub start: u64,
    pub len: u64,
    pub offset: u64,
    pub stored: u64,
    pub flags: u32,
    pub physical: u64,
}

pub struct Note {
    pub owner: Vec<u8>,
    pub kind: u32,
    pub body: Vec<u8>,
}

/// An entry of `NT_FILE`, its offset in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    pub start: u64,
    pub end: u64,
    pub offset: u64,
    pub name: Vec<u8>,
}

impl Core {
    /// Reads a core, and lets another reader say whether it sees the same segments.
    pub fn parse(bytes: Vec<u8>) -> Self {
        match bytes[4] {
            1 => Self::parse_as::<FileHeader32<LittleEndian>>(bytes, 4),
            _ => Self::parse_as::<FileHeader64<LittleEndian>>(bytes, 8),
        }
    }

    fn parse_as<H: FileHeader<Endian = LittleEndian>>(bytes: Vec<u8>, word: usize) -> Self {
        let header = H::parse(bytes.as_slice()).unwrap();
        let (mut segments, mut notes) = (Vec::new(), Vec::new());
        for program in header.program_headers(LittleEndian, bytes.as_slice()).unwrap() {
            let kind = program.p_type(LittleEndian);
            let (offset, stored) = program.file_range(LittleEndian);
            assert!(offset + stored <= bytes.len() as u64, "a segment outside of the file");
            if kind == PT_LOAD {
                let flags = program.p_flags(LittleEndian).0;
                let (start, len) =
                    (program.p_vaddr(LittleEndian).into(), program.p_memsz(LittleEndian).into());
                let physical = program.p_paddr(LittleEndian).into();
                segments.push(Segment { start, len, offset, stored, flags, physical });
            } else if kind == PT_NOTE {
                let mut found = program.notes(LittleEndian, bytes.as_slice()).unwrap().unwrap();
                while let Some(note) = found.next().unwrap() {
                    let kind = note.n_type(LittleEndian).0;
                    notes.push(Note { owner: note.name().to_vec(), kind, body: note.desc().to_vec() });
                }
            }
        }
        let sorted = segments.windows(2).all(|pair| pair[0].start + pair[0].len <= pair[1].start);
        assert!(sorted, "segments overlap or are not in the order of addresses");
        assert_a_second_reader_agrees(&bytes, &segments);
        Self { bytes, word, segments, notes }
    }

    /// The stretches of memory that the file holds.
    pub fn held(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let bytes = |segment: &Segment| &self.bytes[segment.offset as usize..][..segment.stored as usize];
        self.segments
            .iter()
            .map(move |segment| (segment.start, bytes(segment)))
            .filter(|(_, bytes)| !bytes.is_empty())
    }

    /// The bytes at an address up to the end of what is held there in one piece; none when nothing is.
    pub fn at(&self, address: u64) -> &[u8] {
        let next = self.segments.partition_point(|segment| segment.start <= address);
        let Some(segment) = next.checked_sub(1).map(|at| self.segments[at]) else { return &[] };
        let into = address - segment.start;
        if into >= segment.stored {
            return &[];
        }
        &self.bytes[(segment.offset + into) as usize..(segment.offset + segment.stored) as usize]
    }

    /// The bodies of all notes of a kind.
    pub fn notes(&self, kind: u32) -> Vec<&[u8]> {
        self.notes.iter().filter(|note| note.kind == kind).map(|note| note.body.as_slice()).collect()
    }

    /// Threads in the order of the core: id, and that thread's notes.
    pub fn threads(&self) -> Vec<(u32, Vec<&Note>)> {
        let mut threads: Vec<(u32, Vec<&Note>)> = Vec::new();
        for note in &self.notes {
            if note.kind == PRSTATUS {
                threads.push((u32_at(&note.body, 16 + 2 * self.word), vec![note]));
            } else if let Some((_, notes)) = threads.last_mut() {
                notes.push(note);
            }
        }
        threads
    }

    /// A word at a place of a note.
    pub fn word_at(&self, body: &[u8], at: usize) -> u64 {
        body[at..at + self.word].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    pub fn mapped_files(&self) -> Vec<MappedFile> {
        let body = self.notes(FILE)[0];
        let (head, entry_len) = (2 * self.word, 3 * self.word);
        let (count, unit) = (self.word_at(body, 0) as usize, self.word_at(body, self.word));
        let names = body[head + entry_len * count..].split(|byte| *byte == 0);
        let entry = |(number, name): (usize, &[u8])| {
            let at = head + entry_len * number;
            let [start, end, offset] = [0, 1, 2].map(|into| self.word_at(body, at + into * self.word));
            MappedFile { start, end, offset: offset * unit, name: name.to_vec() }
        };
        names.take(count).enumerate().map(entry).collect()
    }
}

/// Lets goblin say where the segments are. It reads `e_phnum` as a plain count, so a core with more headers than that can say is not for it.
fn assert_a_second_reader_agrees(bytes: &[u8], segments: &[Segment]) {
    use goblin::elf::{Elf, header::ET_CORE, program_header};
    const PN_XNUM: usize = 0xffff;
    if segments.len() >= PN_XNUM {
        return;
    }
    let core = Elf::parse(bytes).unwrap();
    assert_eq!(core.header.e_type, ET_CORE);
    let loads = core.program_headers.iter().filter(|header| header.p_type == program_header::PT_LOAD);
    let seen: Vec<_> = loads.map(|load| (load.p_vaddr, load.p_memsz, load.p_offset, load.p_filesz)).collect();
    let expected: Vec<_> = segments.iter().map(|it| (it.start, it.len, it.offset, it.stored)).collect();
    assert_eq!(seen, expected, "goblin sees other segments");
}

/// The 27 general registers of a PRSTATUS.
pub fn registers(status: &[u8]) -> [u64; 27] {
    std::array::from_fn(|number| u64_at(status, 112 + 8 * number))
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
