//! The limits: which there are, and what a value of each may be.

use rust_decimal::Decimal;

/// A limit. Each is breached when its figure is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// Loss of the trading day, in the account's currency.
    MaxDailyLoss,
    /// Largest fall of the day's equity from its peak, in percent of the peak.
    MaxDailyDrawdownPct,
    /// Trades of the day.
    MaxTradesPerDay,
    /// Trades of the day in any one symbol.
    MaxTradesPerSymbolPerDay,
    /// Losing trades in a row.
    MaxLossStreak,
}

impl LimitKind {
    /// All of them, in the order of the API.
    pub const ALL: [Self; 5] = [
        Self::MaxDailyLoss,
        Self::MaxDailyDrawdownPct,
        Self::MaxTradesPerDay,
        Self::MaxTradesPerSymbolPerDay,
        Self::MaxLossStreak,
    ];

    /// Its field in the API and in the overrides file.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::MaxDailyLoss => "max_daily_loss_rupees",
            Self::MaxDailyDrawdownPct => "max_daily_drawdown_pct",
            Self::MaxTradesPerDay => "max_trades_per_day",
            Self::MaxTradesPerSymbolPerDay => "max_trades_per_symbol_per_day",
            Self::MaxLossStreak => "max_loss_streak",
        }
    }

    /// The limit whose field in the API is `field`.
    #[must_use]
    pub fn of_field(field: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.field() == field)
    }

    /// The `type` of its breaches.
    #[must_use]
    pub fn breach_type(self) -> &'static str {
        match self {
            Self::MaxDailyLoss => "max_daily_loss",
            other => other.field(),
        }
    }

    /// The unit of its values: `rupees`, `percent`, `trades` or `losses`.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::MaxDailyLoss => "rupees",
            Self::MaxDailyDrawdownPct => "percent",
            Self::MaxTradesPerDay | Self::MaxTradesPerSymbolPerDay => "trades",
            Self::MaxLossStreak => "losses",
        }
    }

    /// Passes a value that the limit may have.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn check(self, value: Decimal) -> Result<Decimal, &'static str> {
        let largest = Decimal::from(1_000_000_000_000_000_i64);
        match self {
            _ if value <= Decimal::ZERO => Err("must be a number above 0"),
            Self::MaxDailyDrawdownPct if value > Decimal::ONE_HUNDRED => Err("must not be above 100"),
            Self::MaxDailyLoss | Self::MaxDailyDrawdownPct if value <= largest => Ok(value.normalize()),
            _ if value > largest => Err("must not be above 1000000000000000"),
            _ if value.fract().is_zero() => Ok(value.normalize()),
            _ => Err("must be a whole number above 0"),
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// A value for each limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits([Decimal; 5]);

impl Limits {
    /// The limits whose values `value` gives.
    #[must_use]
    pub fn from_fn(value: impl FnMut(LimitKind) -> Decimal) -> Self {
        Self(LimitKind::ALL.map(value))
    }

    /// The value of `kind`.
    #[must_use]
    pub fn get(&self, kind: LimitKind) -> Decimal {
        self.0.get(kind.index()).copied().unwrap_or_default()
    }
}
