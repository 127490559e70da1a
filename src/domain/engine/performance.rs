//! How an engine's strategies do: a pure fold over its signal, order, position and trade events.
//!
//! # How a win is decided
//!
//! Each strategy has a book: per symbol a signed quantity and its average cost. An `order_event` with status `filled` (any
//! case), a price and a `qty` or `quantity` is a fill. A fill in the direction of the position moves the average; one
//! against it closes, and realises `(fill price - average) x closed quantity` (negated for a short); what is left over of
//! it opens the other way. Each closing fill is one result: above zero a win, below a loss. **A result of zero is neither:
//! it extends no streak and resets none.** A partial fill counts when the order is filled, with the whole quantity.
//!
//! A `trade_closed` with `pnl` is a result as given, fees and all. It is the same result as the fills that closed it, so it
//! takes their place: fills of the same symbol within [`SAME_TRADE`] before it give theirs up, as much as its quantity
//! covers, and those within the same time after it add none. Without a strategy it belongs to the one whose fills it
//! matches, else to one that holds the symbol, else to one that has traded it.
//!
//! A `position_event` is what the engine says that it holds: it decides which positions count as open, and it replaces the
//! book when the next fill comes later than [`SAME_TRADE`] (before that, the fill is the one that it already speaks of).
//! The snapshot of all (symbol `portfolio`) says the same of each symbol that one strategy alone has traded, and closes what
//! it does not list: engines in the field close positions without telling an order.
//!
//! Rates are shares from 0 to 1; `win_rate` is null before the first decided result. Averages are over the strategies that
//! have a value, and 0 when none has.

use std::collections::{BTreeMap, VecDeque};

use compact_str::CompactString;
use serde::Serialize;
use serde_json::Value;

use super::position::{DUST, Holding, Position, SAME_TRADE};
use crate::domain::event::Event;
use crate::domain::payload::{Payload, unquote};

/// Two forms of one signal come within this time, in microseconds.
const SAME_SIGNAL: i64 = 1_000_000;
/// Most strategies of an engine; events of further ones are not counted.
const MAX_STRATEGIES: usize = 200;
/// Most symbols in a strategy's book.
const MAX_SYMBOLS: usize = 500;
/// Results whose trade may still be told in another form.
const MAX_RECENT: usize = 64;
/// The strategy of what names none.
const UNNAMED: &str = "unattributed";

/// All strategies of one engine.
#[derive(Debug, Clone, Default)]
pub struct Performance {
    strategies: BTreeMap<CompactString, Strategy>,
}

#[derive(Debug, Clone, Default)]
struct Strategy {
    signals: u64,
    confidence: f64,
    confident: u64,
    last_signal: Option<Signal>,
    book: BTreeMap<CompactString, Position>,
    /// Results that are final.
    settled: Tally,
    /// The newest results, oldest first.
    recent: VecDeque<Outcome>,
}

#[derive(Debug, Clone, PartialEq)]
struct Signal {
    symbol: CompactString,
    signal: String,
    confidence: Option<f64>,
    is_order: bool,
    at: i64,
}

#[derive(Debug, Clone)]
struct Outcome {
    symbol: CompactString,
    pnl: f64,
    /// Quantity that its counterpart, a trade or fills, has not accounted for yet.
    open: f64,
    is_trade: bool,
    at: i64,
}

/// Counts of decided results, and the streak that they end with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    wins: u64,
    losses: u64,
    win_streak: u64,
    loss_streak: u64,
}

impl Tally {
    fn add(&mut self, pnl: f64) {
        if pnl > 0.0 {
            *self = Self { wins: self.wins + 1, win_streak: self.win_streak + 1, loss_streak: 0, ..*self };
        } else if pnl < 0.0 {
            *self = Self { losses: self.losses + 1, loss_streak: self.loss_streak + 1, win_streak: 0, ..*self };
        }
    }
}

/// The figures of all strategies together, as a watcher publishes them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Strategies that were heard of.
    pub total_strategies: usize,
    /// Mean of the strategies' win rates, 0 to 1.
    pub avg_win_rate: f64,
    /// The longest loss streak that a strategy is in.
    pub max_loss_streak: u64,
    /// Mean confidence of all signals that told theirs.
    pub avg_confidence: f64,
    /// Each of them.
    pub strategies: BTreeMap<CompactString, StrategyFigures>,
}

/// The figures of one strategy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StrategyFigures {
    /// Results above zero.
    pub win_count: u64,
    /// Results below zero.
    pub loss_count: u64,
    /// Share of wins, 0 to 1; `None` before the first decided result.
    pub win_rate: Option<f64>,
    /// Losses since the last win.
    pub loss_streak: u64,
    /// Wins since the last loss.
    pub win_streak: u64,
    /// Symbols that it holds.
    pub open_positions: usize,
    /// Signals that it gave.
    pub signals: u64,
}

