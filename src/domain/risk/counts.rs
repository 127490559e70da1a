//! What is counted over all sources of a day: trades, the streak, and what could not be counted.

use std::collections::{HashMap, HashSet};

use compact_str::CompactString;

use super::fact::{Fact, Told};
use super::source::Source;
use super::state::Touched;
use super::streak::Streak;

/// Most pairs of source and symbol of a day.
pub const MAX_LINES: u32 = 50_000;
/// Most sources whose unreadable statements are told apart.
const MAX_UNREAD: usize = 1_000;

/// What was not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Uncounted {
    /// Late events of earlier days.
    pub other_days: u64,
    /// Events that could not be read.
    pub unusable: u64,
    /// Events of sources or symbols beyond what is kept.
    pub beyond_capacity: u64,
}

/// The counts of a day.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    lines: u32,
    /// Trades by the events alone.
    pub trades: u64,
    /// The same by symbol.
    pub per_symbol: HashMap<CompactString, u64>,
    /// Losing trades in a row by the events alone.
    pub streak: Streak,
    /// What was not counted.
    pub uncounted: Uncounted,
    /// Facts that named no source, and are taken as one account's.
    pub sourceless: u64,
    /// Trades and fills that could not be read.
    missed: u64,
    /// The sources whose newest statement could not be read.
    unread: HashSet<CompactString>,
}

impl Counts {
    /// Trades, fills and statements that could not be read and that no later statement has made up for.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.missed + self.unread.len() as u64
    }

    /// Takes an event of `event_type` that cannot be read.
    pub fn miss(&mut self, event_type: &str, source: CompactString) {
        self.uncounted.unusable += 1;
        match event_type {
            "performance_update" | "equity_snapshot" if self.unread.len() < MAX_UNREAD => {
                self.unread.insert(source);
            }
            "trade_closed" | "order_event" | "performance_update" | "equity_snapshot" => self.missed += 1,
            _ => {}
        }
    }

    /// Takes a fact of the source `name` into `source`.
    pub fn take(&mut self, name: &str, source: &mut Source, fact: Fact, at: i64) -> Touched {
        self.sourceless += u64::from(name.is_empty());
        match fact {
            Fact::Trade { symbol, pnl, quantity } => {
                let Some((number, had_trades, before)) = self.line(source, &symbol) else { return Touched::Account };
                source.trade(&symbol, pnl, quantity, at);
                if !had_trades && before > 0 {
                    self.streak.give_up_fills(number);
                }
                self.streak.add(number, pnl, false);
                self.count(source, symbol, before)
            }
            Fact::Fill { symbol, quantity, price } => {
                let Some((number, has_trades, before)) = self.line(source, &symbol) else { return Touched::Account };
                let closed = source.fill(&symbol, quantity, price, at).filter(|_| !has_trades);
                closed.into_iter().for_each(|pnl| self.streak.add(number, pnl, true));
                self.count(source, symbol, before)
            }
            Fact::Holding(told) => {
                self.hold(source, &told, at);
                Touched::Account
            }
            Fact::Snapshot(positions, equity) => {
                positions.iter().for_each(|told| self.hold(source, told, at));
                let listed: HashSet<&str> = positions.iter().map(|told| told.symbol.as_str()).collect();
                source.close_others(|symbol| listed.contains(symbol), at);
                if let Some(equity) = equity {
                    source.state_equity(equity, at);
                }
                Touched::Account
            }
            Fact::Statement(statement) => {
                source.state(statement, at);
                self.unread.remove(name);
                Touched::Account
            }
            Fact::File(_) => Touched::Nothing,
        }
    }

    fn hold(&mut self, source: &mut Source, told: &Told, at: i64) {
        if self.line(source, &told.symbol).is_some() {
            source.hold(told, at);
        }
    }

    /// The line of `symbol`: its number, whether it has trades, and its count; `None` when there is no room for it.
    fn line(&mut self, source: &mut Source, symbol: &CompactString) -> Option<(u32, bool, u64)> {
        if source.line(symbol).is_none() {
            if self.lines >= MAX_LINES {
                self.uncounted.beyond_capacity += 1;
                return None;
            }
            self.lines += 1;
            source.begin(symbol.clone(), self.lines);
        }
        source.line(symbol).map(|line| (line.number, line.has_trades(), line.tally().count))
    }

    /// Counts the trades of a line that had `before` of them.
    fn count(&mut self, source: &Source, symbol: CompactString, before: u64) -> Touched {
        let now = source.line(&symbol).map_or(before, |line| line.tally().count);
        self.trades = self.trades + now - before;
        if now != before {
            let count = self.per_symbol.entry(symbol.clone()).or_default();
            *count = *count + now - before;
        }
        Touched::Symbol(symbol)
    }
}
