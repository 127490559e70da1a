//! `/api/benchmarks`: the files of the field, and what is recorded.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{App, eventually, number_from_env, spawn_app, spawn_app_on_a_stable_port};
use crate::http::{Connection, JSON, NDJSON, PATIENCE};
use crate::ingest::faulty_fields;

const BENCHMARKS: &str = "/api/benchmarks";

/// As an engine in the field writes them.
const LINES: &str = r#"{"ts": "2024-08-22T15:29:59.016096+05:30", "nifty": 24811.50, "banknifty": 50985.7, "finnifty": null}
{"ts": "2024-08-23T09:19:59.016096+05:30", "nifty": 24804.95, "banknifty": 50914.3, "finnifty": null}
{"ts": "2024-08-23T09:24:59.016459+05:30", "nifty": 24834.5, "banknifty": 51001.95, "finnifty": null}
"#;

fn folder(app: &App) -> PathBuf {
    app.artifacts().join("benchmarks")
}

fn put(app: &App, file: &str, text: impl AsRef<[u8]>) {
    fs::create_dir_all(folder(app)).unwrap();
    fs::write(folder(app).join(file), text).unwrap();
}

fn ask(app: &App, query: &str) -> Vec<Value> {
    app.get(&format!("{BENCHMARKS}?{query}")).expect(200).as_array().expect("an array").clone()
}

/// The values of `index`, in the order of the answer.
fn values(app: &App, query: &str, index: &str) -> Vec<Value> {
    ask(app, query).into_iter().map(|point| point[index].clone()).collect()
}

fn post(app: &App, body: &Value) -> Value {
    app.post(BENCHMARKS, JSON, body.to_string().as_bytes()).expect(201)
}

