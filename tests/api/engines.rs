//! `/api/telemetry/engines`: beats, judgement, watchers and announcements.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{App, Settings, eventually, spawn_app};
use crate::http::{Connection, JSON, PATIENCE, Response};
use crate::samples::lines;
use crate::sse::Stream;

pub const ENGINES: &str = "/api/telemetry/engines";
const STALE_AFTER: Duration = Duration::from_millis(1_000);
const TICK: Duration = Duration::from_millis(300);
/// Everything that takes seconds takes a fraction of them.
const QUICK: Settings<'_> = &[("engines.stale_after", "1s"), ("engines.tick", "{market_data: 200ms, other: 300ms}")];

impl App {
    pub fn beat(&self, name: &str, record: &Value) -> Response {
        self.post(&format!("{ENGINES}/{name}/heartbeat"), JSON, record.to_string().as_bytes())
    }

    #[track_caller]
    fn engines(&self) -> Vec<Value> {
        self.get(ENGINES).expect(200)["engines"].as_array().expect("engines").clone()
    }

    #[track_caller]
    pub fn engine(&self, name: &str) -> Value {
        let found = self.engines().into_iter().find(|engine| engine["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not known"))
    }
}

/// An engine: a process of its own that beats over HTTP until it is killed.
struct Engine(Child);

