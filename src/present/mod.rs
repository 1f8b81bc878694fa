//! How answers look: the only place that knows tables, trees, colours, widths and the shape of our JSON.

pub mod bytes;
pub mod cell;
pub mod dots;
pub mod escape;
pub mod escaped_lines;
pub mod hex_dump;
pub mod hint;
pub mod json;
pub mod json_lines;
pub mod progress;
pub mod sink;
pub mod style;
pub mod table;
pub mod terminal;
pub mod text;
pub mod time;
pub mod tree;
pub mod whole_file;
