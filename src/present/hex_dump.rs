//! Bytes as checkpointctl's hex dump: address, sixteen bytes, the same as ASCII.
//!
//! A row of memory costs a few table look-ups: a dump is written as fast as it can be read.

use std::io::{self, Write};

/// The header and the line of dashes below it.
const HEADER: &str = "\
Address           Hexadecimal                                       ASCII            
-------------------------------------------------------------------------------------
";
/// Bytes a row.
const ROW: usize = 16;
/// Where the hexadecimal and the ASCII column begin in a line, and how long the line is.
const HEX: usize = 18;
const ASCII: usize = HEX + 3 * ROW + 2;
const LINE: usize = ASCII + ROW + 2;
/// How much is gathered before it is written.
const BUFFER: usize = 64 << 10;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Two hexadecimal digits for each byte.
const PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// A printable character for each byte: itself or a dot.
const SHOWN: [u8; 256] = {
    let mut shown = [b'.'; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        shown[byte] = byte as u8;
        byte += 1;
    }
    shown
};

/// A line without its digits.
const TEMPLATE: [u8; LINE] = {
    let mut line = [b' '; LINE];
    line[ASCII - 1] = b'|';
    line[LINE - 2] = b'|';
    line[LINE - 1] = b'\n';
    line
};

/// Writes a hex dump.
///
/// Rows begin at multiples of sixteen. With `fold`, rows that repeat the one before become one `*`, as hexdump(1) has it; a run of these that ends in a hole
/// ends with its last row, so that nobody takes the hole for a part of it.
#[derive(Debug)]
pub struct HexDump<W: Write> {
    out: W,
    buffer: Vec<u8>,
    fold: bool,
    /// Where the next byte would go on.
    next: u64,
    /// The row under way: its bytes, and which of them are there.
    row: [u8; ROW],
    filled: std::ops::Range<usize>,
    /// The last full row, when the next address follows it.
    previous: Option<[u8; ROW]>,
    /// Whether a `*` stands for it and those before it.
    is_folded: bool,
}

impl<W: Write> HexDump<W> {
    /// A dump that begins with its header.
    pub fn new(out: W, fold: bool) -> Self {
        Self {
            out,
            buffer: HEADER.as_bytes().to_vec(),
            fold,
            next: 0,
            row: [0; ROW],
            filled: 0..0,
            previous: None,
            is_folded: false,
        }
    }

    /// Adds bytes at an address, which is not below the end of what came before.
    ///
    /// # Errors
    /// What writing says.
    pub fn bytes(&mut self, address: u64, mut bytes: &[u8]) -> io::Result<()> {
        if address != self.next {
            self.end_run()?;
            let column = (address % ROW as u64) as usize;
            self.filled = column..column;
        }
        self.next = address.wrapping_add(bytes.len() as u64);
        let mut at = address;
        // The buffer is emptied piece by piece: a mapped image is lent in one.
        while !bytes.is_empty() {
            let column = (at % ROW as u64) as usize;
            if column == 0 && bytes.len() >= ROW {
                let rows = bytes.len() / ROW;
                for row in bytes.as_chunks::<ROW>().0 {
                    self.full_row(at, row);
                    at = at.wrapping_add(ROW as u64);
                    if self.buffer.len() >= BUFFER {
                        self.write_out()?;
                    }
                }
                bytes = &bytes[rows * ROW..];
                self.filled = 0..0;
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(ROW - column));
            if column == 0 {
                self.filled = 0..0;
            }
            self.row[column..column + part.len()].copy_from_slice(part);
            self.filled.end = column + part.len();
            at = at.wrapping_add(part.len() as u64);
            bytes = rest;
            if self.filled.end == ROW {
                let (row, filled) = (self.row, std::mem::take(&mut self.filled));
                let start = at.wrapping_sub(ROW as u64);
                if filled.start == 0 { self.full_row(start, &row) } else { self.partial_row(start, filled) }
            }
        }
        Ok(())
    }

