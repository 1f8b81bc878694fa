//! The records of a pax extended header (POSIX.1-2001): `LENGTH KEY=VALUE\n`.

use super::member::ModificationTime;

/// The records of one or several pax headers, in stored order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pax {
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Pax {
    /// Reads records by their length fields: keys and values of hostile files hold newlines. Ends at the first one that makes no sense.
    pub(crate) fn parse(mut bytes: &[u8]) -> Self {
        let mut records = Vec::new();
        while let Some((key, value, rest)) = split_record(bytes) {
            records.push((key.to_vec(), value.to_vec()));
            bytes = rest;
        }
        Self { records }
    }

    /// Adds later records; a later one of the same key takes the earlier one's place. No more than so many bytes are kept.
    pub(crate) fn merge(&mut self, later: Self, most: usize) {
        for (key, value) in later.records {
            self.records.retain(|(known, _)| *known != key);
            let held: usize = self.records.iter().map(|(key, value)| key.len() + value.len()).sum();
            if held + key.len() + value.len() <= most {
                self.records.push((key, value));
            }
        }
    }

    /// These records with others beneath them, which hold where these say nothing.
    pub(crate) fn over<'a>(&'a self, beneath: &'a Self) -> Layered<'a> {
        Layered { upper: self, lower: beneath }
    }

    /// The last value of a key.
    pub(crate) fn value(&self, key: &str) -> Option<&[u8]> {
        self.records.iter().rev().find(|(name, _)| name == key.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// Extended attributes of the file: `SCHILY.xattr.NAME`.
    pub(crate) fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let named = |(key, value): &(Vec<u8>, Vec<u8>)| {
            Some((key.strip_prefix(b"SCHILY.xattr.")?.to_vec(), value.clone()))
        };
        self.records.iter().filter_map(named).collect()
    }
}

/// The records of a member with those that hold for all members beneath them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layered<'a> {
    upper: &'a Pax,
    lower: &'a Pax,
}

impl<'a> Layered<'a> {
    /// The value of a key.
    pub(crate) fn value(&self, key: &str) -> Option<&'a [u8]> {
        self.upper.value(key).or_else(|| self.lower.value(key))
    }

    /// The last value of a key as a decimal number.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        std::str::from_utf8(self.value(key)?).ok()?.parse().ok()
    }

    /// All values of a key in the member's own records, in stored order, as decimal numbers; `None` when one is no number.
    pub(crate) fn numbers(&self, key: &str) -> Option<Vec<u64>> {
        let own = self.upper.records.iter().filter(|(name, _)| name == key.as_bytes());
        own.map(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok()).collect()
    }

    /// The last value of a key as seconds with a fraction, possibly negative.
    pub(crate) fn time(&self, key: &str) -> Option<ModificationTime> {
        let text = std::str::from_utf8(self.value(key)?).ok()?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds: i64 = whole.parse().ok()?;
        let mut digits = fraction.as_bytes().iter().take(9).copied().collect::<Vec<_>>();
        digits.resize(9, b'0');
        let nanoseconds: u32 = std::str::from_utf8(&digits).ok()?.parse().ok()?;
        if whole.starts_with('-') && nanoseconds > 0 {
            // -1.25 is 0.75 s after -2.
            return Some(ModificationTime {
                seconds: seconds.checked_sub(1)?,
                nanoseconds: 1_000_000_000 - nanoseconds,
            });
        }
        Some(ModificationTime { seconds, nanoseconds })
    }
}

fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
    let record = bytes.get(..length)?.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_newlines() {
        let pax = Pax::parse(b"25 SCHILY.xattr.a=x\n=y\nz\n11 path=ab\n");
        assert_eq!(pax.xattrs(), [(b"a".to_vec(), b"x\n=y\nz".to_vec())]);
        assert_eq!(pax.value("path"), Some(&b"ab"[..]));
    }

    #[test]
    fn times_before_1970_have_a_positive_fraction() {
        let time = |text: &str| {
            let record = format!(" mtime={text}\n");
            let length = record.len() + 2;
            Pax::parse(format!("{length}{record}").as_bytes()).over(&Pax::default()).time("mtime")
        };
        assert_eq!(time("-1.25"), Some(ModificationTime { seconds: -2, nanoseconds: 750_000_000 }));
        assert_eq!(
            time("1550000000.5"),
            Some(ModificationTime { seconds: 1_550_000_000, nanoseconds: 500_000_000 })
        );
        assert_eq!(time("12x"), None);
    }

    #[test]
    fn a_record_that_lies_about_its_length_ends_the_list() {
        assert!(Pax::parse(b"999 path=ab\n").value("path").is_none());
        assert!(Pax::parse(b"3 p\n").value("p").is_none());
        assert!(Pax::parse(b"99999999999999999999999 path=ab\n").value("path").is_none());
    }
}
