//! `dd_equity_snapshots`, and its course by hour and by trading day in `dd_equity_metrics`; see [`super::buckets`] for how.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::EquityKnown;
use super::calendar::{Calendar, Period};
use super::cells::{decimal, parsed, sum, sum_at};
use super::dialect::PUT;
use super::sqlite::{Batch, has};
use crate::domain::analytics::entry::Entry;
use crate::domain::analytics::equity::{Course, Equity};
use crate::domain::analytics::sum::Sum;
use crate::domain::clock::Timestamp;
use crate::domain::risk::session::Session;
use crate::storage::StorageError;

const TABLE: &str = "dd_equity_snapshots";
/// The columns of a [`Course`], as [`course`] takes them.
const COLUMNS: &str = "first_value, last_value, high, low, fall, fall_from";

/// Which stretch; hours first, since days are told from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    period: Period,
    profile_id: i64,
    start: Timestamp,
    end: Timestamp,
}

/// A course, and the time and the id of its last value.
#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    course: Option<Course>,
    last: (i64, i64),
}

impl Stretch {
    fn push(&mut self, course: Course, last: (i64, i64)) {
        self.course = Some(self.course.map_or(course, |before| before.then(course)));
        self.last = last;
    }
}

/// The stretches that a transaction touches.
#[derive(Debug)]
pub(super) struct Courses {
    calendar: Calendar,
    touched: BTreeMap<Key, Stretch>,
    /// Those that are to be told anew.
    stale: BTreeSet<Key>,
}

impl Courses {
    pub(super) fn new(session: Session) -> Self {
        Self { calendar: Calendar::new(session), touched: BTreeMap::new(), stale: BTreeSet::new() }
    }

    /// Adds a value.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        profile_id: i64,
        place: (Timestamp, i64),
        value: Sum,
    ) -> Result<(), StorageError> {
        let (at, id) = place;
        for (period, span) in self.calendar.buckets(at) {
            let key = Key { period, profile_id, start: span.start, end: span.end };
            let stretch = match self.touched.entry(key) {
                btree_map::Entry::Occupied(known) => known.into_mut(),
                btree_map::Entry::Vacant(vacant) => vacant.insert(known_stretch(connection, &key)?),
            };
            if stretch.course.is_none() || (at.micros(), id) > stretch.last {
                stretch.push(Course::at(value), (at.micros(), id));
            } else {
                self.stale.insert(key);
            }
        }
        Ok(())
    }

    /// Writes all that was touched, hours before days.
    pub(super) fn write(self, connection: &Connection) -> Result<(), StorageError> {
        let sql = format!(
            "{PUT} dd_equity_metrics(profile_id, period, bucket, {COLUMNS}, last_at, last_id)
             values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        for (key, mut stretch) in self.touched {
            if self.stale.contains(&key) {
                stretch = match key.period {
                    Period::Hour => from_snapshots(connection, &key)?,
                    Period::Day => from_hours(connection, &key)?,
                };
            }
            let Some(Course { first, last, high, low, fall, fall_from }) = stretch.course else { continue };
            connection.prepare_cached(&sql)?.execute(params![
                key.profile_id,
                key.period.as_str(),
                key.start.micros(),
                sum(first),
                sum(last),
                sum(high),
                sum(low),
                sum(fall),
                sum(fall_from),
                stretch.last.0,
                stretch.last.1,
            ])?;
        }
        Ok(())
    }
}

