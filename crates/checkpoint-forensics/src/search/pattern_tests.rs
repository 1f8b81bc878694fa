//! Patterns against what they mean.

use super::{Encoding, MAX_MATCH, PatternError, Patterns, Reading, Scanner, Stretch, Syntax};
use std::ops::ControlFlow;

/// First byte, text, encoding, whether it is cut: of all hits.
type Told = Vec<(u64, Vec<u8>, Option<Encoding>, bool)>;

fn hits(patterns: Patterns, bytes: &[u8]) -> Told {
    let mut told = Vec::new();
    let flow = Stretch::default().take(&Scanner::new(patterns, 0, 1), bytes, true, &mut |hit| {
        told.push((hit.at, hit.text.to_vec(), hit.encoding, hit.is_cut));
        ControlFlow::Continue(())
    });
    assert_eq!(flow, ControlFlow::Continue(()));
    told
}

fn reading(encoding: Encoding, ignore_case: bool) -> Reading {
    Reading { encodings: vec![encoding], ignore_case, ..Reading::default() }
}

fn wide(text: &str, encoding: Encoding) -> Vec<u8> {
    text.encode_utf16()
        .flat_map(|unit| if encoding == Encoding::Utf16Le { unit.to_le_bytes() } else { unit.to_be_bytes() })
        .collect()
}

/// What an expression finds in a text is what its UTF-16 form finds in the text's UTF-16 form, at any alignment. (One that begins with `.` or `[^x]` finds other
/// units half a unit further, too.)
#[test]
fn expressions_in_utf_16_find_what_they_find_in_ascii() {
    let text = "zz AKIA0123456789ABCDEF; password=Hunter2, user@host.org\nxx__yy zebra";
    let expressions = [
        "AKIA[0-9A-Z]{16}",
        "pass(word)?=[^,]+",
        "[a-z]+@[a-z.]+",
        "(?i)PASSWORD",
        r"\w{5,}",
        "z.*a",
        "@[^. ]{2,}",
        "x{2}|y{2}|zz",
        "(?:_|yy){2,3}?",
        r"\d\D",
    ];
    for encoding in [Encoding::Utf16Le, Encoding::Utf16Be] {
        for expression in expressions {
            for ignore_case in [false, true] {
                let narrow = hits(Patterns::regex(expression, ignore_case).unwrap(), text.as_bytes());
                assert!(!narrow.is_empty(), "{expression}");
                for lead in [&b""[..], b"\xff"] {
                    let bytes = [lead, &wide(text, encoding)].concat();
                    let patterns = Patterns::new(&[expression], &reading(encoding, ignore_case)).unwrap();
                    let expected: Told = narrow
                        .iter()
                        .map(|(at, found, ..)| {
                            let found = wide(std::str::from_utf8(found).unwrap(), encoding);
                            (lead.len() as u64 + at * 2, found, Some(encoding), false)
                        })
                        .collect();
                    assert_eq!(hits(patterns, &bytes), expected, "{expression} in {encoding:?}");
                }
            }
        }
    }
}

#[test]
fn letters_beyond_ascii_are_found_in_utf_16() {
    for (pattern, ignore_case) in [("Zürich", false), ("zÜRICH", true), ("日本", true), ("🦀", false)] {
        let text =
            if ignore_case { pattern.replace('z', "Z").replace("RICH", "rich") } else { pattern.to_owned() };
        for encoding in [Encoding::Utf16Le, Encoding::Utf16Be] {
            for syntax in [Syntax::Literal, Syntax::Regex] {
                let patterns =
                    Patterns::new(&[pattern], &Reading { syntax, ..reading(encoding, ignore_case) }).unwrap();
                assert_eq!(hits(patterns, &wide(&text, encoding)).len(), 1, "{pattern} {syntax:?}");
            }
        }
    }
    // U+4141 and U+6161 are other letters, though their bytes are those of `AA` and `aa`.
    let reading = Reading { syntax: Syntax::Literal, ..reading(Encoding::Utf16Le, true) };
    let patterns = Patterns::new(&["\u{4141}"], &reading).unwrap();
    assert_eq!(hits(patterns, &wide("\u{6161}", Encoding::Utf16Le)), []);
}

