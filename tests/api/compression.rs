//! Compressed answers.

use std::io::Read as _;

use serde_json::Value;

use crate::harness::{App, EVENTS, eventually, spawn_app};
use crate::http::{JSON, PATIENCE, Response};
use crate::samples;

fn ask(app: &App, target: &str, accepted: &str) -> Response {
    let headers = [("Accept-Encoding", accepted), ("Connection", "close")];
    app.connect().exchange("GET", target, &headers, b"").expect("an answer")
}

fn unpacked(answer: &Response) -> Vec<u8> {
    let mut out = Vec::new();
    match answer.header("content-encoding") {
        Some("gzip") => drop(flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut out).expect("gzip")),
        Some("br") => drop(brotli::Decompressor::new(&answer.body[..], 4_096).read_to_end(&mut out).expect("brotli")),
        Some("zstd") => out = zstd::decode_all(&answer.body[..]).expect("zstd"),
        _ => out = answer.body.clone(),
    }
    out
}

/// A service with enough events for an answer of many pieces.
fn filled() -> App {
    let app = spawn_app(&[]);
    app.publish_many(&samples::events(3, 1_000));
    app
}

#[test]
fn an_answer_is_the_same_in_every_coding_and_smaller() {
    let app = filled();
    let target = format!("{EVENTS}?limit=1000");
    let plain = app.get(&target);
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
    for (accepted, coding) in
        [("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd"), ("br;q=0.5, gzip", "gzip")]
    {
        let packed = ask(&app, &target, accepted);
        assert_eq!((packed.status(), packed.header("content-encoding")), (200, Some(coding)), "{accepted}");
        assert_eq!(packed.header("vary"), Some("Accept-Encoding"));
        assert_eq!(packed.header("content-length"), Some(packed.body.len().to_string().as_str()));
        assert!(packed.body.len() * 2 < plain.body.len(), "{} of {}", packed.body.len(), plain.body.len());
        assert!(unpacked(&packed) == plain.body, "{accepted}");
    }
    for accepted in ["identity", "deflate", "gzip;q=0", "", "gzip;q=0.5, identity"] {
        let answer = ask(&app, &target, accepted);
        assert!(answer.header("content-encoding").is_none() && answer.body == plain.body, "{accepted}");
    }
    let health = app.health();
    assert_eq!(health["status"], "ok", "{health}");
}

#[test]
fn head_says_what_get_would() {
    let app = filled();
    let target = format!("{EVENTS}?limit=500");
    let packed = ask(&app, &target, "gzip");
    let mut connection = app.connect();
    connection.request("HEAD", &target, &[("Accept-Encoding", "gzip"), ("Connection", "close")], b"").unwrap();
    let (head, _) = connection.head().unwrap();
    for name in ["content-length", "content-encoding", "content-type", "vary"] {
        assert_eq!(head.header(name), packed.header(name), "{name}");
    }
}

#[test]
fn what_is_small_stays_as_it_is_and_says_that_it_varies() {
    let app = spawn_app(&[]);
    let small = ask(&app, "/health/live", "gzip");
    assert_eq!((small.header("content-encoding"), small.header("vary")), (None, Some("Accept-Encoding")));
    let headers = [("Accept-Encoding", "gzip"), ("Content-Type", JSON), ("Connection", "close")];
    let posted = app.connect().exchange("POST", EVENTS, &headers, samples::tick(0).to_string().as_bytes()).unwrap();
    assert_eq!((posted.status(), posted.header("content-encoding"), posted.header("vary")), (201, None, None));
}

#[test]
fn a_long_refusal_is_compressed_too() {
    let app = spawn_app(&[]);
    let bad = format!("[{}]", vec![r#"{"type":"a"}"#; 100].join(","));
    let headers = [("Accept-Encoding", "br"), ("Content-Type", JSON), ("Connection", "close")];
    let refused = app.connect().exchange("POST", EVENTS, &headers, bad.as_bytes()).unwrap();
    assert_eq!((refused.status(), refused.header("content-encoding")), (400, Some("br")));
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(&unpacked(&refused)).unwrap();
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(100));
}

#[test]
fn a_stream_is_never_compressed() {
    let app = spawn_app(&[]);
    let mut stream = app.stream_with("", &[("Accept-Encoding", "gzip, br, zstd")]);
    assert_eq!(stream.head.header("content-encoding"), None, "{:?}", stream.head);
    stream.block();
    let id = app.publish(&samples::tick(0));
    assert_eq!(stream.event().id(), id);
}

#[test]
fn the_memory_for_answers_holds_and_is_given_back_when_they_are_compressed() {
    let app = spawn_app(&[("http.answer_memory", "64MiB"), ("logs.answer_bytes", "1MiB")]);
    app.publish_many(&samples::events(3, 1_000));
    let before = app.stats()["dropped"]["refused_answers"].clone();
    let target = format!("{EVENTS}?limit=1000");
    // each takes more than 8 of the 64 MiB while it is compressed
    for _ in 0..200 {
        let answer = ask(&app, &target, "zstd");
        // without room it would come as it is
        assert_eq!((answer.status(), answer.header("content-encoding")), (200, Some("zstd")));
    }
    assert_eq!(app.stats()["dropped"]["refused_answers"], before);
    eventually("all of the memory is given back", PATIENCE, || {
        let page = app.get("/metrics");
        let used = page.text().lines().find(|line| line.starts_with("plimsoll_queue_used{queue=\"answers\""));
        used.expect("the queue's line").ends_with(" 0")
    });
}
