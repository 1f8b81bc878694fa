//! Cores of real dumps: read back, compared with those of the kernel and of gdb, opened in gdb.

mod corpus;
mod damage;
mod debugger;
mod evidence;
mod promises;
mod reader;
