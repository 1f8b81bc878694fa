//! Cores of real dumps: read back, compared with those of the kernel and of gdb, opened in gdb.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failure fails the test; skipped tests say so

mod aarch64;
mod aarch64_notes;
mod answers;
mod compare;
mod corpus;
mod damage;
mod debugger;
mod evidence;
mod memory;
mod points;
mod promises;
mod reader;
