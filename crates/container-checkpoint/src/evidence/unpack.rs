//! The plain archive inside a packed one, byte for byte.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use super::compression::{Compression, Peeked};
use super::tar_header::looks_like_tar;
use super::{Counted, not_evidence};
use crate::context::Context;
use crate::error::{Error, Result};

/// How much is copied at a time, in bytes.
const CHUNK: usize = 256 << 10;

/// How an archive was unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// How it was packed; `None` for a plain one that came on standard input.
    pub compression: Option<Compression>,
    /// Whether something stands behind the packed data that no unpacking reads.
    pub has_more_behind: bool,
}

/// Writes the plain archive inside a packed one, `-` for standard input, to `plain`. All bytes of the packed one are shown to `packed` as they are read.
///
/// # Errors
/// When there is nothing to unpack (a directory, a file that is not packed), what is packed is no archive, or anything can't be read or written to its end.
pub fn unpack(
    path: &Path,
    context: &Context,
    packed: &mut dyn Write,
    plain: &mut dyn Write,
) -> Result<Unpacked> {
    let failed = |source| Error::Open { path: path.to_owned(), source };
    if path == Path::new("-") {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
        let counted = Counted::new(file, None, context.progress.clone());
        return unpack_stream("standard input", counted, true, context, packed, plain);
    }
    let name = path.to_string_lossy().into_owned();
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        let why = "it is a directory, whose files can be read at any place already".into();
        return Err(Error::NotPacked { name, why });
    }
    let total = metadata.is_file().then_some(metadata.len());
    let counted = Counted::new(File::open(path).map_err(failed)?, total, context.progress.clone());
    // A plain archive in a pipe is worth keeping, since it goes by only once.
    unpack_stream(&name, counted, !metadata.is_file(), context, packed, plain)
}

fn unpack_stream(
    name: &str,
    stream: impl Read,
    may_be_plain: bool,
    context: &Context,
    packed: &mut dyn Write,
    plain: &mut dyn Write,
) -> Result<Unpacked> {
    let read = |source| Error::Read { what: name.to_owned(), source };
    let peeked = Peeked::new(Shown { inner: stream, to: packed }).map_err(read)?;
    let compression = Compression::sniff(peeked.head());
    if compression.is_none() {
        if !looks_like_tar(peeked.head()) {
            return Err(not_evidence(name.to_owned(), peeked.head()));
        }
        if !may_be_plain {
            let why = "it is a plain archive, which can be read at any place already".into();
            return Err(Error::NotPacked { name: name.to_owned(), why });
        }
    }
    let mut packed = peeked.into_reader();
    match compression {
        None => copy(name, &mut packed, context, plain)?,
        Some(compression) => {
            let decoder = compression.decoder(&mut packed).map_err(read)?;
            let peeked = Peeked::new(decoder).map_err(|source| damaged(name, compression, 0, source))?;
            if !looks_like_tar(peeked.head()) {
                return Err(not_evidence(name.to_owned(), peeked.head()));
            }
            let mut tar = Positioned { inner: peeked.into_reader(), at: 0 };
            let copied = copy(name, &mut tar, context, plain);
            let at = tar.at;
            copied.map_err(|error| match error {
                Error::Read { source, .. } => damaged(name, compression, at, source),
                other => other,
            })?;
        }
    }
    let has_more_behind = rest(&mut packed).map_err(read)?;
    Ok(Unpacked { compression, has_more_behind })
}

/// A packed stream that can't be unpacked from somewhere on.
fn damaged(name: &str, compression: Compression, at: u64, source: io::Error) -> Error {
    let what = format!(
        "{name} behind byte {at} of the unpacked archive: the {} data is cut short or damaged",
        compression.name()
    );
    Error::Read { what, source }
}

/// Copies to the end.
fn copy(name: &str, from: &mut dyn Read, context: &Context, to: &mut dyn Write) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        if context.cancelled() {
            return Err(Error::Cancelled);
        }
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count]).map_err(Error::Write)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Read { what: name.to_owned(), source }),
        }
    }
}

/// Reads to the end; whether there is anything but zeros.
fn rest(stream: &mut dyn BufRead) -> io::Result<bool> {
    let mut has_more = false;
    loop {
        let bytes = match stream.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if bytes.is_empty() {
            return Ok(has_more);
        }
        has_more |= bytes.iter().any(|&byte| byte != 0);
        let count = bytes.len();
        stream.consume(count);
    }
}

/// Shows what is read to somebody else too.
struct Shown<'a, R> {
    inner: R,
    to: &'a mut dyn Write,
}

impl<R: Read> Read for Shown<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.to.write_all(&buffer[..count])?;
        Ok(count)
    }
}

/// Counts what was read.
struct Positioned<R> {
    inner: BufReader<R>,
    at: u64,
}

impl<R: Read> Read for Positioned<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}
