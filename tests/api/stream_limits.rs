//! What a stream answers when it cannot be had: overload, faults of parameters, wrong resume positions.

use serde_json::json;

use crate::harness::{STREAM, spawn_app};
use crate::ingest::faulty_fields;
use crate::samples::tick;

#[test]
fn one_client_too_many_gets_a_retry_and_a_clean_end() {
    let app = spawn_app(&[("sse.max_clients", "2")]);
    let mut streams = [app.stream(""), app.stream("")];
    streams.iter_mut().for_each(|stream| drop(stream.block()));
    for _ in 0..3 {
        let mut refused = app.stream("");
        assert!(refused.head.header("content-type").unwrap().starts_with("text/event-stream"));
        let blocks = refused.rest();
        assert!(blocks.iter().any(|block| block.retry.is_some()), "{blocks:?}");
        assert!(blocks.iter().all(|block| block.data.is_none()), "{blocks:?}");
    }
    assert_eq!(app.subscribers(), 2);
    let id = app.publish(&tick(0));
    streams.iter_mut().for_each(|stream| assert_eq!(stream.event().id(), id));
}

#[test]
fn a_client_refused_for_overload_resumes_where_it_was() {
    let app = spawn_app(&[("sse.max_clients", "1")]);
    let first = app.publish(&tick(0));
    let mut holder = app.stream("");
    holder.block();
    let second = app.publish(&tick(1));
    let mut refused = app.stream_with("", &[("Last-Event-ID", &first)]);
    let blocks = refused.rest();
    let resume = refused.cursor.clone().unwrap_or_else(|| first.clone());
    assert_eq!(resume, first, "the refusal moved the cursor past what was not delivered: {blocks:?}");
    drop(holder);
    crate::harness::eventually("there is room", std::time::Duration::from_secs(2), || app.subscribers() == 0);
    assert_eq!(app.stream_with("", &[("Last-Event-ID", &resume)]).event().id(), second);
}

#[test]
fn a_fault_of_a_parameter_is_refused_by_its_name() {
    let app = spawn_app(&[]);
    for (field, value) in [
        ("replay", "5001"),
        ("replay", "-1"),
        ("replay", "many"),
        ("since_id", "x"),
        ("last_event_id", "1-"),
        ("lastEventId", "-1"),
        ("since_ts", "noon"),
        ("severity", "loud"),
        ("profile_id", "1.5"),
        ("named", "perhaps"),
        ("heartbeat", "sometimes"),
    ] {
        let answer = app.get(&format!("{STREAM}?{field}={value}"));
        assert_eq!(answer.status(), 422, "{field}={value}");
        assert!(faulty_fields(&answer.expect_problem(422)).contains(&field), "{field}={value}: {}", answer.text());
    }
    assert_eq!(app.subscribers(), 0);
    let mut stream = app.stream("colour=red");
    stream.block();
    let id = app.publish(&json!({"type": "tick", "payload": {}}));
    assert_eq!(stream.event().id(), id, "unknown parameters are ignored");
}
