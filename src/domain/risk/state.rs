//! The day's state: a pure fold over the events of one trading day.
//!
//! O(1) an event, but for a snapshot (the source's lines), a line's first `trade_closed` after fills (10,000 results) and the
//! file (its symbols).
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
//!   when an equity is stated or a starting capital is known. What cannot be read of trades, fills and statements leaves the
//!   figures incomplete: a statement until the source's next one, the others for the day.
//! - **Whose**: an event is of the account that its `source` names. **All events without one are of one account**, so engines
//!   that trade beside each other must name themselves, or the newest statement of any of them stands for all.

use std::collections::{HashMap, HashSet};

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::counts::{Counts, MAX_LINES, Uncounted};
use super::equity::{Course, Series, push};
use super::fact::{Fact, FileFigures, Heard};
use super::session::Day;
use super::source::{Basis, Pnl, Source};
use crate::domain::clock::Timestamp;
use crate::domain::engine::PLIMSOLL;
use crate::domain::engine::news::News;
use crate::domain::event::Event;

/// Most sources of a day.
const MAX_SOURCES: usize = 1_000;

/// What the configuration says of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether the daily loss counts open positions.
    pub include_unrealized: bool,
    /// Where equity starts if nobody says so.
    pub starting_capital: Option<Decimal>,
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
    counts: Counts,
    /// Sum over the sources, and how many of them have P&L.
    pub(super) realized: Decimal,
    pub(super) unrealized: Decimal,
    pub(super) telling: usize,
    /// Sums of stated equities, and of the capital that sources say they started with.
    equity: Decimal,
    starting: Decimal,
    pub(super) stated: Option<Series>,
    /// P&L, for as long as nobody states an equity.
    course: Option<Course>,
    pub(super) filed: Option<Series>,
    /// The newest file, and its time.
    pub(super) file: Option<(i64, FileFigures)>,
    /// Starting capital by the newest file that told one.
    file_starting: Option<Decimal>,
    file_counts: HashMap<CompactString, u64>,
    /// Time of the newest event of any engine.
    pub(super) newest: Option<i64>,
}

impl DayState {
    /// The beginning of `day`.
    #[must_use]
    pub fn new(day: Day, rules: Rules) -> Self {
        Self {
            day,
            rules,
            sources: HashMap::new(),
            counts: Counts::default(),
            realized: Decimal::ZERO,
            unrealized: Decimal::ZERO,
            telling: 0,
            equity: Decimal::ZERO,
            starting: Decimal::ZERO,
            stated: None,
            course: None,
            filed: None,
            file: None,
            file_starting: None,
            file_counts: HashMap::new(),
            newest: None,
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
        self.counts.uncounted
    }

    /// Trades, fills and statements that could not be read and that no later statement has made up for.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.counts.unread()
    }

    /// Facts that named no source, and are taken as one account's.
    #[must_use]
    pub fn sourceless(&self) -> u64 {
        self.counts.sourceless
    }

    /// What the configuration says.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// How many open positions have an unrealised P&L that counts and that nobody told, not even the file for the account.
    #[must_use]
    pub fn unmarked(&self) -> usize {
        let is_told = self.file_figures().is_some_and(|file| file.money.unrealized.is_some());
        if is_told || !self.rules.include_unrealized {
            return 0;
        }
        self.sources.values().map(Source::unmarked).sum()
    }

