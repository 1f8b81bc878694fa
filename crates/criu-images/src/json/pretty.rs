//! The texts that `--pretty` writes in place of integers, by the schema's `(criu)` options.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names;
use crate::schema::tables::{Field, Options};

/// Returns the text for an integer, or `None` if it stays a number. `hex` is what the messages around the field say.
pub(crate) fn integer(field: &Field, number: i128, hex: bool) -> Option<String> {
    let options = &field.options;
    if hex || options.hex {
        return Some(hexadecimal(number));
    }
    if options.dev {
        return Some(device(options, number as u64));
    }
    if let Some(name) = options.flags {
        return Some(match names::flags(name) {
            Some(bits) => flags(number as u64, bits),
            None => hexadecimal(number),
        });
    }
    let values = names::dictionary(options.dict?, field.name)?;
    values.iter().find(|(_, value)| i128::from(*value) == number).map(|(name, _)| (*name).to_owned())
}

/// Returns the words of an address field as one address: 1 word is IPv4, 4 are IPv6. Other counts are none.
///
/// The words hold the bytes in network order, as the machine that dumped reads them: little-endian but on s390x. crit
/// takes the order of the machine that it runs on, so the order of the image is given.
pub(crate) fn address(words: &[u32], big_endian: bool) -> Option<String> {
    let bytes = |word: u32| if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
    match *words {
        [word] => Some(Ipv4Addr::from(bytes(word)).to_string()),
        [a, b, c, d] => {
            let mut all = [0; 16];
            for (part, word) in all.as_chunks_mut().0.iter_mut().zip([a, b, c, d]) {
                *part = bytes(word);
            }
            Some(compressed(Ipv6Addr::from(all)))
        }
        _ => None,
    }
}

/// Writes an IPv6 address as Python's `ipaddress` does: never with a dotted tail.
fn compressed(address: Ipv6Addr) -> String {
    let segments = address.segments();
    // The first of the longest runs of two or more zeros.
    let mut longest = 0..0;
    let mut start = 0;
    for (at, segment) in segments.iter().enumerate() {
        if *segment != 0 {
            start = at + 1;
        } else if at + 1 - start > longest.len() {
            longest = start..at + 1;
        }
    }
    let join = |part: &[u16]| part.iter().map(|it| format!("{it:x}")).collect::<Vec<_>>().join(":");
    if longest.len() < 2 {
        return join(&segments);
    }
    format!("{}::{}", join(&segments[..longest.start]), join(&segments[longest.end..]))
}

fn hexadecimal(number: i128) -> String {
    match number {
        0.. => format!("{number:#x}"),
        _ => format!("-{:#x}", number.unsigned_abs()),
    }
}

/// Writes a device number as `major:minor`.
fn device(options: &Options, number: u64) -> String {
    let (major, minor) = if options.odev {
        // dev_t of the C library.
        (number >> 8 & 0xfff | number >> 32 & 0xffff_f000, number & 0xff | number >> 12 & 0xffff_ff00)
    } else {
        (number >> 20, number & 0xf_ffff)
    };
    format!("{major}:{minor}")
}

/// Puts a device number together; the inverse of [`device`].
fn device_number(options: &Options, major: u64, minor: u64) -> Option<u64> {
    let number = if options.odev {
        let (low_major, high_major) = (major & 0xfff, major & 0xffff_f000);
        let (low_minor, high_minor) = (minor & 0xff, minor & 0xffff_ff00);
        high_major << 32 | high_minor << 12 | low_major << 8 | low_minor
    } else {
        major << 20 | minor & 0xf_ffff
    };
    // Whatever does not fit is no device number.
    (device(options, number) == format!("{major}:{minor}")).then_some(number)
}

