//! `POST /api/telemetry/events` with one object: the envelope, what is refused, and idempotent posts.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::harness::{EVENTS, spawn_app};
use crate::http::{Connection, JSON, NDJSON, Response};
use crate::samples::tick;
use crate::sse::order;

/// The fields that a refusal names.
pub fn faulty_fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors in {problem}"));
    errors.iter().for_each(|error| assert!(error["message"].is_string(), "{problem}"));
    errors.iter().map(|error| error["field"].as_str().expect("a field")).collect()
}

#[track_caller]
fn assert_refused_for(answer: &Response, field: &str) {
    let problem = answer.expect_problem(422);
    assert!(faulty_fields(&problem).iter().any(|name| *name == field || name.ends_with(&format!(".{field}"))), "{problem}");
}

#[test]
fn one_event_is_answered_with_201_and_its_id() {
    let app = spawn_app(&[]);
    let before = Utc::now().timestamp_millis();
    let answer = app.post_json(r#"{"type":"cycle_start","payload":{}}"#);
    let after = Utc::now().timestamp_millis();
    let body = answer.expect(201);
    assert_eq!(body, json!({"id": body["id"], "duplicate": false}));
    assert!(answer.header("content-type").unwrap().starts_with(JSON));
    let (ms, _) = order(body["id"].as_str().unwrap());
    let ms = i64::try_from(ms).unwrap();
    assert!(before <= ms && ms <= after, "{ms} is not the time of arrival, {before}..={after}");
}

#[test]
fn an_event_comes_back_with_its_fields_in_order_and_its_payload_untouched() {
    let app = spawn_app(&[]);
    let payload = concat!(
        r#"{"z":1.50,"a":1e2,"big":123456789012345678901234567890,"neg":-0.0,"nested":{"y":[1,2.0,null,true],"b":{}},"#,
        r#""escaped":"\u00e9\u2028\n\/","plain":"é🦀","":"empty key","type":"inner"}"#
    );
    let posted = format!(
        r#"{{"payload":{payload},"event_id":"fno-1","profile_id":1,"severity":"info","source":"fno","timestamp":"2025-11-18T07:55:41.345678Z","type":"custom.x"}}"#
    );
    let mut stream = app.stream("");
    let id = app.post_json(&posted).expect(201)["id"].as_str().unwrap().to_owned();
    let expected = format!(
        r#"{{"id":"{id}","type":"custom.x","timestamp":"2025-11-18T07:55:41.345678Z","source":"fno","severity":"info","profile_id":1,"event_id":"fno-1","payload":{payload}}}"#
    );
    assert_eq!(stream.event().data.unwrap(), expected);
    let page = app.get(EVENTS);
    assert!(page.text().contains(&expected), "{}", page.text());
}

#[test]
fn absent_optional_fields_are_left_out_and_the_timestamp_is_the_arrival() {
    let app = spawn_app(&[]);
    let before = Utc::now();
    app.publish(&tick(0));
    let event = app.events("")["events"][0].clone();
    let fields: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields.len(), 4, "{event}");
    for field in ["source", "severity", "profile_id", "event_id"] {
        assert!(!fields.contains(&field), "{event}");
    }
    let text = event["timestamp"].as_str().unwrap();
    assert_eq!(text.len(), "2025-11-18T07:55:41.345678Z".len(), "{text}");
    assert!(text.ends_with('Z'), "{text}");
    let arrival: DateTime<Utc> = text.parse().unwrap();
    assert!(arrival >= before - Duration::from_millis(1) && arrival <= Utc::now(), "{text}");
}

#[test]
fn timestamps_are_turned_into_utc_with_microseconds() {
    let app = spawn_app(&[]);
    for (given, kept) in [
        ("2025-11-18T13:25:41.345678+05:30", "2025-11-18T07:55:41.345678Z"),
        ("2024-08-05T03:44:50.084278+00:00", "2024-08-05T03:44:50.084278Z"),
        ("2025-11-18T07:55:41Z", "2025-11-18T07:55:41.000000Z"),
        ("2025-11-18T07:55:41.5Z", "2025-11-18T07:55:41.500000Z"),
        ("2025-11-18t07:55:41.1z", "2025-11-18T07:55:41.100000Z"),
    ] {
        let id = app.publish(&json!({"type": "tick", "timestamp": given, "payload": {}}));
        let event = app.events("limit=1")["events"][0].clone();
        assert_eq!((event["id"].as_str(), event["timestamp"].as_str()), (Some(id.as_str()), Some(kept)), "{given}");
    }
}

