//! Losing trades in a row, over the whole account, in the order in which their results arrive.
//!
//! A win ends the row; **a result of zero neither extends nor ends it**. The result of a fill counts until the first
//! `trade_closed` of the same source and symbol arrives: from then on trades tell that line's results, and the fills' give
//! up theirs, as far back as the newest 10,000 results.

use std::collections::VecDeque;

use rust_decimal::Decimal;

/// Results that may still be given up.
const MAX_RECENT: usize = 10_000;

/// The streak.
#[derive(Debug, Clone, Default)]
pub struct Streak {
    /// Of the results that are final.
    settled: u64,
    /// The newest decided results, oldest first.
    recent: VecDeque<Outcome>,
    current: u64,
}

#[derive(Debug, Clone, Copy)]
struct Outcome {
    line: u32,
    is_fill: bool,
    is_loss: bool,
}

impl Streak {
    /// Losses since the last win.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.current
    }

    /// Takes the next result.
    pub fn add(&mut self, line: u32, pnl: Decimal, is_fill: bool) {
        if pnl.is_zero() {
            return;
        }
        let is_loss = pnl < Decimal::ZERO;
        self.current = next(self.current, is_loss);
        self.recent.push_back(Outcome { line, is_fill, is_loss });
        if self.recent.len() > MAX_RECENT
            && let Some(oldest) = self.recent.pop_front()
        {
            self.settled = next(self.settled, oldest.is_loss);
        }
    }

    /// The results of the fills of `line` are told by trades from now on.
    pub fn give_up_fills(&mut self, line: u32) {
        self.recent.retain(|outcome| outcome.line != line || !outcome.is_fill);
        self.current = self.recent.iter().fold(self.settled, |streak, outcome| next(streak, outcome.is_loss));
    }
}

fn next(streak: u64, is_loss: bool) -> u64 {
    if is_loss { streak + 1 } else { 0 }
}
