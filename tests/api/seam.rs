//! The seam between journal and ring: clients that reconnect at random cursors while events are being published.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::json;

use crate::harness::{EVENTS, STREAM, number_from_env, spawn_app};
use crate::http::{Connection, JSON};
use crate::samples::ticks;
use crate::sse::{Stream, order};

const BATCH: usize = 20;
const PER_SECOND: u32 = 2000;
const CLIENTS: usize = 4;

/// One visit of a client: where it resumed, and what it got until it left.
struct Visit {
    cursor: String,
    ids: Vec<String>,
}

/// A cursor among the newest two thousand events: the id of one, or a place between two.
fn any_cursor(rng: &mut Rng, published: &Mutex<Vec<String>>) -> String {
    let published = published.lock().unwrap();
    let newest = published.len();
    let id = &published[rng.usize(newest.saturating_sub(2000 / BATCH)..newest)];
    match rng.u8(..4) {
        0 => {
            let earlier = format!("{}-{}", order(id).0 - rng.u64(..20), rng.u32(..30));
            if order(&earlier) < order(&published[0]) { published[0].clone() } else { earlier }
        }
        _ => id.clone(),
    }
}

#[test]
fn every_reconnect_at_a_random_cursor_receives_every_id_once_in_order() {
    let reconnects = number_from_env("PLIMSOLL_SEAM_RECONNECTS", 300);
    let app = spawn_app(&[("telemetry.ring_events", "500"), ("sse.heartbeat", "200ms")]);
    let address = app.address;
    let published = Mutex::new(vec![app.publish(&ticks(0..1)[0])]);
    let done = AtomicUsize::new(0);
    let (stop, stopped) = channel::<()>();
    let start = Instant::now();

    let (visits, count, took) = std::thread::scope(|scope| {
        let published = &published;
        let publisher = scope.spawn(move || {
            let mut connection = Connection::open(address).unwrap();
            let mut count = 0;
            let mut due = start;
            loop {
                let body = json!(ticks(count..count + BATCH)).to_string();
                let answer = connection.post(EVENTS, JSON, body.as_bytes()).unwrap().expect(201);
                published.lock().unwrap().push(answer["last_id"].as_str().unwrap().to_owned());
                count += BATCH;
                due += Duration::from_secs(1) * BATCH as u32 / PER_SECOND;
                // The pace of the publisher: until the next batch is due, or until it is told to stop.
                match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return (count, start.elapsed()),
                }
            }
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let done = &done;
                scope.spawn(move || {
                    let mut rng = Rng::with_seed(client as u64);
                    let mut visits = Vec::new();
                    while done.fetch_add(1, Ordering::Relaxed) < reconnects {
                        let cursor = any_cursor(&mut rng, published);
                        let wanted = rng.usize(1..200);
                        let mut stream = Stream::open(address, STREAM, &[("Last-Event-ID", &cursor)]).unwrap();
                        let mut ids = Vec::new();
                        while ids.len() < wanted {
                            let block = stream.block();
                            assert!(block.is_event() || block.data.is_none(), "{block:?}");
                            ids.extend(block.is_event().then(|| block.id().to_owned()));
                        }
                        visits.push(Visit { cursor, ids });
                    }
                    visits
                })
            })
            .collect();
        let visits: Vec<Visit> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        drop(stop);
        let (count, took) = publisher.join().unwrap();
        (visits, count, took)
    });

    let rate = count as f64 / took.as_secs_f64();
    assert!(rate >= 1000.0, "{count} events in {took:?} are but {rate:.0} a second");
    let all = app.all_ids("");
    assert_eq!(all.len(), count + 1);
    assert_eq!(visits.len(), reconnects);
    for Visit { cursor, ids } in visits {
        let from = all.partition_point(|id| order(id) <= order(&cursor));
        assert_eq!(ids, all[from..from + ids.len()], "resumed at {cursor}");
    }
    app.assert_unhurt();
}

#[test]
fn pages_read_while_events_are_published_visit_each_once() {
    let app = spawn_app(&[("telemetry.ring_events", "300")]);
    let address = app.address;
    app.publish_many(&ticks(0..1000));
    let seen = std::thread::scope(|scope| {
        let publisher = scope.spawn(move || {
            let mut connection = Connection::open(address).unwrap();
            for batch in 50..200 {
                let body = json!(ticks(batch * BATCH..(batch + 1) * BATCH)).to_string();
                connection.post(EVENTS, JSON, body.as_bytes()).unwrap().expect(201);
            }
        });
        let mut connection = Connection::open(address).unwrap();
        let mut seen = Vec::new();
        let mut cursor = "0-0".to_owned();
        loop {
            let over = publisher.is_finished();
            let target = format!("{EVENTS}?order=asc&limit=77&since_id={cursor}");
            let page = connection.exchange("GET", &target, &[], b"").unwrap().expect(200);
            let events = page["events"].as_array().unwrap();
            seen.extend(events.iter().map(|event| event["payload"]["n"].as_u64().unwrap()));
            match events.last() {
                Some(event) => event["id"].as_str().unwrap().clone_into(&mut cursor),
                None if over => break,
                None => {}
            }
        }
        publisher.join().unwrap();
        seen
    });
    assert_eq!(seen, (0..4000).collect::<Vec<_>>());
}
