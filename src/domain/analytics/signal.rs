//! A breakout signal: the price that a trade's fill is measured against.

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::entry::{Fields, Kind};

/// A breakout signal, at the time of its event. Amounts that are too large to be counted with are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// In what.
    pub symbol: CompactString,
    /// In lower case.
    pub direction: CompactString,
    /// Strength of the bar, 0 to 1.
    pub bar_strength: Option<Decimal>,
    /// The price at the signal.
    pub close_price: Option<Decimal>,
    /// Size of the candle.
    pub candle_size: Option<Decimal>,
    /// Volume of the candle.
    pub volume: Option<Decimal>,
}

impl Signal {
    pub(super) fn read(fields: &Fields<'_>) -> Option<Kind> {
        Some(Kind::Signal(Self {
            symbol: CompactString::new(fields.text("symbol")?),
            direction: fields.word("direction")?,
            bar_strength: fields.amount("bar_strength"),
            close_price: fields.amount("close_price"),
            candle_size: fields.amount("candle_size"),
            volume: fields.amount("volume"),
        }))
    }
}
