//! A day at full speed into a hundred clients with different filters, with the service killed and restarted on the way
//! and clients that drop and resume at random. At the end each has exactly what a naive filter over the journal says.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use crate::harness::{App, EVENTS, STREAM, Settings, spawn_app_on_a_stable_port};
use crate::http::{Connection, NDJSON, PATIENCE};
use crate::samples::{self, Filter, SYMBOLS, naive};
use crate::sse::{Next, Stream, order};

const CLIENTS: usize = 100;
const BATCH: usize = 200;
const SETTINGS: Settings<'_> = &[("telemetry.ring_events", "2000"), ("sse.heartbeat", "300ms")];

/// Where the service is, or nothing while it is down.
struct Gate {
    open: Mutex<Option<SocketAddr>>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, address: Option<SocketAddr>) {
        *self.open.lock().unwrap() = address;
        self.changed.notify_all();
    }

    /// Waits until the service is up.
    fn pass(&self) -> SocketAddr {
        let open = self.open.lock().unwrap();
        let (open, _) = self.changed.wait_timeout_while(open, PATIENCE * 2, |open| open.is_none()).unwrap();
        open.expect("the service is up again")
    }
}

/// What a client received over all its connections.
struct Received {
    ids: Vec<String>,
    connections: usize,
}

/// Follows the stream as a browser does, drops it now and then, and ends once it has passed `goal`.
fn follow(gate: &Gate, query: &str, seed: u64, ready: &Sender<()>, goal: &OnceLock<(u64, u64)>) -> Received {
    let mut rng = Rng::with_seed(seed);
    let mut received = Received { ids: Vec::new(), connections: 0 };
    let mut cursor: Option<String> = None;
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        assert!(Instant::now() < deadline, "{query} does not come to an end");
        let address = gate.pass();
        let headers: Vec<_> = cursor.iter().map(|id| ("Last-Event-ID", id.as_str())).collect();
        let Ok(mut stream) = Stream::open(address, &format!("{STREAM}?{query}"), &headers) else {
            continue;
        };
        assert_eq!(stream.head.status, 200);
        received.connections += 1;
        for _ in 0..rng.usize(1..1500) {
            match stream.next(PATIENCE) {
                Next::Block(block) => {
                    assert!(block.is_event() || block.data.is_none(), "{block:?}");
                    received.ids.extend(block.is_event().then(|| block.id().to_owned()));
                    if cursor.is_none() {
                        ready.send(()).unwrap();
                    }
                    cursor = stream.cursor.clone().or(cursor);
                    let passed = |goal: &(u64, u64)| cursor.as_deref().is_some_and(|cursor| order(cursor) >= *goal);
                    if goal.get().is_some_and(passed) {
                        return received;
                    }
                }
                Next::Ended | Next::Cut(_) => break,
                Next::Silence => panic!("neither event nor heartbeat on {query}"),
            }
        }
    }
}

/// Posts every batch, again after each failure, and tells how many are done; gives the highest id.
fn publish(gate: &Gate, batches: &[String], progress: &Sender<usize>) -> (u64, u64) {
    let mut connection = Connection::open(gate.pass()).unwrap();
    let mut highest = (0, 0);
    for (done, batch) in batches.iter().enumerate() {
        let answer = loop {
            match connection.post(EVENTS, NDJSON, batch.as_bytes()) {
                Ok(answer) => break answer.expect(201),
                Err(_) => match Connection::open(gate.pass()) {
                    Ok(again) => connection = again,
                    Err(_) => continue,
                },
            }
        };
        assert_eq!(answer["rejected"], Value::Array(vec![]), "{answer}");
        if let Some(last) = answer["last_id"].as_str() {
            highest = highest.max(order(last));
        }
        progress.send(done).unwrap();
    }
    highest
}

/// Events as lines, each with an id of the engine's own, so that a batch may be posted again.
fn with_event_id(number: usize, line: &str) -> String {
    let rest = line.trim().strip_prefix('{').expect("an object a line");
    format!("{{\"event_id\":\"day-{number}\",{rest}\n")
}

