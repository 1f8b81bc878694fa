//! The options that choose a part of the memory.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use container_checkpoint::ids::Pid;
use container_checkpoint::memory::Selection;

/// Which processes, mappings and addresses.
#[derive(Args, Clone, Debug)]
pub struct SelectionArgs {
    /// Only look at this process; may be given several times
    #[arg(long, short, value_name = "PID")]
    pub pid: Vec<u32>,

    /// Only look at these mappings; may be given several times
    ///
    /// A kind (`heap`, `stack`, `anonymous`, `shared`, `file`, `shared-file`, `memfd`, `sysv`, `vdso` ...), permissions (`rwx`, `r-xp`, `.` for either), or a
    /// file: its path or the last component of it. Several kinds are taken together, so are several permissions and several files; a mapping has to fit
    /// each of these three that is asked for.
    #[arg(long, value_name = "KIND|PERMS|FILE")]
    mapping: Vec<OsString>,

    /// Only look at these addresses, hexadecimal, the end not included: `7f5800000000-7f5800021000`; may be given several times
    #[arg(long, value_name = "START-END", value_parser = parse_range)]
    range: Vec<Range<u64>>,
}

impl SelectionArgs {
    /// What they choose.
    pub fn selection(&self) -> Selection {
        let mut selection = Selection {
            pids: self.pid.iter().copied().map(Pid).collect(),
            ranges: self.range.clone(),
            ..Selection::default()
        };
        self.mapping.iter().for_each(|text| selection.add_mapping(text.as_bytes()));
        selection
    }
}

/// Reads `START-END`, as `/proc/PID/maps` writes it; `0x` may stand in front of each.
///
/// # Errors
/// A message for the user.
pub fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| {
        let digits = text.trim().trim_start_matches("0x");
        u64::from_str_radix(digits, 16).map_err(|_| format!("'{text}' is no hexadecimal address"))
    };
    let (start, end) = text.split_once('-').ok_or("a range is START-END, both hexadecimal")?;
    let range = number(start)?..number(end)?;
    if range.is_empty() { Err("the end has to be above the start".to_owned()) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read_as_in_proc() {
        assert_eq!(parse_range("7f00-0x7f10"), Ok(0x7f00..0x7f10));
        for text in ["7f00", "7f10-7f00", "7f00-7f00", "x-1", "-", "1-10000000000000000"] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }
}
