//! `dd_orders`, and how many there are by trading day in `dd_order_metrics`.
//!
//! The counts are changed by what a report changes of what its order adds to them, in the same transaction: so they are
//! always those of the orders, whatever came late.
//!
//! A row is of one trading day when it is written, and never moved. It counts on the day that its last report is of: that is
//! the same day until the trading day is changed, and then the one on which its status was known ([`count_anew`]).

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Span;
use super::calendar::{Calendar, Era};
use super::cells::text;
use super::dialect::PUT;
use crate::domain::analytics::order::{Moment, OrderChanges, OrderCounts, OrderDay, OrderReport, OrderStatus, changes};
use crate::domain::clock::Timestamp;
use crate::domain::id::EventId;
use crate::domain::risk::session::Session;
use crate::storage::StorageError;

/// The columns of [`OrderCounts`], as [`counts`] takes them.
const COLUMNS: [&str; 9] = [
    "total_orders",
    "open_orders",
    "partially_filled",
    "filled_orders",
    "canceled_orders",
    "rejected_orders",
    "expired_orders",
    "limit_orders",
    "converted_orders",
];

/// An order that a transaction touches.
#[derive(Debug)]
struct Order {
    /// What it added to the counts before.
    before: OrderChanges,
    /// By their keys.
    rows: BTreeMap<i64, OrderDay>,
    /// The rows that are to be written.
    touched: BTreeSet<i64>,
}

/// How counts change: by profile, first day and day.
type Changed = BTreeMap<(i64, Timestamp, Timestamp), OrderCounts>;

/// Changes that are collected before they are written.
const STRIDE: usize = 100_000;

/// The orders that a transaction touches.
#[derive(Debug)]
pub(super) struct Orders {
    calendar: Calendar,
    era: Era,
    touched: BTreeMap<(i64, CompactString), Order>,
}

impl Orders {
    pub(super) fn new(session: Session, era: Era) -> Self {
        Self { calendar: Calendar::new(session), era, touched: BTreeMap::new() }
    }

    /// Takes a report of the trading day that begins at `day`.
    pub(super) fn report(
        &mut self,
        connection: &Connection,
        profile_id: i64,
        report: &OrderReport,
        moment: Moment,
        day: Timestamp,
    ) -> Result<(), StorageError> {
        let key = (profile_id, report.order_key.clone());
        if !self.touched.contains_key(&key) {
            let rows = known_rows(connection, profile_id, &report.order_key)?;
            let before = changes(&by_day(&mut self.calendar, rows.values()));
            self.touched.insert(key.clone(), Order { before, rows, touched: BTreeSet::new() });
        }
        let Some(order) = self.touched.get_mut(&key) else { return Ok(()) };
        let reported = OrderDay::of(report, moment);
        let row = self.era.key(day);
        order.rows.entry(row).and_modify(|known| *known = known.with(reported)).or_insert(reported);
        order.touched.insert(row);
        Ok(())
    }

    /// Writes what was touched.
    pub(super) fn write(mut self, connection: &Connection) -> Result<(), StorageError> {
        let mut changed = Changed::new();
        for ((profile_id, order_key), order) in self.touched {
            for (row, known) in order.rows.iter().filter(|(row, _)| order.touched.contains(row)) {
                put_row(connection, profile_id, &order_key, *row, known)?;
            }
            let before = order.before.into_iter().map(|(place, counts)| (place, -counts));
            for ((first, day), counts) in before.chain(changes(&by_day(&mut self.calendar, order.rows.values()))) {
                *changed.entry((profile_id, first, day)).or_default() += counts;
            }
        }
        write_changed(connection, changed)
    }
}

/// What is known of an order by the trading days of `calendar`.
fn by_day<'a>(calendar: &mut Calendar, rows: impl IntoIterator<Item = &'a OrderDay>) -> BTreeMap<Timestamp, OrderDay> {
    let mut days = BTreeMap::<Timestamp, OrderDay>::new();
    for row in rows {
        let day = calendar.day(row.moment.0).start;
        days.entry(day).and_modify(|known| *known = known.with(*row)).or_insert(*row);
    }
    days
}

/// Counts all orders for the trading days of `session`. Each row counts on the day of its last report: those before that one
/// are only known from the journal.
pub(super) fn count_anew(connection: &Connection, session: Session) -> Result<(), StorageError> {
    connection.execute("delete from dd_order_metrics", [])?;
    let mut calendar = Calendar::new(session);
    let mut changed = Changed::new();
    let mut add = |profile_id: i64, rows: &mut Vec<OrderDay>| -> Result<(), StorageError> {
        for ((first, day), counts) in changes(&by_day(&mut calendar, rows.drain(..).as_slice())) {
            *changed.entry((profile_id, first, day)).or_default() += counts;
        }
        if changed.len() < STRIDE { Ok(()) } else { write_changed(connection, std::mem::take(&mut changed)) }
    };
    let sql = format!("select {ROW}, profile_id, order_key from dd_orders order by profile_id, order_key");
    let mut statement = connection.prepare(&sql)?;
    let mut found = statement.query([])?;
    let mut order = (0, CompactString::default());
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let next = (row.get(9)?, text(row, 10)?.unwrap_or_default());
        if next != order {
            add(order.0, &mut rows)?;
            order = next;
        }
        rows.push(read_row(row)?.1);
    }
    add(order.0, &mut rows)?;
    write_changed(connection, changed)
}

