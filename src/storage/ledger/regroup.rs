//! Another trading day: when the session's time zone or roll time is changed, local times are other instants, and every
//! aggregate belongs to another day.
//!
//! The rows of trades, signals and snapshots know enough to tell all of theirs anew. A row of an order, of a day's latencies
//! or of a script's health is what was left of the events of a day: it stays as it is, and belongs to the day of the last of
//! them. The journal is then folded once more, for the orders and the health of the new days: so they are exact as far as the
//! journal reaches back. Latencies that were counted are not counted again, so theirs are exact from the change on.

use rusqlite::{Connection, Transaction, params};
use rust_decimal::Decimal;

use super::calendar::Era;
use super::cells::{decimal, parsed, text};
use super::sqlite::Batch;
use super::{equity, orders, signals};
use crate::domain::analytics::sum::Sum;
use crate::domain::analytics::tally::Tally;
use crate::domain::analytics::trade::{BREAKOUT, Side, WrittenTime};
use crate::domain::clock::Timestamp;
use crate::domain::id::EventId;
use crate::domain::risk::session::Session;
use crate::storage::StorageError;

/// Trades whose times are read at once.
const PAGE: i64 = 1_000;
/// Rows whose aggregates are written at once.
const STRIDE: usize = 100_000;

/// Tells all instants and aggregates anew for the days of `session`.
pub(super) fn regroup(transaction: &Transaction<'_>, session: Session) -> Result<(), StorageError> {
    let mut after = i64::MIN;
    while let Some(last) = read_times(transaction, session, after)? {
        after = last;
    }
    for table in ["dd_telemetry_metrics", "dd_equity_metrics"] {
        transaction.execute(&format!("delete from {table}"), [])?;
    }
    orders::count_anew(transaction, session)?;
    let mut batch = Batch::new(transaction, session, Era::default());
    let mut rows = 0_usize;
    let sql = "select profile_id, event_at from dd_breakout_signals where profile_id is not null";
    let mut statement = transaction.prepare(sql)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        batch.buckets.signal(transaction, row.get(0)?, Timestamp::from_micros(row.get(1)?))?;
        batch.write_after(&mut rows, STRIDE, session)?;
    }
    // in the order of time, so that each is only added to what is there
    let sql = "select profile_id, exit_at, id, trade_type, pnl, slippage, signal_slippage from dd_trade_performance
        where profile_id is not null order by profile_id, exit_at, id";
    let mut statement = transaction.prepare(sql)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let place = (Timestamp::from_micros(row.get(1)?), EventId::from_sql(row.get(2)?));
        let is_breakout = text(row, 3)?.as_deref() == Some(BREAKOUT);
        let tally = Tally::of(parsed::<Sum>(row, 4)?, parsed(row, 5)?.or(parsed(row, 6)?));
        batch.buckets.trade(transaction, row.get(0)?, place, is_breakout, tally)?;
        batch.write_after(&mut rows, STRIDE, session)?;
    }
    equity::each_value(transaction, |profile_id, place, value| {
        batch.courses.add(transaction, profile_id, place, value)?;
        batch.write_after(&mut rows, STRIDE, session)
    })?;
    batch.finish()
}

/// A trade's times as they were written, and what its slippage follows from.
struct Times {
    id: i64,
    profile_id: Option<i64>,
    symbol: String,
    entry: WrittenTime,
    exit: WrittenTime,
    side: Side,
    fill: Option<Decimal>,
    is_given: bool,
}

/// Reads the times of the trades behind `after`; the last of them, or `None` when there are none.
fn read_times(connection: &Connection, session: Session, after: i64) -> Result<Option<i64>, StorageError> {
    let sql = "select id, profile_id, symbol, event_at, entry_time, exit_time, direction, quantity, entry_price, slippage
        from dd_trade_performance where id > ? order by id limit ?";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([after, PAGE], |row| {
        let posted = Timestamp::from_micros(row.get(3)?);
        let moment = |column| Ok::<_, rusqlite::Error>(WrittenTime::read(&row.get::<_, String>(column)?, &session, posted));
        Ok(Times {
            id: row.get(0)?,
            profile_id: row.get(1)?,
            symbol: row.get(2)?,
            entry: moment(4)?,
            exit: moment(5)?,
            side: Side::of(text(row, 6)?.as_deref(), parsed(row, 7)?),
            fill: parsed(row, 8)?,
            is_given: row.get::<_, Option<String>>(9)?.is_some(),
        })
    })?;
    let page = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    for trade in &page {
        let signal = match (trade.profile_id, trade.is_given) {
            (Some(profile_id), false) => signals::price_before(connection, profile_id, &trade.symbol, trade.entry.at)?,
            _ => None,
        };
        let slippage = signal.zip(trade.fill).and_then(|(signal, fill)| trade.side.slippage(signal, fill));
        connection
            .prepare_cached("update dd_trade_performance set entry_at = ?, exit_at = ?, signal_slippage = ? where id = ?")?
            .execute(params![trade.entry.at.micros(), trade.exit.at.micros(), decimal(slippage), trade.id])?;
    }
    Ok(page.last().map(|trade| trade.id))
}
