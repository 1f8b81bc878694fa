//! The plain archive inside a packed one, byte for byte.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::Path;

use super::compression::{Compression, Peeked};
use super::tar_header::looks_like_tar;
use super::{Counted, nested, not_evidence};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::gap::Findings;

/// How much is copied at a time, in bytes.
const CHUNK: usize = 256 << 10;

/// How much of an archive is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// All of it: damage is an error.
    Whole,
    /// What stands before the damage.
    BeforeDamage,
}

/// How an archive was unpacked.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// How it was packed; `None` for a plain one that came on standard input.
    pub compression: Option<Compression>,
    /// Whether something stands behind the packed data that no unpacking reads.
    pub has_more_behind: bool,
    /// What of a damaged one could not be unpacked, if that was good enough.
    pub findings: Findings,
}

/// Writes the plain archive inside a packed one, `-` for standard input, to `plain`. All bytes of the packed one are shown to `packed` as they are read. Of a damaged one, bytes are
/// written exactly as they come out, up to the damage, or it is refused: `portion` says.
///
/// # Errors
/// When there is nothing to unpack (a directory, a file that is not packed), what is packed is no archive, or not even the beginning of one; when anything can't be written; when what has to be
/// whole can't be read to its end.
pub fn unpack(
    path: &Path,
    portion: Portion,
    context: &Context,
    packed: &mut dyn Write,
    plain: &mut dyn Write,
) -> Result<Unpacked> {
    let failed = |source| Error::Open { path: path.to_owned(), source };
    if path == Path::new("-") {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
        let counted = Counted::new(file, None, context.progress.clone());
        return unpack_stream("standard input", counted, true, portion, context, packed, plain);
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
    unpack_stream(&name, counted, !metadata.is_file(), portion, context, packed, plain)
}

fn unpack_stream(
    name: &str,
    stream: impl Read,
    may_be_plain: bool,
    portion: Portion,
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
    let mut findings = Findings::default();
    match compression {
        None if portion == Portion::BeforeDamage => {
            findings = copy_before_damage(name, &mut packed, context, plain)?;
        }
        None => copy(name, &mut packed, context, plain)?,
        Some(compression) => {
            let decoder = compression.decoder(&mut packed).map_err(read)?;
            let peeked = Peeked::new(decoder).map_err(|source| damaged(name, compression, 0, source))?;
            if !looks_like_tar(peeked.head()) {
                return Err(not_evidence(name.to_owned(), peeked.head()));
            }
            if portion == Portion::BeforeDamage {
                findings = copy_before_damage(name, &mut peeked.into_reader(), context, plain)?;
            } else {
                let mut tar = Positioned { inner: peeked.into_reader(), at: 0 };
                let copied = copy(name, &mut tar, context, plain);
                let at = tar.at;
                copied.map_err(|error| match error {
                    Error::Read { source, .. } => damaged(name, compression, at, source),
                    other => other,
                })?;
            }
        }
    }
    // What stands behind damage is packed data, as far as anybody knows.
    let has_more_behind = rest(&mut packed).map_err(read)? && findings.gaps.is_empty();
    Ok(Unpacked { compression, has_more_behind, findings })
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

/// Copies as far as the archive can be read; tells what of it is missing.
fn copy_before_damage(
    name: &str,
    from: &mut dyn Read,
    context: &Context,
    to: &mut dyn Write,
) -> Result<Findings> {
    let mut copying = Copying { from, to, at: 0, unread: None, unwritten: None };
    let walked = nested::walk(name, &mut copying, context, &mut |_, _| Ok(ControlFlow::Continue(())));
    let mut findings = walked.findings;
    let is_told = copying.unread.is_some();
    // Behind the end of the members there may be padding, and checksums.
    let rest = io::copy(&mut copying, &mut io::sink());
    if let Some(error) = copying.unwritten {
        return Err(Error::Write(error));
    }
    if context.cancelled() {
        return Err(Error::Cancelled);
    }
    if let Err(error) = rest
        && !is_told
    {
        let place = format!("{name}: byte {} of its unpacked bytes, behind the last member", copying.at);
        let why = format!("{error}; bytes in front of it may be wrong");
        findings.gap("the end of an archive", place, why);
    }
    Ok(findings)
}

/// Writes what is read from somebody, and fails for good where either fails.
struct Copying<'a> {
    from: &'a mut dyn Read,
    to: &'a mut dyn Write,
    at: u64,
    unread: Option<io::Error>,
    unwritten: Option<io::Error>,
}

impl Read for Copying<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let again = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        if let Some(error) = self.unwritten.as_ref().or(self.unread.as_ref()) {
            return Err(again(error));
        }
        let count = match self.from.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let failure = again(&error);
                self.unread = Some(error);
                return Err(failure);
            }
        };
        if let Err(error) = self.to.write_all(&buffer[..count]) {
            let failure = again(&error);
            self.unwritten = Some(error);
            return Err(failure);
        }
        self.at += count as u64;
        Ok(count)
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
