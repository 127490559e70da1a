//! What the journal keeps: for how long, how much, and how safely.

use std::time::Duration;

use serde_json::json;

use crate::harness::{App, eventually, spawn_app};
use crate::samples::{tick, ticks};
use crate::sse::order;

fn journal_bytes(app: &App) -> u64 {
    let files = std::fs::read_dir(app.artifacts().join("journal")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn the_oldest_events_leave_a_journal_that_is_too_large_and_their_room_is_used_again() {
    let app =
        spawn_app(&[("journal.max_bytes", "8MiB"), ("journal.retention_interval", "50ms"), ("telemetry.ring_events", "10")]);
    let pad = "x".repeat(1000);
    let mut on_disk = Vec::new();
    for round in 1..=4 {
        let mut newest = String::new();
        for batch in (round - 1) * 12..round * 12 {
            let events: Vec<_> =
                (0..1000).map(|n| json!({"type": "tick", "payload": {"n": batch * 1000 + n, "pad": pad}})).collect();
            newest = app.publish_many(&events)["last_id"].as_str().unwrap().to_owned();
        }
        eventually("the oldest are gone", Duration::from_secs(8), || {
            app.stats()["journal"]["bytes"].as_u64().unwrap() <= 8 << 20
        });
        let kept = app.all_events("");
        assert!(kept.len() > 4000, "but {} events of 1 kB are left of 8 MiB", kept.len());
        assert_eq!(kept.last().unwrap()["id"], newest);
        let numbers: Vec<_> = kept.iter().map(|event| event["payload"]["n"].as_u64().unwrap()).collect();
        let end = round * 12_000;
        assert_eq!(numbers, (end - numbers.len() as u64..end).collect::<Vec<_>>(), "the newest, without a hole");
        on_disk.push(journal_bytes(&app));
    }
    assert!(on_disk[3] < on_disk[1] * 5 / 4, "the files grow and grow: {on_disk:?}");
    assert_eq!(app.health()["status"], "ok");
}

#[test]
fn old_events_leave_the_journal_and_new_ones_stay() {
    let app = spawn_app(&[("journal.max_age", "1s"), ("journal.retention_interval", "50ms"), ("telemetry.ring_events", "10")]);
    app.publish_many(&ticks(0..200));
    let old = app.stats()["newest_id"].as_str().unwrap().to_owned();
    eventually("the old ones are gone", Duration::from_secs(8), || {
        let new = app.publish(&tick(1000));
        let kept = app.all_ids("");
        assert_eq!(kept.last(), Some(&new));
        // What the ring still holds may be shown as well.
        kept.iter().filter(|id| order(id) <= order(&old)).count() <= 10
    });
}

#[test]
fn with_durability_os_the_crash_of_the_process_loses_nothing() {
    let mut app = spawn_app(&[("journal.durability", "os")]);
    let ids: Vec<_> = (0..100).map(|number| app.publish(&tick(number))).collect();
    app.kill9();
    app.restart();
    assert_eq!(app.all_ids(""), ids);
}

#[test]
fn with_durability_memory_the_journal_lives_as_long_as_the_process_and_ids_still_increase() {
    let mut app = spawn_app(&[("journal.durability", "memory"), ("telemetry.ring_events", "10")]);
    let ids: Vec<_> = (0..100).map(|number| app.publish(&tick(number))).collect();
    assert_eq!(app.all_ids(""), ids, "also those that left the ring");
    let mut stream = app.stream(&format!("since_id={}", ids[20]));
    assert_eq!(stream.ids(79), ids[21..]);
    assert_eq!(app.terminate(), Some(0));
    app.restart();
    assert_eq!(app.all_ids(""), [""; 0]);
    assert!(order(&app.publish(&tick(100))) > order(&ids[99]));
}
