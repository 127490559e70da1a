//! Trades, breakout signals and equity: figures computed by hand, from events that were posted.

use serde_json::{Value, json};

use crate::harness::{App, EVENTS, Settings, spawn_app};
use crate::ingest::faulty_fields;

/// Days are UTC's, so that a test can be read.
pub const UTC: Settings<'_> = &[("session.timezone", "UTC"), ("journal.durability", "os")];

/// A closed trade of profile 1: its symbol, its times of 2025-11-18, and what else it says.
pub fn trade(symbol: &str, times: (&str, &str), more: Value) -> Value {
    let mut payload = json!({"symbol": symbol, "trade_type": "breakout", "entry_price": 480.1, "exit_price": 481.6,
        "quantity": 10, "entry_time": format!("2025-11-18T{}", times.0), "exit_time": format!("2025-11-18T{}", times.1)});
    for (key, value) in more.as_object().expect("an object") {
        payload[key] = value.clone();
    }
    json!({"type": "trade_closed", "profile_id": 1, "timestamp": "2025-11-18T20:00:00Z", "payload": payload})
}

pub fn signal(symbol: &str, price: f64, time: &str) -> Value {
    json!({"type": "breakout_signal", "profile_id": 1, "timestamp": time, "payload": {"symbol": symbol,
        "direction": "upward", "bar_strength": 0.8, "close_price": price, "candle_size": 2, "volume": 1000}})
}

pub fn snapshot(profile_id: i64, equity: f64, time: &str) -> Value {
    json!({"type": "equity_snapshot", "profile_id": profile_id, "timestamp": time, "payload": {"account_equity": equity,
        "unrealized_pnl": 123.45, "realized_pnl": 111.11, "margin_used": 4520.00, "margin_available": 5480.00,
        "open_positions_count": 3}})
}

/// Five trades of one day, in the order of their exits: +15, -11, +16, +6 (short), +10.
pub fn five() -> Vec<Value> {
    vec![
        signal("SPY", 480.0, "2025-11-18T00:19:00Z"),
        trade("SPY", ("00:20:06", "00:32:06"), json!({"direction": "upward"})),
        trade("SPY", ("01:20:06", "01:33:06"), json!({"entry_price": 481.0, "exit_price": 479.9, "slippage": 0.3})),
        trade("QQQ", ("02:20:06", "02:34:06"), json!({"entry_price": 410.0, "exit_price": 413.2, "quantity": 5})),
        trade(
            "QQQ",
            ("03:20:06", "03:35:06"),
            json!({"entry_price": 412.5, "exit_price": 411.75, "quantity": 8, "direction": "downward"}),
        ),
        trade("SPY", ("04:20:06", "04:36:06"), json!({"pnl": 10.00, "trade_type": "stop_loss"})),
    ]
}

#[track_caller]
pub fn get(app: &App, path: &str) -> Value {
    app.get(&format!("/api/v1/{path}")).expect(200)
}

#[track_caller]
fn assert_figures(answer: &Value, expected: Value) {
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&answer[name], value, "{name} in {answer}");
    }
}

#[test]
fn figures_of_a_day_equal_those_computed_by_hand() {
    let app = spawn_app(UTC);
    app.publish_many(&five());
    app.publish(&snapshot(1, 10_000.0, "2025-11-17T23:59:59Z"));
    let breakout = get(&app, "metrics/breakout/1?as_of=2025-11-18");
    let expected = json!({"profile_id": 1, "days": 7, "from": "2025-11-12", "to": "2025-11-18", "success_rate": 75,
        "avg_slippage": 0.2, "avg_profit_per_trade": 12.333333333333, "total_signals": 1, "total_trades": 4,
        "profitable_trades": 3, "losing_trades": 1, "breakeven_trades": 0, "complete_from": null});
    assert_eq!(breakout, expected, "slippage: (480.1 - 480 + 0.3) / 2");
    let performance = get(&app, "trades/1/performance?as_of=2025-11-18");
    let expected = json!({"profile_id": 1, "days": 30, "from": "2025-10-20", "to": "2025-11-18", "total_trades": 5,
        "winning_trades": 4, "losing_trades": 1, "breakeven_trades": 0, "total_pnl": 36, "avg_pnl": 7.2, "win_rate": 80,
        "avg_win": 11.75, "avg_loss": -11, "gross_profit": 47, "gross_loss": -11, "largest_win": 16, "largest_loss": -11,
        "profit_factor": 4.272727272727, "expectancy": 7.2, "max_drawdown": 11, "max_drawdown_pct": null, "complete_from": null});
    assert_eq!(performance, expected, "no equity is known from before the window");
    let today = get(&app, "trades/1/performance?as_of=2025-11-18&days=1");
    assert_figures(&today, json!({"from": "2025-11-18", "max_drawdown": 11, "max_drawdown_pct": 0.109835247129}));

    let trades = get(&app, "trades/1?as_of=2025-11-18");
    let pnl: Vec<_> = trades.as_array().expect("an array").iter().map(|trade| trade["pnl"].clone()).collect();
    assert_eq!(pnl, [10, 6, 16, -11, 15].map(Value::from), "the latest first");
    let mut first = trades[4].clone();
    assert!(first["id"].take().is_string());
    let expected = json!({"id": null, "profile_id": 1, "symbol": "SPY", "trade_type": "breakout", "direction": "upward",
        "entry_price": 480.1, "exit_price": 481.6, "quantity": 10, "pnl": 15, "pnl_pct": 0.312434909394, "slippage": 0.1,
        "bar_strength": null, "exit_reason": null, "entry_time": "2025-11-18T00:20:06.000000Z",
        "exit_time": "2025-11-18T00:32:06.000000Z", "duration_seconds": 720});
    assert_eq!(first, expected);
    let symbols = |query: &str| get(&app, &format!("trades/1?as_of=2025-11-18&{query}")).as_array().expect("an array").len();
    assert_eq!([symbols("symbol=QQQ"), symbols("symbol=qqq"), symbols("limit=2"), symbols("symbol=SPY&limit=2")], [2, 0, 2, 2]);
}

