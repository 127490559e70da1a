//! SIGTERM and SIGINT: streams end cleanly, what was acknowledged stays, the exit code tells how it went.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{App, EVENTS, STREAM, spawn_app};
use crate::http::{Connection, JSON};
use crate::samples::tick;
use crate::sse::{Next, Stream, order};

/// Reads a stream to its end, which must be a clean one with a `retry:` as the last word, and gives the ids of events.
#[track_caller]
fn ids_to_the_end(stream: &mut Stream) -> Vec<String> {
    let blocks = stream.rest();
    let last = blocks.last().expect("a last block");
    assert!(last.retry.is_some() && last.data.is_none(), "the last word is {last:?}");
    blocks.iter().filter(|block| block.is_event()).map(|block| block.id().to_owned()).collect()
}

/// Starts a POST that does not end, so that a graceful stop has something to wait for.
fn unfinished_post(app: &App) -> Connection {
    let mut connection = app.connect();
    let head = format!(
        "POST {EVENTS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n{{"
    );
    connection.send(head.as_bytes()).unwrap();
    assert_eq!(connection.interim().expect("an answer to the head"), 100);
    connection
}

#[test]
fn sigterm_under_load_ends_streams_cleanly_and_loses_nothing_acknowledged() {
    let mut app = spawn_app(&[("telemetry.ring_events", "300")]);
    let address = app.address;
    let mut streams: Vec<_> = (0..10).map(|_| app.stream("")).collect();
    streams.iter_mut().for_each(|stream| drop(stream.block()));
    let publishers: Vec<_> = (0..3)
        .map(|publisher| {
            std::thread::spawn(move || {
                let mut connection = Connection::open(address).unwrap();
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let event = tick(publisher * 1_000_000 + number).to_string();
                    match connection.post(EVENTS, JSON, event.as_bytes()) {
                        Ok(answer) if answer.status() == 201 => {
                            acknowledged.push(answer.json()["id"].as_str().unwrap().to_owned());
                        }
                        Ok(answer) => {
                            assert_eq!(answer.status(), 503, "{}", answer.text());
                            assert!(answer.header("retry-after").is_some());
                            break;
                        }
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    streams[0].ids(500);
    assert_eq!(app.terminate(), Some(0), "{}", app.process.log());
    let mut acknowledged: Vec<String> = publishers.into_iter().flat_map(|publisher| publisher.join().unwrap()).collect();
    acknowledged.sort_by_key(|id| order(id));
    streams.iter_mut().for_each(|stream| drop(ids_to_the_end(stream)));
    let cursors: Vec<String> = streams.iter().map(|stream| stream.cursor.clone().unwrap()).collect();

    app.restart();
    let all = app.all_ids("");
    let lost: Vec<_> = acknowledged.iter().filter(|id| all.binary_search_by_key(&order(id), |id| order(id)).is_err()).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged events are lost: {lost:?}", lost.len(), acknowledged.len());
    for cursor in cursors {
        let from = all.partition_point(|id| order(id) <= order(&cursor));
        assert_eq!(app.stream_with("", &[("Last-Event-ID", &cursor)]).ids(all.len() - from), all[from..]);
    }
}

#[test]
fn sigint_is_a_clean_stop_too() {
    let mut app = spawn_app(&[]);
    let id = app.publish(&tick(0));
    let mut stream = app.stream("");
    stream.block();
    app.process.signal("INT");
    assert_eq!(app.process.exit(Duration::from_secs(10)).code(), Some(0), "{}", app.process.log());
    ids_to_the_end(&mut stream);
    app.restart();
    assert_eq!(app.all_ids(""), [id]);
}

#[test]
fn an_idle_service_stops_at_once_even_with_open_connections_and_streams() {
    let mut app = spawn_app(&[("http.shutdown_timeout", "20s")]);
    let mut kept = app.connect();
    kept.exchange("GET", EVENTS, &[], b"").unwrap().expect(200);
    let mut streams: Vec<_> = (0..50).map(|_| app.stream("")).collect();
    streams.iter_mut().for_each(|stream| drop(stream.block()));
    let asked = Instant::now();
    assert_eq!(app.terminate(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "took {:?}", asked.elapsed());
    streams.iter_mut().for_each(|stream| drop(ids_to_the_end(stream)));
}

#[test]
fn connections_that_idle_after_a_request_do_not_turn_a_stop_into_a_forced_one() {
    let mut app = spawn_app(&[]);
    let mut kept: Vec<_> = (0..20).map(|_| app.connect()).collect();
    for connection in &mut kept {
        connection.exchange("GET", EVENTS, &[], b"").unwrap().expect(200);
    }
    assert_eq!(app.terminate(), Some(0), "{}", app.process.log());
}

#[test]
fn a_second_signal_forces_the_stop_with_exit_code_3() {
    for second in ["TERM", "INT"] {
        let mut app = spawn_app(&[("http.shutdown_timeout", "60s"), ("http.body_timeout", "60s")]);
        let mut stream = app.stream("");
        stream.block();
        let _held = unfinished_post(&app);
        app.process.signal("TERM");
        ids_to_the_end(&mut stream);
        app.process.signal(second);
        let asked = Instant::now();
        assert_eq!(app.process.exit(Duration::from_secs(10)).code(), Some(3), "{}", app.process.log());
        assert!(asked.elapsed() < Duration::from_secs(3), "took {:?}", asked.elapsed());
    }
}

#[test]
fn a_stop_that_has_to_cut_something_off_after_its_timeout_says_so_by_exit_code_3() {
    let mut app = spawn_app(&[("http.shutdown_timeout", "500ms"), ("http.body_timeout", "60s")]);
    let id = app.publish(&tick(0));
    let _held = unfinished_post(&app);
    app.process.signal("TERM");
    let asked = Instant::now();
    assert_eq!(app.process.exit(Duration::from_secs(10)).code(), Some(3), "{}", app.process.log());
    assert!(asked.elapsed() < Duration::from_secs(6), "took {:?}", asked.elapsed());
    app.restart();
    assert_eq!(app.all_ids(""), [id]);
}

#[test]
fn a_client_that_does_not_read_cannot_hold_the_stop() {
    let mut app = spawn_app(&[("sse.send_buffer", "8KiB"), ("sse.close_grace", "500ms"), ("http.shutdown_timeout", "2s")]);
    let mut stalled: Vec<_> = (0..5).map(|_| Connection::open_narrow(app.address).unwrap()).collect();
    for connection in &mut stalled {
        connection.request("GET", STREAM, &[], b"").unwrap();
    }
    let mut healthy: Vec<_> = (0..12).map(|_| app.stream("event_type=none")).collect();
    healthy.iter_mut().for_each(|stream| drop(stream.block()));
    crate::harness::eventually("all are there", Duration::from_secs(5), || app.subscribers() == 17);
    let pad = "x".repeat(50_000);
    let events: Vec<_> = (0..40).map(|n| serde_json::json!({"type": "big", "payload": {"n": n, "pad": pad}})).collect();
    app.publish_many(&events);
    let asked = Instant::now();
    app.process.signal("TERM");
    // whichever worker serves them, those who read are told to come back and end cleanly
    healthy.iter_mut().for_each(|stream| drop(ids_to_the_end(stream)));
    let code = app.process.exit(Duration::from_secs(10)).code();
    assert!(asked.elapsed() < Duration::from_secs(8), "took {:?}", asked.elapsed());
    assert!(matches!(code, Some(0 | 3)), "{code:?} {}", app.process.log());
    app.restart();
    assert_eq!(app.all_ids("").len(), 40);
}

#[test]
fn while_it_stops_the_service_takes_nothing_new_in() {
    let mut app = spawn_app(&[("http.shutdown_timeout", "60s"), ("http.body_timeout", "60s")]);
    let mut kept = app.connect();
    kept.exchange("GET", EVENTS, &[], b"").unwrap().expect(200);
    let mut stream = app.stream("");
    stream.block();
    let _held = unfinished_post(&app);
    app.process.signal("TERM");
    ids_to_the_end(&mut stream);

    // Over a connection that was open before, or a new one, if it is taken at all.
    let mut connections = vec![kept];
    connections.extend(Connection::open(app.address));
    for connection in &mut connections {
        if let Ok(answer) = connection.post(EVENTS, JSON, tick(0).to_string().as_bytes()) {
            answer.expect_problem(503);
            assert!(answer.header("retry-after").is_some());
        }
    }
    if let Ok(mut late) = Stream::open(app.address, STREAM, &[]) {
        assert_eq!(late.head.status, 200, "anything else makes a browser give up for ever");
        ids_to_the_end(&mut late);
    }
    if let Ok(Ok(answer)) = Connection::open(app.address).map(|mut new| new.exchange("GET", "/health/ready", &[], b"")) {
        assert_eq!(answer.status(), 503);
    }
    app.process.signal("TERM");
    assert_eq!(app.process.exit(Duration::from_secs(10)).code(), Some(3));
    app.restart();
    assert_eq!(app.events("")["events"], Value::Array(vec![]));
    let mut stream = app.stream("");
    assert!(matches!(stream.next(Duration::from_secs(5)), Next::Block(_)));
}
