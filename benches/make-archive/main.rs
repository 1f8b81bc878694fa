//! Makes a checkpoint archive of any size, as Podman would write it, to measure with.
//!
//! `cargo bench --bench make-archive -- --memory 1024 big.tar` writes 1 GiB of generated memory; the file's name says how it is
//! packed (`.tar`, `.tar.gz`, `.tar.zst`, `.tar.xz`, `.tar.lz4`, `.tar.bz2`). Standard output gets a line for each needle: process, address, text.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use checkpoint_builder::{Archive, Packing, Worker};
use clap::Parser;

/// Make a large checkpoint archive
#[derive(Debug, Parser)]
struct Arguments {
    /// Files to write; the end of a name says how they are packed
    files: Vec<PathBuf>,

    /// Memory to store, in MiB
    #[arg(long, default_value_t = 1024)]
    memory: u64,

    /// How many needles to plant in it
    #[arg(long, default_value_t = 1000)]
    needles: u64,

    /// How many keys and tokens to plant in it
    #[arg(long, default_value_t = 30)]
    secrets: u64,

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
    let Arguments { files, memory, needles, secrets, scattered, pages_first, .. } = Arguments::parse();
    let worker = Worker { memory: memory << 20, needles, secrets, ..Worker::default() };
    let worker = if scattered { worker.scattered() } else { worker };
    let checkpoint = worker.checkpoint();
    let archive = Archive::podman(&checkpoint);
    let archive = if pages_first { archive.pages_first() } else { archive };
    let mut out = io::stdout().lock();
    if files.is_empty() {
        writeln!(out, "name a file to make: cargo bench --bench make-archive -- big.tar.zst")?;
        return Ok(ExitCode::SUCCESS);
    }
    for path in &files {
        let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        archive.write_packed(Packing::of_name(path), file)?.flush()?;
    }
    for (address, text) in worker.needles() {
        writeln!(out, "{}\t{address:#x}\t{text}", Worker::PID)?;
    }
    Ok(ExitCode::SUCCESS)
}
