//! The bytes of an image: lent, or going by.

use std::io::{self, Read};
use std::ops::ControlFlow;

/// How much of a stream is read at a time, in bytes.
const CHUNK: usize = 256 << 10;

/// The bytes of an image from its start: lent, or going by.
pub enum Input<'a> {
    /// In memory.
    Lent(&'a [u8]),
    /// A stream.
    Passing(&'a mut dyn Read),
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lent(_) => "Lent",
            Self::Passing(_) => "Passing",
        })
    }
}

/// An input and how far it was read.
pub(super) struct Cursor<'a> {
    input: Input<'a>,
    at: u64,
    buffer: Vec<u8>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(input: Input<'a>) -> Self {
        Self { input, at: 0, buffer: Vec::new() }
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// Up to `len` bytes, fewer only at the end. The caller has bounded the length.
    pub(super) fn take(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut taken = Vec::new();
        self.give(len as u64, &mut |_, bytes| {
            taken.extend_from_slice(bytes);
            ControlFlow::Continue(())
        })?;
        Ok(taken)
    }

    /// Hands over up to `len` bytes with their offsets, fewer only at the end; how many there were. `Break` passes over the rest of them.
    pub(super) fn give(
        &mut self,
        len: u64,
        sink: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<u64> {
        let from = self.at;
        match &mut self.input {
            Input::Lent(rest) => {
                let count = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
                let (part, behind) = rest.split_at(count);
                *rest = behind;
                self.at += count as u64;
                if !part.is_empty() {
                    let _ = sink(from, part);
                }
            }
            Input::Passing(stream) => {
                let most = usize::try_from(len).unwrap_or(CHUNK).min(CHUNK);
                if self.buffer.len() < most {
                    self.buffer.resize(most, 0);
                }
                let mut wanted = true;
                while self.at - from < len {
                    let room = usize::try_from(len - (self.at - from)).unwrap_or(CHUNK).min(most);
                    let count = match stream.read(&mut self.buffer[..room]) {
                        Ok(0) => break,
                        Ok(count) => count,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        Err(error) => return Err(error),
                    };
                    wanted = wanted && sink(self.at, &self.buffer[..count]).is_continue();
                    self.at += count as u64;
                }
            }
        }
        Ok(self.at - from)
    }
}
