//! What is written into the ledger.

use plimsoll::domain::analytics::entry::{Entry, Kind};
use plimsoll::domain::analytics::equity::Equity;
use plimsoll::domain::analytics::signal::Signal;
use plimsoll::domain::analytics::trade::{Trade, WrittenTime};
use plimsoll::domain::clock::Timestamp;
use plimsoll::domain::event::{Draft, Header};
use plimsoll::domain::id::EventId;
use plimsoll::domain::risk::session::Session;
use rust_decimal::Decimal;

const MINUTE: i64 = 60_000_000;

fn symbol(number: i64) -> compact_str::CompactString {
    format!("NIFTY25NOV24650CE-{}", number % 50).into()
}

fn at(micros: i64) -> WrittenTime {
    let at = Timestamp::from_micros(micros);
    WrittenTime { text: at.to_string(), at }
}

pub fn trade(id: u64, profile_id: i64, micros: i64, number: i64) -> Entry {
    let trade = Trade {
        symbol: symbol(number),
        trade_type: if number % 3 == 0 { "stop_loss" } else { "breakout" }.into(),
        direction: Some("upward".into()),
        entry_price: Some(Decimal::new(2_465_055 + number % 97, 2)),
        exit_price: Some(Decimal::new(2_465_055 + number % 89, 2)),
        quantity: Some(Decimal::from(75)),
        pnl: Some(Decimal::new((number * 7_919) % 20_011 - 10_000, 2)),
        slippage: None,
        bar_strength: Some(Decimal::new(82, 2)),
        exit_reason: Some("profit_target".into()),
        entry: at(micros - 4 * MINUTE),
        exit: at(micros),
    };
    entry(id, profile_id, micros, Kind::Trade(Box::new(trade)))
}

pub fn signal(id: u64, profile_id: i64, micros: i64, number: i64) -> Entry {
    let signal = Signal {
        symbol: symbol(number),
        direction: "upward".into(),
        bar_strength: Some(Decimal::new(82, 2)),
        close_price: Some(Decimal::new(2_465_000, 2)),
        candle_size: Some(Decimal::from(20)),
        volume: Some(Decimal::from(1_000)),
    };
    entry(id, profile_id, micros - 5 * MINUTE, Kind::Signal(signal))
}

pub fn snapshot(id: u64, profile_id: i64, micros: i64, number: i64) -> Entry {
    let amount = |cents: i64| Some(Decimal::new(cents, 2));
    let snapshot = Equity {
        account_equity: amount(500_000_000 + (number * 7_919) % 2_000_003),
        unrealized_pnl: amount(number % 1_000),
        realized_pnl: amount(number),
        margin_used: amount(452_000),
        margin_available: amount(548_000),
        open_positions: Some(Decimal::from(3)),
    };
    entry(id, profile_id, micros, Kind::Equity(snapshot))
}

fn entry(id: u64, profile_id: i64, micros: i64, kind: Kind) -> Entry {
    Entry { id: EventId::from_u64(id), profile_id: Some(profile_id), at: Timestamp::from_micros(micros), kind }
}

/// An entry as it is read out of an event.
pub fn read(id: u64, event_type: &str, profile_id: i64, micros: i64, payload: &str, session: &Session) -> Entry {
    let header = Header {
        event_type: event_type.into(),
        timestamp: Timestamp::from_micros(micros),
        source: Some("bench".into()),
        severity: None,
        profile_id: Some(profile_id),
        event_id: None,
        symbol: None,
        strategy: None,
    };
    Entry::of(&Draft::new(header, payload).stamp(EventId::from_u64(id)), session).unwrap()
}
