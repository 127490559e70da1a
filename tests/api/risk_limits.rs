//! `/api/risk/limits`: base and overrides, edits by hand, history, and what survives.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{App, eventually, number_from_env, spawn_app};
use crate::http::{Connection, JSON, PATIENCE, Response};

const LIMITS: &str = "/api/risk/limits";
const HISTORY: &str = "/api/risk/limits/history?limit=1000";
const FIELDS: [&str; 5] =
    ["max_daily_loss_rupees", "max_daily_drawdown_pct", "max_trades_per_day", "max_trades_per_symbol_per_day", "max_loss_streak"];

fn overrides(app: &App) -> PathBuf {
    app.folder().join("risk_overrides.yaml")
}

fn post(app: &App, body: &str) -> Response {
    app.post(LIMITS, JSON, body.as_bytes())
}

fn post_as(app: &App, actor: &str, body: &str) -> Response {
    let headers = [("Connection", "close"), ("Content-Type", JSON), ("X-Actor", actor)];
    app.connect().exchange("POST", LIMITS, &headers, body.as_bytes()).expect("an answer")
}

#[track_caller]
fn limits(app: &App) -> Value {
    app.get(LIMITS).expect(200)
}

#[track_caller]
fn history(app: &App) -> Vec<Value> {
    let answer = app.get(HISTORY).expect(200);
    let lines = answer["history"].as_array().expect("an array").clone();
    assert_eq!(answer["count"], lines.len());
    lines
}

/// Puts a file in its place at once.
fn edit(app: &App, text: &str) {
    let aside = app.folder().join("aside");
    fs::write(&aside, text).unwrap();
    fs::rename(aside, overrides(app)).unwrap();
}

