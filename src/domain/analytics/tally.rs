//! Closed trades counted and summed: what the figures of a window are made of.
//!
//! A tally is made of trades in the order of their exits (of equal ones, in the order of their events), and two that follow
//! each other make one: so the tally of a year is known from those of its days.

use super::equity::Course;
use super::sum::Sum;

/// A stretch of closed trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub trades: u64,
    /// Those with a result above zero.
    pub wins: u64,
    /// Those with one below zero.
    pub losses: u64,
    /// Those with a result of zero.
    pub ties: u64,
    /// Results above zero.
    pub gross_profit: Sum,
    /// Results below zero; not above zero itself.
    pub gross_loss: Sum,
    /// The largest result, if one is above zero.
    pub largest_win: Option<Sum>,
    /// The smallest, if one is below zero.
    pub largest_loss: Option<Sum>,
    /// Those whose slippage is known.
    pub slippages: u64,
    /// Their slippages.
    pub slippage: Sum,
    /// The result from trade to trade, from zero before the first.
    pub course: Course,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            trades: 0,
            wins: 0,
            losses: 0,
            ties: 0,
            gross_profit: Sum::ZERO,
            gross_loss: Sum::ZERO,
            largest_win: None,
            largest_loss: None,
            slippages: 0,
            slippage: Sum::ZERO,
            course: Course::at(Sum::ZERO),
        }
    }
}

impl Tally {
    /// One trade.
    #[must_use]
    pub fn of(pnl: Option<Sum>, slippage: Option<Sum>) -> Self {
        let (profit, loss) = (pnl.filter(|pnl| *pnl > Sum::ZERO), pnl.filter(|pnl| *pnl < Sum::ZERO));
        let start = Course::at(Sum::ZERO);
        Self {
            trades: 1,
            wins: u64::from(profit.is_some()),
            losses: u64::from(loss.is_some()),
            ties: u64::from(pnl == Some(Sum::ZERO)),
            gross_profit: profit.unwrap_or_default(),
            gross_loss: loss.unwrap_or_default(),
            largest_win: profit,
            largest_loss: loss,
            slippages: u64::from(slippage.is_some()),
            slippage: slippage.unwrap_or_default(),
            course: pnl.map_or(start, |pnl| start.then(Course::at(pnl))),
        }
    }

    /// These trades and then `later`.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            trades: self.trades + later.trades,
            wins: self.wins + later.wins,
            losses: self.losses + later.losses,
            ties: self.ties + later.ties,
            gross_profit: self.gross_profit + later.gross_profit,
            gross_loss: self.gross_loss + later.gross_loss,
            largest_win: self.largest_win.max(later.largest_win),
            largest_loss: [self.largest_loss, later.largest_loss].into_iter().flatten().min(),
            slippages: self.slippages + later.slippages,
            slippage: self.slippage + later.slippage,
            course: self.course.then(later.course.raised(self.course.last)),
        }
    }

    /// Trades whose result is known.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.wins + self.losses + self.ties
    }

    /// The result of all of them; `None` if none is known.
    #[must_use]
    pub fn pnl(&self) -> Option<Sum> {
        (self.known() > 0).then_some(self.course.last)
    }

    /// The average result.
    #[must_use]
    pub fn avg_pnl(&self) -> Option<Sum> {
        self.course.last.over(self.known())
    }

    /// The average of the results above zero.
    #[must_use]
    pub fn avg_win(&self) -> Option<Sum> {
        self.gross_profit.over(self.wins)
    }

    /// The average of the results below zero.
    #[must_use]
    pub fn avg_loss(&self) -> Option<Sum> {
        self.gross_loss.over(self.losses)
    }

    /// Trades with a result above zero, in percent of those whose result is known.
    #[must_use]
    pub fn win_rate(&self) -> Option<Sum> {
        Sum::count(self.wins).percent_of(Sum::count(self.known()))
    }

    /// Profit by loss; `None` without a loss, for which there is no number.
    #[must_use]
    pub fn profit_factor(&self) -> Option<Sum> {
        self.gross_profit.ratio(-self.gross_loss)
    }

    /// The average slippage of the trades where it is known.
    #[must_use]
    pub fn avg_slippage(&self) -> Option<Sum> {
        self.slippage.over(self.slippages)
    }

    /// The largest fall of the result from one trade to a later one, from zero before the first; `None` if no result is known.
    #[must_use]
    pub fn max_drawdown(&self) -> Option<Sum> {
        (self.known() > 0).then_some(self.course.fall)
    }

    /// The same in percent of the equity from which it fell, when the first trade began with `capital`.
    #[must_use]
    pub fn max_drawdown_pct(&self, capital: Sum) -> Option<Sum> {
        self.max_drawdown()?.percent_of(capital + self.course.fall_from)
    }
}
