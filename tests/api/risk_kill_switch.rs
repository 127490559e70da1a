//! `/api/risk/kill-switch`: latched, persisted, and waited for.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{App, eventually, number_from_env, spawn_app};
use crate::http::{Connection, JSON, PATIENCE, Response};

const SWITCH: &str = "/api/risk/kill-switch";
const HISTORY: &str = "/api/risk/kill-switch/history?limit=1000";
const EVENTS: &str = "event_type=kill_switch_triggered&source=plimsoll";

/// What happens to a file while nobody looks.
type Damage = fn(&App);

fn file(app: &App) -> PathBuf {
    app.artifacts().join("risk/kill_switch.json")
}

fn order(app: &App, state: &str, reason: &str) -> Response {
    let body = json!({"state": state, "reason": reason, "actor": "alice"});
    app.post(SWITCH, JSON, body.to_string().as_bytes())
}

#[track_caller]
fn shown(app: &App) -> Value {
    app.get(SWITCH).expect(200)
}

#[track_caller]
fn history(app: &App) -> Vec<Value> {
    app.get(HISTORY).expect(200)["history"].as_array().expect("an array").clone()
}

fn waiters(app: &App) -> Value {
    app.health()["components"]["kill_switch"]["waiters"].clone()
}

/// Starts to wait for the state that follows `since`.
fn wait(app: &App, since: &Value, seconds: u32) -> Connection {
    let mut connection = app.connect();
    let target = format!("{SWITCH}?wait={seconds}&since={}", since.as_str().expect("a time"));
    connection.request("GET", &target, &[("Connection", "close")], b"").unwrap();
    connection
}

#[test]
fn every_order_is_answered_noted_and_published() {
    let app = spawn_app(&[]);
    let first = shown(&app);
    assert_eq!((&first["state"], &first["seq"], &first["persisted"]), (&json!("active"), &json!(0), &json!(true)), "{first}");
    assert!(history(&app).is_empty());
    let mut stream = app.stream("event_type=kill_switch_triggered");
    stream.block();
    let mut since = first["since"].clone();
    for (state, previous, severity) in
        [("reducing", "active", "warning"), ("halted", "reducing", "critical"), ("active", "halted", "info")]
    {
        let answer = order(&app, state, "a test").expect(200);
        assert_eq!((&answer["state"], &answer["reason"], &answer["actor"]), (&json!(state), &json!("a test"), &json!("alice")));
        assert!(answer["since"].as_str() > since.as_str());
        since = answer["since"].clone();
        assert_eq!(shown(&app), answer);
        let event = stream.event().json();
        assert_eq!((&event["source"], &event["severity"]), (&json!("plimsoll"), &json!(severity)));
        let payload = &event["payload"];
        assert_eq!((&payload["state"], &payload["previous"], &payload["since"]), (&json!(state), &json!(previous), &since));
        assert_eq!(history(&app).last(), Some(payload));
    }
    // the same state for another reason stays what it is since then
    let again = order(&app, "active", "still a test").expect(200);
    assert_eq!((&again["since"], &again["reason"]), (&since, &json!("still a test")));
    assert_eq!(order(&app, "active", "still a test").expect(200), again);
    assert_eq!(history(&app).len(), 4);
    app.assert_unhurt();
}

#[test]
fn the_name_of_the_operator_is_the_bodys_else_the_headers_else_the_address() {
    let app = spawn_app(&[]);
    let post = |headers: &[(&str, &str)], body: Value| {
        let all: Vec<_> = [("Connection", "close"), ("Content-Type", JSON)].into_iter().chain(headers.iter().copied()).collect();
        app.connect().exchange("POST", SWITCH, &all, body.to_string().as_bytes()).unwrap().expect(200)["actor"].clone()
    };
    assert_eq!(post(&[("X-Actor", "bob")], json!({"state": "halted", "reason": "1", "actor": "carol"})), "carol");
    assert_eq!(post(&[("X-Actor", "bob")], json!({"state": "halted", "reason": "2"})), "bob");
    assert_eq!(post(&[], json!({"state": "halted", "reason": "3"})), "127.0.0.1");
}