#[test]
fn the_limits_are_those_of_the_configuration_until_somebody_overrides_them() {
    let app = spawn_app(&[("risk.max_daily_loss_abs", "2500.50"), ("risk.max_loss_streak", "3")]);
    let shown = limits(&app);
    let source = json!(FIELDS.iter().map(|field| (*field, "base")).collect::<std::collections::HashMap<_, _>>());
    assert_eq!(shown["source"], source);
    assert_eq!((&shown["max_daily_loss_rupees"], &shown["max_loss_streak"]), (&json!(2500.5), &json!(3)));
    assert_eq!(shown["overrides_file"]["status"], "missing");
    assert!(shown["updated_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{shown}");
    assert!(history(&app).is_empty() && !overrides(&app).exists());

    let mut stream = app.stream("event_type=risk_limits_updated");
    stream.block();
    let changed = post_as(&app, "alice", r#"{"max_trades_per_day": 15, "max_daily_loss_rupees": 1e3}"#).expect(200);
    assert_eq!((&changed["max_trades_per_day"], &changed["max_daily_loss_rupees"]), (&json!(15), &json!(1000)));
    assert_eq!(changed["source"]["max_trades_per_day"], "override");
    assert_eq!(changed["source"]["max_loss_streak"], "base");
    assert_eq!((&limits(&app), &changed["updated_by"]), (&changed, &json!("alice")));

    let event = stream.event().json();
    assert_eq!((&event["source"], &event["payload"]["actor"]), (&json!("plimsoll"), &json!("alice")));
    assert_eq!(event["payload"]["limits"]["max_trades_per_day"], 15);
    let lines = history(&app);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0], event["payload"]);
    let change = |field: &str, old: Value, new: Value| json!({"field": field, "old": old, "new": new, "old_source": "base", "source": "override"});
    let expected =
        [change("max_daily_loss_rupees", json!(2500.5), json!(1000)), change("max_trades_per_day", json!(20), json!(15))];
    assert_eq!(lines[0]["changes"], json!(expected));
    assert_eq!(lines[0]["timestamp"], changed["updated_at"]);

    let back = post(&app, r#"{"max_trades_per_day": null}"#).expect(200);
    assert_eq!((&back["max_trades_per_day"], &back["source"]["max_trades_per_day"]), (&json!(20), &json!("base")));
    assert_eq!(history(&app)[1]["actor"], "127.0.0.1", "without a name it is the address");
    app.assert_unhurt();
}

#[test]
fn a_change_that_changes_nothing_is_fine_and_not_in_the_history() {
    let app = spawn_app(&[]);
    post(&app, r#"{"max_loss_streak": 2}"#).expect(200);
    let before = limits(&app);
    for same in [r#"{"max_loss_streak": 2.0}"#, r#"{"max_trades_per_day": null}"#] {
        assert_eq!(post(&app, same).expect(200), before);
    }
    assert_eq!(history(&app).len(), 1);
}

#[test]
fn bad_input_of_every_kind_is_refused_with_all_its_faults_and_changes_nothing() {
    let app = spawn_app(&[]);
    for bad in ["0", "-1", "-0.0", "1e999", "-1e999", "\"5\"", "true", "[1]", "{}", "1e16", "\"NaN\"", "\"\"", &"9".repeat(500)] {
        for field in FIELDS {
            let problem = post(&app, &format!(r#"{{"{field}": {bad}}}"#)).expect_problem(422);
            assert_eq!(problem["errors"][0]["field"], field, "{bad}: {problem}");
        }
    }
    for whole in ["max_trades_per_day", "max_trades_per_symbol_per_day", "max_loss_streak"] {
        post(&app, &format!(r#"{{"{whole}": 1.5}}"#)).expect_problem(422);
    }
    post(&app, r#"{"max_daily_drawdown_pct": 100.1}"#).expect_problem(422);
    let all =
        post(&app, r#"{"max_trades": 1, "max_loss_streak": 0, "source": {}, "max_trades_per_day": 5, "max_trades_per_day": 6}"#);
    let problem = all.expect_problem(422);
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["max_trades", "max_loss_streak", "source", "max_trades_per_day"]);
    post(&app, "{}").expect_problem(422);
    for malformed in ["", "[]", "null", "7", "{", r#"{"max_loss_streak": NaN}"#, r#"{"max_loss_streak": Infinity}"#, "{} {}"] {
        post(&app, malformed).expect_problem(400);
    }
    app.post(LIMITS, JSON, b"{\"max_loss_streak\": \xff}").expect_problem(400);
    app.post(LIMITS, "text/plain", b"{}").expect_problem(415);
    app.post(LIMITS, "application/x-ndjson", b"{}").expect_problem(415);
    app.post(LIMITS, JSON, format!(r#"{{"x": "{}"}}"#, "x".repeat(20_000)).as_bytes()).expect_problem(413);
    for actor in ["", "a b", "file", "plimsoll", &"x".repeat(65)] {
        post_as(&app, actor, r#"{"max_loss_streak": 2}"#).expect_problem(400);
    }
    for query in ["limit=0", "limit=1001", "limit=x"] {
        app.get(&format!("/api/risk/limits/history?{query}")).expect_problem(422);
    }
    assert_eq!(app.connect().exchange("PUT", LIMITS, &[], b"").unwrap().expect_problem(405)["status"], 405);
    assert!(history(&app).is_empty() && !overrides(&app).exists());
    app.assert_unhurt();
}

#[test]
fn an_edit_by_hand_is_seen_by_the_next_question_and_published_without_one() {
    let mut app = spawn_app(&[]);
    edit(&app, "max_trades_per_day: 9   # for the expiry\ntheirs:\n  - 1.10\n");
    let shown = limits(&app);
    assert_eq!((&shown["max_trades_per_day"], &shown["updated_by"]), (&json!(9), &json!("file")));
    assert_eq!(shown["overrides_file"], json!({"status": "ok", "other_keys": ["theirs"]}));
    eventually("that is published", PATIENCE, || app.all_ids("event_type=risk_limits_updated").len() == 1);
    let mut stream = app.stream("event_type=risk_limits_updated");
    stream.block();
    edit(&app, "max_trades_per_day: 8   # for the expiry\ntheirs:\n  - 1.10\n");
    assert_eq!(stream.event().json()["payload"]["limits"]["max_trades_per_day"], 8, "nobody asked");
    post(&app, r#"{"max_loss_streak": 2}"#).expect(200);
    let text = "max_trades_per_day: 8   # for the expiry\ntheirs:\n  - 1.10\nmax_loss_streak: 2\n";
    assert_eq!(fs::read_to_string(overrides(&app)).unwrap(), text);

    assert_eq!(app.terminate(), Some(0));
    edit(&app, "max_trades_per_day: 7\n");
    app.restart();
    assert_eq!(limits(&app)["max_trades_per_day"], 7);
    let lines = history(&app);
    let actors: Vec<_> = lines.iter().map(|line| line["actor"].as_str().unwrap()).collect();
    assert_eq!(actors, ["file", "file", "127.0.0.1", "file"]);
    assert_eq!(lines[3]["changes"].as_array().unwrap().len(), 2, "{}", lines[3]);
    eventually("all are published, once each", PATIENCE, || app.all_ids("event_type=risk_limits_updated").len() == 4);
}

#[test]
fn a_malformed_file_keeps_the_last_good_limits_says_so_everywhere_and_is_not_written_over() {
    let mut app = spawn_app(&[]);
    post(&app, r#"{"max_trades_per_day": 15}"#).expect(200);
    let bad = "max_trades_per_day: [oops\n";
    edit(&app, bad);
    for _ in 0..2 {
        let shown = limits(&app);
        assert_eq!((&shown["max_trades_per_day"], &shown["overrides_file"]["status"]), (&json!(15), &json!("malformed")));
        let health = app.health();
        let component = &health["components"]["risk_limits"];
        assert_eq!((&health["status"], &component["status"]), (&json!("degraded"), &json!("degraded")), "{health}");
        let problem = post(&app, r#"{"max_trades_per_day": 3}"#).expect_problem(409);
        assert!(problem["detail"].as_str().unwrap().contains("mend it"), "{problem}");
        assert_eq!(fs::read_to_string(overrides(&app)).unwrap(), bad);
        app.kill9();
        app.restart();
    }
    fs::remove_file(overrides(&app)).unwrap();
    fs::create_dir(overrides(&app)).unwrap();
    assert_eq!(limits(&app)["overrides_file"]["status"], "unreadable");
    post(&app, r#"{"max_trades_per_day": 3}"#).expect_problem(409);
    fs::remove_dir(overrides(&app)).unwrap();
    edit(&app, "max_trades_per_day: 4\n");
    assert_eq!(limits(&app)["max_trades_per_day"], 4);
    post(&app, r#"{"max_trades_per_day": 3}"#).expect(200);
    assert_eq!(history(&app).len(), 3);
    app.assert_unhurt();
}

#[test]
fn changes_at_the_same_time_are_all_there() {
    let app = spawn_app(&[]);
    std::thread::scope(|scope| {
        for (index, field) in FIELDS.iter().enumerate() {
            let address = app.address;
            scope.spawn(move || {
                let mut connection = Connection::open(address).expect("the service is up");
                let actor = format!("desk-{index}");
                for value in 1..=20 {
                    let body = format!(r#"{{"{field}": {value}}}"#);
                    let headers = [("Content-Type", JSON), ("X-Actor", actor.as_str())];
                    let answer = connection.exchange("POST", LIMITS, &headers, body.as_bytes()).expect("an answer").expect(200);
                    assert_eq!(answer[field], value, "the answer has what was asked for");
                }
            });
        }
    });
    let (shown, lines) = (limits(&app), history(&app));
    assert!(FIELDS.iter().all(|field| shown[field] == 20), "{shown}");
    assert_eq!(lines.len(), 100);
    // each line goes on where the one before it ended
    let mut now = json!({"max_daily_loss_rupees": 10000, "max_daily_drawdown_pct": 5, "max_trades_per_day": 20,
        "max_trades_per_symbol_per_day": 5, "max_loss_streak": 4});
    for (line, seq) in lines.iter().zip(1..) {
        assert_eq!(line["seq"], seq);
        for change in line["changes"].as_array().unwrap() {
            let field = change["field"].as_str().unwrap();
            assert_eq!(now[field], change["old"], "{line}");
            now[field] = change["new"].clone();
        }
    }
    let times: Vec<_> = lines.iter().map(|line| line["timestamp"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|one, other| one < other), "times strictly increase");
}

#[test]
fn kill_9_at_any_point_leaves_limits_file_and_history_whole_and_in_agreement() {
    let rounds = number_from_env("PLIMSOLL_CRASH_ROUNDS", 4);
    let mut app = spawn_app(&[]);
    fs::write(overrides(&app), "# ours and theirs\ntheirs: 1.10\n").unwrap();
    let mut highest = 0;
    for round in 0..rounds {
        let (acknowledged, received) = channel();
        let address = app.address;
        let from = highest;
        let poster = std::thread::spawn(move || {
            let mut connection = Connection::open(address).expect("the service is up");
            let headers = [("Content-Type", JSON), ("X-Actor", "alice")];
            for value in from + 1.. {
                let body = format!(r#"{{"max_trades_per_day": {value}}}"#);
                let Ok(answer) = connection.exchange("POST", LIMITS, &headers, body.as_bytes()) else { return };
                assert_eq!(answer.expect(200)["max_trades_per_day"], value);
                acknowledged.send(value).expect("the test listens");
            }
        });
        let enough = fastrand::usize(1..40);
        let mut last = from;
        for _ in 0..enough {
            last = received.recv_timeout(PATIENCE).expect("changes are acknowledged");
        }
        app.kill9();
        poster.join().unwrap();
        last = received.try_iter().last().unwrap_or(last);
        app.restart();

        let found = limits(&app)["max_trades_per_day"].as_i64().unwrap();
        assert!(found == last || found == last + 1, "round {round}: {found} after {last} was acknowledged");
        let text = fs::read_to_string(overrides(&app)).unwrap();
        assert_eq!(text, format!("# ours and theirs\ntheirs: 1.10\nmax_trades_per_day: {found}\n"));
        let lines = history(&app);
        let values: Vec<_> = lines.iter().map(|line| line["limits"]["max_trades_per_day"].as_i64().unwrap()).collect();
        assert_eq!(
            values,
            (1..=found).collect::<Vec<_>>()[values.len().abs_diff(usize::try_from(found).unwrap())..],
            "round {round}"
        );
        assert!(lines.iter().all(|line| line["actor"] == "alice"), "round {round}: everybody is named");
        eventually("each change is published once", PATIENCE, || {
            app.all_ids("event_type=risk_limits_updated").len() as i64 == found
        });
        highest = found;
    }
    assert_eq!(app.health()["components"]["risk_limits"]["broken_history_lines"], 0);
    assert_eq!(app.terminate(), Some(0));
    let left = fs::read_dir(app.artifacts().join("risk")).unwrap().count();
    assert!(left <= 4, "no drafts pile up: {left}");
}

#[test]
fn broken_lines_of_the_history_hide_no_good_ones() {
    let mut app = spawn_app(&[]);
    post(&app, r#"{"max_trades_per_day": 15}"#).expect(200);
    assert_eq!(app.terminate(), Some(0));
    let path = app.artifacts().join("risk/limits_history.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("nonsense\n{text}{}", &text[..text.len() / 2])).unwrap();
    app.restart();
    post(&app, r#"{"max_trades_per_day": 14}"#).expect(200);
    let answer = app.get(HISTORY).expect(200);
    assert_eq!((&answer["count"], &answer["broken_lines"]), (&json!(2), &json!(2)), "{answer}");
    app.kill9();
    app.restart();
    assert_eq!(app.get(HISTORY).expect(200), answer);
    let newest = app.get("/api/risk/limits/history?limit=1").expect(200);
    assert_eq!(newest["history"], json!([answer["history"][1]]));
}

#[test]
fn a_disk_that_takes_nothing_changes_nothing_and_says_so() {
    let app = spawn_app(&[]);
    fs::remove_dir_all(app.artifacts().join("risk")).unwrap();
    fs::write(app.artifacts().join("risk"), "in the way").unwrap();
    let refused = post(&app, r#"{"max_trades_per_day": 15}"#);
    refused.expect_problem(503);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(limits(&app)["max_trades_per_day"], 20);
    assert!(!overrides(&app).exists());
    fs::remove_file(app.artifacts().join("risk")).unwrap();
    post(&app, r#"{"max_trades_per_day": 15}"#).expect(200);
    eventually("all is well again", Duration::from_secs(20), || app.health()["status"] == "ok");
}
