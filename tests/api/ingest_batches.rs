//! `POST /api/telemetry/events` with arrays and NDJSON: results per item, atomic posts, limits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{EVENTS, spawn_app};
use crate::http::{Connection, JSON, NDJSON, Response};
use crate::samples::{lines, tick, ticks};

const MIXED: [&str; 5] = [
    r#"{"type":"tick","payload":{"n":0}}"#,
    r#"{"type":"tick"}"#,
    r#"{"type":"tick","payload":{"n":2}}"#,
    r#"{"type":"tick","payload":{},"colour":"red","severity":"loud"}"#,
    r#"{"type":"tick","payload":{"n":4}}"#,
];

fn as_array(items: &[&str]) -> String {
    format!("[{}]", items.join(","))
}

/// Both ways to post many.
fn both_ways(items: &[&str]) -> [(&'static str, String); 2] {
    [(JSON, as_array(items)), (NDJSON, items.join("\n"))]
}

#[track_caller]
fn assert_mixed(answer: &Response) {
    let body = answer.expect(207);
    assert_eq!((&body["accepted"], &body["duplicates"]), (&json!(3), &json!(0)), "{body}");
    let rejected = body["rejected"].as_array().unwrap();
    let fields = |item: &Value| -> Vec<String> {
        let errors = item["errors"].as_array().unwrap();
        let mut names: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(rejected.iter().map(|item| item["index"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3], "{body}");
    assert_eq!(fields(&rejected[0]), ["payload"], "{body}");
    assert_eq!(fields(&rejected[1]), ["colour", "severity"], "{body}");
}

#[test]
fn many_good_events_are_answered_with_the_first_and_the_last_id() {
    for kind in [JSON, NDJSON] {
        let app = spawn_app(&[]);
        let events = ticks(0..250);
        let body = if kind == JSON { json!(events).to_string() } else { lines(&events) };
        let answer = app.post(EVENTS, kind, body.as_bytes()).expect(201);
        let ids = app.all_ids("");
        let expected = json!({"accepted": 250, "duplicates": 0, "rejected": [],
            "first_id": ids.first().unwrap(), "last_id": ids.last().unwrap()});
        assert_eq!(answer, expected);
        let numbers: Vec<_> = app.all_events("").iter().map(|event| event["payload"]["n"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..250).collect::<Vec<_>>());
    }
}

#[test]
fn the_good_events_of_a_mixed_batch_are_published_and_the_others_named_by_index() {
    for (kind, body) in both_ways(&MIXED) {
        let app = spawn_app(&[]);
        let answer = app.post(EVENTS, kind, body.as_bytes());
        assert_mixed(&answer);
        let ids = app.all_ids("");
        assert_eq!(answer.json()["first_id"], ids[0]);
        assert_eq!(answer.json()["last_id"], ids[2]);
    }
}

#[test]
fn a_batch_without_one_good_event_is_a_problem_that_names_each() {
    for (kind, body) in both_ways(&[MIXED[1], MIXED[3]]) {
        let app = spawn_app(&[]);
        let problem = app.post(EVENTS, kind, body.as_bytes()).expect_problem(400);
        let errors = problem["errors"].as_array().unwrap();
        let named: Vec<_> =
            errors.iter().map(|error| (error["index"].as_u64().unwrap(), error["field"].as_str().unwrap())).collect();
        assert!(named.contains(&(0, "payload")) && named.contains(&(1, "colour")), "{problem}");
        assert_eq!(app.all_ids(""), [""; 0]);
    }
}

#[test]
fn an_atomic_batch_with_a_fault_publishes_nothing() {
    for (kind, body) in both_ways(&MIXED) {
        let app = spawn_app(&[]);
        let target = format!("{EVENTS}?atomic=true");
        let problem = app.post(&target, kind, body.as_bytes()).expect_problem(422);
        assert_eq!(problem["errors"][0]["index"], 1, "{problem}");
        assert_eq!(app.all_ids(""), [""; 0]);
        let good = if kind == JSON { as_array(&[MIXED[0], MIXED[2]]) } else { [MIXED[0], MIXED[2]].join("\n") };
        assert_eq!(app.post(&target, kind, good.as_bytes()).expect(201)["accepted"], 2);
    }
}

#[test]
fn empty_batches_are_refused() {
    let app = spawn_app(&[]);
    app.post_json("[]").expect_problem(400);
    app.ndjson("").expect_problem(400);
    app.ndjson("\n\n").expect_problem(400);
}

#[test]
fn ndjson_takes_any_line_end_and_a_line_that_is_not_json_spoils_only_itself() {
    let app = spawn_app(&[]);
    let first = tick(0);
    assert_eq!(app.ndjson(&format!("{first}\r\n{first}\n{first}")).expect(201)["accepted"], 3);
    let body = app.ndjson(&format!("{first}\n{{\"type\":\n{first}\n")).expect(207);
    assert_eq!((&body["accepted"], &body["rejected"][0]["index"]), (&json!(2), &json!(1)), "{body}");
}

#[test]
fn lines_of_ndjson_are_published_while_the_body_is_still_coming() {
    let app = spawn_app(&[]);
    let mut stream = app.stream("");
    stream.block();
    let mut connection = app.connect();
    let head =
        format!("POST {EVENTS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n");
    connection.send(head.as_bytes()).unwrap();
    let mut ids = Vec::new();
    for number in 0..5 {
        let line = format!("{}\n", tick(number));
        connection.send(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).unwrap();
        ids.push(stream.event().id().to_owned());
    }
    connection.send(b"0\r\n\r\n").unwrap();
    let answer = connection.within(Duration::from_secs(5)).response().unwrap().expect(201);
    let expected = json!({"accepted": 5, "duplicates": 0, "rejected": [], "first_id": ids[0], "last_id": ids[4]});
    assert_eq!(answer, expected);
}

#[test]
fn repeated_event_ids_in_a_batch_are_counted_and_published_once() {
    let app = spawn_app(&[]);
    let event = |id: &str| json!({"type": "tick", "source": "fno", "event_id": id, "payload": {}});
    let first = app.publish(&event("a"));
    let answer = app.publish_many(&[event("a"), event("b"), event("b"), event("c")]);
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(2), &json!(2)), "{answer}");
    let ids = app.all_ids("");
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0], first);
    assert_eq!((&answer["first_id"], &answer["last_id"]), (&json!(ids[1]), &json!(ids[2])), "the newly accepted ones");
    let again = app.publish_many(&[event("a"), event("c")]);
    let expected = json!({"accepted": 0, "duplicates": 2, "rejected": [], "first_id": null, "last_id": null});
    assert_eq!(again, expected);
}

