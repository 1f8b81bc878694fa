//! Reads and writes the images of CRIU, exactly: framing, schema, payloads, pagemaps, crit's JSON.

pub mod error;
pub mod framing;
pub mod json;
pub mod kinds;
mod level;
pub mod pagemap;
pub mod payload;
pub mod required;
pub mod schema;
mod walk;
mod wire;

pub use error::{Error, Result};
pub use framing::Image;
