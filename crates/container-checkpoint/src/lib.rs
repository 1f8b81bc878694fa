//! Opens container checkpoints of every engine and understands what the container was doing.

pub mod case;
pub mod checkpoint;
pub mod command_line;
pub mod container;
pub mod context;
pub mod dump;
pub mod engine;
pub mod error;
pub mod evidence;
pub mod files;
pub mod gap;
pub mod ids;
pub mod memory;
pub mod model;
pub mod naming;
pub mod oci;
pub mod payloads;
pub mod root_files;