#[test]
fn what_utf_16_can_not_say_is_refused() {
    for expression in ["^a", "a$", r"\ba", r"\xffa", r"[\x80-\x90]", r"(?-u)\B."] {
        let error = Patterns::new(&[expression], &reading(Encoding::Utf16Le, false)).unwrap_err();
        assert!(matches!(error, (0, PatternError::NotIn { .. })), "{expression}: {error:?}");
    }
    let reading = Reading { syntax: Syntax::Literal, ..reading(Encoding::Utf16Be, false) };
    assert!(matches!(
        Patterns::new(&[b"a", b"\xff".as_slice()], &reading),
        Err((1, PatternError::NotIn { .. }))
    ));
}

#[test]
fn what_is_longer_than_may_be_told_is_cut_and_marked() {
    let bytes = [&b"a".repeat(10)[..], b"-", &b"a".repeat(4)].concat();
    let of = |expression: &str, max_match| {
        let patterns = Patterns::new(&[expression], &Reading { max_match, ..Reading::default() }).unwrap();
        hits(patterns, &bytes).into_iter().map(|(at, text, _, cut)| (at, text.len(), cut)).collect::<Vec<_>>()
    };
    assert_eq!(of("a+", 4), [(0, 4, true), (4, 4, true), (8, 2, false), (11, 4, false)]);
    assert_eq!(of("a+", 10), [(0, 10, false), (11, 4, false)]);
    // What can't be longer is told whole; what needs more has its beginning told.
    assert_eq!(of("a{6}", 4), [(0, 4, true), (4, 4, true)]);
    assert_eq!(
        of("a{6}|a{2}", 4),
        [
            (0, 2, false),
            (2, 2, false),
            (4, 2, false),
            (6, 2, false),
            (8, 2, false),
            (11, 2, false),
            (13, 2, false)
        ]
    );
    assert_eq!(of("a*-", 4), [(0, 4, true), (4, 4, true), (8, 3, false)]);
}

/// The promise holds where blocks end too, which are 1 MiB apart.
#[test]
fn the_longest_matches_are_whole_wherever_they_lie() {
    for start in [0, (1 << 20) - 1, (1 << 20) - MAX_MATCH, (1 << 20) - MAX_MATCH / 2, 1 << 20] {
        for (len, cut) in [(MAX_MATCH - 1, false), (MAX_MATCH, false), (MAX_MATCH + 1, true)] {
            let mut bytes = vec![b'.'; 3 << 20];
            bytes[start..start + len].fill(b'a');
            let told = hits(Patterns::regex("a+", false).unwrap(), &bytes);
            let told: Vec<_> = told.iter().map(|(at, text, _, cut)| (*at, text.len(), *cut)).collect();
            let mut expected = vec![(start as u64, len.min(MAX_MATCH), cut)];
            if cut {
                expected.push(((start + MAX_MATCH) as u64, 1, false));
            }
            assert_eq!(told, expected, "{start} {len}");
        }
    }
}

#[test]
fn empty_patterns_are_none() {
    for expression in ["", "()", "^", r"\b"] {
        assert!(matches!(Patterns::regex(expression, false), Err(PatternError::Empty)), "{expression}");
    }
    assert_eq!(hits(Patterns::regex("a*", false).unwrap(), b"baab").len(), 1);
}

/// A long run is not looked at to its end for each part that is told of it: this took minutes.
#[test]
fn many_parts_of_a_long_run_are_told_in_time_that_grows_with_the_run() {
    let bytes = vec![b'a'; 2 << 20];
    let patterns = Patterns::new(&["a+"], &Reading { max_match: 10, ..Reading::default() }).unwrap();
    let begun = std::time::Instant::now();
    let told = hits(patterns, &bytes);
    assert_eq!(told.len(), (2usize << 20).div_ceil(10));
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}