/// An event whose JSON text is exactly this long.
fn event_of(bytes: usize) -> String {
    let empty = r#"{"type":"tick","payload":{"text":""}}"#.len();
    json!({"type": "tick", "payload": {"text": "x".repeat(bytes - empty)}}).to_string()
}

#[test]
fn an_event_may_have_256_kib_and_not_a_byte_more() {
    let app = spawn_app(&[]);
    let (largest, too_large) = (event_of(256 * 1024), event_of(256 * 1024 + 1));
    app.post_json(&largest).expect(201);
    app.post_json(&too_large).expect_problem(413);
    let small = tick(0).to_string();
    for (kind, body) in both_ways(&[&small, &too_large, &small]) {
        let body = app.post(EVENTS, kind, body.as_bytes()).expect(207);
        assert_eq!((&body["accepted"], &body["rejected"][0]["index"]), (&json!(2), &json!(1)), "{body}");
    }
}

#[test]
fn a_body_may_have_16_mib_and_an_array_10_000_events() {
    let app = spawn_app(&[]);
    let item = event_of(200 * 1024);
    let array = |count: usize| format!("[{}]", vec![item.as_str(); count].join(","));
    assert_eq!(app.post_json(&array(81)).expect(201)["accepted"], 81);
    app.post_json(&array(83)).expect_problem(413);
    app.post_json(&json!(ticks(0..10_001)).to_string()).expect_problem(413);
    assert_eq!(app.post_json(&json!(ticks(0..10_000)).to_string()).expect(201)["accepted"], 10_000);
    assert_eq!(app.ndjson(&lines(&ticks(0..10_001))).expect(201)["accepted"], 10_001, "NDJSON is streamed");
}

#[test]
fn a_full_queue_answers_503_with_retry_after_and_takes_all_or_nothing() {
    let app = spawn_app(&[
        ("telemetry.queue_bytes", "1MiB"),
        ("telemetry.max_body_bytes", "1MiB"),
        ("telemetry.admission_timeout", "1ms"),
    ]);
    let pad = "x".repeat(240_000);
    let deadline = Instant::now() + Duration::from_secs(8);
    let outcomes: Vec<(usize, bool)> = std::thread::scope(|scope| {
        let posters: Vec<_> = (0..8)
            .map(|poster| {
                let (address, pad) = (app.address, &pad);
                scope.spawn(move || {
                    let mut connection = Connection::open(address).unwrap();
                    let mut outcomes = Vec::new();
                    for number in 0..40 {
                        let token = poster * 100 + number;
                        let event = json!({"type": "tick", "payload": {"n": token, "pad": pad}});
                        let answer = connection.post(EVENTS, JSON, event.to_string().as_bytes()).unwrap();
                        if answer.status() == 503 {
                            answer.expect_problem(503);
                            let seconds: u64 = answer.header("retry-after").expect("retry-after").parse().unwrap();
                            assert!((1..=60).contains(&seconds));
                        }
                        outcomes.push((token, answer.status() == 201));
                        assert!(matches!(answer.status(), 201 | 503), "{}", answer.text());
                        assert!(Instant::now() < deadline, "an answer within a bounded wait");
                    }
                    outcomes
                })
            })
            .collect();
        posters.into_iter().flat_map(|poster| poster.join().unwrap()).collect()
    });
    let refused = outcomes.iter().filter(|(_, taken)| !taken).count();
    assert!(refused > 0, "the queue was never full");
    let mut taken: Vec<_> = outcomes.iter().filter(|(_, taken)| *taken).map(|(token, _)| *token as u64).collect();
    taken.sort_unstable();
    let mut kept: Vec<_> = app.all_events("").iter().map(|event| event["payload"]["n"].as_u64().unwrap()).collect();
    kept.sort_unstable();
    assert_eq!(kept, taken);
    assert_eq!(app.health()["status"], "ok", "a full queue is not a failure");
}
