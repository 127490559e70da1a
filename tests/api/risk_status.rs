//! `/api/risk/status`: figures of the day, how old they are, and what they allow.

use serde_json::{Value, json};

use crate::harness::{App, eventually, spawn_app};
use crate::http::PATIENCE;

pub const STATUS: &str = "/api/risk/status";

#[track_caller]
pub fn status(app: &App) -> Value {
    app.get(STATUS).expect(200)
}

/// The entry of a limit, of `symbol` if it is given.
pub fn limit<'a>(status: &'a Value, kind: &str, symbol: Option<&str>) -> &'a Value {
    let limits = status["limits"].as_array().expect("limits");
    limits.iter().find(|limit| limit["type"] == kind && limit["symbol"].as_str() == symbol).expect("the limit")
}

pub fn trade(symbol: &str, pnl: f64) -> Value {
    json!({"type": "trade_closed", "source": "fno", "payload": {"symbol": symbol, "trade_type": "breakout", "entry_price": 100.0,
        "exit_price": 99.0, "quantity": 1, "entry_time": "2025-11-18T09:15:00", "exit_time": "2025-11-18T09:30:00", "pnl": pnl}})
}

pub fn stated(realized: f64, unrealized: f64) -> Value {
    json!({"type": "performance_update", "source": "fno", "payload": {"metrics": {"realized_pnl": realized,
        "unrealized_pnl": unrealized, "current_equity": 100_000.0 + realized + unrealized, "starting_capital": 100_000}}})
}

/// Waits until what an earlier run left is known.
#[track_caller]
pub fn rebuilt(app: &App) {
    eventually("the figures are known again", PATIENCE, || status(app)["rebuilding"] == false);
}

#[test]
fn before_an_engine_was_heard_nothing_is_known_and_nothing_is_allowed() {
    let app = spawn_app(&[]);
    rebuilt(&app);
    let status = status(&app);
    assert_eq!(status["state"], "unknown", "{status}");
    assert_eq!(status["trading"]["new_positions_allowed"], false);
    assert_eq!(status["figures"]["daily_pnl"]["value"], Value::Null);
    assert_eq!(status["limits"].as_array().map(Vec::len), Some(5));
    for limit in status["limits"].as_array().expect("limits") {
        assert_eq!((&limit["current"], &limit["state"], &limit["stale"]), (&Value::Null, &json!("unknown"), &json!(true)));
    }
    assert_eq!(app.get("/api/risk/breaches").expect(200), json!([]));
}

#[test]
fn an_acknowledged_event_is_in_the_next_status() {
    let app = spawn_app(&[("risk.starting_capital", "1000")]);
    rebuilt(&app);
    for n in 1..20 {
        app.publish(&trade("NIFTY", -0.1));
        let status = status(&app);
        assert_eq!(status["figures"]["trades"]["value"], n, "{status}");
        assert_eq!(status["trades_per_symbol"]["NIFTY"], n);
    }
    let status = status(&app);
    let loss = limit(&status, "max_daily_loss", None);
    assert_eq!((&loss["current"], &loss["headroom"]), (&json!(1.9), &json!(9998.1)), "{loss}");
    assert_eq!(
        (&loss["field"], &loss["unit"], &loss["source"]),
        (&json!("max_daily_loss_rupees"), &json!("rupees"), &json!("events"))
    );
    assert_eq!(limit(&status, "max_daily_drawdown_pct", None)["current"], json!(0.19));
    assert_eq!(limit(&status, "max_trades_per_symbol_per_day", Some("NIFTY"))["state"], "breached");
    assert_eq!(limit(&status, "max_trades_per_day", None)["state"], "warning");
    assert_eq!(status["state"], "breached");
    let reasons = status["trading"]["reasons"].to_string();
    assert!(reasons.contains("max_trades_per_symbol_per_day of NIFTY") && !reasons.contains("max_trades_per_day "), "{reasons}");
}

