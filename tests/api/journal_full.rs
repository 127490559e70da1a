//! A full disk: posts are answered 503, readiness goes off, and the service comes back by itself.
//!
//! A limit on the size of files (`RLIMIT_FSIZE`, set from outside with `prlimit`) stands for the disk without room.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{App, EVENTS, eventually, spawn_app_that_survives_a_full_disk};
use crate::http::JSON;
use crate::samples::{tick, ticks};

const BACK_WITHIN: Duration = Duration::from_secs(15);

fn limit_files(app: &App, bytes: &str) {
    let limit = format!("--fsize={bytes}:");
    let done = Command::new("prlimit").args(["--pid", &app.pid().to_string(), &limit]).status().expect("prlimit");
    assert!(done.success());
}

/// Size of the largest file of the journal.
fn largest_file(app: &App) -> u64 {
    let files = std::fs::read_dir(app.artifacts().join("journal")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).max().unwrap()
}

#[track_caller]
fn assert_ids_are(app: &App, expected: &[String]) {
    assert_eq!(app.all_ids(""), expected);
}

#[test]
fn a_full_disk_turns_posts_away_and_the_service_comes_back_by_itself() {
    let mut app = spawn_app_that_survives_a_full_disk(&[("sse.heartbeat", "100ms")]);
    let mut stream = app.stream("");
    stream.block();
    let mut kept = vec![app.publish(&tick(0)), app.publish(&tick(1))];
    assert_eq!(stream.ids(2), kept);

    limit_files(&app, "1");
    for number in 2..6 {
        let answer = app.post_json(&tick(number).to_string());
        let problem = answer.expect_problem(503);
        let wait: u64 = answer.header("retry-after").expect("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        assert!(!problem.to_string().contains(app.folder().to_str().unwrap()), "no path of the host in {problem}");
    }
    app.post_json(&json!(ticks(6..20)).to_string()).expect_problem(503);
    assert_eq!(app.get("/health/ready").status(), 503);
    assert_eq!(app.get("/health/live").status(), 200, "a restart would not help");
    let health = app.get("/health").json();
    assert!(matches!(health["status"].as_str(), Some("failing" | "degraded")), "{health}");
    assert_ids_are(&app, &kept);
    (0..3).for_each(|_| assert!(!stream.block().is_event(), "what was refused is not streamed"));

    limit_files(&app, "unlimited");
    eventually("ready again without being posted to", BACK_WITHIN, || app.get("/health/ready").status() == 200);
    kept.push(app.publish(&tick(20)));
    assert_eq!(stream.event().id(), kept[2]);
    // the ledger had no room either, and tries again by itself
    eventually("all is well again", BACK_WITHIN, || app.get("/health").json()["status"] == "ok");
    assert_ids_are(&app, &kept);
    app.kill9();
    app.restart();
    assert_ids_are(&app, &kept);
}

#[test]
fn a_disk_that_fills_up_under_load_loses_nothing_that_was_acknowledged() {
    let mut app = spawn_app_that_survives_a_full_disk(&[("telemetry.ring_events", "100")]);
    let pad = "x".repeat(2000);
    let batch = |from: u64| -> Vec<Value> {
        (from..from + 20).map(|n| json!({"type": "tick", "payload": {"n": n, "pad": pad}})).collect()
    };
    let mut acknowledged: Vec<u64> = Vec::new();
    let mut from = 0;
    for _ in 0..2 {
        limit_files(&app, &(largest_file(&app) + 300_000).to_string());
        let mut connection = app.connect();
        loop {
            let body = json!(batch(from)).to_string();
            let answer = connection.post(EVENTS, JSON, body.as_bytes()).unwrap();
            if answer.status() != 201 {
                answer.expect_problem(503);
                break;
            }
            acknowledged.extend(from..from + 20);
            from += 20;
            assert!(from < 100_000, "the disk is never full");
        }
        from += 20;
        limit_files(&app, "unlimited");
        eventually("ready again", BACK_WITHIN, || app.get("/health/ready").status() == 200);
        app.publish_many(&batch(from));
        acknowledged.extend(from..from + 20);
        from += 20;
    }
    let numbers =
        |app: &App| -> Vec<u64> { app.all_events("").iter().map(|event| event["payload"]["n"].as_u64().unwrap()).collect() };
    assert_eq!(numbers(&app), acknowledged);
    app.kill9();
    app.restart();
    assert_eq!(numbers(&app), acknowledged);
}

#[test]
fn a_service_that_stops_while_the_disk_is_full_keeps_what_it_acknowledged() {
    let mut app = spawn_app_that_survives_a_full_disk(&[]);
    let kept = vec![app.publish(&tick(0))];
    limit_files(&app, "1");
    app.post_json(&tick(1).to_string()).expect_problem(503);
    let code = app.terminate();
    assert!(matches!(code, Some(0 | 1)), "{code:?} {}", app.process.log());
    app.restart();
    assert_ids_are(&app, &kept);
}
