//! The trading day: which one an instant belongs to, and when one begins.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Timelike as _};
use chrono_tz::Tz;

use crate::domain::clock::Timestamp;

/// How the days of trading follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    timezone: Tz,
    /// When a day begins; one that begins from noon on has the next date, as futures exchanges name it.
    roll: NaiveTime,
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

    fn is_evening(&self) -> bool {
        self.roll.hour() >= 12
    }

    /// The trading day that `at` belongs to.
    #[must_use]
    pub fn date_of(&self, at: Timestamp) -> NaiveDate {
        let local = DateTime::from_timestamp_micros(at.micros()).unwrap_or_default().with_timezone(&self.timezone);
        let (date, is_after_roll) = (local.date_naive(), local.time() >= self.roll);
        let day = match (self.is_evening(), is_after_roll) {
            (false, false) => date.pred_opt(),
            (true, true) => date.succ_opt(),
            _ => Some(date),
        };
        day.unwrap_or(date)
    }

    /// When trading day `day` begins.
    #[must_use]
    pub fn start_of(&self, day: NaiveDate) -> Timestamp {
        let date = if self.is_evening() { day.pred_opt().unwrap_or(day) } else { day };
        let mut local = date.and_time(self.roll);
        // where the clocks were set ahead over the roll, the day begins behind the gap
        for _ in 0..8 {
            if let LocalResult::Single(start) | LocalResult::Ambiguous(start, _) = self.timezone.from_local_datetime(&local) {
                return Timestamp::from_micros(start.timestamp_micros());
            }
            local += TimeDelta::minutes(15);
        }
        Timestamp::from_micros(local.and_utc().timestamp_micros())
    }
}
