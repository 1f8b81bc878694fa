//! The compressions that archives come in, recognised by content, never by name.

use std::fmt;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use super::xz::XzDecoder;

/// The largest zstd window that is accepted, as a power of two: `zstd --long=31`.
const ZSTD_WINDOW_LOG_MAX: u32 = 31;

/// A way in which a stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Gzip, of one or several members.
    Gzip,
    /// Zstandard, of one or several frames.
    Zstd,
    /// Xz, of one or several streams.
    Xz,
    /// Bzip2, of one or several streams.
    Bzip2,
    /// The LZ4 frame format.
    Lz4,
}

/// First bytes and what they announce. A zstd stream may begin with a skippable frame (0x184d2a50 to 0x184d2a5f).
const MAGICS: &[(&[u8], Compression)] = &[
    (b"\x1f\x8b", Compression::Gzip),
    (b"\x28\xb5\x2f\xfd", Compression::Zstd),
    (b"\xfd7zXZ\0", Compression::Xz),
    (b"BZh", Compression::Bzip2),
    (b"\x04\x22\x4d\x18", Compression::Lz4),
];

impl Compression {
    /// Recognises a compression by the first bytes of a stream.
    pub fn sniff(head: &[u8]) -> Option<Self> {
        let skippable = matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
        if skippable {
            return Some(Self::Zstd);
        }
        MAGICS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, compression)| *compression)
    }

    /// The name users know.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
        }
    }

    /// A reader of the unpacked bytes. It goes on through concatenated members, frames or streams.
    ///
    /// # Errors
    /// When the decoder can't be set up.
    pub fn decoder<R: BufRead>(self, packed: R) -> io::Result<Decoder<R>> {
        Ok(Decoder(match self {
            Self::Gzip => Inner::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(packed))),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Inner::Zstd(decoder)
            }
            Self::Xz => Inner::Xz(Box::new(XzDecoder::new(packed))),
            Self::Bzip2 => Inner::Bzip2(bzip2::bufread::MultiBzDecoder::new(packed)),
            Self::Lz4 => Inner::Lz4(Box::new(lz4_flex::frame::FrameDecoder::new(packed))),
        }))
    }
}

/// Reads the unpacked bytes of a packed stream.
pub struct Decoder<R: BufRead>(Inner<R>);

enum Inner<R: BufRead> {
    Gzip(Box<flate2::bufread::MultiGzDecoder<R>>),
    Zstd(zstd::stream::read::Decoder<'static, R>),
    Xz(Box<XzDecoder<R>>),
    Bzip2(bzip2::bufread::MultiBzDecoder<R>),
    Lz4(Box<lz4_flex::frame::FrameDecoder<R>>),
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Gzip(decoder) => decoder.read(buffer),
            Inner::Zstd(decoder) => decoder.read(buffer),
            Inner::Xz(decoder) => decoder.read(buffer),
            Inner::Bzip2(decoder) => decoder.read(buffer),
            Inner::Lz4(decoder) => decoder.read(buffer),
        }
    }
}

impl<R: BufRead> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

/// How many first bytes of a stream are looked at: a tar header.
const HEAD: u64 = 512;

/// A stream whose first bytes were looked at and stay in it.
pub(crate) struct Peeked<R> {
    head: Vec<u8>,
    rest: R,
}

impl<R: Read> Peeked<R> {
    /// Takes the first bytes of a stream, however small the pieces are in which it gives them.
    pub(crate) fn new(mut rest: R) -> io::Result<Self> {
        let mut head = Vec::new();
        (&mut rest).take(HEAD).read_to_end(&mut head)?;
        Ok(Self { head, rest })
    }

    /// The first bytes: fewer than 512 only when the stream has no more.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The stream from its start.
    pub(crate) fn into_reader(self) -> BufReader<Chain<Cursor<Vec<u8>>, R>> {
        BufReader::with_capacity(64 << 10, Cursor::new(self.head).chain(self.rest))
    }
}