#[test]
fn equity_is_the_latest_snapshots_and_the_fall_is_in_the_order_of_time() {
    let app = spawn_app(UTC);
    let times = ["09:00", "10:00", "11:00", "12:00"].map(|time| format!("2025-11-18T{time}:00Z"));
    // as they arrive: 110,000 and 105,000 before the fall that came before them
    for (equity, time) in [(110_000.0, 2), (105_000.0, 3), (100_000.0, 0), (50_000.0, 1)] {
        app.publish(&snapshot(1, equity, &times[time]));
    }
    app.publish(&snapshot(1, 200_000.0, "2025-11-19T00:00:00Z"));
    let expected = json!({"profile_id": 1, "as_of": "2025-11-18", "snapshot_time": "2025-11-18T12:00:00.000000Z",
        "current_equity": 105_000, "total_pnl": 234.56, "unrealized_pnl": 123.45, "realized_pnl": 111.11, "margin_used": 4520,
        "margin_available": 5480, "margin_utilization_pct": 45.2, "open_positions_count": 3, "max_drawdown": 50_000,
        "max_drawdown_pct": 50, "recovery_status": "recovered", "complete_from": null});
    assert_eq!(get(&app, "metrics/equity/1?as_of=2025-11-18"), expected);
    let next = get(&app, "metrics/equity/1?as_of=2025-11-19");
    assert_figures(&next, json!({"current_equity": 200_000, "max_drawdown": 50_000, "recovery_status": "new_peak"}));
    app.publish(&snapshot(1, 60_000.0, "2025-11-19T00:00:00Z"));
    let tied = get(&app, "metrics/equity/1?as_of=2025-11-19");
    assert_figures(
        &tied,
        json!({"current_equity": 60_000, "max_drawdown": 140_000, "max_drawdown_pct": 70, "recovery_status": "drawdown"}),
    );
    app.publish(&snapshot(2, 7.5, &times[0]));
    let one = get(&app, "metrics/equity/2?as_of=2025-11-18");
    assert_figures(&one, json!({"current_equity": 7.5, "max_drawdown": 0, "max_drawdown_pct": 0, "recovery_status": "new_peak"}));
}

#[test]
fn what_is_not_known_is_null_and_never_zero() {
    let app = spawn_app(UTC);
    let breakout = get(&app, "metrics/breakout/7");
    assert_figures(
        &breakout,
        json!({"success_rate": null, "avg_slippage": null, "avg_profit_per_trade": null,
        "total_signals": 0, "profitable_trades": 0, "losing_trades": 0}),
    );
    let equity = get(&app, "metrics/equity/7");
    for name in [
        "current_equity",
        "total_pnl",
        "unrealized_pnl",
        "realized_pnl",
        "margin_utilization_pct",
        "max_drawdown",
        "max_drawdown_pct",
        "recovery_status",
    ] {
        assert_eq!(equity[name], Value::Null, "{name}");
    }
    let performance = get(&app, "trades/7/performance");
    assert_figures(
        &performance,
        json!({"total_trades": 0, "total_pnl": null, "avg_pnl": null, "win_rate": null,
        "avg_win": null, "avg_loss": null, "profit_factor": null, "expectancy": null, "max_drawdown": null}),
    );
    assert_eq!(get(&app, "trades/7"), json!([]));
    // a trade of zero: neither won nor lost, and no success
    app.publish(&trade("A", ("09:00:00", "10:00:00"), json!({"pnl": 0})));
    let flat = get(&app, "metrics/breakout/1?as_of=2025-11-18");
    assert_figures(
        &flat,
        json!({"success_rate": 0, "avg_profit_per_trade": null, "profitable_trades": 0, "losing_trades": 0,
        "breakeven_trades": 1}),
    );
}

