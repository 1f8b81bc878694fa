//! The compressions that archives come in.

use std::io::{self, Write};
use std::path::Path;

/// A compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// None.
    Plain,
    /// Gzip, as `gzip -6`.
    Gzip,
    /// Zstandard, as `zstd -3`.
    Zstd,
    /// Xz of a low level.
    Xz,
    /// The LZ4 frame format.
    Lz4,
    /// Bzip2 of its lowest level.
    Bzip2,
}

impl Packing {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Plain, Self::Gzip, Self::Zstd, Self::Xz, Self::Lz4, Self::Bzip2];

    /// By the end of a file's name; [`Plain`](Self::Plain) where it is none that is known.
    pub fn of_name(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            Some("xz") => Self::Xz,
            Some("lz4") => Self::Lz4,
            Some("bz2") => Self::Bzip2,
            _ => Self::Plain,
        }
    }

    /// Lets `write` write to a packed stream, and ends that.
    pub(crate) fn around<W: Write>(
        self,
        out: W,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<W> {
        match self {
            Self::Plain => {
                let mut out = out;
                write(&mut out)?;
                Ok(out)
            }
            Self::Gzip => {
                let mut packed = flate2::write::GzEncoder::new(out, flate2::Compression::default());
                write(&mut packed)?;
                packed.finish()
            }
            Self::Zstd => {
                let mut packed = zstd::stream::write::Encoder::new(out, 3)?;
                write(&mut packed)?;
                packed.finish()
            }
            Self::Xz => {
                let mut packed = lzma_rust2::XzWriter::new(out, lzma_rust2::XzOptions::with_preset(1))?;
                write(&mut packed)?;
                packed.finish()
            }
            Self::Lz4 => {
                let mut packed = lz4_flex::frame::FrameEncoder::new(out);
                write(&mut packed)?;
                packed.finish().map_err(io::Error::other)
            }
            Self::Bzip2 => {
                let mut packed = bzip2::write::BzEncoder::new(out, bzip2::Compression::fast());
                write(&mut packed)?;
                packed.finish()
            }
        }
    }
}
