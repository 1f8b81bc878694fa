//! Bytes beside what matters, as in a hex dump: what is no visible text is a dot.

use super::escape::is_hidden;

/// A visible text of the bytes' length: each byte that is no text, and each character without a shape, is a `.`.
#[must_use]
pub fn dotted(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let visible = |c| if is_hidden(c) || c == char::REPLACEMENT_CHARACTER { '.' } else { c };
        shown.extend(chunk.valid().chars().map(visible));
        shown.extend(chunk.invalid().iter().map(|_| '.'));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_shape_is_a_dot() {
        assert_eq!(dotted(b"a\0\0b\x1b[0m\xff\xc2c d\n"), "a..b.[0m..c d.");
        assert_eq!(dotted("é日\u{202e}x\u{fffd}".as_bytes()), "é日.x.");
        assert_eq!(dotted(b""), "");
    }
}
