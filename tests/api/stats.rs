//! `GET /api/telemetry/stats`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{eventually, spawn_app};
use crate::samples::ticks;
use crate::sse::order;

#[test]
fn stats_tell_what_the_ring_holds() {
    let app = spawn_app(&[("telemetry.ring_events", "100")]);
    let empty = app.stats();
    assert_eq!((&empty["total_events"], &empty["published_total"]), (&json!(0), &json!(0)), "{empty}");
    assert_eq!((&empty["event_types"], &empty["event_counts"]), (&json!([]), &json!({})), "{empty}");
    for field in ["oldest_id", "newest_id"] {
        assert_eq!(empty[field], Value::Null, "{empty}");
    }

    app.publish_many(&ticks(0..60));
    app.publish(&json!({"type": "cycle_end", "payload": {}}));
    app.publish(&json!({"type": "cycle_start", "payload": {}}));
    app.publish(&json!({"type": "cycle_end", "payload": {}}));
    let stats = app.stats();
    assert_eq!((&stats["total_events"], &stats["buffer_size"]), (&json!(63), &json!(100)), "{stats}");
    assert_eq!(stats["event_types"], json!(["cycle_end", "cycle_start", "tick"]), "sorted");
    assert_eq!(stats["event_counts"], json!({"cycle_end": 2, "cycle_start": 1, "tick": 60}));
    let all = app.all_ids("");
    assert_eq!((&stats["oldest_id"], &stats["newest_id"]), (&json!(all[0]), &json!(all[62])));
    assert!(stats["events_per_second"].is_number(), "{stats}");
    assert!(stats["journal"].is_object(), "{stats}");
    assert!(!stats["dropped"].is_null(), "{stats}");
}

#[test]
fn the_ring_is_bounded_by_number_and_stats_follow() {
    let app = spawn_app(&[("telemetry.ring_events", "100")]);
    app.publish(&json!({"type": "cycle_end", "payload": {}}));
    app.publish_many(&ticks(0..250));
    let (stats, all) = (app.stats(), app.all_ids(""));
    assert_eq!((&stats["total_events"], &stats["published_total"]), (&json!(100), &json!(251)), "{stats}");
    assert_eq!(stats["event_counts"], json!({"tick": 100}), "what left the ring is not counted");
    assert_eq!((&stats["oldest_id"], &stats["newest_id"]), (&json!(all[151]), &json!(all[250])));
}

#[test]
fn the_ring_is_bounded_by_bytes_too() {
    let app = spawn_app(&[("telemetry.ring_bytes", "1MiB")]);
    let pad = "x".repeat(10_000);
    let events: Vec<_> = (0..300).map(|n| json!({"type": "tick", "payload": {"n": n, "pad": pad}})).collect();
    app.publish_many(&events);
    let held = app.stats()["total_events"].as_u64().unwrap();
    assert!((50..=105).contains(&held), "{held} events of 10 kB in a ring of 1 MiB");
    assert_eq!(app.all_ids("").len(), 300, "the journal has them all");
}

#[test]
fn subscribers_are_the_streams_that_are_open() {
    let app = spawn_app(&[]);
    assert_eq!(app.subscribers(), 0);
    let mut streams: Vec<_> = (0..10).map(|_| app.stream("")).collect();
    streams.iter_mut().for_each(|stream| drop(stream.block()));
    assert_eq!(app.subscribers(), 10);
    assert_eq!(app.health()["components"]["sse"]["clients"], 10);
    streams.truncate(3);
    eventually("seven are gone", Duration::from_secs(2), || app.subscribers() == 3);
}

#[test]
fn ids_in_stats_are_those_of_the_newest_publish() {
    let app = spawn_app(&[]);
    let first = app.publish(&ticks(0..1)[0]);
    let second = app.publish(&ticks(1..2)[0]);
    let stats = app.stats();
    assert!(order(&second) > order(&first));
    assert_eq!((&stats["oldest_id"], &stats["newest_id"]), (&json!(first), &json!(second)));
}