#[test]
fn bad_orders_and_questions_are_refused_with_all_their_faults() {
    let app = spawn_app(&[]);
    let refused = |body: &str, status: u16| app.post(SWITCH, JSON, body.as_bytes()).expect_problem(status);
    let problem = refused(r#"{"state":"off","actor":"a b","force":1}"#, 422);
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["state", "reason", "actor", "force"]);
    for bad in [r#"{"state":"halted"}"#, r#"{"state":"halted","reason":""}"#, r#"{"state":"HALTED","reason":"x"}"#, "{}"] {
        refused(bad, 422);
    }
    refused(&json!({"state": "halted", "reason": "x".repeat(501)}).to_string(), 422);
    for bad in ["", "[]", "{", "null", r#"{"state":"halted","state":"active","reason":"x"}"#] {
        refused(bad, 400);
    }
    app.post(SWITCH, "text/plain", b"{}").expect_problem(415);
    for query in ["wait=61", "wait=-1", "wait=x", "wait=1&since=yesterday"] {
        app.get(&format!("{SWITCH}?{query}")).expect_problem(422);
    }
    assert_eq!(app.connect().exchange("DELETE", SWITCH, &[], b"").unwrap().status(), 405);
    assert_eq!((&shown(&app)["state"], history(&app).len()), (&json!("active"), 0));
    app.assert_unhurt();
}

#[test]
fn it_is_latched_over_a_clean_restart_and_over_kill_9() {
    let mut app = spawn_app(&[]);
    let halted = order(&app, "halted", "fat finger").expect(200);
    assert_eq!(app.terminate(), Some(0));
    app.restart();
    assert_eq!(shown(&app), halted);
    app.kill9();
    app.restart();
    assert_eq!(shown(&app), halted);
    assert_eq!((app.all_ids(EVENTS).len(), history(&app).len()), (1, 1), "nothing is said twice");
    order(&app, "active", "checked").expect(200);
    app.kill9();
    app.restart();
    assert_eq!(shown(&app)["state"], "active");
}

#[test]
fn kill_9_at_any_point_keeps_what_was_acknowledged_and_tells_each_change_once() {
    let rounds = number_from_env("PLIMSOLL_CRASH_ROUNDS", 4);
    let mut app = spawn_app(&[]);
    let mut highest = 0;
    for round in 0..rounds {
        let (acknowledged, received) = channel();
        let (address, from) = (app.address, highest);
        let poster = std::thread::spawn(move || {
            let mut connection = Connection::open(address).expect("the service is up");
            for number in from + 1.. {
                let state = ["active", "halted", "reducing"][number as usize % 3];
                let body = json!({"state": state, "reason": number.to_string()}).to_string();
                let Ok(answer) = connection.post(SWITCH, JSON, body.as_bytes()) else { return };
                assert_eq!(answer.expect(200)["seq"], number);
                acknowledged.send(number).expect("the test listens");
            }
        });
        let mut last = from;
        for _ in 0..fastrand::usize(1..40) {
            last = received.recv_timeout(PATIENCE).expect("orders are acknowledged");
        }
        app.kill9();
        poster.join().unwrap();
        last = received.try_iter().last().unwrap_or(last);
        app.restart();
        let found = shown(&app);
        let seq = found["seq"].as_i64().unwrap();
        assert!(seq == last || seq == last + 1, "round {round}: {seq} after {last} was acknowledged");
        assert_eq!(found["reason"], seq.to_string());
        assert_eq!(found["state"], ["active", "halted", "reducing"][seq as usize % 3]);
        // of a long run only the newest lines can be asked for
        let oldest = (seq - 999).max(1);
        eventually("the history is complete", PATIENCE, || history(&app).len() as i64 == seq - oldest + 1);
        let numbers: Vec<_> = history(&app).iter().map(|line| line["seq"].as_i64().unwrap()).collect();
        assert_eq!(numbers, (oldest..=seq).collect::<Vec<_>>());
        eventually("each change is published", PATIENCE, || app.all_ids(EVENTS).len() as i64 == seq);
        highest = seq;
    }
    assert_eq!(app.health()["status"], "ok");
}

