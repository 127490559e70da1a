//! The known event types: what each requires, and that more keys are welcome.

use serde_json::{Value, json};

use crate::harness::spawn_app;
use crate::ingest::faulty_fields;

/// A payload with exactly the required fields of each type that requires any.
fn least() -> Vec<(&'static str, Value)> {
    vec![
        ("signal_event", json!({"symbol": "NIFTY", "strategy_name": "ORB", "signal": "BUY"})),
        ("indicator_event", json!({"symbol": "NIFTY", "timeframe": "5m", "indicators": {"ema9": 1.5, "ema20": 2}})),
        ("order_event", json!({"order_id": "P-1", "symbol": "NIFTY", "side": "BUY", "status": "filled"})),
        ("position_event", json!({"symbol": "NIFTY", "position_size": -50})),
        ("engine_health", json!({"engine_name": "paper", "status": "running", "metrics": {}})),
        ("decision_trace", json!({"strategy_name": "ORB", "symbol": "NIFTY", "decision": "HOLD", "trace_data": {}})),
        ("universe_scan", json!({"scan_type": "fno", "universe_size": 2, "summary": {}})),
        ("universe_summary", json!({"universe_type": "fno", "summary": {}})),
        ("performance_update", json!({"metrics": {"total_pnl": 1.5}})),
        ("mde_status", json!({"mde_name": "mde", "status": "running", "metrics": {"cached_symbols": 2}})),
        ("engine_heartbeat", json!({"name": "fno", "mode": "paper", "pid": 12, "status": "running"})),
        (
            "breakout_signal",
            json!({"symbol": "NIFTY", "direction": "upward", "bar_strength": 0.8, "close_price": 100.5,
            "candle_size": 12.5, "volume": 1000}),
        ),
        (
            "trade_closed",
            json!({"symbol": "NIFTY", "trade_type": "stop_loss", "entry_price": 100.0, "exit_price": 99.5,
            "quantity": 50, "entry_time": "2025-11-18T07:55:41Z", "exit_time": "2025-11-18T08:55:41Z"}),
        ),
        (
            "equity_snapshot",
            json!({"account_equity": 1e6, "unrealized_pnl": -5.0, "realized_pnl": 0,
            "margin_used": 10.0, "margin_available": 20.0, "open_positions_count": 1}),
        ),
        ("api_latency", json!({"script_name": "main", "latency_ms": 12.5})),
        ("system_health", json!({"script_name": "main", "status": "healthy"})),
    ]
}

const WITHOUT_REQUIREMENTS: [&str; 17] = [
    "cycle_start",
    "cycle_end",
    "trade_submitted",
    "trade_filled",
    "trade_rejected",
    "decision_made",
    "kill_switch_triggered",
    "daily_loss_warning",
    "drawdown_warning",
    "position_limit_warning",
    "engine_start",
    "engine_stop",
    "error",
    "connection_lost",
    "connection_restored",
    "quote_stale",
    "data_error",
];

#[test]
fn every_known_type_is_accepted_with_what_it_requires_and_with_more() {
    let app = spawn_app(&[]);
    for (kind, payload) in least() {
        app.publish(&json!({"type": kind, "payload": payload}));
        let mut more = payload;
        more["a_key_of_our_own"] = json!({"deep": [1, null]});
        app.publish(&json!({"type": kind, "payload": more}));
    }
    for kind in WITHOUT_REQUIREMENTS {
        app.publish(&json!({"type": kind, "payload": {}}));
    }
}

#[test]
fn each_missing_required_field_is_named() {
    let app = spawn_app(&[]);
    for (kind, payload) in least().into_iter().filter(|(kind, _)| *kind != "engine_heartbeat") {
        let problem = app.post_json(&json!({"type": kind, "payload": {}}).to_string()).expect_problem(422);
        let fields = faulty_fields(&problem).join(" ");
        for (field, _) in payload.as_object().unwrap() {
            assert!(fields.contains(field.as_str()), "{kind}: {field} is not named in {problem}");
            let mut without = payload.clone();
            without.as_object_mut().unwrap().remove(field);
            let problem = app.post_json(&json!({"type": kind, "payload": without}).to_string()).expect_problem(422);
            let fields = faulty_fields(&problem);
            assert!(fields.len() == 1 && fields[0].ends_with(field.as_str()), "{kind} without {field}: {problem}");
        }
    }
}

#[test]
fn fields_of_known_types_are_checked_for_their_type_and_range() {
    let app = spawn_app(&[]);
    let good = least();
    for (kind, field, wrong) in [
        ("signal_event", "symbol", json!(5)),
        ("signal_event", "signal", json!("MAYBE")),
        ("indicator_event", "indicators", json!([1])),
        ("order_event", "status", json!("eaten")),
        ("order_event", "order_id", json!({})),
        ("order_event", "price", json!("19755")),
        ("position_event", "position_size", json!("many")),
        ("engine_health", "metrics", json!("none")),
        ("decision_trace", "trace_data", json!(null)),
        ("universe_scan", "universe_size", json!("two")),
        ("performance_update", "metrics", json!([])),
        ("breakout_signal", "direction", json!("sideways")),
        ("breakout_signal", "bar_strength", json!(1.5)),
        ("breakout_signal", "bar_strength", json!(-0.1)),
        ("trade_closed", "trade_type", json!("boredom")),
        ("trade_closed", "entry_time", json!("noon")),
        ("equity_snapshot", "account_equity", json!("rich")),
        ("api_latency", "latency_ms", json!("fast")),
        ("system_health", "status", json!("fine")),
    ] {
        let mut payload = good.iter().find(|(name, _)| *name == kind).unwrap().1.clone();
        payload[field] = wrong.clone();
        let answer = app.post_json(&json!({"type": kind, "payload": payload}).to_string());
        assert_eq!(answer.status(), 422, "{kind} with {field} {wrong}: {}", answer.text());
        let problem = answer.expect_problem(422);
        assert!(faulty_fields(&problem).iter().any(|name| name.contains(field)), "{kind} with {field} {wrong}: {problem}");
    }
}

#[test]
fn order_states_are_known_in_any_case_and_under_each_name() {
    let app = spawn_app(&[]);
    for status in ["created", "submitted", "FILLED", "Partially_Filled", "rejected", "CANCELLED", "expired", "converted"] {
        let payload = json!({"order_id": "P-1", "symbol": "NIFTY", "side": "SELL", "status": status, "qty": 50});
        app.publish(&json!({"type": "order_event", "payload": payload}));
        assert_eq!(app.events("limit=1")["events"][0]["payload"]["status"], status, "the payload is passed on as it is");
    }
}

#[test]
fn a_position_event_of_the_portfolio_is_a_snapshot_of_all() {
    let app = spawn_app(&[]);
    let snapshot = json!({"symbol": "portfolio", "positions": [{"symbol": "NIFTY", "qty": 50}], "equity": 1e6,
        "total_notional": 5e5, "position_size": 1});
    app.publish(&json!({"type": "position_event", "payload": snapshot}));
}

#[test]
fn other_types_are_accepted_unless_the_config_refuses_them() {
    let app = spawn_app(&[]);
    app.publish(&json!({"type": "weather.report", "payload": {"rain": true}}));
    let strict = spawn_app(&[("telemetry.unknown_types", "reject")]);
    let problem = strict.post_json(r#"{"type":"weather.report","payload":{}}"#).expect_problem(422);
    assert_eq!(faulty_fields(&problem), ["type"]);
    strict.publish(&json!({"type": "cycle_start", "payload": {}}));
}
