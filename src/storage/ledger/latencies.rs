//! `dd_api_latency`: latencies by script, in slices for the sliding window, which are deleted when no window reaches them any
//! more, and in trading days, which are kept.
//!
//! The samples of a day cannot be told apart any more: when the trading day is changed they stay together, and are of the
//! trading day of the last one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compact_str::CompactString;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Span;
use super::calendar::Era;
use super::dialect::{PUT, through};
use crate::domain::analytics::key::key;
use crate::domain::analytics::latency::{Latencies, SLICE, slice_of};
use crate::domain::clock::Timestamp;
use crate::storage::StorageError;

/// The longest window, in microseconds: slices are kept for as long.
const LONGEST_WINDOW: i64 = 86_400_000_000;

/// How long samples are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grain {
    Slice,
    Day,
}

impl Grain {
    fn as_str(self) -> &'static str {
        match self {
            Self::Slice => "slice",
            Self::Day => "day",
        }
    }
}

/// Which latencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencySpan {
    period: Grain,
    span: Span,
}

impl LatencySpan {
    /// Those of the last `window` before `now`, in whole slices: of the first one all, and of the last one what there is.
    #[must_use]
    pub fn sliding(now: Timestamp, window: Duration) -> Self {
        let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX).min(LONGEST_WINDOW);
        let start = slice_of(Timestamp::from_micros(now.micros().saturating_sub(window)));
        let end = Timestamp::from_micros(slice_of(now).micros().saturating_add(SLICE));
        Self { period: Grain::Slice, span: Span { start, end } }
    }

    /// Those of whole trading days.
    #[must_use]
    pub fn days(span: Span) -> Self {
        Self { period: Grain::Day, span }
    }

    /// From when until when.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    profile_id: i64,
    /// Empty for all of the profile.
    script_key: CompactString,
    period: Grain,
    /// The start of a slice, or the key of a day.
    bucket: i64,
}

/// The latencies that a transaction adds.
#[derive(Debug, Default)]
pub(super) struct Samples {
    era: Era,
    /// With the time of the last one.
    added: BTreeMap<Place, (Latencies, Timestamp)>,
}

impl Samples {
    pub(super) fn new(era: Era) -> Self {
        Self { era, added: BTreeMap::new() }
    }

    /// Adds a sample of `at`, of the trading day that begins at `day`.
    pub(super) fn add(&mut self, profile_id: i64, script: Option<&str>, (at, day): (Timestamp, Timestamp), micros: u64) {
        let scripts = [Some(CompactString::default()), script.map(|name| CompactString::from(key(name)))];
        for script_key in scripts.into_iter().flatten() {
            for (period, bucket) in [(Grain::Slice, slice_of(at).micros()), (Grain::Day, self.era.key(day))] {
                let place = Place { profile_id, script_key: script_key.clone(), period, bucket };
                let (latencies, last_at) = self.added.entry(place).or_insert_with(|| (Latencies::default(), at));
                latencies.record(micros);
                *last_at = (*last_at).max(at);
            }
        }
    }

    /// Writes what was added, and deletes slices that no window reaches at `now`.
    pub(super) fn write(self, connection: &Connection, now: Timestamp) -> Result<(), StorageError> {
        let profiles: BTreeSet<i64> = self.added.keys().map(|place| place.profile_id).collect();
        for (place, (latencies, last_at)) in self.added {
            add(connection, &place, latencies, last_at)?;
        }
        let horizon = now.micros().saturating_sub(LONGEST_WINDOW + SLICE);
        for profile_id in profiles {
            connection
                .prepare_cached("delete from dd_api_latency where profile_id = ? and period = ? and bucket < ?")?
                .execute(params![profile_id, Grain::Slice.as_str(), horizon])?;
        }
        Ok(())
    }
}

fn add(connection: &Connection, place: &Place, mut latencies: Latencies, last_at: Timestamp) -> Result<(), StorageError> {
    let Place { profile_id, script_key, period, bucket } = place;
    let known = connection
        .prepare_cached(
            "select samples, last_at from dd_api_latency where profile_id = ? and script_key = ? and period = ? and bucket = ?",
        )?
        .query_row(params![profile_id, script_key.as_str(), period.as_str(), bucket], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let mut last_at = last_at.micros();
    if let Some((samples, known_at)) = known {
        latencies.merge_encoded(&samples).ok_or_else(unreadable)?;
        last_at = last_at.max(known_at);
    }
    connection
        .prepare_cached(&format!(
            "{PUT} dd_api_latency(profile_id, script_key, period, bucket, samples, last_at) values(?, ?, ?, ?, ?, ?)"
        ))?
        .execute(params![profile_id, script_key.as_str(), period.as_str(), bucket, latencies.encode(), last_at])?;
    Ok(())
}

fn unreadable() -> StorageError {
    StorageError::Broken("latencies that nobody can have written".into())
}

/// All latencies of a profile, or of one of its scripts.
pub(super) fn merged(
    connection: &Connection,
    profile_id: i64,
    script: Option<&str>,
    asked: LatencySpan,
) -> Result<Latencies, StorageError> {
    let (index, time) = match asked.period {
        Grain::Slice => (String::new(), "bucket"),
        Grain::Day => (through("dd_latency_by_last"), "last_at"),
    };
    let sql = format!(
        "select samples from dd_api_latency {index} where profile_id = ? and script_key = ? and period = ? and {time} >= ?
            and {time} < ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let script_key = script.map(key).unwrap_or_default();
    let (start, end) = (asked.span.start.micros(), asked.span.end.micros());
    let mut rows = statement.query(params![profile_id, script_key, asked.period.as_str(), start, end])?;
    let mut latencies = Latencies::default();
    while let Some(row) = rows.next()? {
        latencies.merge_encoded(row.get_ref(0)?.as_blob().map_err(|_| unreadable())?).ok_or_else(unreadable)?;
    }
    Ok(latencies)
}

/// When the last call before `end`, the end of a trading day, was.
pub(super) fn last_at(
    connection: &Connection,
    profile_id: i64,
    script_key: &str,
    end: Timestamp,
) -> Result<Option<Timestamp>, StorageError> {
    let sql = format!(
        "select last_at from dd_api_latency {} where profile_id = ? and script_key = ? and period = ? and last_at < ?
         order by last_at desc limit 1",
        through("dd_latency_by_last"),
    );
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![profile_id, script_key, Grain::Day.as_str(), end.micros()], |row| row.get(0))
        .optional()?;
    Ok(found.map(Timestamp::from_micros))
}