#[test]
fn the_older_names_of_the_fields_and_upper_case_types_are_understood() {
    let app = spawn_app(&[]);
    app.post_json(r#"{"event_type":"CYCLE_START","data":{"a":1}}"#).expect(201);
    let event = app.events("")["events"][0].clone();
    assert_eq!((&event["type"], &event["payload"]), (&json!("cycle_start"), &json!({"a": 1})), "{event}");
    assert!(event.get("data").is_none() && event.get("event_type").is_none(), "{event}");
}

#[test]
fn a_payload_with_line_breaks_stays_on_one_line_of_the_stream() {
    let app = spawn_app(&[]);
    let mut stream = app.stream("");
    app.post_json("{\"type\":\"tick\",\r\n \"payload\": {\r\n\t\"a\" : [1,\n2] ,\r\"b\": \"x y\"}\n}\n").expect(201);
    let block = stream.event();
    assert!(!block.data.as_ref().unwrap().contains('\n'), "{block:?}");
    assert_eq!(block.json()["payload"], json!({"a": [1, 2], "b": "x y"}));
}

#[test]
fn each_fault_of_the_envelope_is_refused_by_the_name_of_the_field() {
    let app = spawn_app(&[]);
    let long = "x".repeat(65);
    for (field, event) in [
        ("type", json!({"payload": {}})),
        ("type", json!({"type": "", "payload": {}})),
        ("type", json!({"type": "two words", "payload": {}})),
        ("type", json!({"type": "käse", "payload": {}})),
        ("type", json!({"type": "a\nid: 9-9", "payload": {}})),
        ("type", json!({"type": long, "payload": {}})),
        ("type", json!({"type": 7, "payload": {}})),
        ("payload", json!({"type": "tick"})),
        ("payload", json!({"type": "tick", "payload": null})),
        ("payload", json!({"type": "tick", "payload": [1]})),
        ("payload", json!({"type": "tick", "payload": "{}"})),
        ("severity", json!({"type": "tick", "payload": {}, "severity": "fatal"})),
        ("severity", json!({"type": "tick", "payload": {}, "severity": 3})),
        ("timestamp", json!({"type": "tick", "payload": {}, "timestamp": "yesterday"})),
        ("timestamp", json!({"type": "tick", "payload": {}, "timestamp": "2025-02-30T00:00:00Z"})),
        ("timestamp", json!({"type": "tick", "payload": {}, "timestamp": {}})),
        ("source", json!({"type": "tick", "payload": {}, "source": 5})),
        ("profile_id", json!({"type": "tick", "payload": {}, "profile_id": "one"})),
        ("profile_id", json!({"type": "tick", "payload": {}, "profile_id": 1.5})),
        ("event_id", json!({"type": "tick", "payload": {}, "event_id": ""})),
        ("event_id", json!({"type": "tick", "payload": {}, "event_id": "x".repeat(129)})),
        ("event_id", json!({"type": "tick", "payload": {}, "event_id": 12})),
        ("id", json!({"type": "tick", "payload": {}, "id": "1-0"})),
        ("colour", json!({"type": "tick", "payload": {}, "colour": "red"})),
    ] {
        let answer = app.post_json(&event.to_string());
        assert_eq!(answer.status(), 422, "{event}: {}", answer.text());
        assert_refused_for(&answer, field);
    }
    assert_eq!(app.stats()["published_total"], 0);
}

#[test]
fn the_longest_allowed_names_are_accepted() {
    let app = spawn_app(&[]);
    let kind = "a-z_0.9".repeat(10)[..64].to_owned();
    app.publish(&json!({"type": kind, "payload": {}, "event_id": "é".repeat(128)}));
    assert_eq!(app.events("")["events"][0]["type"], kind);
}

#[test]
fn all_faults_of_an_event_are_told_at_once() {
    let app = spawn_app(&[]);
    let body = json!({"type": "order_event", "severity": "loud", "shape": 1, "timestamp": "x", "payload": {"symbol": 5}});
    let problem = app.post_json(&body.to_string()).expect_problem(422);
    let fields = faulty_fields(&problem).join(" ");
    for field in ["severity", "shape", "timestamp", "order_id", "symbol", "side", "status"] {
        assert!(fields.contains(field), "{field} is not named in {problem}");
    }
}

#[test]
fn what_is_not_an_event_at_all_is_malformed() {
    let app = spawn_app(&[]);
    for body in [
        "",
        " ",
        "{",
        "nonsense",
        "{\"type\":\"tick\",\"payload\":{}} x",
        "{'type':'tick'}",
        "{\"type\":\"tick\",\"payload\":{},}",
    ] {
        app.post_json(body).expect_problem(400);
    }
    for body in ["5", "null", "\"text\"", "true"] {
        let status = app.post_json(body).status();
        assert!(matches!(status, 400 | 422), "{status} for {body}");
    }
}

#[test]
fn only_json_and_ndjson_are_taken() {
    let app = spawn_app(&[]);
    let event = tick(0).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "x", ""]
    {
        app.post(EVENTS, kind, event.as_bytes()).expect_problem(415);
    }
    let zipped = [("Content-Type", JSON), ("Content-Encoding", "gzip"), ("Connection", "close")];
    app.connect().exchange("POST", EVENTS, &zipped, event.as_bytes()).unwrap().expect_problem(415);
    let bare = app.connect().exchange("POST", EVENTS, &[], event.as_bytes()).unwrap();
    bare.expect_problem(415);
    for kind in
        [JSON, "application/json; charset=utf-8", "Application/JSON;charset=UTF-8", NDJSON, "application/x-ndjson; charset=utf-8"]
    {
        assert_eq!(app.post(EVENTS, kind, event.as_bytes()).status(), 201, "{kind}");
    }
}