    /// Adds a line of text instead of rows.
    ///
    /// # Errors
    /// What writing says.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.end_run()?;
        self.buffer.extend_from_slice(text.as_bytes());
        self.buffer.push(b'\n');
        self.next = 0;
        self.write_out()
    }

    /// Writes all that is still kept, and gives the stream back.
    ///
    /// # Errors
    /// What writing says.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_run()?;
        self.write_out()?;
        Ok(self.out)
    }

    /// Ends the rows that follow each other.
    fn end_run(&mut self) -> io::Result<()> {
        let filled = std::mem::take(&mut self.filled);
        let base = self.next.wrapping_sub(filled.len() as u64) & !(ROW as u64 - 1);
        if let (true, Some(row)) = (std::mem::take(&mut self.is_folded), self.previous) {
            let last = if filled.is_empty() { self.next } else { base };
            self.push(last.wrapping_sub(ROW as u64), &row, 0..ROW);
        }
        if !filled.is_empty() {
            self.partial_row(base, filled);
        }
        self.previous = None;
        if self.buffer.len() >= BUFFER { self.write_out() } else { Ok(()) }
    }

    fn full_row(&mut self, address: u64, row: &[u8; ROW]) {
        if self.fold && self.previous.as_ref() == Some(row) {
            if !self.is_folded {
                self.buffer.extend_from_slice(b"*\n");
                self.is_folded = true;
            }
            return;
        }
        self.is_folded = false;
        self.previous = Some(*row);
        self.push(address, row, 0..ROW);
    }

    fn partial_row(&mut self, address: u64, filled: std::ops::Range<usize>) {
        self.previous = None;
        self.push(address, &self.row.clone(), filled);
    }

    /// A line; what is not filled stays blank.
    fn push(&mut self, address: u64, row: &[u8; ROW], filled: std::ops::Range<usize>) {
        let mut line = TEMPLATE;
        for (place, byte) in line.as_chunks_mut::<2>().0.iter_mut().zip(address.to_be_bytes()) {
            *place = PAIRS[usize::from(byte)];
        }
        for column in filled {
            let byte = usize::from(row[column]);
            let place = HEX + 3 * column;
            line[place..place + 2].copy_from_slice(&PAIRS[byte]);
            line[ASCII + column] = SHOWN[byte];
        }
        self.buffer.extend_from_slice(&line);
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(fold: bool, parts: &[(u64, &[u8])]) -> String {
        let mut dump = HexDump::new(Vec::new(), fold);
        for (address, bytes) in parts {
            dump.bytes(*address, bytes).unwrap();
        }
        let text = String::from_utf8(dump.finish().unwrap()).unwrap();
        text.strip_prefix(HEADER).unwrap().to_owned()
    }

    #[test]
    fn a_row_is_checkpointctls() {
        let row = b"\x7fELF\x02\x01\x01\x03 az~\x80\xff\0\x1f";
        assert_eq!(
            dump(true, &[(0x40_0000, row)]),
            "0000000000400000  7f 45 4c 46 02 01 01 03 20 61 7a 7e 80 ff 00 1f  |.ELF.... az~....|\n"
        );
    }

    #[test]
    fn pieces_of_any_size_give_the_same_dump() {
        let bytes: Vec<u8> = (0..200_000u32).map(|number| (number / 50 % 251) as u8).collect();
        for fold in [false, true] {
            let whole = dump(fold, &[(0x1003, &bytes)]);
            for size in [1, 3, 15, 16, 17, 64, 4096] {
                let mut at = 0x1003;
                let pieces: Vec<(u64, &[u8])> = bytes
                    .chunks(size)
                    .map(|piece| {
                        at += piece.len() as u64;
                        (at - piece.len() as u64, piece)
                    })
                    .collect();
                assert!(dump(fold, &pieces) == whole, "{size}");
            }
        }
    }

    #[test]
    fn repeated_rows_fold_and_show_where_they_end() {
        let zeros = [0; 64];
        let lines = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.split("  ").next().unwrap().to_owned()).collect()
        };
        // The next run says itself where the folded rows end.
        let mut bytes = zeros.to_vec();
        bytes.extend_from_slice(&[1; 16]);
        assert_eq!(lines(&dump(true, &[(0x1000, &bytes)])), ["0000000000001000", "*", "0000000000001040"]);
        // A hole would not.
        assert_eq!(
            lines(&dump(true, &[(0x1000, &zeros), (0x8000, &[0; 5])])),
            ["0000000000001000", "*", "0000000000001030", "0000000000008000"]
        );
        assert_eq!(
            lines(&dump(true, &[(0x1000, &zeros), (0x1040, &[0; 5])])),
            ["0000000000001000", "*", "0000000000001030", "0000000000001040"]
        );
        assert_eq!(lines(&dump(false, &[(0x1000, &zeros)])).len(), 4);
        // Rows that look alike as text are other rows.
        let alike = [[1; 16], [2; 16], [3; 16]].concat();
        assert_eq!(lines(&dump(true, &[(0x1000, &alike)])).len(), 3);
    }

    #[test]
    fn bytes_that_are_not_there_stay_blank() {
        let text = dump(true, &[(0x1003, b"ab"), (0x1007, b"c"), (0x1010, b"def")]);
        let expected = [
            "0000000000001000           61 62                                   |   ab           |",
            "0000000000001000                       63                          |       c        |",
            "0000000000001010  64 65 66                                         |def             |",
        ];
        assert_eq!(text.lines().map(str::trim_end).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_last_address_there_is_can_be_shown() {
        let text = dump(true, &[(u64::MAX - 15, &[7; 15])]);
        assert!(text.starts_with("fffffffffffffff0  07 07"), "{text}");
    }
}