#[test]
fn a_state_that_cannot_be_read_or_is_gone_means_halted_and_only_an_operator_ends_that() {
    let broken: [(&str, Damage); 6] = [
        ("empty", |app| fs::write(file(app), "").unwrap()),
        ("cut off", |app| fs::write(file(app), r#"{"position":{"state":"active""#).unwrap()),
        ("zeroes", |app| fs::write(file(app), [0; 64]).unwrap()),
        ("gone", |app| fs::remove_file(file(app)).unwrap()),
        ("gone with its history", |app| fs::remove_dir_all(app.artifacts().join("risk")).unwrap()),
        ("a folder", |app| {
            fs::remove_file(file(app)).unwrap();
            fs::create_dir(file(app)).unwrap();
        }),
    ];
    for (what, damage) in broken {
        let mut app = spawn_app(&[]);
        order(&app, "reducing", "before").expect(200);
        order(&app, "active", "before").expect(200);
        assert_eq!(app.terminate(), Some(0));
        damage(&app);
        for _ in 0..2 {
            app.restart();
            let found = shown(&app);
            assert_eq!((&found["state"], &found["actor"]), (&json!("halted"), &json!("plimsoll")), "{what}: {found}");
            assert!(found["reason"].as_str().unwrap().contains("state"), "{what}: {found}");
            eventually("it is announced", PATIENCE, || app.all_ids(EVENTS).len() == 3);
            assert_eq!(app.terminate(), Some(0));
        }
        damage(&app);
        app.restart();
        assert_eq!(app.health()["components"]["kill_switch"]["status"], "degraded", "{what}");
        order(&app, "active", "checked").expect(200);
        assert_eq!(app.health()["status"], "ok", "{what}");
        app.kill9();
        app.restart();
        assert_eq!(shown(&app)["state"], "active", "{what}");
    }
}

#[test]
fn whoever_waits_is_answered_at_once_when_the_state_changes_or_has_changed() {
    let app = spawn_app(&[]);
    let first = shown(&app);
    let mut waiting = [wait(&app, &first["since"], 60), wait(&app, &first["since"], 60)];
    eventually("both wait", PATIENCE, || waiters(&app) == 2);
    let halted = order(&app, "halted", "now").expect(200);
    for connection in &mut waiting {
        let answer = connection.response().unwrap().expect(200);
        assert_eq!((&answer["state"], &answer["since"]), (&json!("halted"), &halted["since"]));
    }
    assert_eq!(wait(&app, &first["since"], 60).response().unwrap().expect(200)["state"], "halted", "it has changed already");
    assert_eq!(wait(&app, &halted["since"], 1).response().unwrap().expect(200)["state"], "halted", "after the wait");
    assert_eq!(app.get(&format!("{SWITCH}?since={}", halted["since"].as_str().unwrap())).expect(200)["state"], "halted");
    eventually("nobody waits any more", PATIENCE, || waiters(&app) == 0);
}

#[test]
fn waiters_are_bounded_cost_nothing_when_they_go_away_and_hold_up_no_stop() {
    let mut app = spawn_app(&[("risk.kill_switch_waiters", "2")]);
    let since = shown(&app)["since"].clone();
    let gone = [wait(&app, &since, 60), wait(&app, &since, 60)];
    eventually("both wait", PATIENCE, || waiters(&app) == 2);
    let refused = wait(&app, &since, 60).response().unwrap();
    refused.expect_problem(503);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(shown(&app)["state"], "active", "asking without waiting is always possible");
    drop(gone);
    eventually("they are gone", Duration::from_secs(10), || waiters(&app) == 0);
    let mut waiting = wait(&app, &since, 60);
    eventually("it waits", PATIENCE, || waiters(&app) == 1);
    assert_eq!(app.terminate(), Some(0), "a clean stop");
    assert_eq!(waiting.response().unwrap().expect(200)["state"], "active");
}

#[test]
fn without_a_disk_trading_gets_stricter_at_once_and_never_freer() {
    let mut app = spawn_app(&[]);
    order(&app, "reducing", "before").expect(200);
    let risk = app.artifacts().join("risk");
    let aside = app.artifacts().join("aside");
    fs::rename(&risk, &aside).unwrap();
    fs::write(&risk, "in the way").unwrap();
    order(&app, "active", "careless").expect_problem(503);
    assert_eq!(shown(&app)["state"], "reducing");
    let problem = order(&app, "halted", "careful").expect_problem(503);
    assert!(problem["detail"].as_str().unwrap().contains("in force"), "{problem}");
    let found = shown(&app);
    assert_eq!((&found["state"], &found["persisted"]), (&json!("halted"), &json!(false)));
    assert_eq!(app.health()["components"]["kill_switch"]["status"], "degraded");
    fs::remove_file(&risk).unwrap();
    fs::rename(&aside, &risk).unwrap();
    eventually("it is written down by itself", PATIENCE, || shown(&app)["persisted"] == true);
    app.kill9();
    app.restart();
    assert_eq!((&shown(&app)["state"], &shown(&app)["reason"]), (&json!("halted"), &json!("careful")));
    let states: Vec<_> = history(&app).iter().map(|line| line["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states, ["reducing", "halted"]);
}
