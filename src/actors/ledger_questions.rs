//! What routes ask the ledger, each question a verb of its handle. All of them see what was acknowledged before they were
//! asked; for what they answer with instead see [`LedgerError`].

use rust_decimal::Decimal;

use super::ledger_handle::{LedgerError, LedgerHandle};
use crate::domain::analytics::latency::Latencies;
use crate::domain::analytics::order::OrderCounts;
use crate::domain::analytics::tally::Tally;
use crate::domain::clock::Timestamp;
use crate::storage::ledger::{EquityKnown, KeptTrade, KnownScript, LatencySpan, Scope, Span, Traded};

impl LedgerHandle {
    /// The trades of `profile_id` that were closed within `span`, in `symbol` or all, the latest first, at most `limit`.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn trades(
        &self,
        profile_id: i64,
        span: Span,
        symbol: Option<String>,
        limit: usize,
    ) -> Result<Vec<KeptTrade>, LedgerError> {
        self.ask(move |ledger| ledger.trades(profile_id, span, symbol.as_deref(), limit)).await
    }

    /// The breakout trades and signals of the trading days of `days`.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn breakouts(&self, profile_id: i64, days: Span) -> Result<Traded, LedgerError> {
        self.ask(move |ledger| ledger.traded(profile_id, days, Scope::Breakout)).await
    }

    /// All trades of the trading days of `days`, and the equity of the last snapshot before them.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn performance(&self, profile_id: i64, days: Span) -> Result<(Tally, Option<Decimal>), LedgerError> {
        let performance = self.ask(move |ledger| {
            let traded = ledger.traded(profile_id, days, Scope::All)?;
            let before = ledger.equity(profile_id, days.start)?;
            Ok((traded.tally, before.latest.and_then(|(_, snapshot)| snapshot.account_equity)))
        });
        performance.await
    }

    /// What was known of equity before `end`, the end of a trading day.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn equity(&self, profile_id: i64, end: Timestamp) -> Result<EquityKnown, LedgerError> {
        self.ask(move |ledger| ledger.equity(profile_id, end)).await
    }

    /// The orders of the trading days of `days`, and latencies: of the profile, or of one of its scripts.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn orders(
        &self,
        profile_id: i64,
        days: Span,
        script: Option<String>,
        latencies: LatencySpan,
    ) -> Result<(OrderCounts, Latencies), LedgerError> {
        let orders = self.ask(move |ledger| {
            let counts = ledger.orders(profile_id, days)?;
            Ok((counts, ledger.latencies(profile_id, script.as_deref(), latencies)?))
        });
        orders.await
    }

    /// What was known of the scripts of a profile, or of one of them, before `end`, the end of a trading day.
    ///
    /// # Errors
    /// See [`LedgerError`].
    pub async fn scripts(
        &self,
        profile_id: i64,
        script: Option<String>,
        end: Timestamp,
        latencies: LatencySpan,
    ) -> Result<Vec<KnownScript>, LedgerError> {
        self.ask(move |ledger| ledger.scripts(profile_id, script.as_deref(), end, latencies)).await
    }
}
