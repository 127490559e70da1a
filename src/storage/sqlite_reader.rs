//! Reading the embedded log, on connections of its own beside the writer.

use std::time::{Duration, Instant};

use compact_str::CompactString;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params_from_iter};

use super::query::{self, Conditions};
use super::sqlite::Place;
use super::{Count, EventReader, GroupBy, Page, Range, StorageError, Stored};
use crate::domain::clock::Timestamp;
use crate::domain::event::{Event, Header, Severity};
use crate::domain::filter::Filter;
use crate::domain::id::EventId;

/// Up to so many events within a filter's times are sorted; for more the log is scanned in order.
const FEW: i64 = 50_000;
/// Most rows of counts.
const MAX_COUNTS: usize = 100_000;
/// The progress handler looks at the clock after so many steps of SQLite's machine.
const STEPS: i32 = 10_000;

/// One connection that reads.
#[derive(Debug)]
pub struct SqliteReader {
    connection: Connection,
    timeout: Duration,
}

impl SqliteReader {
    /// Opens a connection whose queries may take `timeout`.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open(place: &Place, timeout: Duration) -> Result<Self, StorageError> {
        let connection = place.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "cache_size", -8_192)?;
        Ok(Self { connection, timeout })
    }

    /// Runs `query` on one state of the database, for at most `timeout`.
    fn within<T>(
        &mut self,
        timeout: Duration,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        let deadline = Instant::now() + timeout;
        let done = self.connection.progress_handler(STEPS, Some(move || Instant::now() > deadline));
        let done = done.and_then(|()| query(&*self.connection.transaction()?));
        done.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => StorageError::TooSlow(timeout.as_secs()),
            _ => error.into(),
        })
    }
}

impl EventReader for SqliteReader {
    fn page(&mut self, range: &Range) -> Result<Page, StorageError> {
        self.within(self.timeout, |connection| {
            let floor: i64 = connection.query_row("select value from meta where key = 'floor'", [], |row| row.get(0))?;
            let oldest: Option<i64> = connection.query_row("select min(id) from events", [], |row| row.get(0))?;
            let (events, complete) = match plan(connection, &range.filter)? {
                Plan::Scan => scan(connection, range)?,
                Plan::ByTime => by_id(connection, range, ids_by_time(connection, range)?)?,
                Plan::ByType => by_id(connection, range, ids_by_type(connection, range)?)?,
            };
            Ok(Page { events, complete, floor: EventId::from_sql(floor), oldest: oldest.map(EventId::from_sql) })
        })
    }

    fn newest(&mut self, count: usize) -> Result<Vec<Event>, StorageError> {
        self.within(self.timeout, |connection| {
            let sql = "select id, ts, type, severity, profile_id, source, symbol, strategy, body
                       from events order by id desc limit ?";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([i64::try_from(count).unwrap_or(i64::MAX)], restore)?;
            let mut events = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            events.reverse();
            Ok(events)
        })
    }

    fn counts(&mut self, filter: &Filter, bucket: i64, group: Option<GroupBy>) -> Result<Vec<Count>, StorageError> {
        let column = match group {
            None => "null",
            Some(GroupBy::Type) => "type",
            Some(GroupBy::Symbol) => "symbol",
            Some(GroupBy::Strategy) => "strategy",
            Some(GroupBy::Source) => "source",
        };
        let mut conditions = Conditions::default();
        query::times(filter, "ts", &mut conditions);
        query::types(filter, &mut conditions);
        query::columns(filter, &mut conditions);
        let (conditions, mut values) = conditions.finish();
        // whole buckets since the epoch, rounded down for times before it too
        let sql = format!(
            "select (ts - ((ts % ?1) + ?1) % ?1) as bucket, {column}, count(*) from events indexed by by_ts
             where {conditions} group by 1, 2 order by 1, 2 limit {limit}",
            limit = MAX_COUNTS + 1,
        );
        values.insert(0, Value::from(bucket * 1_000_000));
        let counts = self.within(self.timeout, |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                Ok(Count { bucket: Timestamp::from_micros(row.get(0)?), group: row.get(1)?, count: row.get(2)? })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        if counts.len() > MAX_COUNTS { Err(StorageError::TooMany(MAX_COUNTS)) } else { Ok(counts) }
    }

    fn integrity(&mut self) -> Result<(), StorageError> {
        // reads the whole file, so it takes what it takes
        let verdict = self.within(Duration::from_secs(86_400), |connection| {
            connection.query_row("pragma quick_check(1)", [], |row| row.get::<_, String>(0))
        })?;
        if verdict == "ok" { Ok(()) } else { Err(StorageError::Failed(verdict)) }
    }
}

/// How a filter is best answered.
enum Plan {
    /// In order of ids, looking at every event.
    Scan,
    /// Through the index of times, sorted afterwards: few events are within them.
    ByTime,
    /// Through the index of types, one type after the other.
    ByType,
}

fn plan(connection: &Connection, filter: &Filter) -> rusqlite::Result<Plan> {
    if filter.since.is_some() || filter.until.is_some() {
        let mut conditions = Conditions::default();
        query::times(filter, "ts", &mut conditions);
        let (conditions, values) = conditions.finish();
        let sql = format!(
            "select count(*) from (select 1 from events indexed by by_ts where {conditions} limit {limit})",
            limit = FEW + 1,
        );
        let within: i64 = connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?;
        if within <= FEW {
            return Ok(Plan::ByTime);
        }
    }
    Ok(if filter.event_types.is_empty() { Plan::Scan } else { Plan::ByType })
}

fn direction(range: &Range) -> &'static str {
    if range.newest_first { "desc" } else { "asc" }
}

