//! `/api/v1/metrics/orders`: orders by their last status, and the latencies of a profile.

use serde_json::{Value, json};

use crate::harness::{App, spawn_app};
use crate::ingest::faulty_fields;

const ORDERS: &str = "/api/v1/metrics/orders";

#[track_caller]
fn ask(app: &App, target: &str) -> Value {
    app.get(&format!("{ORDERS}/{target}")).expect(200)
}

fn order(at: &str, id: &str, status: &str, order_type: &str) -> Value {
    let payload = json!({"order_id": id, "symbol": "BANKNIFTY24NOV52000CE-LONG-ONE", "side": "BUY", "status": status, "order_type": order_type});
    json!({"type": "order_event", "timestamp": at, "source": "fno", "profile_id": 1, "payload": payload})
}

fn latency(at: &str, script: &str, ms: f64) -> Value {
    json!({"type": "api_latency", "timestamp": at, "profile_id": 1, "payload": {"script_name": script, "latency_ms": ms}})
}

/// Total, filled, cancelled and open orders.
fn counts(answer: &Value) -> [&Value; 4] {
    ["total_orders", "filled_orders", "canceled_orders", "open_orders"].map(|name| &answer[name])
}

#[test]
fn a_profile_without_events_has_counts_of_zero_and_figures_of_null() {
    let app = spawn_app(&[]);
    let answer = ask(&app, "7");
    assert_eq!(answer["profile_id"], 7);
    assert_eq!(counts(&answer), [0, 0, 0, 0]);
    for unknown in ["conversion_rate", "avg_api_latency_ms", "p95_api_latency_ms", "p99_api_latency_ms"] {
        assert_eq!(answer.get(unknown), Some(&Value::Null), "{unknown}");
    }
}

#[test]
fn orders_are_counted_once_by_their_last_status_in_any_case_and_order() {
    let app = spawn_app(&[]);
    let at = |second: u32| format!("2025-11-18T07:00:{second:02}Z");
    app.publish_many(&[
        order(&at(3), "1", "FILLED", "LIMIT"),
        order(&at(1), "1", "submitted", "LIMIT"),
        order(&at(2), "1", "Partially_Filled", "LIMIT"),
        order(&at(1), "2", "created", "LIMIT"),
        order(&at(2), "2", "converted", "MARKET"),
        order(&at(3), "2", "filled", "MARKET"),
        order(&at(1), "3", "submitted", "LIMIT"),
        order(&at(2), "3", "CANCELLED", "LIMIT"),
        order(&at(1), "4", "canceled", "MARKET"),
        order(&at(1), "5", "rejected", ""),
        order(&at(1), "6", "expired", "LIMIT"),
        order(&at(1), "7", "partially_filled", ""),
        order(&at(1), "8", "submitted", ""),
    ]);
    let answer = ask(&app, "1");
    assert_eq!(counts(&answer), [8, 2, 2, 1]);
    let others = ["rejected_orders", "expired_orders", "partially_filled_orders", "limit_orders", "converted_orders"];
    assert_eq!(others.map(|name| &answer[name]), [1, 1, 1, 4, 1]);
    assert_eq!(answer["conversion_rate"], 25);
}

#[test]
fn profiles_and_sources_are_told_apart_and_a_repeated_post_counts_once() {
    let app = spawn_app(&[]);
    let mut first = order("2025-11-18T07:00:00Z", "1", "filled", "");
    first["event_id"] = json!("a");
    let mut other = order("2025-11-18T07:00:00Z", "1", "filled", "");
    other["source"] = json!("equity");
    let mut nobodys = order("2025-11-18T07:00:00Z", "9", "filled", "");
    nobodys.as_object_mut().unwrap().remove("profile_id");
    let mut low = order("2025-11-18T07:00:00Z", "1", "cancelled", "");
    low["profile_id"] = json!(i64::MIN);
    app.publish(&first);
    app.publish(&first);
    app.publish_many(&[other, nobodys, low]);
    assert_eq!(counts(&ask(&app, "1")), [2, 2, 0, 0]);
    assert_eq!(counts(&ask(&app, "-9223372036854775808")), [1, 0, 1, 0]);
    assert_eq!(counts(&ask(&app, "0")), [0, 0, 0, 0]);
}

#[test]
fn an_order_over_midnight_is_one_and_a_past_day_knows_nothing_of_the_next() {
    let app = spawn_app(&[("session.timezone", "America/New_York")]);
    // 23:59:59 and 00:00:00 in New York, where the clocks were set back that day
    app.publish_many(&[
        order("2025-11-03T04:59:59Z", "1", "submitted", "LIMIT"),
        order("2025-11-03T05:00:00Z", "1", "filled", "MARKET"),
        order("2025-11-03T05:00:00Z", "2", "submitted", "LIMIT"),
    ]);
    assert_eq!(counts(&ask(&app, "1?as_of=2025-11-01")), [0, 0, 0, 0]);
    assert_eq!(counts(&ask(&app, "1?as_of=2025-11-02")), [1, 0, 0, 1]);
    assert_eq!(counts(&ask(&app, "1?as_of=2025-11-03")), [2, 1, 0, 1]);
    assert_eq!(counts(&ask(&app, "1?as_of=2025-11-03&days=1")), [1, 0, 0, 1]);
    assert_eq!(counts(&ask(&app, "1?as_of=2025-11-03&days=2")), [2, 1, 0, 1]);
    assert_eq!(counts(&ask(&app, "1")), [2, 1, 0, 1]);
    assert_eq!(ask(&app, "1?as_of=2025-11-02")["conversion_rate"], 0);
    assert_eq!(ask(&app, "1")["conversion_rate"], 50);
}

