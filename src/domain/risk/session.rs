//! The trading day: which one an instant belongs to, and when one begins.
//!
//! A day begins at the roll time of the session's time zone. A roll time before 12:00 begins the day of the same date; one
//! from 12:00 on begins the day of the **next** date, as futures exchanges name their evening sessions. Where clocks are set
//! back over the roll time the day begins at the first of the two; where they are set ahead over it, as much later as they
//! are set ahead. A date that a zone left out altogether (Samoa, 2011-12-30) has no day.

use chrono::{Days, NaiveDate, NaiveTime, Offset as _, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;

use crate::domain::clock::Timestamp;

/// The calendar of trading days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    timezone: Tz,
    roll: NaiveTime,
}

/// One trading day: from `start` until right before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Its name.
    pub date: NaiveDate,
    /// Its first instant.
    pub start: Timestamp,
    /// The next day's first instant.
    pub end: Timestamp,
}

impl Day {
    /// Whether `time` is in it.
    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }
}

impl Session {
    /// Days of `timezone` that begin at local time `roll`.
    #[must_use]
    pub fn new(timezone: Tz, roll: NaiveTime) -> Self {
        Self { timezone, roll }
    }

    /// The time zone.
    #[must_use]
    pub fn timezone(&self) -> Tz {
        self.timezone
    }

    /// When the day of `date` begins.
    #[must_use]
    pub fn start_of(&self, date: NaiveDate) -> Timestamp {
        let first = if self.rolls_before() { date.checked_sub_days(Days::new(1)).unwrap_or(date) } else { date };
        let local = first.and_time(self.roll);
        let start = match self.timezone.from_local_datetime(&local).earliest() {
            Some(time) => time.to_utc(),
            None => {
                // the time is left out: by the offset that held before
                let before = local.checked_sub_days(Days::new(1)).unwrap_or(local);
                let offset = self.timezone.offset_from_utc_datetime(&before).fix();
                Utc.from_utc_datetime(&(local - offset))
            }
        };
        Timestamp::from_micros(start.timestamp_micros())
    }

    /// The date of the day that `time` belongs to.
    #[must_use]
    pub fn date_of(&self, time: Timestamp) -> NaiveDate {
        let utc = chrono::DateTime::from_timestamp_micros(time.micros()).unwrap_or_default();
        let mut date = self.timezone.from_utc_datetime(&utc.naive_utc()).date_naive();
        while self.start_of(date) > time {
            let Some(before) = date.pred_opt() else { break };
            date = before;
        }
        while let Some(next) = date.succ_opt() {
            let start = self.start_of(next);
            // behind the last instant that can be written no day begins
            if start > time || start == Timestamp::from_micros(i64::MAX) {
                break;
            }
            date = next;
        }
        date
    }

    /// The day of `date`.
    #[must_use]
    pub fn day(&self, date: NaiveDate) -> Day {
        let next = date.succ_opt().unwrap_or(date);
        Day { date, start: self.start_of(date), end: self.start_of(next) }
    }

    /// The day that `time` belongs to.
    #[must_use]
    pub fn day_of(&self, time: Timestamp) -> Day {
        self.day(self.date_of(time))
    }

    fn rolls_before(&self) -> bool {
        self.roll.hour() >= 12
    }
}

/// The zone's name and the roll time, such as `Asia/Kolkata 00:00`: two sessions with the same text have the same days.
impl std::fmt::Display for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.timezone, self.roll.format("%H:%M:%S"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{America, Asia, Europe};
    use proptest::prelude::*;

    fn time(hour: u32, minute: u32) -> NaiveTime {
        NaiveTime::from_hms_opt(hour, minute, 0).expect("a time")
    }

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    proptest! {
        #[test]
        fn every_instant_is_in_exactly_one_day_and_days_follow_each_other(
            zone in proptest::sample::select(vec![Asia::Kolkata, Europe::Berlin, America::New_York, America::Sao_Paulo, Asia::Beirut,
                Tz::Australia__Lord_Howe, Tz::Pacific__Chatham, Tz::UTC, America::Havana]),
            hour in 0_u32..24, minute in 0_u32..60, seconds in 946_684_800_i64..4_000_000_000,
        ) {
            let session = Session::new(zone, time(hour, minute));
            let instant = Timestamp::from_micros(seconds * 1_000_000);
            let day = session.day_of(instant);
            prop_assert!(day.contains(instant));
            prop_assert_eq!(session.date_of(day.start), day.date);
            prop_assert!(day.start < day.end);
            prop_assert_eq!(session.date_of(Timestamp::from_micros(day.start.micros() - 1)), day.date.pred_opt().expect("a day before"));
            prop_assert_eq!(session.day_of(day.end).start, day.end);
        }
    }

    #[test]
    fn an_evening_session_belongs_to_the_next_date() {
        let session = Session::new(America::Chicago, time(17, 0));
        let evening = Timestamp::parse("2025-11-18T17:00:00-06:00").expect("a time");
        assert_eq!(session.date_of(evening), date("2025-11-19"));
        assert_eq!(session.date_of(Timestamp::from_micros(evening.micros() - 1)), date("2025-11-18"));
        let morning = Session::new(Asia::Kolkata, time(6, 0));
        assert_eq!(morning.date_of(Timestamp::parse("2025-11-19T05:59:59+05:30").expect("a time")), date("2025-11-18"));
    }

    #[test]
    fn the_first_and_the_last_instant_have_a_day_too() {
        for zone in [Asia::Kolkata, America::New_York, Tz::UTC] {
            let session = Session::new(zone, time(17, 0));
            for micros in [i64::MIN, i64::MAX] {
                let instant = Timestamp::from_micros(micros);
                assert!(session.start_of(session.date_of(instant)) <= instant);
            }
        }
    }

    #[test]
    fn a_roll_time_that_is_left_out_or_comes_twice_begins_one_day() {
        let berlin = Session::new(Europe::Berlin, time(2, 30));
        let start = |day: &str| berlin.start_of(date(day)).to_string();
        assert_eq!(start("2025-03-30"), "2025-03-30T01:30:00.000000Z", "there is no 02:30; it begins at 03:30");
        assert_eq!(start("2025-10-26"), "2025-10-26T00:30:00.000000Z", "the first of two");
        let midnight = Session::new(America::Sao_Paulo, time(0, 0));
        assert_eq!(midnight.start_of(date("2018-11-04")).to_string(), "2018-11-04T03:00:00.000000Z");
    }
}