#[test]
fn the_same_event_counts_once_and_only_for_its_profile() {
    let app = spawn_app(UTC);
    let mut event = trade("NIFTY25NOV24650CE-WEEKLY-X0001", ("09:00:00", "10:00:00"), json!({"pnl": 5.25}));
    event["event_id"] = json!("t-1");
    event["source"] = json!("fno");
    for _ in 0..3 {
        app.publish(&event);
    }
    let ids = [i64::MIN, -1, 0, i64::MAX];
    for profile_id in ids {
        let mut other = trade("käse 🦀", ("09:00:00", "10:00:00"), json!({"pnl": -1}));
        other["profile_id"] = json!(profile_id);
        app.publish(&other);
    }
    let mut nobodys = trade("A", ("09:00:00", "10:00:00"), json!({"pnl": 1000}));
    nobodys.as_object_mut().expect("an object").remove("profile_id");
    app.publish(&nobodys);
    let told = |profile_id: i64| get(&app, &format!("trades/{profile_id}/performance?as_of=2025-11-18"));
    assert_figures(&told(1), json!({"total_trades": 1, "total_pnl": 5.25}));
    for profile_id in ids {
        assert_figures(&told(profile_id), json!({"profile_id": profile_id, "total_trades": 1, "total_pnl": -1}));
    }
    let trades = get(&app, "trades/-1?as_of=2025-11-18&symbol=k%C3%A4se%20%F0%9F%A6%80");
    assert_eq!(trades[0]["symbol"], "käse 🦀");
    assert_eq!(get(&app, "trades/1?as_of=2025-11-18")[0]["symbol"], "NIFTY25NOV24650CE-WEEKLY-X0001");
}

#[test]
fn a_trade_belongs_to_the_trading_day_of_its_exit_in_the_sessions_time_zone() {
    let app = spawn_app(&[("session.timezone", "America/New_York"), ("session.roll_time", "\"17:00\"")]);
    let exits = ["2025-11-02T16:59:59", "2025-11-02T17:00:00", "2025-11-02T22:00:00Z", "2025-11-03T21:59:59.9Z"];
    for exit in exits {
        app.publish(&trade("A", ("09:00:00", "10:00:00"), json!({"exit_time": exit, "pnl": 1})));
    }
    let count = |day: &str| get(&app, &format!("trades/1/performance?days=1&as_of={day}"))["total_trades"].clone();
    assert_eq!(["2025-11-01", "2025-11-02", "2025-11-03", "2025-11-04"].map(count), [0, 1, 3, 0].map(Value::from));
}

#[test]
fn numbers_that_cannot_be_counted_with_are_unknown() {
    let app = spawn_app(UTC);
    app.publish(&trade("A", ("09:00:00", "10:00:00"), json!({"pnl": 1e300, "entry_price": -1e-300})));
    app.publish(&trade("A", ("11:00:00", "10:00:00"), json!({"pnl": 0.1})));
    app.publish(&trade("A", ("09:00:00", "10:00:01"), json!({"pnl": 0.2})));
    let text = app.get("/api/v1/trades/1/performance?as_of=2025-11-18");
    assert!(text.text().contains(r#""total_pnl":0.3,"avg_pnl":0.15,"#), "exact: {}", text.text());
    assert_figures(&text.json(), json!({"total_trades": 3, "winning_trades": 2, "win_rate": 100}));
    for exit in ["9999-12-31T23:59:59.999999Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59"] {
        app.publish(&trade("A", ("09:00:00", "10:00:00"), json!({"exit_time": exit})));
    }
    let trades = get(&app, "trades/1?as_of=2025-11-18");
    assert_eq!((&trades[1]["duration_seconds"], &trades[2]["pnl"]), (&Value::Null, &Value::Null), "{trades}");
}

#[test]
fn bad_paths_and_parameters_are_told_all_at_once() {
    let app = spawn_app(UTC);
    for path in
        ["metrics/breakout/abc", "metrics/equity/1.5", "trades/9223372036854775808", "trades/+1/performance", "trades/%00"]
    {
        app.get(&format!("/api/v1/{path}")).expect_problem(400);
    }
    let problem = app.get("/api/v1/trades/1?days=0&limit=1001&as_of=yesterday").expect_problem(422);
    assert_eq!(faulty_fields(&problem), ["days", "as_of", "limit"]);
    app.get("/api/v1/metrics/breakout/1?days=366").expect_problem(422);
    let answer = app.post("/api/v1/trades/1", crate::http::JSON, b"{}");
    answer.expect_problem(405);
    for as_of in ["0000-01-01", "9999-12-31"] {
        get(&app, &format!("trades/1/performance?days=365&as_of={as_of}"));
    }
}

#[test]
fn whoever_asks_sees_all_that_was_acknowledged_before() {
    let app = spawn_app(&[("analytics.flush_interval", "1h"), ("analytics.batch_size", "100000"), ("session.timezone", "UTC")]);
    let mut connection = app.connect();
    for number in 1..=100 {
        let event = trade("A", ("09:00:00", "10:00:00"), json!({"pnl": 1}));
        connection.post(EVENTS, crate::http::JSON, event.to_string().as_bytes()).expect("an answer").expect(201);
        let answer = connection.exchange("GET", "/api/v1/trades/1/performance?as_of=2025-11-18", &[], b"");
        assert_eq!(answer.expect("an answer").expect(200)["total_pnl"], number);
    }
}
