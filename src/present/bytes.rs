//! Numbers as text: sizes, addresses, durations, counts.

/// Formats a size in bytes as checkpointctl does: `305 B`, `3.5 KiB`, `9.2 MiB`.
///
/// Below 1024 the bytes themselves; else one decimal of the largest power of 1024 that the size holds at least once, by
/// whole division. So a byte short of one MiB is `1024.0 KiB` (checkpointctl, `lib/metadata.go`, `ByteToString`).
#[must_use]
pub fn size_text(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut divisor = 1024_u64;
    let mut letters = "KMGTPE".chars();
    let mut letter = letters.next();
    while bytes / divisor >= 1024 {
        divisor *= 1024;
        letter = letters.next();
    }
    format!("{:.1} {}iB", bytes as f64 / divisor as f64, letter.unwrap_or('E'))
}

/// Formats a virtual address, or any value that is read in hexadecimal, as `0x` and 16 digits.
///
/// All have the same length, so that they line up and sort as text.
#[must_use]
pub fn address_text(address: u64) -> String {
    format!("{address:#018x}")
}

/// Appends an address as [`address_text`] formats it.
pub fn push_address(line: &mut Vec<u8>, address: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = *b"0x0000000000000000";
    for (place, digit) in text[2..].iter_mut().rev().enumerate() {
        *digit = DIGITS[(address >> (4 * place)) as usize & 0xf];
    }
    line.extend_from_slice(&text);
}

/// Formats a duration given in microseconds: `368 µs`, `24.945 ms`, `4.4647 s`.
///
/// Five significant digits without trailing zeros after the point, as checkpointctl shows CRIU's statistics. It also
/// cuts zeros before the point (100 000 µs become `1 ms`, `internal/utils.go`, `FormatTime`); here they stay.
#[must_use]
pub fn duration_text(microseconds: u64) -> String {
    match microseconds {
        0..=999 => format!("{microseconds} µs"),
        1_000..=999_999 => format!("{} ms", five_digits(microseconds as f64 / 1e3)),
        _ => {
            // Whole and broken seconds are added as Go's `Duration.Seconds` does: both round alike.
            let whole = (microseconds / 1_000_000) as f64;
            let broken = (microseconds % 1_000_000 * 1_000) as f64 / 1e9;
            format!("{} s", five_digits(whole + broken))
        }
    }
}