#[test]
fn the_same_event_id_from_the_same_source_is_published_once() {
    let mut app = spawn_app(&[]);
    let mut stream = app.stream("");
    let event = json!({"type": "tick", "source": "fno", "event_id": "fno-1", "payload": {"n": 1}});
    let first = app.publish(&event);
    assert_eq!(app.post_json(&event.to_string()).expect(201), json!({"id": first, "duplicate": true}));
    let other = json!({"type": "tick", "source": "equity", "event_id": "fno-1", "payload": {"n": 2}});
    let second = app.publish(&other);
    let nobody = json!({"type": "tick", "event_id": "fno-1", "payload": {"n": 3}});
    let third = app.publish(&nobody);
    assert_eq!(app.post_json(&nobody.to_string()).expect(201), json!({"id": third, "duplicate": true}));
    assert_eq!(stream.ids(3), [first.as_str(), &second, &third]);

    app.kill9();
    app.restart();
    assert_eq!(app.post_json(&event.to_string()).expect(201), json!({"id": first, "duplicate": true}));
    assert_eq!(app.all_ids(""), [first, second, third]);
}

#[test]
fn an_event_id_posted_from_many_sides_at_once_is_published_once() {
    let app = spawn_app(&[]);
    let address = app.address;
    let answers: Vec<Vec<Value>> = std::thread::scope(|scope| {
        let posters: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || {
                    let mut connection = Connection::open(address).unwrap();
                    let post = |number: usize| {
                        let event = json!({"type": "tick", "source": "fno", "event_id": number.to_string(), "payload": {}});
                        connection.post(EVENTS, JSON, event.to_string().as_bytes()).unwrap().expect(201)
                    };
                    (0..60).map(post).collect()
                })
            })
            .collect();
        posters.into_iter().map(|poster| poster.join().unwrap()).collect()
    });
    let ids = app.all_ids("");
    assert_eq!(ids.len(), 60);
    for number in 0..60 {
        let of_this: Vec<_> = answers.iter().map(|answers| &answers[number]).collect();
        assert!(of_this.iter().all(|answer| answer["id"] == of_this[0]["id"]), "{of_this:?}");
        assert_eq!(of_this.iter().filter(|answer| answer["duplicate"] == false).count(), 1, "{of_this:?}");
    }
}

#[test]
fn an_event_id_is_free_again_after_the_window() {
    let app = spawn_app(&[("telemetry.dedup_window", "1s"), ("sse.heartbeat", "100ms")]);
    let mut stream = app.stream("event_type=none");
    let event = json!({"type": "tick", "event_id": "again", "payload": {}});
    let first = app.publish(&event);
    let published = Instant::now();
    while published.elapsed() < Duration::from_millis(2500) {
        stream.block();
    }
    let second = app.post_json(&event.to_string()).expect(201);
    assert_eq!(second["duplicate"], false);
    assert!(order(second["id"].as_str().unwrap()) > order(&first));
}

#[test]
fn ids_strictly_increase_in_the_order_of_the_posts() {
    let app = spawn_app(&[]);
    let ids: Vec<_> = (0..50).map(|number| app.publish(&tick(number))).collect();
    assert!(ids.is_sorted_by(|a, b| order(a) < order(b)), "{ids:?}");
    assert_eq!(app.all_ids(""), ids);
}
