//! `GET /api/telemetry/stream`: head, events, filters, heartbeats, replay, and what happens when a client leaves.

use std::collections::{BTreeSet, VecDeque};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use eventsource_stream::Eventsource as _;
use futures_util::StreamExt as _;
use serde_json::json;

use crate::harness::{STREAM, Settings, eventually, spawn_app};
use crate::http::Connection;
use crate::samples::{self, Filter, naive, tick, ticks};
use crate::sse::{Parser, Stream, order};

const QUICK_HEARTBEAT: Settings<'_> = &[("sse.heartbeat", "100ms")];

#[test]
fn the_head_comes_at_once_with_the_headers_of_the_contract() {
    let app = spawn_app(&[]);
    let mut connection = app.connect();
    let asked = Instant::now();
    connection.request("GET", STREAM, &[], b"").unwrap();
    let (head, mut body) = connection.head().unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\n\n") {
        assert!(body.read(&mut connection, &mut bytes).unwrap(), "the stream ended");
    }
    assert!(asked.elapsed() < Duration::from_secs(1), "before any event");
    assert_eq!(head.status, 200);
    let kind = head.header("content-type").unwrap();
    assert!(kind == "text/event-stream" || kind.starts_with("text/event-stream;"), "{kind}");
    assert_eq!(head.header("cache-control"), Some("no-cache, no-store, no-transform"));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert_eq!(head.header("content-length"), None);
    assert_eq!(head.header("content-encoding"), None);
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.lines();
    let retry = lines.next().and_then(|line| line.strip_prefix("retry: ")).expect("retry first");
    assert!((1000..=5000).contains(&retry.parse::<u64>().unwrap()), "{text:?}");
    order(lines.next().and_then(|line| line.strip_prefix("id: ")).expect("then an id"));
    assert_eq!(lines.next(), Some(""), "{text:?}");
}

#[test]
fn the_head_names_the_newest_id_so_that_a_drop_before_the_first_event_resumes() {
    let app = spawn_app(&[]);
    let newest = app.publish(&tick(0));
    let mut stream = app.stream("");
    assert_eq!(stream.block().id(), newest);
    drop(stream);
    let missed = app.publish(&tick(1));
    let mut resumed = app.stream_with("", &[("Last-Event-ID", &newest)]);
    assert_eq!(resumed.event().id(), missed);

    let empty = spawn_app(&[]);
    let first = empty.stream("").block();
    let id = empty.publish(&tick(0));
    let mut resumed = empty.stream_with("", &[("Last-Event-ID", first.id())]);
    assert_eq!(resumed.event().id(), id, "also when there was no event at all");
}

#[test]
fn the_retry_is_jittered_per_client_between_its_bounds() {
    let app = spawn_app(&[("sse.retry_min", "200ms"), ("sse.retry_max", "900ms")]);
    let retries: BTreeSet<_> = (0..20).map(|_| app.stream("").block().retry.expect("a retry")).collect();
    assert!(retries.iter().all(|retry| (200..=900).contains(retry)), "{retries:?}");
    assert!(retries.len() > 3, "{retries:?}");
}

#[test]
fn every_event_is_one_block_of_id_and_data_without_an_event_line() {
    let app = spawn_app(&[]);
    let mut plain = app.stream("");
    let mut named = app.stream("named=true");
    let ids: Vec<_> = samples::events(1, 20).iter().map(|event| app.publish(event)).collect();
    let page = app.events("");
    for (id, event) in ids.iter().zip(page["events"].as_array().unwrap()) {
        let block = plain.event();
        assert_eq!((block.id(), &block.json()), (id.as_str(), event));
        assert_eq!((&block.event, block.retry, block.comments.len()), (&None, None, 0));
        let block = named.event();
        assert_eq!((block.id(), &block.json()), (id.as_str(), event));
        assert_eq!(block.event.as_deref(), event["type"].as_str());
    }
}

