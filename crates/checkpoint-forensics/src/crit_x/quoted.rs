//! Quoted-printable (RFC 2045): crit's form of the names of Unix sockets.

/// Quotes a name as Python's `quopri` does for crit, on one line: without the soft breaks that crit puts into names of
/// 76 characters and more, and with control characters in digits.
pub(super) fn quoted(name: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = Vec::with_capacity(name.len());
    for (at, &byte) in name.iter().enumerate() {
        let next = name.get(at + 1);
        let plain = match byte {
            b'=' => false,
            // A blank at the end would be lost in transport.
            b' ' | b'\t' => next.is_some(),
            // A line of one dot would end a mail.
            b'.' => at > 0 || !matches!(next, None | Some(b'\r' | b'\n' | 0)),
            byte => byte.is_ascii_graphic(),
        };
        if plain {
            text.push(byte);
        } else {
            text.extend_from_slice(&[b'=', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn names_are_quoted_as_crit_does() {
        for (name, text) in [
            (&b"/run/a.sock\0"[..], &b"/run/a.sock=00"[..]),
            (b"\0mix=abstract", b"=00mix=3Dabstract"),
            (b"\xff~ x", b"=FF~ x"),
            (b"blank ", b"blank=20"),
            (b".", b"=2E"),
            (b".\0", b"=2E=00"),
            (b"..\0", b"..=00"),
        ] {
            assert_eq!(quoted(name), text);
        }
    }

    #[test]
    fn a_name_stays_on_one_line_whatever_is_in_it() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let text = quoted(&every_byte);
        assert!(text.iter().all(|byte| matches!(byte, b' ' | b'\t' | 33..=126)));
        assert_eq!(quoted(&[b'x'; 107]), [b'x'; 107]);
        assert_eq!(quoted(b"a\r\nb"), b"a=0D=0Ab");
    }
}
