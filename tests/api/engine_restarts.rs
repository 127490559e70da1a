//! What a restart of the service knows of the engines.

use serde_json::json;

use crate::engines::ENGINES;
use crate::harness::{eventually, spawn_app};
use crate::http::{JSON, PATIENCE};
use crate::samples::lines;

#[test]
fn an_engine_that_the_journal_no_longer_tells_of_is_known_from_the_file_that_was_written_for_it() {
    let mut app = spawn_app(&[("journal.durability", "memory")]);
    app.beat("silent", &json!({"pid": 1, "status": "running", "loop_tick": 7, "kind": "execution"})).expect(201);
    app.beat("silent", &json!({"pid": 2})).expect(201);
    app.beat("ended", &json!({"status": "running"})).expect(201);
    app.post(&format!("{ENGINES}/ended/stopped"), JSON, b"").expect(201);
    let read =
        |name: &str| std::fs::read_to_string(app.artifacts().join(format!("telemetry/{name}_engine.json"))).unwrap_or_default();
    eventually("the files are written", PATIENCE, || {
        read("silent").contains("\"restarts\":1") && read("ended").contains("stopped")
    });
    app.kill9();
    app.restart();
    let (silent, ended) = (app.engine("silent"), app.engine("ended"));
    assert_eq!((&silent["state"], &silent["stale"], &ended["state"]), (&json!("stale"), &json!(true), &json!("stopped")));
    let known = ["status", "pid", "loop_tick", "restarts", "kind"].map(|field| silent[field].clone());
    assert_eq!(known, [json!("running"), json!(2), json!(7), json!(1), json!("execution")]);
    assert!(silent["heartbeat_age_seconds"].is_number(), "{silent}");
    assert_eq!(app.events("event_type=engine_heartbeat")["count"], 0, "a file of ours is no beat");
    app.beat("silent", &json!({})).expect(201);
    assert_eq!(app.engine("silent")["state"], "running");
    assert_eq!(app.health()["status"], "ok");
}

#[test]
fn a_list_that_is_not_complete_after_a_restart_says_so() {
    // most of it has to be read from the journal
    let mut app = spawn_app(&[("telemetry.ring_events", "100")]);
    let events: Vec<_> = (0..100_000).map(|n| json!({"type": "tick", "payload": {"n": n}})).collect();
    app.ndjson(&lines(&events)).expect(201);
    app.beat("last", &json!({})).expect(201);
    app.kill9();
    app.restart();
    let list = app.get(ENGINES).expect(200);
    let is_complete = list["engines"].as_array().unwrap().iter().any(|engine| engine["name"] == "last");
    assert_eq!(list.get("rebuilding"), (!is_complete).then_some(&json!(true)), "{list}");
    eventually("it is complete", PATIENCE, || app.get(ENGINES).expect(200).get("rebuilding").is_none());
    app.engine("last");
}
