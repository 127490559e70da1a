//! `GET /api/telemetry/aggregates`: counts per bucket of the events' own time.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::harness::{App, spawn_app};
use crate::ingest::faulty_fields;
use crate::samples;

const AGGREGATES: &str = "/api/telemetry/aggregates";

/// 2025-11-18T07:00:00Z
const HOUR: i64 = 1_763_449_200;

fn text(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap().to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn ask(app: &App, query: &str) -> Value {
    app.get(&format!("{AGGREGATES}?{query}")).expect(200)
}

/// Generated events spread over three hours.
fn spread(count: usize) -> Vec<Value> {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut events = samples::events(6, count);
    for event in &mut events {
        event["timestamp"] = json!(text(HOUR + rng.i64(0..3 * 3600)));
    }
    events
}

fn seconds(event: &Value) -> i64 {
    event["timestamp"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap().timestamp()
}

#[test]
fn counts_equal_a_naive_count_for_every_bucket_and_grouping() {
    let app = spawn_app(&[("telemetry.ring_events", "50")]);
    let events = spread(700);
    app.publish_many(&events);
    let (from, until) = (HOUR + 600, HOUR + 2 * 3600);
    for (bucket, width) in [("1s", 1), ("10s", 10), ("1m", 60), ("5m", 300), ("15m", 900), ("1h", 3600), ("1d", 86_400)] {
        for group in ["type", "symbol", "strategy", "source"] {
            let mut expected = BTreeMap::<i64, (u64, BTreeMap<String, u64>)>::new();
            for event in events.iter().filter(|event| (from..until).contains(&seconds(event))) {
                let entry = expected.entry(seconds(event) / width * width).or_default();
                entry.0 += 1;
                let payload = &event["payload"];
                let name = match group {
                    "type" | "source" => &event[group],
                    "strategy" if payload["strategy"].is_null() => &payload["strategy_name"],
                    _ => &payload[group],
                };
                if let Some(name) = name.as_str() {
                    *entry.1.entry(name.to_owned()).or_default() += 1;
                }
            }
            let query = format!("bucket={bucket}&group_by={group}&since_ts={}&until_ts={}", text(from), text(until));
            let answer = ask(&app, &query);
            assert_eq!((&answer["bucket"], &answer["group_by"]), (&json!(bucket), &json!(group)));
            assert_eq!((&answer["since_ts"], &answer["until_ts"]), (&json!(text(from)), &json!(text(until))));
            let buckets = answer["buckets"].as_array().unwrap();
            assert_eq!(buckets.len(), expected.len(), "empty buckets are left out");
            for (bucket, (ts, (total, names))) in buckets.iter().zip(&expected) {
                assert_eq!((&bucket["ts"], &bucket["total"]), (&json!(text(*ts)), &json!(total)), "{query}");
                let mut counts = bucket["counts"].as_object().unwrap().clone();
                counts.retain(|name, _| names.contains_key(name));
                assert_eq!(json!(counts), json!(names), "{query}: {bucket}");
            }
        }
    }
}

#[test]
fn by_default_the_last_hour_is_counted_by_the_minute_without_groups() {
    let app = spawn_app(&[]);
    app.publish_many(&samples::ticks(0..30));
    app.publish(&json!({"type": "tick", "timestamp": text(HOUR), "payload": {}}));
    let answer = ask(&app, "");
    assert_eq!((&answer["bucket"], &answer["group_by"]), (&json!("1m"), &Value::Null), "{answer}");
    let buckets = answer["buckets"].as_array().unwrap();
    assert_eq!(buckets.iter().map(|bucket| bucket["total"].as_u64().unwrap()).sum::<u64>(), 30, "{answer}");
    assert!(buckets.iter().all(|bucket| bucket["counts"] == json!({})), "{answer}");
}

#[test]
fn a_fault_of_a_parameter_is_refused_by_its_name() {
    let app = spawn_app(&[]);
    for (field, value) in [
        ("bucket", "0s"),
        ("bucket", "2d"),
        ("bucket", "500ms"),
        ("bucket", "soon"),
        ("bucket", "1e999s"),
        ("bucket", "-1m"),
        ("group_by", "colour"),
        ("since_ts", "noon"),
        ("until_ts", "NaN"),
    ] {
        let answer = app.get(&format!("{AGGREGATES}?{field}={value}"));
        assert_eq!(answer.status(), 422, "{field}={value}: {}", answer.text());
        assert!(faulty_fields(&answer.expect_problem(422)).contains(&field), "{field}={value}: {}", answer.text());
    }
}