fn flags(number: u64, bits: &[(&str, u32)]) -> String {
    let mut text = String::new();
    let mut rest = number;
    for (name, bit) in bits {
        let bit = u64::from(*bit);
        if number & bit != 0 {
            if !text.is_empty() {
                text.push_str(" | ");
            }
            text.push_str(name);
            rest &= !bit;
        }
    }
    if rest != 0 {
        let separator = if text.is_empty() { "" } else { " | " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{rest:#x}");
    }
    text
}

/// Reads the text of an integer: what [`integer`] writes, and numbers in decimal or hexadecimal.
pub(crate) fn number(field: &Field, text: &str) -> Option<i128> {
    let options = &field.options;
    if let Some(number) = literal(text) {
        return Some(number);
    }
    if options.dev
        && let Some((major, minor)) = text.split_once(':')
    {
        let (major, minor) = (major.trim().parse().ok()?, minor.trim().parse().ok()?);
        return device_number(options, major, minor).map(i128::from);
    }
    if let Some(name) = options.flags {
        let bits = names::flags(name)?;
        let mut all = 0;
        for part in text.split('|').map(str::trim).filter(|part| !part.is_empty()) {
            let named = bits.iter().find(|(name, _)| *name == part).map(|(_, bit)| i128::from(*bit));
            all |= named.or_else(|| literal(part))?;
        }
        return Some(all);
    }
    let values = names::dictionary(options.dict?, field.name)?;
    values.iter().find(|(name, _)| *name == text).map(|(_, value)| i128::from(*value))
}

/// Reads an address into the words that [`address`] writes.
pub(crate) fn words(text: &str, big_endian: bool) -> Option<Vec<u32>> {
    let word =
        |bytes: [u8; 4]| if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    match text.parse().ok()? {
        IpAddr::V4(address) => Some(vec![word(address.octets())]),
        IpAddr::V6(address) => {
            Some(address.octets().as_chunks().0.iter().map(|bytes| word(*bytes)).collect())
        }
    }
}

fn literal(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => digits.parse::<u64>(),
    };
    // `parse` takes a sign of its own, which would be the second one.
    number.ok().filter(|_| !digits.contains('+')).map(|number| sign * i128::from(number))
}

/// Returns a count of bytes as `crit show --nopl` does: in steps of 1024, with one digit unless it is whole.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = bytes as f64;
    for name in ["", "K", "M", "G", "T", "P", "E"] {
        if unit < 1024.0 {
            return if unit.fract() == 0.0 {
                format!("{unit:.0}{name}B")
            } else {
                format!("{unit:.1}{name}B")
            };
        }
        unit /= 1024.0;
    }
    format!("{unit:.1}ZB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_the_order_of_the_dumping_machine() {
        assert_eq!(address(&[0x0100_007f], false).unwrap(), "127.0.0.1");
        assert_eq!(address(&[0x7f00_0001], true).unwrap(), "127.0.0.1");
        assert_eq!(address(&[0, 0, 0, 0x0100_0000], false).unwrap(), "::1");
        assert_eq!(address(&[0, 0, 0xffff_0000, 0x0100_007f], false).unwrap(), "::ffff:7f00:1");
        assert_eq!(address(&[0x0000_0120, 0, 0x0000_0100, 0], false).unwrap(), "2001::1:0:0:0");
        assert_eq!(address(&[1, 2], false), None);
    }

    #[test]
    fn sizes_step_by_1024() {
        let sizes = [0, 58, 1023, 1024, 1536, 4096, 1 << 20, (1 << 20) + 1].map(size);
        assert_eq!(sizes, ["0B", "58B", "1023B", "1KB", "1.5KB", "4KB", "1MB", "1.0MB"]);
    }

    #[test]
    fn device_numbers_of_the_kernel_and_of_user_space() {
        let options = |odev| Options { odev, ..crate::schema::messages::MNT_ENTRY.fields[2].options };
        assert_eq!(device(&options(false), 0x0080_0001), "8:1");
        assert_eq!(device(&options(true), 0x103), "1:3");
        assert_eq!(device(&options(true), 0xfff0_00ff), "0:1048575");
    }
}
