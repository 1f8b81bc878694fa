//! What must never reach a terminal from evidence. Written apart from the program's own table.

/// Whether a character moves, hides, reorders or rings instead of showing a shape.
fn is_harmful(c: char) -> bool {
    matches!(u32::from(c),
        0x00..=0x09 | 0x0B..=0x1F | 0x7F..=0x9F          // C0 without the line feed, DEL, C1
        | 0x061C | 0x200E..=0x200F                       // marks of direction
        | 0x202A..=0x202E | 0x2066..=0x2069              // embeddings, overrides, isolates
        | 0x2028..=0x2029                                // separators of lines and paragraphs
        | 0x200B..=0x200D | 0x2060 | 0xFEFF | 0x00AD     // of no width
        | 0xE0000..=0xE007F                              // tags
    )
}

/// Asserts that bytes are UTF-8 and hold nothing that does something to a terminal.
#[track_caller]
pub fn assert_harmless(bytes: &[u8], shown: &str) {
    let text =
        std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{shown}: output is not UTF-8: {error}"));
    if let Some(at) = text.find(is_harmful) {
        let line = text[..at].matches('\n').count() + 1;
        let rest: String = text[at..].chars().take(20).collect();
        panic!("{shown}: line {line} of the output has {rest:?}");
    }
}

#[test]
fn what_is_harmful_is_noticed_and_text_is_not() {
    for harmful in
        ["\x1b[2J", "\t", "\r", "\x7f", "\u{9b}31m", "\u{202e}gpj.exe", "a\u{200b}b", "\u{2028}", "\u{e0061}"]
    {
        assert!(harmful.contains(is_harmful), "{harmful:?}");
    }
    assert!(!"├── [1]  bash -c 'é日本🦀' ↑ 16.0 KB\n".contains(is_harmful));
}
