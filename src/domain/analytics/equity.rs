//! The account's equity over time: its course from snapshot to snapshot, and the largest fall in it.

use rust_decimal::Decimal;

use super::entry::{Fields, Kind};
use super::sum::Sum;

/// A snapshot of the account, at the time of its event. Amounts that are too large to be counted with are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Equity {
    /// Worth of the account.
    pub account_equity: Option<Decimal>,
    /// Result of open positions.
    pub unrealized_pnl: Option<Decimal>,
    /// Result of closed ones.
    pub realized_pnl: Option<Decimal>,
    /// Margin that is bound.
    pub margin_used: Option<Decimal>,
    /// Margin that is free.
    pub margin_available: Option<Decimal>,
    /// Open positions.
    pub open_positions: Option<Decimal>,
}

impl Equity {
    pub(super) fn read(fields: &Fields<'_>) -> Option<Kind> {
        Some(Kind::Equity(Self {
            account_equity: fields.amount("account_equity"),
            unrealized_pnl: fields.amount("unrealized_pnl"),
            realized_pnl: fields.amount("realized_pnl"),
            margin_used: fields.amount("margin_used"),
            margin_available: fields.amount("margin_available"),
            open_positions: fields.amount("open_positions_count"),
        }))
    }

    /// Realised and unrealised result together, if both are known.
    #[must_use]
    pub fn total_pnl(&self) -> Option<Sum> {
        Some(Sum::of(self.realized_pnl?) + Sum::of(self.unrealized_pnl?))
    }

    /// Margin that is bound in percent of all margin; `None` where there is none. Above 100 when more is bound than there is.
    #[must_use]
    pub fn margin_utilization_pct(&self) -> Option<Sum> {
        let used = Sum::of(self.margin_used?);
        used.percent_of(used + Sum::of(self.margin_available?))
    }
}

/// A stretch of a course of values in the order of time. Two that follow each other make one, whatever is between them:
/// so the course of years is known from that of its days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// The first value.
    pub first: Sum,
    /// The last.
    pub last: Sum,
    /// The highest.
    pub high: Sum,
    /// The lowest.
    pub low: Sum,
    /// The largest fall from a value to a later one; zero if it never fell.
    pub fall: Sum,
    /// The value from which that fall began; of equal falls it is the first one's.
    pub fall_from: Sum,
}

impl Course {
    /// The course of one value.
    #[must_use]
    pub fn at(value: Sum) -> Self {
        Self { first: value, last: value, high: value, low: value, fall: Sum::ZERO, fall_from: value }
    }

    /// This course and then `later`.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        let across = self.high - later.low;
        let mut fall = (self.fall, self.fall_from);
        // of equal ones the first; one across ends later than one before it and begins earlier than one behind it
        for next in [(across, self.high), (later.fall, later.fall_from)] {
            if next.0 > fall.0 {
                fall = next;
            }
        }
        Self {
            first: self.first,
            last: later.last,
            high: self.high.max(later.high),
            low: self.low.min(later.low),
            fall: fall.0,
            fall_from: if fall.0 == Sum::ZERO { self.high.max(later.high) } else { fall.1 },
        }
    }

    /// The same course `by` higher.
    #[must_use]
    pub fn raised(self, by: Sum) -> Self {
        Self {
            first: self.first + by,
            last: self.last + by,
            high: self.high + by,
            low: self.low + by,
            fall: self.fall,
            fall_from: self.fall_from + by,
        }
    }

    /// The largest fall in percent of the value from which it began; `None` if that is not above zero.
    #[must_use]
    pub fn fall_pct(&self) -> Option<Sum> {
        self.fall.percent_of(self.fall_from)
    }

    /// Where the last value stands.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        if self.last < self.fall_from {
            Recovery::Drawdown
        } else if self.last < self.high || (self.fall > Sum::ZERO && self.last == self.fall_from) {
            Recovery::Recovered
        } else {
            Recovery::NewPeak
        }
    }
}

/// How far a course has come back from its largest fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// It is at its highest, above where the largest fall began, or it never fell.
    NewPeak,
    /// It is back at or above where the largest fall began, without being at a new peak.
    Recovered,
    /// It is below where the largest fall began.
    Drawdown,
}