#[test]
fn strange_payloads_arrive_the_same_in_an_independent_parser() {
    let app = spawn_app(&[]);
    let mut connection = app.connect();
    connection.request("GET", STREAM, &[], b"").unwrap();
    let (_, mut body) = connection.head().unwrap();
    let mut rng = fastrand::Rng::with_seed(42);
    let alphabet =
        ['\n', '\r', '\0', '\u{2028}', '\u{2029}', '\u{feff}', '\u{85}', '"', '\\', ':', ' ', 'é', '🦀', 'd', '\u{7f}', '\u{1}'];
    let texts: Vec<String> =
        (0..200).map(|_| (0..rng.usize(..30)).map(|_| alphabet[rng.usize(..alphabet.len())]).collect()).collect();
    let events: Vec<_> = texts.iter().map(|text| json!({"type": "text", "payload": {"text": text, text.as_str(): 1}})).collect();
    app.publish_many(&events);
    let ids = app.all_ids("");

    let (mut bytes, mut ours) = (Vec::new(), VecDeque::new());
    let mut parser = Parser::default();
    while ours.len() < ids.len() + 1 {
        let from = bytes.len();
        assert!(body.read(&mut connection, &mut bytes).unwrap());
        parser.push(&bytes[from..], &mut ours);
    }
    let pieces = bytes.chunks(7).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>();
    let parsed = futures_util::stream::iter(pieces).eventsource().map(Result::unwrap).collect::<Vec<_>>();
    let theirs: Vec<_> = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(parsed);
    let theirs: Vec<_> = theirs.into_iter().filter(|event| !event.data.is_empty()).collect();
    ours.pop_front();
    assert_eq!(theirs.len(), ids.len());
    for (((their, our), id), text) in theirs.iter().zip(&ours).zip(&ids).zip(&texts) {
        assert_eq!((&their.id, our.id()), (id, id.as_str()));
        assert_eq!(Some(&their.data), our.data.as_ref());
        let payload = &our.json()["payload"];
        assert!(payload["text"] == text.as_str() && payload.get(text.as_str()).is_some(), "{text:?} became {payload}");
    }
}

#[test]
fn an_event_larger_than_a_chunk_arrives_whole() {
    let app = spawn_app(&[("sse.chunk_bytes", "4KiB"), ("sse.send_buffer", "4KiB")]);
    let mut stream = app.stream("");
    let text = "0123456789".repeat(24_000);
    let id = app.publish(&json!({"type": "big", "payload": {"text": text}}));
    let block = stream.event();
    assert_eq!(block.id(), id);
    assert_eq!(block.json()["payload"]["text"], text);
}

#[test]
fn an_answer_is_framed_as_its_head_says_whatever_upgrade_was_asked_for() {
    let app = spawn_app(&[("sse.heartbeat", "200ms")]);
    let websocket = ("Upgrade", "websocket");
    for headers in [&[websocket][..], &[websocket, ("Connection", "upgrade")], &[websocket, ("Connection", "close, upgrade")]] {
        let mut stream = app.stream_with("", headers);
        for n in 0..3 {
            let id = app.publish(&tick(n));
            assert_eq!(stream.event().id(), id, "{headers:?}");
        }
    }
}

#[test]
fn each_filter_lets_through_what_a_naive_filter_does() {
    let app = spawn_app(&[("sse.heartbeat", "200ms")]);
    let mut rng = fastrand::Rng::with_seed(23);
    let filters: Vec<_> = (0..40).map(|_| Filter::any(&mut rng)).collect();
    let mut streams: Vec<_> = filters.iter().map(|filter| app.stream(&filter.query(true))).collect();
    streams.iter_mut().for_each(|stream| drop(stream.block()));
    app.publish_many(&samples::events(9, 400));
    let all = app.all_events("");
    let newest = app.stats()["newest_id"].as_str().unwrap().to_owned();
    for (filter, mut stream) in filters.into_iter().zip(streams) {
        let mut seen = Vec::new();
        while stream.cursor.as_deref().is_none_or(|cursor| order(cursor) < order(&newest)) {
            let block = stream.block();
            seen.extend(block.is_event().then(|| block.id().to_owned()));
        }
        assert_eq!(seen, naive(&filter, &all), "{filter:?}");
    }
}

#[test]
fn upper_case_types_and_blanks_around_commas_do_not_matter_in_a_filter() {
    let app = spawn_app(&[]);
    let mut stream = app.stream("event_type=CYCLE_START,cycle_end");
    app.publish(&tick(0));
    let ids = ["cycle_start", "cycle_end"].map(|kind| app.publish(&json!({"type": kind, "payload": {}})));
    assert_eq!(stream.ids(2), ids);
}

#[test]
fn a_heartbeat_is_a_comment_with_the_id_that_a_quiet_client_resumes_from() {
    let app = spawn_app(QUICK_HEARTBEAT);
    let mut stream = app.stream("event_type=never");
    let head = stream.block();
    let beat = stream.block();
    assert_eq!((beat.comments.len(), beat.id(), &beat.data), (1, head.id(), &None), "{beat:?}");
    app.publish_many(&ticks(0..50));
    let newest = app.publish(&tick(50));
    stream.quiet_until(&newest);
    assert_eq!(stream.cursor.as_deref(), Some(newest.as_str()));
}

