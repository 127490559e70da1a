//! Writing events into the embedded log.
//!
//! To begin and to end a statement costs as much as a row does, so much at once goes in many rows a statement. A few rows go
//! one by one: the short program stays in the processor's caches, which a long one that runs once a commit does not.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Statement, Transaction, params};

use super::Duplicate;
use super::query::severity_rank;
use crate::domain::event::Event;
use crate::domain::id::EventId;

/// Columns of `events`.
const COLUMNS: usize = 9;
/// Rows of a statement for many.
const MANY: usize = 64;

/// The texts of the statements that insert rows.
#[derive(Debug)]
pub(super) struct Inserts {
    one: String,
    many: String,
}

impl Default for Inserts {
    fn default() -> Self {
        // a row that does not fit undoes the transaction, as its caller would anyway
        let head = "insert or rollback into events(id, ts, type, severity, profile_id, source, symbol, strategy, body) values";
        let row = format!("({})", ["?"; COLUMNS].join(", "));
        let many = vec![row.as_str(); MANY].join(", ");
        Self { one: format!("{head} {row}"), many: format!("{head} {many}") }
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Inserted {
    /// Events that were there already.
    pub(super) duplicates: Vec<Duplicate>,
    /// How many were not.
    pub(super) count: u64,
    /// The newest of these.
    pub(super) newest: Option<EventId>,
}

/// Inserts all of `batch` whose senders have not used their ids behind `window`.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    inserts: &Inserts,
    batch: &[Arc<Event>],
    window: EventId,
) -> rusqlite::Result<Inserted> {
    let mut inserted = Inserted::default();
    let mut fresh: Vec<&Event> = Vec::with_capacity(batch.len());
    let mut find = transaction.prepare_cached("select id from event_ids where source = ? and event_id = ?")?;
    let mut remember = transaction.prepare_cached("insert or replace into event_ids values(?, ?, ?)")?;
    for (index, event) in batch.iter().enumerate() {
        if let Some(event_id) = event.header().event_id.as_deref() {
            let source = event.header().source.as_deref().unwrap_or_default();
            let first = find.query_row([source, event_id], |row| row.get(0)).optional()?.map(EventId::from_sql);
            if let Some(first) = first.filter(|first| *first >= window) {
                inserted.duplicates.push(Duplicate { index, first });
                continue;
            }
            remember.execute(params![source, event_id, event.id().to_sql()])?;
        }
        fresh.push(event);
    }
    inserted.count = fresh.len() as u64;
    inserted.newest = fresh.last().map(|event| event.id());
    let (many, few) = fresh.as_chunks::<MANY>();
    if !many.is_empty() {
        let mut insert = transaction.prepare_cached(&inserts.many)?;
        many.iter().try_for_each(|rows| insert_rows(&mut insert, rows))?;
    }
    if !few.is_empty() {
        let mut insert = transaction.prepare_cached(&inserts.one)?;
        few.iter().try_for_each(|row| insert_rows(&mut insert, std::slice::from_ref(row)))?;
    }
    Ok(inserted)
}

fn insert_rows(insert: &mut Statement<'_>, rows: &[&Event]) -> rusqlite::Result<()> {
    for (row, event) in rows.iter().enumerate() {
        let (header, at) = (event.header(), row * COLUMNS);
        insert.raw_bind_parameter(at + 1, event.id().to_sql())?;
        insert.raw_bind_parameter(at + 2, header.timestamp.micros())?;
        insert.raw_bind_parameter(at + 3, header.event_type.as_str())?;
        insert.raw_bind_parameter(at + 4, header.severity.map(severity_rank))?;
        insert.raw_bind_parameter(at + 5, header.profile_id)?;
        insert.raw_bind_parameter(at + 6, header.source.as_deref())?;
        insert.raw_bind_parameter(at + 7, header.symbol.as_deref())?;
        insert.raw_bind_parameter(at + 8, header.strategy.as_deref())?;
        insert.raw_bind_parameter(at + 9, event.tail().as_bytes())?;
    }
    insert.raw_execute().map(drop)
}
