//! Patterns of bytes in hexadecimal: `7f 45 4c 46 ?? 01`.

use regex_syntax::hir::Hir;

use super::encoding::set;
use super::pattern::PatternError;

/// Bytes, each known or not.
pub(super) type HexBytes = Vec<Option<u8>>;

/// Reads two digits a byte, `??` for any byte; blanks may stand between bytes.
///
/// # Errors
/// When something else is in it, or nothing.
pub(super) fn parse(text: &[u8]) -> Result<HexBytes, PatternError> {
    let mut bytes = Vec::new();
    for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        for pair in word.chunks(2) {
            bytes.push(
                byte(pair).ok_or_else(|| PatternError::Hex(String::from_utf8_lossy(pair).into_owned()))?,
            );
        }
    }
    if bytes.iter().all(Option::is_none) {
        return Err(PatternError::Empty);
    }
    Ok(bytes)
}

fn byte(pair: &[u8]) -> Option<Option<u8>> {
    if pair == b"??" {
        return Some(None);
    }
    let is_hex = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(pair).ok().filter(|_| is_hex)?;
    u8::from_str_radix(digits, 16).ok().map(Some)
}

/// The same as a regular expression.
pub(super) fn expression(bytes: &[Option<u8>]) -> Hir {
    let one = |byte: &Option<u8>| byte.map_or_else(|| set([(0, 0xff)]), |byte| Hir::literal([byte]));
    Hir::concat(bytes.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_blanks_and_unknown_ones() {
        assert_eq!(parse(b"7f 45 4C46").unwrap(), [0x7f, 0x45, 0x4c, 0x46].map(Some));
        assert_eq!(parse(b" 7f??\t01 ").unwrap(), [Some(0x7f), None, Some(1)]);
        for text in ["7", "7 f", "7f4", "xx", "0x7f", "?f", "+1", "7f,45"] {
            assert!(matches!(parse(text.as_bytes()), Err(PatternError::Hex(_))), "{text}");
        }
        for text in ["", " ", "?? ??"] {
            assert!(matches!(parse(text.as_bytes()), Err(PatternError::Empty)), "{text}");
        }
    }
}