fn scan(connection: &Connection, range: &Range) -> rusqlite::Result<(Vec<Stored>, bool)> {
    let mut conditions = Conditions::default();
    query::ids(range, &mut conditions);
    query::times(&range.filter, "ts", &mut conditions);
    query::columns(&range.filter, &mut conditions);
    let (conditions, values) = conditions.finish();
    let sql = format!(
        "select id, type, body from events not indexed where {conditions} order by id {} limit {}",
        direction(range),
        range.limit.saturating_add(1),
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if events.len() >= range.limit || bytes >= range.max_bytes {
            return Ok((events, false));
        }
        let event = stored(row)?;
        bytes += event.tail.len();
        events.push(event);
    }
    Ok((events, true))
}

/// The ids of the range's events, one more than its limit, in its order.
fn ids_by_time(connection: &Connection, range: &Range) -> rusqlite::Result<Vec<i64>> {
    let mut conditions = Conditions::default();
    query::times(&range.filter, "ts", &mut conditions);
    query::types(&range.filter, &mut conditions);
    query::ids(range, &mut conditions);
    query::columns(&range.filter, &mut conditions);
    ids(connection, "by_ts", conditions, range)
}

/// The same through the index of types: each type's first ids in order, merged.
fn ids_by_type(connection: &Connection, range: &Range) -> rusqlite::Result<Vec<i64>> {
    let mut merged = Vec::new();
    for event_type in &range.filter.event_types {
        let mut conditions = Conditions::default();
        conditions.and("type = ?", event_type.to_string());
        query::times(&range.filter, "+ts", &mut conditions);
        query::ids(range, &mut conditions);
        query::columns(&range.filter, &mut conditions);
        merged.extend(ids(connection, "by_type", conditions, range)?);
    }
    merged.sort_unstable();
    if range.newest_first {
        merged.reverse();
    }
    merged.truncate(range.limit.saturating_add(1));
    Ok(merged)
}

fn ids(connection: &Connection, index: &str, conditions: Conditions, range: &Range) -> rusqlite::Result<Vec<i64>> {
    let (conditions, values) = conditions.finish();
    let sql = format!(
        "select id from events indexed by {index} where {conditions} order by id {} limit {}",
        direction(range),
        range.limit.saturating_add(1),
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(values), |row| row.get(0))?.collect()
}

/// The events with these ids, up to the range's limits.
fn by_id(connection: &Connection, range: &Range, ids: Vec<i64>) -> rusqlite::Result<(Vec<Stored>, bool)> {
    let mut statement = connection.prepare_cached("select id, type, body from events where id = ?")?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    for id in ids {
        if events.len() >= range.limit || bytes >= range.max_bytes {
            return Ok((events, false));
        }
        let event = statement.query_row([id], stored)?;
        bytes += event.tail.len();
        events.push(event);
    }
    Ok((events, true))
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored { id: EventId::from_sql(row.get(0)?), event_type: text(row, 1)?.unwrap_or_default(), tail: row.get(2)? })
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<CompactString>> {
    Ok(row.get_ref(column)?.as_str_or_null()?.map(CompactString::new))
}

fn restore(row: &Row<'_>) -> rusqlite::Result<Event> {
    let severity: Option<usize> = row.get(3)?;
    let header = Header {
        event_type: text(row, 2)?.unwrap_or_default(),
        timestamp: Timestamp::from_micros(row.get(1)?),
        source: text(row, 5)?,
        severity: severity.and_then(|rank| Severity::ALL.get(rank).copied()),
        profile_id: row.get(4)?,
        // only the journal asks for it, and it has seen this event
        event_id: None,
        symbol: text(row, 6)?,
        strategy: text(row, 7)?,
    };
    Ok(Event::restore(EventId::from_sql(row.get(0)?), header, row.get_ref(8)?.as_blob()?))
}