impl Engine {
    fn start(address: SocketAddr, name: &str) -> Engine {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["engines::the_process_of_an_engine", "--exact", "--ignored", "--nocapture"]);
        command.env("ENGINE_NAME", name).env("ENGINE_ADDRESS", address.to_string());
        Engine(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
}

#[test]
#[ignore = "the engine of the tests below, which start it as a process of its own"]
fn the_process_of_an_engine() {
    let (Ok(name), Ok(address)) = (std::env::var("ENGINE_NAME"), std::env::var("ENGINE_ADDRESS")) else { return };
    let mut connection = Connection::open(address.parse().unwrap()).unwrap();
    for tick in 0_u64.. {
        let record = json!({"pid": std::process::id(), "status": "running", "loop_tick": tick});
        let answer = connection.post(&format!("{ENGINES}/{name}/heartbeat"), JSON, record.to_string().as_bytes());
        answer.expect("an answer").expect(201);
        // the engine's pace
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// The next event of one of these types.
#[track_caller]
fn next_of(stream: &mut Stream, types: &[&str]) -> Value {
    loop {
        let event = stream.event().json();
        if types.iter().any(|wanted| event["type"] == *wanted) {
            return event;
        }
    }
}

#[test]
fn a_heartbeat_makes_an_engine_known_and_a_partial_one_keeps_what_it_does_not_name() {
    let app = spawn_app(&[]);
    assert_eq!(app.get(ENGINES).expect(200)["engines"], json!([]));
    let full = json!({"mode": "paper", "pid": 7, "status": "running", "started_at": "2025-11-18T09:15:00", "loop_tick": 1,
        "universe_size": 50, "open_positions": 2, "last_error": "reset", "kind": "strategy"});
    let answer = app.beat("fno", &full).expect(201);
    let event = app.events("event_type=engine_heartbeat")["events"][0].clone();
    assert_eq!((&event["id"], &event["source"], &event["payload"]["name"]), (&answer["id"], &json!("fno"), &json!("fno")));
    app.beat("fno", &json!({"name": "fno", "loop_tick": 2, "last_error": null})).expect(201);
    let engine = app.engine("fno");
    for field in ["mode", "pid", "status", "started_at", "universe_size", "open_positions", "kind"] {
        assert_eq!(engine[field], full[field], "{field} of {engine}");
    }
    assert_eq!((&engine["loop_tick"], &engine["last_error"]), (&json!(2), &Value::Null));
    assert_eq!((&engine["state"], &engine["stale"], &engine["restarts"]), (&json!("running"), &json!(false), &json!(0)));
    assert!(engine["heartbeat_age_seconds"].as_f64().is_some_and(|age| (0.0..10.0).contains(&age)), "{engine}");
    app.beat("fno", &json!({"pid": 8})).expect(201);
    assert_eq!(app.engine("fno")["restarts"], 1);
}

#[test]
fn every_way_to_beat_leads_to_one_sorted_list() {
    let app = spawn_app(&[]);
    app.beat("c", &json!({})).expect(201);
    app.publish(&json!({"type": "ENGINE_HEARTBEAT", "payload": {"name": "b", "status": "degraded"}}));
    app.publish(&json!({"type": "engine_health", "payload": {"engine_name": "a", "status": "active", "metrics": {}}}));
    app.publish(
        &json!({"type": "mde_status", "payload": {"mde_name": "d", "status": "running", "metrics": {"cached_symbols": 3}}}),
    );
    app.post(&format!("{ENGINES}/e/stopped"), JSON, b"").expect_problem(404);
    app.beat("e", &json!({})).expect(201);
    let answer = app.post(&format!("{ENGINES}/e/stopped"), JSON, b"").expect(201);
    assert_eq!(answer["duplicate"], false);
    let engines = app.engines();
    let told: Vec<_> =
        engines.iter().map(|engine| [&engine["name"], &engine["state"], &engine["kind"]].map(|v| v.as_str().unwrap())).collect();
    let expected = [
        ["a", "running", "other"],
        ["b", "degraded", "other"],
        ["c", "running", "other"],
        ["d", "running", "market_data"],
        ["e", "stopped", "other"],
    ];
    assert_eq!(told, expected);
    assert_eq!(engines[3]["metrics"]["cached_symbols"], 3);
}

#[test]
fn bad_names_and_bodies_are_refused_with_all_their_faults() {
    let app = spawn_app(&[("telemetry.max_event_bytes", "4KiB")]);
    let long = "x".repeat(65);
    for name in ["a%2Fb", "a.b", "..%2F..%2Fetc", "a%00", "plimsoll", "%C3%A9", &long] {
        app.beat(name, &json!({})).expect_problem(400);
        app.post(&format!("{ENGINES}/{name}/stopped"), JSON, b"").expect_problem(400);
    }
    let heartbeat = format!("{ENGINES}/fno/heartbeat");
    for body in ["", "[]", "7", "{", "{\"pid\":NaN}", "{\"x\":1e999}", "{\"pid\":1,\"pid\":2}", "\u{fffd}"] {
        app.post(&heartbeat, JSON, body.as_bytes()).expect_problem(400);
    }
    app.post(&heartbeat, JSON, b"\xff{}").expect_problem(400);
    let bad = json!({"name": "other", "pid": -1, "status": "dancing", "started_at": "soon", "loop_tick": "1", "last_error": 7});
    let problem = app.beat("fno", &bad).expect_problem(422);
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["name", "pid", "status", "started_at", "loop_tick", "last_error"]);
    for form in ["text/plain", "application/x-ndjson"] {
        assert_eq!(app.post(&heartbeat, form, b"{}").expect_problem(415)["detail"], "send application/json");
    }
    app.beat("fno", &json!({"mode": "x".repeat(5_000)})).expect_problem(413);
    assert_eq!(app.get(&heartbeat).expect_problem(405)["status"], 405);
    assert_eq!(app.engines(), [Value::Null; 0], "none of them beat");
    app.assert_unhurt();
}

#[test]
fn a_killed_engine_is_stale_within_its_time_and_one_tick_and_announced_once_and_so_is_its_return() {
    let app = spawn_app(QUICK);
    let mut stream = app.stream("source=plimsoll&event_type=engine_stale,engine_recovered,engine_health");
    let engine = Engine::start(app.address, "fno");
    let health = next_of(&mut stream, &["engine_health"]);
    assert_eq!(health["payload"]["status"], "running");
    assert_eq!(app.engine("fno")["state"], "running");
    engine.kill();
    let killed = Instant::now();
    let slack = Duration::from_millis(700);
    let stale = next_of(&mut stream, &["engine_stale", "engine_recovered"]);
    assert_eq!((&stale["type"], &stale["payload"]["name"]), (&json!("engine_stale"), &json!("fno")));
    assert!(killed.elapsed() < STALE_AFTER + TICK + slack, "on the stream after {:?}", killed.elapsed());
    let engine = app.engine("fno");
    assert_eq!((&engine["state"], &engine["stale"], &engine["status"]), (&json!("stale"), &json!(true), &json!("running")));

    let again = Engine::start(app.address, "fno");
    let back = next_of(&mut stream, &["engine_stale", "engine_recovered"]);
    assert_eq!(back["type"], "engine_recovered");
    eventually("the new process runs", PATIENCE, || app.engine("fno")["state"] == "running");
    assert_eq!(app.engine("fno")["restarts"], 1);
    // three ticks later nothing more was said
    for _ in 0..3 {
        next_of(&mut stream, &["engine_health"]);
    }
    let announced = app.events("event_type=engine_stale,engine_recovered");
    assert_eq!(announced["count"], 2, "{announced}");
    again.kill();
}

#[test]
fn a_restart_of_the_service_knows_the_engines_and_announces_nothing_twice() {
    let mut app = spawn_app(QUICK);
    let mut stream = app.stream("event_type=engine_stale");
    app.beat("silent", &json!({"pid": 1, "mode": "paper", "loop_tick": 7})).expect(201);
    app.beat("ended", &json!({"status": "running", "open_positions": 3})).expect(201);
    app.post(&format!("{ENGINES}/ended/stopped"), JSON, b"{\"loop_tick\":9}").expect(201);
    let orders = [("BUY", 100.0), ("SELL", 99.0)].map(|(side, price)| {
        let order = json!({"order_id": side, "symbol": "N", "side": side, "status": "FILLED", "quantity": 1, "price": price, "strategy": "S"});
        json!({"type": "order_event", "source": "silent", "payload": order})
    });
    app.publish_many(&orders);
    assert_eq!(stream.event().json()["payload"]["name"], "silent");
    drop(stream);
    for kill in [false, true] {
        if kill {
            app.kill9();
        } else {
            assert_eq!(app.terminate(), Some(0));
        }
        app.restart();
        let mut stream = app.stream("source=plimsoll&event_type=engine_health");
        // longer than the time after which it would be announced
        for _ in 0..6 {
            assert_eq!(stream.event().json()["payload"]["status"], "stale");
        }
        let (silent, ended) = (app.engine("silent"), app.engine("ended"));
        assert_eq!((&silent["state"], &silent["pid"], &silent["loop_tick"]), (&json!("stale"), &json!(1), &json!(7)));
        assert_eq!(silent["metrics"]["strategies"]["S"]["loss_streak"], 1, "{silent}");
        assert_eq!((&ended["state"], &ended["open_positions"], &ended["loop_tick"]), (&json!("stopped"), &json!(3), &json!(9)));
        assert_eq!(app.events("event_type=engine_stale,engine_recovered")["count"], 1);
    }
}

/// Median difference from `interval` of the times between these events, in milliseconds.
fn median_error(events: &[Value], interval: f64) -> f64 {
    let time = |event: &Value| chrono::DateTime::parse_from_rfc3339(event["timestamp"].as_str().unwrap()).unwrap();
    let gaps = events.windows(2).map(|pair| (time(&pair[1]) - time(&pair[0])).num_microseconds().unwrap() as f64 / 1e3);
    let mut errors: Vec<f64> = gaps.map(|gap| (gap - interval).abs()).collect();
    errors.sort_unstable_by(f64::total_cmp);
    errors[errors.len() / 2]
}

#[test]
fn ticks_stay_regular_while_the_bus_is_under_full_load() {
    let app = spawn_app(QUICK);
    app.beat("fno", &json!({})).expect(201);
    app.publish(&json!({"type": "mde_status", "payload": {"mde_name": "mde", "status": "running", "metrics": {}}}));
    let mut stream = app.stream("source=plimsoll");
    let address = app.address;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let stop = std::sync::Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut connection = Connection::open(address).unwrap();
                let body = json!(crate::samples::ticks(0..500)).to_string();
                let mut count = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    // a full queue answers with 503, which is as it should be
                    let answer = connection.post(crate::harness::EVENTS, JSON, body.as_bytes()).expect("an answer");
                    count += if answer.status() == 201 { 500 } else { 0 };
                }
                count
            })
        })
        .collect();
    let events: Vec<Value> = (0..60).map(|_| stream.event().json()).collect();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let posted: usize = load.into_iter().map(|thread| thread.join().unwrap()).sum();
    for (kind, interval) in [("engine_health", 300.0), ("mde_status", 200.0)] {
        let ticks: Vec<Value> = events.iter().filter(|event| event["type"] == kind).cloned().collect();
        let error = median_error(&ticks, interval);
        println!("{kind}: {} ticks beside {posted} events, median error {error:.1} ms", ticks.len());
        assert!(ticks.len() >= 10 && error < 50.0, "{kind}: {} ticks, median error {error} ms", ticks.len());
    }
}

