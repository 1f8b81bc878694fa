//! The headers of an ELF core file, as the kernel writes them.

use std::io::{self, Write};

use object::elf::{
    ELFCLASS64, ELFDATA2LSB, ELFMAG, ELFOSABI_SYSV, EM_X86_64, ET_CORE, EV_CURRENT, FileFlags, FileHeader64,
    Ident, PN_XNUM, PT_LOAD, PT_NOTE, ProgramFlags, ProgramHeader64, SHT_NULL, SectionFlags, SectionHeader64,
    SymbolSection,
};
use object::pod::bytes_of;
use object::{LittleEndian, U16, U32, U64};

use super::layout::{PAGE, Segment};

/// Length of the file header in bytes.
const FILE_HEADER: u64 = size_of::<FileHeader64<LittleEndian>>() as u64;
/// Length of a program header in bytes.
const PROGRAM_HEADER: u64 = size_of::<ProgramHeader64<LittleEndian>>() as u64;
/// Length of a section header in bytes.
pub(super) const SECTION_HEADER: u64 = size_of::<SectionHeader64<LittleEndian>>() as u64;

/// What the headers have to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers<'a> {
    /// What becomes `PT_LOAD`.
    pub(super) segments: &'a [Segment],
    /// Offset and length of the notes, in bytes.
    pub(super) notes: (u64, u64),
    /// Offset of the program headers: directly behind the file header, or anywhere if there was no room for all.
    pub(super) programs_at: u64,
    /// Offset of the section header that counts program headers when the file header can't.
    pub(super) section_at: u64,
}

/// Length of the file header and all program headers of a core, in bytes.
pub(super) fn headers_len(segments: usize) -> u64 {
    FILE_HEADER + programs_len(segments)
}

/// Length of all program headers, in bytes.
pub(super) fn programs_len(segments: usize) -> u64 {
    PROGRAM_HEADER.saturating_mul(segments as u64 + 1)
}

/// The offset of program headers that stand directly behind the file header.
pub(super) const PROGRAMS_AT: u64 = FILE_HEADER;

impl Headers<'_> {
    fn count(&self) -> u64 {
        self.segments.len() as u64 + 1
    }

    /// Whether `e_phnum` can't tell how many program headers there are.
    pub(super) fn needs_section(&self) -> bool {
        self.count() >= u64::from(PN_XNUM)
    }

    /// Writes the file header.
    pub(super) fn write_file_header(&self, out: &mut dyn Write) -> io::Result<()> {
        let extended = self.needs_section();
        let header = FileHeader64::<LittleEndian> {
            e_ident: Ident {
                magic: ELFMAG,
                class: ELFCLASS64,
                data: ELFDATA2LSB,
                version: EV_CURRENT,
                os_abi: ELFOSABI_SYSV,
                abi_version: 0,
                padding: [0; 7],
            },
            e_type: ET_CORE.into(),
            e_machine: EM_X86_64.into(),
            e_version: U32::new(LittleEndian, u32::from(EV_CURRENT.0)),
            e_entry: word(0),
            e_phoff: word(self.programs_at),
            e_shoff: word(if extended { self.section_at } else { 0 }),
            e_flags: FileFlags(0).into(),
            e_ehsize: half(FILE_HEADER as u16),
            e_phentsize: half(PROGRAM_HEADER as u16),
            e_phnum: half(if extended { PN_XNUM } else { self.count() as u16 }),
            e_shentsize: half(if extended { SECTION_HEADER as u16 } else { 0 }),
            e_shnum: half(u16::from(extended)),
            e_shstrndx: SymbolSection(0).into(),
        };
        out.write_all(bytes_of(&header))
    }

    /// Writes the program headers: the notes, then memory in the order of addresses.
    pub(super) fn write_programs(&self, out: &mut dyn Write) -> io::Result<()> {
        let (offset, len) = self.notes;
        let notes = ProgramHeader64::<LittleEndian> {
            p_type: PT_NOTE.into(),
            p_flags: ProgramFlags(0).into(),
            p_offset: word(offset),
            p_vaddr: word(0),
            p_paddr: word(0),
            p_filesz: word(len),
            p_memsz: word(0),
            p_align: word(4),
        };
        out.write_all(bytes_of(&notes))?;
        let mut end = PAGE;
        for segment in self.segments {
            let load = load(segment, end);
            end = load.p_offset.get(LittleEndian) + load.p_filesz.get(LittleEndian);
            out.write_all(bytes_of(&load))?;
        }
        Ok(())
    }

    /// Writes the section header whose `sh_info` is the number of program headers.
    pub(super) fn write_section(&self, out: &mut dyn Write) -> io::Result<()> {
        let header = SectionHeader64::<LittleEndian> {
            sh_name: number(0),
            sh_type: SHT_NULL.into(),
            sh_flags: SectionFlags(0).into(),
            sh_addr: word(0),
            sh_offset: word(0),
            sh_size: word(1),
            sh_link: number(0),
            sh_info: number(u32::try_from(self.count()).unwrap_or(u32::MAX)),
            sh_addralign: word(0),
            sh_entsize: word(0),
        };
        out.write_all(bytes_of(&header))
    }
}

