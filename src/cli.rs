//! The options that every command has.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ColorChoice, ValueHint};

/// Options that mean the same for every command, and may stand before or behind its name.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct GlobalOptions {
    /// When to use colour
    ///
    /// `auto` means on a terminal, unless NO_COLOR is set; CLICOLOR_FORCE asks for colour everywhere.
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,

    /// Print no notes, hints or progress; warnings and errors stay
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// Show no progress
    ///
    /// Progress is shown only where standard error is a terminal.
    #[arg(long, global = true)]
    pub no_progress: bool,

    /// Show times in UTC instead of the local zone
    #[arg(long, global = true)]
    pub utc: bool,

    /// Use N threads instead of one a processor
    ///
    /// The answer is the same for any number.
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<NonZeroUsize>,

    /// Refuse evidence whose metadata needs more memory than SIZE
    ///
    /// Metadata is all but the contents of memory and files, which are read piece by piece and never limited.
    /// SIZE is a number of bytes, or has a unit: 512K, 64M, 1GiB are powers of 1024; 64MB is a power of 1000.
    #[arg(long, global = true, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    pub max_metadata: u64,

    /// Allow standard input to be kept in an unnamed file in DIR
    ///
    /// Some evidence has to be read twice. Without this option such evidence is refused on standard input, since the
    /// file would hold the memory of the checkpointed processes.
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub spool: Option<PathBuf>,
}

impl GlobalOptions {
    /// How many threads to use.
    #[must_use]
    pub fn threads(&self) -> NonZeroUsize {
        self.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }
}

/// The units of sizes, in lower case, and what they multiply by.
///
/// As GNU's tools read them: one letter or `iB` is a power of 1024, `B` alone behind the letter one of 1000.
const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];

/// Reads a size in bytes: `4096`, `64M`, `1GiB`, `1 GiB`.
///
/// # Errors
/// A message for the user if it is no whole number with a known unit, or does not fit 64 bits.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err("a size is a whole number with an optional unit, as in 64M or 1GiB".to_owned());
    }
    let unit = unit.trim_start().to_ascii_lowercase();
    let Some(&(_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("the unit {unit:?} is unknown; known are K, M, G, T, KiB … TiB, KB … TB"));
    };
    let too_large = || "a size has to be below 16 EiB".to_owned();
    let number: u64 = digits.parse().map_err(|_| too_large())?;
    number.checked_mul(factor).ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        options: GlobalOptions,
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Command {
        Show,
    }

    fn parse(arguments: &[&str]) -> GlobalOptions {
        let program = Program::try_parse_from([&["coldcase"], arguments].concat()).unwrap();
        assert!(matches!(program.command, Command::Show));
        program.options
    }

    #[test]
    fn the_definition_is_sound() {
        Program::command().debug_assert();
    }

    #[test]
    fn options_stand_on_either_side_of_the_command() {
        for arguments in [
            ["--utc", "-q", "--color=never", "--threads", "3", "--max-metadata", "64M", "show"],
            ["show", "--utc", "-q", "--color=never", "--threads", "3", "--max-metadata", "64M"],
        ] {
            let options = parse(&arguments);
            assert!(options.utc && options.quiet && !options.no_progress);
            assert_eq!(options.color, ColorChoice::Never);
            assert_eq!(options.threads().get(), 3);
            assert_eq!(options.max_metadata, 64 << 20);
        }
    }

    #[test]
    fn defaults_are_as_documented() {
        let options = parse(&["show"]);
        assert_eq!(options.color, ColorChoice::Auto);
        assert_eq!(options.max_metadata, 1 << 30);
        assert_eq!(options.spool, None);
        assert!(options.threads().get() >= 1);
    }

    #[test]
    fn no_threads_is_a_usage_error() {
        assert!(Program::try_parse_from(["coldcase", "--threads", "0", "show"]).is_err());
    }

    #[test]
    fn sizes_are_read_with_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("512k", 512 << 10),
            ("64M", 64 << 20),
            ("64MB", 64_000_000),
            ("1GiB", 1 << 30),
            (" 2 gib ", 2 << 30),
            ("3T", 3 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn sizes_that_make_no_sense_are_refused() {
        for text in ["", "M", "-1", "1.5G", "1X", "0x10", "1GiBs", "18446744073709551616", "16777216T", "1 2"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
