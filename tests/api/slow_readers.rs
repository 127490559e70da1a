//! Readers that stall, crawl or vanish: the others notice nothing, memory is bounded and given back, and the gauge of
//! clients is the number of real sockets.

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{App, STREAM, Settings, eventually, spawn_app};
use crate::http::Connection;
use crate::sse::{Next, Stream, order};

const STRICT: Settings<'_> = &[
    ("sse.heartbeat", "200ms"),
    ("sse.stall_timeout", "1s"),
    ("sse.max_lag_bytes", "1MiB"),
    ("sse.max_lag_age", "1s"),
    ("sse.close_grace", "500ms"),
    ("http.write_timeout", "1s"),
    ("http.keep_alive", "1s"),
    ("telemetry.ring_bytes", "4MiB"),
];

/// Long enough for every timeout of `STRICT` one after the other.
const PATIENT: Duration = Duration::from_secs(8);

fn big(number: usize) -> Value {
    json!({"type": "big", "payload": {"n": number, "pad": "x".repeat(20_000)}})
}

/// Asks for the stream and never reads a byte of it.
fn stalled(app: &App) -> Connection {
    let mut connection = Connection::open_narrow(app.address).unwrap();
    connection.request("GET", STREAM, &[], b"").unwrap();
    connection
}

/// Publishes `count` large events one by one while a quick reader receives them; gives each event's way in time.
fn publish_and_time(app: &App, reader: &mut Stream, count: usize) -> Vec<Duration> {
    std::thread::scope(|scope| {
        let timed = scope.spawn(|| (0..count).map(|_| (reader.event().id().to_owned(), Instant::now())).collect::<Vec<_>>());
        let mut sent = HashMap::new();
        for number in 0..count {
            let asked = Instant::now();
            sent.insert(app.publish(&big(number)), asked);
        }
        let received = timed.join().unwrap();
        assert_eq!(received.len(), sent.len());
        received.iter().map(|(id, at)| at.saturating_duration_since(sent[id])).collect()
    })
}

fn median(mut ways: Vec<Duration>) -> Duration {
    ways.sort();
    ways[ways.len() / 2]
}

#[test]
fn stalled_readers_are_closed_while_the_others_notice_nothing_and_memory_comes_back() {
    let app = spawn_app(STRICT);
    let mut quick = app.stream("");
    quick.block();
    let alone = median(publish_and_time(&app, &mut quick, 200));
    let before = app.memory();
    app.forget_peak();

    let stuck: Vec<_> = (0..30).map(|_| stalled(&app)).collect();
    eventually("all are connected", PATIENT, || app.subscribers() == 31);
    let ways = publish_and_time(&app, &mut quick, 400);
    let slowest = *ways.iter().max().unwrap();
    let together = median(ways);
    assert!(slowest < Duration::from_secs(1), "an event took {slowest:?}");
    assert!(together < alone * 3 + Duration::from_millis(10), "{together:?} with stalled readers, {alone:?} without");
    assert!(app.peak_memory() < before + 24 * 1024, "from {before} to {} KiB", app.peak_memory());

    eventually("the stalled are closed", PATIENT, || app.subscribers() == 1);
    eventually("their sockets too", PATIENT, || app.sockets() == 1);
    let stats = app.get("/api/telemetry/stats").json();
    let closed = |reason: &str| stats["dropped"][reason].as_u64().unwrap();
    assert_eq!(closed("stalled_clients") + closed("slow_clients"), 30, "each is counted: {stats}");
    let least = std::cell::Cell::new(u64::MAX);
    let given_back = || {
        least.set(least.get().min(app.memory()));
        app.get("/health/live").status() == 200 && least.get() < before + 12 * 1024
    };
    eventually(&format!("memory is given back, {before} KiB before, {} at most", app.peak_memory()), PATIENT, given_back);
    drop(stuck);
    app.assert_unhurt();
}

