//! The headers of an ELF core file, as the kernel writes them.

use std::io::{self, Write};

use object::elf::{
    ELFCLASS32, ELFCLASS64, ELFDATA2LSB, ELFMAG, ELFOSABI_SYSV, ET_CORE, EV_CURRENT, FileFlags, FileHeader32,
    FileHeader64, Ident, PN_XNUM, PT_LOAD, PT_NOTE, ProgramFlags, ProgramHeader32, ProgramHeader64,
    ProgramType, SHT_NULL, SectionFlags, SectionHeader32, SectionHeader64, SymbolSection,
};
use object::pod::bytes_of;
use object::{LittleEndian, U16, U32, U64};

use super::arch::{Class, Machine};
use super::layout::Segment;

/// What the headers have to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers<'a> {
    /// The machine.
    pub(super) machine: &'static Machine,
    /// Bytes in a page.
    pub(super) page: u64,
    /// What becomes `PT_LOAD`.
    pub(super) segments: &'a [Segment],
    /// Whether `p_paddr` repeats the addresses, for readers of physical memory; else it is 0.
    pub(super) physical: bool,
    /// Offset and length of the notes, in bytes.
    pub(super) notes: (u64, u64),
    /// Offset of the program headers: directly behind the file header, or anywhere if there was no room for all.
    pub(super) programs_at: u64,
    /// Offset of the section header that counts program headers when the file header can't.
    pub(super) section_at: u64,
}

impl Class {
    /// Length of the file header, of a program header, of a section header, in bytes.
    fn lengths(self) -> [usize; 3] {
        type E = LittleEndian;
        match self {
            Self::Elf32 => [
                size_of::<FileHeader32<E>>(),
                size_of::<ProgramHeader32<E>>(),
                size_of::<SectionHeader32<E>>(),
            ],
            Self::Elf64 => [
                size_of::<FileHeader64<E>>(),
                size_of::<ProgramHeader64<E>>(),
                size_of::<SectionHeader64<E>>(),
            ],
        }
    }

    /// Length of the file header, in bytes: where program headers stand if they have room there.
    pub(super) fn programs_at(self) -> u64 {
        self.lengths()[0] as u64
    }

    /// Length of the file header and all program headers of a core, in bytes.
    pub(super) fn headers_len(self, segments: usize) -> u64 {
        let [file, program, _] = self.lengths().map(|len| len as u64);
        file + program.saturating_mul(segments as u64 + 1)
    }
}

