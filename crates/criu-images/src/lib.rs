//! Reads and writes the images of CRIU, exactly: framing, schema, payloads, pagemaps, crit's JSON.
//!
//! CRIU freezes processes into a directory of *images*: files of protobuf messages, some with raw bytes between them.
//! This crate turns the bytes of one image into entries, and entries into crit's JSON and back. It knows no files, no
//! containers and no terminal, and trusts nothing: every length and count is checked where it is read, and what is
//! wrong is an [`Error`] that names kind, entry and byte.
//!
//! All releases of CRIU from 0.1 to 4.3 are known, in both byte orders.
//!
//! # Example: the processes of a dump
//!
//! ```
//! use criu_images::Image;
//! use criu_images::schema::PstreeEntry;
//!
//! # let bytes = b"\x19\x43\x56\x54\x30\x30\x27\x50\x0a\x00\x00\x00\x08\x01\x10\x00\x18\x01\x20\x01\x28\x01";
//! // `bytes` are those of pstree.img.
//! let image = Image::parse_named(b"pstree.img", bytes)?;
//! for process in image.entries::<PstreeEntry>() {
//!     let process = process?;
//!     assert_eq!((process.pid, process.ppid), (1, 0));
//! }
//! # Ok::<(), criu_images::Error>(())
//! ```
//!
//! # Example: which pages are in an image
//!
//! ```
//! use criu_images::pagemap::Pagemap;
//!
//! # let bytes = b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x01\x09\0\0\0\x08\x80\x20\x10\0\x20\x04\x28\x04";
//! let pagemap = Pagemap::parse(bytes)?;
//! let here: u64 = pagemap.runs.iter().filter(|run| run.is_present()).map(|run| run.pages).sum();
//! assert_eq!((pagemap.pages_id, here), (1, 4));
//! # Ok::<(), criu_images::Error>(())
//! ```
//!
//! # Example: what was left in a pipe
//!
//! ```
//! use criu_images::Image;
//! use criu_images::payload::Payload;
//! use criu_images::schema::PipeDataEntry;
//!
//! let bytes = b"\x19\x43\x56\x54\x09\x37\x45\x56\x04\0\0\0\x08\x07\x10\x05hello";
//! for entry in Image::parse(bytes)?.raw_entries() {
//!     let entry = entry?;
//!     assert_eq!(entry.decode::<PipeDataEntry>()?.pipe_id, 7);
//!     assert_eq!(entry.payload, Payload::Bytes(b"hello"));
//! }
//! # Ok::<(), criu_images::Error>(())
//! ```
//!
//! # Two views on the same bytes
//!
//! [`Image::entries`] gives typed messages: generated structures, every required field checked before.
//! [`Image::raw_entries`] gives messages as bytes, with their payloads; [`json`] walks these by the static tables of
//! [`schema`], with no code for any single message, and keeps unknown fields, order and odd encodings.
//!
//! ```
//! use criu_images::{Image, json};
//!
//! // Field 500 is in no schema of CRIU. It comes back all the same.
//! let bytes = b"\x19\x43\x56\x54\x30\x30\x27\x50\x0b\0\0\0\x08\x01\x10\0\x18\x01\x20\x01\xa0\x1f\x07";
//! let (mut text, mut again) = (Vec::new(), Vec::new());
//! json::decode(&Image::parse(bytes)?, &json::Options::default(), &mut text)?;
//! json::encode(&text, &mut again)?;
//! assert_eq!(again, bytes);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod compress;
pub mod error;
mod flat;
pub mod framing;
pub mod json;
pub mod kinds;
mod level;
pub mod pagemap;
pub mod payload;
pub mod raw;
pub mod required;
pub mod schema;
mod walk;
mod wire;

pub use error::{Error, Result};
pub use framing::Image;

// The example of the page that packages show is run as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
