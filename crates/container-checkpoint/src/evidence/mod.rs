//! Evidence: bytes in some container, opened once.
//!
//! What is given is recognised by its content: a plain or compressed tar, a directory, an OCI layout in either, standard input. Behind [`Evidence`] stand a
//! list of members ([`Index`]) and, for each member, where its contents are: at an offset, kept in memory, or only to be had in a pass.

mod again;
mod ahead;
mod bytes;
mod compression;
mod directory;
mod feed;
mod index;
mod keep;
mod linked;
pub(crate) mod mapping;
mod member;
pub mod nested;
mod pass;
mod pax;
pub(crate) mod read_at;
mod sparse;
mod tar;
mod tar_header;
mod unpack;
mod xz;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use bytes::{Bytes, BytesReader};
pub use compression::Compression;
pub use index::{Index, Layer, LayerId, MemberId};
pub use mapping::passed;
pub use member::{Body, Member, MemberKind, ModificationTime, plain_path, split_path};
pub use pass::{Nobody, Passenger};
pub use read_at::ReadAt;
pub use unpack::{Portion, Unpacked, unpack};

pub(crate) use keep::is_pages;

use crate::context::{Context, Progress};
use crate::error::{Error, Result};
use crate::gap::Findings;
use again::{Again, Stopped};
use ahead::ahead;
use compression::{Decoder, Peeked};
use pass::Pass;
use tar_header::looks_like_tar;

/// One evidence, opened: its members are listed, its metadata can be had.
#[derive(Debug)]
pub struct Evidence {
    name: String,
    source: Source,
    index: Index,
}

/// Where an evidence's bytes come from, and how often they can be had.
#[derive(Debug)]
enum Source {
    /// A directory or plain tar: only compressed archives inside it go by.
    Addressable,
    /// A compressed tar: each pass unpacks it anew.
    Packed(Bytes, Compression),
    /// It went by and is gone.
    Once,
}

impl Evidence {
    /// Opens a file or directory, or standard input for `-`.
    ///
    /// The passenger rides along with the first pass over the members; what it is not shown then, because the evidence lets
    /// itself be read at any offset, it finds in the index.
    ///
    /// # Errors
    /// When it can't be opened, or is nothing that could hold a checkpoint. Damage inside is a gap in the index.
    pub fn open(path: &Path, context: &Context, passenger: &mut dyn Passenger) -> Result<Self> {
        let name = path.to_string_lossy().into_owned();
        if path == Path::new("-") {
            return Self::open_stdin(context, passenger);
        }
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            let mut pass = Pass::new(context, passenger);
            let top = pass.index.add_layer(Layer::top(None));
            pass.directory(top, path);
            return Ok(Self { name, source: Source::Addressable, index: pass.index }.with_linked(context));
        }
        let file = File::open(path).map_err(failed)?;
        if metadata.is_file() {
            return Self::from_source(name, source_of(file).map_err(failed)?, context, passenger);
        }
        Self::from_stream(name, Box::new(file), context, passenger)
    }

    /// Opens evidence from bytes at an offset, under a name for messages.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_source(
        name: String,
        source: Arc<dyn ReadAt>,
        context: &Context,
        passenger: &mut dyn Passenger,
    ) -> Result<Self> {
        let bytes = Bytes::new(source);
        let mut head = [0; 512];
        let got = bytes.read_at(0, &mut head).map_err(|source| Error::Read { what: name.clone(), source })?;
        let head = &head[..got];
        let Some(compression) = Compression::sniff(head) else {
            if !looks_like_tar(head) {
                return Err(not_evidence(name, head));
            }
            let mut pass = Pass::new(context, passenger);
            let top = pass.index.add_layer(Layer::top(None));
            pass.plain_tar(top, &bytes);
            return Ok(Self { name, source: Source::Addressable, index: pass.index }.with_linked(context));
        };
        let mut stream = unpacked(&name, &bytes, compression, context)?;
        let index = ahead(&mut stream, context.threads, |stream| {
            first_pass(&name, stream, Some(compression), context, passenger)
        })?;
        drop(stream);
        Ok(Self { name, source: Source::Packed(bytes, compression), index }.with_linked(context))
    }

    fn open_stdin(context: &Context, passenger: &mut dyn Passenger) -> Result<Self> {
        let name = "-".to_owned();
        let failed = |source| Error::Read { what: "standard input".into(), source };
        let mut file = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
        let at_start = file.metadata().is_ok_and(|metadata| metadata.is_file())
            && file.stream_position().is_ok_and(|at| at == 0);
        if at_start {
            return Self::from_source(name, source_of(file).map_err(failed)?, context, passenger);
        }
        Self::from_stream(name, Box::new(file), context, passenger)
    }

    /// Opens evidence that can be read only once, under a name for messages.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when the copy that the context allows can't be written.
    pub fn from_stream(
        name: String,
        mut stream: Box<dyn Read + Send>,
        context: &Context,
        passenger: &mut dyn Passenger,
    ) -> Result<Self> {
        if let Some(directory) = &context.spool {
            let spooled = spool(&mut stream, directory)
                .map_err(|source| Error::Open { path: directory.clone(), source })?;
            return Self::from_source(name, Arc::new(spooled), context, passenger);
        }
        let counted = Counted::new(stream, None, context.progress.clone());
        let failed = |source| Error::Read { what: name.clone(), source };
        let peeked = Peeked::new(counted).map_err(failed)?;
        let compression = Compression::sniff(peeked.head());
        let packed = peeked.into_reader();
        let mut stream: Box<dyn Read + Send> = match compression {
            Some(compression) => Box::new(compression.decoder(packed).map_err(failed)?),
            None => Box::new(packed),
        };
        let index = first_pass(&name, &mut stream, compression, context, passenger)?;
        Ok(Self { name, source: Source::Once, index }.with_linked(context))
    }

    /// The evidence as the user named it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What was noticed when its dumps were looked for.
    pub(crate) fn add_findings(&mut self, findings: Findings) {
        self.index.findings.extend(findings);
    }

    /// Another pass over the members that can only be had in passing.
    ///
    /// # Errors
    /// When the evidence could be read only once, can't be read any more, or is not what it was.
    pub fn pass_again(&self, context: &Context, passenger: &mut dyn Passenger) -> Result<()> {
        let mut again = Again::new(&self.index, context, passenger);
        let stopped = match &self.source {
            Source::Packed(bytes, compression) => {
                context.repeated.fetch_max(bytes.len(), Ordering::Relaxed);
                let mut stream = unpacked(&self.name, bytes, *compression, context)?;
                ahead(&mut stream, context.threads, |stream| again.whole(stream))
            }
            Source::Addressable => again.packed_layers(),
            Source::Once => return Err(Error::ReadOnce(self.name.clone())),
        };
        match stopped {
            Ok(()) | Err(Stopped::Enough) => Ok(()),
            Err(Stopped::Cancelled) => Err(Error::Cancelled),
            Err(Stopped::Changed(place)) => Err(Error::Changed { name: self.name.clone(), place }),
        }
    }
}

