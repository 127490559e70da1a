//! The ledger: what the events say of trades, signals and equity, in tables that outlive the journal.
//!
//! [`LedgerWriter`] is held by one actor, [`LedgerReader`]s read beside it. The id of the last event that was folded is written
//! in the transaction of what it led to, so whoever opens the ledger goes on exactly there. The embedded implementation is
//! [`sqlite`]; its SQL is such that MySQL takes it too.
//!
//! Trades, signals and snapshots are kept row by row, each kind in a file here that writes it and answers from it (`trades`,
//! `signals`, `equity`), with aggregates beside them. Of orders, latencies and scripts' health only what was made of them is
//! kept (`orders`, `latencies`, `scripts`); `sqlite` hands entries to all six, and writes what they touched at the end of
//! the transaction.
//!
//! An entry is there once by the id of its event. That a copy with the same `event_id` is no event of its own is the journal's
//! doing: one that is sent again to a new or restored journal counts again.

mod buckets;
mod calendar;
mod cells;
mod dialect;
mod equity;
#[cfg(test)]
mod file_tests;
mod latencies;
mod migrations;
#[cfg(test)]
mod order_tests;
mod orders;
mod regroup;
#[cfg(test)]
mod regroup_tests;
mod scripts;
mod signals;
pub mod sqlite;
pub mod sqlite_reader;
#[cfg(test)]
mod tests;
mod trades;

use compact_str::CompactString;
use rust_decimal::Decimal;

pub use latencies::LatencySpan;
pub use scripts::{KnownScript, MAX_SCRIPTS};

use super::StorageError;
use crate::domain::analytics::entry::Entry;
use crate::domain::analytics::equity::{Course, Equity};
use crate::domain::analytics::latency::Latencies;
use crate::domain::analytics::order::OrderCounts;
use crate::domain::analytics::tally::Tally;
use crate::domain::clock::Timestamp;
use crate::domain::id::EventId;

/// The ledger, as its one writer sees it.
pub trait LedgerWriter: Send {
    /// Writes `entries`, those that are not there yet, and that everything up to `cursor` was folded: all of it or nothing.
    ///
    /// # Errors
    /// Nothing was written.
    fn write(&mut self, entries: &[Entry], cursor: EventId) -> Result<(), StorageError>;

    /// The last event that was folded; `ZERO` in a new ledger.
    fn cursor(&self) -> EventId;

    /// The last event that was ever folded: behind the cursor's where that was set back, to fold the journal once more.
    fn folded(&self) -> EventId;

    /// Whether what is written goes where the next start will look for it.
    ///
    /// # Errors
    /// It does not.
    fn check(&mut self) -> Result<(), StorageError>;

    /// What it is known not to have.
    fn missing(&self) -> Missing;

    /// Notes what it does not have; written with what is written next.
    fn note_missing(&mut self, missing: Missing);

    /// Notes damage that a reader met, so that whoever opens the ledger next sets it aside.
    fn distrust(&mut self, damage: &StorageError);
}

/// What a ledger is known not to have of what arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    /// Events up to this one may be missing; `ZERO` when none is known to be.
    pub until: EventId,
    /// Events that an internal error has left out.
    pub skipped: u64,
}

impl Missing {
    /// All that arrived from then on is there; `None` when nothing is known to be missing.
    #[must_use]
    pub fn complete_from(&self) -> Option<Timestamp> {
        let next = i64::try_from(self.until.millis()).unwrap_or(i64::MAX).saturating_add(1);
        (self.until != EventId::ZERO).then(|| Timestamp::from_micros(next.saturating_mul(1_000)))
    }
}

/// A stretch of time: from `start` until right before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant behind it.
    pub end: Timestamp,
}

/// Which trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// Those of type `breakout`.
    Breakout,
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Breakout => "breakout",
        }
    }
}

/// The closed trades of a span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traded {
    /// Counts and sums.
    pub tally: Tally,
    /// Breakout signals.
    pub signals: u64,
}

/// What is known of a profile's equity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EquityKnown {
    /// The latest snapshot (of equal ones the later event), and its time.
    pub latest: Option<(Timestamp, Equity)>,
    /// The course of all snapshots that tell an equity.
    pub course: Option<Course>,
}

/// A closed trade as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTrade {
    /// Its event.
    pub id: EventId,
    /// In what.
    pub symbol: CompactString,
    /// What closed it.
    pub trade_type: CompactString,
    /// The breakout's direction.
    pub direction: Option<CompactString>,
    /// Price of one when it was opened.
    pub entry_price: Option<Decimal>,
    /// Price of one when it was closed.
    pub exit_price: Option<Decimal>,
    /// How much.
    pub quantity: Option<Decimal>,
    /// Its result.
    pub pnl: Option<Decimal>,
    /// As given, else the fill against the signal.
    pub slippage: Option<Decimal>,
    /// Strength of the bar.
    pub bar_strength: Option<Decimal>,
    /// Why it was closed.
    pub exit_reason: Option<String>,
    /// When it was opened.
    pub entry_at: Timestamp,
    /// When it was closed.
    pub exit_at: Timestamp,
}

/// The ledger, as a reader sees it. Each question sees one state of it.
pub trait LedgerReader: Send {
    /// The trades of `profile_id` that were closed within `span`, the latest first (of equal ones the later event), at most
    /// `limit`.
    ///
    /// # Errors
    /// The store failed or took too long.
    fn trades(&mut self, profile_id: i64, span: Span, symbol: Option<&str>, limit: usize)
    -> Result<Vec<KeptTrade>, StorageError>;

    /// The trades of whole trading days, counted and summed.
    ///
    /// # Errors
    /// The store failed or took too long.
    fn traded(&mut self, profile_id: i64, days: Span, scope: Scope) -> Result<Traded, StorageError>;

    /// What was known of equity before `end`, the end of a trading day.
    ///
    /// # Errors
    /// The store failed or took too long.
    fn equity(&mut self, profile_id: i64, end: Timestamp) -> Result<EquityKnown, StorageError>;

    /// The orders that belong to the trading days of `days`, as they were known at its end.
    ///
    /// # Errors
    /// The store failed or took too long.
    fn orders(&mut self, profile_id: i64, days: Span) -> Result<OrderCounts, StorageError>;

    /// The latencies of a profile, its orders' too, or of one of its scripts.
    ///
    /// # Errors
    /// The store failed or took too long.
    fn latencies(&mut self, profile_id: i64, script: Option<&str>, asked: LatencySpan) -> Result<Latencies, StorageError>;

    /// What was known before `end`, the end of a trading day, of the scripts of a profile, by name and at most
    /// [`MAX_SCRIPTS`]; or of one of them.
    ///
    /// # Errors
    /// The store failed or took too long.
    fn scripts(
        &mut self,
        profile_id: i64,
        script: Option<&str>,
        end: Timestamp,
        asked: LatencySpan,
    ) -> Result<Vec<KnownScript>, StorageError>;
}