#[test]
fn fresh_figures_within_their_limits_allow_new_positions_and_old_ones_do_not() {
    for (stale_after, allowed) in [("1h", true), ("1ms", false)] {
        let app = spawn_app(&[("risk.stale_after", stale_after)]);
        rebuilt(&app);
        app.publish(&stated(10.0, -5.0));
        eventually("figures age", PATIENCE, || status(&app)["trading"]["new_positions_allowed"] == allowed);
        let status = status(&app);
        assert_eq!(status["state"], if allowed { "ok" } else { "unknown" }, "{status}");
        assert_eq!(status["figures"]["daily_pnl"]["value"], 5);
        assert_eq!(status["figures"]["daily_pnl"]["source"], "performance_update");
        assert_eq!(status["figures"]["equity"]["value"], 100_005);
        assert_eq!(status["figures"]["equity"]["stale"], !allowed);
    }
}

#[test]
fn the_file_of_figures_counts_in_both_shapes_and_a_broken_one_is_told() {
    let app = spawn_app(&[("files.poll_interval", "100ms")]);
    rebuilt(&app);
    let folder = app.artifacts().join("analytics");
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |content: &Value| std::fs::write(folder.join("runtime_metrics.json"), content.to_string()).expect("written");
    let now = status(&app)["asof"].clone();
    write(&json!({"asof": now, "mode": "paper", "starting_capital": 1000.0, "current_equity": 880.5, "realized_pnl": -100.25,
        "unrealized_pnl": -19.25, "daily_pnl": -100.25, "max_equity": 1010.0, "min_equity": 880.5, "max_drawdown": 0.01,
        "equity_curve": [{"timestamp": now, "equity": 1010.0}, {"timestamp": now, "equity": 880.5}]}));
    eventually("the flat file counts", PATIENCE, || status(&app)["figures"]["daily_pnl"]["value"] == -119.5);
    let flat = status(&app);
    assert_eq!(flat["figures"]["daily_pnl"]["source"], "runtime_metrics");
    assert_eq!(flat["figures"]["drawdown_pct"]["value"], json!(12.8217821782), "(1010 - 880.5) / 1010");
    write(&json!({"asof": now, "equity": {"starting_capital": 1000.0, "current_equity": 700.0, "realized_pnl": -300.0,
        "unrealized_pnl": 0.0, "max_equity": 1000.0, "min_equity": 700.0, "max_drawdown": 300.0},
        "overall": {"total_trades": 7, "net_pnl": -300.0, "loss_streak": 6}, "per_symbol": {"NIFTY": {"trades": 7}}}));
    eventually("the nested file counts", PATIENCE, || status(&app)["figures"]["trades"]["value"] == 7);
    let nested = status(&app);
    assert_eq!(nested["figures"]["drawdown_pct"]["value"], 30.6930693069, "of the peak that was seen before");
    assert_eq!(nested["figures"]["loss_streak"]["value"], 6);
    assert_eq!(limit(&nested, "max_trades_per_symbol_per_day", Some("NIFTY"))["current"], 7);
    write(&json!({"asof": "2024-08-23T09:59:59Z", "daily_pnl": -9000.0}));
    eventually("a file of another day is set aside", PATIENCE, || status(&app)["uncounted"]["other_days"] == 1);
    assert_eq!(status(&app)["figures"]["daily_pnl"]["value"], -300);
    write(&json!({"daily_pnl": "a lot"}));
    eventually("the broken file is told", PATIENCE, || app.health()["components"]["artifacts"]["broken_files"] == 1);
}

#[test]
fn an_engines_own_kill_switch_is_shown() {
    let app = spawn_app(&[]);
    let id = app.publish(&json!({"type": "KILL_SWITCH_TRIGGERED", "source": "fno", "payload": {"reason": "margin"}}));
    let status = status(&app);
    let kill = &status["engine_kill_switch"];
    assert_eq!((&kill["id"], &kill["source"], &kill["reason"]), (&json!(id), &json!("fno"), &json!("margin")));
}

#[test]
fn the_routes_of_risk_only_read() {
    let app = spawn_app(&[]);
    for target in [STATUS, "/api/risk/breaches"] {
        app.post(target, crate::http::JSON, b"{}").expect(405);
    }
}
