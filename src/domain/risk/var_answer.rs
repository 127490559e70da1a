//! A question about VaR or its backtest, and what a series of daily P&L answers.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::backtest::{Backtest, backtest};
use super::daily_series::{Series, Window};
use super::var::{Estimate, Question, estimate};

/// A question.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The days that it is about.
    pub days: Window,
    /// How VaR is computed.
    pub question: Question,
    /// Whether it is about VaR itself, or about how its forecasts from so many days each would have done.
    pub backtest: Option<usize>,
}

/// What the series says.
#[derive(Debug, Clone)]
pub enum Computed {
    /// VaR.
    Var(Estimate),
    /// How its forecasts did, and the days that lost more.
    Backtest(Backtest, Vec<NaiveDate>),
}

/// An answer, and what it is based on.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The days of the first and the last observation.
    pub span: Option<(NaiveDate, NaiveDate)>,
    /// Days with a P&L.
    pub observations: usize,
    /// Starting capital as the days' files say.
    pub starting_capital: Option<Decimal>,
    /// What was left out of the series.
    pub warnings: Vec<String>,
    /// The figures.
    pub computed: Computed,
}

impl Asked {
    /// What tells this question from others.
    #[must_use]
    pub fn key(&self) -> String {
        let Question { confidence, method, quantile, horizon } = &self.question;
        let (first, last) = (self.days.first(), self.days.as_of());
        let (method, quantile, backtest) = (method.as_str(), quantile.as_str(), self.backtest);
        format!("{first}/{last} {confidence} {method} {quantile} {} {} {backtest:?}", horizon.days, horizon.drift)
    }

    /// The answer that `series` gives.
    #[must_use]
    pub fn answer(&self, series: Series) -> Answer {
        let Series { dates, pnl, starting_capital, warnings } = series;
        let Question { confidence, method, quantile, .. } = self.question;
        let computed = match self.backtest {
            None => Computed::Var(estimate(&pnl, &self.question)),
            Some(window) => {
                let done = backtest(&pnl, window, confidence, method, quantile);
                let exceptions = done.exception_indices.iter().filter_map(|index| dates.get(*index).copied()).collect();
                Computed::Backtest(done, exceptions)
            }
        };
        let span = dates.first().copied().zip(dates.last().copied());
        Answer { span, observations: pnl.len(), starting_capital, warnings, computed }
    }
}
