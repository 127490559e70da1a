//! The figures of a day as they stand: what limits are compared with, and what each is based on.

use rust_decimal::Decimal;

use super::equity::Series;
use super::limits::LimitKind;
use super::source::{Basis, Pnl};
use super::state::DayState;

/// A figure: its value if it is known, what it is based on, and when that was told, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figure {
    /// In the account's currency, percent or a count.
    pub value: Option<Decimal>,
    /// What it is based on.
    pub source: Option<&'static str>,
    /// The time of the newest input; of several sources' inputs the oldest.
    pub at: Option<i64>,
}

impl Figure {
    /// The same basis with another value.
    #[must_use]
    pub fn with(self, value: Option<Decimal>) -> Self {
        Self { value, ..self }
    }
}

/// All figures of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Realised P&L.
    pub realized_pnl: Figure,
    /// Unrealised P&L.
    pub unrealized_pnl: Figure,
    /// What counts towards the daily loss, as P&L.
    pub daily_pnl: Figure,
    /// Equity now.
    pub equity: Figure,
    /// Its highest of the day.
    pub peak_equity: Figure,
    /// Its lowest of the day.
    pub trough_equity: Figure,
    /// The largest fall of the day.
    pub drawdown_pct: Figure,
    /// Trades.
    pub trades: Figure,
    /// Losing trades in a row.
    pub loss_streak: Figure,
}

/// Where equity is known from.
enum EquityBasis {
    Stated,
    Filed,
    Computed,
}

impl DayState {
    /// What the limit of `kind` is compared with; `None` as long as it is not known. O(1).
    #[must_use]
    pub fn current(&self, kind: LimitKind, symbol: Option<&str>) -> Option<Decimal> {
        match kind {
            LimitKind::MaxDailyLoss => self.daily_loss(),
            LimitKind::MaxDailyDrawdownPct => self.worst_series().and_then(|(series, _)| series.drawdown_pct),
            LimitKind::MaxTradesPerDay => self.counted(self.trades()),
            LimitKind::MaxTradesPerSymbolPerDay => self.counted(self.trades_in(symbol?)),
            LimitKind::MaxLossStreak => self.counted(self.loss_streak()),
        }
    }

    /// max(0, -P&L).
    fn daily_loss(&self) -> Option<Decimal> {
        let pnl = self.pnl()?.counted(self.rules().include_unrealized);
        Some((-pnl).max(Decimal::ZERO))
    }

    fn counted(&self, count: u64) -> Option<Decimal> {
        self.newest.map(|_| count.into()).or_else(|| (count > 0).then(|| count.into()))
    }

    /// The series that fell most, and what it is.
    fn worst_series(&self) -> Option<(Series, EquityBasis)> {
        match (self.stated, self.filed) {
            (Some(stated), Some(filed)) if filed.drawdown_pct > stated.drawdown_pct => Some((filed, EquityBasis::Filed)),
            (Some(stated), _) => Some((stated, EquityBasis::Stated)),
            (None, Some(filed)) => Some((filed, EquityBasis::Filed)),
            (None, None) => self.computed().map(|computed| (computed, EquityBasis::Computed)),
        }
    }

    /// All figures. O(sources).
    #[must_use]
    pub fn figures(&self) -> Figures {
        let pnl = self.pnl();
        let basis = pnl.map_or_else(Figure::default, |pnl| self.basis(pnl));
        let counts = self.rules().include_unrealized;
        let equity = self.worst_series().map(|(series, basis)| (series, self.equity_basis(&basis)));
        let of_equity = |value: fn(Series) -> Option<Decimal>| {
            equity.map_or_else(Figure::default, |(series, figure)| figure.with(value(series)))
        };
        let count = |value: u64, by_events: bool| Figure {
            value: self.counted(value),
            source: self.counted(value).map(|_| if by_events { Basis::Events } else { Basis::File }.as_str()),
            at: if by_events { self.heard_at() } else { self.file.as_ref().map(|(at, _)| *at) },
        };
        Figures {
            realized_pnl: basis.with(pnl.map(|pnl| pnl.realized)),
            unrealized_pnl: basis.with(pnl.map(|pnl| pnl.unrealized)),
            daily_pnl: basis.with(pnl.map(|pnl| pnl.counted(counts))),
            equity: of_equity(|series| Some(series.last)),
            peak_equity: of_equity(|series| Some(series.peak)),
            trough_equity: of_equity(|series| Some(series.trough)),
            drawdown_pct: of_equity(|series| series.drawdown_pct),
            trades: count(self.trades(), self.trades_by_events() == self.trades()),
            loss_streak: count(self.loss_streak(), self.streak_by_events() == self.loss_streak()),
        }
    }

    /// On what `pnl` is based, and since when.
    fn basis(&self, pnl: Pnl) -> Figure {
        let file = |pnl: Pnl| Figure { value: None, source: Some(pnl.basis.as_str()), at: pnl.at };
        if pnl.basis == Basis::File {
            return file(pnl);
        }
        let counts = self.rules().include_unrealized;
        let told: Vec<Pnl> = self.sources().filter_map(|source| source.pnl(counts)).collect();
        // the name of what weighs most; the time of what is oldest
        let heaviest = told.iter().min_by_key(|each| each.counted(counts)).map_or(Basis::Events, |each| each.basis);
        let oldest = told.iter().map(|each| each.at.or(self.newest)).min().unwrap_or(self.newest);
        Figure { value: None, source: Some(heaviest.as_str()), at: oldest }
    }

    fn equity_basis(&self, basis: &EquityBasis) -> Figure {
        let (source, at) = match basis {
            EquityBasis::Stated => ("stated_equity", self.sources().filter_map(|source| source.equity().map(|(at, _)| at)).min()),
            EquityBasis::Filed => (Basis::File.as_str(), self.file.as_ref().map(|(at, _)| *at)),
            EquityBasis::Computed => ("starting_capital_and_pnl", self.pnl().and_then(|pnl| self.basis(pnl).at)),
        };
        Figure { value: None, source: Some(source), at }
    }
}
