//! One source's P&L of the day: what it states, what its events add up to, and which of the two counts.
//!
//! - **Events' own sum** `E`: per symbol the results of its `trade_closed`; where there is none, what its fills realised by
//!   average cost; where nothing closed either, the `realized_pnl` that a `position_event` told. Unrealised is the newest
//!   `unrealized_pnl` of each position (in a snapshot without one: (last price - average) x quantity), and 0 once it is
//!   closed.
//! - **Statement** `S`: `performance_update` and `equity_snapshot` are absolute; the newest by its own time holds. It is
//!   **carried on** by what is newer than itself: by the change of the equity that it was stated with, else by newer
//!   positions and by what was realised since. One that leaves out what is unrealised leaves it as it was told last, less what
//!   was realised of it, until a position or a statement tells it anew.
//! - The larger loss counts: the least of `S`, `S` carried on, and `E`. `E` of a source that states counts only when it has
//!   told a `trade_closed`: engines in the field close positions without telling an order, so their fills alone would give
//!   losses that there are none of, or hide some.

use std::collections::HashMap;

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::book::{Book, Holding};
use super::fact::{Statement, Told};

/// Wins and losses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Results.
    pub count: u64,
    /// Above zero.
    pub wins: u64,
    /// Below zero.
    pub losses: u64,
    /// Sum of the wins.
    pub profit: Decimal,
    /// Sum of the losses, below zero.
    pub loss: Decimal,
}

impl Tally {
    fn add(&mut self, pnl: Decimal) {
        self.count += 1;
        if pnl > Decimal::ZERO {
            self.wins += 1;
            self.profit += pnl;
        } else if pnl < Decimal::ZERO {
            self.losses += 1;
            self.loss += pnl;
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            count: self.count + other.count,
            wins: self.wins + other.wins,
            losses: self.losses + other.losses,
            profit: self.profit + other.profit,
            loss: self.loss + other.loss,
        }
    }

    /// The sum of all results.
    #[must_use]
    pub fn net(&self) -> Decimal {
        self.profit + self.loss
    }
}

/// One source's day in one symbol.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// Tells it from all other lines.
    pub number: u32,
    book: Book,
    trades: Tally,
    closes: Tally,
    told_realized: Option<Decimal>,
    unrealized: Decimal,
    /// Whether anybody told what the position that is open has gained or lost.
    is_marked: bool,
    /// When its position was told last, in microseconds.
    told_at: Option<i64>,
}

impl Line {
    /// The results that count: trades, else closing fills.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        if self.has_trades() { &self.trades } else { &self.closes }
    }

    /// Whether a `trade_closed` was told.
    #[must_use]
    pub fn has_trades(&self) -> bool {
        self.trades.count > 0
    }

    /// Whether something is held of which nobody told what it has gained or lost.
    fn is_unmarked(&self) -> bool {
        !self.is_marked && !self.book.size().is_zero()
    }

    fn realized(&self) -> Decimal {
        let tally = self.tally();
        if tally.count > 0 { tally.net() } else { self.told_realized.unwrap_or_default() }
    }
}

/// What of a source's P&L counts, and by what it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pnl {
    /// Realised.
    pub realized: Decimal,
    /// Unrealised; 0 where the two are not told apart.
    pub unrealized: Decimal,
    /// What it is based on.
    pub basis: Basis,
    /// When that was told, in microseconds; of what is known by events alone the source's last sign of life.
    pub at: Option<i64>,
}

impl Pnl {
    /// What counts towards the daily loss.
    #[must_use]
    pub fn counted(&self, include_unrealized: bool) -> Decimal {
        if include_unrealized { self.realized + self.unrealized } else { self.realized }
    }
}

/// What P&L is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The sum of trades, fills and positions.
    Events,
    /// What the engine states.
    Performance,
    /// What its snapshot of equity states.
    EquitySnapshot,
    /// The file.
    File,
}

impl Basis {
    /// Its word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Performance => "performance_update",
            Self::EquitySnapshot => "equity_snapshot",
            Self::File => "runtime_metrics",
        }
    }
}

/// The newest statement.
#[derive(Debug, Clone, Copy)]
struct Stated {
    what: Statement,
    at: i64,
    /// The unrealised P&L that it told, or that was told last before it, and when.
    unrealized: Option<(i64, Decimal)>,
    /// Realised by events that are newer.
    since: Decimal,
    /// When the newest of those happened.
    since_at: Option<i64>,
}