/// A segment's program header. One without bytes gets the offset where they would have been, as the kernel's have: it must agree with the address
/// modulo the page size.
fn load(segment: &Segment, end: u64) -> ProgramHeader64<LittleEndian> {
    let nothing_at = end.next_multiple_of(PAGE) + segment.start % PAGE;
    ProgramHeader64 {
        p_type: PT_LOAD.into(),
        p_flags: program_flags(segment.protection).into(),
        p_offset: word(segment.at.unwrap_or(nothing_at)),
        p_vaddr: word(segment.start),
        p_paddr: word(0),
        p_filesz: word(if segment.at.is_some() { segment.len } else { 0 }),
        p_memsz: word(segment.len),
        p_align: word(PAGE),
    }
}

/// `PF_*` of `PROT_*`: the same three bits the other way round.
fn program_flags(protection: u32) -> ProgramFlags {
    ProgramFlags((protection & 1) << 2 | protection & 2 | (protection & 4) >> 2)
}

fn half(value: u16) -> U16<LittleEndian> {
    U16::new(LittleEndian, value)
}

fn number(value: u32) -> U32<LittleEndian> {
    U32::new(LittleEndian, value)
}

fn word(value: u64) -> U64<LittleEndian> {
    U64::new(LittleEndian, value)
}

#[cfg(test)]
mod tests {
    use object::read::elf::{FileHeader as _, ProgramHeader as _};

    use super::*;

    type Header = FileHeader64<LittleEndian>;

    fn written(headers: &Headers<'_>) -> Vec<u8> {
        let mut file = Vec::new();
        headers.write_file_header(&mut file).unwrap();
        assert_eq!(file.len() as u64, PROGRAMS_AT);
        headers.write_programs(&mut file).unwrap();
        assert_eq!(file.len() as u64, headers_len(headers.segments.len()));
        if headers.needs_section() {
            file.resize(headers.section_at as usize, 0);
            headers.write_section(&mut file).unwrap();
        }
        file
    }

    fn segments(count: u64) -> Vec<Segment> {
        let segment = |number| Segment { start: number * 0x2000, len: PAGE, protection: 5, at: None };
        (1..=count).map(segment).collect()
    }

    #[test]
    fn headers_are_the_kernels() {
        let segments = [
            Segment { start: 0x40_0000, len: 0x3000, protection: 5, at: Some(0x1000) },
            Segment { start: 0x50_0000, len: 0x2000, protection: 0, at: None },
            Segment { start: 0x60_0000, len: 0x1000, protection: 2, at: Some(0x4000) },
        ];
        let file =
            written(&Headers { segments: &segments, notes: (0x5000, 77), programs_at: 64, section_at: 0 });
        let header = Header::parse(file.as_slice()).unwrap();
        assert_eq!(
            (header.e_type.get(LittleEndian), header.e_machine.get(LittleEndian)),
            (ET_CORE, EM_X86_64)
        );
        assert_eq!((header.e_shoff.get(LittleEndian), header.e_shentsize.get(LittleEndian)), (0, 0));
        let programs = header.program_headers(LittleEndian, file.as_slice()).unwrap();
        let facts: Vec<_> = programs
            .iter()
            .map(|p| {
                (
                    p.p_type(LittleEndian).0,
                    p.p_flags(LittleEndian).0,
                    p.p_offset(LittleEndian),
                    p.p_filesz(LittleEndian),
                    p.p_memsz(LittleEndian),
                    p.p_align(LittleEndian),
                )
            })
            .collect();
        assert_eq!(
            facts,
            [
                (4, 0, 0x5000, 77, 0, 4),
                (1, 5, 0x1000, 0x3000, 0x3000, 0x1000),
                (1, 0, 0x4000, 0, 0x2000, 0x1000),
                (1, 2, 0x4000, 0x1000, 0x1000, 0x1000)
            ]
        );
    }

    #[test]
    fn more_program_headers_than_sixteen_bits_count_are_counted_in_a_section_header() {
        for (count, extended) in [(65_533, false), (65_534, true), (70_000, true)] {
            let segments = segments(count);
            let section_at = headers_len(segments.len()).next_multiple_of(8);
            let headers = Headers { segments: &segments, notes: (0, 0), programs_at: 64, section_at };
            assert_eq!(headers.needs_section(), extended);
            let file = written(&headers);
            let header = Header::parse(file.as_slice()).unwrap();
            assert_eq!(header.e_phnum.get(LittleEndian) == PN_XNUM, extended);
            let programs = header.program_headers(LittleEndian, file.as_slice()).unwrap();
            assert_eq!(programs.len() as u64, count + 1);
            assert_eq!(programs[count as usize].p_vaddr(LittleEndian), count * 0x2000);
        }
    }
}
