//! Another trading day after a restart: orders, latencies and health, with the journal and without it.

use serde_json::{Value, json};

use crate::harness::{App, spawn_app};
use crate::ledger::{UTC, get};

fn event(kind: &str, at: &str, payload: &Value) -> Value {
    json!({"type": kind, "timestamp": format!("2025-11-18T{at}Z"), "source": "fno", "profile_id": 1, "payload": payload})
}

/// An order, a script's calls and its health on both sides of a quarter past eight in the evening.
fn evening() -> Vec<Value> {
    let order = |status: &str| json!({"order_id": "1", "symbol": "SPY", "side": "BUY", "status": status});
    let call = |ms: u32| json!({"script_name": "s", "latency_ms": ms});
    let health = |status: &str| json!({"script_name": "s", "status": status});
    vec![
        event("order_event", "20:00:00", &order("submitted")),
        event("api_latency", "20:00:00", &call(10)),
        event("system_health", "20:00:00", &health("degraded")),
        event("order_event", "20:30:00", &order("filled")),
        event("api_latency", "20:30:00", &call(30)),
        event("system_health", "20:30:00", &health("healthy")),
    ]
}

/// Of 18 November and the day behind it: open and filled orders, calls of the day, and how the script was.
fn told(app: &App) -> [Value; 2] {
    ["2025-11-18", "2025-11-19"].map(|day| {
        let orders = get(app, &format!("metrics/orders/1?as_of={day}"));
        let scripts = get(app, &format!("metrics/system/1?as_of={day}"));
        json!([orders["open_orders"], orders["filled_orders"], orders["latency_samples"], scripts[0]["status"]])
    })
}

fn restart_with_roll_time(app: &mut App, roll: &str) {
    assert_eq!(app.terminate(), Some(0));
    let config = app.folder().join("config.yaml");
    std::fs::write(&config, format!("session:\n  timezone: UTC\n  roll_time: \"{roll}\"\n")).unwrap();
    app.restart();
}

#[test]
fn another_roll_time_tells_orders_and_health_anew_from_the_journal_and_keeps_days_of_latencies_together() {
    let mut app = spawn_app(UTC);
    app.publish_many(&evening());
    let before = told(&app);
    assert_eq!(before, [json!([0, 1, 2, "healthy"]), json!([0, 1, 0, "healthy"])]);
    restart_with_roll_time(&mut app, "20:15");
    assert_eq!(told(&app), [json!([1, 0, 0, "degraded"]), json!([0, 1, 2, "healthy"])]);
    assert_eq!(app.health()["components"]["ledger"]["status"], "ok");
    restart_with_roll_time(&mut app, "00:00");
    assert_eq!(told(&app), before);
}

#[test]
fn another_roll_time_loses_nothing_that_only_the_ledger_has() {
    let mut app = spawn_app(UTC);
    app.publish_many(&evening());
    let before = told(&app);
    app.kill9();
    app.restart();
    assert_eq!(told(&app), before);
    assert_eq!(app.terminate(), Some(0));
    std::fs::remove_dir_all(app.artifacts().join("journal")).unwrap();
    app.restart();
    restart_with_roll_time(&mut app, "20:15");
    assert_eq!(told(&app), [json!([0, 0, 0, null]), json!([0, 1, 2, "healthy"])], "of what was last of each day");
    restart_with_roll_time(&mut app, "00:00");
    assert_eq!(told(&app), before);
    assert_eq!(app.health()["components"]["ledger"]["status"], "ok");
}