impl Performance {
    /// Takes one event of the engine; other types than the four mean nothing to it.
    pub fn apply(&mut self, event: &Event) {
        let header = event.header();
        let kind = header.event_type.as_str();
        if !matches!(kind, "signal_event" | "order_event" | "position_event" | "trade_closed") {
            return;
        }
        let Ok(payload) = Payload::inspect(event.payload(), usize::MAX) else { return };
        let Some(symbol) = header.symbol.clone() else { return };
        let (strategy, at) = (header.strategy.clone(), header.timestamp.micros());
        match kind {
            "signal_event" => self.signal(strategy, symbol, at, &payload),
            "order_event" => self.order(strategy, symbol, at, &payload),
            "position_event" if symbol == "portfolio" && payload.get("positions").is_some() => self.snapshot(at, &payload),
            "position_event" => self.position(strategy, symbol, at, &payload),
            _ => self.trade(strategy, symbol, at, &payload),
        }
    }

    /// Whether anything is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.strategies.is_empty()
    }

    /// The figures so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let strategies: BTreeMap<_, _> = self.strategies.iter().map(|(name, each)| (name.clone(), each.figures())).collect();
        let rates: Vec<f64> = strategies.values().filter_map(|each| each.win_rate).collect();
        let (confidence, confident) =
            self.strategies.values().fold((0.0, 0), |(sum, count), each| (sum + each.confidence, count + each.confident));
        Figures {
            total_strategies: strategies.len(),
            avg_win_rate: mean(rates.iter().sum(), rates.len() as u64),
            max_loss_streak: strategies.values().map(|each| each.loss_streak).max().unwrap_or(0),
            avg_confidence: mean(confidence, confident),
            strategies,
        }
    }

    fn strategy(&mut self, name: Option<CompactString>) -> Option<&mut Strategy> {
        let name = name.unwrap_or(UNNAMED.into());
        let has_room = self.strategies.len() < MAX_STRATEGIES || self.strategies.contains_key(&name);
        has_room.then(|| self.strategies.entry(name).or_default())
    }

    fn signal(&mut self, strategy: Option<CompactString>, symbol: CompactString, at: i64, payload: &Payload<'_>) {
        let Some(strategy) = self.strategy(strategy) else { return };
        let confidence = number(payload, "confidence");
        let signal = payload.text("signal").unwrap_or_default().to_ascii_uppercase();
        // engines in the field tell a signal that becomes an order twice: when it is found, and with its price
        let signal = Signal { symbol, signal, confidence, is_order: payload.get("logical").is_some(), at };
        let is_again = strategy.last_signal.as_ref().is_some_and(|last| {
            let same = Signal { is_order: false, at, ..signal.clone() } == Signal { at, ..last.clone() };
            signal.is_order && same && at.abs_diff(last.at) <= SAME_SIGNAL as u64
        });
        if !is_again {
            strategy.signals += 1;
            strategy.confidence += confidence.unwrap_or(0.0);
            strategy.confident += u64::from(confidence.is_some());
        }
        strategy.last_signal = Some(signal);
    }

    fn order(&mut self, strategy: Option<CompactString>, symbol: CompactString, at: i64, payload: &Payload<'_>) {
        let is = |field: &str, word: &str| payload.text(field).is_some_and(|text| text.eq_ignore_ascii_case(word));
        let side = if is("side", "buy") { 1.0 } else { -1.0 };
        let known_side = side > 0.0 || is("side", "sell");
        let quantity = number(payload, "qty").or_else(|| number(payload, "quantity")).map(f64::abs).filter(|q| *q > DUST);
        let (true, true, Some(quantity), Some(price)) = (is("status", "filled"), known_side, quantity, number(payload, "price"))
        else {
            return;
        };
        if let Some(strategy) = self.strategy(strategy) {
            strategy.fill(symbol, side * quantity, price, at);
        }
    }

    fn position(&mut self, strategy: Option<CompactString>, symbol: CompactString, at: i64, payload: &Payload<'_>) {
        let Some(size) = number(payload, "position_size") else { return };
        let holding = Holding { size, price: number(payload, "entry_price"), at };
        if strategy.is_none() {
            // it holds for whichever strategy has the symbol
            for position in self.strategies.values_mut().filter_map(|each| each.book.get_mut(&symbol)) {
                position.said = Some(holding);
            }
        } else if let Some(position) = self.strategy(strategy).and_then(|strategy| strategy.position(symbol)) {
            position.said = Some(holding);
        }
    }

    fn snapshot(&mut self, at: i64, payload: &Payload<'_>) {
        let positions: Option<Vec<Value>> = payload.get("positions").and_then(|positions| serde_json::from_str(positions).ok());
        let Some(positions) = positions else { return };
        let held = |symbol: &str| {
            let number = |each: &Value, names: [&str; 3]| names.iter().find_map(|name| each.get(name)?.as_f64());
            let each = positions.iter().find(|each| each.get("symbol").and_then(Value::as_str) == Some(symbol))?;
            let size = number(each, ["quantity", "qty", "position_size"])?;
            Some(Holding { size, price: number(each, ["avg_price", "average_price", "entry_price"]), at })
        };
        let mut holders = BTreeMap::<CompactString, usize>::new();
        for symbol in self.strategies.values().flat_map(|each| each.book.keys()) {
            *holders.entry(symbol.clone()).or_default() += 1;
        }
        for (symbol, position) in self.strategies.values_mut().flat_map(|each| &mut each.book) {
            match held(symbol) {
                // of a symbol that several strategies hold only the sum is told
                Some(holding) if holding.size.abs() <= DUST || holders.get(symbol) == Some(&1) => position.said = Some(holding),
                Some(_) => {}
                None => position.said = Some(Holding { size: 0.0, price: None, at }),
            }
        }
    }

    fn trade(&mut self, strategy: Option<CompactString>, symbol: CompactString, at: i64, payload: &Payload<'_>) {
        let (Some(pnl), Some(quantity)) = (number(payload, "pnl"), number(payload, "quantity")) else { return };
        let strategy = strategy.or_else(|| {
            let matches = |each: &Strategy| each.recent.iter().any(|outcome| outcome.is_counterpart(&symbol, false, at));
            let traders = self.strategies.iter().filter_map(|(name, each)| Some((name, each, each.book.get(&symbol)?)));
            let found = traders.max_by_key(|(_, each, position)| (matches(each), position.is_open()));
            found.map(|(name, ..)| name.clone())
        });
        if let Some(strategy) = self.strategy(strategy) {
            strategy.trade(symbol, quantity.abs(), pnl, at);
        }
    }
}