/// Formats a positive number with five significant digits, as C's `%.5g` does but never with an exponent.
fn five_digits(value: f64) -> String {
    // The exponent is taken after rounding: 9.99999 has five digits as 10.000.
    let scientific = format!("{value:.4e}");
    let exponent: i32 = scientific.rsplit_once('e').and_then(|(_, digits)| digits.parse().ok()).unwrap_or(0);
    let decimals = usize::try_from(4 - exponent).unwrap_or(0);
    let fixed = format!("{value:.decimals$}");
    if decimals == 0 {
        return fixed;
    }
    fixed.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Formats a count with the noun it counts: `1 process`, `3 processes`.
#[must_use]
pub fn count_text(count: u64, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{count} {noun}")
}

/// Bytes as hexadecimal digits: a hash.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes as checkpointctl 1.5.0 printed them for real checkpoints, and the edges of its rule.
    #[test]
    fn an_address_is_pushed_as_it_is_formatted() {
        for address in [0, 1, 0x7f58_aec1_b064, u64::MAX] {
            let mut line = Vec::new();
            push_address(&mut line, address);
            assert_eq!(line, address_text(address).as_bytes());
        }
    }

    #[test]
    fn sizes_are_those_of_the_go_peer() {
        let cases = [
            (0, "0 B"),
            (305, "305 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (3584, "3.5 KiB"),
            (4608, "4.5 KiB"),
            (28672, "28.0 KiB"),
            (46767, "45.7 KiB"),
            (106496, "104.0 KiB"),
            (125113, "122.2 KiB"),
            (1024 * 1024 - 1, "1024.0 KiB"),
            (1024 * 1024, "1.0 MiB"),
            (3602087, "3.4 MiB"),
            (9568256, "9.1 MiB"),
            (9754830, "9.3 MiB"),
            (1 << 30, "1.0 GiB"),
            (1 << 40, "1.0 TiB"),
            (1 << 50, "1.0 PiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size_text(bytes), text, "{bytes}");
        }
    }

    /// Pairs out of checkpointctl's JSON and tree output for the same checkpoint.
    #[test]
    fn durations_are_those_of_the_go_peer() {
        let cases = [
            (188, "188 µs"),
            (421, "421 µs"),
            (1882, "1.882 ms"),
            (4020, "4.02 ms"),
            (4466, "4.466 ms"),
            (23024, "23.024 ms"),
            (100634, "100.63 ms"),
            (100763, "100.76 ms"),
            (100767, "100.77 ms"),
            (108565, "108.56 ms"),
            (214946, "214.95 ms"),
            (235598, "235.6 ms"),
            (310798, "310.8 ms"),
            (381915, "381.92 ms"),
            (4464705, "4.4647 s"),
        ];
        for (microseconds, text) in cases {
            assert_eq!(duration_text(microseconds), text, "{microseconds}");
        }
    }

    #[test]
    fn zeros_before_the_point_stay() {
        for (microseconds, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1 ms"),
            (10_000, "10 ms"),
            (100_000, "100 ms"),
            (999_999, "1000 ms"),
            (1_000_000, "1 s"),
            (200_000_000, "200 s"),
            (4_294_967_295, "4295 s"),
            (123_456_789_000_000, "123456789 s"),
        ] {
            assert_eq!(duration_text(microseconds), text, "{microseconds}");
        }
    }

    #[test]
    fn addresses_have_sixteen_digits() {
        assert_eq!(address_text(0), "0x0000000000000000");
        assert_eq!(address_text(0x7f3a_1000), "0x000000007f3a1000");
        assert_eq!(address_text(u64::MAX), "0xffffffffffffffff");
    }

    #[test]
    fn nouns_follow_their_number() {
        assert_eq!(count_text(0, "gap", "gaps"), "0 gaps");
        assert_eq!(count_text(1, "gap", "gaps"), "1 gap");
        assert_eq!(count_text(2, "gap", "gaps"), "2 gaps");
    }

    /// Compares with every statistic in the peer's own output over the corpus.
    #[test]
    fn corpus_statistics_read_as_the_go_peer_shows_them() {
        let Some(corpus) = std::env::var_os("COLDCASE_CORPUS") else {
            println!("skipped: no corpus");
            return;
        };
        let labels = [
            ("total_size", "Checkpoint size: ", size_text as fn(u64) -> String),
            ("memory_pages_size", "Memory pages size: ", size_text),
            ("root_fs_diff_size", "Root FS diff size: ", size_text),
            ("freezing_time", "Freezing time: ", duration_text),
            ("frozen_time", "Frozen time: ", duration_text),
            ("memdump_time", "Memdump time: ", duration_text),
            ("memwrite_time", "Memwrite time: ", duration_text),
        ];
        let mut compared = 0;
        for entry in std::fs::read_dir(std::path::Path::new(&corpus).join("checkpoints/golden")).unwrap() {
            let directory = entry.unwrap().path().join("checkpointctl");
            let Ok(tree) = std::fs::read_to_string(directory.join("inspect-stats.tree.out")) else {
                continue;
            };
            let json = std::fs::read(directory.join("inspect-stats.json.out")).unwrap();
            let Ok(json) = serde_json::from_slice::<serde_json::Value>(&json) else { continue };
            for (key, label, format) in labels {
                let number =
                    ["checkpoint_size", "statistics"].iter().find_map(|group| json[0][group][key].as_u64());
                let Some((_, shown)) = tree.lines().find_map(|line| line.split_once(label)) else { continue };
                assert_eq!(format(number.unwrap()), shown, "{key} of {}", directory.display());
                compared += 1;
            }
        }
        assert!(compared >= 50, "only {compared} values were there to compare");
    }
}
