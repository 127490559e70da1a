//! A trading day of four engines, as a pure function of a seed and a starting time.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use fastrand::Rng;

use super::market::{Instrument, Market, rounded};
use super::operations;
use super::trading::{Account, Book, Decision, Moment};
use crate::cli::fields::Object;

/// The engines of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Prices and indicators.
    MarketData,
    /// Decides what to trade.
    Strategy,
    /// Trades it.
    Execution,
    /// Chooses what may be traded.
    Universe,
}

impl Engine {
    /// All of them, in the order in which a tick passes through them.
    pub const ALL: [Self; 4] = [Self::MarketData, Self::Strategy, Self::Execution, Self::Universe];

    /// Its name, the `source` of its events.
    pub fn name(self) -> &'static str {
        match self {
            Self::MarketData => "mde",
            Self::Strategy => "strategy",
            Self::Execution => "execution",
            Self::Universe => "universe",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::MarketData => "market_data",
            Self::Strategy => "strategy",
            Self::Execution => "execution",
            Self::Universe => "universe",
        }
    }
}

/// An event that an engine is about to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Who posts it.
    pub engine: Engine,
    /// Its type.
    pub kind: &'static str,
    /// How severe.
    pub severity: &'static str,
    /// Its payload as JSON.
    pub payload: String,
}

/// Name of the strategy that the demo trades.
pub const STRATEGY: &str = "EMA_CROSS";
/// Ticks between two heartbeats of an engine.
const BEAT: u64 = 10;
/// Ticks between two scans of the universe.
const SCAN: u64 = 60;

/// The four engines on one market, tick by tick.
#[derive(Debug, Clone)]
pub struct Simulation {
    market: Market,
    rng: Rng,
    /// Of its own, so that what engines say of their work changes no trade.
    operations: Rng,
    start: DateTime<Utc>,
    /// Length of a tick.
    length: Duration,
    tick: u64,
    books: [Book; 2],
    account: Account,
}

impl Simulation {
    /// The simulation of this seed; only times in payloads depend on `start` and the length of a tick.
    pub fn new(seed: u64, start: DateTime<Utc>, length: Duration) -> Self {
        let books = [Book::default(), Book::default()];
        let rng = Rng::with_seed(seed ^ 0x5eed);
        let operations = Rng::with_seed(seed ^ 0x0b5e);
        Self { market: Market::new(seed), rng, operations, start, length, tick: 0, books, account: Account::new() }
    }

    /// What all engines say in the next tick, in order.
    pub fn tick(&mut self) -> Vec<Draft> {
        let mut drafts = Drafts(Vec::new());
        let time = text(self.now());
        let now = Moment { tick: self.tick, time: &time };
        let tick = self.tick;
        self.market.step();
        self.market_data(&mut drafts);
        let Self { market, rng, books, account, .. } = self;
        for (nth, (instrument, book)) in market.instruments.iter().zip(books.iter_mut()).enumerate() {
            account.settle(instrument, book, now, rng, &mut drafts);
            // the strategy looks at one symbol a tick
            if (tick + nth as u64).is_multiple_of(2) {
                let decision = book.decide(instrument, tick, rng);
                operations::breakout(instrument, decision, &mut drafts);
                decided(instrument, decision, rng, &mut drafts);
                account.order(instrument, book, decision, &mut drafts);
            }
        }
        account.report(&self.market.instruments, &self.books, now, &mut drafts);
        self.universe(&mut drafts);
        operations::report(tick, &mut self.operations, &mut drafts);
        for (nth, engine) in Engine::ALL.into_iter().enumerate() {
            if (tick + nth as u64 * 2).is_multiple_of(BEAT) || tick == 0 {
                drafts.add(engine, "engine_heartbeat", self.heartbeat(engine, now.time));
            }
        }
        self.tick += 1;
        drafts.0
    }

    /// When the current tick is.
    fn now(&self) -> DateTime<Utc> {
        let passed = self.length.saturating_mul(u32::try_from(self.tick).unwrap_or(u32::MAX));
        self.start + passed
    }

    fn market_data(&self, drafts: &mut Drafts) {
        for (nth, instrument) in self.market.instruments.iter().enumerate() {
            if (self.tick + nth as u64).is_multiple_of(2) {
                let indicators = Object::new()
                    .number("close", instrument.price)
                    .number("ema9", rounded(instrument.fast))
                    .number("ema21", rounded(instrument.slow))
                    .number("rsi14", rounded(instrument.rsi()))
                    .number("atr14", rounded(instrument.atr));
                let payload = Object::new().text("symbol", instrument.symbol).text("timeframe", "1m");
                drafts.add(Engine::MarketData, "indicator_event", payload.object("indicators", indicators));
            }
        }
        if self.tick.is_multiple_of(6) {
            let candles = 2 * (375 + i64::try_from(self.tick / 120).unwrap_or(0));
            let metrics = Object::new()
                .int("cached_symbols", 2)
                .int("total_candles", candles)
                .int("lookup_failures", 0)
                .int("stale_symbols_count", 0);
            let payload = Object::new().text("mde_name", "mde").text("status", "running").object("metrics", metrics);
            drafts.add(Engine::MarketData, "mde_status", payload);
        }
    }

