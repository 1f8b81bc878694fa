//! `coldcase crit compress` and `decompress`: the pages of a dump as LZ4 blocks, and plain again.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, IntoInnerError, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, ValueHint};
use criu_images::compress::{self, Rewritten, inventory};
use criu_images::kinds::by_file_name;
use criu_images::pagemap::Pagemap;
use tempfile::NamedTempFile;

use super::output::Output;
use super::page_size;
use super::raw_pages::RawPages;
use super::replacement::Replacements;
use crate::present::text::Text;
use crate::session::{Outcome, Session};

const INVENTORY: &str = "inventory.img";

/// Compress the pages of a dump, as CRIU 4.3 can read them
///
/// One LZ4 block a page. Old files are kept as NAME.bak; those of an earlier run are never overwritten.
#[derive(Args, Debug)]
pub struct CompressArgs {
    #[command(flatten)]
    dump: DumpArgs,

    /// Accepted as crit accepts it; the blocks are the same for every N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    acceleration: Option<u32>,
}

/// Give back the plain pages of a compressed dump
///
/// Old files are kept as NAME.bak; those of an earlier run are never overwritten.
#[derive(Args, Debug)]
pub struct DecompressArgs {
    #[command(flatten)]
    dump: DumpArgs,
}

#[derive(Args, Debug)]
struct DumpArgs {
    /// The directory of the images
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: PathBuf,

    /// Keep no copies of the old files
    #[arg(long)]
    in_place: bool,
}

/// Which way it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Compress,
    Decompress,
}

pub fn run(session: &Session<'_>, args: &CompressArgs) -> Outcome {
    rewrite(session, &args.dump, Way::Compress)
}

pub fn run_back(session: &Session<'_>, args: &DecompressArgs) -> Outcome {
    rewrite(session, &args.dump, Way::Decompress)
}

fn rewrite(session: &Session<'_>, args: &DumpArgs, way: Way) -> Outcome {
    session.end_cleanly_on_signals()?;
    let directory = &args.directory;
    let shown = || Text::name(directory);
    let mut new = Replacements::new(directory, !args.in_place);
    let old_inventory = read(&directory.join(INVENTORY))?;
    let is_compressed = inventory::is_compressed(&old_inventory).context(INVENTORY)?;
    let (doing, state) = match way {
        Way::Compress => ("Compressing", "already"),
        Way::Decompress => ("Decompressing", "not"),
    };
    if is_compressed == (way == Way::Compress) {
        return Ok(session
            .ui
            .line(Text::own("Checkpoint in ").and(shown()).and(format_args!(" is {state} compressed")))?);
    }
    session.ui.line(Text::own(format_args!("{doing} checkpoint in ")).and(shown()))?;
    let dump = Dump::read(directory)?;
    for (name, pagemap) in &dump.pagemaps {
        let progress = session.ui.progress(Text::evidence(name));
        let done = dump.rewrite(session, &mut new, name, pagemap, way).with_context(|| name.clone())?;
        drop(progress);
        session.ui.line(summary(name, &done, way))?;
    }
    let page_size = u32::try_from(dump.page_size).context("pages are too large")?;
    let inventory = match way {
        Way::Compress => inventory::compressed(&old_inventory, page_size),
        Way::Decompress => inventory::decompressed(&old_inventory),
    };
    // Last: until it says so, nobody takes the pages for compressed ones.
    new.add_bytes(INVENTORY, &inventory.context(INVENTORY)?)?;
    if session.context.cancelled() {
        bail!("ended by a signal: {} is as it was", directory.display());
    }
    new.apply()?;
    Ok(session.ui.line("Done")?)
}

/// A line about one pagemap, with crit's words.
fn summary(name: &str, done: &Rewritten, way: Way) -> Text {
    let (plain, stored) = (done.plain >> 10, done.stored >> 10);
    let text = Text::own("  ").and_evidence(name).and(format_args!(": {} pages (", done.pages));
    match way {
        Way::Compress => {
            let saved = 100.0 * (1.0 - done.stored as f64 / (done.plain as f64).max(1.0));
            text.and(format_args!("{plain}K -> {stored}K, {:.1}% saved)", saved.max(0.0)))
        }
        Way::Decompress => text.and(format_args!("{stored}K -> {plain}K)")),
    }
}

