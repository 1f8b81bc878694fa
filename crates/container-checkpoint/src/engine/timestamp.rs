//! A point in time as an engine wrote it.

use std::fmt;

use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;

/// A point in time: the evidence's own text beside the instant it means, to the nanosecond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    text: String,
    instant: jiff::Timestamp,
    offset: Offset,
}

/// A text that should have been a time and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no RFC 3339 time")]
pub struct NotATime;

/// No time that an engine writes is longer: 19 digits and marks, nine decimals, an offset of six.
const LONGEST: usize = 40;

/// Seconds from 1970-01-01T00:00:00Z back to Go's zero `time.Time`, 0001-01-01T00:00:00Z.
const GO_ZERO: i64 = -62_135_596_800;

impl Timestamp {
    /// Reads a time as Go's `encoding/json` writes `time.Time`: RFC 3339 with up to nine decimals and `Z` or
    /// an offset.
    ///
    /// `None` is Go's zero time, `0001-01-01T00:00:00Z`, which stands for "not set".
    ///
    /// # Errors
    /// [`NotATime`] for anything that isn't such a text.
    pub fn from_rfc3339(text: &str) -> Result<Option<Self>, NotATime> {
        // The parser behind this takes more than RFC 3339 (annotations in brackets, a blank for the T): the
        // shape is checked first.
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b"-+:.TZ".contains(&b));
        if text.len() > LONGEST || !plain || text.as_bytes().get(10) != Some(&b'T') {
            return Err(NotATime);
        }
        let instant: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        if instant.as_second() == GO_ZERO && instant.subsec_nanosecond() == 0 {
            return Ok(None);
        }
        let offset = Pieces::parse(text).map_err(|_| NotATime)?.to_numeric_offset().ok_or(NotATime)?;
        Ok(Some(Self { text: text.to_owned(), instant, offset }))
    }

    /// Takes nanoseconds since 1970-01-01T00:00:00Z, as the CRI counts; `None` for 0, which stands for "not
    /// set".
    ///
    /// The text is the number itself.
    pub fn from_nanoseconds(nanoseconds: i64) -> Option<Self> {
        let instant = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
        (nanoseconds != 0).then(|| Self { text: nanoseconds.to_string(), instant, offset: Offset::UTC })
    }

    /// Takes whole seconds since 1970-01-01T00:00:00Z, as file times in archives count; `None` for 0 (a time
    /// that was taken out) and for what lies beyond the year 9999.
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        let instant = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
        (seconds != 0).then(|| Self { text: instant.to_string(), instant, offset: Offset::UTC })
    }

    /// The evidence's own text: RFC 3339, or a count of nanoseconds.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The instant, to the nanosecond.
    pub fn instant(&self) -> jiff::Timestamp {
        self.instant
    }

    /// RFC 3339 in the offset of the evidence, cut to whole seconds: what Go's `time.RFC3339` layout gives,
    /// and so checkpointctl.
    pub fn to_seconds_text(&self) -> String {
        let local = self.offset.to_datetime(self.instant);
        let minutes = self.offset.seconds() / 60;
        let zone = match minutes {
            0 => "Z".to_owned(),
            _ => format!(
                "{}{:02}:{:02}",
                if minutes < 0 { '-' } else { '+' },
                minutes.abs() / 60,
                minutes.abs() % 60
            ),
        };
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{zone}",
            local.year(),
            local.month(),
            local.day(),
            local.hour(),
            local.minute(),
            local.second()
        )
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with all decimals that are not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.instant.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap().unwrap()
    }

    #[test]
    fn keeps_the_text_and_all_nanoseconds() {
        let time = read("2026-11-22T04:04:32.622076594Z");
        assert_eq!(time.text(), "2026-11-22T04:04:32.622076594Z");
        assert_eq!(time.instant().as_nanosecond(), 1_795_320_272_622_076_594);
        assert_eq!(time.to_seconds_text(), "2026-11-22T04:04:32Z");
    }

    #[test]
    fn an_offset_stays_in_the_peers_text_and_not_in_the_instant() {
        let time = read("2026-11-22T15:50:33.9+02:00");
        assert_eq!(time.to_string(), "2026-11-22T13:50:33.9Z");
        assert_eq!(time.to_seconds_text(), "2026-11-22T15:50:33+02:00");
        assert_eq!(read("2026-01-01T00:00:00-03:30").to_seconds_text(), "2026-01-01T00:00:00-03:30");
        assert_eq!(read("2026-01-01T00:00:00+00:00").to_seconds_text(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn gos_zero_time_is_unset() {
        assert_eq!(Timestamp::from_rfc3339("0001-01-01T00:00:00Z"), Ok(None));
        assert_eq!(Timestamp::from_nanoseconds(0), None);
        assert_eq!(Timestamp::from_seconds(0), None);
    }

    #[test]
    fn nanoseconds_beyond_a_double_stay_exact() {
        let time = Timestamp::from_nanoseconds(1_795_322_707_340_160_556).unwrap();
        assert_eq!(time.text(), "1795322707340160556");
        assert_eq!(time.to_string(), "2026-11-22T04:45:07.340160556Z");
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2026-11-22",
            "2026-11-22T04:04:32",
            "2026-13-22T04:04:32Z",
            "2026-11-22 04:04:32Z",
            "2026-11-22T04:04:32Z[Europe/Paris]",
            "2026-11-22T04:04:32Z\u{1b}[31m",
            "99999-11-22T04:04:32Z",
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), Err(NotATime), "{text}");
        }
        assert_eq!(Timestamp::from_rfc3339(&"9".repeat(100_000)), Err(NotATime));
        assert_eq!(Timestamp::from_seconds(u64::MAX), None);
    }
}