#[test]
fn files_of_the_field_are_one_ascending_series_of_the_days_asked_for() {
    let app = spawn_app(&[]);
    assert_eq!(ask(&app, ""), Vec::<Value>::new(), "no folder yet");
    put(&app, "benchmarks_2024-08-23.jsonl", LINES);
    put(
        &app,
        "benchmarks.json",
        r#"[{"ts": "2024-08-21T09:20:00", "sensex": 1}, {"ts": "2024-08-23 09:22:00", "nifty": 2, "NIFTY 50": 1.50}]"#,
    );
    let answer = app.get(&format!("{BENCHMARKS}?as_of=2024-08-23"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expected = concat!(
        r#"[{"ts":"2024-08-23T03:49:59.016096Z","nifty":24804.95,"banknifty":50914.3,"finnifty":null},"#,
        r#"{"ts":"2024-08-23T03:52:00.000000Z","nifty":2,"NIFTY 50":1.50},"#,
        r#"{"ts":"2024-08-23T03:54:59.016459Z","nifty":24834.5,"banknifty":51001.95,"finnifty":null}]"#
    );
    assert_eq!(answer.text(), expected);
    assert_eq!([1, 2, 3, 365].map(|days| ask(&app, &format!("as_of=2024-08-23&days={days}")).len()), [3, 4, 5, 5]);
    assert_eq!(ask(&app, "as_of=2024-08-22").len(), 1, "nothing behind the day");
    assert_eq!(ask(&app, "as_of=2024-08-24").len(), 0);
}

#[test]
fn a_day_is_a_trading_day() {
    let settings = [("session.timezone", "America/Chicago"), ("session.roll_time", "\"17:00\"")];
    let app = spawn_app(&settings);
    post(&app, &json!([{"ts": "2024-08-22T21:59:59Z", "es": 1}, {"ts": "2024-08-22T22:00:00Z", "es": 2}]));
    assert_eq!(values(&app, "as_of=2024-08-22", "es"), [1]);
    assert_eq!(values(&app, "as_of=2024-08-23", "es"), [2]);
    assert!(folder(&app).join("benchmarks_2024-08-23.jsonl").exists());
}

#[test]
fn bad_lines_and_files_are_counted_in_health_and_hide_nothing() {
    let app = spawn_app(&[("files.poll_interval", "50ms")]);
    put(&app, "benchmarks_2024-08-23.jsonl", format!("{LINES}not json\n{{\"ts\":\"2024-08-23T09:00:00\",\"nifty\":NaN}}\n"));
    put(&app, "seed.json", r#"[{"ts":"2024-08-23T10:00:00","nifty":7},{"ts":"#);
    put(&app, "other.json", "{}");
    std::os::unix::fs::symlink("/etc/passwd", folder(&app).join("link.jsonl")).unwrap();
    fs::create_dir(folder(&app).join("folder.json")).unwrap();
    assert_eq!(values(&app, "as_of=2024-08-23", "nifty"), [json!(24804.95), json!(24834.5), json!(7)]);
    let component = || app.health()["components"]["benchmarks"].clone();
    eventually("the faults are in /health", PATIENCE, || component()["broken_files"] == 5);
    let found = component();
    assert_eq!((&found["status"], &found["bad_lines"]), (&json!("degraded"), &json!(2)), "{found}");
    assert!(found["broken"].to_string().contains("line 4"), "{found}");
    assert!(!found.to_string().contains(app.artifacts().to_str().unwrap()), "{found}");
    fs::remove_dir_all(folder(&app)).unwrap();
    eventually("they are gone", PATIENCE, || component()["status"] == "ok");
}

#[test]
fn what_is_recorded_is_seen_at_once_and_survives_kill_9() {
    let mut app = spawn_app_on_a_stable_port(&[]);
    let before = chrono::Utc::now();
    assert_eq!(post(&app, &json!({"nifty": 24301.3, "finnifty": null})), json!({"recorded": 1}));
    // of the last two days, in case one has just begun
    let now = ask(&app, "days=2");
    let ts: chrono::DateTime<chrono::Utc> = now[0]["ts"].as_str().unwrap().parse().unwrap();
    assert!(ts.timestamp_micros() >= before.timestamp_micros() && ts <= chrono::Utc::now(), "{now:?}");
    assert_eq!((now.len(), &now[0]["nifty"], &now[0]["finnifty"]), (1, &json!(24301.3), &json!(null)));
    let day = "2024-08-23T03:";
    post(&app, &json!([{"ts": format!("{day}50:00Z"), "nifty": 1}, {"ts": format!("{day}49:00Z"), "nifty": 0}]));
    let lines = format!("{{\"ts\":\"2024-08-23T09:21:00\",\"nifty\":2.50}}\n\n{{\"ts\":\"{day}52:00Z\",\"nifty\":3}}");
    assert_eq!(app.post(BENCHMARKS, NDJSON, lines.as_bytes()).expect(201), json!({"recorded": 2}));
    assert_eq!(values(&app, "as_of=2024-08-23", "nifty"), [json!(0), json!(1), json!(2.5), json!(3)]);
    app.kill9();
    app.restart();
    assert_eq!(values(&app, "as_of=2024-08-23", "nifty"), [json!(0), json!(1), json!(2.5), json!(3)]);
    let file = fs::read_to_string(folder(&app).join("benchmarks_2024-08-23.jsonl")).unwrap();
    assert_eq!(file.lines().nth(2), Some(r#"{"ts":"2024-08-23T03:51:00.000000Z","nifty":2.50}"#));
    // the last of an instant counts
    post(&app, &json!({"ts": format!("{day}52:00Z"), "nifty": 9}));
    assert_eq!(values(&app, "as_of=2024-08-23", "nifty").last(), Some(&json!(9)));
}

#[test]
fn a_line_that_a_crash_cut_off_spoils_no_other() {
    let app = spawn_app(&[]);
    put(&app, "benchmarks_2024-08-23.jsonl", format!("{LINES}{{\"ts\":\"2024-08-23T09:2"));
    post(&app, &json!({"ts": "2024-08-23T10:00:00", "nifty": 5}));
    assert_eq!(values(&app, "as_of=2024-08-23", "nifty"), [json!(24804.95), json!(24834.5), json!(5)]);
    assert_eq!(app.health()["components"]["benchmarks"]["bad_lines"], 1);
}

#[test]
fn a_batch_with_a_fault_records_nothing_and_all_faults_are_told() {
    let app = spawn_app(&[]);
    let batch = r#"[{"ts":"2024-08-23T10:00:00","nifty":1},{"ts":"soon","nifty":"2"},7,{"ts":"2999-01-01T00:00:00Z","nifty":1}]"#;
    let problem = app.post(BENCHMARKS, JSON, batch.as_bytes()).expect_problem(422);
    let mut faults: Vec<(u64, &str)> = Vec::new();
    for error in problem["errors"].as_array().unwrap() {
        faults.push((error["index"].as_u64().unwrap(), error["field"].as_str().unwrap()));
    }
    assert_eq!(faults, [(1, "ts"), (1, "nifty"), (2, "benchmark"), (3, "ts")], "{problem}");
    for one in [
        "{}",
        r#"{"ts":"2024-08-23T10:00:00Z"}"#,
        r#"{"nifty":true}"#,
        r#"{"nifty":{}}"#,
        r#"{"nifty":1e999}"#,
        r#"{"nifty":1,"nifty":2}"#,
        r#"{"ts":1724385000,"nifty":1}"#,
        "7",
        "null",
        r#""nifty""#,
    ] {
        let problem = app.post(BENCHMARKS, JSON, one.as_bytes()).expect_problem(422);
        assert!(problem["errors"][0].get("index").is_none(), "{problem}");
        assert!(!faulty_fields(&problem).is_empty());
    }
    for malformed in ["", "{", "[]", "[1,", r#"{"nifty":NaN}"#, r#"[{"nifty":1}] x"#, "\u{feff}"] {
        app.post(BENCHMARKS, JSON, malformed.as_bytes()).expect_problem(400);
    }
    app.post(BENCHMARKS, JSON, b"\xff").expect_problem(400);
    app.post(BENCHMARKS, "text/csv", b"nifty,1").expect_problem(415);
    app.post(BENCHMARKS, NDJSON, "{\"nifty\":1}\n".repeat(10_001).as_bytes()).expect_problem(413);
    let huge = format!("{{\"nifty\":1,\"a\":\"{}\"}}", "a".repeat(3 << 20));
    app.post(BENCHMARKS, JSON, huge.as_bytes()).expect_problem(413);
    assert!(!folder(&app).exists(), "nothing was recorded");
    assert_eq!(app.health()["status"], "ok");
}

#[test]
fn faults_of_a_question_are_told_at_once() {
    let app = spawn_app(&[]);
    let problem = app.get(&format!("{BENCHMARKS}?days=0&as_of=2024-02-30")).expect_problem(422);
    assert_eq!(faulty_fields(&problem), ["days", "as_of"]);
    for query in ["days=366", "days=one", "as_of=23-08-2024"] {
        app.get(&format!("{BENCHMARKS}?{query}")).expect_problem(422);
    }
    assert_eq!(ask(&app, "as_of=0001-01-01&days=365"), Vec::<Value>::new());
    assert_eq!(ask(&app, "as_of=9999-12-31"), Vec::<Value>::new());
}

#[test]
fn posts_at_once_are_all_recorded_whole() {
    let app = spawn_app(&[]);
    std::thread::scope(|scope| {
        for client in 0..8 {
            let address = app.address;
            scope.spawn(move || {
                let mut connection = Connection::open(address).unwrap();
                for turn in 0..10 {
                    let at = |n| format!("2024-08-23T05:{client:02}:{turn:02}.{n:06}Z");
                    let batch: Vec<Value> = (0..20).map(|n| json!({"ts": at(n), "nifty": n})).collect();
                    connection.post(BENCHMARKS, JSON, json!(batch).to_string().as_bytes()).unwrap().expect(201);
                }
            });
        }
    });
    assert_eq!(ask(&app, "as_of=2024-08-23").len(), 8 * 10 * 20);
    assert_eq!(app.health()["components"]["benchmarks"]["bad_lines"], 0);
}

#[test]
fn a_disk_that_takes_nothing_is_said_and_nothing_is_half_recorded() {
    let app = spawn_app(&[("benchmarks.max_file_bytes", "4KiB")]);
    let point =
        |minute: usize| json!({"ts": format!("2024-08-23T05:{minute:02}:00Z"), "nifty": "1".repeat(60).parse::<f64>().unwrap()});
    post(
        &app,
        &json!((0..40).map(|minute| json!({"ts": format!("2024-08-23T05:{minute:02}:00Z"), "nifty": 1})).collect::<Vec<_>>()),
    );
    let two_days: Vec<Value> =
        std::iter::once(json!({"ts": "2024-08-22T05:00:00Z", "nifty": 2})).chain((0..60).map(point)).collect();
    let answer = app.post(BENCHMARKS, JSON, json!(two_days).to_string().as_bytes());
    answer.expect_problem(503);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(ask(&app, "as_of=2024-08-23&days=9").len(), 40, "neither day has any of it");
    fs::remove_dir_all(folder(&app)).unwrap();
    fs::write(folder(&app), "in the way").unwrap();
    app.post(BENCHMARKS, JSON, b"{\"nifty\":1}").expect_problem(503);
    fs::remove_file(folder(&app)).unwrap();
    post(&app, &json!({"nifty": 1}));
}

#[test]
fn a_killed_service_has_every_acknowledged_batch_and_no_half_of_any() {
    let mut app = spawn_app_on_a_stable_port(&[]);
    let mut acknowledged = 0;
    for round in 0..number_from_env("PLIMSOLL_CRASH_ROUNDS", 4) {
        let (tell, acks) = std::sync::mpsc::channel();
        let (address, first) = (app.address, acknowledged + 1);
        let poster = std::thread::spawn(move || {
            let mut connection = Connection::open(address).unwrap();
            for batch in first.. {
                let at = |n: usize| format!("2024-08-23T{:02}:{:02}:{:02}.{n:06}Z", batch / 3600, batch / 60 % 60, batch % 60);
                let points: Vec<Value> = (0..50).map(|n| json!({"ts": at(n), "batch": batch})).collect();
                match connection.post(BENCHMARKS, JSON, json!(points).to_string().as_bytes()) {
                    Ok(answer) if answer.status() == 201 => tell.send(batch).unwrap(),
                    _ => return batch,
                }
            }
            0
        });
        // at another moment in each round
        for _ in 0..3 + round {
            acks.recv().unwrap();
        }
        app.kill9();
        let last = poster.join().unwrap();
        acknowledged = acks.iter().last().unwrap_or(first + 2 + round);
        app.restart();
        let mut counts = std::collections::BTreeMap::<u64, usize>::new();
        for batch in values(&app, "as_of=2024-08-23", "batch") {
            *counts.entry(batch.as_u64().unwrap()).or_default() += 1;
        }
        for batch in first..=acknowledged {
            assert_eq!(counts.get(&(batch as u64)), Some(&50), "batch {batch} was acknowledged");
        }
        assert!(counts.values().all(|count| *count == 50), "{counts:?}");
        assert_eq!(app.health()["components"]["benchmarks"]["bad_lines"], 0);
        acknowledged = last;
    }
}
