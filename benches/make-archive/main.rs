//! Makes a checkpoint archive of any size, as Podman would write it, to measure with.
//!
//! `cargo bench --bench make-archive -- --memory 1024 big.tar` writes 1 GiB of generated memory; the file's name says how it is
//! packed (`.tar`, `.tar.gz`, `.tar.zst`). Standard output gets a line for each needle: process, address, text.

mod archive;
mod contents;
mod image;
mod process;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use archive::{Archive, Options};
use clap::Parser;

/// Make a large checkpoint archive
#[derive(Debug, Parser)]
struct Arguments {
    /// Files to write; `.gz` and `.zst` at the end of a name ask for that compression
    files: Vec<PathBuf>,

    /// Memory to store, in MiB
    #[arg(long, default_value_t = 1024)]
    memory: u64,

    /// How many needles to plant in it
    #[arg(long, default_value_t = 1000)]
    needles: u64,

    /// Store every second page only: one pagemap entry a page
    #[arg(long)]
    scattered: bool,

    /// Put the pages before all other images
    #[arg(long)]
    pages_first: bool,

    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let Arguments { needles, scattered, pages_first, .. } = arguments;
    let archive = Archive::new(Options { memory: arguments.memory << 20, needles, scattered, pages_first });
    let mut out = io::stdout().lock();
    if arguments.files.is_empty() {
        writeln!(out, "name a file to make: cargo bench --bench make-archive -- big.tar.zst")?;
        return Ok(ExitCode::SUCCESS);
    }
    for path in &arguments.files {
        let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => archive
                .write(flate2::write::GzEncoder::new(file, flate2::Compression::default()))?
                .finish()?
                .flush()?,
            Some("zst") => archive.write(zstd::stream::write::Encoder::new(file, 3)?)?.finish()?.flush()?,
            _ => archive.write(file)?.flush()?,
        }
    }
    for needle in archive.needles() {
        writeln!(out, "{}\t{:#x}\t{}", needle.pid, needle.address, needle.text)?;
    }
    Ok(ExitCode::SUCCESS)
}