impl Strategy {
    fn position(&mut self, symbol: CompactString) -> Option<&mut Position> {
        if self.book.len() >= MAX_SYMBOLS && !self.book.contains_key(&symbol) {
            self.book.retain(|_, position| position.is_open());
        }
        let has_room = self.book.len() < MAX_SYMBOLS || self.book.contains_key(&symbol);
        has_room.then(|| self.book.entry(symbol).or_default())
    }

    fn fill(&mut self, symbol: CompactString, quantity: f64, price: f64, at: i64) {
        let Some(position) = self.position(symbol.clone()) else { return };
        let Some((closed, pnl)) = position.fill(quantity, price, at) else { return };
        // what a trade has told already is no further result
        let mut open = closed;
        for told in self.recent.iter_mut().filter(|each| each.is_counterpart(&symbol, true, at)) {
            let covered = told.open.min(open);
            told.open -= covered;
            open -= covered;
        }
        if open > DUST {
            self.settle(Outcome { symbol, pnl: pnl * open / closed, open, is_trade: false, at });
        }
    }

    fn trade(&mut self, symbol: CompactString, quantity: f64, pnl: f64, at: i64) {
        let mut open = quantity;
        let mut place = None;
        for (index, fill) in self.recent.iter_mut().enumerate().filter(|(_, each)| each.is_counterpart(&symbol, false, at)) {
            if open <= DUST {
                break;
            }
            let covered = fill.open.min(open);
            fill.pnl *= 1.0 - covered / fill.open;
            fill.open -= covered;
            open -= covered;
            place.get_or_insert(index);
        }
        let outcome = Outcome { symbol, pnl, open, is_trade: true, at };
        match place {
            // where its fills were, so that streaks keep their order
            Some(index) => self.recent.insert(index, outcome),
            None => self.recent.push_back(outcome),
        }
        self.recent.retain(|each| each.is_trade || each.open > DUST);
        self.shorten();
    }

    fn settle(&mut self, outcome: Outcome) {
        self.recent.push_back(outcome);
        self.shorten();
    }

    fn shorten(&mut self) {
        while self.recent.len() > MAX_RECENT {
            if let Some(oldest) = self.recent.pop_front() {
                self.settled.add(oldest.pnl);
            }
        }
    }

    fn figures(&self) -> StrategyFigures {
        let mut tally = self.settled;
        self.recent.iter().for_each(|outcome| tally.add(outcome.pnl));
        let decided = tally.wins + tally.losses;
        StrategyFigures {
            win_count: tally.wins,
            loss_count: tally.losses,
            win_rate: (decided > 0).then(|| mean(tally.wins as f64, decided)),
            loss_streak: tally.loss_streak,
            win_streak: tally.win_streak,
            open_positions: self.book.values().filter(|position| position.is_open()).count(),
            signals: self.signals,
        }
    }
}

impl Outcome {
    fn is_counterpart(&self, symbol: &str, is_trade: bool, at: i64) -> bool {
        self.symbol == symbol && self.is_trade == is_trade && self.open > DUST && self.at.abs_diff(at) <= SAME_TRADE as u64
    }
}

fn number(payload: &Payload<'_>, field: &str) -> Option<f64> {
    let raw = payload.get(field)?;
    let text = unquote(raw);
    text.as_deref().unwrap_or(raw).parse::<f64>().ok().filter(|number| number.is_finite())
}

fn mean(sum: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

#[cfg(test)]
#[path = "performance_tests.rs"]
mod tests;