/// Writes a snapshot and adds it to the course, unless it is there.
pub(super) fn write(batch: &mut Batch<'_>, entry: &Entry, snapshot: &Equity) -> Result<(), StorageError> {
    let connection = batch.transaction;
    if has(connection, TABLE, entry.id)? {
        return Ok(());
    }
    let sql = format!(
        "insert into {TABLE}(id, profile_id, event_at, account_equity, unrealized_pnl, realized_pnl, margin_used,
            margin_available, open_positions) values(?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    connection.prepare_cached(&sql)?.execute(params![
        entry.id.to_sql(),
        entry.profile_id,
        entry.at.micros(),
        decimal(snapshot.account_equity),
        decimal(snapshot.unrealized_pnl),
        decimal(snapshot.realized_pnl),
        decimal(snapshot.margin_used),
        decimal(snapshot.margin_available),
        decimal(snapshot.open_positions),
    ])?;
    let (Some(profile_id), Some(equity)) = (entry.profile_id, snapshot.account_equity) else { return Ok(()) };
    batch.courses.add(connection, profile_id, (entry.at, entry.id.to_sql()), Sum::of(equity))
}

/// Gives each value in the order of time: whose, when and of which event, how much.
pub(super) fn each_value(
    connection: &Connection,
    mut give: impl FnMut(i64, (Timestamp, i64), Sum) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let sql = format!(
        "select profile_id, event_at, id, account_equity from {TABLE}
         where profile_id is not null and account_equity is not null order by profile_id, event_at, id"
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        give(row.get(0)?, (Timestamp::from_micros(row.get(1)?), row.get(2)?), sum_at(row, 3)?)?;
    }
    Ok(())
}

/// What was known before `end`, the end of a trading day.
pub(super) fn known(connection: &Connection, profile_id: i64, end: Timestamp) -> Result<EquityKnown, StorageError> {
    let sql = format!(
        "select account_equity, unrealized_pnl, realized_pnl, margin_used, margin_available, open_positions, event_at
         from {TABLE} where profile_id = ? and event_at < ? order by event_at desc, id desc limit 1"
    );
    let latest = connection.prepare_cached(&sql)?.query_row(params![profile_id, end.micros()], snapshot).optional()?;
    let sql =
        format!("select {COLUMNS} from dd_equity_metrics where profile_id = ? and period = ? and bucket < ? order by bucket");
    let mut statement = connection.prepare_cached(&sql)?;
    let days = statement.query_map(params![profile_id, Period::Day.as_str(), end.micros()], course)?;
    let mut all = None::<Course>;
    for day in days {
        let day = day?;
        all = Some(all.map_or(day, |all| all.then(day)));
    }
    Ok(EquityKnown { latest, course: all })
}

fn snapshot(row: &Row<'_>) -> rusqlite::Result<(Timestamp, Equity)> {
    let snapshot = Equity {
        account_equity: parsed(row, 0)?,
        unrealized_pnl: parsed(row, 1)?,
        realized_pnl: parsed(row, 2)?,
        margin_used: parsed(row, 3)?,
        margin_available: parsed(row, 4)?,
        open_positions: parsed(row, 5)?,
    };
    Ok((Timestamp::from_micros(row.get(6)?), snapshot))
}

fn course(row: &Row<'_>) -> rusqlite::Result<Course> {
    Ok(Course {
        first: sum_at(row, 0)?,
        last: sum_at(row, 1)?,
        high: sum_at(row, 2)?,
        low: sum_at(row, 3)?,
        fall: sum_at(row, 4)?,
        fall_from: sum_at(row, 5)?,
    })
}

fn known_stretch(connection: &Connection, key: &Key) -> rusqlite::Result<Stretch> {
    let sql =
        format!("select {COLUMNS}, last_at, last_id from dd_equity_metrics where profile_id = ? and period = ? and bucket = ?");
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![key.profile_id, key.period.as_str(), key.start.micros()], stretch)
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn stretch(row: &Row<'_>) -> rusqlite::Result<Stretch> {
    Ok(Stretch { course: Some(course(row)?), last: (row.get(6)?, row.get(7)?) })
}

/// The stretch as its snapshots tell it.
fn from_snapshots(connection: &Connection, key: &Key) -> rusqlite::Result<Stretch> {
    let sql = format!(
        "select account_equity, event_at, id from {TABLE}
         where profile_id = ? and event_at >= ? and event_at < ? and account_equity is not null order by event_at, id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![key.profile_id, key.start.micros(), key.end.micros()])?;
    let mut told = Stretch::default();
    while let Some(row) = rows.next()? {
        told.push(Course::at(sum_at(row, 0)?), (row.get(1)?, row.get(2)?));
    }
    Ok(told)
}

/// The day as its hours tell it.
fn from_hours(connection: &Connection, key: &Key) -> rusqlite::Result<Stretch> {
    let sql = format!(
        "select {COLUMNS}, last_at, last_id from dd_equity_metrics
         where profile_id = ? and period = ? and bucket >= ? and bucket < ? order by bucket"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let (start, end) = (key.start.micros(), key.end.micros());
    let hours = statement.query_map(params![key.profile_id, Period::Hour.as_str(), start, end], stretch)?;
    let mut told = Stretch::default();
    for hour in hours {
        let Stretch { course: Some(course), last } = hour? else { continue };
        told.push(course, last);
    }
    Ok(told)
}