/// One source's day.
#[derive(Debug, Clone, Default)]
pub struct Source {
    lines: HashMap<CompactString, Line>,
    realized: Decimal,
    unrealized: Decimal,
    /// When a position was told last.
    positions_at: Option<i64>,
    has_events: bool,
    has_trades: bool,
    stated: Option<Stated>,
    equity: Option<(i64, Decimal)>,
    /// The equity that it says it started with, and when it said so: later statements may leave it out.
    starting: Option<(i64, Decimal)>,
    /// When it last gave a sign of life, in microseconds.
    heard_at: Option<i64>,
}

impl Source {
    /// Its lines.
    pub fn lines(&self) -> impl Iterator<Item = (&CompactString, &Line)> {
        self.lines.iter()
    }

    /// The line of `symbol`, if it has one.
    #[must_use]
    pub fn line(&self, symbol: &str) -> Option<&Line> {
        self.lines.get(symbol)
    }

    /// Begins the line of `symbol`.
    pub fn begin(&mut self, symbol: CompactString, number: u32) {
        self.lines.insert(symbol, Line { number, ..Line::default() });
    }

    /// The equity that it stated last, and when.
    #[must_use]
    pub fn equity(&self) -> Option<(i64, Decimal)> {
        self.equity
    }

    /// The equity that it says it started with.
    #[must_use]
    pub fn starting(&self) -> Option<Decimal> {
        self.starting.map(|(_, starting)| starting)
    }

    /// When it last gave a sign of life, in microseconds.
    #[must_use]
    pub fn heard_at(&self) -> Option<i64> {
        self.heard_at
    }

    /// Takes a sign of life.
    pub fn hear(&mut self, at: i64) {
        self.heard_at = self.heard_at.max(Some(at));
    }

    /// Takes a closed trade.
    pub fn trade(&mut self, symbol: &str, pnl: Decimal, quantity: Decimal, at: i64) {
        self.has_trades = true;
        self.change(symbol, at, |line| {
            line.trades.add(pnl);
            if quantity >= line.book.size().abs() {
                line.unrealized = Decimal::ZERO;
            }
        });
    }

    /// Takes a fill; its result if it closed something.
    pub fn fill(&mut self, symbol: &str, quantity: Decimal, price: Decimal, at: i64) -> Option<Decimal> {
        let mut closed = None;
        self.change(symbol, at, |line| {
            closed = line.book.fill(quantity, price, at);
            if let Some(pnl) = closed {
                line.closes.add(pnl);
            }
            if line.book.size().is_zero() {
                line.unrealized = Decimal::ZERO;
                line.is_marked = false;
            }
        });
        closed
    }

    /// Takes what is told of a position.
    pub fn hold(&mut self, told: &Told, at: i64) {
        let holding = Holding { size: told.size, price: told.price, at };
        self.positions_at = self.positions_at.max(Some(at));
        self.change(&told.symbol, at, |line| {
            if line.told_at.is_some_and(|told_at| told_at > at) {
                return;
            }
            line.told_at = Some(at);
            line.book.say(holding);
            line.is_marked = !told.size.is_zero() && (line.is_marked || told.unrealized.is_some());
            if told.size.is_zero() {
                line.unrealized = Decimal::ZERO;
            } else if let Some(unrealized) = told.unrealized {
                line.unrealized = unrealized;
            }
            line.told_realized = told.realized.or(line.told_realized);
        });
    }

    /// All positions but those that `is_listed` are closed.
    pub fn close_others(&mut self, is_listed: impl Fn(&str) -> bool, at: i64) {
        self.positions_at = self.positions_at.max(Some(at));
        let is_news = |line: &Line| line.told_at.is_none_or(|told_at| told_at <= at);
        for (_, line) in self.lines.iter_mut().filter(|(symbol, line)| is_news(line) && !is_listed(symbol)) {
            line.told_at = Some(at);
            line.book.say(Holding { size: Decimal::ZERO, price: None, at });
            self.unrealized -= line.unrealized;
            line.unrealized = Decimal::ZERO;
            line.is_marked = false;
        }
    }

    /// How many open positions have an unrealised P&L that nobody told; none if the source states its own.
    #[must_use]
    pub fn unmarked(&self) -> usize {
        if self.stated.is_some() { 0 } else { self.lines.values().filter(|line| line.is_unmarked()).count() }
    }

