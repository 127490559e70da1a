//! `dd_breakout_signals`: breakout signals, and the slippage of the trades that followed them.

use rusqlite::{Connection, OptionalExtension as _, params};
use rust_decimal::Decimal;

use super::cells::{decimal, parsed, text};
use super::dialect::through;
use super::sqlite::{Batch, has};
use crate::domain::analytics::entry::Entry;
use crate::domain::analytics::signal::Signal;
use crate::domain::analytics::trade::{BREAKOUT, Side};
use crate::domain::clock::Timestamp;
use crate::storage::StorageError;

const TABLE: &str = "dd_breakout_signals";

/// Writes a signal and counts it, unless it is there; trades that were entered after it and came before it are measured anew:
/// those up to the next signal for the symbol, so one that is older than all trades and the only one costs a reading of all.
pub(super) fn write(batch: &mut Batch<'_>, entry: &Entry, signal: &Signal) -> Result<(), StorageError> {
    let connection = batch.transaction;
    if has(connection, TABLE, entry.id)? {
        return Ok(());
    }
    let sql = format!(
        "insert into {TABLE}(id, profile_id, event_at, symbol, direction, bar_strength, close_price, candle_size, volume)
         values(?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    connection.prepare_cached(&sql)?.execute(params![
        entry.id.to_sql(),
        entry.profile_id,
        entry.at.micros(),
        signal.symbol.as_str(),
        signal.direction.as_str(),
        decimal(signal.bar_strength),
        decimal(signal.close_price),
        decimal(signal.candle_size),
        decimal(signal.volume),
    ])?;
    let Some(profile_id) = entry.profile_id else { return Ok(()) };
    batch.buckets.signal(connection, profile_id, entry.at)?;
    measure_anew(batch, profile_id, &signal.symbol, entry.at)
}

/// The price of the latest signal for `symbol` at or before `time`; of equal ones, that of the later event.
pub(super) fn price_before(
    connection: &Connection,
    profile_id: i64,
    symbol: &str,
    time: Timestamp,
) -> Result<Option<Decimal>, StorageError> {
    let sql = format!(
        "select close_price from {TABLE} where profile_id = ? and symbol = ? and event_at <= ?
         order by event_at desc, id desc limit 1"
    );
    let found = connection.prepare_cached(&sql)?.query_row(params![profile_id, symbol, time.micros()], |row| parsed(row, 0));
    Ok(found.optional()?.flatten())
}

/// A trade whose slippage follows from a signal.
struct Follower {
    id: i64,
    is_breakout: bool,
    side: Side,
    fill: Option<Decimal>,
    entry_at: Timestamp,
    exit_at: Timestamp,
}

/// Measures the trades anew that were entered from `since` on until the next signal.
fn measure_anew(batch: &mut Batch<'_>, profile_id: i64, symbol: &str, since: Timestamp) -> Result<(), StorageError> {
    let connection = batch.transaction;
    let sql = format!("select min(event_at) from {TABLE} where profile_id = ? and symbol = ? and event_at > ?");
    let mut next = connection.prepare_cached(&sql)?;
    let next: Option<i64> = next.query_row(params![profile_id, symbol, since.micros()], |row| row.get(0))?;
    let sql = format!(
        "select id, trade_type, direction, quantity, entry_price, entry_at, exit_at from dd_trade_performance {}
         where profile_id = ? and symbol = ? and entry_at >= ? and entry_at < ? and slippage is null",
        through("dd_trades_by_entry"),
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let until = next.unwrap_or(i64::MAX);
    let rows = statement.query_map(params![profile_id, symbol, since.micros(), until], |row| {
        Ok(Follower {
            id: row.get(0)?,
            is_breakout: text(row, 1)?.as_deref() == Some(BREAKOUT),
            side: Side::of(text(row, 2)?.as_deref(), parsed(row, 3)?),
            fill: parsed(row, 4)?,
            entry_at: Timestamp::from_micros(row.get(5)?),
            exit_at: Timestamp::from_micros(row.get(6)?),
        })
    })?;
    for follower in rows.collect::<rusqlite::Result<Vec<_>>>()? {
        let signal = price_before(connection, profile_id, symbol, follower.entry_at)?;
        let slippage = signal.zip(follower.fill).and_then(|(signal, fill)| follower.side.slippage(signal, fill));
        connection
            .prepare_cached("update dd_trade_performance set signal_slippage = ? where id = ?")?
            .execute(params![decimal(slippage), follower.id])?;
        batch.buckets.changed(connection, profile_id, follower.exit_at, follower.is_breakout)?;
    }
    Ok(())
}
