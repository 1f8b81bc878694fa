//! What a tar is read from: bytes at an offset, or a stream.

use std::io::{self, Read};

use super::bytes::Bytes;

/// What a tar is read from: bytes at an offset, or a stream.
pub(crate) trait Feed {
    /// How many bytes were taken or skipped so far.
    fn position(&self) -> u64;
    /// Fills as much of the buffer as there is.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Skips bytes; how many there were to skip.
    fn skip(&mut self, count: u64) -> io::Result<u64>;
}

/// A tar that can be read at any offset.
pub(crate) struct Seekable<'a> {
    bytes: &'a Bytes,
    at: u64,
}

impl<'a> Seekable<'a> {
    pub(crate) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Feed for Seekable<'_> {
    fn position(&self) -> u64 {
        self.at
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read_at(self.at, buffer)?;
        self.at += count as u64;
        Ok(count)
    }

    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let count = count.min(self.bytes.len().saturating_sub(self.at));
        self.at += count;
        Ok(count)
    }
}

/// A tar that goes by.
pub(crate) struct Streamed<R> {
    inner: R,
    at: u64,
}

impl<R: Read> Streamed<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, at: 0 }
    }
}

impl<R: Read> Read for Streamed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: Read> Feed for Streamed<R> {
    fn position(&self) -> u64 {
        self.at
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read(&mut buffer[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn skip(&mut self, count: u64) -> io::Result<u64> {
        io::copy(&mut self.by_ref().take(count), &mut io::sink())
    }
}
