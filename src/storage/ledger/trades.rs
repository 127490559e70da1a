//! `dd_trade_performance`: closed trades.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::cells::{decimal, parsed, text};
use super::dialect::through;
use super::sqlite::{Batch, has};
use super::{KeptTrade, Span, signals};
use crate::domain::analytics::entry::Entry;
use crate::domain::analytics::sum::Sum;
use crate::domain::analytics::tally::Tally;
use crate::domain::analytics::trade::{BREAKOUT, Trade};
use crate::domain::clock::Timestamp;
use crate::domain::id::EventId;
use crate::storage::StorageError;

const TABLE: &str = "dd_trade_performance";

/// Writes a trade and counts it, unless it is there.
pub(super) fn write(batch: &mut Batch<'_>, entry: &Entry, trade: &Trade) -> Result<(), StorageError> {
    let connection = batch.transaction;
    if has(connection, TABLE, entry.id)? {
        return Ok(());
    }
    let against_signal = match (trade.slippage, entry.profile_id, trade.entry_price) {
        (None, Some(profile_id), Some(fill)) => {
            let signal = signals::price_before(connection, profile_id, &trade.symbol, trade.entry.at)?;
            signal.and_then(|signal| trade.side().slippage(signal, fill))
        }
        _ => None,
    };
    let sql = format!(
        "insert into {TABLE}(id, profile_id, event_at, symbol, trade_type, direction, entry_price, exit_price, quantity, pnl,
            slippage, signal_slippage, bar_strength, exit_reason, entry_time, exit_time, entry_at, exit_at)
         values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    connection.prepare_cached(&sql)?.execute(params![
        entry.id.to_sql(),
        entry.profile_id,
        entry.at.micros(),
        trade.symbol.as_str(),
        trade.trade_type.as_str(),
        trade.direction.as_deref(),
        decimal(trade.entry_price),
        decimal(trade.exit_price),
        decimal(trade.quantity),
        decimal(trade.pnl),
        decimal(trade.slippage),
        decimal(against_signal),
        decimal(trade.bar_strength),
        trade.exit_reason,
        trade.entry.text,
        trade.exit.text,
        trade.entry.at.micros(),
        trade.exit.at.micros(),
    ])?;
    let Some(profile_id) = entry.profile_id else { return Ok(()) };
    let tally = Tally::of(trade.pnl.map(Sum::of), trade.slippage.or(against_signal).map(Sum::of));
    let place = (trade.exit.at, entry.id);
    batch.buckets.trade(connection, profile_id, place, trade.trade_type == BREAKOUT, tally)
}

/// The question for the trades of a profile within a span, of one symbol or all.
pub(super) fn list_sql(has_symbol: bool, limit: usize) -> String {
    let (index, only) = if has_symbol { ("dd_trades_by_symbol", "and symbol = ?") } else { ("dd_trades_by_exit", "") };
    let through = through(index);
    format!(
        "select id, symbol, trade_type, direction, entry_price, exit_price, quantity, pnl, slippage, signal_slippage,
            bar_strength, exit_reason, entry_at, exit_at from {TABLE} {through}
         where profile_id = ? and exit_at >= ? and exit_at < ? {only} order by exit_at desc, id desc limit {limit}"
    )
}

/// The trades that were closed within `span`, the latest first.
pub(super) fn list(
    connection: &Connection,
    profile_id: i64,
    span: Span,
    symbol: Option<&str>,
    limit: usize,
) -> Result<Vec<KeptTrade>, StorageError> {
    let sql = list_sql(symbol.is_some(), limit);
    let mut values: Vec<Value> = vec![profile_id.into(), span.start.micros().into(), span.end.micros().into()];
    values.extend(symbol.map(|symbol| symbol.to_owned().into()));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), kept)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn kept(row: &Row<'_>) -> rusqlite::Result<KeptTrade> {
    Ok(KeptTrade {
        id: EventId::from_sql(row.get(0)?),
        symbol: text(row, 1)?.unwrap_or_default(),
        trade_type: text(row, 2)?.unwrap_or_default(),
        direction: text(row, 3)?,
        entry_price: parsed(row, 4)?,
        exit_price: parsed(row, 5)?,
        quantity: parsed(row, 6)?,
        pnl: parsed(row, 7)?,
        slippage: parsed(row, 8)?.or(parsed(row, 9)?),
        bar_strength: parsed(row, 10)?,
        exit_reason: row.get(11)?,
        entry_at: Timestamp::from_micros(row.get(12)?),
        exit_at: Timestamp::from_micros(row.get(13)?),
    })
}
