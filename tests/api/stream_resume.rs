//! Resuming a stream: every way to say where, from the ring, from the journal, over restarts, and gaps.

use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use serde_json::json;

use crate::harness::{Settings, eventually, spawn_app};
use crate::samples::{tick, ticks};
use crate::sse::{Stream, order};

const SMALL_RING: Settings<'_> = &[("telemetry.ring_events", "50"), ("sse.heartbeat", "100ms")];

/// All that has to come, then a heartbeat and nothing more.
#[track_caller]
fn assert_resumes(mut stream: Stream, expected: &[String]) {
    assert_eq!(stream.ids(expected.len()), expected);
    let beat = stream.block();
    assert!(!beat.is_event(), "one too many: {beat:?}");
}

#[test]
fn each_way_to_name_the_last_id_resumes_after_it() {
    let app = spawn_app(SMALL_RING);
    app.publish_many(&ticks(0..200));
    let all = app.all_ids("");
    for at in [0, 1, 99, 148, 149, 150, 151, 198, 199] {
        let (id, rest) = (all[at].as_str(), &all[at + 1..]);
        assert_resumes(app.stream_with("", &[("Last-Event-ID", id)]), rest);
        assert_resumes(app.stream_with("", &[("last-event-id", id)]), rest);
        for name in ["last_event_id", "lastEventId", "since_id"] {
            assert_resumes(app.stream(&format!("{name}={id}")), rest);
        }
    }
}

#[test]
fn the_header_wins_over_the_query_and_an_id_over_a_time() {
    let app = spawn_app(SMALL_RING);
    app.publish_many(&ticks(0..100));
    let all = app.all_ids("");
    let old = format!("last_event_id={}&since_ts=2020-01-01T00:00:00Z", all[10]);
    assert_resumes(app.stream_with(&old, &[("Last-Event-ID", &all[90])]), &all[91..]);
    assert_resumes(app.stream(&format!("since_ts=2020-01-01T00:00:00Z&since_id={}", all[95])), &all[96..]);
    assert_resumes(app.stream_with(&format!("replay=50&last_event_id={}", all[97]), &[]), &all[98..]);
}

#[test]
fn the_zero_id_resumes_from_the_very_beginning() {
    let app = spawn_app(SMALL_RING);
    app.publish_many(&ticks(0..130));
    assert_resumes(app.stream("since_id=0-0"), &app.all_ids(""));
}

#[test]
fn a_time_before_the_first_event_ever_misses_nothing_and_is_no_gap() {
    let app = spawn_app(SMALL_RING);
    app.publish_many(&ticks(0..130));
    assert_resumes(app.stream("since_ts=2020-01-01T00:00:00Z"), &app.all_ids(""));
}

#[test]
fn since_ts_resumes_by_the_time_of_arrival() {
    let app = spawn_app(SMALL_RING);
    let old = json!({"type": "tick", "timestamp": "2024-08-05T03:44:50Z", "payload": {}});
    let first = app.publish(&old);
    eventually("the next millisecond", Duration::from_secs(1), || {
        u64::try_from(Utc::now().timestamp_millis()).unwrap() > order(&first).0 + 1
    });
    let between = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let second = app.publish(&old);
    assert_resumes(app.stream(&format!("since_ts={between}")), &[second]);
}

#[test]
fn a_resume_with_a_filter_gives_only_what_matches() {
    let app = spawn_app(SMALL_RING);
    for number in 0..100 {
        app.publish_many(&[tick(number), json!({"type": "other", "payload": {"n": number}})]);
    }
    let (all, others) = (app.all_ids(""), app.all_ids("event_type=other"));
    let expected: Vec<_> = others.into_iter().filter(|id| order(id) > order(&all[33])).collect();
    assert_resumes(app.stream_with("event_type=other", &[("Last-Event-ID", &all[33])]), &expected);
}

