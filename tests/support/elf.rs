//! As much of an ELF core as tests ask about, read by hand: elf(5), 64 bits, little-endian.

/// `NT_PRSTATUS`, one a thread.
pub const NT_PRSTATUS: u32 = 1;

/// A core file.
pub struct Core<'a> {
    /// `e_machine`: 62 is x86-64, 183 is AArch64.
    pub machine: u16,
    /// Address, size in memory and bytes of each PT_LOAD.
    pub loads: Vec<(u64, u64, &'a [u8])>,
    /// Owner, type and contents of each note.
    pub notes: Vec<(String, u32, &'a [u8])>,
}

fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes[at..at + width].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

impl<'a> Core<'a> {
    /// Reads the headers.
    #[track_caller]
    pub fn read(bytes: &'a [u8]) -> Self {
        assert_eq!(&bytes[..6], b"\x7fELF\x02\x01", "no ELF of 64 bits");
        assert_eq!(number(bytes, 16, 2), 4, "no core");
        let mut core = Self { machine: number(bytes, 18, 2) as u16, loads: Vec::new(), notes: Vec::new() };
        let (table, size, count) =
            (number(bytes, 32, 8) as usize, number(bytes, 54, 2) as usize, number(bytes, 56, 2) as usize);
        for header in (0..count).map(|index| &bytes[table + index * size..][..size]) {
            let (offset, length) = (number(header, 8, 8) as usize, number(header, 32, 8) as usize);
            match number(header, 0, 4) {
                1 => core.loads.push((
                    number(header, 16, 8),
                    number(header, 40, 8),
                    &bytes[offset..offset + length],
                )),
                4 => core.read_notes(&bytes[offset..offset + length]),
                _ => {}
            }
        }
        core
    }

    fn read_notes(&mut self, mut rest: &'a [u8]) {
        while rest.len() >= 12 {
            let (name, length) = (number(rest, 0, 4) as usize, number(rest, 4, 4) as usize);
            let contents = 12 + name.next_multiple_of(4);
            let owner = String::from_utf8_lossy(&rest[12..12 + name]).trim_end_matches('\0').to_owned();
            self.notes.push((owner, number(rest, 8, 4) as u32, &rest[contents..contents + length]));
            rest = &rest[(contents + length.next_multiple_of(4)).min(rest.len())..];
        }
    }

    /// The bytes at an address, if the file holds them all; they may lie in several segments.
    pub fn memory(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut found = Vec::new();
        while found.len() < length {
            let at = address + found.len() as u64;
            let rest = self.loads.iter().find_map(|&(start, _, bytes)| {
                let from = usize::try_from(at.checked_sub(start)?).ok()?;
                bytes.get(from..).filter(|rest| !rest.is_empty())
            })?;
            found.extend_from_slice(&rest[..rest.len().min(length - found.len())]);
        }
        Some(found)
    }

    /// The thread ids of the `NT_PRSTATUS` notes, in order: `pr_pid` stands at byte 32 on both machines.
    pub fn threads(&self) -> Vec<u64> {
        self.notes
            .iter()
            .filter(|(_, kind, _)| *kind == NT_PRSTATUS)
            .map(|(_, _, note)| number(note, 32, 4))
            .collect()
    }
}
