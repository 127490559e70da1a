//! kill -9 during load: nothing acknowledged is lost, nothing is doubled, ids never go back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

use crate::harness::{App, EVENTS, Settings, number_from_env, spawn_app};
use crate::http::{Connection, JSON, NDJSON, PATIENCE};
use crate::samples::lines;
use crate::sse::order;

/// A small ring and frequent retention, so that the kill may hit any of the journal's writers.
const SETTINGS: Settings<'_> = &[("telemetry.ring_events", "200"), ("journal.retention_interval", "1s")];

/// Tokens of one post that was acknowledged, with its first and last id.
struct Acknowledged {
    tokens: Vec<u64>,
    first: String,
    last: String,
}

/// Posts until the connection breaks, and gives the events of the post that was never answered.
fn publish(address: SocketAddr, shape: usize, from: u64, acknowledged: &Sender<Acknowledged>) -> Vec<Value> {
    let mut connection = Connection::open(address).expect("the service is up");
    let mut token = from;
    loop {
        let count = [1, 20, 150, 1][shape];
        let events: Vec<_> = (0..count)
            .map(|_| {
                token += 1;
                json!({"type": "tick", "source": "crash", "event_id": token.to_string(), "payload": {"n": token}})
            })
            .collect();
        let answer = match shape {
            0 | 3 => connection.post(EVENTS, JSON, events[0].to_string().as_bytes()),
            1 => connection.post(EVENTS, JSON, json!(events).to_string().as_bytes()),
            _ => connection.post(EVENTS, NDJSON, lines(&events).as_bytes()),
        };
        let Ok(answer) = answer else { return events };
        let body = answer.expect(201);
        let tokens: Vec<_> = (token - count as u64 + 1..=token).collect();
        let (first, last) = match count {
            1 => (&body["id"], &body["id"]),
            _ => (&body["first_id"], &body["last_id"]),
        };
        let text = |id: &Value| id.as_str().expect("an id").to_owned();
        let sent = acknowledged.send(Acknowledged { tokens, first: text(first), last: text(last) });
        sent.expect("the test listens");
    }
}

/// Loads the service until `enough` events are acknowledged, then kills it; gives what was and what was not answered.
fn load_and_kill(app: &mut App, round: u64, enough: usize) -> (Vec<Acknowledged>, Vec<Value>) {
    let (sender, receiver) = channel();
    let address = app.address;
    let publishers: Vec<_> = (0..4)
        .map(|shape| {
            let sender = sender.clone();
            let from = (round * 4 + shape) * 1_000_000;
            std::thread::spawn(move || publish(address, shape as usize, from, &sender))
        })
        .collect();
    drop(sender);
    let mut acknowledged: Vec<Acknowledged> = Vec::new();
    let mut count = 0;
    while count < enough {
        let post = receiver.recv_timeout(PATIENCE).expect("posts are acknowledged");
        count += post.tokens.len();
        acknowledged.push(post);
    }
    app.kill9();
    let unanswered = publishers.into_iter().flat_map(|publisher| publisher.join().unwrap()).collect();
    acknowledged.extend(receiver.try_iter());
    (acknowledged, unanswered)
}

/// Every token in the journal with its id, oldest first; fails when ids do not increase or a token is there twice.
#[track_caller]
fn read_back(app: &App) -> BTreeMap<u64, String> {
    let events = app.all_events("");
    let ids: Vec<_> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| order(a) < order(b)), "ids strictly increase");
    let mut tokens = BTreeMap::new();
    for (event, id) in events.iter().zip(ids) {
        let token = event["payload"]["n"].as_u64().unwrap();
        assert_eq!(event["event_id"], token.to_string());
        assert_eq!(tokens.insert(token, id.to_owned()), None, "{token} is there twice");
    }
    tokens
}

