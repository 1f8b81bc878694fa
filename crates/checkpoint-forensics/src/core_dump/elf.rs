//! The headers of an ELF core file, as the kernel writes them.

use std::io::{self, Write};

use object::elf::{
    ELFCLASS64, ELFDATA2LSB, ELFMAG, ELFOSABI_SYSV, EM_X86_64, ET_CORE, EV_CURRENT, FileFlags, FileHeader64, Ident, PN_XNUM,
    PT_LOAD, PT_NOTE, ProgramFlags, ProgramHeader64, SHT_NULL, SectionFlags, SectionHeader64, SymbolSection,
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