fn write_changed(connection: &Connection, changed: Changed) -> Result<(), StorageError> {
    for ((profile_id, first, day), change) in changed {
        if change != OrderCounts::default() {
            change_counts(connection, profile_id, (first, day), change)?;
        }
    }
    Ok(())
}

/// The columns of a row, as [`read_row`] takes them.
const ROW: &str = "day, status, event_at, event_id, limit_at, limit_id, market_at, market_id, is_converted";

fn known_rows(connection: &Connection, profile_id: i64, order_key: &str) -> rusqlite::Result<BTreeMap<i64, OrderDay>> {
    let sql = format!("select {ROW} from dd_orders where profile_id = ? and order_key = ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![profile_id, order_key], read_row)?;
    rows.collect()
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<(i64, OrderDay)> {
    let status = text(row, 1)?.as_deref().and_then(OrderStatus::parse);
    let day = OrderDay {
        status: status.ok_or_else(|| rusqlite::Error::InvalidColumnName("status".into()))?,
        moment: moment(row.get(2)?, row.get(3)?),
        first_limit: optional_moment(row, 4)?,
        last_market: optional_moment(row, 6)?,
        is_converted: row.get::<_, i64>(8)? != 0,
    };
    Ok((row.get(0)?, day))
}

fn moment(at: i64, id: i64) -> Moment {
    (Timestamp::from_micros(at), EventId::from_sql(id))
}

fn optional_moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Moment>> {
    let (at, id): (Option<i64>, Option<i64>) = (row.get(column)?, row.get(column + 1)?);
    Ok(at.zip(id).map(|(at, id)| moment(at, id)))
}

fn put_row(connection: &Connection, profile_id: i64, order_key: &str, row: i64, day: &OrderDay) -> rusqlite::Result<()> {
    let sql = format!(
        "{PUT} dd_orders(profile_id, order_key, day, status, event_at, event_id, limit_at, limit_id, market_at, market_id,
            is_converted) values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    let cells = |moment: Option<Moment>| moment.map(|(at, id)| (at.micros(), id.to_sql())).unzip();
    let (limit_at, limit_id): (Option<i64>, Option<i64>) = cells(day.first_limit);
    let (market_at, market_id): (Option<i64>, Option<i64>) = cells(day.last_market);
    connection.prepare_cached(&sql)?.execute(params![
        profile_id,
        order_key,
        row,
        day.status.as_str(),
        day.moment.0.micros(),
        day.moment.1.to_sql(),
        limit_at,
        limit_id,
        market_at,
        market_id,
        i64::from(day.is_converted),
    ])?;
    Ok(())
}

fn change_counts(
    connection: &Connection,
    profile_id: i64,
    (first, day): (Timestamp, Timestamp),
    change: OrderCounts,
) -> rusqlite::Result<()> {
    let columns = COLUMNS.join(", ");
    let sql = format!("select {columns} from dd_order_metrics where profile_id = ? and first_day = ? and day = ?");
    let place = params![profile_id, first.micros(), day.micros()];
    let mut now = connection.prepare_cached(&sql)?.query_row(place, counts).optional()?.unwrap_or_default();
    now += change;
    let sql = format!("{PUT} dd_order_metrics(profile_id, first_day, day, {columns}) values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    connection.prepare_cached(&sql)?.execute(params![
        profile_id,
        first.micros(),
        day.micros(),
        now.total,
        now.open,
        now.partially_filled,
        now.filled,
        now.canceled,
        now.rejected,
        now.expired,
        now.limit,
        now.converted,
    ])?;
    Ok(())
}

fn counts(row: &Row<'_>) -> rusqlite::Result<OrderCounts> {
    Ok(OrderCounts {
        total: row.get(0)?,
        open: row.get(1)?,
        partially_filled: row.get(2)?,
        filled: row.get(3)?,
        canceled: row.get(4)?,
        rejected: row.get(5)?,
        expired: row.get(6)?,
        limit: row.get(7)?,
        converted: row.get(8)?,
    })
}

/// The orders that belong to the trading days of `days`, as they were known at its end.
pub(super) fn counted(connection: &Connection, profile_id: i64, days: Span) -> Result<OrderCounts, StorageError> {
    let sums = COLUMNS.map(|column| format!("coalesce(sum({column}), 0)")).join(", ");
    let sql =
        format!("select {sums} from dd_order_metrics where profile_id = ? and first_day >= ? and first_day < ? and day < ?");
    let (start, end) = (days.start.micros(), days.end.micros());
    Ok(connection.prepare_cached(&sql)?.query_row(params![profile_id, start, end, end], counts)?)
}
