//! The compressions that archives come in, recognised by content, never by name.

use std::io::{self, BufRead, BufReader, Read};

/// The largest zstd window that is accepted, as a power of two: `zstd --long=31`.
const ZSTD_WINDOW_LOG_MAX: u32 = 31;
/// The most memory an xz decoder may take, in KiB: enough for `xz -9` of one thread and more.
const XZ_MEMORY_KIB: u32 = 256 << 10;

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

    /// A reader of the unpacked bytes. All readers go on through concatenated members, frames or streams.
    ///
    /// # Errors
    /// When the decoder can't be set up.
    pub fn decoder<'a>(self, packed: Box<dyn BufRead + Send + 'a>) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY_KIB)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
            Self::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(packed)),
        })
    }
}

/// A stream whose first bytes were looked at and stay in it.
pub(crate) struct Peeked<R> {
    inner: BufReader<R>,
}

impl<R: Read> Peeked<R> {
    /// Wraps a stream.
    pub(crate) fn new(inner: R) -> Self {
        Self { inner: BufReader::with_capacity(64 << 10, inner) }
    }

    /// The first bytes, up to 512 of them, without taking them out.
    pub(crate) fn head(&mut self) -> io::Result<&[u8]> {
        let head = self.inner.fill_buf()?;
        Ok(&head[..head.len().min(512)])
    }

    /// The stream from its start.
    pub(crate) fn into_reader(self) -> BufReader<R> {
        self.inner
    }
}