fn play(mut app: App, lines: &[String], filters: &[Filter], kills: usize) {
    let batches: Vec<String> = lines.chunks(BATCH).map(<[String]>::concat).collect();
    let gate = Gate { open: Mutex::new(Some(app.address)), changed: Condvar::new() };
    let goal = OnceLock::new();
    let (ready, is_ready) = channel();
    let (progress, progressed) = channel();
    let mut received: Vec<Received> = std::thread::scope(|scope| {
        let (gate, goal, batches) = (&gate, &goal, &batches);
        let clients: Vec<_> = filters
            .iter()
            .enumerate()
            .map(|(number, filter)| {
                let (query, ready) = (filter.query(number % 2 == 0), ready.clone());
                scope.spawn(move || follow(gate, &query, number as u64, &ready, goal))
            })
            .collect();
        filters.iter().for_each(|_| is_ready.recv_timeout(PATIENCE).expect("every client has its head"));
        let publisher = scope.spawn(move || publish(gate, batches, &progress));
        for kill in 1..=kills {
            let point = batches.len() * kill / (kills + 1);
            while progressed.recv_timeout(PATIENCE * 2).expect("the publisher goes on") < point {}
            gate.set(None);
            app.kill9();
            app.restart();
            gate.set(Some(app.address));
        }
        let highest = publisher.join().unwrap();
        // A last batch that was journalled but not answered counts as duplicates: ask for the newest.
        let newest = app.stats()["newest_id"].as_str().map_or(highest, order);
        goal.set(highest.max(newest)).unwrap();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });

    let all = app.all_events("");
    let posted = all.iter().filter(|event| event["source"] != "plimsoll").count();
    assert_eq!(posted, lines.len(), "each event is in the journal once");
    // what the service finds in the events it may publish behind the last of them, when clients have gone
    let goal = *goal.get().unwrap();
    let is_due = |id: &String| order(id) <= goal;
    for ((filter, received), number) in filters.iter().zip(&mut received).zip(0..) {
        received.ids.retain(is_due);
        let expected: Vec<_> = naive(filter, &all).into_iter().filter(is_due).collect();
        let differs = received.ids.iter().zip(&expected).position(|(a, b)| a != b);
        assert!(
            received.ids == expected,
            "client {number} {filter:?}: {} ids of {}, first difference at {differs:?}, {} connections",
            received.ids.len(),
            expected.len(),
            received.connections,
        );
    }
    let connections: usize = received.iter().map(|client| client.connections).sum();
    assert!(connections > filters.len() * (kills + 1), "but {connections} connections");
}

fn filters(count: usize) -> Vec<Filter> {
    let mut rng = Rng::with_seed(99);
    (0..count).map(|number| if number % 10 == 0 { Filter::default() } else { Filter::any(&mut rng) }).collect()
}

#[test]
fn a_hundred_clients_receive_exactly_what_their_filters_let_through_over_two_crashes() {
    let app = spawn_app_on_a_stable_port(SETTINGS);
    let events = samples::events(2024, 8000);
    let lines: Vec<_> = events.iter().enumerate().map(|(n, event)| with_event_id(n, &event.to_string())).collect();
    play(app, &lines, &filters(CLIENTS), 2);
}

#[test]
#[ignore = "by hand: PLIMSOLL_RECORDING=session.ndjson.gz cargo test --test api -- --ignored recording"]
fn a_hundred_clients_receive_the_recording_over_four_crashes() {
    let path = std::env::var("PLIMSOLL_RECORDING").expect("PLIMSOLL_RECORDING names the recording");
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    match bytes.starts_with(&[0x1f, 0x8b]) {
        true => flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap(),
        false => bytes.as_slice().read_to_string(&mut text).unwrap(),
    };
    let lines: Vec<_> = text.lines().enumerate().map(|(number, line)| with_event_id(number, line)).collect();
    // The recording has other types and symbols than the generated day, and neither source nor profile nor severity.
    let types = ["indicator_event", "decision_trace", "signal_event", "order_event", "position_event", "engine_health"];
    let symbols = ["NIFTY24FUT", "BANKNIFTY24FUT", SYMBOLS[4]];
    let mut rng = Rng::with_seed(7);
    let filters: Vec<_> = (0..CLIENTS)
        .map(|number| match number % 10 {
            0 => Filter::default(),
            _ => Filter {
                types: types.into_iter().filter(|_| rng.u8(..) < 80).collect(),
                symbol: rng.bool().then(|| symbols[rng.usize(..symbols.len())]),
                strategy: (rng.u8(..) < 48).then_some("EMA_20_50"),
                ..Filter::default()
            },
        })
        .collect();
    play(spawn_app_on_a_stable_port(SETTINGS), &lines, &filters, 4);
}