/// The unpacked bytes of a packed archive, from its start.
fn unpacked<'a>(
    name: &str,
    bytes: &'a Bytes,
    compression: Compression,
    context: &Context,
) -> Result<Decoder<impl BufRead + use<'a>>> {
    let counted = Counted::new(bytes.reader(), Some(bytes.len()), context.progress.clone());
    let packed = BufReader::with_capacity(128 << 10, counted);
    compression.decoder(packed).map_err(|source| Error::Read { what: name.into(), source })
}

/// A plain archive is mapped, so that its members can be lent. A packed one is read from the front to the end: mapped, all of it would count as memory
/// of ours for as long as it is read.
fn source_of(file: File) -> io::Result<Arc<dyn ReadAt>> {
    let mut head = [0; 16];
    let got = FileExt::read_at(&file, &mut head, 0)?;
    Ok(match Compression::sniff(&head[..got]) {
        Some(_) => Arc::new(file),
        None => Arc::new(mapping::map(&file)?),
    })
}

/// The first pass over an archive that goes by.
fn first_pass(
    name: &str,
    stream: &mut (dyn Read + Send),
    compression: Option<Compression>,
    context: &Context,
    passenger: &mut dyn Passenger,
) -> Result<Index> {
    let peeked = Peeked::new(stream).map_err(|source| {
        let packed = compression.map_or("", Compression::name);
        let what = format!(
            "{name} from byte 0 of the unpacked archive on: the {packed} data is cut short or damaged"
        );
        Error::Read { what, source }
    })?;
    if let (Some(compression), []) = (compression, peeked.head()) {
        let why = format!(
            "its {} data is empty, or cut short before the first byte of an archive",
            compression.name()
        );
        return Err(Error::NotEvidence { name: name.into(), why });
    }
    if !looks_like_tar(peeked.head()) {
        return Err(not_evidence(name.into(), peeked.head()));
    }
    let mut pass = Pass::new(context, passenger);
    let top = pass.index.add_layer(Layer::top(compression));
    pass.streamed_tar(top, &mut peeked.into_reader());
    Ok(pass.index)
}

/// What a file looks like that is no archive, for the message.
fn not_evidence(name: String, head: &[u8]) -> Error {
    const IMG_COMMON: [u8; 4] = 0x5456_4319_u32.to_le_bytes();
    const IMG_SERVICE: [u8; 4] = 0x5510_5940_u32.to_le_bytes();
    const INVENTORY: [u8; 4] = 0x5831_3116_u32.to_le_bytes();
    let why = match head {
        [] => "it is empty".into(),
        [a, b, c, d, ..] if [IMG_COMMON, IMG_SERVICE, INVENTORY].contains(&[*a, *b, *c, *d]) => {
            "it is a single CRIU image; give the directory that holds it, or read it with `coldcase crit show`".into()
        }
        [0x7f, b'E', b'L', b'F', ..] => "it is an ELF file".into(),
        [b'{' | b'[', ..] => "it is a JSON text".into(),
        _ => "neither a tar (plain, gzip, zstd, xz, bzip2, lz4) nor a directory of images".into(),
    };
    Error::NotEvidence { name, why }
}

/// Copies a stream to a file without a name, and maps it.
fn spool(stream: &mut dyn Read, directory: &Path) -> io::Result<mapping::Mapping> {
    let mut file = tempfile::tempfile_in(directory)?;
    io::copy(stream, &mut file)?;
    file.flush()?;
    mapping::map(&file)
}

/// Tells a progress sink how much was read.
struct Counted<R> {
    inner: R,
    done: AtomicU64,
    total: Option<u64>,
    progress: Arc<Progress>,
}

impl<R> Counted<R> {
    fn new(inner: R, total: Option<u64>, progress: Arc<Progress>) -> Self {
        Self { inner, done: AtomicU64::new(0), total, progress }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let done = self.done.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        (self.progress)(done, self.total);
        Ok(count)
    }
}
