//! Points in time as text: RFC 3339, always with the offset, nanoseconds kept.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// Shows times in the zone that the user reads.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: Option<TimeZone>,
}

impl Clock {
    /// A clock that shows UTC, or the local zone (`TZ`, else the system's; UTC if there is none).
    #[must_use]
    pub fn new(utc: bool) -> Self {
        Self { zone: if utc { None } else { TimeZone::try_system().ok() } }
    }

    /// Formats a time: `2026-11-22T04:13:24.845206677Z`, `2026-11-22T05:13:24+01:00`.
    ///
    /// As many digits of the second as the time has; `Z` wherever the offset is zero.
    #[must_use]
    pub fn text(&self, time: Timestamp) -> String {
        let offset = self.zone.as_ref().map_or(Offset::UTC, |zone| zone.to_offset(time));
        if offset == Offset::UTC { utc_text(time) } else { time.display_with_offset(offset).to_string() }
    }
}

/// Formats a time in UTC, whatever the user reads: for JSON, whose bytes depend on the evidence alone.
#[must_use]
pub fn utc_text(time: Timestamp) -> String {
    time.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn utc_ends_in_z_and_keeps_nanoseconds() {
        let clock = Clock::new(true);
        for text in ["2026-11-22T04:13:24.845206677Z", "2026-11-22T04:13:24Z", "1969-12-31T23:59:59.5Z"] {
            assert_eq!(clock.text(time(text)), text);
        }
    }

    #[test]
    fn local_times_carry_the_offset_that_was_in_force() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let clock = Clock { zone: Some(zone) };
        assert_eq!(clock.text(time("2026-11-22T04:13:24.845206677Z")), "2026-11-22T05:13:24.845206677+01:00");
        assert_eq!(clock.text(time("2026-07-01T00:00:00Z")), "2026-07-01T02:00:00+02:00");
    }

    #[test]
    fn a_local_zone_without_offset_reads_as_utc() {
        let clock = Clock { zone: Some(TimeZone::posix("GMT0BST,M3.5.0/1,M10.5.0").unwrap()) };
        assert_eq!(clock.text(time("2026-11-22T04:13:24Z")), "2026-11-22T04:13:24Z");
        assert_eq!(clock.text(time("2026-07-01T00:00:00Z")), "2026-07-01T01:00:00+01:00");
    }

    #[test]
    fn ends_of_time_are_shown() {
        let clock = Clock { zone: Some(TimeZone::posix("XXX-14").unwrap()) };
        for time in [Timestamp::MIN, Timestamp::MAX] {
            assert!(clock.text(time).ends_with("+14:00"));
        }
    }
}
