//! Reading the embedded log, on connections of its own beside the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
/// For reads that take as long as they take.
const WHOLE_FILE: Duration = Duration::from_secs(86_400);

/// One connection that reads.
#[derive(Debug)]
pub struct SqliteReader {
    connection: Connection,
    /// After half of it a search stops in between; after all of it a query is interrupted.
    timeout: Duration,
    #[cfg(test)]
    interrupts: bool,
}

impl SqliteReader {
    /// Opens a connection whose queries may take `timeout`.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open(place: &Place, timeout: Duration) -> Result<Self, StorageError> {
        let connection = place.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "cache_size", -8_192)?;
        Ok(Self {
            connection,
            timeout,
            #[cfg(test)]
            interrupts: true,
        })
    }

    /// Lets searches lose their patience, but not their time.
    #[cfg(test)]
    pub(super) fn never_interrupt(&mut self) {
        self.interrupts = false;
    }

    /// Runs `query` on one state of the database, for at most `timeout`.
    fn within<T>(
        &mut self,
        timeout: Duration,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        let deadline = Instant::now() + timeout.min(WHOLE_FILE);
        #[cfg(test)]
        let deadline = if self.interrupts { deadline } else { deadline + WHOLE_FILE };
        let done = self.connection.progress_handler(STEPS, Some(move || Instant::now() > deadline));
        let done = done.and_then(|()| query(&*self.connection.transaction()?));
        done.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => StorageError::TooSlow(timeout),
            _ => error.into(),
        })
    }
}

impl EventReader for SqliteReader {
    fn page(&mut self, range: &Range) -> Result<Page, StorageError> {
        // a search gives up well before the query would
        let patience = Instant::now() + self.timeout / 2;
        self.within(self.timeout, |connection| {
            let floor: i64 = connection.query_row("select value from meta where key = 'floor'", [], |row| row.get(0))?;
            let oldest: Option<i64> = connection.query_row("select min(id) from events", [], |row| row.get(0))?;
            let found = if range.filter.is_all() {
                None
            } else {
                Some(match plan(connection, &range.filter)? {
                    Plan::Scan => search(connection, range, "not indexed", None, patience)?,
                    Plan::ByTime => search_by_time(connection, range)?,
                    Plan::ByType => search_by_type(connection, range, patience)?,
                })
            };
            let (events, looked_at) = match found {
                None => read_all(connection, range)?,
                Some(found) => read_found(connection, range, found)?,
            };
            let looked_at = looked_at.map(EventId::from_sql);
            Ok(Page { events, looked_at, floor: EventId::from_sql(floor), oldest: oldest.map(EventId::from_sql) })
        })
    }

    fn newest(&mut self, count: usize, max_bytes: usize) -> Result<Vec<Event>, StorageError> {
        self.within(WHOLE_FILE, |connection| {
            let sql = "select id, ts, type, severity, profile_id, source, symbol, strategy, body
                       from events order by id desc limit ?";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([i64::try_from(count).unwrap_or(i64::MAX)])?;
            let (mut events, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                if bytes >= max_bytes {
                    break;
                }
                let event = restore(row)?;
                bytes += event.size();
                events.push(event);
            }
            events.reverse();
            Ok(events)
        })
    }