    /// The sources.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.values()
    }

    /// Trades by the events alone.
    #[must_use]
    pub fn trades_by_events(&self) -> u64 {
        self.counts.trades
    }

    /// Trades of the day.
    #[must_use]
    pub fn trades(&self) -> u64 {
        self.counts.trades.max(self.file_figures().and_then(|file| file.trades).unwrap_or(0))
    }

    /// Trades in `symbol`.
    #[must_use]
    pub fn trades_in(&self, symbol: &str) -> u64 {
        let count = |counts: &HashMap<CompactString, u64>| counts.get(symbol).copied().unwrap_or(0);
        count(&self.counts.per_symbol).max(count(&self.file_counts))
    }

    /// The symbols that were traded, sorted.
    #[must_use]
    pub fn symbols(&self) -> Vec<CompactString> {
        let all: HashSet<&CompactString> = self.counts.per_symbol.keys().chain(self.file_counts.keys()).collect();
        let mut symbols: Vec<_> = all.into_iter().filter(|symbol| self.trades_in(symbol) > 0).cloned().collect();
        symbols.sort_unstable();
        symbols
    }

    /// Losing trades in a row.
    #[must_use]
    pub fn loss_streak(&self) -> u64 {
        self.counts.streak.current().max(self.file_figures().and_then(|file| file.loss_streak).unwrap_or(0))
    }

    /// Losing trades in a row by the events alone.
    #[must_use]
    pub fn streak_by_events(&self) -> u64 {
        self.counts.streak.current()
    }

    fn file_figures(&self) -> Option<&FileFigures> {
        self.file.as_ref().map(|(_, file)| file)
    }

    /// Takes one event that arrived on this day, and what was heard of it.
    pub fn apply(&mut self, event: &Event, heard: Heard) -> Touched {
        let arrival = arrival_of(event).micros();
        let mut is_first = false;
        let mut at = event.header().timestamp.micros().min(arrival);
        match &heard {
            Heard::Nothing => return Touched::Nothing,
            Heard::Fact(Fact::File(file)) => at = at.min(file.asof.unwrap_or(at)),
            _ => {
                is_first = self.newest.is_none();
                // a late event is a sign of life when it arrives, but no fresher than it is
                let lived = at.max(self.day.start.micros());
                self.newest = self.newest.max(Some(lived));
                self.hear(event, lived);
                if is_first {
                    self.compute_equity();
                }
            }
        }
        if at < self.day.start.micros() {
            self.counts.uncounted.other_days += u64::from(heard != Heard::Sign);
            return if is_first { Touched::Account } else { Touched::Nothing };
        }
        let name = || event.header().source.clone().unwrap_or_default();
        match heard {
            Heard::Fact(Fact::File(file)) => self.take_file(*file, at),
            Heard::Fact(fact) => self.take(name(), fact, at),
            Heard::Unusable => {
                self.counts.miss(&event.header().event_type, name());
                Touched::Account
            }
            Heard::Sign | Heard::Nothing if is_first => Touched::Account,
            Heard::Sign | Heard::Nothing => Touched::Nothing,
        }
    }

    /// Takes a sign of life: of the source that is named, by the event or as its file's engine, else of the unnamed one.
    fn hear(&mut self, event: &Event, at: i64) {
        let source = match event.header().source.as_deref().filter(|source| *source != PLIMSOLL) {
            Some(source) => self.sources.get_mut(source),
            None => {
                let news = News::of(event);
                let name = news.as_ref().and_then(News::engine).map(|name| name.as_str()).unwrap_or_default();
                let name = if self.sources.contains_key(name) { name } else { "" };
                self.sources.get_mut(name)
            }
        };
        if let Some(source) = source {
            source.hear(at);
        }
    }

    fn take(&mut self, name: CompactString, fact: Fact, at: i64) -> Touched {
        if !self.sources.contains_key(&name) && self.sources.len() >= MAX_SOURCES {
            self.counts.uncounted.beyond_capacity += 1;
            return Touched::Account;
        }
        let counts = self.rules.include_unrealized;
        let look = |source: &Source| (source.pnl(counts), source.equity(), source.starting());
        // it stays in its place: what a bug interrupts is not there to be counted again
        let source = self.sources.entry(name.clone()).or_default();
        let before = look(source);
        source.hear(at);
        let touched = self.counts.take(&name, source, fact, at);
        let after = look(source);
        self.sum(before.0, after.0);
        self.starting += after.2.unwrap_or_default() - before.2.unwrap_or_default();
        if before.1 != after.1 {
            let value = |equity: Option<(i64, Decimal)>| equity.map(|(_, value)| value).unwrap_or_default();
            let more = value(after.1) - value(before.1);
            self.equity += more;
            // what a source had before it told of it is no gain
            self.stated.iter_mut().filter(|_| before.1.is_none()).for_each(|stated| stated.shift(more));
            push(&mut self.stated, self.equity);
        }
        self.compute_equity();
        touched
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
        self.file_starting = file.money.starting.or(self.file_starting);
        self.file_counts = file.per_symbol.iter().take(MAX_LINES as usize).cloned().collect();
        self.file = Some((at, file));
        self.compute_equity();
        Touched::All
    }

    fn compute_equity(&mut self) {
        if let Some(pnl) = self.pnl() {
            let capital = self.starting_capital();
            self.course.get_or_insert_default().push(pnl.counted(self.rules.include_unrealized), capital);
        }
    }

    /// Starting capital + daily P&L.
    pub(super) fn computed(&self) -> Option<Series> {
        Some(self.course?.from(self.starting_capital()?))
    }

    /// The last sign of life of the source that has been silent for longest, in microseconds.
    pub(super) fn heard_at(&self) -> Option<i64> {
        self.sources.values().filter_map(Source::heard_at).min().or(self.newest)
    }

    /// Where the day's equity starts: as sources state it, summed, else as the file does, else as configured.
    #[must_use]
    pub fn starting_capital(&self) -> Option<Decimal> {
        let stated = (self.starting > Decimal::ZERO).then_some(self.starting);
        stated.or(self.file_starting).or(self.rules.starting_capital)
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