    /// Takes what is newer than what is known. What a statement leaves out goes on as it was told last.
    pub fn state(&mut self, mut what: Statement, at: i64) {
        if let Some(equity) = what.equity {
            self.state_equity(equity, at);
        }
        if let Some(starting) = what.starting.filter(|_| self.starting.is_none_or(|(told, _)| told <= at)) {
            self.starting = Some((at, starting));
        }
        let before = self.stated;
        if before.is_some_and(|before| before.at > at) {
            return;
        }
        if what.realized.or(what.total).is_none() && what.unrealized.is_some() {
            // a total before it speaks of both, and goes on to
            what.realized = before.map_or(Some(self.realized), |before| Some(before.what.realized? + before.since));
        }
        if what.realized.or(what.total).is_none() {
            return;
        }
        let unrealized = what.unrealized.map(|unrealized| (at, unrealized)).or_else(|| {
            let (told, open) = before?.unrealized?;
            Some((told, still_open(open, what.realized? - before?.what.realized?)))
        });
        self.stated = Some(Stated { what, at, unrealized, since: Decimal::ZERO, since_at: None });
    }

    /// Takes an equity, unless there is a newer one.
    pub fn state_equity(&mut self, equity: Decimal, at: i64) {
        if self.equity.is_none_or(|(told, _)| told <= at) {
            self.equity = Some((at, equity));
        }
    }

    /// Its P&L of the day; `None` as long as it has said nothing of it.
    #[must_use]
    pub fn pnl(&self, include_unrealized: bool) -> Option<Pnl> {
        let events = Pnl { realized: self.realized, unrealized: self.unrealized, basis: Basis::Events, at: None };
        let Some(stated) = self.stated else { return self.has_events.then_some(Pnl { at: self.heard_at, ..events }) };
        let own = self.has_trades.then_some(events);
        let least = [self.carried(&stated, include_unrealized), own].into_iter().flatten();
        let least = least.fold(self.as_stated(&stated), |least, each| {
            let is_less = each.counted(include_unrealized) < least.counted(include_unrealized);
            if is_less { each } else { least }
        });
        // whichever counts, the statement has been confirmed since
        let told_at = [Some(stated.at), self.equity.map(|(at, _)| at), self.positions_at, stated.since_at].into_iter().max();
        Some(Pnl { at: least.at.and(told_at.flatten()).or(self.heard_at), ..least })
    }

    fn as_stated(&self, stated: &Stated) -> Pnl {
        let what = stated.what;
        let basis = if what.is_snapshot { Basis::EquitySnapshot } else { Basis::Performance };
        let (realized, unrealized) = match (what.realized, what.total) {
            // newer positions complete what a statement leaves out
            (Some(realized), _) => {
                let is_news = |told: &(i64, Decimal)| told.0 >= stated.at || self.positions_at <= Some(told.0);
                (realized, stated.unrealized.filter(is_news).map_or(self.unrealized, |(_, unrealized)| unrealized))
            }
            (None, total) => (total.unwrap_or_default(), Decimal::ZERO),
        };
        Pnl { realized, unrealized, basis, at: Some(stated.at) }
    }

    /// The statement and what is newer than itself.
    fn carried(&self, stated: &Stated, include_unrealized: bool) -> Option<Pnl> {
        let said = self.as_stated(stated);
        if let (Some((at, equity)), Some(before), true) = (self.equity, stated.what.equity, include_unrealized)
            && at > stated.at
        {
            return Some(Pnl { unrealized: said.unrealized + equity - before, ..said });
        }
        let has_positions = self.positions_at.is_some_and(|at| at > stated.at);
        if !has_positions && stated.since_at.is_none() {
            return None;
        }
        // a loss that was open when it was stated may be the one that was realised since
        let unrealized = if has_positions { self.unrealized } else { said.unrealized.max(Decimal::ZERO) };
        Some(Pnl { realized: said.realized + stated.since, unrealized, ..said })
    }

    /// Changes a line, and the sums over all lines with it.
    fn change(&mut self, symbol: &str, at: i64, change: impl FnOnce(&mut Line)) {
        let Some(line) = self.lines.get_mut(symbol) else { return };
        self.has_events = true;
        let (realized, unrealized) = (line.realized(), line.unrealized);
        change(line);
        let more = line.realized() - realized;
        self.realized += more;
        self.unrealized += line.unrealized - unrealized;
        if let Some(stated) = self.stated.as_mut().filter(|stated| at > stated.at && !more.is_zero()) {
            stated.since += more;
            stated.since_at = stated.since_at.max(Some(at));
        }
    }
}

/// What is left of an open result after `realized` was: it came out of what was open, as far as that goes.
fn still_open(open: Decimal, realized: Decimal) -> Decimal {
    if open < Decimal::ZERO {
        (open - realized.min(Decimal::ZERO)).min(Decimal::ZERO)
    } else {
        (open - realized.max(Decimal::ZERO)).max(Decimal::ZERO)
    }
}
