//! Answers as crit's text.
//!
//! Widths, blanks at the ends of lines and blank lines are crit's, so that what reads its output reads ours.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

use container_checkpoint::gap::Field;

use super::{Answer, Behind, Fds, Held, Mems, PsRow, Rss, RssEntry, ShownMapping};

/// Processes deeper in the tree than this are not indented further.
const DEEPEST: usize = 100;

/// How texts of the evidence are shown: the caller knows where they go.
#[derive(Clone, Copy)]
struct Shown<'a>(&'a dyn for<'t> Fn(&'t [u8]) -> Cow<'t, str>);

impl Answer<'_> {
    /// Writes the answer as crit does. `show` makes texts of the evidence fit for where they go: a terminal must not be
    /// given control characters.
    ///
    /// A value that can't be had is a reason in brackets, as `[unreadable]`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(
        &self,
        out: &mut dyn Write,
        show: &dyn for<'t> Fn(&'t [u8]) -> Cow<'t, str>,
    ) -> io::Result<()> {
        let show = Shown(show);
        match self {
            Self::Ps(rows) => {
                writeln!(out, "{:>7}{:>7}{:>7}   COMM", "PID", "PGID", "SID")?;
                rows.iter().try_for_each(|row| ps(out, row, show))
            }
            Self::Fds(tables) => tables.iter().try_for_each(|table| fds(out, table, show)),
            Self::Mems(tables) => tables.iter().try_for_each(|table| mems(out, table, show)),
            Self::Rss(tables) => tables.iter().try_for_each(|table| rss(out, table, show)),
        }
    }
}

fn ps(out: &mut dyn Write, row: &PsRow<'_>, show: Shown<'_>) -> io::Result<()> {
    let process = row.process;
    let indent = "    ".repeat(row.depth.min(DEEPEST));
    let (pgid, sid) = (number(&process.pgid), number(&process.sid));
    let command = show.field(&process.command);
    writeln!(out, "{:>7}{pgid:>7}{sid:>7}   {indent}{command}", process.pid.0)
}

fn number<T: Display>(field: &Field<T>) -> String {
    field.known().map_or_else(|| "?".to_owned(), T::to_string)
}

fn fds(out: &mut dyn Write, table: &Fds<'_>, show: Shown<'_>) -> io::Result<()> {
    writeln!(out, "{}", table.pid)?;
    match &table.open {
        Field::Known(open) => {
            for open in open.iter() {
                writeln!(out, "\t{:>7}: {}", open.fd, show.text(&table.text(open)))?;
            }
        }
        Field::NotApplicable => {}
        absent => writeln!(out, "\t{:>7}: {}", "?", reason(absent))?,
    }
    for (label, directory) in [("cwd", &table.working_directory), ("root", &table.root_directory)] {
        if *directory != Field::NotApplicable {
            writeln!(out, "\t{label:>7}: {}", show.field(directory))?;
        }
    }
    Ok(())
}

fn mems(out: &mut dyn Write, table: &Mems<'_>, show: Shown<'_>) -> io::Result<()> {
    writeln!(out, "{}", table.pid)?;
    if table.executable != Field::NotApplicable {
        writeln!(out, "\t{:<36}    {}", "exe", show.field(&table.executable))?;
    }
    table.mappings.iter().try_for_each(|mapping| mapping_line(out, mapping, show))
}

fn mapping_line(out: &mut dyn Write, shown: &ShownMapping<'_>, show: Shown<'_>) -> io::Result<()> {
    let mapping = shown.mapping;
    let range = format!("{:08x}-{:08x}", mapping.start.0, mapping.end.0);
    let behind = match &shown.behind {
        Behind::Nothing => String::new(),
        Behind::SysV(number) => format!(" ips[{number:x}]"),
        Behind::SharedMemory(number) => format!(" shmem[{number:x}]"),
        Behind::PacketRing(number) => format!(" packet[{number:x}]"),
        Behind::File { path, offset, shared } => {
            let offset = if *offset == 0 { String::new() } else { format!(" + {offset:#x}") };
            let shared = if *shared { " (s)" } else { "" };
            format!(" {}{offset}{shared}", show.text(path))
        }
        Behind::Stack => " [stack]".to_owned(),
        Behind::Vsyscall => " [vsyscall]".to_owned(),
        Behind::Vdso => " [vdso]".to_owned(),
        Behind::LikelyStack => " [stack?]".to_owned(),
    };
    let mark = if shown.is_regular() { "" } else { " *" };
    writeln!(out, "\t{range:<36}{}{behind}{mark}", mapping.protection)
}

fn rss(out: &mut dyn Write, table: &Rss<'_>, show: Shown<'_>) -> io::Result<()> {
    writeln!(out, "{}", table.pid)?;
    let entries = match &table.entries {
        Field::Known(entries) => entries,
        Field::NotApplicable => return Ok(()),
        absent => return writeln!(out, "\t{}", reason(absent)),
    };
    let mut last = None;
    entries.iter().try_for_each(|entry| rss_entry(out, table, entry, &mut last, show))
}

/// Writes one entry; `last` is the mapping that was written last.
fn rss_entry(
    out: &mut dyn Write,
    table: &Rss<'_>,
    entry: &RssEntry,
    last: &mut Option<usize>,
    show: Shown<'_>,
) -> io::Result<()> {
    let pages = format!("\t{:x} / {:<8}", entry.address.0, entry.pages);
    write!(out, "{pages:<24}")?;
    for number in entry.mappings.clone() {
        let Some(mapping) = table.mappings.get(number) else { continue };
        if *last == Some(number) {
            write!(out, " ~")?;
        } else {
            write!(out, " {:08x} / {:<8}", mapping.start.0, mapping.pages)?;
            if let Some(path) = &mapping.path {
                write!(out, " {}", show.text(path))?;
            }
            *last = Some(number);
        }
        next_line(out)?;
    }
    let Some(mark) = mark(entry.held) else { return writeln!(out) };
    if entry.mappings.is_empty() {
        next_line(out)?;
    }
    writeln!(out, " ({mark})")
}

/// Ends a line of an entry and starts the next one.
fn next_line(out: &mut dyn Write) -> io::Result<()> {
    write!(out, "\n\t{:23}", "")
}

/// What the blank line behind an entry says when its bytes are not in this dump.
fn mark(held: Held) -> Option<&'static str> {
    match held {
        Held::Here => None,
        Held::InParent => Some("parent"),
        Held::Lazy => Some("lazy"),
        Held::Nowhere => Some("absent"),
    }
}

/// Why there is no value.
fn reason<T>(field: &Field<T>) -> String {
    format!("[{}]", field.absence().unwrap_or("known"))
}

impl Shown<'_> {
    fn text<'t>(&self, bytes: &'t [u8]) -> Cow<'t, str> {
        (self.0)(bytes)
    }

    fn field<'t, T: AsRef<[u8]>>(&self, field: &'t Field<T>) -> Cow<'t, str> {
        match field {
            Field::Known(bytes) => self.text(bytes.as_ref()),
            absent => Cow::Owned(reason(absent)),
        }
    }
}