#[test]
fn watchers_stop_with_their_engines() {
    let app = spawn_app(QUICK);
    let mut stream = app.stream("source=plimsoll");
    app.beat("fno", &json!({})).expect(201);
    app.beat("other", &json!({})).expect(201);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        seen.insert(stream.event().json()["payload"]["engine_name"].to_string());
    }
    app.post(&format!("{ENGINES}/fno/stopped"), JSON, b"").expect(201);
    eventually("one watcher is left", PATIENCE, || app.health()["components"]["engines"]["watchers"] == 1);
    // what was on its way has passed; the other engine's ticks go on alone
    let newest = app.stats()["newest_id"].as_str().unwrap().to_owned();
    let mut stream = app.stream(&format!("source=plimsoll&event_type=engine_health&since_id={newest}"));
    for _ in 0..4 {
        assert_eq!(stream.event().json()["payload"]["engine_name"], "other");
    }
}

#[test]
fn the_record_of_an_engine_that_beats_over_http_is_a_file_and_no_beat_of_its_own() {
    let app = spawn_app(QUICK);
    app.beat("fno", &json!({"pid": 7, "status": "running", "loop_tick": 5})).expect(201);
    let path = app.artifacts().join("telemetry/fno_engine.json");
    let read = || std::fs::read(&path).ok().map(|bytes| serde_json::from_slice::<Value>(&bytes).expect("a whole record"));
    eventually("the file is written", PATIENCE, || read().is_some());
    let record = read().unwrap();
    assert_eq!((&record["name"], &record["pid"], &record["written_by"]), (&json!("fno"), &json!(7), &json!("plimsoll")));
    eventually("the engine is silent", PATIENCE, || app.engine("fno")["state"] == "stale");
    assert_eq!(app.events("event_type=engine_heartbeat")["count"], 1, "the file was not taken for a beat");
}