#[test]
fn a_reader_whose_socket_takes_nothing_is_counted_as_stalled_and_not_only_gone() {
    // heartbeats fill the client's own buffer and never the kernel's here: the kernel finds it before the fan-out does
    let app = spawn_app(&[("sse.stall_timeout", "1s"), ("sse.heartbeat", "50ms")]);
    let stuck = stalled(&app);
    eventually("it is connected", PATIENT, || app.subscribers() == 1);
    app.publish(&big(0));
    eventually("it is closed", PATIENT, || app.subscribers() == 0);
    assert_eq!(app.get("/api/telemetry/stats").json()["dropped"]["stalled_clients"], 1);
    drop(stuck);
}

#[test]
fn a_reader_that_crawls_loses_nothing_in_the_end() {
    let app = spawn_app(STRICT);
    let mut quick = app.stream("");
    quick.block();
    let mut crawling: Vec<Stream> = (0..3)
        .map(|_| {
            let narrow = Connection::open_narrow(app.address).unwrap();
            Stream::over(narrow, STREAM, &[]).expect("a stream")
        })
        .collect();
    for number in 0..400 {
        let id = app.publish(&big(number));
        assert_eq!(quick.event().id(), id);
        crawling.iter_mut().for_each(Stream::sip);
    }
    let all = app.all_ids("");
    for mut stream in crawling {
        let (mut seen, mut cursor): (Vec<String>, Option<String>) = (Vec::new(), None);
        while seen.len() < all.len() {
            match stream.next(PATIENT) {
                Next::Block(block) => {
                    assert!(block.data.is_none() || block.is_event(), "the journal has it all: {block:?}");
                    seen.extend(block.is_event().then(|| block.id().to_owned()));
                    cursor = stream.cursor.clone().or(cursor);
                }
                Next::Ended | Next::Cut(_) => {
                    let id = cursor.clone().expect("at least the head was read");
                    stream = app.stream_with("", &[("Last-Event-ID", &id)]);
                }
                Next::Silence => panic!("neither served nor closed after {} events", seen.len()),
            }
        }
        assert_eq!(seen, all);
    }
}

#[test]
fn a_reader_that_pauses_within_the_limits_is_kept_and_catches_up() {
    let app = spawn_app(&[("sse.heartbeat", "200ms"), ("telemetry.ring_events", "20")]);
    let mut paused = Stream::over(Connection::open_narrow(app.address).unwrap(), STREAM, &[]).unwrap();
    paused.block();
    (0..300).for_each(|number| drop(app.publish(&big(number))));
    let all = app.all_ids("");
    assert_eq!(paused.ids(300), all, "from the journal, since the ring has but the newest twenty");
    assert_eq!(app.subscribers(), 1);
}

#[test]
fn readers_that_ask_for_large_pages_and_never_read_are_closed_and_their_memory_comes_back() {
    let app = spawn_app(STRICT);
    for batch in 0..20 {
        app.publish_many(&(batch * 50..(batch + 1) * 50).map(big).collect::<Vec<_>>());
    }
    drop(app.all_ids(""));
    let before = app.memory();
    let stuck: Vec<_> = (0..30)
        .map(|_| {
            let mut connection = Connection::open_narrow(app.address).unwrap();
            connection.request("GET", "/api/telemetry/events?limit=1000", &[], b"").unwrap();
            connection
        })
        .collect();
    assert_eq!(stuck.len(), 30);
    app.assert_unhurt();
    eventually("the pages nobody takes are given up", PATIENT, || app.sockets() == 0);
    let what = format!("memory is given back, {before} KiB before, {} at most", app.peak_memory());
    eventually(&what, PATIENT, || app.get("/health/live").status() == 200 && app.memory() < before + 32 * 1024);
}