    fn universe(&mut self, drafts: &mut Drafts) {
        if !self.tick.is_multiple_of(SCAN) {
            return;
        }
        let scanned = 180 + self.rng.i64(0..40);
        let liquid = scanned - self.rng.i64(20..60);
        let summary = Object::new().text("exchange", "NFO").int("scanned", scanned).int("liquid", liquid);
        let payload = Object::new().text("scan_type", "fno").int("universe_size", 2).object("summary", summary);
        drafts.add(Engine::Universe, "universe_scan", payload);
        let summary = Object::new().int("selected", 2).raw("symbols", r#"["NIFTY","BANKNIFTY"]"#);
        let payload = Object::new().text("universe_type", "index_futures").object("summary", summary);
        drafts.add(Engine::Universe, "universe_summary", payload);
    }

    fn heartbeat(&self, engine: Engine, now: &str) -> Object {
        let open = self.books.iter().filter(|book| book.is_open()).count();
        let open = if engine == Engine::Execution { i64::try_from(open).unwrap_or(0) } else { 0 };
        Object::new()
            .text("name", engine.name())
            .text("mode", "paper")
            .int("pid", 4200 + engine as i64)
            .text("status", "running")
            .text("started_at", &text(self.start))
            .text("last_heartbeat", now)
            .raw("loop_tick", &self.tick.to_string())
            .int("universe_size", 2)
            .int("open_positions", open)
            .raw("last_error", "null")
            .text("kind", engine.kind())
    }
}

fn decided(instrument: &Instrument, decision: Decision, rng: &mut Rng, drafts: &mut Drafts) {
    let confidence = rounded((0.35 + instrument.trend().abs() / 8.0 + rng.f64() * 0.1).min(0.99));
    let trace = Object::new()
        .text("reason", decision.reason())
        .number("confidence", confidence)
        .number("close_price", instrument.price)
        .number("ema9", rounded(instrument.fast))
        .number("ema21", rounded(instrument.slow));
    let payload = Object::new()
        .text("strategy_name", STRATEGY)
        .text("symbol", instrument.symbol)
        .text("decision", decision.word())
        .object("trace_data", trace);
    drafts.add(Engine::Strategy, "decision_trace", payload);
    if decision != Decision::Hold {
        let payload = Object::new()
            .text("symbol", instrument.symbol)
            .text("strategy_name", STRATEGY)
            .text("signal", decision.word())
            .number("confidence", confidence)
            .number("price", instrument.price)
            .text("reason", decision.reason())
            .text("timeframe", "1m");
        drafts.add(Engine::Strategy, "signal_event", payload);
    }
}

/// The events of one tick.
#[derive(Debug)]
pub struct Drafts(Vec<Draft>);

impl Drafts {
    /// Adds an event of severity `info`.
    pub fn add(&mut self, engine: Engine, kind: &'static str, payload: Object) {
        self.add_as("info", engine, kind, payload);
    }

    /// Adds an event.
    pub fn add_as(&mut self, severity: &'static str, engine: Engine, kind: &'static str, payload: Object) {
        self.0.push(Draft { engine, kind, severity, payload: payload.finish() });
    }
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll::domain::clock::Timestamp;
    use plimsoll::domain::envelope::{self, Rules};
    use std::collections::HashMap;

    fn drafts(seed: u64, ticks: usize) -> Vec<Draft> {
        let start = "2025-11-18T03:45:00Z".parse().expect("a time");
        let mut simulation = Simulation::new(seed, start, Duration::from_millis(500));
        (0..ticks).flat_map(|_| simulation.tick()).collect()
    }

    #[test]
    fn the_same_seed_says_the_same_and_another_says_something_else() {
        assert_eq!(drafts(7, 500), drafts(7, 500));
        assert_ne!(drafts(7, 500), drafts(8, 500));
    }

    #[test]
    fn every_event_has_what_the_contract_requires_of_its_type() {
        let rules = Rules { max_event_bytes: 4096, max_depth: 4, accept_unknown_types: false };
        let mut seen = HashMap::<&str, usize>::new();
        for draft in (0..5).flat_map(|seed| drafts(seed, 2_000)) {
            *seen.entry(draft.kind).or_default() += 1;
            let event = super::super::event(&draft);
            let outcome = envelope::parse(event.as_bytes(), &rules, Timestamp::from_micros(0));
            assert!(outcome.is_ok(), "{event}: {outcome:?}");
        }
        assert_eq!(seen.len(), 17, "every type of the demo occurs: {seen:?}");
    }

    #[test]
    fn an_order_is_created_before_it_is_filled_and_the_trades_add_up_to_the_realized_profit() {
        let drafts = drafts(11, 5_000);
        let mut state = HashMap::<String, String>::new();
        let (mut trades, mut realized) = (0.0, 0.0);
        for Draft { kind, payload, .. } in &drafts {
            let value: serde_json::Value = serde_json::from_str(payload).expect("JSON");
            let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            match *kind {
                "order_event" => {
                    let before = state.insert(text("order_id"), text("status"));
                    match (before.as_deref(), text("status").as_str()) {
                        (None, "created") | (Some("created"), "filled" | "partially_filled" | "rejected") => {}
                        (Some("partially_filled"), "filled") => {}
                        change => panic!("{change:?}"),
                    }
                }
                "trade_closed" => trades += value["pnl"].as_f64().expect("a number"),
                "equity_snapshot" => realized = value["realized_pnl"].as_f64().expect("a number"),
                _ => {}
            }
        }
        assert!(state.len() > 50, "{} orders", state.len());
        assert!((trades - realized).abs() < 1e-6 * trades.abs().max(1.0), "{trades} against {realized}");
    }

    #[test]
    fn the_first_trade_does_not_keep_a_newcomer_waiting() {
        for seed in 0..20 {
            assert!(drafts(seed, 40).iter().any(|draft| draft.kind == "order_event"), "20 seconds with seed {seed}");
        }
    }
}