    fn events(
        &mut self,
        after: EventId,
        until: EventId,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(Vec<Event>, bool), StorageError> {
        self.within(self.timeout, |connection| {
            let sql = "select id, ts, type, severity, profile_id, source, symbol, strategy, body
                       from events not indexed where id > ? and id <= ? order by id";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([after.to_sql(), until.to_sql()])?;
            let (mut events, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                if events.len() >= limit || bytes >= max_bytes {
                    return Ok((events, false));
                }
                let event = restore(row)?;
                bytes += event.size();
                events.push(event);
            }
            Ok((events, true))
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

    fn integrity(&mut self, stop: Arc<AtomicBool>) -> Result<(), StorageError> {
        self.connection.progress_handler(STEPS, Some(move || stop.load(Ordering::Relaxed)))?;
        let verdict: String = self.connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
        if verdict == "ok" { Ok(()) } else { Err(StorageError::Broken(verdict)) }
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

/// Ids of events that match, in the range's order, and up to where it was looked at if there may be more.
struct Found {
    ids: Vec<i64>,
    looked_at: Option<i64>,
}

/// The range's events when every one of them matches.
fn read_all(connection: &Connection, range: &Range) -> rusqlite::Result<(Vec<Stored>, Option<i64>)> {
    let mut conditions = Conditions::default();
    query::ids(range, &mut conditions);
    let (conditions, values) = conditions.finish();
    let columns = if range.ids_only { "id, '', x''" } else { "id, type, body" };
    let sql = format!("select {columns} from events not indexed where {conditions} order by id {}", direction(range));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut events, mut bytes) = (Vec::<Stored>::new(), 0);
    while let Some(row) = rows.next()? {
        if events.len() >= range.limit || bytes >= range.max_bytes {
            return Ok(before_it((events, Some(row.get(0)?))));
        }
        let event = stored(row)?;
        bytes += event.tail.len();
        events.push(event);
    }
    Ok((events, None))
}

/// What was looked at ends with the last event that was taken, not with the one that was left.
fn before_it((events, left): (Vec<Stored>, Option<i64>)) -> (Vec<Stored>, Option<i64>) {
    let last = events.last().map(|event| event.id.to_sql()).or(left);
    (events, last)
}

/// Walks the range through `index`, in order, from event to event, until it has found enough or has no more `patience`.
fn search(
    connection: &Connection,
    range: &Range,
    index: &str,
    event_type: Option<&str>,
    patience: Instant,
) -> rusqlite::Result<Found> {
    let mut matching = Conditions::default();
    query::times(&range.filter, "ts", &mut matching);
    query::columns(&range.filter, &mut matching);
    let (matching, mut values) = matching.finish();
    let mut walked = Conditions::default();
    if let Some(event_type) = event_type {
        walked.and("type = ?", event_type.to_owned());
    }
    query::ids(range, &mut walked);
    let (walked, more) = walked.finish();
    values.extend(more);
    let sql = format!("select id, {matching} from events {index} where {walked} order by id {}", direction(range));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut ids = Vec::new();
    let mut looked_at = None;
    let mut walked = 0_u32;
    while let Some(row) = rows.next()? {
        walked += 1;
        if ids.len() > range.limit || (walked.is_multiple_of(256) && Instant::now() > patience) {
            return Ok(Found { ids, looked_at });
        }
        let id = row.get(0)?;
        looked_at = Some(id);
        // a condition on a missing value is null, which is no match
        if row.get::<_, Option<bool>>(1)?.unwrap_or(false) {
            ids.push(id);
        }
    }
    Ok(Found { ids, looked_at: None })
}

/// The few events within the filter's times, sorted.
fn search_by_time(connection: &Connection, range: &Range) -> rusqlite::Result<Found> {
    let mut conditions = Conditions::default();
    query::times(&range.filter, "ts", &mut conditions);
    query::types(&range.filter, &mut conditions);
    query::ids(range, &mut conditions);
    query::columns(&range.filter, &mut conditions);
    let (conditions, values) = conditions.finish();
    let sql = format!("select id from events indexed by by_ts where {conditions} order by id {}", direction(range));
    let mut statement = connection.prepare_cached(&sql)?;
    let ids = statement.query_map(params_from_iter(values), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(Found { ids, looked_at: None })
}

/// Each type's events through the index of types, merged; looked at is as far as all of them were.
fn search_by_type(connection: &Connection, range: &Range, patience: Instant) -> rusqlite::Result<Found> {
    let mut merged = Found { ids: Vec::new(), looked_at: None };
    let earlier = |a: i64, b: i64| if range.newest_first { a.max(b) } else { a.min(b) };
    for event_type in &range.filter.event_types {
        let found = search(connection, range, "indexed by by_type", Some(event_type), patience)?;
        merged.ids.extend(found.ids);
        merged.looked_at = match (merged.looked_at, found.looked_at) {
            (Some(a), Some(b)) => Some(earlier(a, b)),
            (one, other) => one.or(other),
        };
    }
    merged.ids.sort_unstable();
    // a type may be named twice
    merged.ids.dedup();
    if range.newest_first {
        merged.ids.reverse();
    }
    if let Some(end) = merged.looked_at {
        merged.ids.retain(|id| earlier(*id, end) == *id);
    }
    Ok(merged)
}

/// The events that were found, up to the range's limits.
fn read_found(connection: &Connection, range: &Range, found: Found) -> rusqlite::Result<(Vec<Stored>, Option<i64>)> {
    let mut statement = connection.prepare_cached("select id, type, body from events where id = ?")?;
    let (mut events, mut bytes) = (Vec::<Stored>::new(), 0);
    for id in found.ids {
        if events.len() >= range.limit || bytes >= range.max_bytes {
            return Ok(before_it((events, Some(id))));
        }
        let event = if range.ids_only {
            Stored { id: EventId::from_sql(id), event_type: CompactString::default(), tail: Vec::new() }
        } else {
            statement.query_row([id], stored)?
        };
        bytes += event.tail.len();
        events.push(event);
    }
    Ok((events, found.looked_at))
}

fn direction(range: &Range) -> &'static str {
    if range.newest_first { "desc" } else { "asc" }
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
