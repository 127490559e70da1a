//! The hours and trading days that aggregates are kept for, and the keys of rows that are kept by trading day.

use super::Span;
use crate::domain::clock::Timestamp;
use crate::domain::risk::session::{Day, Session};

/// How long a bucket is; hours come before days, which are made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Period {
    /// An hour of the trading day, counted from its start, so that no hour is of two days; the last one may be shorter.
    Hour,
    /// A trading day.
    Day,
}

impl Period {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// How often the trading day was changed before a row was written. It is part of the row's key, so that a row of another trading
/// day stays as it is: what it knows of may not be in the journal any more, and the trading day may be changed back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Era(pub(super) u32);

impl Era {
    /// The key of the row of the trading day that begins at `day`: days begin with a second, so microseconds are free.
    pub(super) fn key(self, day: Timestamp) -> i64 {
        day.micros().saturating_add(i64::from(self.0 % 1_000_000))
    }
}

const HOUR: i64 = 3_600_000_000;

/// Finds the buckets of instants; most come from the same day as the one before.
#[derive(Debug)]
pub(super) struct Calendar {
    session: Session,
    day: Option<Day>,
}

impl Calendar {
    pub(super) fn new(session: Session) -> Self {
        Self { session, day: None }
    }

    /// The hour and the day that `at` is in.
    pub(super) fn buckets(&mut self, at: Timestamp) -> [(Period, Span); 2] {
        let day = self.day(at);
        let start = day.start.micros() + (at.micros() - day.start.micros()).div_euclid(HOUR) * HOUR;
        let end = start.saturating_add(HOUR).min(day.end.micros());
        let hour = Span { start: Timestamp::from_micros(start), end: Timestamp::from_micros(end) };
        [(Period::Hour, hour), (Period::Day, day)]
    }

    /// The day that `at` is in.
    pub(super) fn day(&mut self, at: Timestamp) -> Span {
        let day = match self.day.filter(|day| day.contains(at)) {
            Some(day) => day,
            None => *self.day.insert(self.session.day_of(at)),
        };
        Span { start: day.start, end: day.end }
    }
}
