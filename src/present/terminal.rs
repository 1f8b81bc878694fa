//! What is known about the terminal.

use std::os::fd::AsFd;

/// How many columns fit on a line of the terminal behind `stream`; none if it is no terminal and lines may be long.
///
/// The environment's `COLUMNS` comes first, as with ls and git.
#[must_use]
pub fn width(stream: &(impl std::io::IsTerminal + AsFd)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let measured = || terminal_size::terminal_size_of(stream).map(|(width, _)| usize::from(width.0));
    from_environment(std::env::var("COLUMNS").ok().as_deref()).or_else(measured).filter(|&width| width > 0)
}

fn from_environment(columns: Option<&str>) -> Option<usize> {
    columns?.trim().parse().ok().filter(|&width| width > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_no_width() {
        assert_eq!(width(&tempfile::tempfile().unwrap()), None);
    }

    #[test]
    fn columns_are_believed_when_they_make_sense() {
        assert_eq!(from_environment(Some("132")), Some(132));
        for nonsense in [None, Some(""), Some("0"), Some("-3"), Some("wide"), Some("99999999999999999999999")]
        {
            assert_eq!(from_environment(nonsense), None, "{nonsense:?}");
        }
    }
}
