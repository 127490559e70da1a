//! A series of equity: its peak, its trough, and the largest fall on the way; and the same of P&L, which is equity as soon as
//! it is known what it began with.

use rust_decimal::Decimal;

use crate::domain::money::percent;

/// Equity over the day, in time order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    /// The newest value.
    pub last: Decimal,
    /// The highest so far.
    pub peak: Decimal,
    /// The lowest so far.
    pub trough: Decimal,
    /// The largest fall from a peak to what came after it, in percent of the peak; `None` as long as there was no peak above
    /// zero to fall from.
    pub drawdown_pct: Option<Decimal>,
}

impl Series {
    /// A series that begins with `value`.
    #[must_use]
    pub fn new(value: Decimal) -> Self {
        let drawdown_pct = (value > Decimal::ZERO).then_some(Decimal::ZERO);
        Self { last: value, peak: value, trough: value, drawdown_pct }
    }

    /// Takes the next value.
    pub fn push(&mut self, value: Decimal) {
        self.last = value;
        self.peak = self.peak.max(value);
        self.trough = self.trough.min(value);
        // Option orders None below every value
        self.drawdown_pct = self.drawdown_pct.max(percent(self.peak - value, self.peak));
    }

    /// From here on `by` more belongs to it that is neither gain nor loss; a fall that was seen stays what it was.
    pub fn shift(&mut self, by: Decimal) {
        self.last += by;
        self.peak += by;
        self.trough += by;
    }

    /// Takes a fall from `peak` to `trough` that is known to have happened; what came before and after is kept.
    pub fn fell(&mut self, peak: Decimal, trough: Decimal) {
        self.peak = self.peak.max(peak);
        self.trough = self.trough.min(trough);
        if trough <= peak {
            self.drawdown_pct = self.drawdown_pct.max(percent(peak - trough, peak));
        }
    }
}

/// P&L over the day, in time order, from 0 on. The capital comes in when it is read, so that a capital that is told late or
/// anew is no gain and no loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Course {
    last: Decimal,
    peak: Decimal,
    trough: Decimal,
    /// From where to where it fell most, by the capital of that time.
    worst: (Decimal, Decimal),
}

impl Course {
    /// Takes the next P&L. Falls are compared in percent of what `capital` made of the peak, without one by amount.
    pub fn push(&mut self, pnl: Decimal, capital: Option<Decimal>) {
        self.last = pnl;
        self.peak = self.peak.max(pnl);
        self.trough = self.trough.min(pnl);
        let size = |(from, to): (Decimal, Decimal)| match capital {
            Some(capital) => percent(from - to, capital + from),
            None => Some(from - to),
        };
        if size((self.peak, pnl)) > size(self.worst) {
            self.worst = (self.peak, pnl);
        }
    }

    /// The equity that began with `capital`.
    #[must_use]
    pub fn from(self, capital: Decimal) -> Series {
        let (from, to) = self.worst;
        Series {
            last: capital + self.last,
            peak: capital + self.peak,
            trough: capital + self.trough,
            drawdown_pct: percent(from - to, capital + from),
        }
    }
}

/// Takes `value` into a series that may not have begun.
pub fn push(series: &mut Option<Series>, value: Decimal) {
    series.get_or_insert_with(|| Series::new(value)).push(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_drawdown_is_the_worst_of_all_pairs_in_order(values in proptest::collection::vec(1_i64..100_000, 1..60)) {
            let mut series = None;
            values.iter().for_each(|value| push(&mut series, Decimal::from(*value)));
            let pairs = (0..values.len()).flat_map(|from| (from..values.len()).map(move |to| (from, to)));
            let falls = pairs.map(|(from, to)| Decimal::from((values[from] - values[to]) * 100) / Decimal::from(values[from]));
            let series = series.expect("begun");
            prop_assert_eq!(series.drawdown_pct, falls.max());
            prop_assert!(series.drawdown_pct.expect("known") < Decimal::ONE_HUNDRED);
        }
    }

    #[test]
    fn a_fall_from_nothing_is_unknown_and_a_fall_below_zero_is_more_than_all() {
        let mut series = Series::new(Decimal::from(-5));
        series.push(Decimal::from(-10));
        assert_eq!(series.drawdown_pct, None);
        series.push(Decimal::from(100));
        series.push(Decimal::from(-100));
        assert_eq!(series.drawdown_pct, Some(Decimal::from(200)));
    }
}
