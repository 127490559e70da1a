use super::*;
use crate::domain::clock::Timestamp;
use crate::domain::envelope::{Rules, parse};
use crate::domain::id::EventId;
use crate::domain::metrics::name::{Kind, Prefix};
use crate::domain::metrics::registry::{Limits, Refused, Registry, Value};

const RULES: Rules = Rules { max_event_bytes: 1 << 20, max_depth: 64, accept_unknown_types: true };

/// The fold, and the registry that it changes.
struct Desk {
    heard: Heard,
    registry: Registry,
    now: i64,
}

impl Desk {
    fn new() -> Self {
        Self::with_room_for(100)
    }

    /// With room for so many series of one metric.
    fn with_room_for(series: usize) -> Self {
        let session = Session::new(chrono_tz::Asia::Kolkata, chrono::NaiveTime::MIN);
        let limits = Limits { metrics: 10, series, memory: 32 << 20 };
        let registry = Registry::new(Prefix::parse("live_trading").expect("a prefix"), limits);
        Self { heard: Heard::new(session), registry, now: 1_763_452_541_000_000 }
    }

    fn hear(&mut self, event: &str) {
        self.now += 1_000_000;
        let now = Timestamp::from_micros(self.now);
        let id = EventId::first_at(now);
        let event = parse(event.as_bytes(), &RULES, now).expect(event).stamp(id);
        for write in self.heard.take(&event) {
            match self.registry.record(write.clone(), true) {
                Ok(()) => {}
                Err(Refused::NoRoom(_)) => self.heard.forget(write),
                Err(Refused::Fault(fault)) => panic!("{fault:?}"),
            }
        }
    }

