//! Generated events that look like a market day, and filters with the naive meaning of each.

use fastrand::Rng;
use serde_json::{Value, json};

pub const SYMBOLS: [&str; 5] = ["NIFTY", "BANKNIFTY", "FINNIFTY", "NIFTY24FUT", "portfolio"];
pub const STRATEGIES: [&str; 3] = ["EMA_20_50", "ORB", "mean-revert"];
pub const SOURCES: [&str; 3] = ["fno", "equity", "options"];
pub const SEVERITIES: [&str; 5] = ["debug", "info", "warning", "error", "critical"];
pub const TYPES: [&str; 6] =
    ["signal_event", "indicator_event", "order_event", "position_event", "decision_trace", "custom.tick"];

/// The `number`-th event of a generated day; source, profile and severity are sometimes absent.
pub fn event(rng: &mut Rng, number: usize) -> Value {
    let kind = TYPES[rng.usize(..TYPES.len())];
    let symbol = SYMBOLS[rng.usize(..SYMBOLS.len())];
    let strategy = STRATEGIES[rng.usize(..STRATEGIES.len())];
    let payload = match kind {
        "signal_event" => {
            json!({"symbol": symbol, "strategy_name": strategy, "signal": "HOLD", "n": number})
        }
        "indicator_event" => {
            json!({"symbol": symbol, "timeframe": "5m", "indicators": {"ema9": 0.5}, "n": number})
        }
        "order_event" => {
            json!({"order_id": format!("PAPER-{number}"), "symbol": symbol, "side": "BUY",
            "status": "FILLED", "strategy": strategy, "quantity": 50, "price": 19755.0, "n": number})
        }
        "position_event" => {
            json!({"symbol": symbol, "position_size": 50, "strategy": strategy, "n": number})
        }
        "decision_trace" => json!({"strategy_name": strategy, "symbol": symbol, "decision": "HOLD",
            "trace_data": {"reason": "low_confidence"}, "n": number}),
        _ => json!({"n": number, "text": "käse \u{2028} 🦀"}),
    };
    let mut event = json!({"type": kind, "payload": payload});
    if rng.u8(..) < 200 {
        event["severity"] = json!(SEVERITIES[rng.usize(..SEVERITIES.len())]);
    }
    if rng.u8(..) < 200 {
        event["source"] = json!(SOURCES[rng.usize(..SOURCES.len())]);
    }
    if rng.bool() {
        event["profile_id"] = json!(rng.u8(1..4));
    }
    event
}

pub fn events(seed: u64, count: usize) -> Vec<Value> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(|number| event(&mut rng, number)).collect()
}

/// A plain event for tests that only count.
pub fn tick(number: usize) -> Value {
    json!({"type": "tick", "payload": {"n": number}})
}

pub fn ticks(range: std::ops::Range<usize>) -> Vec<Value> {
    range.map(tick).collect()
}

/// One NDJSON body.
pub fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// The filters of a query, each with its most obvious meaning.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub types: Vec<&'static str>,
    pub symbol: Option<&'static str>,
    pub strategy: Option<&'static str>,
    pub source: Option<&'static str>,
    pub profile_id: Option<u8>,
    pub severity: Option<usize>,
}

impl Filter {
    pub fn any(rng: &mut Rng) -> Filter {
        fn sometimes<T>(rng: &mut Rng, value: T) -> Option<T> {
            (rng.u8(..) < 64).then_some(value)
        }
        let types = TYPES.into_iter().filter(|_| rng.u8(..) < 48).collect();
        let symbol = SYMBOLS[rng.usize(..SYMBOLS.len())];
        let strategy = STRATEGIES[rng.usize(..STRATEGIES.len())];
        let source = SOURCES[rng.usize(..SOURCES.len())];
        let (profile_id, severity) = (rng.u8(1..4), rng.usize(..SEVERITIES.len()));
        Filter {
            types,
            symbol: sometimes(rng, symbol),
            strategy: sometimes(rng, strategy),
            source: sometimes(rng, source),
            profile_id: sometimes(rng, profile_id),
            severity: sometimes(rng, severity),
        }
    }

    pub fn matches(&self, event: &Value) -> bool {
        let payload = &event["payload"];
        let is = |field: &Value, wanted: &str| field.as_str() == Some(wanted);
        // An event that does not say how severe it is counts as info.
        let severity = || SEVERITIES.iter().position(|one| *one == event["severity"].as_str().unwrap_or("info"));
        (self.types.is_empty() || self.types.iter().any(|wanted| is(&event["type"], wanted)))
            && self.symbol.is_none_or(|wanted| is(&payload["symbol"], wanted))
            && self.strategy.is_none_or(|wanted| is(&payload["strategy"], wanted) || is(&payload["strategy_name"], wanted))
            && self.source.is_none_or(|wanted| is(&event["source"], wanted))
            && self.profile_id.is_none_or(|wanted| event["profile_id"] == wanted)
            && self.severity.is_none_or(|least| severity() >= Some(least))
    }

    /// The filter as a query string; several types either repeated or with commas.
    pub fn query(&self, commas: bool) -> String {
        let mut parts = Vec::new();
        match commas {
            true if !self.types.is_empty() => parts.push(format!("event_type={}", self.types.join(","))),
            _ => parts.extend(self.types.iter().map(|kind| format!("event_type={kind}"))),
        }
        parts.extend(self.symbol.map(|value| format!("symbol={value}")));
        parts.extend(self.strategy.map(|value| format!("strategy={value}")));
        parts.extend(self.source.map(|value| format!("source={value}")));
        parts.extend(self.profile_id.map(|value| format!("profile_id={value}")));
        parts.extend(self.severity.map(|least| format!("severity={}", SEVERITIES[least])));
        parts.join("&")
    }
}

/// The ids of those events that the filter lets through.
pub fn naive(filter: &Filter, events: &[Value]) -> Vec<String> {
    let matching = events.iter().filter(|event| filter.matches(event));
    matching.map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}
