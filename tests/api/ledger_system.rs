//! `/api/v1/metrics/system`: the scripts of a profile.

use serde_json::{Value, json};

use crate::harness::{App, spawn_app};

const SYSTEM: &str = "/api/v1/metrics/system";

#[track_caller]
fn ask(app: &App, target: &str) -> Vec<Value> {
    app.get(&format!("{SYSTEM}/{target}")).expect(200).as_array().expect("an array").clone()
}

fn health(at: &str, script: &str, status: &str, more: &Value) -> Value {
    let mut payload = json!({"script_name": script, "status": status});
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"type": "system_health", "timestamp": at, "profile_id": 1, "payload": payload})
}

fn latency(at: &str, script: &str, ms: f64) -> Value {
    json!({"type": "api_latency", "timestamp": at, "profile_id": 1, "payload": {"script_name": script, "latency_ms": ms}})
}

#[test]
fn a_script_is_as_its_last_health_says_and_what_that_does_not_say_is_null() {
    let app = spawn_app(&[]);
    assert_eq!(ask(&app, "1"), Vec::<Value>::new());
    let figures = json!({"api_rate_limit_remaining": 180, "api_rate_limit_limit": 200, "api_error_count": 2, "error_count": 3,
        "warning_count": 1, "cpu_usage_pct": 12.5, "memory_usage_mb": 0.1});
    app.publish_many(&[
        health("2025-11-18T07:00:02Z", "order_monitor", "DEGRADED", &figures),
        health("2025-11-18T07:00:01Z", "order_monitor", "healthy", &json!({"error_count": 99})),
        latency("2025-11-18T07:00:00Z", "a_first", 7.5),
        health("2025-11-18T07:00:00Z", "z_last", "error", &json!({})),
    ]);
    let scripts = ask(&app, "1?as_of=2025-11-18");
    let expected = json!([
        {"profile_id": 1, "script_name": "a_first", "status": null, "api_latency_avg_ms": 7.5, "api_latency_p95_ms": 7.5,
         "api_latency_p99_ms": 7.5, "latency_samples": 1, "rate_limit_remaining": null, "rate_limit_limit": null,
         "error_count": null, "api_error_count": null, "warning_count": null, "cpu_usage_pct": null, "memory_usage_mb": null,
         "last_seen": "2025-11-18T07:00:00.000000Z"},
        {"profile_id": 1, "script_name": "order_monitor", "status": "degraded", "api_latency_avg_ms": null,
         "api_latency_p95_ms": null, "api_latency_p99_ms": null, "latency_samples": 0, "rate_limit_remaining": 180,
         "rate_limit_limit": 200, "error_count": 3, "api_error_count": 2, "warning_count": 1, "cpu_usage_pct": 12.5,
         "memory_usage_mb": 0.1, "last_seen": "2025-11-18T07:00:02.000000Z"},
        {"profile_id": 1, "script_name": "z_last", "status": "error", "api_latency_avg_ms": null, "api_latency_p95_ms": null,
         "api_latency_p99_ms": null, "latency_samples": 0, "rate_limit_remaining": null, "rate_limit_limit": null,
         "error_count": null, "api_error_count": null, "warning_count": null, "cpu_usage_pct": null, "memory_usage_mb": null,
         "last_seen": "2025-11-18T07:00:00.000000Z"},
    ]);
    assert_eq!(json!(scripts), expected);
    assert_eq!(ask(&app, "2?as_of=2025-11-18"), Vec::<Value>::new());
    assert_eq!(ask(&app, "1?as_of=2025-11-17"), Vec::<Value>::new());
    assert_eq!(ask(&app, "1?as_of=2025-11-18&script_name=z_last"), [scripts[2].clone()]);
    assert_eq!(ask(&app, "1?as_of=2025-11-18&script_name=Z_LAST"), Vec::<Value>::new());
    let today = ask(&app, "1");
    assert_eq!(today.len(), 3, "a script stays known");
    assert_eq!(today[0]["api_latency_avg_ms"], Value::Null, "but its latencies are out of the window");
    assert_eq!(today[1]["status"], "degraded");
}

#[test]
fn of_one_instant_the_later_arrival_counts_and_a_past_day_knows_nothing_of_the_next() {
    let app = spawn_app(&[]);
    app.publish_many(&[
        health("2025-11-18T07:00:00Z", "s", "healthy", &json!({"error_count": 0})),
        health("2025-11-18T07:00:00Z", "s", "error", &json!({"error_count": 5})),
        health("2025-11-19T07:00:00Z", "s", "healthy", &json!({})),
    ]);
    let status = |as_of: &str| {
        let script = ask(&app, &format!("1?as_of={as_of}")).remove(0);
        (script["status"].clone(), script["error_count"].clone())
    };
    assert_eq!(status("2025-11-18"), (json!("error"), json!(5)));
    assert_eq!(status("2025-11-19"), (json!("healthy"), Value::Null));
}

#[test]
fn names_of_any_kind_are_found_again_and_the_health_of_a_script_survives_a_kill() {
    let mut app = spawn_app(&[("journal.durability", "fsync")]);
    let long = format!("{}-monitor", "x".repeat(1000));
    let names = ["मुंबई 🚢", "'; drop table dd_scripts; --", "#hash", &long, "a/b?c=d&e", "nul\u{0}nul"];
    let events: Vec<Value> = names.iter().map(|name| health("2025-11-18T07:00:00Z", name, "healthy", &json!({}))).collect();
    app.publish_many(&events);
    app.kill9();
    app.restart();
    let mut sorted: Vec<&str> = names.to_vec();
    sorted.sort_unstable();
    let found: Vec<Value> = ask(&app, "1").into_iter().map(|script| script["script_name"].clone()).collect();
    assert_eq!(found, sorted);
    for name in names {
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = ask(&app, &format!("1?script_name={escaped}"));
        assert_eq!((found.len(), found[0]["script_name"].as_str()), (1, Some(name)));
    }
    let refused = health("2025-11-18T07:00:00Z", "", "healthy", &json!({}));
    assert_eq!(app.post_json(&refused.to_string()).status(), 422);
    app.assert_unhurt();
}

#[test]
fn at_most_a_thousand_scripts_are_told_those_heard_of_last() {
    let app = spawn_app(&[]);
    let events: Vec<Value> = (0..1_200)
        .map(|number| {
            let at = format!("2025-11-18T07:{:02}:{:02}Z", number / 60, number % 60);
            health(&at, &format!("s{number:04}"), "healthy", &json!({}))
        })
        .collect();
    app.publish_many(&events);
    let scripts = ask(&app, "1?as_of=2025-11-18");
    assert_eq!((scripts.len(), scripts[0]["script_name"].as_str()), (1_000, Some("s0200")));
    assert_eq!(ask(&app, "1?as_of=2025-11-18&script_name=s0000").len(), 1);
    for path in ["one", "1.5"] {
        assert_eq!(app.get(&format!("{SYSTEM}/{path}")).status(), 400, "{path}");
    }
}