/// The images of a dump that bear on its pages.
struct Dump {
    /// Names and contents of the pagemaps, by name.
    pagemaps: Vec<(String, Vec<u8>)>,
    page_size: u64,
    raw: RawPages,
}

impl Dump {
    fn read(directory: &Path) -> Result<Self> {
        let cannot = || format!("cannot read {}", directory.display());
        let (mut pagemaps, mut raw, mut said) = (Vec::new(), RawPages::default(), None);
        for entry in fs::read_dir(directory).with_context(cannot)? {
            let Ok(name) = entry.with_context(cannot)?.file_name().into_string() else { continue };
            let Some((kind, id)) = by_file_name(name.as_bytes()) else { continue };
            let path = directory.join(&name);
            match kind.name {
                "PAGEMAP" | "SHMEM_PAGEMAP" => pagemaps.push((name, read(&path)?)),
                "MM" => {
                    let mm = read(&path)?;
                    said = said.or_else(|| page_size::said_by(&mm));
                    raw.add_mm(id.unwrap_or_default(), &mm).with_context(|| name.clone())?;
                }
                "MEMFD_INODE" => raw.add_memfd(&read(&path)?).with_context(|| name.clone())?,
                _ => {}
            }
        }
        if pagemaps.is_empty() {
            bail!("{} holds no pagemaps", directory.display());
        }
        pagemaps.sort();
        let fits = |(_, bytes): &(String, Vec<u8>)| {
            let pagemap = Pagemap::parse(bytes).ok().filter(|pagemap| !pagemap.runs.is_empty())?;
            let size = fs::metadata(directory.join(pages_name(&pagemap))).ok()?.len();
            page_size::fitting(&pagemap, size)
        };
        let page_size = said.or_else(|| pagemaps.iter().find_map(fits));
        let page_size = page_size.ok_or_else(|| anyhow!("no image says how large a page is"))?;
        Ok(Self { pagemaps, page_size, raw })
    }

    /// Makes a new pagemap and a new pages file.
    fn rewrite(
        &self,
        session: &Session<'_>,
        new: &mut Replacements,
        name: &str,
        bytes: &[u8],
        way: Way,
    ) -> Result<Rewritten> {
        let pages_name = pages_name(&Pagemap::parse(bytes)?);
        let pages = new.path(&pages_name)?;
        let mut draft = new.draft()?;
        let context = &session.context;
        let output = Output { context, path: &pages, file: draft.as_file_mut() };
        let mut out = BufWriter::with_capacity(1 << 20, output);
        let source = || File::open(&pages).with_context(|| format!("cannot read {}", pages.display()));
        let done = match way {
            Way::Compress => {
                let must_stay = self.raw.of(name);
                compress::compress(
                    bytes,
                    self.page_size,
                    &|vaddr| must_stay.contains(vaddr),
                    buffered(source()?),
                    &mut out,
                )
            }
            Way::Decompress => compress::decompress(bytes, self.page_size, buffered(source()?), &mut out),
        };
        let done = done.with_context(|| pages_name.clone())?;
        out.into_inner().map_err(IntoInnerError::into_error)?;
        if way == Way::Compress {
            self.check(&done, &draft, source()?).with_context(|| pages_name.clone())?;
        }
        new.add(&pages_name, draft)?;
        new.add_bytes(name, &done.pagemap)?;
        Ok(done)
    }

    /// Checks that the plain pages come back from what was written: after this the old file may be gone.
    fn check(&self, done: &Rewritten, draft: &NamedTempFile, plain: File) -> Result<()> {
        let mut same = Same { expected: buffered(plain) };
        compress::decompress(&done.pagemap, self.page_size, buffered(draft.reopen()?), &mut same)?;
        Ok(())
    }
}

fn pages_name(pagemap: &Pagemap) -> String {
    format!("pages-{}.img", pagemap.pages_id)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn buffered(file: File) -> BufReader<File> {
    BufReader::with_capacity(1 << 20, file)
}

/// Takes bytes that have to be the ones of a reader.
struct Same<R> {
    expected: R,
}

impl<R: Read> Write for Same<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut expected = vec![0; bytes.len()];
        self.expected.read_exact(&mut expected)?;
        if expected != bytes {
            return Err(io::Error::other("the pages that were written are not those that were read"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
