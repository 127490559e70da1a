//! Time as an argument: instants of the contract's form, and a clock that tests can set.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Datelike, LocalResult, NaiveDateTime, SecondsFormat, TimeZone as _, Timelike, Utc};
use chrono_tz::Tz;

/// An instant in UTC with microseconds; written as RFC 3339 with `Z`.
///
/// ```
/// use plimsoll::domain::clock::Timestamp;
/// let t = Timestamp::parse("2025-11-18T13:25:41.345678+05:30").expect("a valid time");
/// assert_eq!(t.to_string(), "2025-11-18T07:55:41.345678Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 0000-01-01T00:00:00Z and the last microsecond of the year 9999: what RFC 3339 can write.
const RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

impl Timestamp {
    /// The instant `micros` microseconds after 1970-01-01T00:00:00Z, cut to the years 0 to 9999.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(*RANGE.start(), *RANGE.end()))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The instant this much later.
    #[must_use]
    pub fn after(self, time: std::time::Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Whole milliseconds since 1970-01-01T00:00:00Z; 0 before it.
    #[must_use]
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.div_euclid(1000)).unwrap_or(0)
    }

    /// Reads an RFC 3339 time with an offset or `Z`.
    ///
    /// # Errors
    /// Says what is expected, for the sender of the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "must be an RFC 3339 time with an offset, such as 2025-11-18T07:55:41.345678Z";
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| EXPECTED)?;
        let micros = parsed.timestamp_micros();
        if RANGE.contains(&micros) { Ok(Self(micros)) } else { Err(EXPECTED) }
    }

    /// Reads an ISO 8601 time without an offset as one of `timezone`; `None` for any other text. Of a time that came twice,
    /// where a clock was set back, it is the first.
    ///
    /// # Errors
    /// There was no such time in `timezone`.
    ///
    /// ```
    /// use plimsoll::domain::clock::Timestamp;
    /// let read = |text: &str| Timestamp::parse_local(text, chrono_tz::Europe::Berlin);
    /// assert_eq!(read("2024-10-27 02:30:00"), Timestamp::parse("2024-10-27T00:30:00Z").map(Some).map_err(str::to_owned));
    /// assert_eq!(read("2024-10-27T02:30:00Z"), Ok(None));
    /// assert!(read("2024-03-31T02:30:00").is_err(), "the clocks went from 02:00 to 03:00");
    /// ```
    pub fn parse_local(text: &str, timezone: Tz) -> Result<Option<Self>, String> {
        let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
        let local = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
        let Some(local) = local else { return Ok(None) };
        match timezone.from_local_datetime(&local) {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => {
                let micros = time.timestamp_micros();
                Ok(RANGE.contains(&micros).then_some(Self(micros)))
            }
            LocalResult::None => Err(format!("there is no such time in {timezone}, whose clocks were set ahead")),
        }
    }

    /// Appends the 27 characters of the RFC 3339 form to `out`.
    pub fn write(self, out: &mut Vec<u8>) {
        let time = self.datetime();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let fields: [(usize, usize, u32); 7] = [
            (0, 4, u32::try_from(time.year()).unwrap_or(0)),
            (5, 2, time.month()),
            (8, 2, time.day()),
            (11, 2, time.hour()),
            (14, 2, time.minute()),
            (17, 2, time.second()),
            (20, 6, time.timestamp_subsec_micros().min(999_999)),
        ];
        for (at, width, mut value) in fields {
            for digit in text.iter_mut().skip(at).take(width).rev() {
                *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
                value /= 10;
            }
        }
        out.extend_from_slice(&text);
    }

    fn datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.datetime().to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

/// Where an actor or a route learns what time it is.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that shows what `read` returns.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_fast_writer_agrees_with_chrono(micros in RANGE) {
            let time = Timestamp::from_micros(micros);
            let mut written = Vec::new();
            time.write(&mut written);
            prop_assert_eq!(String::from_utf8(written).expect("ascii"), time.to_string());
        }

        #[test]
        fn a_written_time_reads_back(micros in 0..*RANGE.end()) {
            let time = Timestamp::from_micros(micros);
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        }
    }

    #[test]
    fn a_local_time_that_no_rfc_3339_time_is_equal_to_is_none() {
        for text in ["+10000-06-01T00:00:00", "0000-01-01T00:00:00", "-0001-06-01T00:00:00", "2024-08-05", "2024-08-05T09:19"] {
            assert_eq!(Timestamp::parse_local(text, chrono_tz::Asia::Kolkata), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_time_without_offset_is_refused() {
        assert!(Timestamp::parse("2025-11-18T07:55:41").is_err());
        assert!(Timestamp::parse("yesterday").is_err());
    }
}