#[test]
fn heartbeats_come_at_the_pace_of_the_config() {
    let app = spawn_app(&[("sse.heartbeat", "200ms")]);
    let mut stream = app.stream("");
    stream.block();
    let start = Instant::now();
    (0..10).for_each(|_| drop(stream.block()));
    let took = start.elapsed();
    assert!(took > Duration::from_millis(1500) && took < Duration::from_millis(4000), "ten took {took:?}");
}

#[test]
fn scripts_may_ask_for_heartbeats_as_events() {
    let app = spawn_app(QUICK_HEARTBEAT);
    let mut stream = app.stream("heartbeat=event");
    for _ in 0..3 {
        let beat = stream.data();
        assert_eq!(beat.json()["type"], "heartbeat", "{beat:?}");
        assert_eq!(beat.event, None, "{beat:?}");
    }
}

#[test]
fn replay_gives_the_last_matching_events_first() {
    let app = spawn_app(&[("telemetry.ring_events", "100")]);
    for number in 0..60 {
        app.publish_many(&[tick(number), json!({"type": "other", "payload": {"n": number}})]);
    }
    let ticks = app.all_ids("event_type=tick");
    let all = app.all_ids("");
    assert_eq!(app.stream("replay=10&event_type=tick").ids(10), ticks[50..]);
    assert_eq!(app.stream("replay=1").ids(1), all[119..]);
    let mut stream = app.stream("replay=5");
    assert_eq!(stream.ids(5), all[115..]);
    let live = app.publish(&tick(60));
    assert_eq!(stream.event().id(), live, "then what is new");
    let mut none = app.stream("replay=0");
    none.block();
    let live = app.publish(&tick(61));
    assert_eq!(none.event().id(), live);
}

#[test]
fn a_replay_longer_than_the_ring_is_completed_from_the_journal() {
    let app = spawn_app(&[("telemetry.ring_events", "100")]);
    app.publish_many(&ticks(0..700));
    let all = app.all_ids("");
    assert_eq!(app.stream("replay=500").ids(500), all[200..]);
    let mut stream = app.stream("replay=5000");
    assert_eq!(stream.ids(700), all);
    let live = app.publish(&tick(700));
    assert_eq!(stream.event().id(), live);
}

#[test]
fn a_client_that_closes_is_gone_within_two_seconds() {
    let app = spawn_app(&[]);
    for (how, leave) in [
        ("closes", (|_| ()) as fn(&Connection)),
        ("half closes", |connection| connection.socket.shutdown(Shutdown::Write).unwrap()),
        ("resets", |connection| {
            let linger = Some(Duration::ZERO);
            socket2::SockRef::from(&connection.socket).set_linger(linger).unwrap();
        }),
    ] {
        let mut stream = app.stream("");
        stream.block();
        assert_eq!(app.subscribers(), 1);
        let connection = stream.into_connection();
        leave(&connection);
        let kept = (how == "half closes").then_some(connection);
        eventually(&format!("a client that {how} is gone"), Duration::from_secs(2), || app.subscribers() == 0);
        drop(kept);
    }
}

#[test]
fn a_client_of_http_1_0_gets_a_stream_without_chunks() {
    let app = spawn_app(&[]);
    let mut connection = app.connect();
    connection.send(format!("GET {STREAM} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let (head, mut body) = connection.head().unwrap();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, None));
    let (mut bytes, mut blocks, mut parser) = (Vec::new(), VecDeque::new(), Parser::default());
    let mut read = |blocks: &mut VecDeque<_>| {
        bytes.clear();
        assert!(body.read(&mut connection, &mut bytes).unwrap());
        parser.push(&bytes, blocks);
    };
    while blocks.is_empty() {
        read(&mut blocks);
    }
    let id = app.publish(&tick(0));
    while blocks.len() < 2 {
        read(&mut blocks);
    }
    assert_eq!(blocks[1].id(), id);
}

#[test]
fn two_streams_may_follow_each_other_on_different_connections_while_requests_share_one() {
    let app = spawn_app(&[]);
    let mut shared = app.connect();
    for number in 0..5 {
        let mut stream = Stream::open(app.address, STREAM, &[]).unwrap();
        stream.block();
        let answer = shared.post(crate::harness::EVENTS, crate::http::JSON, tick(number).to_string().as_bytes()).unwrap();
        assert_eq!(stream.event().id(), answer.expect(201)["id"].as_str().unwrap());
    }
}
