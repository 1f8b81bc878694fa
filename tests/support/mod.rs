//! What the tests share: running the program, evidence and what is true of it, evidence made byte by byte.

pub mod archives;
pub mod elf;
pub mod goldens;
pub mod images;
pub mod made;
pub mod program;
pub mod safe;
pub mod tar_bytes;
pub mod truth;
