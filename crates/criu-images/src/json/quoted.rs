//! Quoted-printable as Python's `quopri` writes it: crit's form of the names of Unix sockets.

/// A line break is due where a line would grow to this many characters.
const LINE: usize = 76;

/// Writes bytes as `quopri.encodestring` does.
///
/// All line ends become one kind: CR LF if the first LF follows a CR, else LF. Names that mix both are not the same
/// after [`decode`].
pub(crate) fn encode(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let first_line_feed = bytes.iter().position(|&byte| byte == b'\n');
    let new_line: &[u8] = match first_line_feed {
        Some(at) if at > 0 && bytes[at - 1] == b'\r' => b"\r\n",
        _ => b"\n",
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut column = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        let dot = byte == b'.' && column == 0 && matches!(next, None | Some(b'\r' | b'\n' | 0));
        let blank = matches!(byte, b' ' | b'\t');
        let line_end = byte == b'\n' || (byte == b'\r' && next == Some(b'\n'));
        let plain = matches!(byte, 33..=126 | b'\r' | b'\n' | b'\t' | b' ') && byte != b'=';
        if !plain || dot || (blank && next.is_none()) {
            if column + 3 >= LINE {
                out.push(b'=');
                out.extend_from_slice(new_line);
                column = 0;
            }
            out.extend_from_slice(&[b'=', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            column += 3;
            at += 1;
        } else if line_end {
            // A blank at the end of a line would be lost.
            if let Some(&last @ (b' ' | b'\t')) = out.last() {
                out.pop();
                out.extend_from_slice(if last == b' ' { b"=20" } else { b"=09" });
            }
            out.extend_from_slice(new_line);
            column = 0;
            at += if byte == b'\r' { 2 } else { 1 };
        } else {
            if next.is_some() && next != Some(b'\n') && column + 1 >= LINE {
                out.push(b'=');
                out.extend_from_slice(new_line);
                column = 0;
            }
            out.push(byte);
            column += 1;
            at += 1;
        }
    }
    out
}

/// Reads what [`encode`] writes, as `quopri.decodestring` does.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        if byte != b'=' {
            out.push(byte);
            continue;
        }
        match text.get(at..).unwrap_or_default() {
            [] => {}
            // A soft break: nothing of it belongs to the bytes.
            [b'\n' | b'\r', ..] => {
                at +=
                    text[at..].iter().position(|&byte| byte == b'\n').map_or(text.len() - at, |end| end + 1);
            }
            [b'=', ..] => {
                out.push(b'=');
                at += 1;
            }
            [high, low, ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    at += 2;
                }
                _ => out.push(b'='),
            },
            _ => out.push(b'='),
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_quopri() {
        for (bytes, text) in [
            (&b"/run/a.sock"[..], &b"/run/a.sock"[..]),
            (b"\0abstract", b"=00abstract"),
            (b"a=b", b"a=3Db"),
            (b"tail ", b"tail=20"),
            (b"tail \n", b"tail=20\n"),
            (b"\xff", b"=FF"),
            (b".", b"=2E"),
            (b".a", b".a"),
            (b" lead", b" lead"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text), bytes);
        }
        assert_eq!(encode(&[b'x'; 77]), [&[b'x'; 75][..], b"=\nxx"].concat());
    }

    #[test]
    fn only_mixed_line_ends_are_lost() {
        assert_eq!(decode(&encode(b"a\nb\nc")), b"a\nb\nc");
        assert_eq!(decode(&encode(b"a\r\nb")), b"a\r\nb");
        assert_eq!(decode(&encode(b"a\nb\r\nc")), b"a\nb\nc");
    }
}
