//! The options that say what is searched for.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Context as _, bail};
use checkpoint_forensics::search::{Encoding, MAX_MATCH, PatternError, Patterns, Reading, Syntax};
use clap::{Args, ValueEnum};

use crate::cli::parse_size;
use crate::present::hint::WithHint as _;
use crate::present::text::Text;
use crate::ui::Ui;

/// What is searched for.
#[derive(Args, Clone, Debug)]
pub struct PatternArgs {
    /// Search for PATTERN; may be given several times, and all are searched for at once
    #[arg(long = "regexp", short = 'e', value_name = "PATTERN", allow_hyphen_values = true)]
    patterns: Vec<OsString>,

    /// Search for the patterns in FILE, one a line; `-` is standard input
    #[arg(long = "file", short = 'f', value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    files: Vec<OsString>,

    /// Take patterns as texts, not as regular expressions
    #[arg(long, short = 'F', conflicts_with = "hex")]
    fixed_strings: bool,

    /// Take patterns as bytes in hexadecimal: `7f 45 4c46 ?? 01`, `??` for any byte
    #[arg(long)]
    hex: bool,

    /// Let upper and lower case ASCII letters match each other
    #[arg(long, short, conflicts_with = "hex")]
    ignore_case: bool,

    /// Search for texts in these encodings
    ///
    /// In UTF-16, `.` and `[^x]` are a unit of two bytes, at any alignment, and what looks beside a match (`^`, `$`, `\b`) can't be said.
    /// What is UTF-16LE between zero bytes is UTF-16BE one byte before, too: with both, both are told.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "utf-8", conflicts_with = "hex")]
    encoding: Vec<EncodingName>,

    /// Tell matches of regular expressions up to this size whole; a longer one is cut there, and marked
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_size)]
    max_match: u64,
}

/// An encoding, as a user names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EncodingName {
    /// ASCII and UTF-8
    #[value(name = "utf-8", aliases = ["utf8", "ascii"])]
    Utf8,
    /// Two bytes a unit, the lower one first
    #[value(name = "utf-16le", alias = "utf16le")]
    Utf16Le,
    /// Two bytes a unit, the higher one first
    #[value(name = "utf-16be", alias = "utf16be")]
    Utf16Be,
}

impl From<EncodingName> for Encoding {
    fn from(name: EncodingName) -> Self {
        match name {
            EncodingName::Utf8 => Self::Utf8,
            EncodingName::Utf16Le => Self::Utf16Le,
            EncodingName::Utf16Be => Self::Utf16Be,
        }
    }
}

/// Patterns, as they were given and compiled.
#[derive(Clone, Debug)]
pub struct Given {
    pub texts: Vec<Vec<u8>>,
    pub patterns: Patterns,
}

/// The longest bound on matches, in bytes: that much of a stream is kept.
const MAX_MATCH_MOST: u64 = 64 << 20;

impl PatternArgs {
    /// Whether options give the patterns, so that no argument does.
    pub fn are_given(&self) -> bool {
        !(self.patterns.is_empty() && self.files.is_empty())
    }

    /// Whether standard input is read for patterns.
    pub fn read_standard_input(&self) -> bool {
        self.files.iter().any(|file| file == "-")
    }

    /// Reads and compiles all patterns; `first` is the one that stands among the arguments. One that is given twice is one.
    pub fn compile(&self, ui: &Ui, first: Option<&OsString>) -> anyhow::Result<Given> {
        let mut texts: Vec<Vec<u8>> =
            self.patterns.iter().chain(first).map(|pattern| pattern.as_bytes().to_vec()).collect();
        for file in &self.files {
            texts.extend(lines_of(ui, file)?);
        }
        let mut seen = HashSet::new();
        texts.retain(|text| seen.insert(text.clone()));
        if texts.is_empty() {
            bail!("no pattern is given");
        }
        if !(1..=MAX_MATCH_MOST).contains(&self.max_match) {
            bail!("--max-match is from 1 byte to {} MiB", MAX_MATCH_MOST >> 20);
        }
        let mut encodings: Vec<Encoding> = Vec::new();
        for encoding in self.encoding.iter().copied().map(Encoding::from) {
            if !encodings.contains(&encoding) {
                encodings.push(encoding);
            }
        }
        let syntax = match self {
            Self { hex: true, .. } => Syntax::Hex,
            Self { fixed_strings: true, .. } => Syntax::Literal,
            _ => Syntax::Regex,
        };
        let max_match = usize::try_from(self.max_match).unwrap_or(MAX_MATCH);
        let reading = Reading { syntax, ignore_case: self.ignore_case, encodings, max_match };
        match Patterns::new(&texts, &reading) {
            Ok(patterns) => Ok(Given { texts, patterns }),
            Err((number, error)) => Err(refused(&texts, number, error, syntax)),
        }
    }
}

fn refused(texts: &[Vec<u8>], number: usize, error: PatternError, syntax: Syntax) -> anyhow::Error {
    let hint = match (&error, syntax) {
        (PatternError::Empty, _) => None,
        (PatternError::NotIn { .. }, _) => Some("--hex takes the bytes themselves"),
        (_, Syntax::Regex) => Some("-F takes the pattern as a text; in a regular expression \\xNN is a byte"),
        _ => None,
    };
    let error = anyhow::Error::new(error);
    let error = if texts.len() > 1 {
        error.context(format!("pattern '{}'", Text::evidence(&texts[number])))
    } else {
        error
    };
    match hint {
        Some(hint) => Err::<(), _>(error).hint(hint).err().unwrap_or_else(|| anyhow::anyhow!("refused")),
        None => error,
    }
}

/// The patterns in a file. Empty lines, which would match everywhere, are passed over, and so are the carriage returns of a list that was written elsewhere.
fn lines_of(ui: &Ui, file: &OsString) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut bytes = Vec::new();
    let name = Text::name(file);
    if file == "-" {
        std::io::stdin().read_to_end(&mut bytes).context("standard input")?;
    } else {
        bytes = std::fs::read(file).with_context(|| format!("{name}"))?;
    }
    let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let mut lines: Vec<&[u8]> = body.split(|&byte| byte == b'\n').collect();
    if lines.iter().any(|line| line.ends_with(b"\r")) {
        ui.note(
            name.clone().and(": carriage returns at the ends of lines are taken for no part of the patterns"),
        );
        lines = lines.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    }
    let all = lines.len();
    lines.retain(|line| !line.is_empty());
    if lines.len() < all {
        ui.note(name.and(format_args!(": empty lines are passed over: {}", all - lines.len())));
    }
    Ok(lines.into_iter().map(<[u8]>::to_vec).collect())
}