#[test]
fn a_client_that_resumes_far_back_in_the_ring_is_not_taken_for_a_slow_one() {
    let app = spawn_app(&[("sse.heartbeat", "50ms"), ("sse.max_lag_bytes", "1MiB")]);
    let mut narrow = Stream::over(Connection::open_narrow(app.address).unwrap(), STREAM, &[]).unwrap();
    let head = narrow.block().id().to_owned();
    drop(narrow);
    let events: Vec<_> = (0..300).map(big).collect();
    events.chunks(50).for_each(|batch| drop(app.publish_many(batch)));
    let narrow = Connection::open_narrow(app.address).unwrap();
    let mut resumed = Stream::over(narrow, STREAM, &[("Last-Event-ID", &head)]).unwrap();
    // It reads without a pause worth the name, and nothing new is published: it only comes closer.
    let ids: Vec<_> = (0..300)
        .map(|_| {
            app.get("/health/live");
            resumed.event().id().to_owned()
        })
        .collect();
    assert_eq!(ids, app.all_ids(""));
}

#[test]
fn readers_that_vanish_under_load_are_gone_from_the_gauge_and_from_the_sockets() {
    let app = spawn_app(STRICT);
    let mut quick = app.stream("");
    quick.block();
    for round in 0..3 {
        let mut leaving: Vec<_> = (0..20).map(|_| app.stream("")).collect();
        leaving.iter_mut().for_each(|stream| drop(stream.block()));
        assert_eq!(app.subscribers(), 21, "round {round}");
        for (number, stream) in leaving.into_iter().enumerate() {
            let connection = stream.into_connection();
            if number % 2 == 0 {
                socket2::SockRef::from(&connection.socket).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(connection);
            let id = app.publish(&big(number));
            assert_eq!(quick.event().id(), id);
        }
        eventually("the gauge is right", Duration::from_secs(2), || app.subscribers() == 1);
        eventually("the sockets are closed", Duration::from_secs(2), || app.sockets() == 1);
    }
}

/// The network itself fails, in a network namespace of the test's own: no FIN and no RST ever arrives.
#[test]
#[ignore = "needs a network namespace: unshare -rn sh -c 'ip link set lo up; cargo test --test api -- --ignored vanish_without'"]
fn readers_that_vanish_without_a_word_are_closed_in_time() {
    let lo = |state: &str| assert!(Command::new("ip").args(["link", "set", "lo", state]).status().unwrap().success());
    let routes = std::fs::read_to_string("/proc/net/dev").unwrap();
    assert_eq!(routes.lines().count(), 3, "this test takes the loopback down: run it in a network namespace of its own");
    let app = spawn_app(STRICT);
    let mut streams: Vec<_> = (0..20).map(|_| app.stream("")).collect();
    streams.iter_mut().for_each(|stream| drop(stream.block()));
    assert_eq!(app.subscribers(), 20);
    lo("down");
    eventually("the sockets of the vanished are closed", Duration::from_secs(15), || app.sockets() == 0);
    lo("up");
    assert_eq!(app.subscribers(), 0);
    app.assert_unhurt();
}

#[test]
fn a_reader_closed_for_its_slowness_knows_where_to_resume() {
    let app = spawn_app(STRICT);
    let mut slow = Stream::over(Connection::open_narrow(app.address).unwrap(), STREAM, &[]).unwrap();
    let head = slow.block().id().to_owned();
    (0..400).for_each(|number| drop(app.publish(&big(number))));
    eventually("the slow one is given up", PATIENT, || app.subscribers() == 0);
    let all = app.all_ids("");
    let mut seen = Vec::new();
    loop {
        match slow.next(PATIENT) {
            Next::Block(block) => seen.extend(block.is_event().then(|| block.id().to_owned())),
            Next::Ended | Next::Cut(_) => break,
            Next::Silence => panic!("given up but not closed"),
        }
    }
    assert_eq!(seen, all[..seen.len()], "what it got before is without a hole");
    let cursor = slow.cursor.clone().unwrap_or(head);
    let from = all.partition_point(|id| order(id) <= order(&cursor));
    assert_eq!(from, seen.len(), "the cursor is that of the last event received");
    assert_eq!(app.stream_with("", &[("Last-Event-ID", &cursor)]).ids(all.len() - from), all[from..]);
}
