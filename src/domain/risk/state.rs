//! The day's state: a pure fold over the events of one trading day, O(1) an event.
//!
//! # What the figures are made of
//!
//! - **Which events**: those of the day of min(own timestamp, arrival). A late one of an earlier day changes nothing
//!   (`uncounted.other_days`); one from the future counts when it arrives. What cannot be read, such as a number beyond
//!   10^15 or a filled order without a price, is counted in `uncounted.unusable`.
//! - **Daily P&L**: each source's by its events or its statements (see [`super::source`]), summed over the sources; against
//!   it stands `runtime_metrics.json` as the whole account's, and the larger loss counts. The daily loss is
//!   max(0, -P&L).
//! - **Drawdown**: the largest fall of equity from a peak of the day to what came after it, in percent of that peak, within
//!   one series: the equities that sources state, summed; or the file's; the worse of the two. Without either, starting
//!   capital + daily P&L. Never a `max_drawdown` that somebody wrote.
//! - **Trades**: `trade_closed`; for a source and symbol without any, filled orders that close or reduce. The file's count
//!   if that is greater. **Loss streak**: see [`super::streak`]; the file's if that is greater.
//! - **Known**: counts and P&L are known, as 0, as soon as any engine's event has arrived this day; equity and drawdown only
//!   when an equity is stated or a starting capital is known.

use std::collections::{HashMap, HashSet};

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::equity::{Series, push};
use super::fact::{Fact, FileFigures, Heard, Told};
use super::session::Day;
use super::source::{Basis, Pnl, Source};
use super::streak::Streak;
use crate::domain::clock::Timestamp;
use crate::domain::event::Event;

/// Most sources of a day.
const MAX_SOURCES: usize = 1_000;
/// Most pairs of source and symbol of a day.
const MAX_LINES: u32 = 50_000;

/// What the configuration says of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether the daily loss counts open positions.
    pub include_unrealized: bool,
    /// Where equity starts if nobody says so.
    pub starting_capital: Option<Decimal>,
}

/// What was not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Uncounted {
    /// Late events of earlier days.
    pub other_days: u64,
    /// Events that could not be read.
    pub unusable: u64,
    /// Events of sources or symbols beyond what is kept.
    pub beyond_capacity: u64,
}

/// Which figures an event may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// None.
    Nothing,
    /// Those of the account, and the count of one symbol.
    Symbol(CompactString),
    /// Those of the account.
    Account,
    /// All.
    All,
}

/// The state of one day.
#[derive(Debug, Clone)]
pub struct DayState {
    day: Day,
    rules: Rules,
    sources: HashMap<CompactString, Source>,
    lines: u32,
    /// Sum over the sources, and how many of them have P&L.
    pub(super) realized: Decimal,
    pub(super) unrealized: Decimal,
    pub(super) telling: usize,
    /// Sums of stated equities, and of the capital that sources say they started with.
    equity: Decimal,
    starting: Decimal,
    pub(super) stated: Option<Series>,
    pub(super) computed: Option<Series>,
    pub(super) filed: Option<Series>,
    /// The newest file, and its time.
    pub(super) file: Option<(i64, FileFigures)>,
    file_counts: HashMap<CompactString, u64>,
    trades: u64,
    per_symbol: HashMap<CompactString, u64>,
    streak: Streak,
    /// Time of the newest event of any engine.
    pub(super) newest: Option<i64>,
    uncounted: Uncounted,
}

impl DayState {
    /// The beginning of `day`.
    #[must_use]
    pub fn new(day: Day, rules: Rules) -> Self {
        Self {
            day,
            rules,
            sources: HashMap::new(),
            lines: 0,
            realized: Decimal::ZERO,
            unrealized: Decimal::ZERO,
            telling: 0,
            equity: Decimal::ZERO,
            starting: Decimal::ZERO,
            stated: None,
            computed: None,
            filed: None,
            file: None,
            file_counts: HashMap::new(),
            trades: 0,
            per_symbol: HashMap::new(),
            streak: Streak::default(),
            newest: None,
            uncounted: Uncounted::default(),
        }
    }

    /// The day.
    #[must_use]
    pub fn day(&self) -> Day {
        self.day
    }

    /// What was not counted.
    #[must_use]
    pub fn uncounted(&self) -> Uncounted {
        self.uncounted
    }