#[test]
fn kill_9_during_load_loses_and_doubles_nothing_and_ids_never_go_back() {
    let rounds = number_from_env("PLIMSOLL_CRASH_ROUNDS", 4);
    let mut app = spawn_app(SETTINGS);
    let mut before = BTreeMap::new();
    let mut highest = (0, 0);
    for round in 0..rounds {
        let (acknowledged, unanswered) = load_and_kill(&mut app, round as u64, fastrand::usize(1..3000));
        app.restart();
        let kept = read_back(&app);
        for (token, id) in &before {
            assert_eq!(kept.get(token), Some(id), "round {round}: what was there stays as it was");
        }
        let new: BTreeSet<_> = kept.iter().filter(|(token, _)| !before.contains_key(token)).map(|(_, id)| order(id)).collect();
        assert!(new.first().is_none_or(|first| *first > highest), "round {round}: ids go back below {highest:?}");
        for post in &acknowledged {
            let ids: Vec<_> = post.tokens.iter().map(|token| kept.get(token)).collect();
            assert!(ids.iter().all(Option::is_some), "round {round}: an acknowledged event is lost, {:?}", post.tokens);
            assert_eq!((ids.first(), ids.last()), (Some(&Some(&post.first)), Some(&Some(&post.last))), "round {round}");
        }

        // The engines post again what was not answered: what had reached the journal is not doubled.
        for events in unanswered.chunks(20) {
            let answer = app.publish_many(events);
            let known = events.iter().filter(|event| kept.contains_key(&event["payload"]["n"].as_u64().unwrap())).count();
            assert_eq!(answer["duplicates"], known, "round {round}: {answer}");
        }
        before = read_back(&app);
        assert!(unanswered.iter().all(|event| before.contains_key(&event["payload"]["n"].as_u64().unwrap())));
        highest = before.values().map(|id| order(id)).max().unwrap();
    }
    assert_eq!(app.terminate(), Some(0));
    let journal = rusqlite::Connection::open(app.artifacts().join("journal/journal.db")).unwrap();
    let verdict: String = journal.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

#[test]
fn ids_do_not_go_back_when_the_clock_does() {
    let mut app = spawn_app(&[]);
    app.publish_many(&crate::samples::ticks(0..10));
    assert_eq!(app.terminate(), Some(0));
    // A journal from a machine whose clock was a day ahead.
    let journal = rusqlite::Connection::open(app.artifacts().join("journal/journal.db")).unwrap();
    let day = 86_400_000_i64 << 20;
    assert_eq!(journal.execute("update events set id = id + ?1", [day]).unwrap(), 10);
    journal.close().unwrap();
    app.restart();
    let ahead = app.all_ids("");
    assert_eq!(ahead.len(), 10);
    let mut last = ahead[9].clone();
    for number in 10..15 {
        let id = app.publish(&crate::samples::tick(number));
        assert!(order(&id) > order(&last), "{id} after {last}");
        last = id;
    }
}

#[test]
fn a_broken_journal_is_kept_for_the_operator_and_does_not_stop_the_service() {
    let mut app = spawn_app(&[]);
    app.publish_many(&crate::samples::ticks(0..500));
    assert_eq!(app.terminate(), Some(0));
    let path = app.artifacts().join("journal/journal.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[..200].fill(b'?');
    bytes[length / 2..length / 2 + 9000].fill(b'!');
    std::fs::write(&path, &bytes).unwrap();
    // a write-ahead log that is still there would mend it
    for side in ["journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(path.with_file_name(side));
    }
    app.restart();
    assert!(matches!(app.health()["status"].as_str(), Some("ok" | "degraded")), "it serves");
    assert_eq!(app.get("/health/ready").status(), 200);
    let id = app.publish(&crate::samples::tick(0));
    assert_eq!(app.all_ids(""), [id]);
    let files = std::fs::read_dir(app.artifacts().join("journal")).unwrap();
    let kept = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).any(|content| content == bytes);
    assert!(kept, "the broken file is still there as it was");
}
