//! The wire schema of CRIU's images: one Rust type a message, and the same knowledge as static tables.
//!
//! The types are generated from `proto/*.proto` at build time and keep CRIU's names in Rust's spelling:
//! `task_core_entry` is [`TaskCoreEntry`], its enum-typed fields are `i32` (unknown values survive), and what CRIU
//! calls `string` is `Vec<u8>`, because the kernel's strings need not be UTF-8. Optional fields are `Option`: an
//! absent field is not a zero.
//!
//! Required fields are not checked by prost. Read through [`crate::framing::Image`], which checks them first, or
//! call [`crate::required::check`] before decoding by hand.
//!
//! The tables ([`messages`], [`enums`], described by [`tables`]) drive what treats all messages alike, as JSON does.

pub mod tables;

/// A generated type that knows its table.
pub trait Entry: prost::Message + Default {
    /// The table of the message this type holds.
    const MESSAGE: &'static tables::Message;
}

// Generated: the names and the numbers are the schema's, and so is the documentation.
#[allow(missing_docs, clippy::all)]
mod types {
    include!(concat!(env!("OUT_DIR"), "/types.rs"));
}

pub use types::*;

include!(concat!(env!("OUT_DIR"), "/tables.rs"));
