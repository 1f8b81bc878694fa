//! Unpacking: a packed archive as the plain tar inside it, byte for byte, with the hashes of both.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use container_checkpoint::context::Context;
pub use container_checkpoint::evidence::Portion;
use container_checkpoint::evidence::{self, Compression};
use container_checkpoint::gap::Findings;
use sha2::{Digest, Sha256};

/// What was unpacked.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// How the archive was packed; `None` for a plain one that came on standard input.
    pub compression: Option<Compression>,
    /// The archive as it was given.
    pub packed: Fingerprint,
    /// The archive as it was written.
    pub plain: Fingerprint,
    /// Whether the packed archive goes on behind its packed data with something that no unpacking reads.
    pub has_more_behind: bool,
    /// What of a damaged archive is not in the plain one, if a part of it is good enough.
    pub findings: Findings,
}

/// Size and hash of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256.
    pub sha256: [u8; 32],
}

impl Fingerprint {
    /// The hash as 64 hexadecimal digits.
    pub fn sha256_text(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Unpacks an archive, `-` for standard input, into `out`. Of a damaged one the bytes are written that stand before the damage, exactly as they come out, or it is refused.
///
/// # Errors
/// When there is nothing to unpack (a directory, a plain archive), what is packed is no archive, or something can't be written; where the whole archive is wanted, when it can't be read to its end.
pub fn unpack(
    path: &Path,
    portion: Portion,
    context: &Context,
    out: &mut dyn Write,
) -> container_checkpoint::error::Result<Unpacked> {
    let (mut packed, mut plain) = (Hashing::default(), Hashing::default());
    let done = evidence::unpack(path, portion, context, &mut packed, &mut Tee { hashing: &mut plain, out })?;
    Ok(Unpacked {
        compression: done.compression,
        packed: packed.finish(),
        plain: plain.finish(),
        has_more_behind: done.has_more_behind,
        findings: done.findings,
    })
}

/// Counts and hashes what goes by.
#[derive(Default)]
struct Hashing {
    hash: Sha256,
    bytes: u64,
}

impl Hashing {
    fn finish(self) -> Fingerprint {
        Fingerprint { bytes: self.bytes, sha256: self.hash.finalize().into() }
    }
}

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashing").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes on, and shows what was written to the hash.
struct Tee<'a> {
    hashing: &'a mut Hashing,
    out: &'a mut dyn Write,
}

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hashing.write(&bytes[..written])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