    /// What the configuration says.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// The sources.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.values()
    }

    /// Trades by the events alone.
    #[must_use]
    pub fn trades_by_events(&self) -> u64 {
        self.trades
    }

    /// Trades of the day.
    #[must_use]
    pub fn trades(&self) -> u64 {
        self.trades.max(self.file_figures().and_then(|file| file.trades).unwrap_or(0))
    }

    /// Trades in `symbol`.
    #[must_use]
    pub fn trades_in(&self, symbol: &str) -> u64 {
        let count = |counts: &HashMap<CompactString, u64>| counts.get(symbol).copied().unwrap_or(0);
        count(&self.per_symbol).max(count(&self.file_counts))
    }

    /// The symbols that were traded, sorted.
    #[must_use]
    pub fn symbols(&self) -> Vec<CompactString> {
        let all: HashSet<&CompactString> = self.per_symbol.keys().chain(self.file_counts.keys()).collect();
        let mut symbols: Vec<_> = all.into_iter().filter(|symbol| self.trades_in(symbol) > 0).cloned().collect();
        symbols.sort_unstable();
        symbols
    }

    /// Losing trades in a row.
    #[must_use]
    pub fn loss_streak(&self) -> u64 {
        self.streak.current().max(self.file_figures().and_then(|file| file.loss_streak).unwrap_or(0))
    }

    /// Losing trades in a row by the events alone.
    #[must_use]
    pub fn streak_by_events(&self) -> u64 {
        self.streak.current()
    }

    fn file_figures(&self) -> Option<&FileFigures> {
        self.file.as_ref().map(|(_, file)| file)
    }

    /// Takes one event that arrived on this day.
    pub fn apply(&mut self, event: &Event) -> Touched {
        let heard = Heard::of(event);
        let arrival = arrival_of(event).micros();
        let mut is_first = false;
        let mut at = event.header().timestamp.micros().min(arrival);
        match &heard {
            Heard::Nothing => return Touched::Nothing,
            Heard::Fact(Fact::File(file)) => at = at.min(file.asof.unwrap_or(at)),
            _ => {
                is_first = self.newest.is_none();
                // a late event is a sign of life when it arrives, but no fresher than it is
                self.newest = self.newest.max(Some(at.max(self.day.start.micros())));
                if is_first {
                    self.compute_equity();
                }
            }
        }
        if at < self.day.start.micros() {
            self.uncounted.other_days += u64::from(heard != Heard::Sign);
            return if is_first { Touched::Account } else { Touched::Nothing };
        }
        match heard {
            Heard::Fact(Fact::File(file)) => self.take_file(*file, at),
            Heard::Fact(fact) => {
                let name = event.header().source.clone().unwrap_or_default();
                self.take(name, fact, at)
            }
            Heard::Unusable => {
                self.uncounted.unusable += 1;
                Touched::Account
            }
            Heard::Sign | Heard::Nothing if is_first => Touched::Account,
            Heard::Sign | Heard::Nothing => Touched::Nothing,
        }
    }

    fn take(&mut self, name: CompactString, fact: Fact, at: i64) -> Touched {
        if !self.sources.contains_key(&name) && self.sources.len() >= MAX_SOURCES {
            self.uncounted.beyond_capacity += 1;
            return Touched::Account;
        }
        // taken out, so that both may be changed; it is put back below
        let mut source = self.sources.remove(&name).unwrap_or_default();
        let counts = self.rules.include_unrealized;
        let look = |source: &Source| (source.pnl(counts), source.equity(), source.starting());
        let before = look(&source);
        let touched = self.take_from(&mut source, fact, at);
        let after = look(&source);
        self.sources.insert(name, source);
        self.sum(before.0, after.0);
        self.starting += after.2.unwrap_or_default() - before.2.unwrap_or_default();
        if before.1 != after.1 {
            let value = |equity: Option<(i64, Decimal)>| equity.map(|(_, value)| value).unwrap_or_default();
            self.equity += value(after.1) - value(before.1);
            push(&mut self.stated, self.equity);
        }
        self.compute_equity();
        touched
    }

    fn take_from(&mut self, source: &mut Source, fact: Fact, at: i64) -> Touched {
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

    fn sum(&mut self, before: Option<Pnl>, after: Option<Pnl>) {
        let part = |pnl: Option<Pnl>| pnl.map_or_else(Default::default, |pnl| (pnl.realized, pnl.unrealized));
        self.realized += part(after).0 - part(before).0;
        self.unrealized += part(after).1 - part(before).1;
        self.telling += usize::from(before.is_none() && after.is_some());
    }

    fn take_file(&mut self, file: FileFigures, at: i64) -> Touched {
        if self.file.as_ref().is_some_and(|(told, _)| *told > at) {
            return Touched::Nothing;
        }
        if let Some(equity) = file.money.equity {
            push(&mut self.filed, equity);
        }
        for (peak, trough) in &file.falls {
            self.filed.get_or_insert_with(|| Series::new(*trough)).fell(*peak, *trough);
        }
        self.file_counts = file.per_symbol.iter().take(MAX_LINES as usize).cloned().collect();
        self.file = Some((at, file));
        self.compute_equity();
        Touched::All
    }

    /// Starting capital + daily P&L, for as long as nobody states an equity.
    fn compute_equity(&mut self) {
        let Some(start) = self.starting_capital() else { return };
        if let Some(pnl) = self.pnl() {
            let equity = start + pnl.counted(self.rules.include_unrealized);
            if self.computed.is_none() {
                push(&mut self.computed, start);
            }
            push(&mut self.computed, equity);
        }
    }

    /// Where the day's equity starts: as sources state it, summed, else as the file does, else as configured.
    #[must_use]
    pub fn starting_capital(&self) -> Option<Decimal> {
        let stated = (self.starting > Decimal::ZERO).then_some(self.starting);
        stated.or(self.file_figures().and_then(|file| file.money.starting)).or(self.rules.starting_capital)
    }

    /// The day's P&L; `None` before anything is known of it.
    #[must_use]
    pub fn pnl(&self) -> Option<Pnl> {
        let counts = self.rules.include_unrealized;
        let summed =
            self.newest.map(|_| Pnl { realized: self.realized, unrealized: self.unrealized, basis: Basis::Events, at: None });
        let filed = self.file.as_ref().and_then(|(at, file)| {
            let (realized, unrealized) = match (file.money.realized, file.money.total) {
                (Some(realized), _) => (realized, file.money.unrealized.unwrap_or_default()),
                (None, total) => (total?, Decimal::ZERO),
            };
            Some(Pnl { realized, unrealized, basis: Basis::File, at: Some(*at) })
        });
        match (summed, filed) {
            (summed, None) => summed,
            // nobody but the file has said anything of P&L
            (Some(_), Some(filed)) if self.telling == 0 => Some(filed),
            (Some(summed), Some(filed)) if summed.counted(counts) <= filed.counted(counts) => Some(summed),
            (_, filed) => filed,
        }
    }
}

/// When an event arrived.
#[must_use]
pub fn arrival_of(event: &Event) -> Timestamp {
    Timestamp::from_micros(i64::try_from(event.id().millis()).unwrap_or(i64::MAX).saturating_mul(1_000))
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
