//! crit's JSON: images as text, and text as images.
//!
//! [`decode`] writes what `crit decode` and `crit show` write, byte for byte wherever crit is right; `docs/CRIT.md`
//! lists the differences.
//!
//! ```
//! use criu_images::framing::Image;
//! use criu_images::json::{self, Options};
//!
//! let bytes = b"\x19\x43\x56\x54\x30\x30\x27\x50\x0a\x00\x00\x00\x08\x01\x10\x00\x18\x01\x20\x01\x28\x01";
//! let mut text = Vec::new();
//! json::decode(&Image::parse(bytes)?, &Options::default(), &mut text)?;
//! assert_eq!(
//!     text,
//!     br#"{"magic": "PSTREE", "entries": [{"pid": 1, "ppid": 0, "pgid": 1, "sid": 1, "threads": [1]}]}"#
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canonical;
mod decode;
mod encode;
mod names;
mod pretty;
mod quoted;
mod raw;
mod writer;

pub use decode::{DecodeError, Options, decode, info};
pub use encode::{EncodeError, Encoded, encode};
pub use raw::{raw, raw_info};
