//! The metrics that are there from the start, and follow from the events.
//!
//! They are labelled with the event's `source`, and gauges with its `profile_id` too; an event that names none changes the
//! series without it. Counters and histograms begin anew when the service starts; gauges are known again from the events of
//! the trading day.

use super::name::{Kind, MetricName};

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Predefined {
    name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it means.
    pub help: &'static str,
}

impl Predefined {
    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, help }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> MetricName {
        MetricName::known(self.name)
    }

    /// What tells it from the others.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.name
    }
}

/// Trades.
pub const TRADES: Predefined = Predefined::new(
    "trades_total",
    Kind::Counter,
    "Fills since the service started, from trade_filled and filled orders; one that is told in both ways counts once.",
);
/// Their value.
pub const TRADES_VALUE: Predefined = Predefined::new(
    "trades_value_usd",
    Kind::Counter,
    "Quantity times price of these fills, in the account's currency; fills that do not tell both are left out.",
);
/// Decisions.
pub const DECISIONS: Predefined = Predefined::new(
    "decisions_total",
    Kind::Counter,
    "Decisions since the service started, from decision_trace and decision_made.",
);
/// Cycles.
pub const CYCLES: Predefined =
    Predefined::new("cycles_total", Kind::Counter, "Cycles that ended since the service started, from cycle_end.");
/// Errors.
pub const ERRORS: Predefined =
    Predefined::new("errors_total", Kind::Counter, "Errors since the service started, from error and data_error.");
/// Equity.
pub const PORTFOLIO_VALUE: Predefined = Predefined::new(
    "portfolio_value_usd",
    Kind::Gauge,
    "Equity as told last, in the account's currency, by equity_snapshot, performance_update or a snapshot of all positions.",
);
/// Cash.
pub const CASH_BALANCE: Predefined = Predefined::new(
    "cash_balance_usd",
    Kind::Gauge,
    "Cash as told last, in the account's currency; of an equity_snapshot without cash the margin that is available.",
);
/// Positions.
pub const POSITIONS: Predefined = Predefined::new("positions_count", Kind::Gauge, "Open positions as told last.");
/// Profit and loss.
pub const DAILY_PNL: Predefined = Predefined::new(
    "daily_pnl_usd",
    Kind::Gauge,
    "Profit and loss of the day as told last, in the account's currency; where it is not told, realised plus unrealised.",
);
/// How long cycles take.
pub const CYCLE_DURATION: Predefined = Predefined::new(
    "cycle_duration_seconds",
    Kind::Histogram,
    "How long cycles took, by cycle_end, or else since the cycle_start of the same source, in seconds.",
);
/// How long orders take.
pub const ORDER_LATENCY: Predefined = Predefined::new(
    "order_latency_seconds",
    Kind::Histogram,
    "How long the broker took for calls about orders, from order_event and from api_latency of orders, in seconds.",
);

/// All of them.
pub const PREDEFINED: [Predefined; 11] = [
    TRADES,
    TRADES_VALUE,
    DECISIONS,
    CYCLES,
    ERRORS,
    PORTFOLIO_VALUE,
    CASH_BALANCE,
    POSITIONS,
    DAILY_PNL,
    CYCLE_DURATION,
    ORDER_LATENCY,
];