#[test]
fn a_drop_at_any_block_of_a_catch_up_loses_nothing() {
    let app = spawn_app(SMALL_RING);
    app.publish_many(&ticks(0..120));
    let all = app.all_ids("");
    for blocks in 1..12 {
        let mut stream = app.stream_with("", &[("Last-Event-ID", &all[40])]);
        let mut seen = Vec::new();
        for _ in 0..blocks {
            let block = stream.block();
            seen.extend(block.is_event().then(|| block.id().to_owned()));
        }
        let cursor = stream.cursor.clone().unwrap_or_else(|| all[40].clone());
        drop(stream);
        let mut resumed = app.stream_with("", &[("Last-Event-ID", &cursor)]);
        seen.extend(resumed.ids(79 - seen.len()));
        assert_eq!(seen, all[41..], "dropped after {blocks} blocks");
    }
}

#[test]
fn a_client_resumes_over_a_restart() {
    let mut app = spawn_app(SMALL_RING);
    app.publish_many(&ticks(0..80));
    let mut all = app.all_ids("");
    app.kill9();
    app.restart();
    let mut stream = app.stream_with("", &[("Last-Event-ID", &all[70])]);
    assert_eq!(stream.ids(9), all[71..]);
    all.push(app.publish(&tick(80)));
    assert_eq!(stream.event().id(), all[80]);
}

#[test]
fn what_no_journal_has_any_more_is_told_as_a_gap_and_the_stream_goes_on() {
    let app = spawn_app(&[
        ("telemetry.ring_events", "10"),
        ("journal.max_age", "1s"),
        ("journal.retention_interval", "100ms"),
        ("sse.heartbeat", "100ms"),
    ]);
    app.publish_many(&ticks(0..100));
    let old = app.all_ids("");
    eventually("the retention took the first of them", Duration::from_secs(8), || app.all_ids("").first() > old.get(50));
    app.publish_many(&ticks(100..150));
    let kept = app.all_ids("");
    assert!(!kept.contains(&old[51]));

    let mut stream = app.stream_with("event_type=tick", &[("Last-Event-ID", &old[50])]);
    let gap = stream.data().json();
    assert_eq!(gap["type"], "stream_gap", "{gap}");
    let payload = &gap["payload"];
    assert_eq!(payload["requested"], old[50], "{gap}");
    let oldest = payload["oldest"].as_str().expect("the oldest id that is still there");
    assert!(payload["reason"].is_string() && payload["newest"].is_string(), "{gap}");
    let first = stream.event().id().to_owned();
    assert!(order(&first) >= order(oldest), "{first} after {gap}");
    let live = app.publish(&tick(150));
    let mut last = first;
    while last != live {
        last = stream.event().id().to_owned();
    }
}

#[test]
fn a_resume_that_misses_nothing_is_never_told_of_a_gap() {
    let app = spawn_app(&[("telemetry.ring_events", "10"), ("sse.heartbeat", "100ms")]);
    let mut stream = app.stream("");
    let before = stream.block().id().to_owned();
    drop(stream);
    app.publish_many(&ticks(0..40));
    let all = app.all_ids("");
    for resume in [before.as_str(), "0-0", &all[0], &all[29], &all[39]] {
        let mut stream = app.stream_with("", &[("Last-Event-ID", resume)]);
        let expected: Vec<_> = all.iter().filter(|id| order(id) > order(resume)).cloned().collect();
        assert_eq!(stream.ids(expected.len()), expected);
    }
}

#[test]
fn an_id_of_the_future_is_told_as_a_gap_and_hides_nothing_that_comes() {
    let app = spawn_app(SMALL_RING);
    let newest = app.publish(&tick(0));
    let future = format!("{}-0", order(&newest).0 + 3_600_000);
    let mut stream = app.stream_with("", &[("Last-Event-ID", &future)]);
    let gap = stream.data().json();
    assert_eq!((&gap["type"], &gap["payload"]["requested"]), (&json!("stream_gap"), &json!(future)), "{gap}");
    assert_eq!(gap["payload"]["newest"], newest, "{gap}");
    let live = app.publish(&tick(1));
    assert_eq!(stream.event().id(), live);
    assert_eq!(app.stream_with("", &[("Last-Event-ID", &newest)]).event().id(), live, "its place is among the real ones");
}