    /// An event of this type and payload, without a source.
    fn tell(&mut self, event_type: &str, payload: &str) {
        self.hear(&format!(r#"{{"type":"{event_type}","payload":{payload}}}"#));
    }

    /// The value of the series whose labels have these values.
    fn value(&self, metric: Predefined, labels: &[&str]) -> Option<f64> {
        let metric = self.registry.find(metric.key()).expect("predefined");
        let series = metric.series.iter().find(|(key, _)| key.pairs().map(|(_, value)| value).eq(labels.iter().copied()));
        match series?.1 {
            Value::Number(number) => Some(*number),
            Value::Histogram(histogram) => Some(histogram.count() as f64),
        }
    }

    fn sum(&self, metric: Predefined) -> f64 {
        let metric = self.registry.find(metric.key()).expect("predefined");
        let sum = |value: &Value| if let Value::Histogram(histogram) = value { histogram.sum() } else { 0.0 };
        metric.series.values().map(sum).sum()
    }
}

#[test]
fn counters_begin_at_nothing_counted_and_gauges_are_unknown() {
    let desk = Desk::new();
    for metric in super::super::predefined::PREDEFINED {
        let expected = (metric.kind != Kind::Gauge).then_some(0.0);
        assert_eq!(desk.value(metric, &[]), expected, "{}", metric.key());
    }
}

#[test]
fn each_event_counts_in_its_own_metric_under_its_source() {
    let mut desk = Desk::new();
    desk.hear(r#"{"type":"error","source":"fno","payload":{}}"#);
    desk.hear(r#"{"type":"data_error","source":"fno","payload":{}}"#);
    desk.tell("error", "{}");
    desk.hear(r#"{"type":"decision_made","source":"a,b=\"c\"\n","payload":{}}"#);
    desk.hear(r#"{"type":"decision_made","source":"nul\u0000","payload":{}}"#);
    desk.tell("decision_trace", r#"{"strategy_name":"S","symbol":"N","decision":"HOLD","trace_data":{}}"#);
    assert_eq!((desk.value(ERRORS, &["fno"]), desk.value(ERRORS, &[])), (Some(2.0), Some(1.0)));
    assert_eq!(desk.value(DECISIONS, &["a,b=\"c\"\n"]), Some(1.0));
    assert_eq!(desk.value(DECISIONS, &["nul\u{fffd}"]), Some(1.0));
    assert_eq!(desk.value(DECISIONS, &[]), Some(1.0));
}

#[test]
fn a_recorded_order_and_a_trade_filled_count_with_their_value() {
    let mut desk = Desk::new();
    let order = r#"{"order_id": "paper-BANKNIFTY24FUT-1722830399", "symbol": "BANKNIFTY24FUT", "side": "SELL", "status": "FILLED", "quantity": 13, "price": 50414.65, "strategy": "PRICE_ACTION_V1", "mode": "SCALP"}"#;
    desk.tell("order_event", order);
    assert_eq!((desk.value(TRADES, &[]), desk.value(TRADES_VALUE, &[])), (Some(1.0), Some(655_390.45)));
    desk.tell("trade_filled", r#"{"symbol":"BANKNIFTY24FUT","side":"sell","qty":13.0,"fill_price":50414.65}"#);
    assert_eq!(desk.value(TRADES, &[]), Some(1.0), "the same fill");
    desk.tell("trade_filled", "{}");
    desk.tell("order_event", r#"{"order_id":7,"symbol":"N","side":"BUY","status":"filled"}"#);
    desk.tell("trade_filled", r#"{"order_id":7,"symbol":"N"}"#);
    desk.tell("order_event", r#"{"order_id":8,"symbol":"N","side":"BUY","status":"partially_filled","qty":1,"price":1}"#);
    assert_eq!((desk.value(TRADES, &[]), desk.value(TRADES_VALUE, &[])), (Some(3.0), Some(655_390.45)));
    for hostile in [r#"{"qty":1e15,"price":1e15}"#, r#"{"qty":"1","price":null}"#, r#"{"qty":-5,"price":2}"#] {
        desk.tell("trade_filled", hostile);
    }
    assert_eq!(desk.value(TRADES, &[]), Some(6.0));
}

#[test]
fn a_cycle_takes_what_it_says_or_else_the_time_since_its_start() {
    let mut desk = Desk::new();
    desk.tell("cycle_end", r#"{"duration_seconds":0.5}"#);
    desk.tell("cycle_end", r#"{"duration_ms":250}"#);
    assert_eq!((desk.value(CYCLE_DURATION, &[]), desk.sum(CYCLE_DURATION)), (Some(2.0), 0.75));
    desk.tell("cycle_end", "{}");
    assert_eq!(desk.value(CYCLE_DURATION, &[]), Some(2.0), "nobody knows");
    let at = |event_type: &str, second: u32, payload: &str| {
        format!(r#"{{"type":"{event_type}","source":"fno","timestamp":"2025-11-18T07:00:{second:02}Z","payload":{payload}}}"#)
    };
    for (event_type, second, payload) in [
        ("cycle_start", 1, r#"{"cycle_id":1}"#),
        ("cycle_start", 2, r#"{"cycle_id":2}"#),
        ("cycle_end", 4, r#"{"cycle_id":2,"duration":null}"#),
        ("cycle_end", 9, r#"{"cycle_id":1,"duration_seconds":-1}"#),
        ("cycle_start", 9, "{}"),
        ("cycle_end", 8, "{}"),
    ] {
        desk.hear(&at(event_type, second, payload));
    }
    assert_eq!(desk.value(CYCLE_DURATION, &["fno"]), Some(2.0), "none ends before it begins");
    assert_eq!(desk.sum(CYCLE_DURATION), 0.75 + 2.0 + 8.0);
    assert_eq!((desk.value(CYCLES, &["fno"]), desk.value(CYCLES, &[])), (Some(3.0), Some(3.0)));
}

#[test]
fn the_latency_of_orders_is_observed_and_that_of_other_calls_is_not() {
    let mut desk = Desk::new();
    desk.tell("api_latency", r#"{"script_name":"order_monitor","latency_ms":250}"#);
    desk.tell("api_latency", r#"{"script_name":"fno","latency_ms":250,"endpoint":"/v2/Orders"}"#);
    desk.tell("api_latency", r#"{"script_name":"order_monitor","latency_ms":250,"endpoint":"/v2/quotes"}"#);
    desk.tell("api_latency", r#"{"script_name":"fno","latency_ms":250}"#);
    desk.tell("api_latency", r#"{"script_name":"fno","latency_ms":250,"endpoint":"/historical_border"}"#);
    desk.tell("api_latency", r#"{"script_name":"order_monitor","latency_ms":-1}"#);
    desk.tell("order_event", r#"{"order_id":"1","symbol":"N","side":"BUY","status":"rejected","api_latency_ms":500}"#);
    assert_eq!((desk.value(ORDER_LATENCY, &[]), desk.sum(ORDER_LATENCY)), (Some(3.0), 1.0));
}

#[test]
fn gauges_say_what_was_told_last_by_its_own_time_and_only_what_was_told() {
    let mut desk = Desk::new();
    desk.hear(
        r#"{"type":"equity_snapshot","source":"dd","profile_id":1,"payload":{"account_equity":1000.5,"unrealized_pnl":-2,"realized_pnl":5,"margin_used":1,"margin_available":900,"open_positions_count":3}}"#,
    );
    let labels = ["1", "dd"];
    let told = |desk: &Desk| [PORTFOLIO_VALUE, CASH_BALANCE, POSITIONS, DAILY_PNL].map(|metric| desk.value(metric, &labels));
    assert_eq!(told(&desk), [Some(1000.5), Some(900.0), Some(3.0), Some(3.0)]);
    assert_eq!(desk.value(PORTFOLIO_VALUE, &[]), None, "of another account");
    let late = r#"{"type":"performance_update","source":"dd","profile_id":1,"timestamp":"2020-01-01T00:00:00Z","payload":{"metrics":{"equity":1,"daily_pnl":9}}}"#;
    desk.hear(late);
    assert_eq!(told(&desk), [Some(1000.5), Some(900.0), Some(3.0), Some(3.0)], "what is late is no news");
    desk.hear(r#"{"type":"performance_update","source":"dd","profile_id":1,"timestamp":"9999-01-01T00:00:00Z","payload":{"metrics":{"equity":2,"cash":"x","total_pnl":7}}}"#);
    desk.hear(r#"{"type":"performance_update","source":"dd","profile_id":1,"payload":{"metrics":{"daily_pnl":8}}}"#);
    assert_eq!(told(&desk), [Some(2.0), Some(900.0), Some(3.0), Some(8.0)], "the future silences nobody");
}

#[test]
fn a_snapshot_of_positions_counts_the_open_ones() {
    let mut desk = Desk::new();
    let snapshot =
        |positions: &str| format!(r#"{{"symbol":"portfolio","position_size":9,"positions":{positions},"equity":5000000.0}}"#);
    desk.tell(
        "position_event",
        &snapshot(r#"[{"symbol":"A","quantity":-13},{"symbol":"B","quantity":0},{"symbol":"C","qty":1}]"#),
    );
    assert_eq!((desk.value(POSITIONS, &[]), desk.value(PORTFOLIO_VALUE, &[])), (Some(2.0), Some(5e6)));
    for unknown in [r#"[{"symbol":"A"}]"#, "[7]", "[null]"] {
        desk.tell("position_event", &snapshot(unknown));
        assert_eq!(desk.value(POSITIONS, &[]), Some(2.0), "{unknown}");
    }
    desk.tell("position_event", &snapshot("[]"));
    assert_eq!(desk.value(POSITIONS, &[]), Some(0.0));
    desk.tell("position_event", r#"{"symbol":"NIFTY","position_size":5}"#);
    assert_eq!(desk.value(POSITIONS, &[]), Some(0.0), "one position is not all of them");
}

#[test]
fn a_live_cycle_is_timed_however_many_others_never_end() {
    let mut desk = Desk::new();
    let begins = |cycle: usize| format!(r#"{{"cycle_id":{cycle}}}"#);
    (0..10_000).for_each(|cycle| desk.tell("cycle_start", &begins(cycle)));
    desk.tell("cycle_start", r#"{"cycle_id":"live"}"#);
    desk.tell("cycle_start", &begins(10_000));
    desk.tell("cycle_end", r#"{"cycle_id":"live"}"#);
    assert_eq!((desk.value(CYCLE_DURATION, &[]), desk.sum(CYCLE_DURATION)), (Some(1.0), 2.0));
    assert_eq!(desk.heard.forgotten(), (2, 0), "the oldest, counted");
}

/// What a source tells of its equity.
fn equity(source: usize, time: &str, equity: usize) -> String {
    let payload = format!(r#"{{"metrics":{{"equity":{equity},"cash":1,"open_positions":1,"daily_pnl":1}}}}"#);
    format!(r#"{{"type":"performance_update","source":"s{source}","timestamp":"{time}","payload":{payload}}}"#)
}

#[test]
fn late_news_stays_late_however_many_sources_there_are() {
    let mut desk = Desk::with_room_for(10_000);
    (0..2_600).for_each(|source| desk.hear(&equity(source, "2025-11-18T07:00:00Z", 7)));
    for source in [0, 2_599] {
        desk.hear(&equity(source, "2025-11-18T06:00:00Z", 9));
        assert_eq!(desk.value(PORTFOLIO_VALUE, &[&format!("s{source}")]), Some(7.0));
    }
}

#[test]
fn of_sources_that_find_no_room_nothing_is_remembered() {
    let mut desk = Desk::with_room_for(3);
    (0..50).for_each(|source| desk.hear(&equity(source, "2025-11-18T07:00:00Z", 7)));
    assert_eq!(desk.heard.told.len(), 3 * 4);
}

#[test]
fn a_fill_is_worth_what_it_was_filled_at_and_not_what_was_asked() {
    let mut desk = Desk::new();
    let worth = |desk: &Desk| desk.value(TRADES_VALUE, &[]);
    let order =
        |id: u32, prices: &str| format!(r#"{{"order_id":"{id}","symbol":"N","side":"BUY","status":"filled","qty":10,{prices}}}"#);
    desk.tell("order_event", &order(1, r#""price":0,"average_price":250.5"#));
    assert_eq!(worth(&desk), Some(2_505.0), "a market order");
    desk.tell("order_event", &order(2, r#""price":260,"average_price":250.5"#));
    assert_eq!(worth(&desk), Some(5_010.0), "a limit");
    desk.tell("order_event", &order(3, r#""price":2,"average_price":0,"fill_price":null"#));
    assert_eq!(worth(&desk), Some(5_030.0), "no other price is told");
}