/// The words of a program header.
struct Program {
    kind: ProgramType,
    flags: ProgramFlags,
    offset: u64,
    address: u64,
    physical: u64,
    stored: u64,
    len: u64,
    align: u64,
}

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
        let [file, program, section] = self.machine.class.lengths().map(|len| half(len as u16));
        let class = match self.machine.class {
            Class::Elf32 => ELFCLASS32,
            Class::Elf64 => ELFCLASS64,
        };
        let e_ident = Ident {
            magic: ELFMAG,
            class,
            data: ELFDATA2LSB,
            version: EV_CURRENT,
            os_abi: ELFOSABI_SYSV,
            abi_version: 0,
            padding: [0; 7],
        };
        let section_at = if extended { self.section_at } else { 0 };
        let e_phnum = half(if extended { PN_XNUM } else { self.count() as u16 });
        let e_shentsize = if extended { section } else { half(0) };
        let e_version = number(u32::from(EV_CURRENT.0));
        match self.machine.class {
            Class::Elf32 => out.write_all(bytes_of(&FileHeader32::<LittleEndian> {
                e_ident,
                e_type: ET_CORE.into(),
                e_machine: self.machine.number.into(),
                e_version,
                e_entry: number(0),
                e_phoff: number(self.programs_at as u32),
                e_shoff: number(section_at as u32),
                e_flags: FileFlags(0).into(),
                e_ehsize: file,
                e_phentsize: program,
                e_phnum,
                e_shentsize,
                e_shnum: half(u16::from(extended)),
                e_shstrndx: SymbolSection(0).into(),
            })),
            Class::Elf64 => out.write_all(bytes_of(&FileHeader64::<LittleEndian> {
                e_ident,
                e_type: ET_CORE.into(),
                e_machine: self.machine.number.into(),
                e_version,
                e_entry: word(0),
                e_phoff: word(self.programs_at),
                e_shoff: word(section_at),
                e_flags: FileFlags(0).into(),
                e_ehsize: file,
                e_phentsize: program,
                e_phnum,
                e_shentsize,
                e_shnum: half(u16::from(extended)),
                e_shstrndx: SymbolSection(0).into(),
            })),
        }
    }

    /// Writes the program headers: the notes, then memory in the order of addresses.
    pub(super) fn write_programs(&self, out: &mut dyn Write) -> io::Result<()> {
        let (offset, stored) = self.notes;
        let (kind, flags) = (PT_NOTE, ProgramFlags(0));
        self.program(
            out,
            Program { kind, flags, offset, address: 0, physical: 0, stored, len: 0, align: 4 },
        )?;
        let mut end = self.page;
        for segment in self.segments {
            // One without bytes gets the offset where they would have been, as the kernel's have: it must agree with the address modulo the page size.
            let nothing_at = end.next_multiple_of(self.page) + segment.start % self.page;
            let offset = segment.at.unwrap_or(nothing_at);
            end = offset + segment.stored;
            let program = Program {
                kind: PT_LOAD,
                flags: program_flags(segment.protection),
                offset,
                address: segment.start,
                physical: if self.physical { segment.start } else { 0 },
                stored: segment.stored,
                len: segment.len,
                align: self.page,
            };
            self.program(out, program)?;
        }
        Ok(())
    }

    fn program(&self, out: &mut dyn Write, program: Program) -> io::Result<()> {
        let Program { kind, flags, offset, address, physical, stored, len, align } = program;
        let short = |value: u64| number(value as u32);
        match self.machine.class {
            Class::Elf32 => out.write_all(bytes_of(&ProgramHeader32::<LittleEndian> {
                p_type: kind.into(),
                p_offset: short(offset),
                p_vaddr: short(address),
                p_paddr: short(physical),
                p_filesz: short(stored),
                p_memsz: short(len),
                p_flags: flags.into(),
                p_align: short(align),
            })),
            Class::Elf64 => out.write_all(bytes_of(&ProgramHeader64::<LittleEndian> {
                p_type: kind.into(),
                p_flags: flags.into(),
                p_offset: word(offset),
                p_vaddr: word(address),
                p_paddr: word(physical),
                p_filesz: word(stored),
                p_memsz: word(len),
                p_align: word(align),
            })),
        }
    }

    /// Writes the section header whose `sh_info` is the number of program headers.
    pub(super) fn write_section(&self, out: &mut dyn Write) -> io::Result<()> {
        let sh_info = number(u32::try_from(self.count()).unwrap_or(u32::MAX));
        match self.machine.class {
            Class::Elf32 => out.write_all(bytes_of(&SectionHeader32::<LittleEndian> {
                sh_name: number(0),
                sh_type: SHT_NULL.into(),
                sh_flags: U32::default(),
                sh_addr: number(0),
                sh_offset: number(0),
                sh_size: number(1),
                sh_link: number(0),
                sh_info,
                sh_addralign: number(0),
                sh_entsize: number(0),
            })),
            Class::Elf64 => out.write_all(bytes_of(&SectionHeader64::<LittleEndian> {
                sh_name: number(0),
                sh_type: SHT_NULL.into(),
                sh_flags: SectionFlags(0).into(),
                sh_addr: word(0),
                sh_offset: word(0),
                sh_size: word(1),
                sh_link: number(0),
                sh_info,
                sh_addralign: word(0),
                sh_entsize: word(0),
            })),
        }
    }

    /// Bytes that the section header takes; 0 when there is none.
    pub(super) fn section_len(&self) -> u64 {
        if self.needs_section() { self.machine.class.lengths()[2] as u64 } else { 0 }
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
    use object::elf::EM_X86_64;
    use object::read::elf::{FileHeader as _, ProgramHeader as _};

    use super::super::arch::{I386, X86_64};
    use super::*;

    const PAGE: u64 = 4096;

    type Header = FileHeader64<LittleEndian>;

    fn written(headers: &Headers<'_>) -> Vec<u8> {
        let mut file = Vec::new();
        headers.write_file_header(&mut file).unwrap();
        assert_eq!(file.len() as u64, headers.machine.class.programs_at());
        headers.write_programs(&mut file).unwrap();
        assert_eq!(file.len() as u64, headers.machine.class.headers_len(headers.segments.len()));
        if headers.needs_section() {
            file.resize(headers.section_at as usize, 0);
            headers.write_section(&mut file).unwrap();
        }
        file
    }

    fn segments(count: u64) -> Vec<Segment> {
        let segment =
            |number| Segment { start: number * 0x2000, len: PAGE, protection: 5, at: None, stored: 0 };
        (1..=count).map(segment).collect()
    }

    #[test]
    fn headers_are_the_kernels() {
        let segments = [
            Segment { start: 0x40_0000, len: 0x3000, protection: 5, at: Some(0x1000), stored: 0x3000 },
            Segment { start: 0x50_0000, len: 0x2000, protection: 0, at: None, stored: 0 },
            Segment { start: 0x60_0000, len: 0x1000, protection: 2, at: Some(0x4000), stored: 0x800 },
        ];
        let headers = headers(&segments, 0);
        let file = written(&Headers { notes: (0x5000, 77), ..headers });
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
                (1, 2, 0x4000, 0x800, 0x1000, 0x1000)
            ]
        );
    }

    #[test]
    fn more_program_headers_than_sixteen_bits_count_are_counted_in_a_section_header() {
        for (count, extended) in [(65_533, false), (65_534, true), (70_000, true)] {
            let segments = segments(count);
            let section_at = Class::Elf64.headers_len(segments.len()).next_multiple_of(8);
            let headers = headers(&segments, section_at);
            assert_eq!(headers.needs_section(), extended);
            let file = written(&headers);
            let header = Header::parse(file.as_slice()).unwrap();
            assert_eq!(header.e_phnum.get(LittleEndian) == PN_XNUM, extended);
            let programs = header.program_headers(LittleEndian, file.as_slice()).unwrap();
            assert_eq!(programs.len() as u64, count + 1);
            assert_eq!(programs[count as usize].p_vaddr(LittleEndian), count * 0x2000);
        }
    }

    fn headers(segments: &[Segment], section_at: u64) -> Headers<'_> {
        let (machine, programs_at) = (&X86_64, X86_64.class.programs_at());
        Headers { machine, page: PAGE, segments, physical: false, notes: (0, 0), programs_at, section_at }
    }

    #[test]
    fn headers_of_32_bits_and_physical_addresses() {
        let segments =
            [Segment { start: 0xf7ed_3000, len: 0x2000, protection: 6, at: Some(0x1000), stored: 0x1000 }];
        let programs_at = I386.class.programs_at();
        let headers = Headers { machine: &I386, physical: true, programs_at, ..headers(&segments, 0) };
        let file = written(&headers);
        let header = FileHeader32::<LittleEndian>::parse(file.as_slice()).unwrap();
        assert_eq!((header.e_machine.get(LittleEndian).0, header.e_phentsize.get(LittleEndian)), (3, 32));
        let load = &header.program_headers(LittleEndian, file.as_slice()).unwrap()[1];
        assert_eq!(load.p_vaddr(LittleEndian), 0xf7ed_3000);
        assert_eq!(load.p_paddr(LittleEndian), 0xf7ed_3000);
        assert_eq!((load.p_filesz(LittleEndian), load.p_memsz(LittleEndian)), (0x1000, 0x2000));
        assert_eq!(load.p_flags(LittleEndian).0, 3);
    }

    #[test]
    fn a_section_header_of_32_bits_counts_too() {
        let segments = segments(65_600);
        let section_at = I386.class.headers_len(segments.len()).next_multiple_of(8);
        let programs_at = I386.class.programs_at();
        let file = written(&Headers { machine: &I386, programs_at, ..headers(&segments, section_at) });
        let header = FileHeader32::<LittleEndian>::parse(file.as_slice()).unwrap();
        assert_eq!(header.program_headers(LittleEndian, file.as_slice()).unwrap().len(), 65_601);
    }
}