#[test]
fn latencies_are_those_of_the_day_that_is_asked_for_by_nearest_rank() {
    let app = spawn_app(&[]);
    let mut events: Vec<Value> = (1..=20).map(|ms| latency("2025-11-18T07:00:00Z", "order_monitor", f64::from(ms))).collect();
    events.push(latency("2025-11-18T07:00:00Z", "other", 1000.25));
    events.push(latency("2025-11-17T07:00:00Z", "order_monitor", 500.0));
    let mut placed = order("2025-11-18T07:00:00Z", "1", "filled", "");
    placed["payload"]["api_latency_ms"] = json!(2000);
    events.push(placed);
    app.publish_many(&events);
    let figures = |target: &str| {
        let answer = ask(&app, target);
        ["avg_api_latency_ms", "p95_api_latency_ms", "p99_api_latency_ms"].map(|name| answer[name].as_f64())
    };
    assert_eq!(figures("1?as_of=2025-11-18&script_name=order_monitor"), [Some(10.5), Some(19.0), Some(20.0)]);
    assert_eq!(figures("1?as_of=2025-11-18&script_name=other"), [Some(1000.25); 3]);
    let all = (210.0 + 1000.25 + 2000.0) / 22.0;
    assert_eq!(figures("1?as_of=2025-11-18"), [Some(all), Some(1000.25), Some(2000.0)]);
    assert_eq!(figures("1?as_of=2025-11-18&days=2&script_name=order_monitor")[2], Some(500.0));
    assert_eq!(figures("1?as_of=2025-11-18&script_name=nobody"), [None; 3]);
    assert_eq!(figures("1"), [None; 3], "nothing within the window");
    assert_eq!(counts(&ask(&app, "1?as_of=2025-11-18&script_name=nobody")), [1, 1, 0, 0], "it is about latencies alone");
}

#[test]
fn without_a_day_the_window_slides_and_survives_restarts_and_a_kill() {
    let mut app = spawn_app(&[("journal.durability", "fsync")]);
    let sample = |ms: u32| json!({"type": "api_latency", "profile_id": 1, "payload": {"script_name": "s", "latency_ms": ms}});
    app.publish_many(&[sample(10), sample(20)]);
    let figures = |app: &App| {
        let answer = ask(app, "1");
        (answer["avg_api_latency_ms"].as_f64(), answer["latency_samples"].as_u64())
    };
    assert_eq!(figures(&app), (Some(15.0), Some(2)));
    assert_eq!(app.terminate(), Some(0));
    app.restart();
    assert_eq!(figures(&app), (Some(15.0), Some(2)));
    app.publish_many(&[sample(30), order("2025-11-18T07:00:00Z", "1", "filled", "")]);
    app.kill9();
    app.restart();
    assert_eq!(figures(&app), (Some(20.0), Some(3)));
    assert_eq!(counts(&ask(&app, "1")), [1, 1, 0, 0]);
    assert_eq!(app.terminate(), Some(0));
    std::fs::remove_dir_all(app.artifacts().join("ledger")).unwrap();
    app.restart();
    assert_eq!(figures(&app), (Some(20.0), Some(3)), "made anew of the journal");
    assert_eq!(counts(&ask(&app, "1")), [1, 1, 0, 0]);
}

#[test]
fn bad_questions_are_refused_with_all_their_faults() {
    let app = spawn_app(&[]);
    let refused = app.get(&format!("{ORDERS}/1?days=0&as_of=yesterday"));
    assert_eq!(faulty_fields(&refused.expect(422)), ["days", "as_of"]);
    for path in ["one", "1.5", "9223372036854775808", "%20"] {
        assert_eq!(app.get(&format!("{ORDERS}/{path}")).status(), 400, "{path}");
    }
    assert_eq!(app.post(&format!("{ORDERS}/1"), "application/json", b"{}").status(), 405);
    let off = spawn_app(&[("analytics.enabled", "false")]);
    let answer = off.get(&format!("{ORDERS}/1")).expect(503);
    assert!(answer["detail"].as_str().unwrap().contains("analytics.enabled"), "{answer}");
}

#[test]
fn hostile_values_are_counted_or_left_out_and_hurt_nothing() {
    let app = spawn_app(&[]);
    let at = "2025-11-18T07:00:00Z";
    let mut events: Vec<Value> = ["1e300", "0", "1e-30", "-5"]
        .iter()
        .map(|ms| {
            let mut event = latency(at, "s", 0.0);
            event["payload"]["latency_ms"] = serde_json::from_str(ms).unwrap();
            event
        })
        .collect();
    let long = "ordré-".repeat(100);
    events.push(order(at, &long, "filled", "LIMIT"));
    events.push(order(at, &format!("{long}x"), "filled", "'); drop table dd_orders; --"));
    events.push(order("0000-01-01T00:00:00Z", "old", "filled", ""));
    events.push(order("9999-12-31T23:59:59.999999Z", "new", "filled", ""));
    app.publish_many(&events);
    let answer = ask(&app, "1?as_of=2025-11-18");
    assert_eq!(counts(&answer), [3, 3, 0, 0]);
    let latencies = ["latency_samples", "latency_clamped"].map(|name| answer[name].as_u64());
    assert_eq!((latencies, answer["p99_api_latency_ms"].as_f64()), ([Some(3), Some(1)], Some(86_400_000.0)));
    assert_eq!(counts(&ask(&app, "1?as_of=9999-12-31")), [3, 3, 0, 0], "the last instant is of the next year in Kolkata");
    assert_eq!(counts(&ask(&app, "1?as_of=0001-01-01")), [1, 1, 0, 0]);
    app.assert_unhurt();
}
