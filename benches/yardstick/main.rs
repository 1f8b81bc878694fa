//! What coldcase is measured against: the least that a question can cost on this machine, and how much memory a command takes.
//!
//! `cargo bench --bench yardstick -- memmem TEXT FILE` reads a file in pieces of 128 KiB and looks for a text in them;
//! `unpack FILE` unpacks with the libraries that coldcase unpacks with, and throws the bytes away; `index FILE` opens a checkpoint and works out
//! what a search has to read; `peak COMMAND` runs a command and tells the most anonymous memory that it had.

mod peak;

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use checkpoint_forensics::search::{Keep, Options, Patterns, Room, Scope, Search};
use clap::{Parser, Subcommand};
use container_checkpoint::case::{Case, DumpId};
use container_checkpoint::context::Context;
use container_checkpoint::evidence::Nobody;
use container_checkpoint::memory::{Memory, Question, Selection};
use container_checkpoint::naming::Locator;
use memchr::memmem::Finder;

/// How much is read at a time, in bytes.
const PIECE: usize = 128 << 10;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    yardstick: Yardstick,

    /// What `cargo bench` adds
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Yardstick {
    /// Count a text in a file
    Memmem { text: String, file: PathBuf },
    /// Unpack a file and throw it away
    Unpack { file: PathBuf },
    /// Open a checkpoint and plan a search, a number of times
    Index {
        file: PathBuf,
        #[arg(long, default_value_t = 21)]
        times: usize,
    },
    /// Run a command and tell the peak of its anonymous memory
    Peak {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

fn main() -> anyhow::Result<()> {
    let said = match Arguments::parse().yardstick {
        Yardstick::Memmem { text, file } => {
            format!("{} times", count(&Finder::new(&text), File::open(file)?)?)
        }
        Yardstick::Unpack { file } => format!("{} bytes", unpacked(&file)?),
        Yardstick::Index { file, times } => index(&file, times)?,
        Yardstick::Peak { command } => peak::of(&command)?,
    };
    Ok(writeln!(io::stdout(), "{said}")?)
}

fn count(finder: &Finder<'_>, mut file: File) -> io::Result<usize> {
    let margin = finder.needle().len() - 1;
    let mut buffer = vec![0; margin + PIECE];
    let (mut kept, mut found) = (0, 0);
    loop {
        let got = file.read(&mut buffer[kept..])?;
        if got == 0 {
            return Ok(found);
        }
        let end = kept + got;
        found += finder.find_iter(&buffer[..end]).count();
        kept = margin.min(end);
        buffer.copy_within(end - kept..end, 0);
    }
}

/// The libraries and the settings are those of container-checkpoint.
fn unpacked(path: &Path) -> io::Result<u64> {
    let mut packed = BufReader::with_capacity(64 << 10, File::open(path)?);
    let mut stream: Box<dyn Read> = match packed.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        _ => Box::new(zstd::stream::read::Decoder::with_buffer(packed)?),
    };
    let mut buffer = vec![0; PIECE];
    let mut size = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(size),
            got => size += got as u64,
        }
    }
}

fn index(path: &Path, times: usize) -> anyhow::Result<String> {
    let mut spent = Vec::new();
    let mut wants = 0;
    for _ in 0..times.max(1) {
        let start = processor_time()?;
        let mut case = Case::default();
        case.add(Locator::whole(path), &Context::default(), &mut Nobody);
        let memory = Memory::of(&case, DumpId { evidence: 0, dump: 0 });
        let placed = processor_time()? - start;
        let patterns = Patterns::literal(b"NEEDLE", false)?;
        let options = Options {
            patterns,
            scope: Scope::PROCESSES,
            selection: Selection::default(),
            context: 0,
            keep: Keep::Matches,
            room: Room::new(None),
            threads: 1,
        };
        wants = Search::new(options).wants(&memory).len();
        spent.push((placed, processor_time()? - start));
    }
    spent.sort_unstable();
    let (placed, all) = spent[spent.len() / 2];
    Ok(format!(
        "{wants} stretches: opened and placed in {placed:.1?}, planned after {all:.1?} (CPU, median of {times})"
    ))
}

/// What this thread has taken of a processor so far, as the kernel counts it.
fn processor_time() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?))
}