#[test]
fn a_thousand_engines_are_listed_judged_and_bounded() {
    let app = spawn_app(&[("engines.max", "1000")]);
    let beats: Vec<_> = (0..1_000)
        .map(|n| json!({"type": "engine_heartbeat", "payload": {"name": format!("engine-{n:04}"), "status": "running", "loop_tick": n}}))
        .collect();
    app.ndjson(&lines(&beats)).expect(201);
    let engines = app.engines();
    assert_eq!(engines.len(), 1_000);
    assert!(engines.is_sorted_by_key(|engine| engine["name"].as_str().unwrap().to_owned()));
    assert!(engines.iter().enumerate().all(|(n, engine)| engine["loop_tick"] == n && engine["state"] == "running"));
    let refused = app.beat("one-more", &json!({}));
    assert!(refused.header("retry-after").is_some());
    refused.expect_problem(503);
    app.publish(&json!({"type": "engine_heartbeat", "payload": {"name": "one-more"}}));
    app.post(&format!("{ENGINES}/one-more/stopped"), JSON, b"").expect_problem(404);
    app.publish(&json!({"type": "engine_health", "payload": {"engine_name": "no name", "status": "active", "metrics": {}}}));
    assert_eq!(app.engines().len(), 1_000);
    let health = app.health();
    let engines = &health["components"]["engines"];
    assert_eq!((&engines["ignored_beats"], &engines["misnamed_beats"]), (&json!(2), &json!(1)), "one posted, one as an event");
    assert_eq!(health["status"], "degraded");
    app.beat("engine-0007", &json!({"loop_tick": 8})).expect(201);
    assert_eq!(app.engines()[7]["loop_tick"], 8);
}

#[test]
fn the_command_line_shows_the_engines_as_a_table_or_as_json() {
    let app = spawn_app(&[]);
    app.beat("fno", &json!({"status": "error", "loop_tick": 12345, "open_positions": 2, "last_error": "feed\nreset"}))
        .expect(201);
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["engines", "--url", &format!("http://{}", app.address)])
            .args(args)
            .output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let table = run(&[]);
    for cell in ["ENGINE", "LAST ERROR", "fno", "error", "12,345", "feed reset", "1 engines, 1 ill"] {
        assert!(table.contains(cell), "{cell} in {table}");
    }
    let json: Value = serde_json::from_str(&run(&["--json"])).expect("json");
    assert_eq!(json["engines"][0]["name"], "fno");
}
